package tempo

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traceql"
	"github.com/yagura-dev/yagura/query/traces"
)

// The columns of a span's row, as query/traces stores them.
const (
	columnTraceID       = "trace_id"
	columnSpanID        = "span_id"
	columnParentSpanID  = "parent_span_id"
	columnName          = "name"
	columnKind          = "kind"
	columnStatus        = "status_code"
	columnStatusMessage = "status_message"
	columnDuration      = "duration_ns"
	columnScopeName     = "scope_name"
	columnScopeVersion  = "scope_version"
	columnEvents        = "events"
	columnLinks         = "links"
	columnService       = prefixResource + "service.name"

	prefixSpan     = "span."
	prefixResource = "resource."
	prefixScope    = "scope."
)

// columnsOf are the columns that hold the values of a field.
func columnsOf(f traceql.Field) []string {
	switch f.Intrinsic {
	case traceql.NoIntrinsic:
		switch f.Scope {
		case traceql.SpanScope:
			return []string{prefixSpan + f.Name}
		case traceql.ResourceScope:
			return []string{prefixResource + f.Name}
		case traceql.InstrumentationScope:
			return []string{prefixScope + f.Name}
		case traceql.EventScope:
			return []string{columnEvents}
		case traceql.LinkScope:
			return []string{columnLinks}
		}
		return []string{prefixSpan + f.Name, prefixResource + f.Name}
	case traceql.SpanName:
		return []string{columnName}
	case traceql.SpanKind:
		return []string{columnKind}
	case traceql.SpanStatus:
		return []string{columnStatus}
	case traceql.SpanStatusMessage:
		return []string{columnStatusMessage}
	case traceql.SpanDuration:
		return []string{columnDuration}
	case traceql.SpanID:
		return []string{columnSpanID}
	case traceql.SpanParentID, traceql.NestedSetParent:
		return []string{columnParentSpanID}
	case traceql.TraceID:
		return []string{columnTraceID}
	case traceql.EventName, traceql.EventTimeSinceStart:
		return []string{columnEvents}
	case traceql.LinkTraceID, traceql.LinkSpanID:
		return []string{columnLinks}
	case traceql.InstrumentationName:
		return []string{columnScopeName}
	case traceql.InstrumentationVersion:
		return []string{columnScopeVersion}
	}
	return nil // of the trace, which is always read with traceColumns
}

// traceColumns are read of every span of a trace: what relates spans, what describes
// the trace in answers, and what tells spans apart that bear one id.
var traceColumns = []string{
	columnTraceID, columnSpanID, columnParentSpanID, columnName, columnKind, columnStatus, columnDuration, columnService,
}

// row is a span as it stands in the store. Its strings may be the store's.
type row struct {
	labels labels.Labels
	start  int64
	fields []columnar.Field

	nested *traces.Span // events and links, decoded at first need
}

// Values implements traceql.Values. Of values of one key the last counts.
func (r *row) Values(f *traceql.Field, dst []traceql.Value) []traceql.Value {
	switch f.Intrinsic {
	case traceql.NoIntrinsic:
		return r.attribute(f, dst)
	case traceql.SpanName:
		return append(dst, traceql.StringValue(r.text(columnName)))
	case traceql.SpanKind:
		return append(dst, kindValue(r.text(columnKind)))
	case traceql.SpanStatus:
		return append(dst, statusValue(r.text(columnStatus)))
	case traceql.SpanStatusMessage:
		return append(dst, traceql.StringValue(r.text(columnStatusMessage)))
	case traceql.SpanDuration:
		return append(dst, traceql.DurationValue(r.duration()))
	case traceql.SpanID:
		return append(dst, traceql.StringValue(r.text(columnSpanID)))
	case traceql.SpanParentID:
		return append(dst, traceql.StringValue(r.text(columnParentSpanID)))
	case traceql.TraceID:
		return append(dst, traceql.StringValue(r.text(columnTraceID)))
	case traceql.InstrumentationName:
		return append(dst, traceql.StringValue(r.text(columnScopeName)))
	case traceql.InstrumentationVersion:
		return append(dst, traceql.StringValue(r.text(columnScopeVersion)))
	case traceql.NestedSetParent:
		if r.text(columnParentSpanID) == "" {
			return append(dst, traceql.IntValue(-1))
		}
		return append(dst, traceql.IntValue(0))
	case traceql.EventName, traceql.EventTimeSinceStart, traceql.LinkTraceID, traceql.LinkSpanID:
		return r.nestedIntrinsic(f, dst)
	}
	return dst
}

func (r *row) attribute(f *traceql.Field, dst []traceql.Value) []traceql.Value {
	switch f.Scope {
	case traceql.SpanScope:
		dst, _ = r.prefixed(prefixSpan, f.Name, dst)
	case traceql.ResourceScope:
		dst, _ = r.prefixed(prefixResource, f.Name, dst)
	case traceql.InstrumentationScope:
		dst, _ = r.prefixed(prefixScope, f.Name, dst)
	case traceql.EventScope:
		for _, e := range r.decoded().Events {
			dst = appendAttribute(dst, e.Attributes, f.Name)
		}
	case traceql.LinkScope:
		for _, l := range r.decoded().Links {
			dst = appendAttribute(dst, l.Attributes, f.Name)
		}
	default:
		var ok bool
		if dst, ok = r.prefixed(prefixSpan, f.Name, dst); !ok {
			dst, _ = r.prefixed(prefixResource, f.Name, dst)
		}
	}
	return dst
}

