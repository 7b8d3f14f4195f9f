package ingest

import (
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// levelField is the structured metadata that carries the level that was found out,
// as Loki names it.
const levelField = "detected_level"

// The levels that are found out. A level that a sender names in words of its own
// stays as it is.
const (
	levelTrace    = "trace"
	levelDebug    = "debug"
	levelInfo     = "info"
	levelWarn     = "warn"
	levelError    = "error"
	levelCritical = "critical"
	levelFatal    = "fatal"
	levelUnknown  = "unknown"
)

// noRank is behind every name of a level.
const noRank = 1 << 10

// levelRank says how good a name is for a level: smaller is better, and these
// names and their order are Loki's.
func levelRank(name string) int {
	if len(name) < 3 || name[0]|0x20 != 'l' && name[0]|0x20 != 's' {
		return noRank
	}
	switch name {
	case "level":
		return 0
	case "LEVEL":
		return 1
	case "Level":
		return 2
	case "log.level":
		return 3
	case "severity":
		return 4
	case "SEVERITY":
		return 5
	case "Severity":
		return 6
	case "SeverityText":
		return 7
	case "lvl":
		return 8
	case "LVL":
		return 9
	case "Lvl":
		return 10
	case "severity_text":
		return 11
	case "Severity_Text":
		return 12
	case "SEVERITY_TEXT":
		return 13
	}
	return noRank
}

// foldedLevelRank is levelRank for logfmt, whose keys are compared in any case.
func foldedLevelRank(key string) int {
	if len(key) < 3 || key[0]|0x20 != 'l' && key[0]|0x20 != 's' {
		return noRank
	}
	switch {
	case strings.EqualFold(key, "level"):
		return 0
	case strings.EqualFold(key, "log.level"):
		return 3
	case strings.EqualFold(key, "severity"):
		return 4
	case strings.EqualFold(key, "SeverityText"):
		return 7
	case strings.EqualFold(key, "lvl"):
		return 8
	case strings.EqualFold(key, "severity_text"):
		return 11
	}
	return noRank
}

// levelOfLabels is the level that a stream's labels name, or "".
func levelOfLabels(ls labels.Labels) string {
	best, value := noRank, ""
	ls.Range(func(l labels.Label) {
		if r := levelRank(l.Name); r < best {
			best, value = r, l.Value
		}
	})
	return normalLevel(value)
}

// addLevel finds out a log line's level and adds it to the fields, unless they
// have it. A level among the stream's labels (ofStream) comes first, then one among
// the fields, then OTLP's severity number, then what the line says.
func addLevel(r *columnar.Row, ofStream string) {
	best, value, number := noRank, "", ""
	for i := range r.Fields {
		f := &r.Fields[i]
		switch rank := levelRank(f.Name); {
		case rank < best:
			best, value = rank, f.Value
		case rank < noRank || f.Name == "":
		case f.Name == "severity_number":
			number = f.Value
		case f.Name == levelField:
			f.Value = normalLevel(f.Value)
			return
		}
	}
	level := ofStream
	switch {
	case level != "":
	case best < noRank && value != "":
		level = normalLevel(value)
	case number != "":
		level = levelOfNumber(number)
	default:
		level = levelOfLine(r.Line)
	}
	if len(r.Fields) == 0 {
		if shared, ok := levelFields[level]; ok {
			r.Fields = shared // saves an allocation for each bare line
			return
		}
	}
	r.Fields = append(r.Fields, columnar.Field{Name: levelField, Value: level})
}

// levelFields are the fields of lines that have no other; nobody changes them.
var levelFields = func() map[string][]columnar.Field {
	m := map[string][]columnar.Field{}
	for _, l := range []string{levelTrace, levelDebug, levelInfo, levelWarn, levelError, levelCritical, levelFatal, levelUnknown} {
		m[l] = []columnar.Field{{Name: levelField, Value: l}}
	}
	return m
}()

// normalLevel is the usual name of a level, or the value itself.
func normalLevel(value string) string {
	if l := knownLevel(value); l != "" {
		return l
	}
	return value
}

// knownLevel is the usual name of a level in any case and spelling, or "".
func knownLevel(value string) string {
	var buf [len("information")]byte
	if len(value) > len(buf) {
		return ""
	}
	for i := range len(value) {
		c := value[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	switch string(buf[:len(value)]) {
	case "trace", "trc":
		return levelTrace
	case "debug", "dbg":
		return levelDebug
	case "info", "inf", "information":
		return levelInfo
	case "warn", "wrn", "warning":
		return levelWarn
	case "error", "err":
		return levelError
	case "critical":
		return levelCritical
	case "fatal":
		return levelFatal
	}
	return ""
}

// levelOfNumber maps OTLP's severity numbers: four for each level from 1 on.
func levelOfNumber(text string) string {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return levelInfo
	case n <= 0 || n > 24:
		return levelUnknown
	}
	return [...]string{levelTrace, levelDebug, levelInfo, levelWarn, levelError, levelFatal}[(n-1)/4]
}

// levelOfLine is the level that a line names as JSON, as logfmt, or as its first
// word that is a level.
func levelOfLine(line string) string {
	level := ""
	if isObject(line) {
		level = knownLevel(jsonLevel(line))
	} else if strings.IndexByte(line, '=') >= 0 {
		level = knownLevel(logfmtLevel(line))
	}
	if level == "" {
		level = wordLevel(line)
	}
	return level
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

func isObject(line string) bool {
	i, j := 0, len(line)-1
	for i < j && isSpace(line[i]) {
		i++
	}
	if i >= j || line[i] != '{' {
		return false
	}
	for isSpace(line[j]) {
		j--
	}
	return line[j] == '}'
}

// logfmtLevel is the value of the best key for a level. Like Loki's decoder it
// stops at the first thing that is not logfmt, which most text reaches soon.
func logfmtLevel(line string) (value string) {
	best := noRank
	for i := 0; ; {
		for i < len(line) && line[i] <= ' ' {
			i++
		}
		start := i
		for i < len(line) && line[i] > ' ' && line[i] != '=' && line[i] != '"' {
			i++
		}
		if i == len(line) || i == start || line[i] == '"' {
			return value
		}
		if line[i] != '=' {
			continue // a key without a value
		}
		key := line[start:i]
		i++
		start = i
		if i < len(line) && line[i] == '"' {
			end := stringEnd(line, i)
			if end < 0 {
				return value
			}
			start, i = i+1, end
		} else {
			for i < len(line) && line[i] > ' ' {
				if line[i] == '=' || line[i] == '"' {
					return value
				}
				i++
			}
		}
		if rank := foldedLevelRank(key); rank < best {
			best, value = rank, line[start:i]
			if rank == 0 {
				return value
			}
		}
		if i < len(line) && line[i] == '"' {
			i++
		}
	}
}

// stringEnd is the index of the quote that ends the string whose first quote is
// at i, or -1.
func stringEnd(s string, i int) int {
	for i++; ; i++ {
		n := strings.IndexByte(s[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		escapes := 0
		for s[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}

// levelDepth is how many objects deep a level is looked for in JSON.
const levelDepth = 2

// jsonLevel is the first string in the object that stands under a name for a
// level, in the order of the text, or "".
func jsonLevel(line string) string {
	s := jsonScanner{text: line}
	s.space()
	s.object(0)
	return s.level
}

// jsonScanner walks JSON just closely enough to find a key. Text that is no JSON
// ends it.
type jsonScanner struct {
	text  string
	pos   int
	level string
}

func (s *jsonScanner) space() {
	for s.pos < len(s.text) && isSpace(s.text[s.pos]) {
		s.pos++
	}
}

// take skips white space and then c, and reports whether it was there.
func (s *jsonScanner) take(c byte) bool {
	s.space()
	if s.pos >= len(s.text) || s.text[s.pos] != c {
		return false
	}
	s.pos++
	return true
}

// str takes a string and returns its text with the escapes in it.
func (s *jsonScanner) str() (string, bool) {
	end := stringEnd(s.text, s.pos)
	if end < 0 {
		return "", false
	}
	v := s.text[s.pos+1 : end]
	s.pos = end + 1
	return v, true
}

// object walks an object and reports whether to go on behind it.
func (s *jsonScanner) object(depth int) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	for {
		s.space()
		if s.pos >= len(s.text) || s.text[s.pos] != '"' {
			return false
		}
		key, ok := s.str()
		if !ok || !s.take(':') {
			return false
		}
		if s.space(); s.pos >= len(s.text) {
			return false
		}
		switch c := s.text[s.pos]; {
		case c == '"':
			value, ok := s.str()
			if !ok {
				return false
			}
			if levelRank(key) < noRank {
				s.level = value
				return false
			}
		case c == '{' && depth+1 < levelDepth:
			if !s.object(depth + 1) {
				return false
			}
		case c == '{' || c == '[':
			if !s.skip() {
				return false
			}
		default:
			for s.pos < len(s.text) && s.text[s.pos] != ',' && s.text[s.pos] != '}' {
				s.pos++
			}
		}
		if !s.take(',') {
			return s.take('}')
		}
	}
}

// skip passes over an array or an object.
func (s *jsonScanner) skip() bool {
	for open := 0; s.pos < len(s.text); s.pos++ {
		switch s.text[s.pos] {
		case '"':
			end := stringEnd(s.text, s.pos)
			if end < 0 {
				return false
			}
			s.pos = end
		case '{', '[':
			open++
		case '}', ']':
			if open--; open == 0 {
				s.pos++
				return true
			}
		}
	}
	return false
}

// beforeLevel and afterLevel are the bytes that may stand around a level in text.
// A colon may only follow, so that "misc:error" is none.
var (
	beforeLevel = byteSet(" \t\n[({\"=")
	afterLevel  = byteSet(" \t\n[](){}:,!\"=")
)

func byteSet(s string) (set [256]bool) {
	for i := range len(s) {
		set[s[i]] = true
	}
	return set
}

// wordLevel is the first word of a line that is a level in any case. It looks only
// at the beginnings of words: a line costs about as much as reading it once.
func wordLevel(line string) string {
	for i := 0; i < len(line); i++ {
		switch line[i] | 0x20 {
		case 'i':
			if hasWord(line, i, levelInfo) {
				return levelInfo
			}
		case 'e':
			if hasWord(line, i, levelError) || hasWord(line, i, "err") {
				return levelError
			}
		case 'w':
			if hasWord(line, i, levelWarn) || hasWord(line, i, "warning") {
				return levelWarn
			}
		case 'd':
			if hasWord(line, i, levelDebug) {
				return levelDebug
			}
		case 't':
			if hasWord(line, i, levelTrace) {
				return levelTrace
			}
		case 'f':
			if hasWord(line, i, levelFatal) {
				return levelFatal
			}
		case 'c':
			if hasWord(line, i, levelCritical) {
				return levelCritical
			}
		}
		for i < len(line) && !beforeLevel[line[i]] {
			i++
		}
	}
	return levelUnknown
}

// hasWord reports whether the word, in lower case, stands at i in any case.
func hasWord(line string, i int, word string) bool {
	end := i + len(word)
	if end > len(line) || end < len(line) && !afterLevel[line[end]] {
		return false
	}
	for j := range len(word) {
		if line[i+j]|0x20 != word[j] {
			return false
		}
	}
	return true
}
