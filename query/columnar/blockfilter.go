package columnar

import (
	"bytes"
	"slices"

	"github.com/yagura-dev/yagura/query/columnar/shred"
)

// filterLines keeps the rows whose line satisfies the predicate. Shredded lines are
// looked at as they are encoded; only those on which that says nothing are rebuilt.
func (r *blockReader) filterLines(p *linePredicate, selected []uint32, codec *blockCodec) ([]uint32, error) {
	c, err := r.open(r.header.line, codec)
	if err != nil {
		return nil, err
	}
	if c.encoding == valuesLines {
		return r.filterShredded(p, c, selected, codec)
	}
	if c, err = r.column(r.header.line, codec); err != nil {
		return nil, err
	}
	if c.encoding == valuesConstant || c.encoding == valuesDictionary {
		return c.filterDictionary(p.holds, selected), nil
	}
	if literal := p.literal(); c.encoding == valuesPlain && !p.negated && literal != "" {
		return c.searchLines(p, literal, selected), nil
	}
	kept := selected[:0]
	for _, row := range selected {
		if p.holds(c.value(int(row))) {
			kept = append(kept, row)
		}
	}
	return kept, nil
}

// filterShredded is filterLines for shredded lines.
func (r *blockReader) filterShredded(p *linePredicate, c *column, selected []uint32, codec *blockCodec) ([]uint32, error) {
	search := fieldSearch{reader: r, refs: c.refs, codec: codec}
	verdicts := make([]shred.Verdict, len(selected))
	for i := range verdicts {
		verdicts[i] = shred.Yes
	}
	for _, clause := range p.clauses {
		any, err := r.applyClause(clause, c, &search, selected, verdicts)
		if err != nil {
			return nil, err
		}
		if !any {
			break
		}
	}
	// What the literals leave open, and what satisfies all of them where an
	// expression has the last word, is read.
	var open []uint32
	for i, row := range selected {
		if verdicts[i] == shred.Maybe || verdicts[i] == shred.Yes && p.re != nil {
			verdicts[i] = shred.Maybe
			open = append(open, row)
		}
	}
	if len(open) > 0 {
		if _, err := r.lines(open, codec); err != nil {
			return nil, err
		}
	}
	kept := selected[:0]
	for i, row := range selected {
		matched := verdicts[i] == shred.Yes
		if verdicts[i] == shred.Maybe {
			matched = p.matches(c.value(int(row)))
		}
		if matched != p.negated {
			kept = append(kept, row)
		}
	}
	return kept, nil
}

// applyClause lowers the verdicts to what the clause allows, and reports whether any
// is left that is not No.
func (r *blockReader) applyClause(clause []string, c *column, search *fieldSearch, selected []uint32, verdicts []shred.Verdict) (any bool, err error) {
	var found []*shred.Found
	for _, literal := range clause {
		f, err := r.find(literal, c, search)
		if err != nil {
			return false, err
		}
		if !f.None() {
			found = append(found, f)
		}
	}
	for i, row := range selected {
		best := shred.No
		for _, f := range found {
			switch f.Row(row) {
			case shred.Yes:
				best = shred.Yes
			case shred.Maybe:
				best = max(best, shred.Maybe)
			}
			if best == shred.Yes {
				break
			}
		}
		if best == shred.No || verdicts[i] == shred.Yes {
			verdicts[i] = best
		}
		any = any || verdicts[i] != shred.No
	}
	return any, nil
}

// foundLines is where a literal is in the lines of the block.
type foundLines struct {
	literal string
	*shred.Found
}

// find looks for a literal in shredded lines, once.
func (r *blockReader) find(literal string, c *column, search *fieldSearch) (*shred.Found, error) {
	for _, f := range r.found {
		if f.literal == literal {
			return f.Found, nil
		}
	}
	f, err := c.shredded.Find(viewBytes(literal), r.timeOf(search.codec), search)
	if err != nil {
		return nil, r.damage("lines", err)
	}
	r.found = append(r.found, foundLines{literal, f})
	return f, nil
}

// excludes reports that no line of the block satisfies the predicate, as far as
// shredded lines say without the timestamps of their rows.
func (r *blockReader) excludes(p *linePredicate, codec *blockCodec) (bool, error) {
	if p.negated || len(p.clauses) == 0 {
		return false, nil
	}
	c, err := r.open(r.header.line, codec)
	if err != nil || c.encoding != valuesLines {
		return false, err
	}
	search := fieldSearch{reader: r, refs: c.refs, codec: codec}
	for _, clause := range p.clauses {
		none := true
		for _, literal := range clause {
			f, err := r.find(literal, c, &search)
			if err != nil {
				return false, err
			}
			if none = f.None(); !none {
				break
			}
		}
		if none {
			return true, nil
		}
	}
	return false, nil
}

