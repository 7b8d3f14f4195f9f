package traces

import (
	"encoding/base64"
	"fmt"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/yagura-dev/yagura/query/columnar"
)

// FromOTLP converts a span with its resource and scope. Nothing of the arguments
// is retained but immutable strings.
func FromOTLP(res pcommon.Resource, scope pcommon.InstrumentationScope, in ptrace.Span) Span {
	s := Span{
		TraceID:       TraceID(in.TraceID()),
		SpanID:        SpanID(in.SpanID()),
		ParentSpanID:  SpanID(in.ParentSpanID()),
		TraceState:    in.TraceState().AsRaw(),
		Flags:         in.Flags(),
		Name:          in.Name(),
		Kind:          Kind(in.Kind()),
		Start:         int64(in.StartTimestamp()),
		End:           int64(in.EndTimestamp()),
		StatusCode:    StatusCode(in.Status().Code()),
		StatusMessage: in.Status().Message(),

		Attributes:         attributesFromMap(in.Attributes()),
		ResourceAttributes: attributesFromMap(res.Attributes()),
		ScopeName:          scope.Name(),
		ScopeVersion:       scope.Version(),
		ScopeAttributes:    attributesFromMap(scope.Attributes()),

		DroppedAttributes:         in.DroppedAttributesCount(),
		DroppedEvents:             in.DroppedEventsCount(),
		DroppedLinks:              in.DroppedLinksCount(),
		ResourceDroppedAttributes: res.DroppedAttributesCount(),
		ScopeDroppedAttributes:    scope.DroppedAttributesCount(),
	}
	for _, e := range in.Events().All() {
		s.Events = append(s.Events, Event{
			Time:              int64(e.Timestamp()),
			Name:              e.Name(),
			Attributes:        attributesFromMap(e.Attributes()),
			DroppedAttributes: e.DroppedAttributesCount(),
		})
	}
	for _, l := range in.Links().All() {
		s.Links = append(s.Links, Link{
			TraceID:           TraceID(l.TraceID()),
			SpanID:            SpanID(l.SpanID()),
			TraceState:        l.TraceState().AsRaw(),
			Flags:             l.Flags(),
			Attributes:        attributesFromMap(l.Attributes()),
			DroppedAttributes: l.DroppedAttributesCount(),
		})
	}
	return s
}

// ToOTLP writes the span into an empty span, resource and scope. Of attributes
// that carry the same key the last one wins, since OTLP has no repeated keys.
func (s Span) ToOTLP(res pcommon.Resource, scope pcommon.InstrumentationScope, out ptrace.Span) error {
	out.SetTraceID(pcommon.TraceID(s.TraceID))
	out.SetSpanID(pcommon.SpanID(s.SpanID))
	out.SetParentSpanID(pcommon.SpanID(s.ParentSpanID))
	out.TraceState().FromRaw(s.TraceState)
	out.SetFlags(s.Flags)
	out.SetName(s.Name)
	out.SetKind(ptrace.SpanKind(s.Kind))
	out.SetStartTimestamp(pcommon.Timestamp(s.Start))
	out.SetEndTimestamp(pcommon.Timestamp(s.End))
	out.Status().SetCode(ptrace.StatusCode(s.StatusCode))
	out.Status().SetMessage(s.StatusMessage)
	out.SetDroppedAttributesCount(s.DroppedAttributes)
	out.SetDroppedEventsCount(s.DroppedEvents)
	out.SetDroppedLinksCount(s.DroppedLinks)
	res.SetDroppedAttributesCount(s.ResourceDroppedAttributes)
	scope.SetName(s.ScopeName)
	scope.SetVersion(s.ScopeVersion)
	scope.SetDroppedAttributesCount(s.ScopeDroppedAttributes)

	if err := attributesToMap(s.Attributes, out.Attributes()); err != nil {
		return err
	}
	if err := attributesToMap(s.ResourceAttributes, res.Attributes()); err != nil {
		return err
	}
	if err := attributesToMap(s.ScopeAttributes, scope.Attributes()); err != nil {
		return err
	}
	for _, e := range s.Events {
		oe := out.Events().AppendEmpty()
		oe.SetTimestamp(pcommon.Timestamp(e.Time))
		oe.SetName(e.Name)
		oe.SetDroppedAttributesCount(e.DroppedAttributes)
		if err := attributesToMap(e.Attributes, oe.Attributes()); err != nil {
			return err
		}
	}
	for _, l := range s.Links {
		ol := out.Links().AppendEmpty()
		ol.SetTraceID(pcommon.TraceID(l.TraceID))
		ol.SetSpanID(pcommon.SpanID(l.SpanID))
		ol.TraceState().FromRaw(l.TraceState)
		ol.SetFlags(l.Flags)
		ol.SetDroppedAttributesCount(l.DroppedAttributes)
		if err := attributesToMap(l.Attributes, ol.Attributes()); err != nil {
			return err
		}
	}
	return nil
}

func attributesFromMap(m pcommon.Map) []Attribute {
	if m.Len() == 0 {
		return nil
	}
	as := make([]Attribute, 0, m.Len())
	for k, v := range m.All() {
		as = append(as, attributeFromValue(k, v))
	}
	return as
}

func attributeFromValue(key string, v pcommon.Value) Attribute {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return Attribute{Key: key, Text: v.Str()}
	case pcommon.ValueTypeInt:
		return Attribute{Key: key, Text: strconv.FormatInt(v.Int(), 10), Type: columnar.Int}
	case pcommon.ValueTypeDouble:
		return Attribute{Key: key, Text: formatFloat(v.Double()), Type: columnar.Float}
	case pcommon.ValueTypeBool:
		return Attribute{Key: key, Text: strconv.FormatBool(v.Bool()), Type: columnar.Bool}
	case pcommon.ValueTypeBytes:
		return Attribute{Key: key, Text: base64.StdEncoding.EncodeToString(v.Bytes().AsRaw()), Type: columnar.Bytes}
	default:
		return Attribute{Key: key, Text: string(appendAnyValue(nil, v)), Type: columnar.JSON}
	}
}

// attributesToMap keeps the last value of a key that stands more than once: OTLP
// forbids repeated keys, and pdata's map cannot take them.
func attributesToMap(as []Attribute, m pcommon.Map) error {
	if len(as) == 0 {
		return nil
	}
	m.EnsureCapacity(len(as))
	for _, a := range as {
		if err := a.setValue(m.PutEmpty(a.Key)); err != nil {
			return fmt.Errorf("attribute %s: %w", a.Key, err)
		}
	}
	return nil
}

func (a Attribute) setValue(v pcommon.Value) error {
	switch a.Type {
	case columnar.String:
		v.SetStr(a.Text)
	case columnar.Int:
		n, err := strconv.ParseInt(a.Text, 10, 64)
		if err != nil {
			return err
		}
		v.SetInt(n)
	case columnar.Float:
		n, err := strconv.ParseFloat(a.Text, 64)
		if err != nil {
			return err
		}
		v.SetDouble(n)
	case columnar.Bool:
		b, err := strconv.ParseBool(a.Text)
		if err != nil {
			return err
		}
		v.SetBool(b)
	case columnar.Bytes:
		b, err := base64.StdEncoding.DecodeString(a.Text)
		if err != nil {
			return err
		}
		v.SetEmptyBytes().FromRaw(b)
	case columnar.JSON:
		return parseAnyValue(a.Text, v)
	default:
		return fmt.Errorf("unknown value type %d", a.Type)
	}
	return nil
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
