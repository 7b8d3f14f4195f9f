package shred

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrDamaged means that data is not what an Encoder wrote.
var ErrDamaged = errors.New("damaged")

func damaged(what string) error { return fmt.Errorf("%s: %w", what, ErrDamaged) }

// reader reads Main, and keeps how far the other sections are used.
type reader struct {
	b                      []byte
	off                    int
	bad                    bool
	indexes, ids, textSize int
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b[r.off:])
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.off += n
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b[r.off:])
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.off += n
	return v
}

func (r *reader) byte() byte {
	if r.off >= len(r.b) {
		r.bad = true
		return 0
	}
	r.off++
	return r.b[r.off-1]
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)-r.off) {
		r.bad = true
		return nil
	}
	r.off += int(n)
	return r.b[r.off-int(n) : r.off : r.off]
}

// count reads a number of things that take at least a byte each.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)-r.off) {
		r.bad = true
		return 0
	}
	return int(n)
}

// maxSection bounds what a description may claim to use of a section.
const maxSection = 1 << 30

// take counts n bytes of a section.
func (r *reader) take(section *int, n uint64) int {
	at := *section
	if n > maxSection || at > maxSection {
		r.bad = true
		return at
	}
	*section += int(n)
	return at
}

// Values is a decoded column of values. It shares the memory of the sections it
// was decoded from. Reading it is safe for concurrent use.
type Values struct {
	kind byte
	n    int

	dict           [][]byte // constant and dictionary
	prefix, suffix []byte   // integer
	digits         int
	shape          int // id
	distinct       int
	layout         clockLayout
	unit           int64

	numbers    numbers
	hasNumbers bool

	// Where the rest lies in the sections.
	lengthsAt, lengthsSize, textAt, textSize int // text
	idsAt                                    int

	ends  []uint32 // text: of each value in text
	text  []byte
	ids   []byte
	value []int64 // the numbers
}

// describe reads the description of n values.
func (v *Values) describe(r *reader, n int) {
	*v = Values{kind: r.byte(), n: n, dict: v.dict[:0], ends: v.ends[:0], value: v.value[:0]}
	switch v.kind {
	case kindText:
		v.lengthsSize, v.textSize = int(min(r.uvarint(), maxSection+1)), int(min(r.uvarint(), maxSection+1))
		v.lengthsAt, v.textAt = r.take(&r.indexes, uint64(v.lengthsSize)), r.take(&r.textSize, uint64(v.textSize))
		if v.lengthsSize < n {
			r.bad = true
		}
	case kindConstant:
		v.dict = append(v.dict, r.bytes())
	case kindDictionary:
		for range r.count() {
			v.dict = append(v.dict, r.bytes())
		}
		v.describeNumbers(r)
	case kindInteger:
		v.prefix, v.suffix = r.bytes(), r.bytes()
		v.digits = int(r.byte())
		v.describeNumbers(r)
	case kindID:
		v.shape = int(r.byte())
		v.distinct = int(min(r.uvarint(), maxSection))
		if v.distinct > n {
			r.bad = true
		}
		count := v.distinct
		if count == 0 {
			count = n
		}
		v.idsAt = r.take(&r.ids, uint64(count)*uint64(idBytes(v.shape)))
		if v.distinct > 0 {
			v.describeNumbers(r)
		}
	case kindClock:
		flags, digits := r.byte(), int(r.byte())
		if digits > 9 {
			r.bad = true
			digits = 0
		}
		v.layout = layoutOf(flags, digits, string(r.bytes()))
		v.unit = v.layout.unit()
		v.describeNumbers(r)
	default:
		r.bad = true
	}
}

func (v *Values) describeNumbers(r *reader) {
	v.hasNumbers = true
	v.numbers.describe(r, v.n)
}

