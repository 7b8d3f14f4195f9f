package traces_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traces"
)

// loadShop stores traces of ten spans each, over ten services and an hour.
func loadShop(b *testing.B, store *columnar.Store, n int) traces.TraceID {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	batches := map[string][]columnar.Row{}
	var middle traces.TraceID
	for i := range n {
		var id traces.TraceID
		for j := range id {
			id[j] = byte(r.Uint32())
		}
		if i == n/2 {
			middle = id
		}
		start := now.Add(-time.Hour + time.Duration(i)*time.Hour/time.Duration(n))
		for j := range 10 {
			td := ptrace.NewTraces()
			service := fmt.Sprintf("service-%d", j)
			sp := newSpan(td, service, 0, byte(j+1), fmt.Sprintf("op-%d", r.IntN(20)), start.Add(time.Duration(j)*time.Millisecond), time.Duration(r.IntN(1e8)))
			sp.SetTraceID(pcommon.TraceID(id))
			sp.SetKind(ptrace.SpanKindServer)
			sp.Attributes().PutInt("http.status_code", int64(200+r.IntN(4)*100))
			sp.Attributes().PutStr("http.route", "/cart/{id}")
			sp.Attributes().PutStr("user.id", fmt.Sprint(r.IntN(1000)))
			rs := td.ResourceSpans().At(0)
			batches[service] = append(batches[service], traces.FromOTLP(rs.Resource(), rs.ScopeSpans().At(0).Scope(), sp).Row())
		}
	}
	for service, rows := range batches {
		_, err := store.Append(context.Background(), columnar.Batch{Table: columnar.Spans, Streams: []columnar.Stream{{
			Labels: labels.FromStrings("service_name", service), Rows: rows,
		}}})
		require.NoError(b, err)
	}
	require.NoError(b, store.Flush(context.Background()))
	return middle
}

func BenchmarkQuerier(b *testing.B) {
	store := openStore(b)
	const n = 10_000 // traces of ten spans
	id := loadShop(b, store, n)
	q, err := traces.NewQuerier(store, traces.DefaultConfig(), nil, nil)
	require.NoError(b, err)
	b.Run("trace-by-id", func(b *testing.B) {
		for b.Loop() {
			tr, err := q.Trace(context.Background(), id, time.Time{}, time.Time{})
			require.NoError(b, err)
			require.Len(b, tr.Spans, 10)
		}
	})
	search := func(name string, s traces.Search) {
		b.Run(name, func(b *testing.B) {
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
	search("tag", traces.Search{Tags: map[string]string{"user.id": "77"}})
	search("duration", traces.Search{MinDuration: 99_900 * time.Microsecond})
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
