package columnartest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

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
		{"Closed", testClosed},
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

func testOrder(t *testing.T, e columnar.Engine) {
	var batches []columnar.Batch
	for i := range 40 {
		// Timestamps fall and interleave between streams; some are equal, one is
		// before 1970.
		batches = append(batches, logs(app(fmt.Sprint(i%3)), row(int64(1000-i*7), fmt.Sprint("a", i)), row(int64(i*5), fmt.Sprint("b", i)), row(-3, fmt.Sprint("c", i))))
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for _, direction := range []columnar.Direction{columnar.Forward, columnar.Backward} {
			for _, limit := range []int{0, 1, 2, 17, 119, 120, 1000} {
				q := everything()
				q.Direction, q.Limit = direction, limit
				mustEqual(t, e, o, q)
				first, _, err := collect(context.Background(), e, q)
				require.NoError(t, err)
				second, _, err := collect(context.Background(), e, q)
				require.NoError(t, err)
				require.Equal(t, first, second, "the order of equal times is stable")
			}
		}
	})
}

func testLinePredicates(t *testing.T, e columnar.Engine) {
	lines := []string{"", "a", "error: disk full", "ERROR: disk full", "disk", "first\nsecond", "id=da74a0f87 x", "\xff\xfe not UTF-8", "naïve ünïcode 日本", "tail a", "aa", "full disk"}
	var batches []columnar.Batch
	for i, l := range lines {
		batches = append(batches, logs(app("x"), row(int64(i), l)))
	}
	predicates := []columnar.LinePredicate{}
	for _, text := range []string{"", "a", "disk", "disk full", "full", "日本", "nothing", "da74a0f87", "\xff", "fulldisk"} {
		predicates = append(predicates, columnar.LinePredicate{Op: columnar.Contains, Text: text}, columnar.LinePredicate{Op: columnar.NotContains, Text: text})
	}
	for _, text := range []string{"", "^a$", "(?i)error", "disk (full|empty)", "^$", "first.second", "(?s)first.second", "[0-9a-f]{9}", "error|disk", "a+", "(disk ){0,1}full", "\uFFFD", "x*"} {
		predicates = append(predicates, columnar.LinePredicate{Op: columnar.Matches, Text: text}, columnar.LinePredicate{Op: columnar.NotMatches, Text: text})
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for i, p := range predicates {
			q := everything()
			q.Lines = []columnar.LinePredicate{p}
			mustEqual(t, e, o, q)
			q.Lines = append(q.Lines, predicates[(i*7+3)%len(predicates)])
			mustEqual(t, e, o, q)
			q.Columns = columnar.Columns{AllFields: true}
			mustEqual(t, e, o, q)
		}
	})
}

func testFieldPredicates(t *testing.T, e columnar.Engine) {
	var batches []columnar.Batch
	for i, fields := range [][]columnar.Field{
		nil,
		{field("status", "200")},
		{field("status", "500"), field("path", "/a")},
		{field("status", "")},
		{field("status", "200"), field("status", "500")},
		{{Name: "status", Value: "1e2", Type: columnar.Float}},
		{field("status", "NaN")},
		{field("status", "text\nmore")},
		{{Name: "status", Value: "-7", Type: columnar.Int}, field("path", "")},
		{field("path", "/b")},
	} {
		batches = append(batches, logs(app("x"), row(int64(i), fmt.Sprint("row ", i), fields...)))
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for op := columnar.FieldEqual; op <= columnar.FieldGreaterOrEqual; op++ {
			for _, name := range []string{"status", "path", "absent"} {
				for _, text := range []string{"", "200", "500", ".*", ".+", "2..|500", "20", "-7", "100.0", "text.more", "NaN", "Inf", "/[ab]"} {
					q := everything()
					q.Fields = []columnar.FieldPredicate{{Name: name, Op: op, Text: text}}
					mustEqual(t, e, o, q)
					q.Fields = append(q.Fields, columnar.FieldPredicate{Name: "path", Op: columnar.FieldNotEqual, Text: "/a"})
					mustEqual(t, e, o, q)
				}
			}
		}
	})
}

