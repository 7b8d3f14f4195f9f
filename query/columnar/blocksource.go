package columnar

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// scratch is what a cursor decodes blocks with.
type scratch struct {
	readers []*blockReader // free ones
	// share is how many bytes of rows a block may keep, or 0 when the query's
	// blocks may stay decoded as long as they are needed.
	share int64
}

// maxFreeReaders bounds the readers that a cursor keeps for the blocks to come.
const maxFreeReaders = 4

// readers passes the memory of readers from one query to the next.
var readers = sync.Pool{New: func() any { return &blockReader{} }}

func (s *scratch) reader() *blockReader {
	if n := len(s.readers); n > 0 {
		r := s.readers[n-1]
		s.readers = s.readers[:n-1]
		return r
	}
	return takeReader()
}

func takeReader() *blockReader { return readers.Get().(*blockReader) }

func (s *scratch) free(r *blockReader) {
	if len(s.readers) < maxFreeReaders {
		s.readers = append(s.readers, r)
		return
	}
	r.recycle()
}

// close gives all memory back.
func (s *scratch) close() {
	for _, r := range s.readers {
		r.recycle()
	}
	s.readers = nil
}

// blockSource is the rows of the matching streams in one block.
type blockSource struct {
	part *part
	meta *blockMeta
	skip int // rows that an earlier opening has delivered
	seen bool

	decoded *decodedBlock // ahead of time, or nil
}

// addBlocks adds the blocks of a part that may hold rows of the answer and
// returns the next order number.
func (c *cursor) addBlocks(p *part, order uint64) uint64 {
	c.blocks(p, func(b blockRange) {
		bound := max(b.least, c.from)
		if c.backward {
			bound = min(b.latest, c.to-1)
		}
		c.add(bound, order, &blockSource{part: p, meta: b.meta})
		c.spans = append(c.spans, blockSpan{b.least, b.latest, int64(b.meta.raw)})
		order++
	})
	return order
}

// blockSpan is the time during which a block is needed, and its size.
type blockSpan struct{ least, latest, raw int64 }

// minShare is the least worth decoding a block for.
const minShare = 4 << 10

// planMemory finds how many bytes of blocks the query needs decoded at the worst
// moment. If that is too much, each block keeps only its next few rows, and is
// decoded again for the ones after.
func (c *cursor) planMemory() {
	type event struct{ at, bytes, count int64 }
	events := make([]event, 0, 2*len(c.spans))
	for _, s := range c.spans {
		events = append(events, event{s.least, s.raw, 1}, event{s.latest, -s.raw, -1})
	}
	c.spans = nil
	slices.SortFunc(events, func(a, b event) int {
		switch {
		case a.at < b.at, a.at == b.at && a.count > b.count:
			return -1
		case a.at > b.at, a.count < b.count:
			return 1
		}
		return 0
	})
	var size, count, worstSize, worstCount int64
	for _, e := range events {
		size += e.bytes
		count += e.count
		worstSize, worstCount = max(worstSize, size), max(worstCount, count)
	}
	limit, worst := c.store.cfg.QueryMemoryBytes, decodedBytes(worstSize)
	if worst > limit {
		c.scratch.share = max(limit/worstCount, minShare)
	}
	c.ahead.room = limit - worst
}

// decodedBytes is about what decoded blocks of so many bytes take: a little more,
// for offsets and row numbers.
func decodedBytes(raw int64) int64 { return raw + raw/4 }

// open implements source. A damaged block is named, counted and left out.
func (b *blockSource) open(ctx context.Context, c *cursor) (rows, *pending, error) {
	d, err := c.take(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	out, r, err := d.rows, d.reader, d.err
	var damage *damageError
	if errors.As(err, &damage) {
		c.lost(b.meta, err)
		err = nil
	}
	if !b.seen {
		c.meter.skipped.Add(-1)
		b.seen = true
		if cerr := c.meter.charge(int64(b.meta.rows), r.bytes, r.compressed); err == nil {
			err = cerr
		}
	}
	if out == nil || err != nil {
		c.scratch.free(r)
		return nil, nil, err
	}
	if c.scratch.share == 0 {
		return out, nil, nil // it keeps the reader
	}
	var rest *pending
	kept := out.copyShare(c)
	c.scratch.free(r)
	if n := kept.len(); n < out.len() {
		next := out.time(n)
		if c.backward {
			next = out.time(out.len() - 1 - n)
		}
		rest = &pending{bound: next, turn: b.skip + n, src: &blockSource{part: b.part, meta: b.meta, skip: b.skip + n, seen: true}}
	}
	return kept, rest, nil
}

// read decodes what the query needs of the block and filters it.
func (b *blockSource) read(c *cursor, r *blockReader) (out *blockRows, err error) {
	defer r.guard(&err)
	codec := c.store.codec
	if some, err := r.loadMatching(b.part, b.meta, &c.pred, codec); !some || err != nil {
		return nil, err
	}
	selected, runs := c.selectTime(b.part, r)
	selected, err = c.filter(&c.pred, r, selected)
	if err == nil {
		selected, err = c.dropHidden(b.part, r, selected)
	}
	if err != nil || len(selected) == 0 {
		return nil, err
	}
	if runs > 1 {
		slices.SortFunc(selected, func(x, y uint32) int {
			switch {
			case r.times[x] < r.times[y], r.times[x] == r.times[y] && x < y:
				return -1
			}
			return 1
		})
	}
	selected = b.cut(c, selected)
	if len(selected) == 0 {
		return nil, nil
	}
	out = &blockRows{cursor: c, reader: r, rows: slices.Clone(selected)}
	out.refs = b.refs(c, r.header, out.rows)
	if c.want.line {
		if out.line, err = r.lines(out.rows, codec); err != nil {
			return nil, err
		}
	}
	if c.want.pattern != nil {
		if err := r.capture(c.want.pattern, out.rows, codec); err != nil {
			return nil, err
		}
	}
	for i := range r.header.columns {
		h := &r.header.columns[i]
		if h.kind != columnField || !c.want.field(h.name) {
			continue
		}
		col, err := r.column(i, codec)
		if err != nil {
			return nil, err
		}
		out.fields = append(out.fields, fieldColumn{name: h.name, column: col})
	}
	return out, nil
}

// cut leaves out the rows delivered before, and those beyond the limit.
func (b *blockSource) cut(c *cursor, selected []uint32) []uint32 {
	n := min(b.skip, len(selected))
	if c.backward {
		selected = selected[:len(selected)-n]
		return selected[max(0, len(selected)-c.left):]
	}
	selected = selected[n:]
	return selected[:min(len(selected), c.left)]
}

// refs finds each row's stream.
func (b *blockSource) refs(c *cursor, h *blockHeader, rows []uint32) []uint32 {
	ends := make([]uint32, len(h.runs))
	end := uint32(0)
	for i, run := range h.runs {
		end += uint32(run.rows)
		ends[i] = end
	}
	out := make([]uint32, len(rows))
	for i, row := range rows {
		run, exact := slices.BinarySearch(ends, row)
		if exact {
			run++
		}
		out[i] = c.refs[b.part.streams[h.runs[run].stream]]
	}
	return out
}
