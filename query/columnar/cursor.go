package columnar

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// batchRows is how many rows Next returns at most.
const batchRows = 1024

// rows are decoded, filtered rows in ascending time order.
type rows interface {
	len() int
	time(i int) int64
	// emit appends row i to b; its strings stay valid until release.
	emit(b *batchBuilder, i int)
	release()
}

// source is something with rows of the answer: a block, or a piece of a memory
// table. It is opened only when the answer has come so far that its time bound
// is next.
type source interface {
	// open returns the rows left of the source, which may be none. A source that
	// returns only its first rows (in the query's direction) also returns a source
	// for the rest.
	open(ctx context.Context, c *cursor) (rows, *pending, error)
}

// pending is a source with its place in the merge.
type pending struct {
	bound int64  // no row of it is earlier (backward: later)
	order uint64 // decides between equal times; older data first
	turn  int    // decides within a source that is opened several times
	src   source // nil once opened
	rows  rows
	pos   int // next row; counts down when backward
}

// cursor merges sources by time.
type cursor struct {
	store    *Store
	query    Query
	pred     predicates
	want     wanted
	applied  Applied
	backward bool
	from, to int64

	streams []labels.Labels
	refs    map[*stream]uint32

	heap    mergeHeap
	parts   []*part // held until Close
	builder batchBuilder
	done    []rows // used up, but the last batch still points at them
	left    int    // rows until Limit; MaxInt without one
	stats   Stats
	spans   []blockSpan // until planMemory
	scratch scratch
	err     error
	closed  bool
}

// Select implements Reader. All predicates are applied in the store.
func (s *Store) Select(ctx context.Context, q Query) (Cursor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.closed() {
		return nil, ErrClosed
	}
	if q.Table != Logs && q.Table != Spans {
		return nil, fmt.Errorf("select: unknown table %d", q.Table)
	}
	c := &cursor{store: s, query: q, want: newWanted(q.Columns), backward: q.Direction == Backward, from: q.From, to: q.To, left: math.MaxInt, refs: map[*stream]uint32{}}
	var err error
	if c.pred, err = compilePredicates(&q); err != nil {
		return nil, fmt.Errorf("select: %w", err)
	}
	c.applied = Applied{Lines: trues(len(q.Lines)), Fields: trues(len(q.Fields))}
	c.builder.want = &c.want
	if q.Limit > 0 {
		c.left = q.Limit
	}
	if q.From >= q.To {
		return c, nil
	}
	streams := slices.DeleteFunc(s.registry.matching(q.Table, q.Tenants, q.Matchers), func(st *stream) bool {
		return st.maxTime.Load() < q.From
	})
	slices.SortFunc(streams, compareStreams)
	if n := q.Budget.MaxStreams; n > 0 && int64(len(streams)) > n {
		return nil, &BudgetError{Bound: "MaxStreams", Limit: n}
	}
	for _, st := range streams {
		c.refs[st] = uint32(len(c.streams))
		c.streams = append(c.streams, st.labels)
	}
	c.snapshot(streams)
	return c, nil
}

func trues(n int) []bool {
	out := make([]bool, n)
	for i := range out {
		out[i] = true
	}
	return out
}

// snapshot takes the sources as they are now. Parts are held and memory tables
// referenced, so that flushes and merges change nothing for the cursor.
func (c *cursor) snapshot(streams []*stream) {
	parts, mems := c.store.hold(c.query.Table, c.from, c.to)
	c.parts = parts
	order := uint64(0)
	for _, p := range c.parts {
		order = c.addBlocks(p, order)
	}
	for _, m := range mems {
		order = c.addRuns(m.snapshot(streams, c.from, c.to), order)
	}
	c.planMemory()
	heap.Init(&c.heap)
}

func (c *cursor) add(bound int64, order uint64, src source) {
	c.heap.backward = c.backward
	c.heap.items = append(c.heap.items, &pending{bound: bound, order: order, src: src})
}

// Applied implements Cursor.
func (c *cursor) Applied() Applied { return c.applied }

// Stats implements Cursor.
func (c *cursor) Stats() Stats { return c.stats }

// Next implements Cursor.
func (c *cursor) Next(ctx context.Context) (*ColumnBatch, error) {
	if c.closed {
		return nil, fmt.Errorf("next: cursor is closed")
	}
	if c.err != nil {
		return nil, c.err
	}
	c.builder.reset()
	for _, r := range c.done {
		r.release()
	}
	clear(c.done)
	c.done = c.done[:0]
	if c.err = c.fill(ctx); c.err != nil {
		return nil, c.err
	}
	if c.builder.out.Len() == 0 {
		return nil, nil
	}
	out := &c.builder.out
	out.Streams = c.streams
	return out, nil
}

