package shred

import (
	"bytes"
	"encoding/hex"
	"strings"
)

// Verdict says of a line whether it satisfies a condition.
type Verdict uint8

// The verdicts.
const (
	No Verdict = iota
	Yes
	// Maybe means that only the line itself can tell.
	Maybe
)

// FieldSearch answers conditions on the fields that lines refer to.
type FieldSearch interface {
	// Search reports for each row whether the value of its field k satisfies the
	// condition, or nil when none does.
	Search(k int, c Condition) ([]bool, error)
}

// Condition is what is asked of one value.
type Condition struct {
	Op   Op
	Text []byte
}

// Op is how a value is compared with a text.
type Op uint8

// The comparisons.
const (
	Contains Op = iota
	Equals
	HasPrefix
	HasSuffix
)

// Holds evaluates the condition on a value.
func (c Condition) Holds(value []byte) bool {
	switch c.Op {
	case Contains:
		return bytes.Contains(value, c.Text)
	case Equals:
		return bytes.Equal(value, c.Text)
	case HasPrefix:
		return bytes.HasPrefix(value, c.Text)
	default:
		return bytes.HasSuffix(value, c.Text)
	}
}

// Found is the verdicts on all lines of a block.
type Found struct {
	lines *Lines
	// of has the verdict of each template; the lines of one that is mixed have
	// their own in hits, by place.
	of   []Verdict
	hits [][]bool
}

const mixed Verdict = 3

// None reports that no line is found.
func (f *Found) None() bool {
	for _, v := range f.of {
		if v != No {
			return false
		}
	}
	return true
}

// Row is the verdict on a row's line. There is none to ask for when None is true.
func (f *Found) Row(row uint32) Verdict {
	t := f.lines.of[row]
	if v := f.of[t]; v != mixed {
		return v
	}
	if f.hits[t][f.lines.at[row]] {
		return Yes
	}
	return No
}

// Find looks for the lines that contain the literal, which is not empty, without
// rebuilding any. It looks at the text of each template first, then at each way in
// which the literal could lie in variables or reach over their ends, and there at
// each different value once. timeOf is asked for the time of a row when it matters.
func (l *Lines) Find(literal []byte, timeOf func(row int) (int64, error), fields FieldSearch) (*Found, error) {
	f := &Found{lines: l, of: make([]Verdict, len(l.templates)), hits: make([][]bool, len(l.templates))}
	main, err := l.src.Load(Main)
	if err != nil {
		return nil, err
	}
	s := finder{lines: l, literal: literal, timeOf: timeOf, fields: fields, inMain: bytes.Contains(main, literal)}
	for i := range l.templates {
		var err error
		if f.of[i], f.hits[i], err = s.template(&l.templates[i]); err != nil {
			return nil, err
		}
	}
	if f.None() {
		return f, nil
	}
	return f, l.place()
}

// finder looks for one literal.
type finder struct {
	lines   *Lines
	literal []byte
	timeOf  func(row int) (int64, error)
	fields  FieldSearch

	// inMain reports whether the literal is anywhere in the templates and
	// dictionaries, which is found out once for all of them.
	inMain     bool
	t          *template
	placements [][]constraint
	path       []constraint
	steps      int
}

// constraint is a condition on the variable of a part.
type constraint struct {
	part int
	Condition
}

const (
	// maxPlacements bounds the ways to lie in a template that are looked at one by
	// one, maxSteps the search for them. Where that is not enough, lines have to be
	// rebuilt.
	maxPlacements = 64
	maxSteps      = 1 << 14
)

// template is the verdict on a template.
func (s *finder) template(t *template) (Verdict, []bool, error) {
	for i := range t.parts {
		if s.inMain && bytes.Contains(t.parts[i].text, s.literal) {
			return Yes, nil, nil
		}
	}
	s.t, s.placements, s.path, s.steps = t, s.placements[:0], s.path[:0], 0
	s.enumerate()
	if len(s.placements) > maxPlacements || s.steps > maxSteps {
		return Maybe, nil, nil
	}
	var hits []bool
	for _, p := range s.placements {
		found, err := s.evaluate(p)
		if err != nil {
			return No, nil, err
		}
		if found == nil {
			continue
		}
		if hits == nil {
			hits = found
			continue
		}
		for i, hit := range found {
			hits[i] = hits[i] || hit
		}
	}
	if hits == nil {
		return No, nil, nil
	}
	return mixed, hits, nil
}

// enumerate lists the ways in which the literal could lie in the template other
// than within static text.
func (s *finder) enumerate() {
	for i := range s.t.parts {
		p := &s.t.parts[i]
		if i == len(s.t.parts)-1 {
			break
		}
		// It begins in the text and goes on in the variable.
		for from := max(0, len(p.text)-len(s.literal)+1); from < len(p.text); from++ {
			if bytes.HasPrefix(s.literal, p.text[from:]) {
				s.variable(i, s.literal[len(p.text)-from:], true)
			}
		}
		// It lies in the variable, or begins there.
		s.variable(i, s.literal, false)
	}
}

