package tempo_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/tempo"
	"github.com/yagura-dev/yagura/query/traceql"
	"github.com/yagura-dev/yagura/query/traces"
)

// benchSpans is how many spans the benchmarks search. YAGURA_BENCH_SPANS overrides it;
// the goals are for 10,000,000.
const benchSpans = 300_000

var benchStart = time.Date(2026, 5, 4, 8, 0, 0, 0, time.UTC)

// fillStore stores traces of about 70 spans of 28 services, ten traces a second.
func fillStore(b *testing.B, s *columnar.Store, spans int) (from, to int64) {
	rng := rand.New(rand.NewPCG(1, 2))
	services := make([]string, 28)
	for i := range services {
		services[i] = fmt.Sprintf("ts-%02d-service", i)
	}
	var batch []traces.Span
	at := benchStart
	for n := 0; n < spans; {
		at = at.Add(100 * time.Millisecond)
		var id traces.TraceID
		binary.BigEndian.PutUint64(id[:], rng.Uint64())
		binary.BigEndian.PutUint64(id[8:], rng.Uint64())
		size := 40 + rng.IntN(60)
		for i := range size {
			var sp traces.Span
			sp.TraceID = id
			binary.BigEndian.PutUint64(sp.SpanID[:], rng.Uint64()|1)
			if i > 0 {
				sp.ParentSpanID = batch[len(batch)-1-rng.IntN(i)].SpanID
			}
			service := services[rng.IntN(len(services))]
			if i == 0 {
				service = services[0]
			}
			h := rng.Uint64()
			sp.Name = fmt.Sprintf("GET /api/v1/%s/%d", service, h%8)
			sp.Kind = traces.Kind(1 + h>>3%5)
			sp.Start = at.UnixNano() + int64(i)*1e6 + int64(h%1e6)
			sp.End = sp.Start + int64(rng.ExpFloat64()*2e7)
			status := int64(200)
			if h>>8%100 < 2 {
				status, sp.StatusCode = 500, traces.StatusError
			}
			sp.Attributes = []traces.Attribute{
				{Key: "http.method", Text: [...]string{"GET", "POST"}[h>>16&1]},
				{Key: "http.status_code", Text: strconv.FormatInt(status, 10), Type: columnar.Int},
				{Key: "user.id", Text: fmt.Sprintf("user-%05d", h>>20%100_000)},
			}
			sp.ResourceAttributes = []traces.Attribute{{Key: "service.name", Text: service}, {Key: "k8s.namespace.name", Text: "shop"}}
			batch = append(batch, sp)
		}
		n += size
		if len(batch) >= 5000 || n >= spans {
			appendSpans(b, s, batch)
			batch = batch[:0]
		}
	}
	require.NoError(b, s.Flush(context.Background()))
	return benchStart.UnixNano(), at.Add(time.Minute).UnixNano()
}

// BenchmarkQueries runs searches and metrics over all spans.
func BenchmarkQueries(b *testing.B) {
	n := benchSpans
	if v := os.Getenv("YAGURA_BENCH_SPANS"); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		require.NoError(b, err)
	}
	store := openStore(b)
	from, to := fillStore(b, store, n)
	engine, err := tempo.NewEngine(store, tempo.DefaultConfig(), quiet, nil)
	require.NoError(b, err)
	for _, text := range []string{
		"{ }",
		"{ span.user.id = `user-04711` }",
		"{ .user.id = `user-04711` }",
		"{ span.user.id = `nobody` }",
		"{ span.user.id = `nobody` && resource.service.name = `ts-03-service` }",
		"{ status = error && resource.service.name = `ts-03-service` }",
		"{ span.http.status_code = 500 && duration > 100ms }",
		"{ span.http.status_code >= 600 }",
		"{ duration > 300ms }",
		"{ name =~ `.*ts-07.*/7` && status = error }",
		"{ rootServiceName = `ts-00-service` && span.user.id = `user-04711` }",
		"{ resource.service.name = `ts-00-service` } >> { status = error }",
		"{ status = error } | count() > 4",
		"{ } | rate()",
		"{ } | rate() by (resource.service.name)",
		"{ nestedSetParent < 0 } | rate()",
		"{ status = error } | rate() by (resource.service.name)",
		"{ nestedSetParent < 0 } | quantile_over_time(duration, 0.5, 0.99)",
		"{ resource.service.name = `ts-03-service` } | rate() by (span.http.status_code)",
	} {
		b.Run(text, func(b *testing.B) {
			q, err := traceql.Parse(text)
			require.NoError(b, err)
			b.ReportAllocs()
			var st tempo.Stats
			cpu := cpuTime()
			for b.Loop() {
				if q.Metrics != nil {
					_, st, err = engine.Range(b.Context(), tempo.RangeQuery{Query: q, Interval: traceql.NewInterval(from, to, int64(time.Minute))})
				} else {
					_, st, err = engine.Search(b.Context(), tempo.Search{Query: q, From: from, To: to})
				}
				require.NoError(b, err)
			}
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/1e3/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(st.Spans), "rows/op")
			b.ReportMetric(float64(st.Bytes), "bytes/op")
		})
	}
}

// cpuTime is what the process has used, which says more than the clock on a machine that
// is shared.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkTraceByID reads whole traces from among all spans.
func BenchmarkTraceByID(b *testing.B) {
	store := openStore(b)
	from, to := fillStore(b, store, benchSpans)
	engine, err := tempo.NewEngine(store, tempo.DefaultConfig(), quiet, nil)
	require.NoError(b, err)
	q, err := traceql.Parse("{ nestedSetParent < 0 }")
	require.NoError(b, err)
	found, _, err := engine.Search(b.Context(), tempo.Search{Query: q, From: from, To: to, Limit: 1000})
	require.NoError(b, err)
	cpu := cpuTime()
	n := 0
	for b.Loop() {
		_, err := engine.Trace(b.Context(), found[n*37%len(found)].ID, math.MinInt64, math.MaxInt64)
		require.NoError(b, err)
		n++
	}
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/1e3/float64(b.N), "cpu-ms/op")
}
