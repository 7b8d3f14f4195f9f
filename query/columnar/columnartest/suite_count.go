package columnartest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

// mustCount compares a count with the oracle's.
func mustCount(t testing.TB, e columnar.Counter, o *Oracle, q columnar.CountQuery) columnar.Stats {
	t.Helper()
	ctx := context.Background()
	want, _, err := o.Count(ctx, q)
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	got, stats, err := e.Count(ctx, q)
	if err != nil {
		t.Fatalf("count %s, width %d: %v", describe(q.Query), q.Width, err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("count %s, width %d, bytes %v:\n got %v\nwant %v", describe(q.Query), q.Width, q.LineBytes, got, want)
	}
	return stats
}

// byApp groups streams by their label app; those of db are left out.
func byApp(ls labels.Labels) int {
	return slices.Index([]string{"shop", "cart", "nginx", "0", "1", "2"}, ls.Get("app"))
}

func testCount(t *testing.T, e columnar.Engine) {
	var batches []columnar.Batch
	for i := range 60 {
		batches = append(batches, logs(app(fmt.Sprint(i%4)),
			row(int64(i), fmt.Sprint("early ", i)),
			row(int64(i)*int64(time.Minute), fmt.Sprint("ERROR ", i), field("status", fmt.Sprint(i%3))),
			row(-int64(i), "")))
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for _, width := range []int64{0, 1, 7, int64(time.Minute), int64(time.Hour), 1 << 62} {
			for _, bounds := range [][2]int64{{-1 << 63, 1<<63 - 1}, {-10, 30}, {0, int64(time.Hour)}, {5, 5}, {9, 3}} {
				for _, lineBytes := range []bool{false, true} {
					q := columnar.CountQuery{Query: everything(), Width: width, LineBytes: lineBytes}
					q.Query.From, q.Query.To = bounds[0], bounds[1]
					mustCount(t, e, o, q)
					q.Group = byApp
					mustCount(t, e, o, q)
					q.Query.Lines = []columnar.LinePredicate{{Op: columnar.Contains, Text: "ERROR 1"}}
					mustCount(t, e, o, q)
					q.Query.Fields = []columnar.FieldPredicate{{Name: "status", Op: columnar.FieldEqual, Text: "1"}}
					mustCount(t, e, o, q)
				}
			}
		}
	})
}

func testCountGroups(t *testing.T, e columnar.Engine) {
	o := NewOracle()
	for i := range 20 {
		put(t, e, o, logs(app(fmt.Sprint(i)), row(int64(i), "x"), row(100, "y")))
	}
	flush(t, e)
	asked := map[string]int{}
	counts, _, err := e.Count(context.Background(), columnar.CountQuery{Query: everything(), Group: func(ls labels.Labels) int {
		asked[ls.Get("app")]++
		return -1
	}})
	require.NoError(t, err)
	require.Empty(t, counts)
	require.Len(t, asked, 20)
	for name, n := range asked {
		require.Equal(t, 1, n, name)
	}
	// Groups are the caller's numbers and may be far apart.
	mustCount(t, e, o, columnar.CountQuery{Query: everything(), Width: 3, Group: func(ls labels.Labels) int { return len(ls.Get("app")) * 1_000_000_000 }})
}

func testCountBounds(t *testing.T, e columnar.Engine) {
	ctx := context.Background()
	o := NewOracle()
	for i := range 50 {
		put(t, e, o, logs(app("x"), row(int64(i), fmt.Sprint("line ", i))))
	}
	q := columnar.CountQuery{Query: everything()}
	q.Query.Lines = []columnar.LinePredicate{{Op: columnar.Contains, Text: "1"}}
	_, isOracle := e.(*Oracle)
	for range 2 {
		for _, b := range []columnar.Budget{{MaxRows: 10}, {MaxBytes: 20}} {
			q.Query.Budget = b
			if _, _, err := e.Count(ctx, q); !isOracle {
				var budget *columnar.BudgetError
				require.ErrorAs(t, err, &budget)
			}
		}
		q.Query.Budget = columnar.Budget{MaxRows: 50, MaxBytes: 1 << 20, MaxStreams: 1}
		mustCount(t, e, o, q)

		canceled, cancel := context.WithCancel(ctx)
		cancel()
		_, _, err := e.Count(canceled, q)
		require.ErrorIs(t, err, context.Canceled)
		flush(t, e)
	}
	put(t, e, o, logs(app("y"), row(1, "1")))
	if _, _, err := e.Count(ctx, q); !isOracle {
		var budget *columnar.BudgetError
		require.ErrorAs(t, err, &budget)
		require.Equal(t, "MaxStreams", budget.Bound)
	}
	bad := columnar.CountQuery{Query: everything(), Width: -1}
	_, _, err := e.Count(ctx, bad)
	require.Error(t, err)
	bad = columnar.CountQuery{Query: everything()}
	bad.Query.Lines = []columnar.LinePredicate{{Op: columnar.Matches, Text: "("}}
	_, _, err = e.Count(ctx, bad)
	require.Error(t, err)
}

// count makes a count of the query.
func (g *generator) count(q columnar.Query) columnar.CountQuery {
	c := columnar.CountQuery{Query: q, LineBytes: g.IntN(2) == 0}
	c.Query.Limit = 0
	c.Width = pick(g, 0, 0, int64(time.Second), int64(7*time.Millisecond), int64(24*time.Hour))
	if g.IntN(2) == 0 {
		c.Group = byApp
	}
	return c
}
