package columnar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// Count implements Counter. A run of rows that lies in the time range and in one
// bucket is counted from the index of its part when no predicate restricts it; of
// other blocks the times and what the predicates need are decoded, in parallel.
// No row is ever built.
func (s *Store) Count(ctx context.Context, q CountQuery) ([]Count, Stats, error) {
	if q.Width < 0 {
		return nil, Stats{}, fmt.Errorf("count: width of %d nanoseconds", q.Width)
	}
	sel, err := s.newSelection(ctx, q.Query)
	if err != nil {
		return nil, Stats{}, fmt.Errorf("count: %w", err)
	}
	c := newCounting(sel, &q)
	sel.hold()
	defer sel.close()
	err = c.run(ctx)
	if err != nil {
		return nil, sel.meter.stats(), fmt.Errorf("count: %w", err)
	}
	return c.total.counts(c), sel.meter.stats(), nil
}

// counting is one call of Count.
type counting struct {
	*selection
	buckets   buckets
	lineBytes bool
	groups    []int // the caller's, ascending
	groupOf   []int // index in groups of each of selection.streams
	total     tally
	tasks     []countTask
}

// newCounting asks for the group of each stream and leaves those without one out.
func newCounting(sel *selection, q *CountQuery) *counting {
	c := &counting{selection: sel, lineBytes: q.LineBytes, buckets: buckets{from: q.Query.From, to: q.Query.To, width: q.Width}}
	if q.Group == nil {
		c.groups, c.groupOf = []int{0}, make([]int, len(sel.streams))
	} else {
		kept := sel.streams[:0]
		for _, st := range sel.streams {
			if g := q.Group(st.labels); g >= 0 {
				kept = append(kept, st)
				c.groupOf = append(c.groupOf, g)
			}
		}
		sel.streams = kept
		c.groups = slices.Clone(c.groupOf)
		slices.Sort(c.groups)
		c.groups = slices.Compact(c.groups)
		for i, g := range c.groupOf {
			c.groupOf[i], _ = slices.BinarySearch(c.groups, g)
		}
	}
	c.total = newTally(len(c.groups), c.buckets.count())
	return c
}

// countTask is a piece of work that needs decoding: a block, or rows of a memory
// table.
type countTask struct {
	part *part
	meta *blockMeta
	mem  memRun
	ref  uint32
}

// run counts what the indexes say and then, in parallel, what has to be decoded.
func (c *counting) run(ctx context.Context) error {
	for _, p := range c.parts {
		c.blocks(p, c.addBlock)
	}
	for _, m := range c.mems {
		for _, run := range m.snapshot(c.streams, c.from, c.to) {
			c.addMemory(run)
		}
	}
	tallies := make([]tally, workers(c.store.cfg.QueryWorkers, len(c.tasks)))
	readers := make([]*blockReader, len(tallies))
	err := parallel(ctx, len(tallies), len(c.tasks), func(worker, task int) error {
		t := &c.tasks[task]
		if tallies[worker].groups == 0 {
			tallies[worker] = newTally(len(c.groups), c.buckets.count())
		}
		if t.meta == nil {
			return c.countMemory(&tallies[worker], t)
		}
		if readers[worker] == nil {
			readers[worker] = takeReader()
		}
		return c.countBlock(&tallies[worker], readers[worker], t)
	})
	for _, r := range readers {
		if r != nil {
			r.recycle()
		}
	}
	for i := range tallies {
		c.total.merge(&tallies[i])
	}
	return err
}

// byIndex reports whether the index of the part says all that is asked of the run.
func (c *counting) byIndex(p *part, r *runMeta) bool {
	return !c.filtered() && !c.hidden[p].touches(r) && r.least >= c.from && r.latest < c.to &&
		(!c.lineBytes || r.text != unknownText) &&
		c.buckets.of(r.least) == c.buckets.of(r.latest)
}