// load takes the column's parts of the sections, which were checked to be there.
func (v *Values) load(s *Sections) error {
	switch v.kind {
	case kindText:
		v.text = s.Text[v.textAt : v.textAt+v.textSize]
		return v.loadEnds(s.Indexes[v.lengthsAt : v.lengthsAt+v.lengthsSize])
	case kindID:
		count := v.distinct
		if count == 0 {
			count = v.n
		}
		v.ids = s.IDs[v.idsAt : v.idsAt+count*idBytes(v.shape)]
	}
	if !v.hasNumbers {
		return nil
	}
	v.value = v.numbers.load(v.value[:0], v.n, s.Indexes, s.IDs)
	limit := int64(-1)
	switch v.kind {
	case kindDictionary:
		limit = int64(len(v.dict))
	case kindID:
		limit = int64(v.distinct)
	}
	if limit >= 0 {
		for _, i := range v.value {
			if i < 0 || i >= limit {
				return damaged("place in a dictionary")
			}
		}
	}
	return nil
}

func (v *Values) loadEnds(lengths []byte) error {
	end, off := uint64(0), 0
	v.ends = slices.Grow(v.ends[:0], v.n)
	for range v.n {
		n, size := binary.Uvarint(lengths[off:])
		if size <= 0 {
			return damaged("lengths")
		}
		off += size
		if end += n; end > uint64(v.textSize) {
			return damaged("lengths")
		}
		v.ends = append(v.ends, uint32(end))
	}
	if off != len(lengths) || end != uint64(v.textSize) {
		return damaged("lengths")
	}
	return nil
}

// Append appends the text of value i, whose row has the time ts.
func (v *Values) Append(dst []byte, i int, ts int64) []byte {
	switch v.kind {
	case kindText:
		start := uint32(0)
		if i > 0 {
			start = v.ends[i-1]
		}
		return append(dst, v.text[start:v.ends[i]]...)
	case kindConstant:
		return append(dst, v.dict[0]...)
	case kindDictionary:
		return append(dst, v.dict[v.value[i]]...)
	case kindInteger:
		dst = append(dst, v.prefix...)
		dst = appendInteger(dst, v.value[i], v.digits)
		return append(dst, v.suffix...)
	case kindID:
		at := i
		if v.distinct > 0 {
			at = int(v.value[i])
		}
		size := idBytes(v.shape)
		return unpackID(dst, v.ids[at*size:(at+1)*size], v.shape)
	default:
		return v.layout.format(dst, ts, v.value[i], v.unit)
	}
}

// Dictionary returns the different values when the column keeps them once, and the
// place of each value among them; no places mean that all are the first one. It
// appends ids, which have no text of their own, to *unpacked.
func (v *Values) Dictionary(unpacked *[]byte) (dict [][]byte, places []int64, ok bool) {
	switch {
	case v.kind == kindConstant:
		return v.dict, nil, true
	case v.kind == kindDictionary:
		return v.dict, v.value, true
	case v.kind == kindID && v.distinct > 0:
		size := idBytes(v.shape)
		out := slices.Grow(*unpacked, v.distinct*(2*size+4))
		for i := range v.distinct {
			at := len(out)
			out = unpackID(out, v.ids[i*size:(i+1)*size], v.shape)
			v.dict = append(v.dict, out[at:len(out):len(out)])
		}
		*unpacked = out
		return v.dict, v.value, true
	}
	return nil, nil, false
}

// Text returns the text of all values and where each ends, when it lies as it is.
func (v *Values) Text() (text []byte, ends []uint32, ok bool) {
	return v.text, v.ends, v.kind == kindText
}

// NeedsTimes reports whether Append must know the row's time.
func (v *Values) NeedsTimes() bool { return v.kind == kindClock }

// Memory is about how many bytes the column keeps beside the sections.
func (v *Values) Memory() int { return 24*cap(v.dict) + 4*cap(v.ends) + 8*cap(v.value) }

// Decode reads a column of n values from the sections.
func (v *Values) Decode(s *Sections, n int) error {
	r := reader{b: s.Main}
	v.describe(&r, n)
	if err := r.done(s); err != nil {
		return err
	}
	return v.load(s)
}

// done checks that the sections are used up exactly.
func (r *reader) done(s *Sections) error {
	if r.bad || r.off != len(r.b) {
		return damaged("description of values")
	}
	if r.indexes != len(s.Indexes) || r.ids != len(s.IDs) || r.textSize != len(s.Text) {
		return damaged("size of a section")
	}
	return nil
}

// Lines are decoded lines.
type Lines struct {
	rows      int
	size      int
	templates []template
	columns   []Values
	of        []uint16 // template of each row
	at        []uint32 // the row's place among the rows of its template
	values    int      // of columns that are in use
	refs      int
}

