package shred

import (
	"bytes"
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
