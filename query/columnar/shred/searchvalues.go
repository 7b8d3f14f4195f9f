package shred

import (
	"bytes"
	"encoding/hex"
)

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
