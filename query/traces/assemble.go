package traces

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"github.com/yagura-dev/yagura/query/columnar"
)

// lookups is how many ids of one answer are looked up at once: an id costs little,
// and most of it is waiting for pages of the disk.
const lookups = 4

// assemble reads all spans of the traces that start in [from, to). Each id is a
// query of its own, because equality of the trace id is what the store has an
// index for.
func (q *Querier) assemble(ctx context.Context, ids []TraceID, from, to int64) ([]Trace, error) {
	found := make([]Trace, len(ids))
	left := &countdown{left: q.cfg.MaxSpans}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(lookups)
	seen := make(map[TraceID]struct{}, len(ids)) // an id may be asked for twice
	for i, id := range ids {
		if _, ok := seen[id]; ok {
			continue
		}
		seen[id] = struct{}{}
		g.Go(func() error {
			t, err := q.lookUp(gctx, id, from, to, left)
			found[i] = t
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := found[:0]
	for _, t := range found {
		if len(t.Spans) > 0 {
			out = append(out, t)
		}
	}
	return out, nil
}

// countdown bounds the spans of one answer.
type countdown struct {
	mu   sync.Mutex
	left int
}

func (c *countdown) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	return c.left >= 0
}

// lookUp reads one trace; without spans there is none.
func (q *Querier) lookUp(ctx context.Context, id TraceID, from, to int64, left *countdown) (Trace, error) {
	t := Trace{ID: id}
	query := columnar.Query{
		Table: columnar.Spans, From: from, To: to,
		Fields:  []columnar.FieldPredicate{{Name: fieldTraceID, Op: columnar.FieldEqual, Text: id.String()}},
		Columns: columnar.Columns{AllFields: true},
	}
	keep := keeper{names: map[string]string{}}
	st, err := q.scan(ctx, query, func(lbls labels.Labels, ts int64, fields []columnar.Field) (bool, error) {
		if !left.take() {
			return false, &LimitError{Limit: "maxSpans", Detail: fmt.Sprintf("the answer has more than %d spans", q.cfg.MaxSpans)}
		}
		s, err := SpanFromRow(lbls, columnar.Row{Timestamp: ts, Fields: keep.fields(fields)})
		if err != nil {
			return false, fmt.Errorf("trace %s: %w", id, err)
		}
		t.Spans = append(t.Spans, s)
		return true, nil
	})
	if err != nil {
		return t, err
	}
	t.Spans = withoutRepeats(t.Spans)
	if st.BlocksLost > 0 {
		t.Warnings = append(t.Warnings, fmt.Sprintf("%d damaged blocks of the store could not be read; spans may be missing", st.BlocksLost))
	}
	return t, nil
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
