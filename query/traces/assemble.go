package traces

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// lookupIDs is how many ids are looked up together: traces that were found together
// often share blocks, which are then read once. It is within the number of values
// that the store looks up in its index for one predicate. On a million spans it made
// the twenty newest traces of a service ten times cheaper than one by one.
const lookupIDs = 50

// assemble reads all spans of the traces that start in [from, to), in the order of
// the ids, and leaves out those that do not exist.
func (q *Querier) assemble(ctx context.Context, ids []TraceID, from, to int64) ([]Trace, error) {
	found := make(map[TraceID]*Trace, len(ids))
	var distinct []TraceID // an id may be asked for twice
	for _, id := range ids {
		if found[id] == nil {
			found[id] = &Trace{ID: id}
			distinct = append(distinct, id)
		}
	}
	left := q.cfg.MaxSpans
	for chunk := range slices.Chunk(distinct, lookupIDs) {
		if err := q.lookUp(ctx, chunk, from, to, found, &left); err != nil {
			return nil, err
		}
	}
	out := make([]Trace, 0, len(distinct))
	for _, id := range distinct {
		if t := found[id]; len(t.Spans) > 0 {
			out = append(out, *t)
		}
	}
	return out, nil
}

// lookUp reads some traces into found. left is how many spans the answer may still
// take in.
func (q *Querier) lookUp(ctx context.Context, ids []TraceID, from, to int64, found map[TraceID]*Trace, left *int) error {
	query := columnar.Query{
		Table: columnar.Spans, From: from, To: to,
		Fields: []columnar.FieldPredicate{traceIDPredicate(ids)}, Columns: columnar.Columns{AllFields: true},
	}
	keep := keeper{names: map[string]string{}}
	st, err := q.scan(ctx, query, func(lbls labels.Labels, ts int64, fields []columnar.Field) (bool, error) {
		t := found[traceIDOf(fields)]
		if t == nil {
			return true, nil
		}
		if *left--; *left < 0 {
			return false, &LimitError{Limit: "maxSpans", Detail: fmt.Sprintf("the answer has more than %d spans", q.cfg.MaxSpans)}
		}
		s, err := SpanFromRow(lbls, columnar.Row{Timestamp: ts, Fields: keep.fields(fields)})
		if err != nil {
			return false, fmt.Errorf("trace %s: %w", t.ID, err)
		}
		t.Spans = append(t.Spans, s)
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		t := found[id]
		t.Spans = withoutRepeats(t.Spans)
		if st.BlocksLost > 0 {
			t.Warnings = append(t.Warnings, fmt.Sprintf("%d damaged blocks of the store could not be read; spans may be missing", st.BlocksLost))
		}
	}
	return nil
}

func traceIDPredicate(ids []TraceID) columnar.FieldPredicate {
	if len(ids) == 1 {
		return columnar.FieldPredicate{Name: fieldTraceID, Op: columnar.FieldEqual, Text: ids[0].String()}
	}
	texts := make([]string, len(ids)) // of digits, which mean themselves in an expression
	for i, id := range ids {
		texts[i] = id.String()
	}
	return columnar.FieldPredicate{Name: fieldTraceID, Op: columnar.FieldMatches, Text: strings.Join(texts, "|")}
}

// keeper takes what SpanFromRow keeps out of the store's batch: names once for all
// rows, and the values of a row in one piece.
type keeper struct {
	names map[string]string
	buf   strings.Builder
}

func (k *keeper) fields(in []columnar.Field) []columnar.Field {
	size := 0
	for _, f := range in {
		size += len(f.Value)
	}
	k.buf.Reset()
	k.buf.Grow(size)
	for _, f := range in {
		k.buf.WriteString(f.Value)
	}
	values := k.buf.String()
	out := make([]columnar.Field, len(in))
	for i, f := range in {
		name, ok := k.names[f.Name]
		if !ok {
			name = strings.Clone(f.Name)
			k.names[name] = name
		}
		out[i] = columnar.Field{Name: name, Value: values[:len(f.Value)], Type: f.Type}
		values = values[len(f.Value):]
	}
	return out
}
