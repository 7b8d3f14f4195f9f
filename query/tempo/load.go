package tempo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traceql"
)

// candidate is a trace that a query may select, with the start of the span that says
// so.
type candidate struct {
	id   string // as stored
	seen int64  // Unix nanoseconds
}

// maxLookups is up to how many traces are read by their ids, through the index. For
// more, reading all spans of their time is cheaper.
const maxLookups = 64

// traceIDs asks for all of the traces at once. A block holds spans of many traces, those
// that a query finds one after the other often in the same blocks: together they are
// decoded once: for the newest 20 among 300,000 spans of 28 services that was 56,000 rows
// instead of 586,000.
func traceIDs(cs []candidate) columnar.FieldPredicate {
	if len(cs) == 1 {
		return columnar.FieldPredicate{Name: columnTraceID, Op: columnar.FieldEqual, Text: cs[0].id}
	}
	texts := make([]string, len(cs))
	for i, c := range cs {
		texts[i] = regexp.QuoteMeta(c.id)
	}
	return columnar.FieldPredicate{Name: columnTraceID, Op: columnar.FieldMatches, Text: strings.Join(texts, "|")}
}

// loaded is the rows of one trace, by start.
type loaded struct {
	id   string
	rows []*row
}

func (l loaded) trace() *traceql.Trace {
	spans := make([]traceql.Span, len(l.rows))
	for i, r := range l.rows {
		spans[i] = r.span()
	}
	return traceql.NewTrace(spans)
}

// load reads the spans of candidates for which one of the selections holds, within the
// configured spread of where they were seen, and calls visit with each trace that has
// any, in the candidates' order, until it says false. When the spans of all are too many
// to hold it takes half of the candidates at a time.
func (e *Engine) load(ctx context.Context, cs []candidate, ss []selection, columns columnar.Columns, st *Stats, visit func(loaded) (bool, error)) (bool, error) {
	ts, err := e.read(ctx, cs, ss, columns, st)
	var limit *LimitError
	if errors.As(err, &limit) && limit.Limit == "maxSpans" && len(cs) > 1 {
		more, err := e.load(ctx, cs[:len(cs)/2], ss, columns, st, visit)
		if err != nil || !more {
			return false, err
		}
		return e.load(ctx, cs[len(cs)/2:], ss, columns, st, visit)
	}
	if err != nil {
		return false, err
	}
	for _, t := range ts {
		if more, err := visit(t); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

func (e *Engine) read(ctx context.Context, cs []candidate, ss []selection, columns columnar.Columns, st *Stats) ([]loaded, error) {
	spread := int64(time.Duration(e.cfg.TraceSpread))
	byID := make(map[string]*loaded, len(cs))
	oldest, newest := cs[0].seen, cs[0].seen
	for _, c := range cs {
		byID[c.id] = &loaded{id: c.id}
		oldest, newest = min(oldest, c.seen), max(newest, c.seen)
	}
	if len(cs) <= maxLookups {
		ss = slices.Clone(ss)
		for i := range ss {
			ss[i].fields = append([]columnar.FieldPredicate{traceIDs(cs)}, ss[i].fields...)
		}
	}
	spans := 0
	names := interner{}
	err := e.scan(ctx, ss, columns, subtract(oldest, spread), add(newest, spread+1), columnar.Forward, st, func(r *row) (bool, error) {
		t := byID[r.text(columnTraceID)]
		if t == nil {
			return true, nil
		}
		if spans++; spans > e.cfg.MaxSpans {
			return false, &LimitError{Limit: "maxSpans", Detail: fmt.Sprintf("one trace has more than %d spans", e.cfg.MaxSpans)}
		}
		t.rows = append(t.rows, names.clone(r.labels, r.start, r.fields))
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	st.Traces += int64(len(cs))
	out := make([]loaded, 0, len(cs))
	for _, c := range cs {
		if t := byID[c.id]; len(t.rows) > 0 {
			t.rows = withoutRepeats(t.rows)
			out = append(out, *t)
		}
	}
	return out, nil
}

// add and subtract saturate.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func subtract(a, b int64) int64 {
	if a < math.MinInt64+b {
		return math.MinInt64
	}
	return a - b
}

// withoutRepeats sorts rows by start and drops those that are equal in everything:
// senders that do not name their batches store a span again when they repeat one.
func withoutRepeats(rows []*row) []*row {
	slices.SortStableFunc(rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.text(columnSpanID), b.text(columnSpanID)))
	})
	return slices.CompactFunc(rows, func(a, b *row) bool {
		return a.start == b.start && a.text(columnSpanID) == b.text(columnSpanID) && a.equal(b)
	})
}

func (r *row) equal(o *row) bool {
	if len(r.fields) != len(o.fields) || r.labels.Hash() != o.labels.Hash() {
		return false
	}
	byName := func(a, b columnar.Field) int { return cmp.Compare(a.Name, b.Name) }
	a, b := slices.Clone(r.fields), slices.Clone(o.fields)
	slices.SortStableFunc(a, byName)
	slices.SortStableFunc(b, byName)
	return slices.Equal(a, b)
}

// candidates walks the spans that a plan's selections find from the newest on, and
// calls visit with chunks of traces that it has not seen before until it says false.
// Chunks grow from the given size, so that a query that rejects most candidates does
// not look each one up by itself.
func (e *Engine) candidates(ctx context.Context, p *plan, from, to int64, size int, st *Stats, visit func([]candidate) (bool, error)) error {
	seen := map[string]struct{}{}
	var chunk []candidate
	var evaluator traceql.Evaluator
	columns := columnar.Columns{Fields: p.columns(columnTraceID)}
	stopped := false
	err := e.scan(ctx, p.selections, columns, from, to, columnar.Backward, st, func(r *row) (bool, error) {
		id := r.text(columnTraceID)
		if _, known := seen[id]; known || id == "" || p.selective && !p.matches(&evaluator, r) {
			return true, nil
		}
		if len(seen) >= e.cfg.MaxCandidates {
			return false, &LimitError{Limit: "maxCandidates", Detail: fmt.Sprintf("it would look into more than %d traces; filter for more or shorten its time range", e.cfg.MaxCandidates)}
		}
		id = strings.Clone(id)
		seen[id] = struct{}{}
		chunk = append(chunk, candidate{id: id, seen: r.start})
		if len(chunk) < size {
			return true, nil
		}
		more, err := visit(chunk)
		stopped = !more
		chunk = chunk[:0]
		size = min(4*size, 4096)
		return more, err
	})
	if err != nil || stopped || len(chunk) == 0 {
		return err
	}
	_, err = visit(chunk)
	return err
}
