package otlp

import (
	"errors"
	"fmt"

	logsv1 "go.opentelemetry.io/proto/otlp/logs/v1"
	metricsv1 "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// message is a protobuf message type as far as the wire shows it.
type message struct {
	name   string
	fields []*field // by number; nil for those that are unknown
	// deprecated is the field deprecatedScopes, which is far beyond the others.
	deprecated *field
}

// field returns the field of a number; nil when it is unknown.
func (m *message) field(number protowire.Number) *field {
	if int(number) < len(m.fields) {
		return m.fields[number]
	}
	if number == deprecatedScopes {
		return m.deprecated
	}
	return nil
}

// field is a field of a message type.
type field struct {
	name    string
	wire    protowire.Type
	packed  protowire.Type // of the elements, when the field may come packed
	canPack bool
	sub     *message
	sizes   []int // allowed lengths of an ID
}

// maxDepth bounds how deeply values may nest. Decoders recurse, and a few
// megabytes of opening brackets would exhaust their stack; 100 is protobuf's own
// limit in most languages.
const maxDepth = 100

// Lengths of the IDs; empty means that there is none.
var (
	traceIDSizes = []int{0, 16}
	spanIDSizes  = []int{0, 8}
)

// fieldScopes is the field of Resource* messages that holds their scopes.
const fieldScopes = 2

// deprecatedScopes is the field that held scopes before OTLP 0.15. Receivers
// still read it, so it is checked like the one that replaced it.
const deprecatedScopes protowire.Number = 1000

// resourceSchema returns the type of ResourceLogs, ResourceSpans or
// ResourceMetrics, taken from the published definitions.
func resourceSchema(s Signal) *message {
	var descriptor protoreflect.MessageDescriptor
	switch s {
	case Logs:
		descriptor = (&logsv1.ResourceLogs{}).ProtoReflect().Descriptor()
	case Traces:
		descriptor = (&tracev1.ResourceSpans{}).ProtoReflect().Descriptor()
	default:
		descriptor = (&metricsv1.ResourceMetrics{}).ProtoReflect().Descriptor()
	}
	root := newMessage(descriptor, make(map[protoreflect.FullName]*message))
	scopes := *root.fields[fieldScopes]
	scopes.name = "deprecated_" + scopes.name
	root.deprecated = &scopes
	return root
}

func newMessage(descriptor protoreflect.MessageDescriptor, known map[protoreflect.FullName]*message) *message {
	if m := known[descriptor.FullName()]; m != nil {
		return m // AnyValue holds itself
	}
	m := &message{name: string(descriptor.Name())}
	known[descriptor.FullName()] = m
	for i := range descriptor.Fields().Len() {
		d := descriptor.Fields().Get(i)
		f := &field{name: string(d.Name()), wire: wireType(d.Kind())}
		if d.Kind() == protoreflect.MessageKind {
			f.sub = newMessage(d.Message(), known)
		}
		if d.IsList() && f.wire != protowire.BytesType {
			f.canPack, f.packed = true, f.wire
		}
		switch f.name {
		case "trace_id":
			f.sizes = traceIDSizes
		case "span_id", "parent_span_id":
			f.sizes = spanIDSizes
		}
		for len(m.fields) <= int(d.Number()) {
			m.fields = append(m.fields, nil)
		}
		m.fields[d.Number()] = f
	}
	return m
}

func wireType(kind protoreflect.Kind) protowire.Type {
	switch kind {
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	}
	return protowire.VarintType
}

var (
	errDepth    = fmt.Errorf("values nest deeper than %d levels", maxDepth)
	errTag      = errors.New("is cut off or has an invalid field tag")
	errCut      = errors.New("is cut off")
	errElements = errors.New("packed elements are cut off")
)

// check says where body is not what the message type says. Unknown fields are
// skipped: they may be a newer version's.
func (m *message) check(body []byte, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	for len(body) > 0 {
		number, wire, n := protowire.ConsumeTag(body)
		if n < 0 {
			return fmt.Errorf("%s %w", m.name, errTag)
		}
		body = body[n:]
		f := m.field(number)
		if f == nil {
			n = protowire.ConsumeFieldValue(number, wire, body)
			if n < 0 {
				return fmt.Errorf("%s: unknown field %d %w", m.name, number, errCut)
			}
			body = body[n:]
			continue
		}
		n, err := f.check(wire, number, body, depth)
		if err != nil {
			return fmt.Errorf("%s.%w", m.name, err)
		}
		body = body[n:]
	}
	return nil
}

// check checks the value of a field at the start of body and returns its length.
func (f *field) check(wire protowire.Type, number protowire.Number, body []byte, depth int) (int, error) {
	if wire == protowire.BytesType && f.canPack {
		value, n := protowire.ConsumeBytes(body)
		if n < 0 {
			return 0, fmt.Errorf("%s %w", f.name, errCut)
		}
		for len(value) > 0 {
			m := protowire.ConsumeFieldValue(number, f.packed, value)
			if m < 0 {
				return 0, fmt.Errorf("%s: %w", f.name, errElements)
			}
			value = value[m:]
		}
		return n, nil
	}
	if wire != f.wire {
		return 0, fmt.Errorf("%s has wire type %d instead of %d", f.name, wire, f.wire)
	}
	if wire != protowire.BytesType {
		n := protowire.ConsumeFieldValue(number, wire, body)
		if n < 0 {
			return 0, fmt.Errorf("%s %w", f.name, errCut)
		}
		return n, nil
	}
	value, n := protowire.ConsumeBytes(body)
	if n < 0 {
		return 0, fmt.Errorf("%s %w", f.name, errCut)
	}
	if f.sizes != nil && len(value) != f.sizes[0] && len(value) != f.sizes[1] {
		return 0, fmt.Errorf("%s has %d bytes instead of %d", f.name, len(value), f.sizes[1])
	}
	if f.sub != nil {
		if err := f.sub.check(value, depth+1); err != nil {
			return 0, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return n, nil
}
