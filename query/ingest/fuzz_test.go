package ingest_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
	"github.com/yagura-dev/yagura/query/metrics"
)

// counting takes rows and forgets them, so that the fuzzer's time goes into
// decoding. It holds admission to its promises.
type counting struct{ t *testing.T }

func (c *counting) Append(_ context.Context, b columnar.Batch) (bool, error) {
	cfg := ingest.DefaultConfig()
	for _, s := range b.Streams {
		if s.Labels.IsEmpty() || len(s.Rows) == 0 {
			c.t.Errorf("a stream without labels or rows: %v", s.Labels)
		}
		for _, r := range s.Rows {
			if r.Timestamp < 0 || len(r.Line) > cfg.MaxLineBytes || len(r.Fields) > cfg.MaxFields {
				c.t.Errorf("a row beyond the limits at %d", r.Timestamp)
			}
		}
	}
	return false, nil
}

// fuzzRig is one handler for all inputs of a fuzz target, with a real TSDB.
func fuzzRig(f *testing.F) (http.Handler, *counting) {
	mc := metrics.DefaultConfig()
	mc.MinFreeBytes, mc.MaxSeries = 0, 10_000
	samples, err := metrics.Open(f.TempDir(), metrics.Options{Config: mc})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, samples.Close()) })
	rows := &counting{}
	g, err := ingest.New(ingest.Options{Config: ingest.DefaultConfig(), Samples: samples, Rows: rows})
	require.NoError(f, err)
	e := echo.New()
	g.Register(e.Group(""))
	return e, rows
}

var fuzzMu sync.Mutex

// check posts the body: every answer is one that the protocol knows, and the
// handler does not panic.
func check(t *testing.T, h http.Handler, rows *counting, path string, body []byte, header ...string) {
	fuzzMu.Lock()
	defer fuzzMu.Unlock()
	rows.t = t
	req := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	switch rec.Code {
	case 200, 202, 204, 400, 413, 429:
	default:
		t.Errorf("answer %d: %s", rec.Code, rec.Body)
	}
}

func seed(f *testing.F, name string) []byte {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", "otlp", name))
	if err != nil {
		return []byte("{}")
	}
	return b
}

func FuzzOTLPJSON(f *testing.F) {
	h, rows := fuzzRig(f)
	for i, name := range []string{"logs.json", "trace.json", "metrics.json", "events.json"} {
		f.Add(uint8(i%3), seed(f, name))
	}
	for i := range uint8(3) {
		f.Add(i, []byte("null"))
		f.Add(i, []byte(`[]`))
		f.Add(i, []byte(`{"resourceLogs":[null],"resourceSpans":[null],"resourceMetrics":[null]}`))
	}
	f.Fuzz(func(t *testing.T, signal uint8, body []byte) {
		check(t, h, rows, [...]string{"/v1/logs", "/v1/traces", "/v1/metrics"}[signal%3], body, "Content-Type", jsonType)
	})
}

func FuzzOTLPProto(f *testing.F) {
	h, rows := fuzzRig(f)
	logs, traces, metric := plogotlp.NewExportRequest(), ptraceotlp.NewExportRequest(), pmetricotlp.NewExportRequest()
	for i, m := range []interface {
		UnmarshalJSON([]byte) error
		MarshalProto() ([]byte, error)
	}{logs, traces, metric} {
		if m.UnmarshalJSON(seed(f, []string{"logs.json", "trace.json", "metrics.json"}[i])) == nil {
			f.Add(uint8(i), protoOf(f, m))
		}
	}
	f.Add(uint8(0), nestedBody(200))
	f.Add(uint8(2), protoOf(f, pmetricotlp.NewExportRequestFromMetrics(gauge("m", time.Now(), 1))))
	f.Fuzz(func(t *testing.T, signal uint8, body []byte) {
		check(t, h, rows, [...]string{"/v1/logs", "/v1/traces", "/v1/metrics"}[signal%3], body, "Content-Type", protoType)
	})
}

func FuzzRemoteWrite(f *testing.F) {
	h, rows := fuzzRig(f)
	for _, m := range [][]byte{packed(f, requestV1(time.Now())), packed(f, requestV2(time.Now()))} {
		b, err := snappy.Decode(nil, m)
		require.NoError(f, err)
		f.Add(false, b)
		f.Add(true, b)
	}
	f.Fuzz(func(t *testing.T, v2 bool, message []byte) {
		ctype := typeV1
		if v2 {
			ctype = typeV2
		}
		check(t, h, rows, writePath, snappy.Encode(nil, message), "Content-Type", ctype)
		check(t, h, rows, writePath, message, "Content-Type", ctype)
	})
}

func FuzzLokiPush(f *testing.F) {
	h, rows := fuzzRig(f)
	f.Add(true, []byte(`{"streams": [{"stream": {"app": "shop"}, "values": [["1", "hello", {"trace.id": "abc"}]]}]}`))
	f.Add(true, []byte(`{"streams": null}`))
	f.Add(true, []byte(`{"streams": [{"stream": null, "values": [null]}]}`))
	b, err := snappy.Decode(nil, lokiProto(f, lokiSeed()))
	require.NoError(f, err)
	f.Add(false, b)
	f.Fuzz(func(t *testing.T, asJSON bool, message []byte) {
		if asJSON {
			check(t, h, rows, pushPath, message, "Content-Type", jsonType)
			return
		}
		check(t, h, rows, pushPath, snappy.Encode(nil, message), "Content-Type", protoType)
		check(t, h, rows, pushPath, message, "Content-Type", protoType)
	})
}
