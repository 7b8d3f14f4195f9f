package columnar

import (
	"math"
	"slices"
	"sync"
	"time"
)

// memTable holds what the write-ahead log has and no part has yet. One writer
// inserts; any number of readers take snapshots, which stay as they are while
// inserts go on because rows and chunks are only ever appended.
type memTable struct {
	registry *registry
	created  time.Time

	mu      sync.RWMutex
	chunks  []*chunk
	streams map[*stream]*memStream
	bytes   int64
	rows    int64
	minTime int64
}

type memStream struct {
	rows   []memRow
	sorted bool // rows are in time order
}

// What one stream costs a memory table beside its rows, and one chunk beside its
// data, about.
const (
	memStreamBytes = 128
	memChunkBytes  = 128
)

func newMemTable(r *registry, created time.Time) *memTable {
	return &memTable{registry: r, created: created, streams: map[*stream]*memStream{}, minTime: math.MaxInt64}
}

func (m *memTable) insert(c *chunk) {
	m.mu.Lock()
	defer m.mu.Unlock()
	number := uint32(len(m.chunks))
	m.chunks = append(m.chunks, c)
	m.bytes += int64(len(c.data)) + memChunkBytes
	for i := range c.streams {
		cs := &c.streams[i]
		if len(cs.rows) == 0 {
			continue
		}
		s := m.registry.hold(c.table, cs.tenant, cs.labels)
		ms := m.streams[s]
		if ms == nil {
			ms = &memStream{sorted: true}
			m.streams[s] = ms
			m.bytes += memStreamBytes
		} else {
			m.registry.release(s) // this table holds it already
		}
		ms.append(cs.rows, number)
		newest := int64(math.MinInt64)
		for _, r := range cs.rows {
			newest = max(newest, r.ts)
			m.minTime = min(m.minTime, r.ts)
		}
		s.noteTime(newest)
		m.bytes += int64(len(cs.rows)) * 16
		m.rows += int64(len(cs.rows))
	}
	c.streams = nil // the labels may belong to the caller of Append
}

func (s *memStream) append(rows []memRow, chunk uint32) {
	s.rows = slices.Grow(s.rows, len(rows))
	for _, r := range rows {
		if n := len(s.rows); n > 0 && r.ts < s.rows[n-1].ts {
			s.sorted = false
		}
		r.chunk = chunk
		s.rows = append(s.rows, r)
	}
}

func (m *memTable) size() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.bytes
}

// empty reports whether the log has nothing for this table. A named batch without
// rows counts: its record leaves the log, and its chunk the memory, as others do.
func (m *memTable) empty() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.chunks) == 0
}

// least is the least timestamp in the table.
func (m *memTable) least() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.minTime
}

// release gives up the table's hold of its streams, once its rows are in parts.
func (m *memTable) release() {
	for s := range m.streams {
		m.registry.release(s)
	}
}

// memRun is one stream's rows in a snapshot, in time order; rows of equal time
// are in the order of their arrival.
type memRun struct {
	stream *stream
	rows   []memRow
	chunks []*chunk
}

// snapshot returns the runs of the wanted streams within [from, to).
func (m *memTable) snapshot(wanted []*stream, from, to int64) []memRun {
	m.mu.RLock()
	var runs []memRun
	var unsorted []int
	for _, s := range wanted {
		ms := m.streams[s]
		if ms == nil {
			continue
		}
		if !ms.sorted {
			unsorted = append(unsorted, len(runs))
		}
		runs = append(runs, memRun{stream: s, rows: ms.rows, chunks: m.chunks})
	}
	m.mu.RUnlock()

	for _, i := range unsorted {
		runs[i].rows = slices.Clone(runs[i].rows)
		slices.SortStableFunc(runs[i].rows, compareMemRows)
	}
	kept := runs[:0]
	for _, r := range runs {
		lo, _ := slices.BinarySearchFunc(r.rows, from, memRowAt)
		hi, _ := slices.BinarySearchFunc(r.rows, to, memRowAt)
		if r.rows = r.rows[lo:max(lo, hi)]; len(r.rows) > 0 {
			kept = append(kept, r)
		}
	}
	return kept
}

func compareMemRows(a, b memRow) int {
	switch {
	case a.ts < b.ts:
		return -1
	case a.ts > b.ts:
		return 1
	}
	return 0
}

func memRowAt(r memRow, ts int64) int { return compareMemRows(r, memRow{ts: ts}) }

// all returns every stream of a table in part order, for writing it out.
func (m *memTable) all(t Table) []memRun {
	m.mu.RLock()
	wanted := make([]*stream, 0, len(m.streams))
	for s := range m.streams {
		if s.table == t {
			wanted = append(wanted, s)
		}
	}
	m.mu.RUnlock()
	slices.SortFunc(wanted, compareStreams)
	// To is exclusive and the greatest timestamp is a valid one, so the snapshot's
	// range cannot name it: take the runs whole.
	runs := make([]memRun, 0, len(wanted))
	for _, s := range wanted {
		ms := m.streams[s]
		rows := ms.rows
		if !ms.sorted {
			rows = slices.Clone(rows)
			slices.SortStableFunc(rows, compareMemRows)
		}
		runs = append(runs, memRun{stream: s, rows: rows, chunks: m.chunks})
	}
	return runs
}
