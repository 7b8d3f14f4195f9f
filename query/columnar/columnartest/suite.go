package columnartest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

// OpenFunc opens the engine in a folder. It is called again on the same folder
// after the engine was closed.
type OpenFunc func(t testing.TB, dir string) columnar.Engine

// Run checks an engine. open returns an empty one for each subtest; the suite
// closes it.
func Run(t *testing.T, open func(t testing.TB) columnar.Engine) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, e columnar.Engine)
	}{
		{"OrderAndDirection", testOrder},
		{"LinePredicates", testLinePredicates},
		{"FieldPredicates", testFieldPredicates},
		{"FieldsKeepTypesAndRepeats", testFieldTypes},
		{"Columns", testColumns},
		{"TimeRange", testTimeRange},
		{"Tenants", testTenants},
		{"Tables", testTables},
		{"Duplicates", testDuplicates},
		{"UnnamedBatches", testUnnamed},
		{"MemoryIsNotRetained", testMemory},
		{"StreamsAndNewest", testStreams},
		{"Budget", testBudget},
		{"BadQueries", testBadQueries},
		{"BadBatches", testBadBatches},
		{"CanceledContext", testCanceled},
		{"SnapshotOfACursor", testSnapshot},
		{"Concurrency", testConcurrency},
		{"Retain", testRetain},
		{"Delete", testDelete},
		{"DeletePredicates", testDeletePredicates},
		{"BadDeletions", testBadDeletions},
		{"Closed", testClosed},
		{"Count", testCount},
		{"CountGroups", testCountGroups},
		{"CountBounds", testCountBounds},
		{"Catalog", testCatalog},
		{"NumericRanges", testNumericRanges},
		{"Differential", testDifferential},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := open(t)
			defer func() { require.NoError(t, e.Close()) }()
			c.test(t, e)
		})
	}
}

// RunWithReopen runs the suite of Run, and checks durability.
func RunWithReopen(t *testing.T, open OpenFunc) {
	Run(t, func(t testing.TB) columnar.Engine { return open(t, t.TempDir()) })
	t.Run("Reopen", func(t *testing.T) { testReopen(t, open) })
	t.Run("DeleteReopen", func(t *testing.T) { testDeleteReopen(t, open) })
	t.Run("DifferentialReopen", func(t *testing.T) { testDifferentialReopen(t, open) })
}

// flush moves rows to wherever the engine keeps them for long, if it tells how.
func flush(t testing.TB, e columnar.Engine) {
	t.Helper()
	if f, ok := e.(interface{ Flush(context.Context) error }); ok {
		require.NoError(t, f.Flush(context.Background()))
	}
}

// eachLayer runs a test on rows in memory, on rows on disk, and on both at once.
// put appends one half of the rows at a time.
func eachLayer(t *testing.T, e columnar.Engine, batches []columnar.Batch, test func(t *testing.T, o *Oracle)) {
	o := NewOracle()
	for i, b := range batches {
		if i == (len(batches)+1)/2 {
			flush(t, e)
		}
		put(t, e, o, b)
	}
	t.Run("mixed", func(t *testing.T) { test(t, o) })
	flush(t, e)
	t.Run("flushed", func(t *testing.T) { test(t, o) })
}

func put(t testing.TB, e columnar.Engine, o *Oracle, b columnar.Batch) {
	t.Helper()
	duplicate, err := e.Append(context.Background(), b)
	require.NoError(t, err)
	if o != nil {
		want, err := o.Append(context.Background(), b)
		require.NoError(t, err)
		require.Equal(t, want, duplicate)
	}
}

func logs(ls labels.Labels, rows ...columnar.Row) columnar.Batch {
	return columnar.Batch{Table: columnar.Logs, Streams: []columnar.Stream{{
		Tenant: columnar.Tenant{Cluster: ls.Get("cluster"), Namespace: ls.Get("namespace")}, Labels: ls, Rows: rows,
	}}}
}

func row(ts int64, line string, fields ...columnar.Field) columnar.Row {
	return columnar.Row{Timestamp: ts, Line: line, Fields: fields}
}

func field(name, value string) columnar.Field { return columnar.Field{Name: name, Value: value} }

func everything() columnar.Query {
	return columnar.Query{Table: columnar.Logs, From: -1 << 62, To: 1 << 62, Columns: columnar.Columns{Line: true, AllFields: true}}
}

func app(name string) labels.Labels { return labels.FromStrings("app", name) }

func match(kind labels.MatchType, name, value string) *labels.Matcher {
	return labels.MustNewMatcher(kind, name, value)
}

