package shred

import "slices"

// Lines are decoded lines. They share the memory of their source, which they read
// no more of than they are asked for. They are not safe for concurrent use.
type Lines struct {
	src       Source
	rows      int
	size      int
	templates []template
	columns   []Values
	used      int // of columns
	refs      int

	numbersAt, width int
	placed           bool
	of               []uint16 // template of each row
	at               []uint32 // the row's place among the rows of its template
	rowOf            []uint32 // the rows in template order
}

type template struct {
	rows   int
	first  int // in Lines.rowOf
	parts  []part
	loaded bool
}

// part is a run of static text and the variable behind it, which the last part
// has not.
type part struct {
	text   []byte
	column int // in Lines.columns, or -1
	ref    int // or -1
}

// Rows is the number of lines.
func (l *Lines) Rows() int { return l.rows }

// Size is how many bytes all lines have.
func (l *Lines) Size() int { return l.size }

// Refs is one more than the greatest field that a line refers to.
func (l *Lines) Refs() int { return l.refs }

// Memory is about how many bytes the lines keep beside the sections.
func (l *Lines) Memory() int {
	n := 2*cap(l.of) + 4*cap(l.at) + 4*cap(l.rowOf)
	for i := range l.columns {
		n += l.columns[i].Memory() + 256
	}
	for _, t := range l.templates[:cap(l.templates)] {
		n += 48 * cap(t.parts)
	}
	return n
}

// Open reads the templates and descriptions of lines.
func (l *Lines) Open(src Source) error {
	main, err := src.Load(Main)
	if err != nil {
		return err
	}
	r := reader{b: main}
	rows, size := r.uvarint(), r.uvarint()
	count := r.count()
	if r.bad || rows == 0 || rows > maxSection || size > maxSection || count > maxTemplates+1 {
		return damaged("lines")
	}
	l.src, l.rows, l.size, l.used, l.refs, l.placed = src, int(rows), int(size), 0, 0, false
	l.templates = l.templates[:0]
	l.width = templateWidth(count)
	l.numbersAt = r.take(&r.indexes, rows*uint64(l.width))
	sum := 0
	for range count {
		if err := l.describe(&r, &sum); err != nil {
			return err
		}
	}
	if sum != l.rows {
		return damaged("lines of templates")
	}
	return r.done(src)
}

// describe reads a template.
func (l *Lines) describe(r *reader, sum *int) error {
	rows := r.uvarint()
	text := r.bytes()
	if r.bad || rows == 0 || rows > uint64(l.rows-*sum) {
		return damaged("template")
	}
	var t *template
	if n := len(l.templates); n < cap(l.templates) {
		l.templates = l.templates[:n+1]
		t = &l.templates[n]
	} else {
		l.templates = append(l.templates, template{})
		t = &l.templates[n]
	}
	t.rows, t.first, t.parts, t.loaded = int(rows), *sum, t.parts[:0], false
	*sum += t.rows
	from := 0
	for i, c := range text {
		if classes[c] != classMark {
			continue
		}
		p := part{text: text[from:i], column: -1, ref: -1}
		if c == markValue {
			p.column = l.used
			if l.used == len(l.columns) {
				l.columns = append(l.columns, Values{})
			}
			l.columns[l.used].describe(r, l.src, t.rows)
			l.used++
			if r.bad {
				return damaged("column of a template")
			}
		} else {
			p.ref = int(c) - markRef
			l.refs = max(l.refs, p.ref+1)
		}
		t.parts = append(t.parts, p)
		from = i + 1
	}
	t.parts = append(t.parts, part{text: text[from:], column: -1, ref: -1})
	return nil
}

// place finds each row's template and its place there.
func (l *Lines) place() error {
	if l.placed {
		return nil
	}
	indexes, err := l.src.Load(Indexes)
	if err != nil {
		return err
	}
	planes := indexes[l.numbersAt : l.numbersAt+l.rows*l.width]
	l.of = slices.Grow(l.of[:0], l.rows)[:l.rows]
	l.at = slices.Grow(l.at[:0], l.rows)[:l.rows]
	l.rowOf = slices.Grow(l.rowOf[:0], l.rows)[:l.rows]
	next := make([]int, len(l.templates))
	for row := range l.rows {
		t := 0
		for p := range l.width {
			t |= int(planes[p*l.rows+row]) << (8 * p)
		}
		if t >= len(l.templates) || next[t] == l.templates[t].rows {
			return damaged("template of a line")
		}
		l.of[row], l.at[row] = uint16(t), uint32(next[t])
		l.rowOf[l.templates[t].first+next[t]] = uint32(row)
		next[t]++
	}
	l.placed = true
	return nil
}

// load reads all columns of a template.
func (l *Lines) load(t *template) error {
	if t.loaded {
		return nil
	}
	for _, p := range t.parts {
		if p.column >= 0 {
			if err := l.columns[p.column].Load(); err != nil {
				return err
			}
		}
	}
	t.loaded = true
	return nil
}

// Prepare reads what Append needs for the rows; nil means for all of them.
func (l *Lines) Prepare(rows []uint32) error {
	if err := l.place(); err != nil {
		return err
	}
	if rows == nil {
		for i := range l.templates {
			if err := l.load(&l.templates[i]); err != nil {
				return err
			}
		}
		return nil
	}
	for _, row := range rows {
		if t := &l.templates[l.of[row]]; !t.loaded {
			if err := l.load(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// NeedsField reports whether the row's line refers to the field k.
func (l *Lines) NeedsField(k int, row uint32) bool {
	for _, p := range l.templates[l.of[row]].parts {
		if p.ref == k {
			return true
		}
	}
	return false
}

// Append appends a line that was prepared. ts is its row's time, and field gives
// the value of its row's field k.
func (l *Lines) Append(dst []byte, row int, ts int64, field func(k, row int) string) []byte {
	t := &l.templates[l.of[row]]
	at := int(l.at[row])
	for i := range t.parts {
		p := &t.parts[i]
		dst = append(dst, p.text...)
		switch {
		case p.column >= 0:
			dst = l.columns[p.column].Append(dst, at, ts)
		case p.ref >= 0:
			dst = append(dst, field(p.ref, row)...)
		}
	}
	return dst
}
