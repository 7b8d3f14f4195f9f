package columnar

import (
	"cmp"
	"context"
	"slices"
)

// ahead decodes blocks in parallel before the merge asks for them. The rows come
// out in the order in which they would without it, and a block counts as read, and
// against the budget, only once the merge has asked for it.
//
// It works ahead only for queries with predicates, of which most blocks have few
// rows or none, and only in the memory that the query does not need for the blocks
// that it merges; so never when that is so short that blocks are kept in pieces.
type ahead struct {
	sources []*pending // the blocks, in the order of the merge
	next    int
	depth   int   // how many blocks to decode at once
	room    int64 // bytes left for blocks that the merge has not asked for
}

// decodedBlock is what became of decoding a block.
type decodedBlock struct {
	rows   *blockRows // nil when none is left
	reader *blockReader
	err    error
}

// maxAhead is how many blocks each goroutine may decode before they are needed.
const maxAhead = 2

// take decodes the block, and others that come after it while it is at it.
func (c *cursor) take(ctx context.Context, b *blockSource) (*decodedBlock, error) {
	if d := b.decoded; d != nil {
		b.decoded = nil
		c.ahead.room += decodedBytes(int64(b.meta.raw))
		return d, nil
	}
	batch := []*blockSource{b}
	if limit := workers(c.store.cfg.QueryWorkers, maxBatchAhead); limit > 1 && c.filtered() && c.scratch.share == 0 {
		batch = c.ahead.batch(c, b, limit)
	}
	for _, s := range batch {
		s.decoded = &decodedBlock{reader: c.scratch.reader()}
	}
	err := parallel(ctx, workers(c.store.cfg.QueryWorkers, len(batch)), len(batch), func(_, i int) error {
		d := batch[i].decoded
		d.rows, d.err = batch[i].read(c, d.reader)
		return nil // each block answers for itself
	})
	if err != nil {
		return nil, err
	}
	d := b.decoded
	b.decoded = nil
	return d, nil
}

// maxBatchAhead bounds the blocks that are decoded at once, each with its memory.
const maxBatchAhead = 16

// batch is the block and those after it that are worth decoding now. A query with
// a limit starts with one block, because that may be all it reads, and takes twice
// as many each time that it goes on.
func (a *ahead) batch(c *cursor, first *blockSource, limit int) []*blockSource {
	if a.sources == nil {
		for _, p := range c.heap.items {
			if b, ok := p.src.(*blockSource); ok && b.decoded == nil {
				a.sources = append(a.sources, p)
			}
		}
		slices.SortFunc(a.sources, func(x, y *pending) int {
			switch {
			case c.heap.before(x, y):
				return -1
			case c.heap.before(y, x):
				return 1
			}
			return cmp.Compare(x.order, y.order)
		})
		a.depth = limit
		if c.query.Limit > 0 {
			a.depth = 1
		}
	}
	out := []*blockSource{first}
	for a.next < len(a.sources) && len(out) < a.depth {
		b, ok := a.sources[a.next].src.(*blockSource)
		if ok && b != first && b.decoded == nil {
			size := decodedBytes(int64(b.meta.raw))
			if size > a.room {
				break // until those before it are merged
			}
			a.room -= size
			out = append(out, b)
		}
		a.next++
	}
	a.depth = min(2*a.depth, limit*maxAhead, maxBatchAhead)
	return out
}

// drop lets go of what was decoded for nothing.
func (c *cursor) drop() {
	for _, p := range c.heap.items {
		if b, ok := p.src.(*blockSource); ok && b.decoded != nil {
			c.scratch.free(b.decoded.reader)
			b.decoded = nil
		}
	}
}
