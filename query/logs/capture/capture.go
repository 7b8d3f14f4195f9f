// Package capture finds the named groups of simple regular expressions in log
// lines without a regular expression engine.
//
// It imports the standard library alone; query/logs uses it for LogQL's regexp
// parser.
package capture

import (
	"bytes"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// Scanner is an expression that is anchored at the beginning of the line and
// consists of literals and repeated character classes, of which each repetition
// ends where it must: no character of the class can begin what follows. Such an
// expression has at most one way to match, which one pass over the line finds.
// A Scanner is immutable and safe for concurrent use.
type Scanner struct {
	names    []string
	elements []element
	atEnd    bool // the match must end at the end of the line
}

// element is a literal, a repeated class, or the beginning or end of a group.
type element struct {
	literal  string
	class    *class
	min, max int // repetitions; max -1 is unbounded
	// open and shut are the numbers of a named group, plus one.
	open, shut int
}

// class is a set of bytes. Bytes above 0x7F are in it all or not at all, so that a
// run of them is a run of whole characters, valid or not.
type class struct {
	has [256]bool
	// stop is the only byte that is not in the class, if there is just one.
	stop     byte
	onlyStop bool
}

// Compile returns false for expressions that are of another kind or no valid
// expressions. Flags are those of package regexp.
func Compile(expr string) (*Scanner, bool) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, false
	}
	c := compiler{}
	if !c.add(re) || !c.begun || !c.unambiguous() {
		return nil, false
	}
	return &c.Scanner, true
}

// Names are the named groups in the order of the expression.
func (s *Scanner) Names() []string { return s.names }

// Find appends what each named group matches to groups and reports whether the
// line matches; if not, nothing is appended. The groups are parts of the line.
func (s *Scanner) Find(line []byte, groups [][]byte) ([][]byte, bool) {
	before := len(groups)
	at := 0
	for i := range s.elements {
		e := &s.elements[i]
		switch {
		case e.class != nil:
			n := e.class.run(line[at:], e.max)
			if n < e.min {
				return groups[:before], false
			}
			at += n
		case e.open > 0:
			groups = append(groups, line[at:])
		case e.shut > 0:
			g := &groups[before+e.shut-1]
			*g = (*g)[: at-(len(line)-len(*g)) : at-(len(line)-len(*g))]
		default:
			if len(line)-at < len(e.literal) || string(line[at:at+len(e.literal)]) != e.literal {
				return groups[:before], false
			}
			at += len(e.literal)
		}
	}
	if s.atEnd && at != len(line) {
		return groups[:before], false
	}
	return groups, true
}

// run is how many bytes at the beginning of text are in the class, at most limit
// unless that is negative.
func (c *class) run(text []byte, limit int) int {
	if limit >= 0 && limit < len(text) {
		text = text[:limit]
	}
	if c.onlyStop {
		if i := bytes.IndexByte(text, c.stop); i >= 0 {
			return i
		}
		return len(text)
	}
	for i, b := range text {
		if !c.has[b] {
			return i
		}
	}
	return len(text)
}

type compiler struct {
	Scanner
	begun bool
}

// add appends an expression and reports whether it is of the kind.
func (c *compiler) add(re *syntax.Regexp) bool {
	if c.atEnd {
		return false
	}
	switch re.Op {
	case syntax.OpEmptyMatch:
		return true
	case syntax.OpBeginText:
		first := !c.begun && len(c.elements) == 0
		c.begun = true
		return first
	case syntax.OpEndText:
		c.atEnd = true
		return true
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if !c.add(sub) {
				return false
			}
		}
		return true
	case syntax.OpCapture:
		return c.addGroup(re)
	case syntax.OpLiteral:
		text := string(re.Rune)
		// The replacement character matches invalid bytes, too.
		if re.Flags&syntax.FoldCase != 0 || strings.ContainsRune(text, utf8.RuneError) {
			return false
		}
		c.elements = append(c.elements, element{literal: text})
		return true
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		return c.addRepeat(re)
	}
	return c.addClass(re, 1, 1)
}

func (c *compiler) addGroup(re *syntax.Regexp) bool {
	if re.Name == "" {
		return c.add(re.Sub[0])
	}
	c.names = append(c.names, re.Name)
	n := len(c.names)
	c.elements = append(c.elements, element{open: n})
	ok := c.add(re.Sub[0])
	c.elements = append(c.elements, element{shut: n})
	return ok
}

func (c *compiler) addRepeat(re *syntax.Regexp) bool {
	if re.Flags&syntax.NonGreedy != 0 {
		return false
	}
	least, most := 0, -1
	switch re.Op {
	case syntax.OpPlus:
		least = 1
	case syntax.OpQuest:
		most = 1
	case syntax.OpRepeat:
		least, most = re.Min, re.Max
	}
	return c.addClass(re.Sub[0], least, most)
}

// addClass appends a repeated class.
func (c *compiler) addClass(re *syntax.Regexp, least, most int) bool {
	set, high, ok := classOf(re)
	// Repetitions count characters where run counts bytes.
	if !ok || high && (least > 1 || most >= 0) {
		return false
	}
	c.elements = append(c.elements, element{class: set, min: least, max: most})
	return true
}

// classOf is the set of an expression for a single character; high says that
// bytes above 0x7F are in it.
func classOf(re *syntax.Regexp) (set *class, high, ok bool) {
	var ranges []rune
	switch re.Op {
	case syntax.OpCharClass:
		ranges = re.Rune
	case syntax.OpAnyChar:
		ranges = []rune{0, utf8.MaxRune}
	case syntax.OpAnyCharNotNL:
		ranges = []rune{0, '\n' - 1, '\n' + 1, utf8.MaxRune}
	case syntax.OpLiteral:
		if len(re.Rune) != 1 || re.Flags&syntax.FoldCase != 0 {
			return nil, false, false
		}
		ranges = []rune{re.Rune[0], re.Rune[0]}
	default:
		return nil, false, false
	}
	set = &class{}
	for i := 0; i < len(ranges); i += 2 {
		lo, hi := ranges[i], ranges[i+1]
		for r := lo; r <= hi && r < utf8.RuneSelf; r++ {
			set.has[r] = true
		}
		if hi >= utf8.RuneSelf {
			if lo > utf8.RuneSelf || hi < utf8.MaxRune {
				return nil, false, false // some of the characters
			}
			high = true
		}
	}
	for b := utf8.RuneSelf; b < 256; b++ {
		set.has[b] = high
	}
	if i := slices.Index(set.has[:], false); i >= 0 && !slices.Contains(set.has[i+1:], false) {
		set.stop, set.onlyStop = byte(i), true
	}
	return set, high, true
}

// unambiguous reports whether each repetition ends where it must.
func (c *compiler) unambiguous() bool {
	for i := range c.elements {
		e := &c.elements[i]
		if e.class != nil && e.min != e.max && c.canFollow(i+1, e.class) {
			return false
		}
	}
	return true
}

// canFollow reports whether the elements from i on can begin with a byte of the
// class.
func (c *compiler) canFollow(i int, set *class) bool {
	for ; i < len(c.elements); i++ {
		e := &c.elements[i]
		switch {
		case e.literal != "":
			return set.has[e.literal[0]]
		case e.class != nil:
			if e.max == 0 {
				continue
			}
			for b := range set.has {
				if set.has[b] && e.class.has[b] {
					return true
				}
			}
			if e.min > 0 {
				return false
			}
		}
	}
	return false
}
