package columnar

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRequiredLiterals(t *testing.T) {
	for expression, want := range map[string]struct {
		clauses [][]string
		whole   bool
	}{
		"abc":                             {[][]string{{"abc"}}, true},
		"":                                {nil, false},
		"(?i)abc":                         {nil, false},
		`Failed!.*tripId: [DG]13[0-9]{2}`: {[][]string{{"Failed!"}, {"tripId: D13", "tripId: G13"}}, false},
		"a|b":                             {[][]string{{"a", "b"}}, true},
		"ERROR| 500 ":                     {[][]string{{"ERROR", " 500 "}}, true},
		"(ERROR|WARN) .* (x|yz)":          {[][]string{{"ERROR ", "WARN "}, {" x", " yz"}}, false},
		"error|err":                       {[][]string{{"err"}}, true},
		"(abc)+d":                         {[][]string{{"abc"}, {"d"}}, false},
		"(abc)*de":                        {[][]string{{"de"}}, false},
		"(abc){2}":                        {[][]string{{"abcabc"}}, true},
		"(abc){0,2}x":                     {[][]string{{"x"}}, true},
		"colou?r":                         {[][]string{{"color", "colour"}}, true},
		"^abc$":                           {[][]string{{"abc"}}, false},
		"a.*|b":                           {[][]string{{"a", "b"}}, false},
		"a|.*":                            {nil, false},
		"x?":                              {nil, false},
		"\uFFFD":                          {nil, false},
		"[a-z]b":                          {[][]string{{"b"}}, false},
	} {
		clauses, whole := requiredLiterals(expression)
		require.Equal(t, want.clauses, clauses, expression)
		require.Equal(t, want.whole, whole, expression)
	}
}

// Whatever the expression, looking for its literals first changes nothing.
func TestLiteralsChangeNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "b", "ab", "(a|b)", "(ab|c)+", "[abc]", "[^a]", ".*", ".", "c?", "(b*)", "^", "$", "|", "(?i:a)", "a{2}", "(ab){0,1}", "\\b", "x"}
	for range 5000 {
		expression := ""
		for range 1 + r.IntN(6) {
			expression += pieces[r.IntN(len(pieces))]
		}
		re, err := regexp.Compile(expression)
		if err != nil {
			continue
		}
		p, err := compileLine(LinePredicate{Op: Matches, Text: expression})
		require.NoError(t, err)
		for range 20 {
			line := ""
			for range r.IntN(8) {
				line += string("abcxA\xff "[r.IntN(7)])
			}
			require.Equal(t, re.MatchString(line), p.holds(line), "%q in %q, clauses %q", expression, line, p.clauses)
		}
	}
}

// Blocks answer predicates on shredded lines as the lines themselves do.
func TestFilterShredded(t *testing.T) {
	codec, err := newBlockCodec()
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(3, 4))
	b := newBlockBuilder(codec.merge)
	var lines []string
	for i := range 600 {
		trace, span := fmt.Sprintf("%016x%016x", r.Uint64(), i/3), fmt.Sprintf("%016x", r.Uint64())
		fields := []Field{{"trace_id", trace, String}}
		line := []string{
			fmt.Sprintf("00:00:%02d.%03d INFO  o.s.Service#%d TraceID: %s SpanID: %s [get][OrderId: %s]", i%60, i, i%9, trace, span, trace[4:24]),
			fmt.Sprintf(`10.0.0.%d - - "GET /x/%d HTTP/1.1" %d %d "-" "agent %d"`, i%250, i%40, 200+100*(i%4), i*i, i%7),
			fmt.Sprintf(`{"level":"%s","n":%d,"user":"u-%03d"}`, []string{"info", "error"}[i%2], i, i%100),
			strings.Repeat("odd ", i%5) + fmt.Sprint("ERROR ", r.Uint64()),
		}[r.IntN(4)]
		if i%2 == 0 {
			fields = append(fields, Field{"span_id", span, String})
		}
		lines = append(lines, line)
		b.add(0, int64(i)*1e9, line, fields)
	}
	data, meta := b.encode(nil)
	check := func(p LinePredicate) {
		c, err := compileLine(p)
		require.NoError(t, err)
		reader := blockReader{}
		h, err := decodeBlockHeader(data[:meta.header], 0)
		require.NoError(t, err)
		reader.part, reader.meta, reader.header = &part{}, &meta, h
		reader.columns = make([]blockReaderColumn, len(h.columns))
		for i := range h.columns {
			// As if read from a file already.
			s := fuzzSections(t, data, &h.columns[i], codec)
			for x, piece := range [][]byte{s.Main, s.Indexes, s.IDs, s.Text} {
				h.columns[i].pieces[x] = blockPiece{method: methodInline, inline: piece, size: len(piece)}
			}
		}
		s := fuzzSections(t, data, &h.columns[0], codec)
		reader.times, err = decodeTimes(nil, &s, h.rows, h.least)
		require.NoError(t, err)
		reader.timed = true
		var selected, want []uint32
		for i, line := range lines {
			if i%7 != 3 {
				selected = append(selected, uint32(i))
				if c.holds(line) {
					want = append(want, uint32(i))
				}
			}
		}
		got, err := reader.filterLines(&c, selected, codec)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(want), fmt.Sprint(got), "%+v", p)
	}
	for range 400 {
		line := lines[r.IntN(len(lines))]
		from := r.IntN(len(line))
		text := line[from : from+1+r.IntN(min(30, len(line)-from))]
		if r.IntN(4) == 0 {
			text = text[:len(text)/2] + "0" + text[len(text)/2:]
		}
		check(LinePredicate{Op: LineOp(1 + r.IntN(2)), Text: text})
		check(LinePredicate{Op: LineOp(3 + r.IntN(2)), Text: regexp.QuoteMeta(text[:len(text)/2]) + ".*" + regexp.QuoteMeta(text[len(text)/2:])})
	}
	for _, text := range []string{"", "ERROR| 500 ", " (200|300) ", "level.:.error", "^odd", "[0-9a-f]{40}", "(?i)info"} {
		check(LinePredicate{Op: Matches, Text: text})
		check(LinePredicate{Op: NotMatches, Text: text})
	}
}
