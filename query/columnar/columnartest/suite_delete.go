package columnartest

import (
	"context"
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

// remove deletes from both engines.
func remove(t testing.TB, e columnar.Engine, o *Oracle, d columnar.Deletion) string {
	t.Helper()
	id, err := e.Delete(context.Background(), d)
	require.NoError(t, err)
	_, err = o.Delete(context.Background(), d)
	require.NoError(t, err)
	return id
}

func always(table columnar.Table) columnar.Deletion {
	return columnar.Deletion{Table: table, From: -1 << 62, To: 1 << 62}
}

// What was stored before is gone, wherever it lies; what comes afterwards stays,
// however often rows are moved.
func testDelete(t *testing.T, e columnar.Engine) {
	ctx := context.Background()
	o := NewOracle()
	day := int64(24 * 60 * 60 * 1e9)
	for i := range int64(8) {
		for _, name := range []string{"a", "b", "c"} {
			put(t, e, o, logs(app(name), row(i*day, fmt.Sprint(name, i)), row(i*day+1, "second")))
		}
		if i%3 == 1 {
			flush(t, e)
		}
	}
	d := always(columnar.Logs)
	d.From, d.To = 2*day, 5*day+1
	d.Matchers = []*labels.Matcher{match(labels.MatchNotEqual, "app", "c")}
	d.Query, d.ID = `{app!="c"}`, "mine"
	require.Equal(t, "mine", remove(t, e, o, d))
	mustEqual(t, e, o, everything())
	all, err := e.Deletions(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, d.Query, all[0].Query)
	require.Equal(t, d.From, all[0].From)

	// The same rows again are new ones.
	for i := range int64(8) {
		put(t, e, o, logs(app("a"), row(i*day, fmt.Sprint("a", i))))
	}
	mustEqual(t, e, o, everything())
	flush(t, e)
	mustEqual(t, e, o, everything())
	q := everything()
	q.Direction, q.Limit = columnar.Backward, 5
	mustEqual(t, e, o, q)

	remove(t, e, o, always(columnar.Spans))
	mustEqual(t, e, o, everything())
	remove(t, e, o, always(columnar.Logs))
	mustEqual(t, e, o, everything())
	put(t, e, o, logs(app("a"), row(1, "later")))
	flush(t, e)
	mustEqual(t, e, o, everything())
}

func testDeletePredicates(t *testing.T, e columnar.Engine) {
	o := NewOracle()
	tenants := []columnar.Tenant{{}, {Namespace: "n1"}}
	for i := range int64(400) {
		b := logs(app(fmt.Sprint(i%4)), row(i, fmt.Sprint("line ", i%10), field("user", fmt.Sprint(i%7)), field("user", "all")), row(i, ""))
		b.Streams[0].Tenant = tenants[i%2]
		put(t, e, o, b)
		if i%150 == 99 {
			flush(t, e)
		}
	}
	for _, change := range []func(d *columnar.Deletion){
		func(d *columnar.Deletion) {
			d.Lines = []columnar.LinePredicate{{Op: columnar.Contains, Text: "line 3"}}
		},
		func(d *columnar.Deletion) {
			d.Lines = []columnar.LinePredicate{{Op: columnar.Matches, Text: "[45]$"}}
			d.Tenants = tenants[1:]
		},
		func(d *columnar.Deletion) {
			d.Fields = []columnar.FieldPredicate{{Name: "user", Op: columnar.FieldEqual, Text: "5"}}
			d.To = 200
		},
		func(d *columnar.Deletion) {
			d.Fields = []columnar.FieldPredicate{{Name: "user", Op: columnar.FieldLess, Text: "2"}}
			d.Lines = []columnar.LinePredicate{{Op: columnar.NotContains, Text: "7"}}
		},
		func(d *columnar.Deletion) {
			d.Lines = []columnar.LinePredicate{{Op: columnar.Contains, Text: "nowhere"}}
		},
	} {
		d := always(columnar.Logs)
		change(&d)
		remove(t, e, o, d)
		mustEqual(t, e, o, everything())
		flush(t, e)
		q := everything()
		q.Lines = []columnar.LinePredicate{{Op: columnar.NotContains, Text: "line 1"}}
		mustEqual(t, e, o, q)
	}
}

func testBadDeletions(t *testing.T, e columnar.Engine) {
	if _, ok := e.(*Oracle); ok {
		t.Skip("the oracle checks nothing")
	}
	ctx := context.Background()
	put(t, e, nil, logs(app("x"), row(1, "line")))
	for name, change := range map[string]func(d *columnar.Deletion){
		"table":      func(d *columnar.Deletion) { d.Table = 7 },
		"range":      func(d *columnar.Deletion) { d.To = d.From },
		"expression": func(d *columnar.Deletion) { d.Lines = []columnar.LinePredicate{{Op: columnar.Matches, Text: "("}} },
		"operation":  func(d *columnar.Deletion) { d.Fields = []columnar.FieldPredicate{{Name: "x", Op: 99}} },
	} {
		d := always(columnar.Logs)
		change(&d)
		_, err := e.Delete(ctx, d)
		require.Error(t, err, name)
	}
	all, err := e.Deletions(ctx)
	require.NoError(t, err)
	require.Empty(t, all)
	require.ErrorIs(t, e.CancelDeletion(ctx, "unknown"), columnar.ErrNoDeletion)
	d := always(columnar.Logs)
	d.ID, d.From = "twice", 100
	_, err = e.Delete(ctx, d)
	require.NoError(t, err)
	_, err = e.Delete(ctx, d)
	require.ErrorContains(t, err, "twice")
	o := NewOracle()
	put(t, o, nil, logs(app("x"), row(1, "line")))
	mustEqual(t, e, o, everything())
}

func testDeleteReopen(t *testing.T, open OpenFunc) {
	dir := t.TempDir()
	o := NewOracle()
	for i := range int64(6) {
		e := open(t, dir)
		mustEqual(t, e, o, everything())
		for j := range int64(20) {
			put(t, e, o, logs(app(fmt.Sprint(j%3)), row(j, fmt.Sprint("round ", i, " row ", j), field("bytes", "\xff\x00"))))
		}
		if i%2 == 0 {
			flush(t, e)
		}
		d := always(columnar.Logs)
		d.Lines = []columnar.LinePredicate{{Op: columnar.Contains, Text: fmt.Sprint("row ", i)}}
		d.Fields = []columnar.FieldPredicate{{Name: "bytes", Op: columnar.FieldEqual, Text: "\xff\x00"}}
		remove(t, e, o, d)
		put(t, e, o, logs(app("0"), row(i, fmt.Sprint("row ", i), field("bytes", "\xff\x00"))))
		mustEqual(t, e, o, everything())
		require.NoError(t, e.Close())
	}
	e := open(t, dir)
	mustEqual(t, e, o, everything())
	require.NoError(t, e.Close())
}
