package columnartest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

// settled reports whether all deleted rows have left the disk, so that the catalogue
// of everything is exact.
func settled(t testing.TB, e columnar.Engine) bool {
	t.Helper()
	all, err := e.Deletions(context.Background())
	require.NoError(t, err)
	return !slices.ContainsFunc(all, func(d columnar.Deletion) bool { return !d.Done })
}

// mustCatalog compares names and values with the oracle's. Only a query over
// everything has an exact answer, and only once deletions are carried out; others
// may count too much by the bounds of a block, never too little.
func mustCatalog(t testing.TB, e columnar.Catalog, o *Oracle, q columnar.CatalogQuery, exact bool) {
	t.Helper()
	ctx := context.Background()
	want, err := o.FieldNames(ctx, q)
	require.NoError(t, err)
	got, err := e.FieldNames(ctx, q)
	require.NoError(t, err)
	found := map[string]columnar.FieldName{}
	last := ""
	for i, n := range got {
		require.True(t, i == 0 || n.Name > last, "names are in order: %q after %q", n.Name, last)
		last = n.Name
		found[n.Name] = n
	}
	if exact {
		require.Equal(t, len(want), len(got))
	}
	for _, w := range want {
		g, ok := found[w.Name]
		require.True(t, ok, "name %q is missing: %+v", w.Name, q)
		require.GreaterOrEqual(t, g.Rows, w.Rows, "%q", w.Name)
		require.Subset(t, g.Types, w.Types, "%q", w.Name)
		if exact {
			require.Equal(t, w.Rows, g.Rows, "%q", w.Name)
			require.Equal(t, w.Types, g.Types, "%q", w.Name)
			require.LessOrEqual(t, math.Abs(float64(g.Distinct-w.Distinct)), 2+0.4*float64(w.Distinct), "%q has %d values, not about %d", w.Name, w.Distinct, g.Distinct)
		}
		if !strings.HasPrefix(w.Name, "rare") || strings.HasSuffix(w.Name, "7") {
			mustValues(t, e, o, q, w.Name, exact) // the random rows have many rare names
		}
	}
}

func mustValues(t testing.TB, e columnar.Catalog, o *Oracle, q columnar.CatalogQuery, name string, exact bool) {
	t.Helper()
	ctx := context.Background()
	want, _, err := o.FieldValues(ctx, q, name, 0)
	require.NoError(t, err)
	got, more, err := e.FieldValues(ctx, q, name, 0)
	require.NoError(t, err)
	if exact && !more {
		require.Equal(t, want, got, "values of %q", name)
	}
	type key struct {
		value string
		typ   columnar.ValueType
	}
	rows := map[key]int64{}
	for i, v := range got {
		require.True(t, i == 0 || v.Rows <= got[i-1].Rows, "values of %q: the most frequent come first", name)
		rows[key{v.Value, v.Type}] = v.Rows
	}
	for _, w := range want {
		g, ok := rows[key{w.Value, w.Type}]
		delete(rows, key{w.Value, w.Type})
		switch {
		case more: // what is there may be counted only in part
		case !ok:
			t.Fatalf("value %q of %q is missing: %+v", w.Value, name, q)
		case g < w.Rows:
			t.Fatalf("value %q of %q: %d rows, want %d at least", w.Value, name, g, w.Rows)
		}
	}
	if exact {
		require.Empty(t, rows, "values of %q that are not stored", name)
	}
	mustCut(t, e, q, name)
}

// mustCut checks that a limit takes the first of what there is without it. Merging
// in the background may drop deleted rows from the counts, or list fewer values,
// between any two calls, so the two are compared once the answer without the limit
// is the same before and after.
func mustCut(t testing.TB, e columnar.Catalog, q columnar.CatalogQuery, name string) {
	t.Helper()
	ctx := context.Background()
	all, more, err := e.FieldValues(ctx, q, name, 0)
	require.NoError(t, err)
	for range 100 {
		first, cut, err := e.FieldValues(ctx, q, name, 1)
		require.NoError(t, err)
		require.LessOrEqual(t, len(first), 1)
		again, moreAgain, err := e.FieldValues(ctx, q, name, 0)
		require.NoError(t, err)
		if more == moreAgain && slices.Equal(all, again) {
			require.Equal(t, more || len(all) > 1, cut, "values of %q: whether there are more", name)
			if !more { // which values are left out may differ from call to call
				require.True(t, slices.Equal(all[:min(1, len(all))], first), "values of %q: the first of %v is not %v", name, all, first)
			}
			return
		}
		all, more = again, moreAgain
	}
	t.Fatalf("values of %q differ from call to call, a hundred times", name)
}

