package traces

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/yagura-dev/yagura/query/columnar"
)

// The JSON that Jaeger's UI and clients read.

type jaegerTrace struct {
	TraceID   string                   `json:"traceID"`
	Spans     []jaegerSpan             `json:"spans"`
	Processes map[string]jaegerProcess `json:"processes"`
	Warnings  []string                 `json:"warnings"`
}

type jaegerSpan struct {
	TraceID       string            `json:"traceID"`
	SpanID        string            `json:"spanID"`
	Flags         uint32            `json:"flags,omitempty"`
	OperationName string            `json:"operationName"`
	References    []jaegerReference `json:"references"`
	StartTime     int64             `json:"startTime"` // Unix microseconds
	Duration      int64             `json:"duration"`  // microseconds
	Tags          []jaegerTag       `json:"tags"`
	Logs          []jaegerLog       `json:"logs"`
	ProcessID     string            `json:"processID"`
	Warnings      []string          `json:"warnings"`
}

type jaegerReference struct {
	RefType string `json:"refType"`
	TraceID string `json:"traceID"`
	SpanID  string `json:"spanID"`
}

type jaegerTag struct {
	Key   string          `json:"key"`
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

type jaegerLog struct {
	Timestamp int64       `json:"timestamp"` // Unix microseconds
	Fields    []jaegerTag `json:"fields"`
}

type jaegerProcess struct {
	ServiceName string      `json:"serviceName"`
	Tags        []jaegerTag `json:"tags"`
}

type jaegerOperation struct {
	Name     string `json:"name"`
	SpanKind string `json:"spanKind"`
}

const (
	refChildOf     = "CHILD_OF"
	refFollowsFrom = "FOLLOWS_FROM"
	// attrRefType is the attribute of an OTLP link that says which of Jaeger's
	// references it was made from.
	attrRefType = "opentracing.ref_type"
	// maxSafeInteger is the largest integer that JavaScript reads exactly.
	maxSafeInteger = 1<<53 - 1
)

// toJaeger converts a trace to Jaeger's form: what OTLP has fields for becomes
// tags, events become logs, links become references, resources become processes.
func toJaeger(t Trace) jaegerTrace {
	out := jaegerTrace{TraceID: jaegerTraceID(t.ID), Spans: make([]jaegerSpan, len(t.Spans)), Processes: map[string]jaegerProcess{}, Warnings: t.Warnings}
	ids := map[string]string{}
	for i, s := range t.Spans {
		p := jaegerProcessOf(s)
		key, _ := json.Marshal(p) // plain strings and valid JSON cannot fail
		id, ok := ids[string(key)]
		if !ok {
			id = "p" + strconv.Itoa(len(ids)+1)
			ids[string(key)] = id
			out.Processes[id] = p
		}
		out.Spans[i] = toJaegerSpan(s)
		out.Spans[i].ProcessID = id
	}
	return out
}

// jaegerTraceID leaves out the upper half when it is zero: so Jaeger shows ids
// that came with 64 bits.
func jaegerTraceID(id TraceID) string {
	if [8]byte(id[:8]) == [8]byte{} {
		return SpanID(id[8:]).String()
	}
	return id.String()
}

func toJaegerSpan(s Span) jaegerSpan {
	out := jaegerSpan{
		TraceID: jaegerTraceID(s.TraceID), SpanID: s.SpanID.String(), Flags: s.Flags & 0xff,
		OperationName: s.Name, References: jaegerReferences(s),
		StartTime: micros(s.Start), Duration: s.Duration() / 1000,
		Tags: jaegerSpanTags(s), Logs: make([]jaegerLog, 0, len(s.Events)),
	}
	if out.Duration < 0 {
		out.Duration = 0
		out.Warnings = append(out.Warnings, "the span ends before it starts; its duration is shown as zero")
	}
	for _, e := range s.Events {
		fields := make([]jaegerTag, 0, len(e.Attributes)+1)
		if e.Name != "" && !slices.ContainsFunc(e.Attributes, func(a Attribute) bool { return a.Key == tagEvent }) {
			fields = append(fields, stringTag(tagEvent, e.Name))
		}
		out.Logs = append(out.Logs, jaegerLog{Timestamp: micros(e.Time), Fields: appendJaegerTags(fields, e.Attributes)})
	}
	slices.SortStableFunc(out.Logs, func(a, b jaegerLog) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	return out
}

// micros treats the 64 bits as OTLP does, unsigned: 1970 to 2554.
func micros(ns int64) int64 { return int64(uint64(ns) / 1000) }

func jaegerReferences(s Span) []jaegerReference {
	refs := make([]jaegerReference, 0, len(s.Links)+1)
	if !s.ParentSpanID.IsZero() {
		refs = append(refs, jaegerReference{RefType: refChildOf, TraceID: jaegerTraceID(s.TraceID), SpanID: s.ParentSpanID.String()})
	}
	for _, l := range s.Links {
		if l.TraceID == s.TraceID && l.SpanID == s.ParentSpanID {
			continue // the parent, said twice
		}
		ref := jaegerReference{RefType: refFollowsFrom, TraceID: jaegerTraceID(l.TraceID), SpanID: l.SpanID.String()}
		for _, a := range l.Attributes {
			if a.Key == attrRefType && strings.EqualFold(a.Text, refChildOf) {
				ref.RefType = refChildOf
			}
		}
		refs = append(refs, ref)
	}
	return refs
}

func jaegerSpanTags(s Span) []jaegerTag {
	tags := appendJaegerTags(make([]jaegerTag, 0, len(s.Attributes)+6), s.Attributes)
	has := func(key string) bool {
		return slices.ContainsFunc(s.Attributes, func(a Attribute) bool { return a.Key == key })
	}
	add := func(key, value string) {
		if value != "" && !has(key) {
			tags = append(tags, stringTag(key, value))
		}
	}
	if s.Kind != KindUnspecified {
		add(tagSpanKind, s.Kind.String())
	}
	if s.StatusCode != StatusUnset {
		add(tagStatusCode, strings.ToUpper(s.StatusCode.String()))
	}
	if s.StatusCode == StatusError && !has(tagError) {
		tags = append(tags, jaegerTag{Key: tagError, Type: "bool", Value: json.RawMessage("true")})
	}
	add(tagStatusDescription, s.StatusMessage)
	add(tagTraceState, s.TraceState)
	add(tagScopeName, s.ScopeName)
	add(tagScopeVersion, s.ScopeVersion)
	for _, a := range s.ScopeAttributes {
		a.Key = tagScopePrefix + a.Key
		tags = append(tags, toJaegerTag(a))
	}
	return tags
}

func jaegerProcessOf(s Span) jaegerProcess {
	p := jaegerProcess{ServiceName: s.Service(), Tags: make([]jaegerTag, 0, len(s.ResourceAttributes))}
	for _, a := range s.ResourceAttributes {
		if a.Key != "service.name" {
			p.Tags = append(p.Tags, toJaegerTag(a))
		}
	}
	slices.SortStableFunc(p.Tags, func(a, b jaegerTag) int { return strings.Compare(a.Key, b.Key) })
	return p
}

func appendJaegerTags(tags []jaegerTag, as []Attribute) []jaegerTag {
	for _, a := range as {
		tags = append(tags, toJaegerTag(a))
	}
	return tags
}

func stringTag(key, value string) jaegerTag {
	return jaegerTag{Key: key, Type: "string", Value: appendJSONString(nil, value)}
}

func toJaegerTag(a Attribute) jaegerTag {
	quoted := func(t string) jaegerTag { return jaegerTag{Key: a.Key, Type: t, Value: appendJSONString(nil, a.Text)} }
	switch a.Type {
	case columnar.Int:
		n, err := strconv.ParseInt(a.Text, 10, 64)
		if err != nil {
			return quoted("string")
		}
		if n > maxSafeInteger || n < -maxSafeInteger {
			return quoted("int64")
		}
		return jaegerTag{Key: a.Key, Type: "int64", Value: json.RawMessage(strconv.FormatInt(n, 10))}
	case columnar.Float:
		f, err := strconv.ParseFloat(a.Text, 64)
		if err != nil {
			return quoted("string")
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return quoted("float64") // JSON has no such numbers
		}
		b, _ := json.Marshal(f)
		return jaegerTag{Key: a.Key, Type: "float64", Value: b}
	case columnar.Bool:
		if a.Text != "true" && a.Text != "false" {
			return quoted("string")
		}
		return jaegerTag{Key: a.Key, Type: "bool", Value: json.RawMessage(a.Text)}
	case columnar.Bytes:
		if _, err := base64.StdEncoding.DecodeString(a.Text); err != nil {
			return quoted("string")
		}
		return quoted("binary")
	case columnar.JSON:
		return stringTag(a.Key, jsonText(a.Text))
	default:
		return quoted("string")
	}
}
