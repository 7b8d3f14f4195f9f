package ingest

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxNesting is the deepest that arrays and maps within an attribute may nest.
const maxNesting = 64

var errNesting = errors.New("an attribute or body nests arrays and maps too deeply")

// message says which fields of a protobuf message hold messages in which an OTLP
// AnyValue can be found.
type message map[protowire.Number]*message

// The messages of OTLP 1.x that lead to an AnyValue. A field's number is the
// specification's.
var (
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
)

func exportRequest(item *message) *message {
	return &message{1: {1: &resource, 2: {1: &scope, 2: item}}}
}

// checkNesting refuses a request whose AnyValues nest so deeply that the decoder,
// which recurses once per level, would overflow its stack: that ends the process
// and cannot be recovered from. A few megabytes suffice for it. Anything else that
// is wrong with the bytes is left for the decoder to find.
func checkNesting(b []byte, root *message) error {
	type frame struct {
		msg  *message
		rest []byte
		deep int // AnyValues above
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
			return nil
		}
		if typ != protowire.BytesType {
			m := protowire.ConsumeFieldValue(num, typ, top.rest[n:])
			if m < 0 {
				return nil
			}
			top.rest = top.rest[n+m:]
			continue
		}
		value, m := protowire.ConsumeBytes(top.rest[n:])
		if m < 0 {
			return nil
		}
		top.rest = top.rest[n+m:]
		deep := top.deep
		var next *message
		if top.msg == &anyValue {
			switch num {
			case 5:
				next, deep = &arrayList, deep+1
			case 6:
				next, deep = &kvList, deep+1
			}
		} else {
			next = (*top.msg)[num]
		}
		if deep > maxNesting {
			return errNesting
		}
		if next != nil && len(value) > 0 {
			stack = append(stack, frame{msg: next, rest: value, deep: deep})
		}
	}
	return nil
}