func everythingInCatalog(t columnar.Table) columnar.CatalogQuery {
	return columnar.CatalogQuery{Table: t, From: math.MinInt64, To: math.MaxInt64}
}

func testCatalog(t *testing.T, e columnar.Engine) {
	var batches []columnar.Batch
	for i := range 300 {
		fields := []columnar.Field{
			field("status", fmt.Sprint(200+i%3)), {Name: "status", Value: "200", Type: columnar.Int},
			field("unique", fmt.Sprint("value number ", i)),
			{Name: "size", Value: fmt.Sprint(i), Type: columnar.Int},
			field("long", strings.Repeat("x", 1000+i%2)),
		}
		batches = append(batches, logs(app(fmt.Sprint(i%3)), row(int64(i), "line", fields...), row(int64(i), "without")))
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		mustCatalog(t, e, o, everythingInCatalog(columnar.Logs), true)
		mustCatalog(t, e, o, everythingInCatalog(columnar.Spans), true)
		q := everythingInCatalog(columnar.Logs)
		q.From, q.To = 10, 20
		q.Matchers = []*labels.Matcher{match(labels.MatchEqual, "app", "1")}
		mustCatalog(t, e, o, q, false)
		q.Matchers = []*labels.Matcher{match(labels.MatchEqual, "app", "absent")}
		names, err := e.FieldNames(context.Background(), q)
		require.NoError(t, err)
		require.Empty(t, names)
		values, more, err := e.FieldValues(context.Background(), everythingInCatalog(columnar.Logs), "absent", 10)
		require.NoError(t, err)
		require.Empty(t, values)
		require.False(t, more)
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, isOracle := e.(*Oracle); !isOracle {
		_, err := e.FieldNames(ctx, everythingInCatalog(columnar.Logs))
		require.ErrorIs(t, err, context.Canceled)
		_, _, err = e.FieldValues(ctx, everythingInCatalog(columnar.Logs), "status", 1)
		require.ErrorIs(t, err, context.Canceled)
		_, err = e.FieldNames(context.Background(), columnar.CatalogQuery{Table: 9})
		require.Error(t, err)
	}
}

// testNumericRanges is about blocks that a numeric comparison need not open.
func testNumericRanges(t *testing.T, e columnar.Engine) {
	var batches []columnar.Batch
	for i := range 200 {
		var fields []columnar.Field
		switch i % 5 {
		case 0:
			fields = []columnar.Field{{Name: "n", Value: fmt.Sprint(i * i * i), Type: columnar.Int}}
		case 1:
			fields = []columnar.Field{{Name: "n", Value: fmt.Sprint(float64(i) / 7), Type: columnar.Float}, field("m", fmt.Sprint(i))}
		case 2:
			fields = []columnar.Field{{Name: "n", Value: []string{"NaN", "+Inf", "-Inf", "none"}[i%4], Type: columnar.Float}}
		case 3:
			fields = []columnar.Field{field("n", "text"), {Name: "n", Value: "-12", Type: columnar.Int}}
		}
		batches = append(batches, logs(app(fmt.Sprint(i/10)), row(int64(i), strings.Repeat("padding ", 40), fields...)))
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for op := columnar.FieldLess; op <= columnar.FieldGreaterOrEqual; op++ {
			for _, text := range []string{"0", "-12", "1e3", "7880599", "+Inf", "-Inf", "NaN", "x", ""} {
				for _, name := range []string{"n", "m", "absent"} {
					q := everything()
					q.Fields = []columnar.FieldPredicate{{Name: name, Op: op, Text: text}}
					mustEqual(t, e, o, q)
					mustCount(t, e, o, columnar.CountQuery{Query: q})
				}
			}
		}
	})
}