func (c *counting) addBlock(b blockRange) {
	decode := false
	for _, r := range b.runs {
		decode = decode || !c.byIndex(b.part, r.runMeta)
	}
	if decode {
		c.tasks = append(c.tasks, countTask{part: b.part, meta: b.meta})
		return
	}
	for _, r := range b.runs {
		text := int64(0)
		if c.lineBytes {
			text = r.text
		}
		c.total.add(c.groupOf[r.ref], c.buckets.of(r.least), int64(r.rows), text)
	}
}

// addMemory counts the rows in pieces, so that a long stream is shared out.
func (c *counting) addMemory(run memRun) {
	ref := c.refs[run.stream]
	for len(run.rows) > 0 {
		n := min(memPieceRows, len(run.rows))
		piece := run
		piece.rows = run.rows[:n:n]
		run.rows = run.rows[n:]
		c.tasks = append(c.tasks, countTask{mem: piece, ref: ref})
	}
}

// countBlock counts the rows of a block. A damaged one is named, counted and left
// out.
func (c *counting) countBlock(t *tally, r *blockReader, task *countTask) error {
	c.meter.skipped.Add(-1)
	lines, selected, err := c.decodeBlock(r, task)
	var damage *damageError
	if errors.As(err, &damage) {
		c.lost(task.meta, err)
		selected, err = nil, nil
	}
	if cerr := c.meter.charge(int64(task.meta.rows), r.bytes, r.compressed); err == nil {
		err = cerr
	}
	if err != nil || len(selected) == 0 {
		return err
	}
	first := uint32(0)
	for _, run := range r.header.runs {
		end := first + uint32(run.rows)
		n, _ := slices.BinarySearch(selected, end)
		if n > 0 {
			group := c.groupOf[c.refs[task.part.streams[run.stream]]]
			c.countRows(t, group, r.times, lines, selected[:n])
		}
		selected, first = selected[n:], end
	}
	return nil
}

// decodeBlock returns the rows of the block that count, in its order, and its lines
// if their sizes are asked for.
func (c *counting) decodeBlock(r *blockReader, task *countTask) (lines *column, selected []uint32, err error) {
	defer r.guard(&err)
	if some, err := r.loadMatching(task.part, task.meta, &c.pred, c.store.codec); !some || err != nil {
		return nil, nil, err
	}
	selected, _ = c.selectTime(task.part, r)
	selected, err = c.filter(&c.pred, r, selected)
	if err == nil {
		selected, err = c.dropHidden(task.part, r, selected)
	}
	if err != nil || len(selected) == 0 || !c.lineBytes {
		return nil, selected, err
	}
	lines, err = r.lines(selected, c.store.codec)
	return lines, selected, err
}

// countRows counts rows of one stream, which are in time order.
func (c *counting) countRows(t *tally, group int, times []int64, lines *column, rows []uint32) {
	for len(rows) > 0 {
		bucket, end := c.buckets.at(times[rows[0]])
		n := len(rows)
		if end != maxTime {
			n, _ = slices.BinarySearchFunc(rows, end, func(row uint32, end int64) int { return cmp.Compare(times[row], end) })
		}
		text := int64(0)
		if c.lineBytes {
			for _, row := range rows[:n] {
				text += int64(len(lines.value(int(row))))
			}
		}
		t.add(group, bucket, int64(n), text)
		rows = rows[n:]
	}
}

// countMemory counts rows of a memory table.
func (c *counting) countMemory(t *tally, task *countTask) error {
	rows, group := task.mem.rows, c.groupOf[task.ref]
	if c.filtered() {
		var bytes int64
		rows, bytes = c.filterMemory(&task.mem)
		if err := c.meter.charge(int64(len(task.mem.rows)), bytes, 0); err != nil {
			return err
		}
	}
	for len(rows) > 0 {
		bucket, end := c.buckets.at(rows[0].ts)
		n := len(rows)
		if end != maxTime {
			n, _ = slices.BinarySearchFunc(rows, end, memRowAt)
		}
		text := int64(0)
		if c.lineBytes {
			for _, r := range rows[:n] {
				text += int64(len(task.mem.chunks[r.chunk].line(r.off)))
			}
		}
		t.add(group, bucket, int64(n), text)
		rows = rows[n:]
	}
	return nil
}
