package columnar_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

// spanMaker makes spans as a shop of 20 services has them: traces of 10 spans,
// durations that differ, an attribute with a hundred thousand values.
type spanMaker struct {
	*rand.Rand
	now int64
}

func (g *spanMaker) batch(spans int) columnar.Batch {
	b := columnar.Batch{Table: columnar.Spans}
	index := map[int]int{}
	for range spans / 10 {
		trace := fmt.Sprintf("%016x%016x", g.Uint64(), g.Uint64())
		user := fmt.Sprint("user-", g.IntN(100_000))
		parent := ""
		for range 10 {
			g.now += int64(time.Millisecond) + g.Int64N(int64(time.Millisecond))
			service := g.IntN(20)
			i, ok := index[service]
			if !ok {
				i = len(b.Streams)
				index[service] = i
				b.Streams = append(b.Streams, columnar.Stream{Labels: labels.FromStrings("service_name", fmt.Sprint("service-", service))})
			}
			id := fmt.Sprintf("%016x", g.Uint64())
			status := "200"
			if g.IntN(500) == 0 {
				status = "500"
			}
			b.Streams[i].Rows = append(b.Streams[i].Rows, columnar.Row{Timestamp: g.now, Fields: []columnar.Field{
				{Name: "trace_id", Value: trace}, {Name: "span_id", Value: id}, {Name: "parent_span_id", Value: parent},
				{Name: "name", Value: fmt.Sprint("GET /api/", g.IntN(8))}, {Name: "kind", Value: "server"}, {Name: "status_code", Value: "unset"},
				{Name: "duration_ns", Value: strconv.FormatInt(1000*int64(1+g.ExpFloat64()*20_000), 10), Type: columnar.Int},
				{Name: "span.http.status_code", Value: status, Type: columnar.Int},
				{Name: "span.user.id", Value: user},
			}})
			parent = id
		}
	}
	return b
}

// BenchmarkSpans searches 300,000 spans, or 10 million with YAGURA_BIG: for one
// trace, for an attribute of few spans, for slow ones, for what is not there.
func BenchmarkSpans(b *testing.B) {
	spans := 300_000
	if os.Getenv("YAGURA_BIG") != "" {
		spans = 10_000_000
	}
	if n, err := strconv.Atoi(os.Getenv("YAGURA_SPANS")); err == nil {
		spans = n
	}
	ctx := context.Background()
	dir := b.TempDir()
	s := open(b, dir)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	g := &spanMaker{Rand: rand.New(rand.NewPCG(1, 2)), now: 1_700_000_000e9}
	trace, user := "", ""
	start := cpuTime(b)
	for n := 0; n < spans; n += 5000 {
		batch := g.batch(5000)
		if n <= spans/2 {
			trace, user = batch.Streams[0].Rows[0].Fields[0].Value, batch.Streams[0].Rows[0].Fields[8].Value
		}
		_, err := s.Append(ctx, batch)
		require.NoError(b, err)
	}
	require.NoError(b, s.Flush(ctx))
	b.Logf("%d spans stored in %s of processor time, %.1f bytes each", spans, cpuTime(b)-start, float64(diskUsage(filepath.Join(dir, "parts")))/float64(spans))
	for _, q := range []struct {
		name   string
		fields []columnar.FieldPredicate
		limit  int
		rows   int // at least
	}{
		{"ByID", []columnar.FieldPredicate{{Name: "trace_id", Op: columnar.FieldEqual, Text: trace}}, 0, 10},
		{"ByAttribute", []columnar.FieldPredicate{{Name: "span.user.id", Op: columnar.FieldEqual, Text: user}}, 0, 10},
		{"ByAttributeNewest20", []columnar.FieldPredicate{{Name: "span.http.status_code", Op: columnar.FieldEqual, Text: "500"}}, 20, 20},
		{"ByDuration", []columnar.FieldPredicate{{Name: "duration_ns", Op: columnar.FieldGreater, Text: "220000000"}}, 20, 1},
		{"Absent", []columnar.FieldPredicate{{Name: "span.user.id", Op: columnar.FieldEqual, Text: "nobody"}}, 0, 0},
		{"AbsentName", []columnar.FieldPredicate{{Name: "span.no.such", Op: columnar.FieldMatches, Text: ".+"}}, 0, 0},
	} {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			reportCPU(b, func() {
				n := drain(b, s, columnar.Query{
					Table: columnar.Spans, To: 1 << 62, Fields: q.fields, Limit: q.limit, Direction: columnar.Backward,
					Columns: columnar.Columns{AllFields: true},
				})
				if n < q.rows {
					b.Fatalf("%d rows, want %d", n, q.rows)
				}
			})
		})
	}
	b.Run("FieldNames", func(b *testing.B) {
		reportCPU(b, func() {
			_, err := s.FieldNames(ctx, columnar.CatalogQuery{Table: columnar.Spans, To: 1 << 62})
			require.NoError(b, err)
		})
	})
	b.Run("FieldValues", func(b *testing.B) {
		reportCPU(b, func() {
			_, _, err := s.FieldValues(ctx, columnar.CatalogQuery{Table: columnar.Spans, To: 1 << 62}, "name", 100)
			require.NoError(b, err)
		})
	})
}