// prefixed appends the value of an attribute; it compares without joining the name.
func (r *row) prefixed(prefix, key string, dst []traceql.Value) ([]traceql.Value, bool) {
	for _, f := range slices.Backward(r.fields) {
		if len(f.Name) == len(prefix)+len(key) && f.Name[len(prefix):] == key && f.Name[:len(prefix)] == prefix {
			return append(dst, value(f.Type, f.Value)), true
		}
	}
	return dst, false
}

func appendAttribute(dst []traceql.Value, as []traces.Attribute, key string) []traceql.Value {
	for _, a := range slices.Backward(as) {
		if a.Key == key {
			return append(dst, value(a.Type, a.Text))
		}
	}
	return dst
}

func (r *row) nestedIntrinsic(f *traceql.Field, dst []traceql.Value) []traceql.Value {
	switch f.Intrinsic {
	case traceql.EventName:
		for _, e := range r.decoded().Events {
			dst = append(dst, traceql.StringValue(e.Name))
		}
	case traceql.EventTimeSinceStart:
		for _, e := range r.decoded().Events {
			dst = append(dst, traceql.DurationValue(e.Time-r.start))
		}
	case traceql.LinkTraceID:
		for _, l := range r.decoded().Links {
			dst = append(dst, traceql.StringValue(l.TraceID.String()))
		}
	case traceql.LinkSpanID:
		for _, l := range r.decoded().Links {
			dst = append(dst, traceql.StringValue(l.SpanID.String()))
		}
	}
	return dst
}

// decoded reads events and links. What cannot be read counts as absent: reading the
// whole span will say what is wrong with it.
func (r *row) decoded() *traces.Span {
	if r.nested != nil {
		return r.nested
	}
	r.nested = &traces.Span{}
	for _, f := range r.fields {
		if f.Name == columnEvents || f.Name == columnLinks {
			s, err := traces.SpanFromRow(labels.EmptyLabels(), columnar.Row{Fields: []columnar.Field{f}})
			if err != nil {
				continue
			}
			r.nested.Events = append(r.nested.Events, s.Events...)
			r.nested.Links = append(r.nested.Links, s.Links...)
		}
	}
	return r.nested
}

// All implements traceql.Enumerator. Columns of spans and resources are named as queries
// name the attributes.
func (r *row) All(visit func(name string, v traceql.Value)) {
	for _, f := range r.fields {
		switch {
		case strings.HasPrefix(f.Name, prefixSpan), strings.HasPrefix(f.Name, prefixResource):
			visit(f.Name, value(f.Type, f.Value))
		case strings.HasPrefix(f.Name, prefixScope):
			visit("instrumentation."+f.Name[len(prefixScope):], value(f.Type, f.Value))
		case f.Name == columnName:
			visit("name", traceql.StringValue(f.Value))
		case f.Name == columnScopeName:
			visit("instrumentation:name", traceql.StringValue(f.Value))
		case f.Name == columnKind:
			visit("kind", kindValue(f.Value))
		case f.Name == columnStatus:
			visit("status", statusValue(f.Value))
		case f.Name == columnStatusMessage:
			visit("statusMessage", traceql.StringValue(f.Value))
		}
	}
}

func (r *row) text(column string) string {
	for i := range r.fields {
		if r.fields[i].Name == column {
			return r.fields[i].Value
		}
	}
	return ""
}

func (r *row) duration() int64 {
	d, _ := strconv.ParseInt(r.text(columnDuration), 10, 64)
	return d
}

// span is the row for a trace; the row must not change any more.
func (r *row) span() traceql.Span {
	s := traceql.Span{Start: r.start, End: r.start + r.duration(), Values: r}
	decodeID(s.ID[:], r.text(columnSpanID))
	decodeID(s.ParentID[:], r.text(columnParentSpanID))
	return s
}

// decodeID leaves zeros when the text is no id.
func decodeID(dst []byte, text string) {
	if len(text) != 2*len(dst) {
		return
	}
	if _, err := hex.Decode(dst, []byte(text)); err != nil {
		clear(dst)
	}
}

func value(t columnar.ValueType, text string) traceql.Value {
	switch t {
	case columnar.String:
		return traceql.StringValue(text)
	case columnar.Int:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return traceql.IntValue(n)
		}
	case columnar.Float:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return traceql.FloatValue(f)
		}
	case columnar.Bool:
		return traceql.BoolValue(text == "true")
	}
	return traceql.OtherValue(text)
}

func kindValue(text string) traceql.Value {
	k, _ := traces.ParseKind(text)
	return traceql.KindValue(int32(k))
}

func statusValue(text string) traceql.Value {
	c, _ := traces.ParseStatusCode(text)
	return traceql.StatusValue(int32(c))
}

// interner keeps one copy of each column's name.
type interner map[string]string

// clone takes a row out of the store's batch, with one allocation for all its text.
func (in interner) clone(lbls labels.Labels, start int64, fields []columnar.Field) *row {
	size := 0
	for _, f := range fields {
		size += len(f.Value)
	}
	var b strings.Builder
	b.Grow(size)
	for _, f := range fields {
		b.WriteString(f.Value)
	}
	all := b.String()
	out := &row{labels: lbls, start: start, fields: make([]columnar.Field, len(fields))}
	for i, f := range fields {
		name, ok := in[f.Name]
		if !ok {
			name = strings.Clone(f.Name)
			in[name] = name
		}
		out.fields[i] = columnar.Field{Name: name, Value: all[:len(f.Value)], Type: f.Type}
		all = all[len(f.Value):]
	}
	return out
}
