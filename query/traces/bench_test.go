package traces_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traces"
)

const (
	shopServices = 10 // spans of a trace, each of another service
	shopBatch    = 2000
)

// shopTraces is how many traces the benchmarks run on: those of a tenth of
// YAGURA_BENCH_SPANS, which may be many millions.
func shopTraces(b *testing.B) int {
	b.Helper()
	text := os.Getenv("YAGURA_BENCH_SPANS")
	if text == "" {
		return 10_000
	}
	n, err := strconv.Atoi(text)
	require.NoError(b, err)
	return n / shopServices
}

// loadShop stores traces over ten services and an hour, batch by batch, as ingest
// would. It returns the trace in the middle.
func loadShop(b *testing.B, store *columnar.Store, n int) traces.TraceID {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	rows := make([][]columnar.Row, shopServices)
	var middle traces.TraceID
	flush := func() {
		batch := columnar.Batch{Table: columnar.Spans}
		for service := range rows {
			batch.Streams = append(batch.Streams, columnar.Stream{
				Labels: labels.FromStrings("service_name", shopService(service), "pod", shopService(service)+"-7d4b9"), Rows: rows[service],
			})
		}
		_, err := store.Append(context.Background(), batch)
		require.NoError(b, err)
		for service := range rows {
			rows[service] = rows[service][:0]
		}
	}
	for i := range n {
		var id traces.TraceID
		binary.BigEndian.PutUint64(id[:8], r.Uint64())
		binary.BigEndian.PutUint64(id[8:], r.Uint64())
		if i == n/2 {
			middle = id
		}
		start := now.Add(-time.Hour + time.Duration(i)*time.Hour/time.Duration(n))
		var parent traces.SpanID
		for service := range shopServices {
			span := shopSpan(r, max(n/5, 1), id, parent, service, start.Add(time.Duration(service)*time.Millisecond))
			parent = span.SpanID
			rows[service] = append(rows[service], span.Row())
		}
		if i%shopBatch == shopBatch-1 {
			flush()
		}
	}
	flush()
	require.NoError(b, store.Flush(context.Background()))
	return middle
}

func shopService(n int) string { return fmt.Sprintf("service-%d", n) }

func shopSpan(r *rand.Rand, users int, id traces.TraceID, parent traces.SpanID, service int, start time.Time) traces.Span {
	attribute := func(key, text string) traces.Attribute { return traces.Attribute{Key: key, Text: text} }
	status := strconv.Itoa(200 + r.IntN(4)*100)
	s := traces.Span{
		TraceID: id, ParentSpanID: parent, Name: fmt.Sprintf("op-%d", r.IntN(20)), Kind: traces.KindServer,
		Start: start.UnixNano(), End: start.UnixNano() + r.Int64N(1e8),
		Attributes: []traces.Attribute{
			{Key: "http.status_code", Text: status, Type: columnar.Int},
			attribute("http.route", "/cart/{id}"),
			attribute("user.id", strconv.Itoa(r.IntN(users))),
		},
		ResourceAttributes: []traces.Attribute{
			attribute("service.name", shopService(service)), attribute("host.name", "node-1"), attribute("telemetry.sdk.language", "go"),
		},
		ScopeName: "otelhttp", ScopeVersion: "0.72.0",
	}
	binary.BigEndian.PutUint64(s.SpanID[:], r.Uint64())
	return s
}

func BenchmarkQuerier(b *testing.B) {
	store := openStore(b)
	n := shopTraces(b)
	id := loadShop(b, store, n)
	q, err := traces.NewQuerier(store, traces.DefaultConfig(), nil, nil)
	require.NoError(b, err)
	b.Run("trace-by-id", func(b *testing.B) {
		for b.Loop() {
			tr, err := q.Trace(context.Background(), id, time.Time{}, time.Time{})
			require.NoError(b, err)
			require.Len(b, tr.Spans, shopServices)
		}
	})
	b.Run("services", func(b *testing.B) {
		for b.Loop() {
			names, err := q.Services(context.Background())
			require.NoError(b, err)
			require.Len(b, names, shopServices)
		}
	})
	b.Run("operations", func(b *testing.B) {
		for b.Loop() {
			ops, err := q.Operations(context.Background(), "service-3")
			require.NoError(b, err)
			require.Len(b, ops, 20)
		}
	})
	search := func(name string, s traces.Search) {
		b.Run("search-"+name, func(b *testing.B) {
			s.Service, s.Limit = "service-3", 20
			s.Start, s.End = now.Add(-2*time.Hour), now
			for b.Loop() {
				ts, err := q.Search(context.Background(), s)
				require.NoError(b, err)
				b.ReportMetric(float64(len(ts)), "traces")
			}
		})
	}
	search("newest", traces.Search{})
	search("operation", traces.Search{Operation: "op-7"})
	search("tag", traces.Search{Tags: map[string]string{"user.id": "7"}})
	search("tag-nowhere", traces.Search{Tags: map[string]string{"user.id": "nobody"}})
	search("resource", traces.Search{Tags: map[string]string{"host.name": "node-1"}})
	search("two-tags", traces.Search{Tags: map[string]string{"user.id": "7", "http.status_code": "500"}})
	search("duration", traces.Search{MinDuration: 99_990 * time.Microsecond})
}

// BenchmarkStoreSpans stores the shop's spans, as rows made of spans, until they are
// in blocks, and weighs the folder.
func BenchmarkStoreSpans(b *testing.B) {
	n := shopTraces(b)
	var bytes int64
	for b.Loop() {
		dir := b.TempDir()
		store, err := columnar.Open(dir, columnar.Options{Config: columnar.Config{MinFreeDisk: -1}})
		require.NoError(b, err)
		loadShop(b, store, n)
		require.NoError(b, store.Close())
		bytes = 0
		require.NoError(b, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			bytes += info.Size()
			return err
		}))
	}
	spans := float64(n * shopServices)
	b.ReportMetric(float64(bytes)/spans, "bytes/span")
	b.ReportMetric(spans*float64(b.N)/b.Elapsed().Seconds(), "spans/s")
}

func BenchmarkSpanCodec(b *testing.B) {
	td := randomTraces(rand.New(rand.NewPCG(3, 3)))
	row := fromOTLP(td).Row()
	b.Run("from-otlp", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = fromOTLP(td).Row()
		}
	})
	b.Run("from-row", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := traces.SpanFromRow(labels.EmptyLabels(), row)
			require.NoError(b, err)
		}
	})
}