// fieldSearch answers what lines ask of the fields they refer to. The same is
// asked for each template.
type fieldSearch struct {
	reader *blockReader
	refs   []int
	codec  *blockCodec
	known  []fieldAnswer
}

type fieldAnswer struct {
	k    int
	op   shred.Op
	text string
	rows []bool
}

// Search implements shred.FieldSearch.
func (s *fieldSearch) Search(k int, c shred.Condition) ([]bool, error) {
	for i := range s.known {
		if a := &s.known[i]; a.k == k && a.op == c.Op && a.text == string(c.Text) {
			return a.rows, nil
		}
	}
	rows, err := s.search(k, c)
	if err != nil {
		return nil, err
	}
	s.known = append(s.known, fieldAnswer{k, c.Op, string(c.Text), rows})
	return rows, nil
}

func (s *fieldSearch) search(k int, c shred.Condition) ([]bool, error) {
	r := s.reader
	col, err := r.open(s.refs[k], s.codec)
	if err != nil {
		return nil, err
	}
	hits, err := col.search(c, r.timeOf(s.codec))
	if err != nil || hits == nil || !col.sparse {
		return hits, err
	}
	rows := make([]bool, r.header.rows)
	for row := range rows {
		if lo, hi := col.of(uint32(row)); lo < hi {
			rows[row] = hits[lo]
		}
	}
	return rows, nil
}

// searchLines looks for the literal in the text of all lines at once, which for
// a rare one is much faster than looking into each line.
func (c *column) searchLines(p *linePredicate, text string, selected []uint32) []uint32 {
	kept := selected[:0]
	literal := viewBytes(text)
	for i := 0; i < len(selected); {
		row := selected[i]
		start := uint32(0)
		if row > 0 {
			start = c.ends[row-1]
		}
		at := bytes.Index(c.text[start:], literal)
		if at < 0 {
			break
		}
		// The match starts in the first row that ends behind its start.
		from := start + uint32(at)
		hit, _ := slices.BinarySearch(c.ends[row:], from+1)
		found := row + uint32(hit)
		n, exact := slices.BinarySearch(selected[i:], found)
		i += n
		if !exact {
			continue // the match lies in a row that is not asked for
		}
		// A match that goes on into the next row is none, and since it was the first
		// one from here on, the row it starts in has none of its own.
		if from+uint32(len(literal)) <= c.ends[found] && (p.simple() || p.matches(c.value(int(found)))) {
			kept = append(kept, found)
		}
		i++
	}
	return kept
}

func (c *column) filterDictionary(holds func(string) bool, selected []uint32) []uint32 {
	verdicts := make([]bool, len(c.dict))
	for i, v := range c.dict {
		verdicts[i] = holds(v)
	}
	if c.encoding == valuesConstant {
		if verdicts[0] {
			return selected
		}
		return selected[:0]
	}
	kept := selected[:0]
	for _, row := range selected {
		if verdicts[c.index[row]] {
			kept = append(kept, row)
		}
	}
	return kept
}

// filterField keeps the rows whose field, which is the column with the index in the
// header, satisfies the predicate.
func (r *blockReader) filterField(at int, p *fieldPredicate, selected []uint32, codec *blockCodec) ([]uint32, error) {
	c, err := r.open(at, codec)
	if err != nil {
		return nil, err
	}
	if p.equal != "" && c.encoding == valuesSections {
		// Whether a value is there at all is known from the dictionary or the ids, for
		// which nothing has to be decompressed or written as text.
		hits, err := c.search(shred.Condition{Op: shred.Equals, Text: viewBytes(p.equal)}, r.timeOf(codec))
		if err != nil {
			return nil, r.damage(r.header.columns[at].label(), err)
		}
		if hits == nil {
			return selected[:0], nil
		}
		kept := selected[:0]
		for _, row := range selected {
			lo, hi := c.of(row)
			if slices.Contains(hits[lo:hi], true) {
				kept = append(kept, row)
			}
		}
		return kept, nil
	}
	if c, err = r.column(at, codec); err != nil {
		return nil, err
	}
	return c.filterField(p, selected), nil
}

// filterField keeps the rows that satisfy the predicate.
func (c *column) filterField(p *fieldPredicate, selected []uint32) []uint32 {
	if !c.sparse && (c.encoding == valuesConstant || c.encoding == valuesDictionary) {
		return c.filterDictionary(p.holds, selected)
	}
	kept := selected[:0]
	for _, row := range selected {
		lo, hi := c.of(row)
		holds := lo == hi && p.missing
		for i := lo; i < hi && !holds; i++ {
			holds = p.holds(c.value(i))
		}
		if holds {
			kept = append(kept, row)
		}
	}
	return kept
}