type template struct {
	rows  int
	parts []part
	texts []byte // all of the template, with marks
	// Its columns in Lines.columns.
	first, count int
}

// part is a run of static text and what follows it.
type part struct {
	text   []byte
	column int // in Lines.columns, or -1
	ref    int // or -1
}

// Rows is the number of lines, Size the bytes of all of them.
func (l *Lines) Rows() int { return l.rows }

// Size is how many bytes all lines have.
func (l *Lines) Size() int { return l.size }

// Refs is one more than the greatest field that a line refers to.
func (l *Lines) Refs() int { return l.refs }

// Memory is about how many bytes the lines keep beside the sections.
func (l *Lines) Memory() int {
	n := 2*cap(l.of) + 4*cap(l.at)
	for i := range l.columns {
		n += l.columns[i].Memory() + 256
	}
	for i := range l.templates[:cap(l.templates)] {
		n += 48 * cap(l.templates[:cap(l.templates)][i].parts)
	}
	return n
}

// Decode reads lines from the sections, whose memory they keep.
func (l *Lines) Decode(s *Sections) error {
	r := reader{b: s.Main}
	rows, size := r.uvarint(), r.uvarint()
	count := r.count()
	if r.bad || rows == 0 || rows > maxSection || size > maxSection || count > maxTemplates+1 {
		return damaged("lines")
	}
	l.rows, l.size, l.values, l.refs = int(rows), int(size), 0, 0
	l.templates = l.templates[:0]
	width := templateWidth(count)
	numbersAt := r.take(&r.indexes, rows*uint64(width))
	sum := uint64(0)
	for range count {
		if err := l.describe(&r, &sum); err != nil {
			return err
		}
	}
	if sum != rows {
		return damaged("lines of templates")
	}
	if err := r.done(s); err != nil {
		return err
	}
	if err := l.loadTemplates(s.Indexes[numbersAt:numbersAt+l.rows*width], width); err != nil {
		return err
	}
	for i := range l.columns[:l.values] {
		if err := l.columns[i].load(s); err != nil {
			return err
		}
	}
	return nil
}

// describe reads a template.
func (l *Lines) describe(r *reader, sum *uint64) error {
	rows := r.uvarint()
	text := r.bytes()
	*sum += rows
	if r.bad || rows == 0 || *sum > uint64(l.rows) {
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
	t.rows, t.parts, t.texts = int(rows), t.parts[:0], text
	t.first, t.count = l.values, 0
	from := 0
	for i, c := range text {
		if classes[c] != classMark {
			continue
		}
		p := part{text: text[from:i], column: -1, ref: -1}
		if c == markValue {
			p.column = l.values
			if l.values == len(l.columns) {
				l.columns = append(l.columns, Values{})
			}
			l.columns[l.values].describe(r, t.rows)
			l.values++
			t.count++
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

// loadTemplates finds each row's template and its place there.
func (l *Lines) loadTemplates(planes []byte, width int) error {
	l.of = slices.Grow(l.of[:0], l.rows)[:l.rows]
	l.at = slices.Grow(l.at[:0], l.rows)[:l.rows]
	next := make([]uint32, len(l.templates))
	for row := range l.rows {
		t := 0
		for p := range width {
			t |= int(planes[p*l.rows+row]) << (8 * p)
		}
		if t >= len(l.templates) {
			return damaged("template of a line")
		}
		l.of[row], l.at[row] = uint16(t), next[t]
		next[t]++
	}
	for i := range l.templates {
		if int(next[i]) != l.templates[i].rows {
			return damaged("lines of a template")
		}
	}
	return nil
}

// Append appends a line. ts is its row's time and ref gives the value of the
// row's field k.
func (l *Lines) Append(dst []byte, row int, ts int64, ref func(k, row int) string) []byte {
	at := int(l.at[row])
	for _, p := range l.templates[l.of[row]].parts {
		dst = append(dst, p.text...)
		switch {
		case p.column >= 0:
			dst = l.columns[p.column].Append(dst, at, ts)
		case p.ref >= 0:
			dst = append(dst, ref(p.ref, row)...)
		}
	}
	return dst
}
