package ingest_test

import (
	"bytes"
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
	"github.com/yagura-dev/yagura/query/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is the ingester with the real stores behind it and HTTP in front.
type rig struct {
	*ingest.Ingester
	t       testing.TB
	url     string
	client  *http.Client
	rows    *columnar.Store
	samples *metrics.Store
	reg     *prometheus.Registry
}

func newRig(t testing.TB, change ...func(*ingest.Options)) *rig {
	t.Helper()
	reg := prometheus.NewRegistry()
	mc := metrics.DefaultConfig()
	mc.MinFreeBytes = 0
	samples, err := metrics.Open(t.TempDir(), metrics.Options{Config: mc})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, samples.Close()) })
	rows, err := columnar.Open(t.TempDir(), columnar.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rows.Close()) })

	// What is found out about logs has tests of its own; the others compare what was
	// sent.
	cfg := ingest.DefaultConfig()
	cfg.DiscoverServiceName, cfg.DiscoverLevel = nil, false
	opts := ingest.Options{Config: cfg, Samples: samples, Rows: rows, Registerer: reg}
	for _, f := range change {
		f(&opts)
	}
	g, err := ingest.New(opts)
	require.NoError(t, err)
	e := echo.New()
	g.Register(e.Group(""))
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return &rig{Ingester: g, t: t, url: srv.URL, client: srv.Client(), rows: rows, samples: samples, reg: reg}
}

type answer struct {
	code   int
	header http.Header
	body   []byte
}

func (r *rig) post(path string, body []byte, header ...string) answer {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.url+path, bytes.NewReader(body))
	require.NoError(r.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return answer{resp.StatusCode, resp.Header, b}
}

// storedRow is a row with its stream.
type storedRow struct {
	labels string
	columnar.Row
}

func (r *rig) stored(table columnar.Table) []storedRow {
	r.t.Helper()
	ctx := context.Background()
	cur, err := r.rows.Select(ctx, columnar.Query{
		Table: table, From: 0, To: math.MaxInt64,
		Columns: columnar.Columns{Line: true, AllFields: true},
	})
	require.NoError(r.t, err)
	defer cur.Close()
	var out []storedRow
	for {
		b, err := cur.Next(ctx)
		require.NoError(r.t, err)
		if b == nil {
			return out
		}
		for i := range b.Len() {
			row := storedRow{labels: b.Streams[b.StreamRefs[i]].String()}
			row.Timestamp = b.Timestamps[i]
			if b.Lines != nil {
				row.Line = b.Lines[i]
			}
			row.Fields = append(row.Fields, b.Fields[i]...)
			out = append(out, row)
		}
	}
}

func fields(r columnar.Row) map[string]string {
	out := map[string]string{}
	for _, f := range r.Fields {
		out[f.Name] = f.Value
	}
	return out
}

// series reads all samples by series; a histogram is represented by its count.
func (r *rig) series(matchers ...*labels.Matcher) map[string][]float64 {
	r.t.Helper()
	q, err := r.samples.Queryable().Querier(0, time.Now().Add(time.Hour).UnixMilli())
	require.NoError(r.t, err)
	defer q.Close()
	matchers = append(matchers, labels.MustNewMatcher(labels.MatchNotEqual, model.MetricNameLabel, metrics.MarkerName))
	out := map[string][]float64{}
	set := q.Select(context.Background(), true, nil, matchers...)
	for set.Next() {
		key := set.At().Labels().String()
		it := set.At().Iterator(nil)
		for vt := it.Next(); vt != chunkenc.ValNone; vt = it.Next() {
			if vt == chunkenc.ValFloat {
				_, v := it.At()
				out[key] = append(out[key], v)
			} else {
				_, h := it.AtFloatHistogram(nil)
				out[key] = append(out[key], h.Count)
			}
		}
		require.NoError(r.t, it.Err())
	}
	require.NoError(r.t, set.Err())
	return out
}

// counter is the sum of a counter's series whose labels contain all of want.
func (r *rig) counter(name string, want ...string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	require.NoError(r.t, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(want); i += 2 {
				if have[want[i]] != want[i+1] {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// shared reads a file of the public data sets that lie beside the repository.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", name))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the shared data must be there in CI: %v", err)
		}
		t.Skipf("SKIPPED: no shared data: %v", err)
	}
	return b
}
