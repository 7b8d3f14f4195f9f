package traces

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// The field names of a span's row. Attributes stand beside them under a prefix,
// so that no attribute key can collide with a column.
const (
	fieldTraceID           = "trace_id"
	fieldSpanID            = "span_id"
	fieldParentSpanID      = "parent_span_id"
	fieldTraceState        = "trace_state"
	fieldFlags             = "flags"
	fieldName              = "name"
	fieldKind              = "kind"
	fieldStatusCode        = "status_code"
	fieldStatusMessage     = "status_message"
	fieldDuration          = "duration_ns"
	fieldScopeName         = "scope_name"
	fieldScopeVersion      = "scope_version"
	fieldEvents            = "events"
	fieldLinks             = "links"
	fieldDroppedAttributes = "dropped_attributes_count"
	fieldDroppedEvents     = "dropped_events_count"
	fieldDroppedLinks      = "dropped_links_count"
	fieldResourceDropped   = "resource_dropped_attributes_count"
	fieldScopeDropped      = "scope_dropped_attributes_count"

	prefixSpan     = "span."
	prefixResource = "resource."
	prefixScope    = "scope."
)

// TraceID identifies a trace; all zeros means that it has none.
type TraceID [16]byte

// String is 32 lowercase hexadecimal digits.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id is unset.
func (id TraceID) IsZero() bool { return id == TraceID{} }

// SpanID identifies a span within its trace; all zeros means that it has none.
type SpanID [8]byte

// String is 16 lowercase hexadecimal digits.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id is unset.
func (id SpanID) IsZero() bool { return id == SpanID{} }

// Kind is OTLP's span kind.
type Kind int32

// The span kinds. Numbers outside of these are kept as they came.
const (
	KindUnspecified Kind = iota
	KindInternal
	KindServer
	KindClient
	KindProducer
	KindConsumer
)

var kindNames = [...]string{"unspecified", "internal", "server", "client", "producer", "consumer"}

// String is the kind as it is stored and searched: lowercase.
func (k Kind) String() string { return enumName(kindNames[:], int32(k)) }

// ParseKind reads what Kind.String wrote, in any case.
func ParseKind(s string) (Kind, error) {
	n, err := parseEnum(kindNames[:], s)
	return Kind(n), err
}

// StatusCode is OTLP's status of a span.
type StatusCode int32

// The status codes. Numbers outside of these are kept as they came.
const (
	StatusUnset StatusCode = iota
	StatusOK
	StatusError
)

var statusNames = [...]string{"unset", "ok", "error"}

// String is the code as it is stored and searched: lowercase.
func (c StatusCode) String() string { return enumName(statusNames[:], int32(c)) }

// ParseStatusCode reads what StatusCode.String wrote, in any case.
func ParseStatusCode(s string) (StatusCode, error) {
	n, err := parseEnum(statusNames[:], s)
	return StatusCode(n), err
}

// Attribute is a key with a typed value. Text is canonical for its type, as the
// store's fields are: an Int is decimal, a Float is strconv 'g', Bytes are
// standard base64, and JSON is an OTLP AnyValue in OTLP's JSON encoding (an
// array, a key-value list, or {} for a value that was never set).
type Attribute struct {
	Key  string
	Text string
	Type columnar.ValueType
}

// Event is something that happened at an instant within a span.
type Event struct {
	Time              int64 // Unix nanoseconds
	Name              string
	Attributes        []Attribute
	DroppedAttributes uint32
}

// Link points at another span, often of another trace.
type Link struct {
	TraceID           TraceID
	SpanID            SpanID
	TraceState        string
	Flags             uint32
	Attributes        []Attribute
	DroppedAttributes uint32
}

