package columnar

import (
	"context"
	"slices"
	"sync/atomic"
)

// selection is what a query is about, as it was at one instant: streams, and the
// parts and memory tables with their rows. Parts are held and memory tables
// referenced, so that flushes and merges change nothing for the query.
type selection struct {
	store    *Store
	query    Query
	pred     predicates
	prune    prune
	from, to int64

	streams []*stream
	refs    map[*stream]uint32    // index in streams
	parts   []*part               // held until close
	hidden  map[*part]*hiddenRows // what does not count of them
	mems    []*memTable

	meter meter
}

// newSelection compiles the query and finds its streams; hold takes their rows.
func (s *Store) newSelection(ctx context.Context, q Query) (*selection, error) {
	if err := s.lookupAllowed(ctx, q.Table); err != nil {
		return nil, err
	}
	sel := &selection{store: s, query: q, from: q.From, to: q.To}
	sel.meter.budget = q.Budget
	var err error
	if sel.pred, err = compilePredicates(&q); err != nil {
		return nil, err
	}
	sel.prune = newPrune(&q, &sel.pred)
	if q.From >= q.To {
		return sel, nil
	}
	sel.streams = slices.DeleteFunc(s.registry.matching(q.Table, q.Tenants, q.Matchers), func(st *stream) bool {
		return st.maxTime.Load() < q.From
	})
	if n := q.Budget.MaxStreams; n > 0 && int64(len(sel.streams)) > n {
		return nil, &BudgetError{Bound: "MaxStreams", Limit: n}
	}
	return sel, nil
}

// hold takes the rows of the streams as they are now.
func (s *selection) hold() {
	s.refs = make(map[*stream]uint32, len(s.streams))
	for i, st := range s.streams {
		s.refs[st] = uint32(i)
	}
	if s.from >= s.to {
		return
	}
	parts, mems, lost := s.store.hold(s.query.Table, s.from, s.to)
	s.meter.total.Add(lost)
	s.meter.lost.Add(lost)
	if len(s.streams) == 0 {
		release(parts)
	} else {
		s.parts, s.mems = parts, mems
		for _, p := range s.parts {
			if h := p.hidden.Load(); h != nil {
				if s.hidden == nil {
					s.hidden = map[*part]*hiddenRows{}
				}
				s.hidden[p] = h
			}
		}
	}
}

// close lets go of the parts.
func (s *selection) close() {
	release(s.parts)
	s.parts, s.mems = nil, nil
}

// filtered reports whether rows have to satisfy a predicate.
func (s *selection) filtered() bool { return len(s.pred.lines)+len(s.pred.fields) > 0 }

// blockRange is a block with rows of matching streams in the time range.
type blockRange struct {
	part *part
	meta *blockMeta
	// runs are those that match, in the order of the part; each has a row within
	// the bounds of the selection as far as the index can tell.
	runs          []runRef
	least, latest int64 // of these runs
}

// runRef is a run of a matching stream.
type runRef struct {
	*runMeta
	ref uint32 // index of the stream in selection.streams
}

// fewStreams is how many times more streams than the selection a part must have
// for searching it to be faster than going through it.
const fewStreams = 16

// blocks calls fn for the blocks of a part that may hold rows of the selection, in
// the order of the part. The runs are valid until fn returns. Blocks that the
// indexes rule out are counted as skipped.
func (s *selection) blocks(p *part, fn func(blockRange)) {
	candidates := s.candidates(p)
	h := s.hidden[p]
	b := blockRange{part: p, least: maxTime, latest: minTime}
	flush := func() {
		if len(b.runs) > 0 {
			s.meter.total.Add(1)
			s.meter.skipped.Add(1) // until it is decoded
			if candidates == nil || candidates.has(int(b.runs[0].block)) {
				fn(b)
			}
		}
		b.runs, b.least, b.latest = b.runs[:0], maxTime, minTime
	}
	s.partRuns(p, func(r *runMeta, ref uint32) {
		meta := &p.blocks[r.block]
		if r.latest < max(s.from, h.floor(r.stream)) || r.least >= s.to || !p.visible(meta) {
			return
		}
		if meta != b.meta {
			flush()
			b.meta = meta
		}
		b.runs = append(b.runs, runRef{r, ref})
		b.least, b.latest = min(b.least, r.least), max(b.latest, r.latest)
	})
	flush()
}