func testFieldTypes(t *testing.T, e columnar.Engine) {
	all := []columnar.Field{
		{Name: "s", Value: "text", Type: columnar.String}, {Name: "i", Value: "42", Type: columnar.Int},
		{Name: "f", Value: "1.5", Type: columnar.Float}, {Name: "b", Value: "true", Type: columnar.Bool},
		{Name: "y", Value: "AAE=", Type: columnar.Bytes}, {Name: "j", Value: `{"a":[1]}`, Type: columnar.JSON},
		{Name: "", Value: "", Type: columnar.String}, {Name: "s", Value: "again", Type: columnar.Int}, {Name: "s", Value: "text", Type: columnar.String},
	}
	batches := []columnar.Batch{
		logs(app("x"), row(1, "all", all...)),
		logs(app("x"), row(2, "none")),
		logs(app("x"), row(3, "mixed", columnar.Field{Name: "i", Value: "not a number"}, field("id", "0123456789abcdef0123456789abcdef"))),
		logs(app("x"), row(4, "hex", field("id", "fedcba98765432100123456789abcdef"))),
		logs(app("x"), row(5, "upper", field("id", "FEDCBA98765432100123456789ABCDEF"))),
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) { mustEqual(t, e, o, everything()) })
}

func testColumns(t *testing.T, e columnar.Engine) {
	var batches []columnar.Batch
	for i := range 20 {
		batches = append(batches, logs(app("x"), row(int64(i), fmt.Sprint("line ", i), field("a", fmt.Sprint(i)), field("b", "same"), field(fmt.Sprint("only", i), "here"))))
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for _, columns := range []columnar.Columns{
			{}, {Line: true}, {AllFields: true}, {Fields: []string{"a"}}, {Line: true, Fields: []string{"b", "only3", "absent"}},
		} {
			q := everything()
			q.Columns = columns
			mustEqual(t, e, o, q)
			q.Fields = []columnar.FieldPredicate{{Name: "a", Op: columnar.FieldGreater, Text: "10"}}
			q.Lines = []columnar.LinePredicate{{Op: columnar.Contains, Text: "1"}}
			mustEqual(t, e, o, q)
		}
	})
}

func testTimeRange(t *testing.T, e columnar.Engine) {
	day := int64(24 * time.Hour)
	var batches []columnar.Batch
	for i := range int64(12) {
		batches = append(batches, logs(app("x"), row(i*day/4, "a"), row(i*day/4-1, "b"), row(-i*day, "c"), row(i, "d")))
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for _, r := range [][2]int64{{0, 0}, {0, 1}, {1, 0}, {0, day}, {day, day + 1}, {day - 1, day}, {-5 * day, 5}, {-1 << 63, 1<<63 - 1}, {day / 4, day/4 + 1}} {
			for _, direction := range []columnar.Direction{columnar.Forward, columnar.Backward} {
				q := everything()
				q.From, q.To, q.Direction = r[0], r[1], direction
				mustEqual(t, e, o, q)
				q.Limit = 3
				mustEqual(t, e, o, q)
			}
		}
	})
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

func testSnapshot(t *testing.T, e columnar.Engine) {
	if _, ok := e.(*Oracle); ok {
		t.Skip("the oracle's cursor holds its rows")
	}
	ctx := context.Background()
	const n = 5000
	for i := range n {
		put(t, e, nil, logs(app(fmt.Sprint(i%7)), row(int64(i), fmt.Sprint("row ", i))))
		if i == n/2 {
			flush(t, e)
		}
	}
	c, err := e.Select(ctx, everything())
	require.NoError(t, err)
	seen := 0
	for {
		b, err := c.Next(ctx)
		require.NoError(t, err)
		if b == nil {
			break
		}
		for i := range b.Len() {
			require.Equal(t, int64(seen), b.Timestamps[i])
			require.Equal(t, fmt.Sprint("row ", seen), b.Lines[i])
			seen++
		}
		if seen < n/2 {
			put(t, e, nil, logs(app("0"), row(-1, "too old to be seen by a cursor that is past it")))
			flush(t, e)
		}
	}
	require.Equal(t, n, seen)
	require.NoError(t, c.Close())
}

