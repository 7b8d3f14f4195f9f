package traces

import (
	"strconv"
	"strings"
	"time"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Search selects traces that have a span of which everything given holds.
type Search struct {
	Service   string // empty for any
	Operation string // the span's name; empty for any
	// Tags must all be found on the one span: among its attributes, or those of its
	// resource, scope, events or links, or among what Jaeger calls tags of a span
	// (error, span.kind, otel.status_code, …). Values compare as text.
	Tags                     map[string]string
	Start, End               time.Time     // of the span's start; both inclusive
	MinDuration, MaxDuration time.Duration // inclusive; zero for any
	Limit                    int           // traces
}

// The tags by which Jaeger knows what OTLP has fields for.
const (
	tagError             = "error"
	tagSpanKind          = "span.kind"
	tagStatusCode        = "otel.status_code"
	tagStatusDescription = "otel.status_description"
	tagScopeName         = "otel.scope.name"
	tagScopeVersion      = "otel.scope.version"
	tagScopePrefix       = "otel.scope."
	tagTraceState        = "w3c.tracestate"
	tagEvent             = "event"
)

// columns is what matching a row needs.
func (s Search) columns() columnar.Columns {
	names := []string{fieldTraceID}
	if s.Operation != "" {
		names = append(names, fieldName)
	}
	if s.MinDuration > 0 || s.MaxDuration > 0 {
		names = append(names, fieldDuration)
	}
	if len(s.Tags) > 0 {
		names = append(names, fieldEvents, fieldLinks)
	}
	for key := range s.Tags {
		names = append(names, prefixSpan+key, prefixResource+key, prefixScope+key)
		switch key {
		case tagError, tagStatusCode:
			names = append(names, fieldStatusCode)
		case tagSpanKind:
			names = append(names, fieldKind)
		case tagStatusDescription:
			names = append(names, fieldStatusMessage)
		case tagScopeName:
			names = append(names, fieldScopeName)
		case tagScopeVersion:
			names = append(names, fieldScopeVersion)
		case tagTraceState:
			names = append(names, fieldTraceState)
		}
		if bare, ok := strings.CutPrefix(key, tagScopePrefix); ok {
			names = append(names, prefixScope+bare)
		}
	}
	return columnar.Columns{Fields: names}
}

// predicates is the part of the search that the store can evaluate. A tag may be
// in one of many fields, which a conjunction cannot say.
func (s Search) predicates() []columnar.FieldPredicate {
	var ps []columnar.FieldPredicate
	if s.Operation != "" {
		ps = append(ps, columnar.FieldPredicate{Name: fieldName, Op: columnar.FieldEqual, Text: s.Operation})
	}
	if s.MinDuration > 0 {
		ps = append(ps, columnar.FieldPredicate{Name: fieldDuration, Op: columnar.FieldGreaterOrEqual, Text: strconv.FormatInt(int64(s.MinDuration), 10)})
	}
	if s.MaxDuration > 0 {
		ps = append(ps, columnar.FieldPredicate{Name: fieldDuration, Op: columnar.FieldLessOrEqual, Text: strconv.FormatInt(int64(s.MaxDuration), 10)})
	}
	return ps
}

// match reports whether a row with these fields is what the search is for. It
// evaluates everything, whatever the store has evaluated.
func (s Search) match(fields []columnar.Field) bool {
	var name string
	var duration int64
	for _, f := range fields {
		switch f.Name {
		case fieldName:
			name = f.Value
		case fieldDuration:
			duration, _ = strconv.ParseInt(f.Value, 10, 64)
		}
	}
	if s.Operation != "" && name != s.Operation ||
		s.MinDuration > 0 && duration < int64(s.MinDuration) ||
		s.MaxDuration > 0 && duration > int64(s.MaxDuration) {
		return false
	}
	var nested nestedAttributes
	for key, value := range s.Tags {
		if !hasTag(fields, key, value) && !nested.has(fields, key, value) {
			return false
		}
	}
	return true
}

// hasTag looks for a tag among the fields that hold one value each.
func hasTag(fields []columnar.Field, key, value string) bool {
	for _, f := range fields {
		switch f.Name {
		case fieldStatusCode:
			if key == tagError && value == "true" && f.Value == "error" ||
				key == tagStatusCode && f.Value != "unset" && strings.ToUpper(f.Value) == value {
				return true
			}
		case fieldKind:
			if key == tagSpanKind && f.Value == value {
				return true
			}
		case fieldStatusMessage:
			if key == tagStatusDescription && f.Value == value {
				return true
			}
		case fieldScopeName:
			if key == tagScopeName && f.Value == value {
				return true
			}
		case fieldScopeVersion:
			if key == tagScopeVersion && f.Value == value {
				return true
			}
		case fieldTraceState:
			if key == tagTraceState && f.Value == value {
				return true
			}
		default:
			if hasAttribute(f, key) && tagText(f.Type, f.Value) == value {
				return true
			}
		}
	}
	return false
}

func hasAttribute(f columnar.Field, key string) bool {
	for _, prefix := range [...]string{prefixSpan, prefixResource, prefixScope} {
		if rest, ok := strings.CutPrefix(f.Name, prefix); ok {
			if rest == key {
				return true
			}
			if prefix == prefixScope {
				bare, ok := strings.CutPrefix(key, tagScopePrefix)
				return ok && bare == rest
			}
			return false
		}
	}
	return false
}

// tagText is an attribute's value as Jaeger shows and searches it.
func tagText(t columnar.ValueType, text string) string {
	if t == columnar.JSON {
		return jsonText(text)
	}
	return text
}

// nestedAttributes are those of a row's events and links, decoded when a tag is
// first looked for there.
type nestedAttributes struct {
	decoded bool
	all     []Attribute
}

func (n *nestedAttributes) has(fields []columnar.Field, key, value string) bool {
	if !n.decoded {
		if !mayHoldKey(fields, key) {
			return false
		}
		n.decode(fields)
	}
	for _, a := range n.all {
		if a.Key == key && tagText(a.Type, a.Text) == value {
			return true
		}
	}
	return false
}

// mayHoldKey spares decoding: the codec writes a key in one way only.
func mayHoldKey(fields []columnar.Field, key string) bool {
	quoted := string(appendJSONString(nil, key))
	for _, f := range fields {
		if (f.Name == fieldEvents || f.Name == fieldLinks) && (key == tagEvent || strings.Contains(f.Value, quoted)) {
			return true
		}
	}
	return false
}

// decode leaves out what cannot be read: reading the whole span will say so.
func (n *nestedAttributes) decode(fields []columnar.Field) {
	n.decoded = true
	for _, f := range fields {
		switch f.Name {
		case fieldEvents:
			events, _ := parseEvents(f.Value)
			for _, e := range events {
				n.all = append(n.all, Attribute{Key: tagEvent, Text: e.Name})
				n.all = append(n.all, e.Attributes...)
			}
		case fieldLinks:
			links, _ := parseLinks(f.Value)
			for _, l := range links {
				n.all = append(n.all, l.Attributes...)
			}
		}
	}
}
