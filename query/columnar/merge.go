package columnar

import (
	"container/heap"
	"errors"
	"fmt"
	"slices"
)

// Merging keeps the number of parts small. Parts of one table and day are merged
// in runs that are adjacent in the order of arrival, so that rows of equal time
// keep their order, and only when the result is several times bigger than the
// biggest of them, so that a row is rewritten a logarithmic number of times.
const (
	mergeMaxParts = 16
	// mergeMinGain is the least ratio of the merged size to the biggest input.
	mergeMinGain = 6
	// mergeCrowd is how many parts of one day make merges that gain less worth it.
	mergeCrowd = 24
)

// mergeLoop merges while there is something worth it, one merge at a time.
func (s *Store) mergeLoop() {
	defer s.background.Done()
	purge := false
	for {
		select {
		case <-s.closing:
			return
		case <-s.mergeable:
		}
		for !s.closed() {
			// Deletions and merges take turns, so that neither waits for ever.
			purge = !purge
			parts := s.pickWork(purge)
			if parts == nil {
				break
			}
			err := guarded(func() error { return s.rewrite(parts) })
			release(parts)
			if errors.Is(err, ErrClosed) {
				return
			}
			if err != nil {
				// Nothing is lost but time; the next flush tries again.
				s.metrics.merges.WithLabelValues("failed").Inc()
				s.log.Error("cannot merge parts", "parts", len(parts), "err", err)
				if s.restAfter(err, parts) {
					continue
				}
				break
			}
			s.metrics.merges.WithLabelValues("ok").Inc()
		}
	}
}

// pickMerge holds and returns the parts of the next merge, or nil.
func (s *Store) pickMerge() []*part {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, group := range groupByDay(s.parts, func(p *part) bool { return s.deletionIsFresh(p) || s.rests(p) }) {
		sizes := make([]int64, len(group))
		for i, p := range group {
			sizes[i] = p.Bytes
		}
		from, to := mergeWindow(sizes, s.cfg.MaxPartBytes)
		if from == to {
			continue
		}
		picked := slices.Clone(group[from:to])
		total := int64(0)
		for _, p := range picked {
			total += p.Bytes
		}
		if free, err := freeDisk(s.dir); err != nil || free-total < max(s.cfg.MinFreeDisk, 0) {
			s.metrics.merges.WithLabelValues("deferred").Inc()
			continue
		}
		for _, p := range picked {
			p.hold()
		}
		return picked
	}
	return nil
}

// groupByDay splits parts, which are in arrival order, by table and day, and where
// one is barred.
func groupByDay(parts []*part, barred func(*part) bool) [][]*part {
	type key struct {
		table Table
		day   int64
	}
	index := map[key]int{}
	var out [][]*part
	for _, p := range parts {
		k := key{p.Table, p.Day}
		if barred(p) {
			delete(index, k)
			continue
		}
		i, ok := index[k]
		if !ok {
			i = len(out)
			index[k] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], p)
	}
	return out
}

// mergeWindow picks the adjacent parts whose merge gains most, as a half-open
// range that is empty when no merge is worth it.
func mergeWindow(sizes []int64, maxBytes int64) (from, to int) {
	best := float64(mergeMinGain)
	if len(sizes) > mergeCrowd {
		best = 2
	}
	for i := range sizes {
		sum, biggest := int64(0), int64(0)
		for j := i; j < len(sizes) && j-i < mergeMaxParts; j++ {
			sum += sizes[j]
			biggest = max(biggest, sizes[j])
			if sum > maxBytes {
				break
			}
			if gain := float64(sum) / float64(max(biggest, 1)); gain >= best && j > i {
				best, from, to = gain, i, j+1
			}
		}
	}
	return from, to
}

