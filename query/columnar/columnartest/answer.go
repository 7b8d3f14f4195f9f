package columnartest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/yagura-dev/yagura/query/columnar"
)

// answerRow is one row of an answer, copied out of its batch.
type answerRow struct {
	ts     int64
	labels string
	line   string
	fields string // of the wanted columns, sorted by name

	captures string
}

func (r answerRow) String() string {
	return fmt.Sprintf("%d %s %q %s %s", r.ts, r.labels, r.line, r.fields, r.captures)
}

func fieldsText(fields []columnar.Field, want columnar.Columns) string {
	kept := make([]columnar.Field, 0, len(fields))
	for _, f := range fields {
		if want.AllFields || slices.Contains(want.Fields, f.Name) {
			kept = append(kept, f)
		}
	}
	slices.SortStableFunc(kept, func(a, b columnar.Field) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	for _, f := range kept {
		fmt.Fprintf(&b, "%q=%q/%d ", f.Name, f.Value, f.Type)
	}
	return b.String()
}

// collect reads a whole answer and evaluates what the engine left to its caller.
// It checks the shape of every batch and the order of the rows.
func collect(ctx context.Context, e columnar.Reader, q columnar.Query) ([]answerRow, columnar.Stats, error) {
	// What is not applied must be evaluated here, which needs line and fields.
	want := q.Columns
	ask := q
	ask.Columns.Line = want.Line || len(q.Lines) > 0
	if len(q.Fields) > 0 && !want.AllFields {
		ask.Columns.Fields = slices.Clone(want.Fields)
		for _, p := range q.Fields {
			ask.Columns.Fields = append(ask.Columns.Fields, p.Name)
		}
	}
	c, err := e.Select(ctx, ask)
	if err != nil {
		return nil, columnar.Stats{}, err
	}
	defer c.Close()
	applied := c.Applied()
	if len(applied.Lines) != len(q.Lines) || len(applied.Fields) != len(q.Fields) {
		return nil, columnar.Stats{}, fmt.Errorf("applied %+v does not fit %d line and %d field predicates", applied, len(q.Lines), len(q.Fields))
	}
	var left columnar.Query
	for i, ok := range applied.Lines {
		if !ok {
			left.Lines = append(left.Lines, q.Lines[i])
		}
	}
	for i, ok := range applied.Fields {
		if !ok {
			left.Fields = append(left.Fields, q.Fields[i])
		}
	}
	var out []answerRow
	for {
		b, err := c.Next(ctx)
		if err != nil {
			return out, c.Stats(), err
		}
		if b == nil {
			break
		}
		rows, err := readBatch(b, ask.Columns)
		if err != nil {
			return out, c.Stats(), err
		}
		for i, r := range rows {
			ok, err := holds(&left, r.Row)
			if err != nil {
				return out, c.Stats(), err
			}
			if !ok {
				continue
			}
			a := answerRow{ts: r.Timestamp, labels: r.labels, fields: fieldsText(r.Fields, want)}
			if a.captures, err = capturesText(q.Captures, b, i); err != nil {
				return out, c.Stats(), err
			}
			if want.Line {
				a.line = strings.Clone(r.Line)
			}
			if n := len(out); n > 0 && (q.Direction == columnar.Forward && a.ts < out[n-1].ts || q.Direction == columnar.Backward && a.ts > out[n-1].ts) {
				return out, c.Stats(), fmt.Errorf("row %v is out of order after %v", a, out[n-1])
			}
			if out = append(out, a); q.Limit > 0 && len(out) == q.Limit {
				return out, c.Stats(), nil
			}
		}
	}
	return out, c.Stats(), nil
}

type batchRow struct {
	labels string
	columnar.Row
}

func readBatch(b *columnar.ColumnBatch, want columnar.Columns) ([]batchRow, error) {
	n := b.Len()
	if n == 0 {
		return nil, fmt.Errorf("batch without rows")
	}
	if len(b.StreamRefs) != n || b.Lines != nil && len(b.Lines) != n || b.Fields != nil && len(b.Fields) != n {
		return nil, fmt.Errorf("columns of a batch differ in length: %d %d %d %d", n, len(b.StreamRefs), len(b.Lines), len(b.Fields))
	}
	if want.Line && b.Lines == nil {
		return nil, fmt.Errorf("lines are wanted but missing")
	}
	if (want.AllFields || len(want.Fields) > 0) && b.Fields == nil {
		return nil, fmt.Errorf("fields are wanted but missing")
	}
	names := make([]string, len(b.Streams))
	rows := make([]batchRow, n)
	for i := range n {
		ref := b.StreamRefs[i]
		if int(ref) >= len(names) {
			return nil, fmt.Errorf("stream %d of %d", ref, len(names))
		}
		if names[ref] == "" {
			names[ref] = b.Streams[ref].String()
		}
		rows[i] = batchRow{labels: names[ref], Row: columnar.Row{Timestamp: b.Timestamps[i]}}
		if b.Lines != nil {
			rows[i].Line = b.Lines[i]
		}
		if b.Fields != nil {
			rows[i].Fields = b.Fields[i]
		}
	}
	return rows, nil
}

// equalAnswers says how an answer differs from the oracle's. Rows of equal time
// may come in any order, and with a limit any of those at its edge.
func equalAnswers(got, want []answerRow, all func() []answerRow) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d rows, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].ts != want[i].ts {
			return fmt.Errorf("row %d is %v, want time %d", i, got[i], want[i].ts)
		}
	}
	if len(got) == 0 {
		return nil
	}
	// Above the edge both must hold the same rows; at the edge any rows of that
	// time will do, but none twice.
	count := map[answerRow]int{}
	for _, r := range all() {
		count[r]++
	}
	for _, r := range got {
		if count[r]--; count[r] < 0 {
			return fmt.Errorf("row %v is not stored, or not so often", r)
		}
	}
	edge := want[len(want)-1].ts
	for r, n := range count {
		before := r.ts < edge
		if want[0].ts > edge {
			before = r.ts > edge
		}
		if n > 0 && before && want[0].ts != edge {
			return fmt.Errorf("row %v is missing %d times", r, n)
		}
	}
	return nil
}

// mustEqual compares an engine with the oracle on one query.
func mustEqual(t testing.TB, e columnar.Reader, o *Oracle, q columnar.Query) {
	t.Helper()
	ctx := context.Background()
	want, _, err := collect(ctx, o, q)
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	got, _, err := collect(ctx, e, q)
	if err != nil {
		t.Fatalf("query %s: %v", describe(q), err)
	}
	err = equalAnswers(got, want, func() []answerRow {
		if q.Limit == 0 {
			return want
		}
		q := q
		q.Limit = 0
		all, _, err := collect(ctx, o, q)
		if err != nil {
			t.Fatalf("oracle: %v", err)
		}
		return all
	})
	if err != nil {
		t.Fatalf("query %s: %v", describe(q), err)
	}
}

func describe(q columnar.Query) string {
	if q.Captures != nil {
		return fmt.Sprintf("%+v, captures %+v", q, *q.Captures)
	}
	return fmt.Sprintf("%+v", q)
}
