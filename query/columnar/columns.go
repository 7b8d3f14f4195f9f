package columnar

import (
	"slices"

	"github.com/yagura-dev/yagura/query/columnar/shred"
)

// wanted is Columns made ready: what a query reads and what it delivers.
type wanted struct {
	line     bool
	all      bool
	fields   map[string]struct{}
	pattern  *shred.Pattern // or nil
	captures int            // that are wanted
}

func newWanted(q *Query) (wanted, error) {
	c := &q.Columns
	w := wanted{line: c.Line, all: c.AllFields}
	var err error
	if w.pattern, err = compilePattern(q.Captures); err != nil {
		return w, err
	}
	if w.pattern != nil {
		w.captures = w.pattern.Wanted()
	}
	if !w.all {
		w.fields = make(map[string]struct{}, len(c.Fields))
		for _, name := range c.Fields {
			w.fields[name] = struct{}{}
		}
	}
	return w, nil
}

// anyField reports whether fields are delivered at all.
func (w *wanted) anyField() bool { return w.all || len(w.fields) > 0 }

func (w *wanted) field(name string) bool {
	if w.all {
		return true
	}
	_, ok := w.fields[name]
	return ok
}

// batchBuilder gathers rows into a ColumnBatch whose memory is used again for
// the next one.
type batchBuilder struct {
	want     *wanted
	out      ColumnBatch
	arena    []Field
	captured shred.Captured // of one line
}

func (b *batchBuilder) reset() {
	b.out.StreamRefs = b.out.StreamRefs[:0]
	b.out.Timestamps = b.out.Timestamps[:0]
	clear(b.out.Lines) // let go of the blocks behind the strings
	b.out.Lines = b.out.Lines[:0]
	clear(b.out.Fields)
	b.out.Fields = b.out.Fields[:0]
	b.resetCaptures()
	clear(b.arena)
	b.arena = b.arena[:0]
}

// add appends one row; its fields are those appended to arena since start.
func (b *batchBuilder) add(ts int64, ref uint32, line string, start int) {
	b.out.Timestamps = append(b.out.Timestamps, ts)
	b.out.StreamRefs = append(b.out.StreamRefs, ref)
	if b.want.line {
		b.out.Lines = append(b.out.Lines, line)
	}
	if b.want.anyField() {
		b.out.Fields = append(b.out.Fields, slices.Clip(b.arena[start:]))
	}
}
