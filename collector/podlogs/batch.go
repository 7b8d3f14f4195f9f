package podlogs

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/yagura-dev/yagura/collector/queue"
)

const scopeName = "github.com/yagura-dev/yagura/collector/podlogs"

// batch collects lines of any number of files for one record of the queue.
type batch struct {
	logs  plog.Logs
	files map[*file]plog.ResourceLogs
	moved map[*file]struct{} // files whose position changed
	lines int
	bytes int

	out bytes.Buffer
	zip *gzip.Writer
}

func newBatch() (*batch, error) {
	b := &batch{}
	zip, err := gzip.NewWriterLevel(&b.out, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("make gzip writer: %w", err)
	}
	b.zip = zip
	b.reset()
	return b, nil
}

func (b *batch) reset() {
	b.logs = plog.NewLogs()
	b.files = map[*file]plog.ResourceLogs{}
	b.moved = map[*file]struct{}{}
	b.lines, b.bytes = 0, 0
}

// line is one whole line, ready to be sent.
type line struct {
	time, observed int64 // Unix nanoseconds
	stream         string
	body           []byte
}

// add appends a line of f. It returns whether the line had to be made valid UTF-8.
func (b *batch) add(f *file, l line) (repaired bool) {
	logs, ok := b.files[f]
	if !ok {
		logs = b.logs.ResourceLogs().AppendEmpty()
		logs.ScopeLogs().AppendEmpty().Scope().SetName(scopeName)
		b.files[f] = logs
	}
	record := logs.ScopeLogs().At(0).LogRecords().AppendEmpty()
	record.SetTimestamp(pcommon.Timestamp(l.time))
	record.SetObservedTimestamp(pcommon.Timestamp(l.observed))
	body := string(l.body)
	if !utf8.ValidString(body) {
		repaired = true
		body = strings.ToValidUTF8(body, "\uFFFD")
	}
	record.Body().SetStr(body)
	if l.stream != "" {
		record.Attributes().PutStr("log.iostream", l.stream)
	}
	const overhead = 64 // of a record in the encoded request, roughly
	b.lines++
	b.bytes += len(body) + overhead
	return repaired
}

// encode returns the request, compressed, in memory that the next encode uses
// again. Resources are asked for only now, when most is known of them.
func (b *batch) encode(of func(*file) resource) ([]byte, error) {
	for f, r := range b.files {
		of(f).attributes(r.Resource().Attributes())
	}
	proto, err := plogotlp.NewExportRequestFromLogs(b.logs).MarshalProto()
	if err != nil {
		return nil, fmt.Errorf("marshal log request: %w", err)
	}
	b.out.Reset()
	b.zip.Reset(&b.out)
	if _, err := b.zip.Write(proto); err != nil {
		return nil, fmt.Errorf("compress log request: %w", err)
	}
	if err := b.zip.Close(); err != nil {
		return nil, fmt.Errorf("compress log request: %w", err)
	}
	return b.out.Bytes(), nil
}

// positions are those of the files that the batch has lines of, or has read over.
func (b *batch) positions() queue.Positions {
	positions := make(queue.Positions, len(b.moved))
	for f := range b.moved {
		positions[f.source()] = f.position().encode()
	}
	return positions
}
