package traces

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Events, links, arrays and key-value lists are stored as JSON in OTLP's JSON
// encoding of the protobuf messages: 64-bit integers and times are decimal
// strings, bytes are base64, NaN and the infinities are strings, and each value
// names its type, so that reading it back loses nothing:
//
//	events: [{"timeUnixNano":"12","name":"retry","attributes":[{"key":"n","value":{"intValue":"2"}}],
//	          "droppedAttributesCount":1}]
//	links:  [{"traceId":"<hex>","spanId":"<hex>","traceState":"a=b","flags":1,"attributes":[…]}]
//	array:  {"arrayValue":{"values":[{"stringValue":"a"},{"doubleValue":1.5}]}}
//	list:   {"kvlistValue":{"values":[{"key":"k","value":{"boolValue":true}}]}}
//	unset:  {}
//
// Strings that are not UTF-8 are invalid in OTLP; within this JSON each bad byte
// becomes U+FFFD.

func appendEvents(b []byte, es []Event) []byte {
	b = append(b, '[')
	for i, e := range es {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"timeUnixNano":"`...)
		b = strconv.AppendUint(b, uint64(e.Time), 10)
		b = append(b, '"')
		if e.Name != "" {
			b = append(b, `,"name":`...)
			b = appendJSONString(b, e.Name)
		}
		b = appendAttributeList(b, e.Attributes)
		b = appendCount(b, "droppedAttributesCount", e.DroppedAttributes)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendLinks(b []byte, ls []Link) []byte {
	b = append(b, '[')
	for i, l := range ls {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"traceId":"`...)
		b = append(b, l.TraceID.String()...)
		b = append(b, `","spanId":"`...)
		b = append(b, l.SpanID.String()...)
		b = append(b, '"')
		if l.TraceState != "" {
			b = append(b, `,"traceState":`...)
			b = appendJSONString(b, l.TraceState)
		}
		b = appendCount(b, "flags", l.Flags)
		b = appendAttributeList(b, l.Attributes)
		b = appendCount(b, "droppedAttributesCount", l.DroppedAttributes)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendCount(b []byte, name string, n uint32) []byte {
	if n == 0 {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return strconv.AppendUint(b, uint64(n), 10)
}

func appendAttributeList(b []byte, as []Attribute) []byte {
	if len(as) == 0 {
		return b
	}
	b = append(b, `,"attributes":[`...)
	for i, a := range as {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"key":`...)
		b = appendJSONString(b, a.Key)
		b = append(b, `,"value":`...)
		b = appendAttributeValue(b, a)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendAttributeValue(b []byte, a Attribute) []byte {
	switch a.Type {
	case columnar.Int:
		b = append(b, `{"intValue":"`...)
		b = append(b, a.Text...)
		return append(b, `"}`...)
	case columnar.Float:
		b = append(b, `{"doubleValue":"`...)
		b = append(b, a.Text...)
		return append(b, `"}`...)
	case columnar.Bool:
		b = append(b, `{"boolValue":`...)
		b = append(b, a.Text...)
		return append(b, '}')
	case columnar.Bytes:
		b = append(b, `{"bytesValue":"`...)
		b = append(b, a.Text...)
		return append(b, `"}`...)
	case columnar.JSON:
		return append(b, a.Text...)
	default:
		b = append(b, `{"stringValue":`...)
		b = appendJSONString(b, a.Text)
		return append(b, '}')
	}
}

// appendAnyValue writes a value of any type; it recurses as deep as the value does.
func appendAnyValue(b []byte, v pcommon.Value) []byte {
	switch v.Type() {
	case pcommon.ValueTypeEmpty:
		return append(b, "{}"...)
	case pcommon.ValueTypeSlice:
		b = append(b, `{"arrayValue":{"values":[`...)
		for i, e := range v.Slice().All() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendAnyValue(b, e)
		}
		return append(b, "]}}"...)
	case pcommon.ValueTypeMap:
		b = append(b, `{"kvlistValue":{"values":[`...)
		first := true
		for k, e := range v.Map().All() {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = append(b, `{"key":`...)
			b = appendJSONString(b, k)
			b = append(b, `,"value":`...)
			b = appendAnyValue(b, e)
			b = append(b, '}')
		}
		return append(b, "]}}"...)
	default:
		return appendAttributeValue(b, attributeFromValue("", v))
	}
}

const hexDigits = "0123456789abcdef"

// appendJSONString differs from encoding/json in leaving <, > and & alone.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, s[start:i]...)
				b = append(b, "\uFFFD"...)
				start = i + n
			}
			i += n
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

type keyValueJSON struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// scalarJSON is a value of one of the plain types; arrays, lists and unset values
// leave it empty.
type scalarJSON struct {
	String *string     `json:"stringValue"`
	Int    *jsonNumber `json:"intValue"`
	Double *jsonNumber `json:"doubleValue"`
	Bool   *bool       `json:"boolValue"`
	Bytes  *[]byte     `json:"bytesValue"`
}

// anyValueJSON is a whole value. It is decoded in one pass over the text: going
// down level by level would be quadratic in the depth.
type anyValueJSON struct {
	scalarJSON
	Array *struct {
		Values []anyValueJSON `json:"values"`
	} `json:"arrayValue"`
	KVList *struct {
		Values []struct {
			Key   string       `json:"key"`
			Value anyValueJSON `json:"value"`
		} `json:"values"`
	} `json:"kvlistValue"`
}

// jsonNumber is a number that may stand in quotes, as 64-bit integers do in the
// JSON encoding of protobuf.
type jsonNumber string

func (n *jsonNumber) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*n = jsonNumber(s)
		return nil
	}
	*n = jsonNumber(b)
	return nil
}

type eventJSON struct {
	Time       jsonNumber     `json:"timeUnixNano"`
	Name       string         `json:"name"`
	Attributes []keyValueJSON `json:"attributes"`
	Dropped    uint32         `json:"droppedAttributesCount"`
}

type linkJSON struct {
	TraceID    string         `json:"traceId"`
	SpanID     string         `json:"spanId"`
	TraceState string         `json:"traceState"`
	Flags      uint32         `json:"flags"`
	Attributes []keyValueJSON `json:"attributes"`
	Dropped    uint32         `json:"droppedAttributesCount"`
}

func parseEvents(text string) ([]Event, error) {
	var in []eventJSON
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return nil, err
	}
	out := make([]Event, len(in))
	for i, e := range in {
		t, err := strconv.ParseUint(string(e.Time), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("event %d: timeUnixNano: %w", i, err)
		}
		as, err := parseAttributeList(e.Attributes)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		out[i] = Event{Time: int64(t), Name: e.Name, Attributes: as, DroppedAttributes: e.Dropped}
	}
	return out, nil
}

func parseLinks(text string) ([]Link, error) {
	var in []linkJSON
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return nil, err
	}
	out := make([]Link, len(in))
	for i, l := range in {
		as, err := parseAttributeList(l.Attributes)
		if err != nil {
			return nil, fmt.Errorf("link %d: %w", i, err)
		}
		out[i] = Link{TraceState: l.TraceState, Flags: l.Flags, Attributes: as, DroppedAttributes: l.Dropped}
		if err := decodeHex(out[i].TraceID[:], l.TraceID); err != nil {
			return nil, fmt.Errorf("link %d: traceId: %w", i, err)
		}
		if err := decodeHex(out[i].SpanID[:], l.SpanID); err != nil {
			return nil, fmt.Errorf("link %d: spanId: %w", i, err)
		}
	}
	return out, nil
}