// Span is one span with everything that OTLP says about it, its resource and
// its instrumentation scope. Attributes of equal keys keep their order; the order
// of different keys has no meaning and may change in the store.
type Span struct {
	// Labels are those of the stream that the span was read from. They are the
	// mapping's business: Row does not store them.
	Labels labels.Labels

	TraceID      TraceID
	SpanID       SpanID
	ParentSpanID SpanID
	TraceState   string
	Flags        uint32

	Name          string
	Kind          Kind
	Start, End    int64 // Unix nanoseconds; End may lie before Start when a sender's clock or code errs
	StatusCode    StatusCode
	StatusMessage string

	Attributes []Attribute
	Events     []Event
	Links      []Link

	ResourceAttributes []Attribute
	ScopeName          string
	ScopeVersion       string
	ScopeAttributes    []Attribute

	DroppedAttributes         uint32
	DroppedEvents             uint32
	DroppedLinks              uint32
	ResourceDroppedAttributes uint32
	ScopeDroppedAttributes    uint32
}

// Duration is End minus Start in nanoseconds.
func (s Span) Duration() int64 { return s.End - s.Start }

// Service is the name of the service that sent the span: what its stream says,
// else its resource, else the name that the platform gives to nameless ones.
func (s Span) Service() string {
	if v := s.Labels.Get(labelService); v != "" {
		return v
	}
	for _, a := range s.ResourceAttributes {
		if a.Key == "service.name" && a.Text != "" {
			return a.Text
		}
	}
	return unknownService
}

const (
	labelService   = "service_name"
	unknownService = "unknown_service"
)

// Row is the span as the store keeps it. Zero values take no field, except name,
// kind, status_code and duration_ns, which every row has.
func (s Span) Row() columnar.Row {
	f := make([]columnar.Field, 0, 8+len(s.Attributes)+len(s.ResourceAttributes)+len(s.ScopeAttributes)+8)
	text := func(name, v string) {
		if v != "" {
			f = append(f, columnar.Field{Name: name, Value: v})
		}
	}
	count := func(name string, n uint32) {
		if n != 0 {
			f = append(f, columnar.Field{Name: name, Value: strconv.FormatUint(uint64(n), 10), Type: columnar.Int})
		}
	}
	if !s.TraceID.IsZero() {
		text(fieldTraceID, s.TraceID.String())
	}
	if !s.SpanID.IsZero() {
		text(fieldSpanID, s.SpanID.String())
	}
	if !s.ParentSpanID.IsZero() {
		text(fieldParentSpanID, s.ParentSpanID.String())
	}
	f = append(f,
		columnar.Field{Name: fieldName, Value: s.Name},
		columnar.Field{Name: fieldKind, Value: s.Kind.String()},
		columnar.Field{Name: fieldStatusCode, Value: s.StatusCode.String()},
		columnar.Field{Name: fieldDuration, Value: strconv.FormatInt(s.Duration(), 10), Type: columnar.Int},
	)
	text(fieldStatusMessage, s.StatusMessage)
	text(fieldTraceState, s.TraceState)
	count(fieldFlags, s.Flags)
	text(fieldScopeName, s.ScopeName)
	text(fieldScopeVersion, s.ScopeVersion)
	count(fieldDroppedAttributes, s.DroppedAttributes)
	count(fieldDroppedEvents, s.DroppedEvents)
	count(fieldDroppedLinks, s.DroppedLinks)
	count(fieldResourceDropped, s.ResourceDroppedAttributes)
	count(fieldScopeDropped, s.ScopeDroppedAttributes)
	f = appendAttributes(f, prefixResource, s.ResourceAttributes)
	f = appendAttributes(f, prefixScope, s.ScopeAttributes)
	f = appendAttributes(f, prefixSpan, s.Attributes)
	if len(s.Events) > 0 {
		f = append(f, columnar.Field{Name: fieldEvents, Value: string(appendEvents(nil, s.Events)), Type: columnar.JSON})
	}
	if len(s.Links) > 0 {
		f = append(f, columnar.Field{Name: fieldLinks, Value: string(appendLinks(nil, s.Links)), Type: columnar.JSON})
	}
	return columnar.Row{Timestamp: s.Start, Fields: f}
}

