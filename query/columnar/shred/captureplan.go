package shred

import "bytes"

// capturePlanner walks through a template as a match of the pattern would.
type capturePlanner struct {
	capturePlan
	lines   *Lines
	t       *template
	pattern *Pattern

	capture int       // the one that is open
	current []segment // of it, so far
}

// plan makes the plan, which is open as soon as anything is uncertain.
func (c *capturePlanner) plan() error {
	c.open = true
	text := c.t.parts[0].text
	if n := len(c.pattern.Prefix); n > len(text) {
		// What begins otherwise has no captures.
		c.open = bytes.HasPrefix(c.pattern.Prefix, text)
		return nil
	} else if !bytes.HasPrefix(text, c.pattern.Prefix) {
		c.open = false
		return nil
	}
	at := len(c.pattern.Prefix)
	for i := range c.t.parts {
		p := &c.t.parts[i]
		if !c.static(p.text[at:]) {
			return nil
		}
		at = 0
		if c.capture == len(c.pattern.Captures) {
			c.open = false
			return nil
		}
		if i == len(c.t.parts)-1 {
			break
		}
		if p.column < 0 {
			return nil // a field of the row
		}
		if ok, err := c.variable(p.column); err != nil || !ok {
			return err
		}
	}
	// The line ends within a capture. As a rule the text behind that one is missing,
	// and then it depends on the row which captures there are.
	if until := c.pattern.Captures[c.capture].Until; len(until) > 0 || c.capture == 0 && len(c.pattern.Prefix) == 0 {
		return nil
	}
	c.finish()
	c.open = false
	return nil
}

// finish ends the open capture.
func (c *capturePlanner) finish() {
	if c.pattern.Captures[c.capture].Want {
		c.values = append(c.values, c.current)
	}
	c.current = nil
	c.capture++
}

// static goes through text that all lines of the template have. It reports false
// when what ends the open capture may begin there and go on behind it.
func (c *capturePlanner) static(text []byte) bool {
	for c.capture < len(c.pattern.Captures) {
		until := c.pattern.Captures[c.capture].Until
		end := -1
		if len(until) > 0 {
			end = bytes.Index(text, until)
		}
		if end < 0 {
			c.add(segment{text: text, column: -1, search: -1})
			return !beginsAtEnd(text, until)
		}
		c.add(segment{text: text[:end], column: -1, search: -1})
		c.finish()
		text = text[end+len(until):]
	}
	return true
}

// add makes a segment part of the open capture.
func (c *capturePlanner) add(s segment) {
	fixed := s.column < 0 && s.search < 0
	if fixed && len(s.text) == 0 || !c.pattern.Captures[c.capture].Want {
		return
	}
	c.current = append(c.current, s)
}

// variable goes through a variable.
func (c *capturePlanner) variable(column int) (bool, error) {
	v := &c.lines.columns[column]
	open := &c.pattern.Captures[c.capture]
	inert, err := v.lacks(open.Until)
	if err != nil {
		return false, err
	}
	if inert {
		if open.Want {
			if err := v.Load(); err != nil {
				return false, err
			}
		}
		c.add(segment{column: column, search: -1})
		return true, nil
	}
	if !v.viewable() {
		return false, nil
	}
	if err := v.Load(); err != nil {
		return false, err
	}
	s := holeSearch{column: column, from: c.capture}
	s.to = c.usual(v)
	for k := s.from; k <= s.to && k < len(c.pattern.Captures); k++ {
		if until := c.pattern.Captures[k].Until; len(until) > 0 {
			s.until = append(s.until, until)
		}
	}
	c.searches = append(c.searches, s)
	for k := s.from; k <= s.to && k < len(c.pattern.Captures); k++ {
		c.add(segment{column: -1, search: len(c.searches) - 1, first: k - s.from - 1, last: k - s.from})
		if k < s.to {
			c.finish()
		}
	}
	return true, nil
}

// sampleValues is how many values of a variable are looked at to see how many
// captures end there as a rule.
const sampleValues = 9

// usual is the capture that is open behind the variable in most of a few rows.
func (c *capturePlanner) usual(v *Values) int {
	captures := c.pattern.Captures
	counts := make([]int, len(captures)+1)
	best := c.capture
	step := max(1, v.n/sampleValues)
	for i := 0; i < v.n; i += step {
		value, k := v.view(i), c.capture
		for k < len(captures) && len(captures[k].Until) > 0 {
			end := bytes.Index(value, captures[k].Until)
			if end < 0 {
				break
			}
			value = value[end+len(captures[k].Until):]
			k++
		}
		if counts[k]++; counts[k] > counts[best] {
			best = k
		}
	}
	return best
}

// lacks reports whether no value holds the first byte of the text, so that the text
// begins in none of them.
func (v *Values) lacks(text []byte) (bool, error) {
	if len(text) == 0 {
		return true, nil
	}
	switch v.kind {
	case kindText:
		if err := v.loadText(); err != nil {
			return false, err
		}
		return bytes.IndexByte(v.text, text[0]) < 0, nil
	case kindConstant, kindDictionary:
		for _, value := range v.dict {
			if bytes.IndexByte(value, text[0]) >= 0 {
				return false, nil
			}
		}
		return true, nil
	}
	return !v.mayHold(text[0]), nil
}
