package traces

import (
	"strconv"
	"strings"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Outline is what can be said of a span's row without decoding all of it. Its
// strings are the row's.
type Outline struct {
	TraceID, SpanID, ParentSpanID string // hexadecimal; empty when unset
	Name                          string
	Kind                          Kind
	Status                        StatusCode
	Start                         int64 // Unix nanoseconds
	Duration                      int64 // nanoseconds; may be negative
}

// OutlineOf reads a row that Span.Row wrote and passes each attribute of the span
// (not of its resource or scope) to attribute. What cannot be read is left zero.
func OutlineOf(r columnar.Row, attribute func(key, value string)) Outline {
	o := Outline{Start: r.Timestamp}
	for _, f := range r.Fields {
		switch f.Name {
		case fieldTraceID:
			o.TraceID = f.Value
		case fieldSpanID:
			o.SpanID = f.Value
		case fieldParentSpanID:
			o.ParentSpanID = f.Value
		case fieldName:
			o.Name = f.Value
		case fieldKind:
			o.Kind, _ = ParseKind(f.Value)
		case fieldStatusCode:
			o.Status, _ = ParseStatusCode(f.Value)
		case fieldDuration:
			o.Duration, _ = strconv.ParseInt(f.Value, 10, 64)
		default:
			if key, ok := strings.CutPrefix(f.Name, prefixSpan); ok {
				attribute(key, f.Value)
			}
		}
	}
	return o
}
