package shred

// A template is a line with a mark in place of each variable. The marks are the
// control characters from markValue on: markValue stands for a value of a column
// of its own, markRef+k for the value of the row's field k. A line that holds such
// a character itself is not split.
const (
	markValue = 0x10
	markRef   = 0x11
	markLast  = 0x1f

	// MaxRefs is how many fields lines can refer to.
	MaxRefs = markLast - markRef + 1
)

const (
	// maxHoles bounds the variables of a line. What follows is one last variable:
	// the long tails of real lines are lists that grow from line to line, which a
	// compressor describes in less than a column for each element.
	maxHoles = 16
	// maxTemplate bounds the text of a template; what follows is a variable, too.
	maxTemplate = 1 << 10
	// maxWord bounds what may be static text of one word or key.
	maxWord = 256
	// minID is the least number of hexadecimal digits that make an id.
	minID = 16
)

// Classes of bytes, as far as splitting goes.
const (
	classBreak = iota // stands between words
	classWord
	classDigit
	classMark // cannot be in a template
)

var classes = func() (t [256]byte) {
	for c := range t {
		t[c] = classWord
	}
	for _, c := range []byte("\t\n\r ,;:=()[]{}<>\"'|&?") {
		t[c] = classBreak
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = classDigit
	}
	for c := markValue; c <= markLast; c++ {
		t[c] = classMark
	}
	return t
}()

// span is a half-open range of a text.
type span struct{ start, end uint32 }

// tokenizer splits one line after the other; what it returns is valid until the
// next one.
type tokenizer struct {
	template []byte
	holes    []span // of the values with a column, relative to the line
}

// split makes the line's template and variables. It reports false for a line that
// cannot have a template. ref finds the field whose value a word repeats, or
// returns -1.
//
// Variables are words with a digit, what follows an equals sign, and what stands in
// double quotes, unless it is the key of a JSON object.
func (t *tokenizer) split(line []byte, ref func(word []byte) int) bool {
	t.template, t.holes = t.template[:0], t.holes[:0]
	from := 0      // what is copied to the template up to here
	value := false // a value follows, whatever it looks like
	for i := 0; i < len(line); {
		if len(t.holes) == maxHoles-1 || len(t.template)+i-from > maxTemplate {
			t.hole(line, from, i, len(line))
			return true
		}
		c := line[i]
		switch classes[c] {
		case classMark:
			return false
		case classBreak:
			if c == '"' {
				end := quoted(line, i+1)
				if end < 0 || end+1 < len(line) && line[end+1] == ':' && end-i < maxWord {
					// No string, or a key: its text is static.
					if end < 0 {
						end = i
					}
					for _, b := range line[i:end] {
						if classes[b] == classMark {
							return false
						}
					}
					i = end + 1
					value = false
					continue
				}
				t.hole(line, from, i+1, end)
				from, i = end, end+1
				value = false
				continue
			}
			value = c == '=' || c == ':' && i > 0 && line[i-1] == '"' || value && c == ' ' && line[i-1] == ':'
			i++
		default:
			end, digits := word(line, i)
			if end < 0 {
				return false
			}
			if digits || value || end-i > maxWord {
				k := -1
				if digits && end-i >= minID && ref != nil {
					k = ref(line[i:end])
				}
				if k >= 0 {
					t.template = append(t.template, line[from:i]...)
					t.template = append(t.template, byte(markRef+k))
				} else {
					t.hole(line, from, i, end)
				}
				from = end
			}
			value = false
			i = end
		}
	}
	t.template = append(t.template, line[from:]...)
	return true
}

// hole ends the static text that starts at from with the variable [start, end).
func (t *tokenizer) hole(line []byte, from, start, end int) {
	t.template = append(t.template, line[from:start]...)
	t.template = append(t.template, markValue)
	t.holes = append(t.holes, span{uint32(start), uint32(end)})
}

// word returns the end of the word at i and whether a digit is in it, or a
// negative end if there is a byte in it that no template can hold. A colon between
// two digits belongs to the word, so that times and addresses stay whole.
func word(line []byte, i int) (end int, digits bool) {
	for ; i < len(line); i++ {
		switch classes[line[i]] {
		case classDigit:
			digits = true
		case classMark:
			return -1, false
		case classBreak:
			if line[i] != ':' || !digits || i+1 == len(line) || classes[line[i-1]] != classDigit || classes[line[i+1]] != classDigit {
				return i, digits
			}
		}
	}
	return i, digits
}

// quoted finds the double quote that ends the string which starts at i, or
// returns -1.
func quoted(line []byte, i int) int {
	for ; i < len(line); i++ {
		switch line[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return -1
}
