package columnar

import "context"

// memPieceRows is how many rows of a memory table are filtered at once. A query
// with a limit reads few pieces; a piece costs one entry in the merge.
const memPieceRows = 1024

// memSource is a piece of one stream in a memory table.
type memSource struct {
	run memRun
	ref uint32
}

// addRuns adds the runs in pieces and returns the next order number.
func (c *cursor) addRuns(runs []memRun, order uint64) uint64 {
	for _, run := range runs {
		for len(run.rows) > 0 {
			n := min(memPieceRows, len(run.rows))
			piece := run.rows[:n:n]
			run.rows = run.rows[n:]
			bound := piece[0].ts
			if c.backward {
				bound = piece[n-1].ts
			}
			c.add(bound, order, &memSource{run: memRun{stream: run.stream, rows: piece, chunks: run.chunks}, ref: c.refs[run.stream]})
			order++
		}
	}
	return order
}

// open filters the piece.
func (m *memSource) open(_ context.Context, c *cursor) (rows, *pending, error) {
	kept, bytes := c.filterMemory(&m.run)
	out := &memRows{memSource: m, want: &c.want, rows: kept}
	return out, nil, c.meter.charge(int64(len(m.run.rows)), bytes, 0)
}

// filterMemory returns the rows of a run that satisfy the predicates, and the bytes
// of all of its lines.
func (s *selection) filterMemory(run *memRun) ([]memRow, int64) {
	var (
		keep   []memRow
		fields []Field
		bytes  int64
	)
	filtered := s.filtered()
	for _, r := range run.rows {
		ch := run.chunks[r.chunk]
		line := ch.line(r.off)
		bytes += int64(len(line))
		if !filtered || !s.pred.holdLine(line) {
			continue
		}
		if len(s.pred.fields) > 0 {
			fields = ch.appendFields(fields[:0], r.off, nil)
			if !s.pred.holdFields(fields) {
				continue
			}
		}
		keep = append(keep, r)
	}
	if !filtered {
		return run.rows, bytes
	}
	return keep, bytes
}

// memRows are the rows of a piece that are in the answer.
type memRows struct {
	*memSource
	want *wanted
	rows []memRow
}

func (m *memRows) len() int         { return len(m.rows) }
func (m *memRows) time(i int) int64 { return m.rows[i].ts }
func (m *memRows) release()         {}

func (m *memRows) emit(b *batchBuilder, i int) {
	r := m.rows[i]
	ch := m.run.chunks[r.chunk]
	start := len(b.arena)
	line := ""
	if m.want.line || m.want.pattern != nil {
		line = ch.line(r.off)
	}
	if m.want.anyField() {
		keep := m.want.field
		if m.want.all {
			keep = nil
		}
		b.arena = ch.appendFields(b.arena, r.off, keep)
	}
	b.add(r.ts, m.ref, line, start)
	b.matchLine(line)
}
