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
	*selection
	want     wanted
	applied  Applied
	backward bool
	labels   []labels.Labels // of the streams

	heap    mergeHeap
	builder batchBuilder
	done    []rows      // used up, but the last batch still points at them
	left    int         // rows until Limit; MaxInt without one
	spans   []blockSpan // until planMemory
	scratch scratch
	ahead   ahead
	err     error
	closed  bool
}

// Select implements Reader. All predicates are applied in the store.
func (s *Store) Select(ctx context.Context, q Query) (Cursor, error) {
	sel, err := s.newSelection(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("select: %w", err)
	}
	want, err := newWanted(&q)
	if err != nil {
		return nil, fmt.Errorf("select: %w", err)
	}
	c := &cursor{selection: sel, want: want, backward: q.Direction == Backward, left: math.MaxInt}
	c.applied = Applied{Lines: trues(len(q.Lines)), Fields: trues(len(q.Fields))}
	c.builder.want = &c.want
	if q.Limit > 0 {
		c.left = q.Limit
	}
	c.hold()
	c.labels = make([]labels.Labels, len(c.streams))
	for i, st := range c.streams {
		c.labels[i] = st.labels
	}
	order := uint64(0)
	for _, p := range c.parts {
		order = c.addBlocks(p, order)
	}
	for _, m := range c.mems {
		order = c.addRuns(m.snapshot(c.streams, c.from, c.to), order)
	}
	c.planMemory()
	heap.Init(&c.heap)
	return c, nil
}

func trues(n int) []bool {
	out := make([]bool, n)
	for i := range out {
		out[i] = true
	}
	return out
}

func (c *cursor) add(bound int64, order uint64, src source) {
	c.heap.backward = c.backward
	c.heap.items = append(c.heap.items, &pending{bound: bound, order: order, src: src})
}

// Applied implements Cursor.
func (c *cursor) Applied() Applied { return c.applied }

// Stats implements Cursor.
func (c *cursor) Stats() Stats { return c.meter.stats() }

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
	out.Streams = c.labels
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

// Close implements Cursor.
func (c *cursor) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	c.builder.reset()
	c.drop()
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
	c.close()
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