// partRuns calls fn for the runs of matching streams in the order of the part.
func (s *selection) partRuns(p *part, fn func(r *runMeta, ref uint32)) {
	if len(s.streams)*fewStreams < len(p.streams) {
		s.searchRuns(p, fn)
		return
	}
	refs := make([]int32, len(p.streams))
	for i, st := range p.streams {
		refs[i] = -1
		if ref, ok := s.refs[st]; ok {
			refs[i] = int32(ref)
		}
	}
	for i := range p.runs {
		r := &p.runs[i]
		if ref := refs[r.stream]; ref >= 0 {
			fn(r, uint32(ref))
		}
	}
}

// searchRuns is partRuns for a few streams among many.
func (s *selection) searchRuns(p *part, fn func(r *runMeta, ref uint32)) {
	type match struct{ index, ref uint32 }
	var matches []match
	for ref, st := range s.streams {
		if at, ok := slices.BinarySearchFunc(p.streams, st, compareStreams); ok {
			matches = append(matches, match{uint32(at), uint32(ref)})
		}
	}
	slices.SortFunc(matches, func(a, b match) int { return int(a.index) - int(b.index) })
	for _, m := range matches {
		first, _ := slices.BinarySearchFunc(p.runs, m.index, func(r runMeta, index uint32) int {
			return int(r.stream) - int(index)
		})
		for i := first; i < len(p.runs) && p.runs[i].stream == m.index; i++ {
			fn(&p.runs[i], m.ref)
		}
	}
}

// meter counts what a query decodes and enforces its budget. It is safe for
// concurrent use.
type meter struct {
	budget                  Budget
	rows, bytes, compressed atomic.Int64
	total, skipped, lost    atomic.Int64 // blocks
}

// charge counts decoded data.
func (m *meter) charge(rows, bytes, compressed int64) error {
	r, b := m.rows.Add(rows), m.bytes.Add(bytes)
	m.compressed.Add(compressed)
	if n := m.budget.MaxRows; n > 0 && r > n {
		return &BudgetError{Bound: "MaxRows", Limit: n}
	}
	if n := m.budget.MaxBytes; n > 0 && b > n {
		return &BudgetError{Bound: "MaxBytes", Limit: n}
	}
	return nil
}

func (m *meter) stats() Stats {
	return Stats{
		BlocksTotal: m.total.Load(), BlocksSkipped: m.skipped.Load(), BlocksLost: m.lost.Load(),
		Rows: m.rows.Load(), Bytes: m.bytes.Load(), CompressedBytes: m.compressed.Load(),
	}
}

// lost notes a damaged block, whose rows are missing from the answer.
func (s *selection) lost(meta *blockMeta, err error) {
	s.meter.lost.Add(1)
	s.store.metrics.corrupt.WithLabelValues("block").Inc()
	s.store.log.Error("rows are missing from an answer", "err", err, "rows", meta.rows)
}

// selectTime returns the rows of matching streams in the time range, in the order
// of the block, and of how many runs they are. The rows are the reader's to keep.
func (s *selection) selectTime(p *part, r *blockReader) ([]uint32, int) {
	h := s.hidden[p]
	selected := r.selected[:0]
	runs, first := 0, 0
	for _, run := range r.header.runs {
		times := r.times[first : first+run.rows]
		if _, ok := s.refs[p.streams[run.stream]]; ok {
			lo, _ := slices.BinarySearch(times, max(s.from, h.floor(run.stream)))
			hi, _ := slices.BinarySearch(times, s.to)
			if lo < hi {
				runs++
			}
			for i := lo; i < hi; i++ {
				selected = append(selected, uint32(first+i))
			}
		}
		first += run.rows
	}
	r.selected = selected
	return selected, runs
}

// filter applies the predicates to the selected rows, in place. Fields come first:
// their columns are smaller than the lines.
func (s *selection) filter(pred *predicates, r *blockReader, selected []uint32) ([]uint32, error) {
	codec := s.store.codec
	for i := range pred.fields {
		p := &pred.fields[i]
		if len(selected) == 0 {
			return nil, nil
		}
		at := r.header.field(p.name)
		if at < 0 {
			if !p.missing {
				return nil, nil
			}
			continue
		}
		var err error
		if selected, err = r.filterField(at, p, selected, codec); err != nil {
			return nil, err
		}
	}
	for i := range pred.lines {
		if len(selected) == 0 {
			return nil, nil
		}
		var err error
		if selected, err = r.filterLines(&pred.lines[i], selected, codec); err != nil {
			return nil, err
		}
	}
	return selected, nil
}
