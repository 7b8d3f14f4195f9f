package spanmetrics_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
	"github.com/yagura-dev/yagura/query/spanmetrics"
	"github.com/yagura-dev/yagura/query/traces"
)

// nowhere stores nothing, so that only the counting is measured.
type nowhere struct{}

func (nowhere) Append(context.Context, columnar.Batch) (bool, error) { return false, nil }

func (nowhere) AppendBatch(context.Context, columnar.BatchID, func(*metrics.Appender) error) (metrics.Result, bool, error) {
	return metrics.Result{}, false, nil
}

// BenchmarkObserve counts calls between ten services, 2,000 spans a batch.
func BenchmarkObserve(b *testing.B) {
	g, err := spanmetrics.New(spanmetrics.Options{Config: spanmetrics.DefaultConfig(), Rows: nowhere{}, Samples: nowhere{}})
	require.NoError(b, err)
	r := rand.New(rand.NewPCG(1, 2))
	const traceCount, services = 200, 10
	batch := columnar.Batch{Table: columnar.Spans, Streams: make([]columnar.Stream, services)}
	for i := range batch.Streams {
		batch.Streams[i].Labels = labels.FromStrings("service_name", fmt.Sprint("s", i), "namespace", "prod", "pod", fmt.Sprint("s", i, "-0"))
	}
	for range traceCount {
		s := traces.Span{Start: time.Now().UnixNano()}
		binary.BigEndian.PutUint64(s.TraceID[:], r.Uint64())
		for i := range services {
			s.ParentSpanID = s.SpanID
			binary.BigEndian.PutUint64(s.SpanID[:], r.Uint64())
			s.Name, s.Kind = fmt.Sprint("op", r.IntN(20)), traces.Kind(2+i%2)
			s.End = s.Start + r.Int64N(1e9)
			s.Attributes = []traces.Attribute{{Key: "http.route", Text: "/cart/{id}"}, {Key: "http.status_code", Text: "200"}, {Key: "user.id", Text: "7"}}
			s.ResourceAttributes = s.Attributes
			batch.Streams[i].Rows = append(batch.Streams[i].Rows, s.Row())
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		_, err := g.Append(context.Background(), batch)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(traceCount*services), "ns/span")
}