// variable puts what is left of the literal into the variable behind part i:
// all of it, or its beginning, if the following text goes on as the literal does.
// Whole means that the variable begins where rest does.
func (s *finder) variable(i int, rest []byte, whole bool) {
	p := &s.t.parts[i]
	run := s.lines.longest(p, rest)
	if run == len(rest) {
		op := Contains
		if whole {
			op = HasPrefix
		}
		s.place(append(s.path, constraint{i, Condition{op, rest}}))
	}
	least := 1
	op := HasSuffix
	if whole {
		least, op = 0, Equals
	}
	following := s.t.parts[i+1].text
	for n := least; n <= min(run, len(rest)-1); n++ {
		if len(following) > 0 {
			skip := bytes.IndexByte(rest[n:], following[0])
			if n += skip; skip < 0 || n > run {
				return
			}
		}
		s.path = append(s.path, constraint{i, Condition{op, rest[:n]}})
		s.text(i+1, rest[n:])
		s.path = s.path[:len(s.path)-1]
		if s.steps++; s.steps > maxSteps {
			return
		}
	}
}

// text goes on with the text of part i.
func (s *finder) text(i int, rest []byte) {
	text := s.t.parts[i].text
	if len(rest) <= len(text) {
		if bytes.HasPrefix(text, rest) {
			s.place(s.path)
		}
		return
	}
	if bytes.HasPrefix(rest, text) && i < len(s.t.parts)-1 {
		s.variable(i, rest[len(text):], true)
	}
}

func (s *finder) place(path []constraint) {
	if len(s.placements) <= maxPlacements {
		s.placements = append(s.placements, append([]constraint(nil), path...))
	}
}

// longest is how much of the text, from its start, a variable could hold by its
// kind.
func (l *Lines) longest(p *part, text []byte) int {
	if p.column < 0 {
		return len(text)
	}
	v := &l.columns[p.column]
	for i, c := range text {
		if !v.mayHold(c) {
			return i
		}
	}
	return len(text)
}

// mayHold reports whether values of the kind can have the byte.
func (v *Values) mayHold(c byte) bool {
	switch v.kind {
	case kindID:
		return hexDigits[c] != notHex || c == '-' && v.shape == uuidShape
	case kindInteger:
		return classes[c] == classDigit || c == '-' || bytes.IndexByte(v.prefix, c) >= 0 || bytes.IndexByte(v.suffix, c) >= 0
	case kindClock:
		l := &v.layout
		return classes[c] == classDigit || c == ':' || l.digits > 0 && c == l.point ||
			l.date && (c == '-' || c == l.separator) || strings.IndexByte(l.suffix, c) >= 0
	}
	return true
}

// evaluate finds the lines, by place, that satisfy all constraints; nil means none.
func (s *finder) evaluate(path []constraint) ([]bool, error) {
	var hits []bool
	for _, c := range path {
		p := &s.t.parts[c.part]
		var found []bool
		var err error
		if p.column >= 0 {
			v := &s.lines.columns[p.column]
			if v.kind == kindDictionary && !s.inMain && c.Op == Contains {
				return nil, nil
			}
			found, err = v.Search(c.Condition, s.at)
		} else {
			found, err = s.ref(p.ref, c.Condition)
		}
		if err != nil || found == nil {
			return nil, err
		}
		if hits == nil {
			hits = found
			continue
		}
		for i := range hits {
			hits[i] = hits[i] && found[i]
		}
	}
	return hits, nil
}

// at is the time of the row that has the place in the template.
func (s *finder) at(place int) (int64, error) {
	if err := s.lines.place(); err != nil {
		return 0, err
	}
	return s.timeOf(int(s.lines.rowOf[s.t.first+place]))
}

// ref evaluates a condition on a field of the template's rows.
func (s *finder) ref(k int, c Condition) ([]bool, error) {
	rows, err := s.fields.Search(k, c)
	if err != nil || rows == nil {
		return nil, err
	}
	if err := s.lines.place(); err != nil {
		return nil, err
	}
	var hits []bool
	for i, row := range s.lines.rowOf[s.t.first : s.t.first+s.t.rows] {
		if rows[row] {
			if hits == nil {
				hits = make([]bool, s.t.rows)
			}
			hits[i] = true
		}
	}
	return hits, nil
}

// Search reports for each value whether it satisfies the condition, or nil when
// none does. at gives the times of the values' rows and is asked only when they
// matter.
func (v *Values) Search(c Condition, at func(i int) (int64, error)) ([]bool, error) {
	switch v.kind {
	case kindConstant, kindDictionary:
		return v.searchDictionary(c)
	case kindID:
		return v.searchIDs(c)
	case kindText:
		return v.searchText(c)
	}
	for _, b := range c.Text {
		if !v.mayHold(b) {
			return nil, nil
		}
	}
	if v.kind == kindInteger && c.Op == Equals {
		return v.searchInteger(c.Text)
	}
	if err := v.Load(); err != nil {
		return nil, err
	}
	var hits []bool
	var text []byte
	for i := range v.n {
		ts := int64(0)
		if v.kind == kindClock {
			var err error
			if ts, err = at(i); err != nil {
				return nil, err
			}
		}
		if text = v.Append(text[:0], i, ts); c.Holds(text) {
			hits = hit(hits, v.n, i)
		}
	}
	return hits, nil
}

