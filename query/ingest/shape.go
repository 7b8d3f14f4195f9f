package ingest

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// This file looks at a request's bytes before they are decoded. The decoders
// build the whole message in memory and recurse into it, so a small hostile body
// could take all memory (a record without content is two bytes on the wire and
// hundreds in memory) or overflow the stack (which ends the process and cannot be
// recovered from).

// maxNesting is the deepest that arrays and maps within an attribute may nest.
const maxNesting = 64

var errNesting = errors.New("an attribute or body nests arrays and maps too deeply")

// message says which fields of a protobuf message take memory of their own when
// decoded, and what is in them.
type message map[protowire.Number]*message

// The messages of the protocols. A field's number is its specification's.
var (
	leaf = message{} // no fields to look at

	// OTLP
	anyValue  = message{}
	keyValue  = message{2: &anyValue}
	arrayList = message{1: &anyValue}
	kvList    = message{1: &keyValue}

	resource = message{1: &keyValue}
	scope    = message{3: &keyValue}

	logRecord = message{5: &anyValue, 6: &keyValue}

	spanEvent = message{3: &keyValue}
	spanLink  = message{4: &keyValue}
	span      = message{9: &keyValue, 11: &spanEvent, 13: &spanLink}

	exemplarMsg    = message{7: &keyValue}
	numberPoint    = message{7: &keyValue, 5: &exemplarMsg}
	histogramPoint = message{9: &keyValue, 8: &exemplarMsg}
	exponential    = message{1: &keyValue, 11: &exemplarMsg}
	summaryPoint   = message{7: &keyValue}
	metric         = message{
		5: {1: &numberPoint}, 7: {1: &numberPoint},
		9: {1: &histogramPoint}, 10: {1: &exponential}, 11: {1: &summaryPoint},
		12: &keyValue,
	}

	logsRequest    = exportRequest(&logRecord)
	tracesRequest  = exportRequest(&span)
	metricsRequest = exportRequest(&metric)

	// Remote write: time series with labels, samples, exemplars and histograms.
	writeRequestV1 = message{1: {1: &leaf, 2: &leaf, 3: {1: &leaf}, 4: &leaf}, 3: &leaf}
	writeRequestV2 = message{4: &leaf, 5: {2: &leaf, 3: &leaf, 4: &leaf}}
)

func exportRequest(item *message) *message {
	return &message{1: {1: &resource, 2: {1: &scope, 2: item}}}
}

// measure counts the elements of a message: everything that becomes an object of
// its own. It refuses OTLP values that nest too deeply. Anything else that is
// wrong with the bytes is left for the decoder to find.
func measure(b []byte, root *message) (elements int, err error) {
	type frame struct {
		msg  *message
		rest []byte
		deep int // OTLP values above
	}
	stack := []frame{{msg: root, rest: b}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if len(top.rest) == 0 {
			stack = stack[:len(stack)-1]
			continue
		}
		num, typ, n := protowire.ConsumeTag(top.rest)
		if n < 0 {
			return elements, nil
		}
		if typ != protowire.BytesType {
			m := protowire.ConsumeFieldValue(num, typ, top.rest[n:])
			if m < 0 {
				return elements, nil
			}
			top.rest = top.rest[n+m:]
			continue
		}
		value, m := protowire.ConsumeBytes(top.rest[n:])
		if m < 0 {
			return elements, nil
		}
		top.rest = top.rest[n+m:]
		deep := top.deep
		next := (*top.msg)[num]
		if top.msg == &anyValue {
			// Not in the table, which cannot refer to itself.
			switch num {
			case 5:
				next, deep = &arrayList, deep+1
			case 6:
				next, deep = &kvList, deep+1
			}
		}
		if deep > maxNesting {
			return elements, errNesting
		}
		if next == nil {
			continue
		}
		elements++
		if next != &leaf && len(value) > 0 {
			stack = append(stack, frame{msg: next, rest: value, deep: deep})
		}
	}
	return elements, nil
}

// measureJSON counts the objects and arrays of a JSON text.
func measureJSON(b []byte) (elements int) {
	inString := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == '{' || c == '['):
			elements++
		}
	}
	return elements
}

// elementBytes is about what one element takes in memory, with the rows that are
// made of it.
const elementBytes = 256

// fit refuses a request with too many elements, and makes the lease cover them.
func (g *Ingester) fit(elements int, l *lease) error {
	if elements > g.cfg.MaxElements {
		return tooManyElements(elements, g.cfg.MaxElements)
	}
	return l.cover(l.held + int64(elements)*elementBytes)
}

func tooManyElements(elements, limit int) error {
	return tooLarge("request has %d elements (records, attributes, points, samples, labels), maxElements is %d", elements, limit)
}

// fitProto is fit for a protobuf message.
func (g *Ingester) fitProto(b []byte, root *message, l *lease) error {
	elements, err := measure(b, root)
	if err != nil {
		return undecodable(err)
	}
	return g.fit(elements, l)
}

// fitJSON is fit for a JSON text, in which an attribute and its value are two
// objects.
func (g *Ingester) fitJSON(b []byte, l *lease) error {
	return g.fit(measureJSON(b)/2, l)
}
