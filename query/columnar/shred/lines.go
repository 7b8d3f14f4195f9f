package shred

import (
	"cmp"
	"encoding/binary"
	"slices"
	"unsafe"
)

// Lines are, in Main,
//
//	rows       uvarint
//	size       uvarint  bytes of all lines
//	templates  uvarint  count, then for each
//	  rows     uvarint  how many lines have it
//	  text     string   with a mark for each variable
//	  columns           one for each mark that stands for a value, see values.go
//
// and in Indexes, before what the columns have there, the number of each line's
// template: one plane of bytes, two if there are more than 256 templates, none if
// there is one. The values of a column are in line order.
//
// Lines that have no template of their own are values of a template that is
// nothing but a mark.
const (
	// maxTemplates bounds the templates of a block.
	maxTemplates = 4096
	// minTemplateRows is the least number of lines that a template is worth.
	minTemplateRows = 3
)

// plainTemplate holds the lines that fit no other one.
const plainTemplate = string(rune(markValue))

// Ref is a field that lines may refer to: its values by row, ascending. Of a row
// with several values the first one counts.
type Ref struct {
	Text []byte
	Ends []uint32 // of each value in Text
	Rows []uint32 // of each value
}

// lineEncoder is the part of an Encoder that is about lines.
type lineEncoder struct {
	tokens    tokenizer
	templates map[string]int32
	found     []foundTemplate
	of        []int32  // template of each row, or -1
	holes     []span   // of all rows, in the text
	firstHole []uint32 // of each row, and one more
	refs      []int    // the next value of each ref
	rows      []uint32 // in template order
	spans     []span
	text      []byte // of a template with its constants
	columns   []texts
}

type foundTemplate struct {
	text  string
	holes int
	rows  int
	first int // in lineEncoder.rows
	id    int // in the encoded block
}

// Lines appends lines, which end in text at ends, as templates and variables. It
// reports false, and appends nothing, when hardly any line has a template.
func (e *Encoder) Lines(dst *Sections, text []byte, ends []uint32, times []int64, refs []Ref) bool {
	l := &e.lines
	l.split(text, ends, refs)
	kept, covered := l.choose(text, ends)
	if covered*4 < len(text) {
		return false
	}
	dst.Main = binary.AppendUvarint(dst.Main, uint64(len(ends)))
	dst.Main = binary.AppendUvarint(dst.Main, uint64(len(text)))
	dst.Main = binary.AppendUvarint(dst.Main, uint64(len(kept)))
	l.appendNumbers(dst, len(kept))
	for _, t := range kept {
		e.template(dst, t, text, ends, times)
	}
	return true
}

// split finds each line's template and variables.
func (l *lineEncoder) split(text []byte, ends []uint32, refs []Ref) {
	if l.templates == nil {
		l.templates = map[string]int32{}
	}
	clear(l.templates)
	clear(l.found)
	l.found, l.of, l.holes, l.firstHole = l.found[:0], l.of[:0], l.holes[:0], l.firstHole[:0]
	l.refs = append(l.refs[:0], make([]int, min(len(refs), MaxRefs))...)
	row := 0
	find := func(word []byte) int { return l.ref(refs, uint32(row), word) }
	if len(refs) == 0 {
		find = nil
	}
	start := uint32(0)
	for row = range ends {
		end := ends[row]
		l.firstHole = append(l.firstHole, uint32(len(l.holes)))
		l.of = append(l.of, l.note(text[start:end], start, find))
		start = end
	}
	l.firstHole = append(l.firstHole, uint32(len(l.holes)))
}

// note splits one line and returns its template.
func (l *lineEncoder) note(line []byte, start uint32, find func([]byte) int) int32 {
	if !l.tokens.split(line, find) {
		return -1
	}
	t, ok := l.templates[string(l.tokens.template)]
	if !ok {
		if len(l.found) == maxTemplates {
			return -1
		}
		t = int32(len(l.found))
		own := string(l.tokens.template)
		l.templates[own] = t
		l.found = append(l.found, foundTemplate{text: own, holes: len(l.tokens.holes)})
	}
	l.found[t].rows++
	for _, h := range l.tokens.holes {
		l.holes = append(l.holes, span{start + h.start, start + h.end})
	}
	return t
}

