package shred

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// accessPattern is how the captures of an access log are asked for.
func accessPattern(wanted ...string) *Pattern {
	p := &Pattern{}
	for _, c := range [][2]string{{"ip", " - "}, {"user", " ["}, {"ts", "] \""}, {"method", " "}, {"path", " "}, {"proto", "\" "}, {"status", " "}, {"size", " "}, {"rest", ""}} {
		want := false
		for _, name := range wanted {
			want = want || name == c[0]
		}
		p.Captures = append(p.Captures, Capture{Until: []byte(c[1]), Want: want})
	}
	return p
}

// capture requires that Capture finds in the block's lines what Match does, and
// reports how many rows it left open.
func (b *block) capture(t testing.TB, src Source, p *Pattern) int {
	t.Helper()
	var l Lines
	require.NoError(t, l.Open(src))
	// Only some rows, in any order.
	rows := make([]uint32, 0, len(b.ends))
	for i := range b.ends {
		rows = append(rows, uint32(len(b.ends)-1-i))
	}
	rows = append(rows[1:], rows[len(rows)/2:]...)
	var got, want Captured
	open, err := l.Capture(p, rows, b.times, &got, nil)
	require.NoError(t, err)
	want.Reset(len(rows), p.Wanted())
	isOpen := map[uint32]bool{}
	for _, i := range open {
		isOpen[i] = true
	}
	for i, row := range rows {
		if isOpen[uint32(i)] {
			continue
		}
		start := uint32(0)
		if row > 0 {
			start = b.ends[row-1]
		}
		line := b.text[start:b.ends[row]]
		want.Match(p, i, line)
		require.Equal(t, want.Counts[i], got.Counts[i], "%q in %q", p, line)
		for k := range want.Values {
			require.Equal(t, want.Values[k][i], got.Values[k][i], "capture %d of %q in %q", k, p, line)
		}
	}
	return len(open)
}

func TestMatch(t *testing.T) {
	access := accessPattern("method", "status")
	ends := &Pattern{Prefix: []byte("a"), Captures: []Capture{{Until: []byte("b"), Want: true}, {Until: []byte("cd"), Want: true}}}
	for _, c := range []struct {
		pattern *Pattern
		line    string
		want    []string
	}{
		{access, `1.2.3.4 - - [x] "GET / HTTP/1.1" 200 5 "-"`, []string{"GET", "200"}},
		{access, `1.2.3.4 - - [x] "GET /`, []string{"GET"}},
		{access, `1.2.3.4 - - [x] "GET`, []string{"GET"}},
		{access, ``, nil},
		{access, ` -  [] "  " 7`, []string{"", "7"}},
		{ends, "a12b34cd5", []string{"12", "34"}},
		{ends, "abc", []string{"", "c"}},
		{ends, "a", []string{""}},
		{ends, "xa12b", nil},
		{&Pattern{}, "x", nil},
		{&Pattern{Captures: []Capture{{Want: true}}}, "x", []string{"x"}},
	} {
		var got Captured
		got.Reset(1, c.pattern.Wanted())
		got.Match(c.pattern, 0, []byte(c.line))
		var values []string
		for k := range got.Counts[0] {
			values = append(values, got.Values[k][0])
		}
		require.Equal(t, c.want, values, c.line)
	}
}

// untouched fails when a section is loaded.
type untouched struct {
	*Sections
	t       testing.TB
	section Section
}

func (u untouched) Load(x Section) ([]byte, error) {
	require.NotEqual(u.t, u.section, x)
	return u.Sections.Load(x)
}