// fill merges rows into the builder until it is full or the sources are empty.
func (c *cursor) fill(ctx context.Context) error {
	room := min(batchRows, c.left)
	for room > 0 && len(c.heap.items) > 0 {
		top := c.heap.items[0]
		if top.src != nil {
			if err := c.openTop(ctx, top); err != nil {
				return err
			}
			continue
		}
		n := c.emitRun(top, room)
		room -= n
		c.left -= n
		if top.pos < 0 || top.pos >= top.rows.len() {
			c.done = append(c.done, top.rows)
			heap.Pop(&c.heap)
			continue
		}
		top.bound = top.rows.time(top.pos)
		heap.Fix(&c.heap, 0)
	}
	return nil
}

// openTop decodes the source that is next.
func (c *cursor) openTop(ctx context.Context, top *pending) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	rows, rest, err := top.src.open(ctx, c)
	if err != nil {
		return err
	}
	if rest != nil {
		rest.order = top.order
		heap.Push(&c.heap, rest)
	}
	if rows == nil || rows.len() == 0 {
		if rows != nil {
			rows.release()
		}
		c.remove(top)
		return nil
	}
	top.src, top.rows = nil, rows
	if c.backward {
		top.pos = rows.len() - 1
	}
	top.bound = rows.time(top.pos)
	c.fix(top)
	return nil
}

// fix and remove search the item, because pushing a rest may have moved it.
func (c *cursor) fix(p *pending)    { heap.Fix(&c.heap, slices.Index(c.heap.items, p)) }
func (c *cursor) remove(p *pending) { heap.Remove(&c.heap, slices.Index(c.heap.items, p)) }

// emitRun emits the top's rows as long as no other source has an earlier one.
func (c *cursor) emitRun(top *pending, room int) int {
	next := c.heap.second()
	n := 0
	for n < room && top.pos >= 0 && top.pos < top.rows.len() {
		top.bound = top.rows.time(top.pos)
		if next != nil && n > 0 && !c.heap.before(top, next) {
			break
		}
		top.rows.emit(&c.builder, top.pos)
		n++
		if c.backward {
			top.pos--
		} else {
			top.pos++
		}
	}
	return n
}

// charge counts decoded data and enforces the budget.
func (c *cursor) charge(rows, bytes, compressed int64) error {
	c.stats.Rows += rows
	c.stats.Bytes += bytes
	c.stats.CompressedBytes += compressed
	if n := c.query.Budget.MaxRows; n > 0 && c.stats.Rows > n {
		return &BudgetError{Bound: "MaxRows", Limit: n}
	}
	if n := c.query.Budget.MaxBytes; n > 0 && c.stats.Bytes > n {
		return &BudgetError{Bound: "MaxBytes", Limit: n}
	}
	return nil
}

// Close implements Cursor.
func (c *cursor) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	c.builder.reset()
	for _, p := range c.heap.items {
		if p.rows != nil {
			p.rows.release()
		}
	}
	for _, r := range c.done {
		r.release()
	}
	c.heap.items, c.done = nil, nil
	c.scratch.close()
	for _, p := range c.parts {
		p.release()
	}
	c.parts = nil
	return nil
}

// mergeHeap orders sources by their next time in the query's direction.
type mergeHeap struct {
	items    []*pending
	backward bool
}

func (h *mergeHeap) Len() int { return len(h.items) }
func (h *mergeHeap) Less(i, j int) bool {
	return h.before(h.items[i], h.items[j])
}
func (h *mergeHeap) Swap(i, j int) { h.items[i], h.items[j] = h.items[j], h.items[i] }
func (h *mergeHeap) Push(x any)    { h.items = append(h.items, x.(*pending)) }
func (h *mergeHeap) Pop() any {
	last := h.items[len(h.items)-1]
	h.items[len(h.items)-1] = nil
	h.items = h.items[:len(h.items)-1]
	return last
}

// before reports whether p's next row comes before o's.
func (h *mergeHeap) before(p, o *pending) bool {
	if p.bound != o.bound {
		return (p.bound < o.bound) != h.backward
	}
	if p.order != o.order {
		return (p.order < o.order) != h.backward
	}
	return p.turn < o.turn
}

// second is the best item beside the top.
func (h *mergeHeap) second() *pending {
	switch len(h.items) {
	case 0, 1:
		return nil
	case 2:
		return h.items[1]
	}
	if h.Less(1, 2) {
		return h.items[1]
	}
	return h.items[2]
}