// ref finds the field of the row that has the word as its value, or returns -1.
func (l *lineEncoder) ref(refs []Ref, row uint32, word []byte) int {
	for k := range l.refs {
		r := &refs[k]
		i := l.refs[k]
		for i < len(r.Rows) && r.Rows[i] < row {
			i++
		}
		l.refs[k] = i
		if i == len(r.Rows) || r.Rows[i] != row {
			continue
		}
		start := uint32(0)
		if i > 0 {
			start = r.Ends[i-1]
		}
		if string(r.Text[start:r.Ends[i]]) == string(word) {
			return k
		}
	}
	return -1
}

// choose keeps the templates that are worth it and returns them, the one of plain
// lines last, and how many bytes of lines they cover.
func (l *lineEncoder) choose(text []byte, ends []uint32) ([]*foundTemplate, int) {
	plain := foundTemplate{text: plainTemplate, holes: 1}
	for i := range l.found {
		if t := &l.found[i]; t.rows < minTemplateRows && t.text != plainTemplate {
			t.id = -1
		}
	}
	covered := len(text)
	start := uint32(0)
	for row, t := range l.of {
		if t < 0 || l.found[t].id < 0 || l.found[t].text == plainTemplate {
			l.of[row] = -1
			plain.rows++
			covered -= int(ends[row] - start)
		}
		start = ends[row]
	}
	var kept []*foundTemplate
	for i := range l.found {
		if t := &l.found[i]; t.id >= 0 && t.text != plainTemplate {
			kept = append(kept, t)
		}
	}
	// Similar templates side by side compress better.
	slices.SortFunc(kept, func(a, b *foundTemplate) int { return cmp.Compare(a.text, b.text) })
	if plain.rows > 0 {
		kept = append(kept, &plain)
	}
	first := 0
	for i, t := range kept {
		t.id, t.first = i, first
		first += t.rows
	}
	// A counting sort brings the rows into template order.
	l.rows = append(l.rows[:0], make([]uint32, len(ends))...)
	next := make([]int, len(kept))
	for i, t := range kept {
		next[i] = t.first
	}
	for row, t := range l.of {
		id := len(kept) - 1
		if t >= 0 {
			id = l.found[t].id
		}
		l.of[row] = int32(id)
		l.rows[next[id]] = uint32(row)
		next[id]++
	}
	return kept, covered
}

// appendNumbers appends each line's template.
func (l *lineEncoder) appendNumbers(dst *Sections, templates int) {
	dst.Indexes = appendPlanes(dst.Indexes, len(l.of), templateWidth(templates), func(i int) uint64 { return uint64(l.of[i]) })
}

// templateWidth is how many bytes the number of a template takes.
func templateWidth(templates int) int { return planeWidth(uint64(max(templates, 1) - 1)) }

// template appends a template and its columns.
func (e *Encoder) template(dst *Sections, t *foundTemplate, text []byte, ends []uint32, times []int64) {
	l := &e.lines
	rows := l.rows[t.first : t.first+t.rows]
	dst.Main = binary.AppendUvarint(dst.Main, uint64(len(rows)))
	if t.text == plainTemplate {
		dst.Main = appendString(dst.Main, []byte(t.text))
		l.spans = l.spans[:0]
		for _, r := range rows {
			start := uint32(0)
			if r > 0 {
				start = ends[r-1]
			}
			l.spans = append(l.spans, span{start, ends[r]})
		}
		c := texts{text: text, spans: l.spans, rows: rows, times: times}
		e.column(dst, &c)
		return
	}
	l.spans = l.spans[:0]
	l.columns = l.columns[:0]
	for h := range t.holes {
		for _, r := range rows {
			l.spans = append(l.spans, l.holes[l.firstHole[r]+uint32(h)])
		}
	}
	// A variable that never varies is static text.
	l.text = l.text[:0]
	h := 0
	for i := range len(t.text) {
		if t.text[i] != markValue {
			l.text = append(l.text, t.text[i])
			continue
		}
		c := texts{text: text, spans: l.spans[h*len(rows) : (h+1)*len(rows)], rows: rows, times: times}
		h++
		if v := c.at(0); len(l.text)+len(v) <= 4*maxTemplate && c.constant() && !marked(v) {
			l.text = append(l.text, v...)
			continue
		}
		l.text = append(l.text, markValue)
		l.columns = append(l.columns, c)
	}
	dst.Main = appendString(dst.Main, l.text)
	for i := range l.columns {
		e.column(dst, &l.columns[i])
	}
}

// marked reports whether a mark is in the text.
func marked(v []byte) bool {
	for _, c := range v {
		if classes[c] == classMark {
			return true
		}
	}
	return false
}

// viewString shares b's memory, which must not change while the string lives.
func viewString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
