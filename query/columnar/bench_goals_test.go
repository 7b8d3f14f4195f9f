package columnar_test

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/columnar/columnartest"
)

// cpuTime is the processor time of the whole process so far.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// reportCPU adds the processor time of each iteration, which on a shared machine
// is worth more than the time on the wall.
func reportCPU(b *testing.B, iteration func()) {
	runtime.GC()
	start := cpuTime(b)
	for b.Loop() {
		iteration()
	}
	b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// goalStore holds the real logs in parts: one copy of them, or eight (1.04 GB, 217
// streams) with YAGURA_BIG.
func goalStore(b *testing.B) (*columnar.Store, *columnartest.Corpus, int) {
	if os.Getenv("YAGURA_BIG") == "" {
		s, c := benchStore(b)
		return s, c, 1
	}
	c := corpusFor(b)
	s := open(b, b.TempDir())
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	require.NoError(b, c.Batches(8, 1<<20, func(batch columnar.Batch) error {
		_, err := s.Append(context.Background(), batch)
		return err
	}))
	require.NoError(b, s.Flush(context.Background()))
	return s, c, 8
}

// BenchmarkGoals is the queries that the store is measured by. Each returns at most
// 1,000 lines, the newest first, or counts.
func BenchmarkGoals(b *testing.B) {
	s, c, copies := goalStore(b)
	ctx := context.Background()
	const needle = "fcb23d04a51880ef0ff907e007463530"
	rows := columnar.Query{Table: columnar.Logs, To: 1 << 62, Limit: 1000, Direction: columnar.Backward, Columns: columnar.Columns{Line: true, AllFields: true}}
	contains := func(text string) []columnar.LinePredicate {
		return []columnar.LinePredicate{{Op: columnar.Contains, Text: text}}
	}
	for _, q := range []struct {
		name  string
		query func(q *columnar.Query)
		rows  int
	}{
		{"TraceIDInLine", func(q *columnar.Query) { q.Lines = contains(needle) }, 99},
		{"TraceIDField", func(q *columnar.Query) {
			q.Fields = []columnar.FieldPredicate{{Name: "trace_id", Op: columnar.FieldEqual, Text: needle}}
		}, 99},
		{"Substring", func(q *columnar.Query) { q.Lines = contains("da74a0f87") }, 11},
		{"LastOfPod", func(q *columnar.Query) {
			q.Matchers = []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "pod", "ts-seat-service-5c95b49cff-tdsdz")}
		}, 1000},
	} {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			reportCPU(b, func() {
				query := rows
				q.query(&query)
				if n := drain(b, s, query); n != q.rows {
					b.Fatalf("%d rows, want %d", n, q.rows)
				}
			})
		})
	}
	var apps []string
	byApp := func(ls labels.Labels) int {
		i := slices.Index(apps, ls.Get("app"))
		if i < 0 {
			i = len(apps)
			apps = append(apps, strings.Clone(ls.Get("app")))
		}
		return i
	}
	for _, q := range []struct {
		name  string
		query columnar.CountQuery
		rows  int64 // at least
	}{
		{"CountByApp", columnar.CountQuery{Group: byApp}, int64(c.Rows * copies)},
		{"BytesByApp", columnar.CountQuery{Group: byApp, LineBytes: true}, int64(c.Rows * copies)},
		{"CountByAppAndMinute", columnar.CountQuery{Group: byApp, Width: int64(time.Minute)}, int64(c.Rows * copies)},
		{"CountRegex", columnar.CountQuery{Query: columnar.Query{Lines: []columnar.LinePredicate{{Op: columnar.Matches, Text: `Failed!.*tripId: [DG]13[0-9]{2}`}}}}, int64(293 * copies)},
		{"CountRareWord", columnar.CountQuery{Group: byApp, Query: columnar.Query{Lines: contains("Failed!")}}, 300},
		{"CountError", columnar.CountQuery{Group: byApp, Width: int64(10 * time.Second), Query: columnar.Query{Lines: []columnar.LinePredicate{{Op: columnar.Matches, Text: `ERROR| 500 `}}}}, 1000},
	} {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			reportCPU(b, func() {
				query := q.query
				query.Query.Table, query.Query.From, query.Query.To = columnar.Logs, 1674000000e9, 1676000000e9
				counts, _, err := s.Count(ctx, query)
				require.NoError(b, err)
				total := int64(0)
				for _, c := range counts {
					total += c.Rows
				}
				if total < q.rows {
					b.Fatalf("%d rows, want %d", total, q.rows)
				}
			})
		})
	}
	b.Run("Streams", func(b *testing.B) {
		reportCPU(b, func() {
			_, err := s.Streams(ctx, columnar.Logs, nil, 0, 1<<62, nil)
			require.NoError(b, err)
		})
	})
}
