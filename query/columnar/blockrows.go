package columnar

import "strings"

// blockRows are the rows of a block that are in the answer. They keep the reader
// that decoded the block.
type blockRows struct {
	cursor *cursor
	reader *blockReader
	rows   []uint32 // of the block, in time order
	refs   []uint32 // stream of each
	line   *column
	fields []fieldColumn
}

type fieldColumn struct {
	name string
	*column
}

func (b *blockRows) len() int         { return len(b.rows) }
func (b *blockRows) time(i int) int64 { return b.reader.times[b.rows[i]] }
func (b *blockRows) release()         { b.cursor.scratch.free(b.reader) }

func (b *blockRows) emit(out *batchBuilder, i int) {
	row := b.rows[i]
	start := len(out.arena)
	line := ""
	if b.line != nil {
		line = b.line.value(int(row))
	}
	for j := range b.fields {
		f := &b.fields[j]
		lo, hi := f.of(row)
		for e := lo; e < hi; e++ {
			out.arena = append(out.arena, Field{Name: f.name, Value: f.value(e), Type: f.valueType(e)})
		}
	}
	out.add(b.reader.times[row], b.refs[i], line, start)
	if out.want.pattern != nil {
		out.copyCaptures(b.reader.captured.Counts, b.reader.captured.Values, i)
	}
}

// copyShare copies the first rows in the query's direction, as many as a block's
// share of the query's memory holds and at least one.
func (b *blockRows) copyShare(c *cursor) *copiedRows {
	out := &copiedRows{}
	builder := batchBuilder{want: &c.want}
	var text strings.Builder
	size := int64(0)
	n := 0
	for n < b.len() && (n == 0 || size < c.scratch.share) {
		i := n
		if c.backward {
			i = b.len() - 1 - n
		}
		fields := len(builder.arena)
		b.emit(&builder, i)
		size += 40
		if c.want.line {
			size += int64(len(builder.out.Lines[n]))
		}
		for _, f := range builder.arena[fields:] {
			size += int64(len(f.Value)) + 40
		}
		size += builder.captureBytes(n)
		n++
	}
	text.Grow(int(size))
	own := func(s string) string {
		at := text.Len()
		text.WriteString(s)
		return text.String()[at:]
	}
	for i := range builder.out.Lines {
		builder.out.Lines[i] = own(builder.out.Lines[i])
	}
	for _, fields := range builder.out.Fields {
		for i := range fields {
			fields[i].Value = own(fields[i].Value)
		}
	}
	for _, values := range builder.out.Captures {
		for i := range values {
			values[i] = own(values[i])
		}
	}
	out.batch = builder.out
	out.backward = c.backward
	return out
}

// copiedRows are rows apart from the block they were in.
type copiedRows struct {
	batch    ColumnBatch // in the query's direction
	backward bool
}

func (r *copiedRows) len() int { return len(r.batch.Timestamps) }
func (r *copiedRows) release() {}

// at turns an index in time order into one in the query's direction.
func (r *copiedRows) at(i int) int {
	if r.backward {
		return r.len() - 1 - i
	}
	return i
}

func (r *copiedRows) time(i int) int64 { return r.batch.Timestamps[r.at(i)] }

func (r *copiedRows) emit(b *batchBuilder, i int) {
	i = r.at(i)
	start := len(b.arena)
	line := ""
	if r.batch.Lines != nil {
		line = r.batch.Lines[i]
	}
	if r.batch.Fields != nil {
		b.arena = append(b.arena, r.batch.Fields[i]...)
	}
	b.add(r.batch.Timestamps[i], r.batch.StreamRefs[i], line, start)
	if b.want.pattern != nil {
		b.copyCaptures(r.batch.CaptureCounts, r.batch.Captures, i)
	}
}