func TestCapture(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var b block
	for i := range 3000 {
		request := fmt.Sprintf("GET /image/%d/%d HTTP/1.1", r.IntN(1e6), r.IntN(50))
		if i%100 == 50 {
			request = "-"
		}
		b.add(int64(i)*1e9, fmt.Sprintf(`10.%d.0.%d - - [22/Jan/2019:03:%02d:%02d +0330] "%s" %d %d "http://x/%d" "agent %d"`,
			r.IntN(4), r.IntN(256), i/60%60, i%60, request, []int{200, 200, 304, 404}[r.IntN(4)], r.IntN(50000), r.IntN(1000), r.IntN(3)))
	}
	s, ok := b.roundTrip(t, NewEncoder())
	require.True(t, ok)
	require.NotZero(t, s.Size(IDs)) // of the sizes
	for _, wanted := range [][]string{{"status"}, {"status", "size"}, {"path"}, {"ip", "method", "path", "proto", "status"}} {
		src := Source(&s)
		if len(wanted) != 2 {
			src = untouched{&s, t, IDs}
		}
		open := b.capture(t, src, accessPattern(wanted...))
		require.Less(t, open, len(b.ends)/50, "%q need the lines of few rows", wanted)
	}
	b.capture(t, &s, accessPattern("rest"))
	address := accessPattern("ip")
	address.Captures = address.Captures[:1]
	require.Zero(t, b.capture(t, &s, address))
}

// TestCaptureOfAnyKind makes lines in which what ends captures also lies in
// variables and reaches over their ends.
func TestCaptureOfAnyKind(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 4))
	e := NewEncoder()
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	decided, rows := 0, 0
	for range 300 {
		var b block
		shapes := make([][]string, 1+r.IntN(3))
		for i := range shapes {
			for range 1 + r.IntN(8) {
				shapes[i] = append(shapes[i], pick("n", "n", "hex", "word", "quoted", "=", " ", " - ", "a", "ab", ": ", "\" ", "--", "x1", "[", "id="))
			}
		}
		for i := range 3 + r.IntN(60) {
			var line strings.Builder
			for _, piece := range shapes[r.IntN(len(shapes))] {
				switch piece {
				case "n":
					fmt.Fprint(&line, r.IntN(30))
				case "hex":
					line.WriteString(randomHex(r, 16))
				case "word":
					fmt.Fprintf(&line, "%d%s", r.IntN(3), pick("a", "-", "ab", "b", "-a", "ba", ""))
				case "quoted":
					line.WriteString(`"` + pick("a b", "a  b", " ", "-", "", `\"`, "1", "ab", " -") + `"`)
				default:
					line.WriteString(piece)
				}
			}
			b.add(int64(i), line.String())
		}
		s, ok := b.roundTrip(t, e)
		if !ok {
			continue
		}
		for range 10 {
			p := &Pattern{Prefix: []byte(pick("", "", "a", " ", "1", "ab", "\"", "[ "))}
			for range r.IntN(5) {
				p.Captures = append(p.Captures, Capture{Until: []byte(pick(" ", " - ", "a", "ab", "ba", "-", "--", "\"", "\" ", "1", "11", "= ", ": ", "a ")), Want: r.IntN(3) > 0})
			}
			if r.IntN(2) == 0 {
				p.Captures = append(p.Captures, Capture{Want: true})
			}
			open := b.capture(t, &s, p)
			decided += 2*len(b.ends) - open
			rows += 2 * len(b.ends)
		}
	}
	require.Greater(t, decided*5, rows, "rows are decided without their lines")
}

// FuzzCapture takes lines and what ends the captures apart at line feeds.
func FuzzCapture(f *testing.F) {
	f.Add("1.2.3.4 - - [5] \"GET / HTTP/1.1\" 200 7\n1.2.3.5 - - [6] \"GET /x HTTP/1.1\" 404 8\n1.2.3.6 - - [7] \"-\" 400 0", "", " - \n [\n] \"\n \n \n\" \n ", uint16(0xffff))
	f.Add("a1b 2\na2b 3\na3b\"x y\" 4", "a", "b\n ", uint16(1))
	f.Fuzz(func(t *testing.T, lines, prefix, untils string, want uint16) {
		var b block
		for i, line := range strings.Split(lines, "\n") {
			b.add(int64(i)*1e9, line)
		}
		s, ok := b.roundTrip(t, NewEncoder())
		if !ok {
			return
		}
		p := &Pattern{Prefix: []byte(prefix)}
		for i, until := range strings.Split(untils, "\n") {
			if until == "" || i == 16 {
				break
			}
			p.Captures = append(p.Captures, Capture{Until: []byte(until), Want: want>>i&1 != 0})
		}
		b.capture(t, &s, p)
		p.Captures = append(p.Captures, Capture{Want: true})
		b.capture(t, &s, p)
	})
}
