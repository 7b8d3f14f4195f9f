package columnartest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/yagura-dev/yagura/query/columnar"
)

// captures are the wanted captures that a line has.
func captures(p *columnar.LinePattern, line string) []string {
	var out []string
	rest, ok := strings.CutPrefix(line, p.Prefix)
	if line == "" || !ok {
		return nil
	}
	for _, c := range p.Captures {
		value, behind, found := rest, "", false
		if c.Until != "" {
			value, behind, found = strings.Cut(rest, c.Until)
		}
		if c.Want {
			out = append(out, value)
		}
		if !found {
			break
		}
		rest = behind
	}
	return out
}

// addCaptures adds those of the row that was added last.
func addCaptures(p *columnar.LinePattern, b *columnar.ColumnBatch, line string) {
	values := captures(p, line)
	b.CaptureCounts = append(b.CaptureCounts, uint8(len(values)))
	n := 0
	for _, c := range p.Captures {
		if !c.Want {
			continue
		}
		if n == len(b.Captures) {
			b.Captures = append(b.Captures, nil)
		}
		value := ""
		if n < len(values) {
			value = values[n]
		}
		b.Captures[n] = append(b.Captures[n], value)
		n++
	}
}

// capturesText is the captures of a row of a batch.
func capturesText(p *columnar.LinePattern, b *columnar.ColumnBatch, i int) (string, error) {
	if p == nil {
		return "", nil
	}
	if len(b.CaptureCounts) != b.Len() {
		return "", fmt.Errorf("%d capture counts for %d rows", len(b.CaptureCounts), b.Len())
	}
	n := int(b.CaptureCounts[i])
	var out []string
	for k, values := range b.Captures {
		if len(values) != b.Len() {
			return "", fmt.Errorf("%d captures for %d rows", len(values), b.Len())
		}
		if k >= n && values[i] != "" {
			return "", fmt.Errorf("capture %d is %q, of a row with %d", k, values[i], n)
		}
		if k < n {
			out = append(out, values[i])
		}
	}
	if len(out) != n {
		return "", fmt.Errorf("%d captures, not %d", len(out), n)
	}
	return fmt.Sprintf("%q", out), nil
}

// pattern makes patterns that meet the lines of the generator: their own pieces, and
// texts that begin, end or repeat within what varies in them.
func (g *generator) pattern() *columnar.LinePattern {
	until := func() string {
		return pick(g, " ", " ", "=", "id=", " id", "took ", " took ", "ms", "s", "\"", "\" ", "] \"", " - ", "- ", " -", "--", " [", ":", "0", "00", "12", "1 ", " 1", "or", "order id", "e", "R", g.id(), " HTTP/1", "/")
	}
	p := &columnar.LinePattern{}
	if g.IntN(3) == 0 {
		p.Prefix = pick(g, "INFO", "INFO ", "E", "ERROR put order id=", "trace=", "x", "long", "10.0.0.", " ", "1", "INFO get order id=00")
	}
	if g.IntN(3) == 0 {
		for _, text := range []string{" - ", " [", "] \"", " ", " ", "\" ", " ", ""} {
			p.Captures = append(p.Captures, columnar.LineCapture{Until: text, Want: g.IntN(3) > 0})
		}
		return p
	}
	for range g.IntN(6) {
		p.Captures = append(p.Captures, columnar.LineCapture{Until: until(), Want: g.IntN(3) > 0})
	}
	if g.IntN(2) == 0 {
		p.Captures = append(p.Captures, columnar.LineCapture{Want: g.IntN(3) > 0})
	}
	return p
}

// accessLine is a line of an access log, as a rule.
func (g *generator) accessLine() string {
	request := fmt.Sprintf("%s /%s/%d HTTP/1.%d", pick(g, "GET", "POST"), pick(g, "a", "b%20c", "d-e", "ms"), g.IntN(300), g.IntN(2))
	if g.IntN(12) == 0 {
		request = pick(g, "-", "", "GET", "GET /", "GET /x y HTTP/1.0", `a \" b`, `GET /\" 200 x`, "a b c\\\"", " ", "  ", "x  ")
	}
	return fmt.Sprintf(`10.0.%s.%d - %s [%s] "%s" %d %s "%s"`, pick(g, "0", "1", "x"), g.IntN(256), pick(g, "-", "-", "-", "bob", "[al", " - "),
		time.Unix(g.Int64N(1e6), 0).UTC().Format("02/Jan/2006:15:04:05 -0700"), request, pick(g, 200, 200, 404, 500),
		pick(g, strconv.Itoa(g.IntN(5000)), "0", "-", "x"), pick(g, "-", "http://h/", "] \"", "curl/8 (x; y)"))
}
