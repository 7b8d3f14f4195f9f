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

// Section names one of the Sections.
type Section int

// The sections.
const (
	Main Section = iota
	Indexes
	IDs
	Text
)

// Source gives sections when they are first needed. What it returned stays valid
// as long as what was decoded from it is in use.
type Source interface {
	// Size is how many bytes the section has.
	Size(Section) int
	// Load returns them.
	Load(Section) ([]byte, error)
}

// Size implements Source.
func (s *Sections) Size(x Section) int { return len(s.section(x)) }

// Load implements Source.
func (s *Sections) Load(x Section) ([]byte, error) { return s.section(x), nil }

func (s *Sections) section(x Section) []byte {
	switch x {
	case Main:
		return s.Main
	case Indexes:
		return s.Indexes
	case IDs:
		return s.IDs
	default:
		return s.Text
	}
}

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

// done checks that the sections are used up exactly.
func (r *reader) done(src Source) error {
	if r.bad || r.off != len(r.b) {
		return damaged("description of values")
	}
	if r.indexes != src.Size(Indexes) || r.ids != src.Size(IDs) || r.textSize != src.Size(Text) {
		return damaged("size of a section")
	}
	return nil
}

// Values is a decoded column of values. It shares the memory of its source, which
// it reads no more of than it is asked for.
type Values struct {
	src  Source
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

	loaded bool
	ends   []uint32 // text: of each value in text
	text   []byte
	ids    []byte
	value  []int64 // the numbers
}

// describe reads the description of n values.
func (v *Values) describe(r *reader, src Source, n int) {
	*v = Values{src: src, kind: r.byte(), n: n, dict: v.dict[:0], ends: v.ends[:0], value: v.value[:0]}
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
		v.idsAt = r.take(&r.ids, uint64(v.idCount())*uint64(idBytes(v.shape)))
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

// idCount is how many ids the column keeps.
func (v *Values) idCount() int {
	if v.distinct == 0 {
		return v.n
	}
	return v.distinct
}

// Open reads the description of a column of n values.
func (v *Values) Open(src Source, n int) error {
	main, err := src.Load(Main)
	if err != nil {
		return err
	}
	r := reader{b: main}
	v.describe(&r, src, n)
	return r.done(src)
}

// Load reads the rest, so that Append and Dictionary can be used.
func (v *Values) Load() error {
	if v.loaded {
		return nil
	}
	if err := v.loadIDs(); err != nil {
		return err
	}
	if err := v.loadText(); err != nil {
		return err
	}
	if v.kind == kindText || v.hasNumbers {
		indexes, err := v.src.Load(Indexes)
		if err != nil {
			return err
		}
		if v.kind == kindText {
			err = v.loadEnds(indexes[v.lengthsAt : v.lengthsAt+v.lengthsSize])
		} else {
			err = v.loadNumbers(indexes)
		}
		if err != nil {
			return err
		}
	}
	v.loaded = true
	return nil
}

func (v *Values) loadIDs() error {
	if v.kind != kindID || v.ids != nil {
		return nil
	}
	ids, err := v.src.Load(IDs)
	if err != nil {
		return err
	}
	v.ids = ids[v.idsAt : v.idsAt+v.idCount()*idBytes(v.shape)]
	return nil
}

func (v *Values) loadText() error {
	if v.kind != kindText || v.text != nil {
		return nil
	}
	text, err := v.src.Load(Text)
	if err != nil {
		return err
	}
	v.text = text[v.textAt : v.textAt+v.textSize]
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
		if end += n; end > uint64(v.textSize) || n > uint64(v.textSize) {
			return damaged("lengths")
		}
		v.ends = append(v.ends, uint32(end))
	}
	if off != len(lengths) || end != uint64(v.textSize) {
		return damaged("lengths")
	}
	return nil
}

func (v *Values) loadNumbers(indexes []byte) error {
	var ids []byte
	if v.numbers.raw != 0 {
		var err error
		if ids, err = v.src.Load(IDs); err != nil {
			return err
		}
	}
	v.value = v.numbers.load(v.value[:0], v.n, indexes, ids)
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

// Append appends the text of value i, whose row has the time ts.
func (v *Values) Append(dst []byte, i int, ts int64) []byte {
	switch v.kind {
	case kindText:
		return append(dst, v.textAtRow(i)...)
	case kindConstant:
		return append(dst, v.dict[0]...)
	case kindDictionary:
		return append(dst, v.dict[v.value[i]]...)
	case kindInteger:
		dst = append(dst, v.prefix...)
		dst = appendInteger(dst, v.value[i], v.digits)
		return append(dst, v.suffix...)
	case kindID:
		if v.distinct > 0 {
			i = int(v.value[i])
		}
		return v.appendID(dst, i)
	default:
		return v.layout.format(dst, ts, v.value[i], v.unit)
	}
}

func (v *Values) textAtRow(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = v.ends[i-1]
	}
	return v.text[start:v.ends[i]]
}

// appendID appends the text of the i-th id that the column keeps.
func (v *Values) appendID(dst []byte, i int) []byte {
	size := idBytes(v.shape)
	return unpackID(dst, v.ids[i*size:(i+1)*size], v.shape)
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
		dict = make([][]byte, v.distinct)
		for i := range dict {
			at := len(out)
			out = v.appendID(out, i)
			dict[i] = out[at:len(out):len(out)]
		}
		*unpacked = out
		return dict, v.value, true
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
