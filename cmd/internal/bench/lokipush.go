package bench

import (
	"fmt"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/snappy"
)

// lokiBatchBytes is how many bytes of lines make one push.
const lokiBatchBytes = 1 << 20

// lokiEncoder gathers lines into requests of Loki's push API: protobuf, packed with
// snappy's block format. Within a request, streams come in the order of their first
// line.
type lokiEncoder struct {
	streams []stream
	index   map[int]int
	req     push.PushRequest
	lines   int
	bytes   int
	emit    func(body []byte, items int) error
}

func (e *lokiEncoder) add(l logLine) error {
	i, ok := e.index[l.stream]
	if !ok {
		i = len(e.req.Streams)
		if e.index == nil {
			e.index = map[int]int{}
		}
		e.index[l.stream] = i
		e.req.Streams = append(e.req.Streams, push.Stream{Labels: e.streams[l.stream].selector()})
	}
	entry := push.Entry{Timestamp: time.Unix(0, l.ts), Line: l.line}
	if l.trace != "" {
		entry.StructuredMetadata = append(entry.StructuredMetadata, push.LabelAdapter{Name: "trace_id", Value: l.trace})
	}
	if l.span != "" {
		entry.StructuredMetadata = append(entry.StructuredMetadata, push.LabelAdapter{Name: "span_id", Value: l.span})
	}
	s := &e.req.Streams[i]
	s.Entries = append(s.Entries, entry)
	e.lines++
	if e.bytes += len(l.line); e.bytes >= lokiBatchBytes {
		return e.flush()
	}
	return nil
}

func (e *lokiEncoder) flush() error {
	if e.lines == 0 {
		return nil
	}
	b, err := e.req.Marshal()
	if err != nil {
		return fmt.Errorf("encode a push request: %w", err)
	}
	if err := e.emit(snappy.Encode(nil, b), e.lines); err != nil {
		return err
	}
	clear(e.index)
	e.req, e.lines, e.bytes = push.PushRequest{}, 0, 0
	return nil
}