func testTenants(t *testing.T, e columnar.Engine) {
	var batches []columnar.Batch
	tenants := []columnar.Tenant{{}, {Cluster: "c1"}, {Cluster: "c1", Namespace: "n1"}, {Namespace: "n1"}, {Cluster: "c2", Namespace: "n1"}}
	for i, tenant := range tenants {
		b := logs(app("same"), row(int64(i), fmt.Sprint("tenant ", i)))
		b.Streams[0].Tenant = tenant
		batches = append(batches, b)
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for i := range tenants {
			for j := range tenants {
				q := everything()
				q.Tenants = []columnar.Tenant{tenants[i], tenants[j]}
				mustEqual(t, e, o, q)
				got, err := e.Streams(context.Background(), columnar.Logs, q.Tenants, 0, 100, nil)
				require.NoError(t, err)
				require.Len(t, got, 1, "one label set, however many tenants have it")
			}
		}
		q := everything()
		q.Tenants = []columnar.Tenant{{Cluster: "unknown"}}
		mustEqual(t, e, o, q)
	})
}

func testTables(t *testing.T, e columnar.Engine) {
	span := logs(app("x"), row(1, "", field("name", "GET /")))
	span.Table = columnar.Spans
	eachLayer(t, e, []columnar.Batch{logs(app("x"), row(1, "log")), span}, func(t *testing.T, o *Oracle) {
		for _, table := range []columnar.Table{columnar.Logs, columnar.Spans} {
			q := everything()
			q.Table = table
			mustEqual(t, e, o, q)
		}
	})
}

func testDuplicates(t *testing.T, e columnar.Engine) {
	o := NewOracle()
	send := func(collector, stream string, sequence uint64) {
		b := logs(app(collector), row(int64(sequence), fmt.Sprint(stream, sequence)))
		b.ID = columnar.BatchID{Collector: collector, Stream: stream, Sequence: sequence}
		put(t, e, o, b)
	}
	for sequence := uint64(1); sequence <= 5; sequence++ {
		for _, collector := range []string{"c1", "c2"} {
			send(collector, "logs", sequence)
			send(collector, "logs", sequence)
			send(collector, "traces", sequence)
		}
		if sequence == 3 {
			flush(t, e)
		}
		send("c1", "logs", 1)
	}
	send("c1", "logs", 9) // a gap is allowed
	send("c1", "logs", 8) // and not filled afterwards
	mustEqual(t, e, o, everything())

	// The same batch from many connections at once is stored once.
	b := logs(app("race"), row(1, "once"))
	b.ID = columnar.BatchID{Collector: "race", Stream: "logs", Sequence: 1}
	var wg sync.WaitGroup
	stored := make(chan bool, 16)
	for range cap(stored) {
		wg.Go(func() {
			duplicate, err := e.Append(context.Background(), b)
			stored <- err == nil && !duplicate
		})
	}
	wg.Wait()
	close(stored)
	n := 0
	for s := range stored {
		if s {
			n++
		}
	}
	require.Equal(t, 1, n)
	_, err := o.Append(context.Background(), b)
	require.NoError(t, err)
	mustEqual(t, e, o, everything())
}

func testUnnamed(t *testing.T, e columnar.Engine) {
	o := NewOracle()
	for range 3 {
		put(t, e, o, logs(app("x"), row(1, "again")))
		put(t, e, o, columnar.Batch{Table: columnar.Logs})
	}
	mustEqual(t, e, o, everything())
}

func testMemory(t *testing.T, e columnar.Engine) {
	o := NewOracle()
	text := []byte("line value name")
	b := logs(app("x"), row(1, unsafeString(text[:4]), field(unsafeString(text[11:]), unsafeString(text[5:10]))))
	put(t, e, o, b)
	for i := range text {
		text[i] = '!'
	}
	mustEqual(t, e, o, everything())
	flush(t, e)
	mustEqual(t, e, o, everything())
}