// searchInteger compares numbers instead of their texts.
func (v *Values) searchInteger(text []byte) ([]bool, error) {
	n := len(text) - len(v.prefix) - len(v.suffix)
	if n < 1 || n > maxDigits || !bytes.HasPrefix(text, v.prefix) || !bytes.HasSuffix(text, v.suffix) {
		return nil, nil
	}
	digits := text[len(v.prefix) : len(v.prefix)+n]
	want := number(digits)
	if !bytes.Equal(appendInteger(nil, want, v.digits), digits) || v.numbers.excludes(want) {
		return nil, nil
	}
	if err := v.Load(); err != nil {
		return nil, err
	}
	var hits []bool
	for i, got := range v.value {
		if got == want {
			hits = hit(hits, v.n, i)
		}
	}
	return hits, nil
}

// hit notes a hit among n.
func hit(hits []bool, n, i int) []bool {
	if hits == nil {
		hits = make([]bool, n)
	}
	hits[i] = true
	return hits
}

func (v *Values) searchDictionary(c Condition) ([]bool, error) {
	var places []bool
	for i, text := range v.dict {
		if c.Holds(text) {
			places = hit(places, len(v.dict), i)
		}
	}
	if places == nil {
		return nil, nil
	}
	return v.spread(places)
}

// spread turns verdicts on different values into verdicts on all values.
func (v *Values) spread(places []bool) ([]bool, error) {
	hits := make([]bool, v.n)
	if !v.hasNumbers {
		if len(places) == v.n {
			return places, nil
		}
		for i := range hits {
			hits[i] = places[0]
		}
		return hits, nil
	}
	if err := v.Load(); err != nil {
		return nil, err
	}
	found := false
	for i, at := range v.value {
		hits[i] = places[at]
		found = found || hits[i]
	}
	if !found {
		return nil, nil
	}
	return hits, nil
}

// searchIDs searches the packed ids for the bytes that the condition's digits make
// at either alignment, and compares only where they are.
func (v *Values) searchIDs(c Condition) ([]bool, error) {
	digits := make([]byte, 0, len(c.Text))
	for _, d := range c.Text {
		switch {
		case hexDigits[d] != notHex:
			digits = append(digits, d)
		case d != '-' || v.shape != uuidShape:
			return nil, nil
		}
	}
	if len(digits) > 2*idBytes(v.shape) {
		return nil, nil
	}
	if err := v.loadIDs(); err != nil {
		return nil, err
	}
	var places []bool
	var text []byte
	verify := func(i int) {
		if text = v.appendID(text[:0], i); c.Holds(text) {
			places = hit(places, v.idCount(), i)
		}
	}
	if len(digits) < 5 {
		for i := range v.idCount() {
			verify(i)
		}
	} else {
		var needle []byte
		for shift := range 2 {
			whole := digits[shift : shift+(len(digits)-shift)/2*2]
			needle, _ = hex.AppendDecode(needle[:0], whole) // which are digits only
			v.eachID(needle, verify)
		}
	}
	if places == nil {
		return nil, nil
	}
	return v.spread(places)
}

// eachID calls fn for the ids in which the bytes begin.
func (v *Values) eachID(needle []byte, fn func(i int)) {
	size := idBytes(v.shape)
	for from := 0; ; {
		at := bytes.Index(v.ids[from:], needle)
		if at < 0 {
			return
		}
		fn((from + at) / size)
		from += at + 1
	}
}

func (v *Values) searchText(c Condition) ([]bool, error) {
	if err := v.loadText(); err != nil {
		return nil, err
	}
	// What is nowhere in the text of all values is in none of them.
	first := bytes.Index(v.text, c.Text)
	if first < 0 {
		return nil, nil
	}
	if err := v.Load(); err != nil {
		return nil, err
	}
	var hits []bool
	if c.Op != Contains {
		for i := range v.n {
			if c.Holds(v.textAtRow(i)) {
				hits = hit(hits, v.n, i)
			}
		}
		return hits, nil
	}
	for i, at := 0, first; ; {
		for int(v.ends[i]) <= at {
			i++
		}
		if at+len(c.Text) <= int(v.ends[i]) {
			hits = hit(hits, v.n, i)
		}
		// A match that goes on into the next value is none, and since it was the first
		// one from here on, this value has none of its own.
		from := int(v.ends[i])
		next := bytes.Index(v.text[from:], c.Text)
		if next < 0 {
			return hits, nil
		}
		at = from + next
	}
}