func parseAttributeList(in []keyValueJSON) ([]Attribute, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out := make([]Attribute, len(in))
	for i, kv := range in {
		a, err := parseAttribute(kv)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", kv.Key, err)
		}
		out[i] = a
	}
	return out, nil
}

func parseAttribute(kv keyValueJSON) (Attribute, error) {
	var v scalarJSON
	if err := json.Unmarshal(kv.Value, &v); err != nil {
		return Attribute{}, err
	}
	a, ok, err := v.attribute()
	if !ok {
		a = Attribute{Text: string(kv.Value), Type: columnar.JSON}
	}
	a.Key = kv.Key
	return a, err
}

// attribute reports false when the value is of none of the plain types.
func (v scalarJSON) attribute() (a Attribute, ok bool, err error) {
	switch {
	case v.String != nil:
		return Attribute{Text: *v.String}, true, nil
	case v.Int != nil:
		n, err := strconv.ParseInt(string(*v.Int), 10, 64)
		return Attribute{Text: strconv.FormatInt(n, 10), Type: columnar.Int}, true, err
	case v.Double != nil:
		f, err := parseDouble(*v.Double)
		return Attribute{Text: formatFloat(f), Type: columnar.Float}, true, err
	case v.Bool != nil:
		return Attribute{Text: strconv.FormatBool(*v.Bool), Type: columnar.Bool}, true, nil
	case v.Bytes != nil:
		return Attribute{Text: base64.StdEncoding.EncodeToString(*v.Bytes), Type: columnar.Bytes}, true, nil
	}
	return Attribute{}, false, nil
}

func parseDouble(n jsonNumber) (float64, error) {
	switch n {
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	return strconv.ParseFloat(string(n), 64)
}

func parseAnyValue(text string, out pcommon.Value) error {
	var v anyValueJSON
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	return v.setValue(out)
}

func (v anyValueJSON) setValue(out pcommon.Value) error {
	switch {
	case v.Array != nil:
		s := out.SetEmptySlice()
		s.EnsureCapacity(len(v.Array.Values))
		for _, e := range v.Array.Values {
			if err := e.setValue(s.AppendEmpty()); err != nil {
				return err
			}
		}
		return nil
	case v.KVList != nil:
		m := out.SetEmptyMap()
		for _, kv := range v.KVList.Values {
			if err := kv.Value.setValue(m.PutEmpty(kv.Key)); err != nil {
				return err
			}
		}
		return nil
	}
	a, ok, err := v.attribute()
	if err != nil || !ok {
		return err // an unset value is what out already is
	}
	return a.setValue(out)
}

// jsonText is a stored array, list or unset value as people write it: plain JSON
// without the types.
func jsonText(text string) string {
	v := pcommon.NewValueEmpty()
	if err := parseAnyValue(text, v); err != nil {
		return text
	}
	return v.AsString()
}