func testStreams(t *testing.T, e columnar.Engine) {
	var batches []columnar.Batch
	for i := range 30 {
		ls := labels.FromStrings("app", fmt.Sprint("app", i%5), "namespace", fmt.Sprint("n", i%2))
		batches = append(batches, logs(ls, row(int64(i*10), "x")))
	}
	ctx := context.Background()
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for _, ms := range [][]*labels.Matcher{
			nil,
			{match(labels.MatchEqual, "app", "app1")},
			{match(labels.MatchRegexp, "app", "app[12]"), match(labels.MatchNotEqual, "namespace", "n0")},
			{match(labels.MatchEqual, "absent", "")},
			{match(labels.MatchEqual, "app", "none")},
		} {
			want, err := o.Streams(ctx, columnar.Logs, nil, -1000, 1000, ms)
			require.NoError(t, err)
			got, err := e.Streams(ctx, columnar.Logs, nil, -1000, 1000, ms)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(want), fmt.Sprint(got))
			// A range may be imprecise, but never leaves out a stream that has rows.
			some, err := o.Streams(ctx, columnar.Logs, nil, 100, 150, ms)
			require.NoError(t, err)
			got, err = e.Streams(ctx, columnar.Logs, nil, 100, 150, ms)
			require.NoError(t, err)
			require.Subset(t, texts(want), texts(got))
			require.Subset(t, texts(got), texts(some))
			for _, from := range []int64{-5, 0, 155, 290, 291} {
				wantTime, wantFound, err := o.NewestTimestamp(ctx, columnar.Logs, nil, from, ms)
				require.NoError(t, err)
				gotTime, found, err := e.NewestTimestamp(ctx, columnar.Logs, nil, from, ms)
				require.NoError(t, err)
				require.Equal(t, wantFound, found)
				require.Equal(t, wantTime, gotTime)
			}
			q := everything()
			q.Matchers = ms
			mustEqual(t, e, o, q)
		}
		got, err := e.Streams(ctx, columnar.Spans, nil, -1000, 1000, nil)
		require.NoError(t, err)
		require.Empty(t, got)
		got, err = e.Streams(ctx, columnar.Logs, nil, 10_000, 20_000, nil)
		require.NoError(t, err)
		require.Empty(t, got)
	})
}

func texts(ls []labels.Labels) []string {
	out := make([]string, len(ls))
	for i := range ls {
		out[i] = ls[i].String()
	}
	return out
}

func testBudget(t *testing.T, e columnar.Engine) {
	var batches []columnar.Batch
	for i := range 100 {
		batches = append(batches, logs(app(fmt.Sprint(i%4)), row(int64(i), fmt.Sprintf("a line of some length, number %d", i))))
	}
	eachLayer(t, e, batches, func(t *testing.T, _ *Oracle) {
		for _, c := range []struct {
			bound  string
			budget columnar.Budget
		}{
			{"MaxRows", columnar.Budget{MaxRows: 10}},
			{"MaxBytes", columnar.Budget{MaxBytes: 100}},
			{"MaxStreams", columnar.Budget{MaxStreams: 3}},
		} {
			q := everything()
			q.Budget = c.budget
			_, _, err := collect(context.Background(), e, q)
			var budget *columnar.BudgetError
			if _, isOracle := e.(*Oracle); isOracle && c.bound == "MaxStreams" {
				continue
			}
			require.ErrorAs(t, err, &budget)
			require.Equal(t, c.bound, budget.Bound)
		}
		q := everything()
		q.Budget = columnar.Budget{MaxRows: 1e6, MaxBytes: 1e9, MaxStreams: 4}
		rows, stats, err := collect(context.Background(), e, q)
		require.NoError(t, err)
		require.Len(t, rows, 100)
		require.EqualValues(t, 100, stats.Rows)
		require.Positive(t, stats.Bytes)
	})
}

func testBadQueries(t *testing.T, e columnar.Engine) {
	put(t, e, nil, logs(app("x"), row(1, "line")))
	for name, change := range map[string]func(q *columnar.Query){
		"line expression": func(q *columnar.Query) { q.Lines = []columnar.LinePredicate{{Op: columnar.Matches, Text: "("}} },
		"field expression": func(q *columnar.Query) {
			q.Fields = []columnar.FieldPredicate{{Name: "a", Op: columnar.FieldMatches, Text: "["}}
		},
	} {
		q := everything()
		change(&q)
		_, _, err := collect(context.Background(), e, q)
		require.Error(t, err, name)
	}
}

func testBadBatches(t *testing.T, e columnar.Engine) {
	if _, ok := e.(*Oracle); ok {
		t.Skip("the oracle takes anything")
	}
	ctx := context.Background()
	b := logs(app("x"), row(1, "line"))
	b.Table = 77
	_, err := e.Append(ctx, b)
	require.Error(t, err)
	b = logs(app("x"), row(1, "line"))
	b.ID = columnar.BatchID{Collector: "c", Stream: "logs"}
	_, err = e.Append(ctx, b)
	require.ErrorContains(t, err, "sequence")
	mustEqual(t, e, NewOracle(), everything())
}

func testCanceled(t *testing.T, e columnar.Engine) {
	ctx, cancel := context.WithCancel(context.Background())
	for i := range 50 {
		put(t, e, nil, logs(app(fmt.Sprint(i)), row(int64(i), "line")))
	}
	c, err := e.Select(ctx, everything())
	require.NoError(t, err)
	cancel()
	for range 100 {
		var b *columnar.ColumnBatch
		if b, err = c.Next(ctx); err != nil || b == nil {
			break
		}
	}
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "closing twice is harmless")
	if _, ok := e.(*Oracle); !ok {
		_, err = e.Append(ctx, logs(app("x"), row(1, "never")))
		require.ErrorIs(t, err, context.Canceled)
	}
}