func appendAttributes(f []columnar.Field, prefix string, as []Attribute) []columnar.Field {
	for _, a := range as {
		f = append(f, columnar.Field{Name: prefix + a.Key, Value: a.Text, Type: a.Type})
	}
	return f
}

// SpanFromRow reads what Row wrote. Fields that it does not know are ignored, so
// that a later version may add some; a known field with a value that cannot be
// is an error that names it. Strings of the row are retained, not copied.
func SpanFromRow(lbls labels.Labels, r columnar.Row) (Span, error) {
	s := Span{Labels: lbls, Start: r.Timestamp, End: r.Timestamp}
	for _, f := range r.Fields {
		if err := s.setField(f); err != nil {
			return Span{}, fmt.Errorf("decode span field %s: %w", f.Name, err)
		}
	}
	return s, nil
}

func (s *Span) setField(f columnar.Field) (err error) {
	switch f.Name {
	case fieldTraceID:
		err = decodeHex(s.TraceID[:], f.Value)
	case fieldSpanID:
		err = decodeHex(s.SpanID[:], f.Value)
	case fieldParentSpanID:
		err = decodeHex(s.ParentSpanID[:], f.Value)
	case fieldTraceState:
		s.TraceState = f.Value
	case fieldName:
		s.Name = f.Value
	case fieldKind:
		s.Kind, err = ParseKind(f.Value)
	case fieldStatusCode:
		s.StatusCode, err = ParseStatusCode(f.Value)
	case fieldStatusMessage:
		s.StatusMessage = f.Value
	case fieldScopeName:
		s.ScopeName = f.Value
	case fieldScopeVersion:
		s.ScopeVersion = f.Value
	case fieldDuration:
		var d int64
		d, err = strconv.ParseInt(f.Value, 10, 64)
		s.End = s.Start + d
	case fieldFlags:
		s.Flags, err = parseCount(f.Value)
	case fieldDroppedAttributes:
		s.DroppedAttributes, err = parseCount(f.Value)
	case fieldDroppedEvents:
		s.DroppedEvents, err = parseCount(f.Value)
	case fieldDroppedLinks:
		s.DroppedLinks, err = parseCount(f.Value)
	case fieldResourceDropped:
		s.ResourceDroppedAttributes, err = parseCount(f.Value)
	case fieldScopeDropped:
		s.ScopeDroppedAttributes, err = parseCount(f.Value)
	case fieldEvents:
		s.Events, err = parseEvents(f.Value)
	case fieldLinks:
		s.Links, err = parseLinks(f.Value)
	default:
		s.setAttribute(f)
	}
	return err
}

func (s *Span) setAttribute(f columnar.Field) {
	if key, ok := strings.CutPrefix(f.Name, prefixSpan); ok {
		s.Attributes = append(s.Attributes, Attribute{Key: key, Text: f.Value, Type: f.Type})
	} else if key, ok := strings.CutPrefix(f.Name, prefixResource); ok {
		s.ResourceAttributes = append(s.ResourceAttributes, Attribute{Key: key, Text: f.Value, Type: f.Type})
	} else if key, ok := strings.CutPrefix(f.Name, prefixScope); ok {
		s.ScopeAttributes = append(s.ScopeAttributes, Attribute{Key: key, Text: f.Value, Type: f.Type})
	}
}

func enumName(names []string, n int32) string {
	if n >= 0 && int(n) < len(names) {
		return names[n]
	}
	return strconv.FormatInt(int64(n), 10)
}

func parseEnum(names []string, s string) (int32, error) {
	for i, name := range names {
		if strings.EqualFold(name, s) {
			return int32(i), nil
		}
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is none of %s", s, strings.Join(names, ", "))
	}
	return int32(n), nil
}

func parseCount(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}

func decodeHex(dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return fmt.Errorf("%q does not have %d hexadecimal digits", s, 2*len(dst))
	}
	_, err := hex.Decode(dst, []byte(s))
	return err
}
