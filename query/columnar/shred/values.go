package shred

import "encoding/binary"

// Sections is where encoded texts lie, apart by how they compress: Main has the
// templates, dictionaries and descriptions, Indexes small numbers, IDs packed ids,
// which as a rule do not compress at all, and Text what is left as it was. All of
// them are read front to back, in the order of the descriptions in Main.
type Sections struct {
	Main, Indexes, IDs, Text []byte
}

// Reset empties the sections and keeps their memory.
func (s *Sections) Reset() {
	s.Main, s.Indexes, s.IDs, s.Text = s.Main[:0], s.Indexes[:0], s.IDs[:0], s.Text[:0]
}

// A column of values begins with a byte that says how they are kept:
//
//	text        uvarint size of their lengths in Indexes (uvarint each), uvarint size
//	            of their text in Text
//	constant    string
//	dictionary  uvarint count, the strings; numbers (their places in the dictionary)
//	integer     string prefix, string suffix, byte digits (0: decimal without leading
//	            zeros, else with so many digits); numbers
//	id          byte shape (0: uuid, else half the hexadecimal digits), uvarint count
//	            of different ids, 0 when each value has its own; the ids in IDs; if
//	            count is not 0, numbers (places among the ids)
//	clock       byte layout, byte digits of the fraction, string suffix; numbers
//	            (difference to the row's time in units of the last digit)
//
// Strings are a uvarint length and bytes; numbers are described in numbers.go.
const (
	kindText = iota
	kindConstant
	kindDictionary
	kindInteger
	kindID
	kindClock
)

// maxDictionary bounds the values of a dictionary.
const maxDictionary = 1 << 16

// texts are the values of one column, as spans of one text.
type texts struct {
	text  []byte
	spans []span
	rows  []uint32 // of each value; nil when value i is of row i
	times []int64  // of all rows; nil when unknown
}

func (t *texts) at(i int) []byte { return t.text[t.spans[i].start:t.spans[i].end] }

func (t *texts) time(i int) int64 {
	if t.rows == nil {
		return t.times[i]
	}
	return t.times[t.rows[i]]
}

// Encoder encodes blocks one after the other and keeps its memory in between. It
// is not safe for concurrent use.
type Encoder struct {
	lines   lineEncoder
	dict    map[string]uint32
	order   []span // of the dictionary's values
	indexes []uint32
	numbers []int64
	plane   []byte
	scratch []byte
	spans   []span
}

// NewEncoder returns an Encoder.
func NewEncoder() *Encoder {
	return &Encoder{dict: map[string]uint32{}}
}

// Values appends a column of values, which end in text at ends. times, if not nil,
// are the times of their rows. It makes no sense without values.
func (e *Encoder) Values(dst *Sections, text []byte, ends []uint32, times []int64) {
	e.spans = e.spans[:0]
	start := uint32(0)
	for _, end := range ends {
		e.spans = append(e.spans, span{start, end})
		start = end
	}
	t := texts{text: text, spans: e.spans, times: times}
	if t.constant() {
		dst.Main = append(dst.Main, kindConstant)
		dst.Main = appendString(dst.Main, t.at(0))
		return
	}
	e.column(dst, &t)
}

func (t *texts) constant() bool {
	first := t.at(0)
	for i := range t.spans {
		if string(t.at(i)) != string(first) {
			return false
		}
	}
	return true
}

// column appends values that are not all equal.
func (e *Encoder) column(dst *Sections, t *texts) {
	if shape := idShape(t); shape >= 0 {
		e.idColumn(dst, t, shape)
		return
	}
	if layout, ok := e.clocks(t); ok {
		dst.Main = append(dst.Main, kindClock, layout.flags(), byte(layout.digits))
		dst.Main = appendString(dst.Main, []byte(layout.suffix))
		e.Numbers(dst, e.numbers)
		return
	}
	// A small dictionary beats everything else; a bigger one beats only text.
	isDict := e.dictionary(t)
	form, isInt := integerForm{}, false
	if !isDict || len(e.order) > 256 || len(e.order)*4 > len(t.spans) {
		form, isInt = e.integers(t)
	}
	switch {
	case isInt:
		dst.Main = append(dst.Main, kindInteger)
		dst.Main = appendString(dst.Main, form.prefix)
		dst.Main = appendString(dst.Main, form.suffix)
		dst.Main = append(dst.Main, byte(form.digits))
		e.Numbers(dst, e.numbers)
	case isDict:
		dst.Main = append(dst.Main, kindDictionary)
		dst.Main = binary.AppendUvarint(dst.Main, uint64(len(e.order)))
		for _, s := range e.order {
			dst.Main = appendString(dst.Main, t.text[s.start:s.end])
		}
		e.appendIndexes(dst)
	default:
		appendTexts(dst, t)
	}
}

func appendTexts(dst *Sections, t *texts) {
	lengths, size := len(dst.Indexes), len(dst.Text)
	for _, s := range t.spans {
		dst.Indexes = binary.AppendUvarint(dst.Indexes, uint64(s.end-s.start))
		dst.Text = append(dst.Text, t.text[s.start:s.end]...)
	}
	dst.Main = append(dst.Main, kindText)
	dst.Main = binary.AppendUvarint(dst.Main, uint64(len(dst.Indexes)-lengths))
	dst.Main = binary.AppendUvarint(dst.Main, uint64(len(dst.Text)-size))
}

func appendString(dst, s []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// dictionary leaves the different values in e.order and their places in e.indexes,
// unless too many values are different.
func (e *Encoder) dictionary(t *texts) bool {
	clear(e.dict)
	e.order, e.indexes = e.order[:0], e.indexes[:0]
	last, lastIndex := []byte(nil), uint32(0)
	for i, s := range t.spans {
		v := t.text[s.start:s.end]
		if i > 0 && string(v) == string(last) {
			e.indexes = append(e.indexes, lastIndex)
			continue
		}
		at, ok := e.dict[string(v)]
		if !ok {
			at = uint32(len(e.order))
			// Where nearly everything is new, the dictionary would hold it all and the
			// places come on top.
			if n := len(e.order); n >= maxDictionary || n >= 64 && n*4 > i*3 {
				return false
			}
			e.dict[viewString(v)] = at
			e.order = append(e.order, s)
		}
		e.indexes = append(e.indexes, at)
		last, lastIndex = v, at
	}
	n := len(e.order)
	return n*4 <= len(t.spans)*3
}

// appendIndexes appends e.indexes as numbers.
func (e *Encoder) appendIndexes(dst *Sections) {
	e.numbers = e.numbers[:0]
	for _, i := range e.indexes {
		e.numbers = append(e.numbers, int64(i))
	}
	e.Numbers(dst, e.numbers)
}