// merge writes the rows of the parts that count into one and swaps it in.
func (s *Store) merge(parts []*part) error {
	last := parts[len(parts)-1]
	meta := partMeta{Table: last.Table, Day: last.Day, Generation: last.Generation}
	x := s.beginExclusion(parts)
	meta.Purged = x.last
	for _, p := range parts {
		meta.Level = max(meta.Level, p.Level+1)
		s.metrics.mergeBytes.Add(float64(p.Bytes))
	}
	w, err := s.newPartWriter(meta, s.codec.merge)
	if err != nil {
		return err
	}
	// Rows that a decoder panics on stay where they are: they may be whole.
	if err := guarded(func() error { return s.copyRows(w, parts, x) }); err != nil {
		return errors.Join(err, w.abort())
	}
	merged, err := w.finish()
	if err != nil {
		return err
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	var added []*part
	if merged != nil {
		added = append(added, merged)
	}
	s.mu.RLock()
	for i, p := range parts {
		if !slices.Contains(s.parts, p) {
			err = fmt.Errorf("part %s was dropped meanwhile", p.path)
		}
		// Retention may have hidden rows after they were read.
		if now := p.retained.Load(); merged != nil && now > x.retained[i] {
			merged.retained.Store(max(merged.retained.Load(), now))
		}
	}
	s.mu.RUnlock()
	if err == nil {
		err = s.checkExclusion(x)
	}
	if err == nil {
		err = s.commitParts(s.manifest, added, parts, func() {})
	}
	if err != nil {
		discard(added)
		return err
	}
	s.endExclusion(x)
	return nil
}

// copyRows merges the rows of the parts that are not excluded by stream and time.
func (s *Store) copyRows(w *partWriter, parts []*part, x *exclusion) error {
	h := scannerHeap{}
	for i, p := range parts {
		sc := &partScanner{store: s, part: p, order: i, reader: blockReader{whole: true}}
		more, err := sc.advance()
		if err != nil {
			return err
		}
		if more {
			h = append(h, sc)
		}
	}
	rankStreams(h)
	for _, sc := range h {
		sc.key()
	}
	heap.Init(&h)
	pace := s.newPace()
	for len(h) > 0 {
		pace.row()
		sc := h[0]
		line, fields := sc.line(), sc.fields()
		if !x.excludes(sc, line, fields) {
			if err := w.offer(sc); err != nil {
				return err
			}
			if err := w.add(sc.stream, sc.time, line, fields); err != nil {
				return err
			}
			if err := w.settle(); err != nil {
				return err
			}
		}
		more, err := sc.advance()
		if err != nil {
			return err
		}
		if !more {
			heap.Pop(&h)
			continue
		}
		sc.key()
		if len(h) > 1 {
			heap.Fix(&h, 0)
		}
	}
	return nil
}

// rankStreams gives the streams of all scanners their common order.
func rankStreams(scanners []*partScanner) {
	var all []*stream
	for _, sc := range scanners {
		all = append(all, sc.part.streams...)
	}
	slices.SortFunc(all, compareStreams)
	rank := make(map[*stream]int, len(all))
	for i, st := range all {
		if _, ok := rank[st]; !ok {
			rank[st] = i
		}
	}
	for _, sc := range scanners {
		sc.ranks = make([]int, len(sc.part.streams))
		for i, st := range sc.part.streams {
			sc.ranks[i] = rank[st]
		}
	}
}

// partScanner walks all rows of a part in order.
type partScanner struct {
	store *Store
	part  *part
	order int
	ranks []int // of the part's streams

	block  int         // next to load
	reader blockReader // reads whole blocks
	loaded bool
	run    int // in the loaded block
	left   int // rows of the run from row on
	row    int
	cols   []fieldColumn
	lines  *column
	text   []byte // of one line
	arena  []Field

	// The key of the current row.
	rank   int
	time   int64
	stream *stream
}

// advance goes to the next row, if there is one. A damaged block is named,
// counted and left behind.
func (sc *partScanner) advance() (bool, error) {
	sc.row++
	sc.left--
	for sc.left <= 0 {
		if sc.loaded && sc.run+1 < len(sc.reader.header.runs) {
			sc.run++
			sc.left = sc.reader.header.runs[sc.run].rows
			continue
		}
		if sc.block == len(sc.part.blocks) {
			return false, nil
		}
		if sc.store.closed() {
			return false, ErrClosed
		}
		b := &sc.part.blocks[sc.block]
		sc.block++
		sc.loaded, sc.left = false, 0
		if !sc.part.visible(b) {
			continue
		}
		err := sc.load(b)
		var damage *damageError
		if errors.As(err, &damage) && !errors.As(err, new(*readError)) {
			sc.store.metrics.corrupt.WithLabelValues("block").Inc()
			sc.store.metrics.rowsLost.WithLabelValues(sc.part.Table.String()).Add(float64(b.rows))
			sc.store.log.Error("a merge leaves a damaged block behind; its rows are lost", "err", err, "rows", b.rows)
			continue
		}
		if err != nil {
			return false, &unreadablePart{sc.part, err}
		}
		sc.loaded, sc.run, sc.row = true, 0, 0
		sc.left = sc.reader.header.runs[0].rows
	}
	return true, nil
}

// load decodes all columns of a block.
func (sc *partScanner) load(b *blockMeta) error {
	codec := sc.store.codec
	if err := sc.reader.load(sc.part, b, codec); err != nil {
		return err
	}
	sc.cols = sc.cols[:0]
	for i := range sc.reader.header.columns {
		h := &sc.reader.header.columns[i]
		if h.kind == columnTime {
			continue
		}
		col, err := sc.reader.column(i, codec)
		if err != nil {
			return err
		}
		if h.kind == columnLine {
			sc.lines = col
		} else {
			sc.cols = append(sc.cols, fieldColumn{name: h.name, column: col})
		}
	}
	return nil
}

// key sets what the scanner is ordered by.
func (sc *partScanner) key() {
	ref := sc.reader.header.runs[sc.run].stream
	sc.rank, sc.stream = sc.ranks[ref], sc.part.streams[ref]
	sc.time = sc.reader.times[sc.row]
}

// line is the row's line until the next call.
func (sc *partScanner) line() string { return sc.lines.passing(sc.row, &sc.text) }

func (sc *partScanner) fields() []Field {
	sc.arena = sc.arena[:0]
	for i := range sc.cols {
		f := &sc.cols[i]
		lo, hi := f.of(uint32(sc.row))
		for e := lo; e < hi; e++ {
			sc.arena = append(sc.arena, Field{Name: f.name, Value: f.value(e), Type: f.valueType(e)})
		}
	}
	return sc.arena
}

// scannerHeap orders scanners by stream, time and arrival.
type scannerHeap []*partScanner

func (h scannerHeap) Len() int { return len(h) }
func (h scannerHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if a.rank != b.rank {
		return a.rank < b.rank
	}
	if a.time != b.time {
		return a.time < b.time
	}
	return a.order < b.order
}
func (h scannerHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *scannerHeap) Push(x any)   { *h = append(*h, x.(*partScanner)) }
func (h *scannerHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