func testConcurrency(t *testing.T, e columnar.Engine) {
	const writers, batches = 4, 60
	ctx := context.Background()
	o := NewOracle()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range batches {
				b := logs(app(fmt.Sprint(w)), row(int64(i), fmt.Sprint("w", w, " ", i)), row(int64(i*31%17), "second", field("w", fmt.Sprint(w))))
				b.ID = columnar.BatchID{Collector: fmt.Sprint(w), Stream: "logs", Sequence: uint64(i + 1)}
				if _, err := e.Append(ctx, b); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				if _, err := o.Append(ctx, b); err != nil {
					t.Error(err)
				}
				// What was acknowledged is visible at once.
				q := everything()
				q.Matchers = []*labels.Matcher{match(labels.MatchEqual, "app", fmt.Sprint(w))}
				rows, _, err := collect(ctx, e, q)
				if err != nil || len(rows) != 2*(i+1) {
					t.Errorf("writer %d sees %d rows after %d batches: %v", w, len(rows), i+1, err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if f, ok := e.(interface{ Flush(context.Context) error }); ok {
				if err := f.Flush(ctx); err != nil {
					t.Errorf("flush: %v", err)
				}
			}
			if _, _, err := collect(ctx, e, everything()); err != nil {
				t.Errorf("collect: %v", err)
			}
		}
	})
	wg.Wait()
	close(done)
	readers.Wait()
	mustEqual(t, e, o, everything())
}

func testRetain(t *testing.T, e columnar.Engine) {
	ctx := context.Background()
	o := NewOracle()
	day := int64(24 * time.Hour)
	for i := range int64(10) {
		put(t, e, o, logs(app("every day"), row(i*day+5, fmt.Sprint("day ", i))))
		put(t, e, o, logs(app(fmt.Sprint("day", i)), row(i*day+7, fmt.Sprint("day ", i))))
		if i%3 == 1 {
			flush(t, e)
		}
	}
	before := time.Unix(0, 6*day)
	require.NoError(t, e.Retain(ctx, before))
	require.NoError(t, o.Retain(ctx, before))
	// Days are apart, so that whole blocks are whole days here.
	mustEqual(t, e, o, everything())
	want, err := o.Streams(ctx, columnar.Logs, nil, 0, 100*day, nil)
	require.NoError(t, err)
	got, err := e.Streams(ctx, columnar.Logs, nil, 0, 100*day, nil)
	require.NoError(t, err)
	require.Equal(t, texts(want), texts(got))
	_, found, err := e.NewestTimestamp(ctx, columnar.Logs, nil, 0, []*labels.Matcher{match(labels.MatchEqual, "app", "day2")})
	require.NoError(t, err)
	require.False(t, found)
	put(t, e, o, logs(app("late"), row(2*day, "arrived after retention ran")))
	mustEqual(t, e, o, everything())
	flush(t, e)
	mustEqual(t, e, o, everything())
	require.NoError(t, e.Retain(ctx, time.Unix(0, 100*day)))
	mustEqual(t, e, NewOracle(), everything())
}

func testClosed(t *testing.T, e columnar.Engine) {
	if _, ok := e.(*Oracle); ok {
		t.Skip("the oracle forgets nothing")
	}
	ctx := context.Background()
	put(t, e, nil, logs(app("x"), row(1, "line")))
	require.NoError(t, e.Close())
	_, err := e.Append(ctx, logs(app("x"), row(1, "line")))
	require.ErrorIs(t, err, columnar.ErrClosed)
	_, err = e.Select(ctx, everything())
	require.ErrorIs(t, err, columnar.ErrClosed)
	_, err = e.Streams(ctx, columnar.Logs, nil, 0, 1, nil)
	require.ErrorIs(t, err, columnar.ErrClosed)
	_, _, err = e.NewestTimestamp(ctx, columnar.Logs, nil, 0, nil)
	require.ErrorIs(t, err, columnar.ErrClosed)
	require.True(t, errors.Is(e.Retain(ctx, time.Unix(1, 0)), columnar.ErrClosed))
}

func testReopen(t *testing.T, open OpenFunc) {
	dir := t.TempDir()
	o := NewOracle()
	sequence := uint64(0)
	for round := range 6 {
		e := open(t, dir)
		mustEqual(t, e, o, everything())
		for i := range 20 {
			sequence++
			b := logs(app(fmt.Sprint(i%3)), row(int64(i*round), fmt.Sprint(round, " ", i), field("round", fmt.Sprint(round))))
			b.ID = columnar.BatchID{Collector: "c", Stream: "logs", Sequence: sequence}
			put(t, e, o, b)
			if i == 10 && round%2 == 0 {
				flush(t, e)
			}
			if i == 15 {
				require.NoError(t, e.Close())
				e = open(t, dir)
				put(t, e, o, b) // its answer may have been lost
			}
		}
		mustEqual(t, e, o, everything())
		require.NoError(t, e.Close())
	}
}
