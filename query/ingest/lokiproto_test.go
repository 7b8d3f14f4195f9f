package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/snappy"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
)

// collected keeps a copy of every row in order.
type collected struct{ rows []storedRow }

func (c *collected) Append(_ context.Context, b columnar.Batch) (bool, error) {
	for _, s := range b.Streams {
		for _, r := range s.Rows {
			row := storedRow{labels: s.Labels.String()}
			row.Timestamp, row.Line = r.Timestamp, strings.Clone(r.Line)
			row.Fields = append([]columnar.Field(nil), r.Fields...)
			c.rows = append(c.rows, row)
		}
	}
	return false, nil
}

// TestLokiProtoIsWhatTheGeneratedDecoderReads pushes random messages and compares
// the rows with the messages as Loki's own decoder reads them.
func TestLokiProtoIsWhatTheGeneratedDecoderReads(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		b := make([]byte, rnd.IntN(n))
		for i := range b {
			b[i] = byte(' ' + rnd.IntN(90))
		}
		return string(b)
	}
	c := &collected{}
	r := newRig(t, func(o *ingest.Options) { o.Rows = c })
	for range 50 {
		var req push.PushRequest
		for range rnd.IntN(5) {
			s := push.Stream{Labels: fmt.Sprintf(`{app="%d", q=%q}`, rnd.IntN(3), text(8)), Hash: rnd.Uint64()}
			for range rnd.IntN(30) {
				e := push.Entry{Timestamp: time.Unix(rnd.Int64N(1e9), rnd.Int64N(1e9)), Line: text(300)}
				for range rnd.IntN(4) {
					e.StructuredMetadata = append(e.StructuredMetadata, push.LabelAdapter{Name: fmt.Sprint("n", rnd.IntN(9)), Value: text(200)})
					e.Parsed = append(e.Parsed, push.LabelAdapter{Name: "parsed", Value: "is not stored"})
				}
				s.Entries = append(s.Entries, e)
			}
			req.Streams = append(req.Streams, s)
		}
		body, err := req.Marshal()
		require.NoError(t, err)
		var want push.PushRequest
		require.NoError(t, want.Unmarshal(body))
		byStream := map[string][]storedRow{}
		for _, s := range want.Streams {
			for _, e := range s.Entries {
				row := storedRow{}
				row.Timestamp, row.Line = e.Timestamp.UnixNano(), e.Line
				for _, m := range e.StructuredMetadata {
					row.Fields = append(row.Fields, columnar.Field{Name: m.Name, Value: m.Value})
				}
				byStream[s.Labels] = append(byStream[s.Labels], row)
			}
		}
		c.rows = nil
		a := r.post(pushPath, snappy.Encode(nil, body))
		require.Equal(t, http.StatusNoContent, a.code, "%s", a.body)
		got := map[string][]storedRow{}
		for _, row := range c.rows {
			key := row.labels
			row.labels = ""
			got[key] = append(got[key], row)
		}
		require.Equal(t, byStream, got)
	}
}

func TestLokiProtoMalformed(t *testing.T) {
	stream := func(entry string) []byte {
		inner := "\x0a\x07{a=\"b\"}" + "\x12" + string(rune(len(entry))) + entry
		return append([]byte{0x0a, byte(len(inner))}, inner...)
	}
	for name, c := range map[string]struct {
		body []byte
		code int
		text string
	}{
		"empty":                      {nil, 204, ""},
		"unknown fields":             {[]byte("\x12\x02xy\x18\x05\x21\x01\x02\x03\x04\x05\x06\x07\x08\x2d\x01\x02\x03\x04"), 204, ""},
		"a length that lies":         {[]byte{0x0a, 0x7f, 0}, 400, "cut off"},
		"a huge length":              {[]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 400, "cut off"},
		"a number without end":       {[]byte("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), 400, "cut off"},
		"field zero":                 {[]byte("\x02\x00"), 400, "cut off"},
		"a group":                    {[]byte("\x0b"), 400, "cut off"},
		"an empty stream":            {[]byte("\x0a\x00"), 204, ""},
		"a timestamp cut off":        {stream("\x0a\x01\x08"), 400, "streams[0]"},
		"nanoseconds beyond":         {stream("\x0a\x06\x10\x80\x94\xeb\xdc\x03"), 400, "1000000000 nanoseconds"},
		"negative nanoseconds":       {stream("\x0a\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 400, "-1 nanoseconds"},
		"an entry without timestamp": {stream("\x12\x01x"), 400, "out of range"},
		"metadata cut off":           {stream("\x0a\x02\x08\x01\x1a\x02\x0a\x05"), 400, "streams[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.post(pushPath, snappy.Encode(nil, c.body))
			require.Equal(t, c.code, a.code, "%s", a.body)
			require.Contains(t, string(a.body), c.text)
			require.Empty(t, r.stored(columnar.Logs))
		})
	}
}

// TestLokiProtoBoundsMemory sends entries and metadata of two bytes each.
func TestLokiProtoBoundsMemory(t *testing.T) {
	header := "\x0a\x07{a=\"b\"}"
	message := func(field byte, inner string) []byte {
		b := []byte{field<<3 | 2}
		for n := uint64(len(inner)); ; n >>= 7 {
			if n < 0x80 {
				b = append(b, byte(n))
				break
			}
			b = append(b, byte(n)|0x80)
		}
		return append(b, inner...)
	}
	for name, body := range map[string][]byte{
		"entries":  message(1, header+strings.Repeat("\x12\x00", 20_000)),
		"metadata": message(1, header+string(message(2, strings.Repeat("\x1a\x00", 20_000)))),
		"streams":  bytes.Repeat(message(1, header), 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *ingest.Options) { o.Config.MaxElements = 10_000 })
			a := r.post(pushPath, snappy.Encode(nil, body))
			require.Equal(t, http.StatusRequestEntityTooLarge, a.code, "%s", a.body)
			require.Contains(t, string(a.body), "maxElements")
			require.Empty(t, r.stored(columnar.Logs))
		})
	}
}

// TestLokiProtoKeepsFieldsApart adds a level to each row: rows share memory.
func TestLokiProtoKeepsFieldsApart(t *testing.T) {
	c := &collected{}
	r := newRig(t, discovering, func(o *ingest.Options) { o.Rows = c })
	var entries []push.Entry
	for i := range 2000 {
		e := push.Entry{Timestamp: time.Unix(1, int64(i)), Line: fmt.Sprintf("level=%s %d", []string{"info", "error", "x"}[i%3], i)}
		for j := range i % 5 {
			e.StructuredMetadata = append(e.StructuredMetadata, push.LabelAdapter{Name: fmt.Sprint("f", j), Value: fmt.Sprint(i)})
		}
		entries = append(entries, e)
	}
	a := r.post(pushPath, lokiProto(t, push.Stream{Labels: `{a="b"}`, Entries: entries}))
	require.Equal(t, http.StatusNoContent, a.code, "%s", a.body)
	require.Len(t, c.rows, len(entries))
	for i, row := range c.rows {
		var want []columnar.Field
		for j := range i % 5 {
			want = append(want, columnar.Field{Name: fmt.Sprint("f", j), Value: fmt.Sprint(i)})
		}
		want = append(want, columnar.Field{Name: "detected_level", Value: []string{"info", "error", "unknown"}[i%3]})
		require.Equal(t, want, row.Fields, i)
	}
}
