package logs_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/loki/v3/pkg/logproto"

	"github.com/yagura-dev/yagura/query/logs"
)

// generator makes queries about a corpus.
type generator struct {
	corpus
	r *rand.Rand
}

func (g generator) one(of ...string) string { return of[g.r.IntN(len(of))] }

func (g generator) chance(percent int) bool { return g.r.IntN(100) < percent }

// fragment is a part of a line of the corpus.
func (g generator) fragment() string {
	l := g.lines[g.r.IntN(len(g.lines))]
	if len(l) < 4 {
		return "a"
	}
	n := 1 + g.r.IntN(min(12, len(l)-1))
	at := g.r.IntN(len(l) - n)
	return strings.ToValidUTF8(l[at:at+n], "?")
}

var quoteRegexp = strings.NewReplacer(`\`, `\\`, `.`, `\.`, `(`, `\(`, `)`, `\)`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`, `+`, `\+`, `*`, `\*`, `?`, `\?`, `|`, `\|`, `^`, `\^`, `$`, `\$`).Replace

func (g generator) regexp() string {
	f := g.fragment()
	switch g.r.IntN(8) {
	case 0:
		return "(?i)" + quoteRegexp(f)
	case 1:
		return quoteRegexp(f) + "|" + quoteRegexp(g.fragment())
	case 2:
		return ".*" + quoteRegexp(f) + ".*"
	case 3:
		return "[0-9]+" + quoteRegexp(f[:1])
	case 4:
		return quoteRegexp(f) + ".+"
	case 5:
		return "^" + quoteRegexp(f)
	case 6:
		return quoteRegexp(f[:1]) + "(a|b|" + quoteRegexp(g.fragment()) + ")"
	}
	return quoteRegexp(f)
}

// label is a name that something in the corpus has: a label, a field, or what a
// parser finds.
func (g generator) label() string {
	return g.one("app", "pod", "trace_id", "severity_text", "level", "status", "size", "method",
		"trace_id_extracted", "app_extracted", "status_extracted", "nope")
}

func (g generator) value() string {
	return g.one("INFO", "ERROR", "LABEL", "info", "error", "200", "404", "GET", "p1", "", strconv.Itoa(g.r.IntN(500)))
}

func (g generator) lineFilter() string {
	switch g.r.IntN(6) {
	case 0:
		return "|= " + strconv.Quote(g.fragment()) + " or " + strconv.Quote(g.fragment())
	case 1, 2:
		return g.one("|~", "!~") + " " + strconv.Quote(g.regexp())
	}
	return g.one("|=", "|=", "!=") + " " + strconv.Quote(g.fragment())
}

func (g generator) labelFilter() string {
	switch g.r.IntN(5) {
	case 0:
		return g.label() + g.one("=~", "!~") + strconv.Quote(g.one("INFO|WARN", "2..", "[0-9]+", "1.*", ".+", ".*", "(?i)error"))
	case 1:
		return g.one("trace_id", "size", "status") + g.one(" > ", " <= ", " == ", " != ") + strconv.Itoa(g.r.IntN(500))
	case 2:
		return `__error__` + g.one("=", "!=") + `""`
	}
	return g.label() + g.one("=", "!=") + strconv.Quote(g.value())
}

func (g generator) parser() string {
	return g.one("| json", "| json", "| logfmt", "| logfmt", "| logfmt --strict", `| json lvl="level"`, `| logfmt lvl="level"`,
		`| pattern "<a> <b> <_>"`,
		"| pattern `<ip> - <user> [<ts>] \"<method> <path> <proto>\" <status> <size> <_>`",
		"| pattern `<_>\"<method> <_>\" <status> <size> <_>`",
		"| regexp `(?P<status>\\d{3})`",
		"| regexp `^(?P<app>\\w+)`",
		"| regexp `^\\S+ - \\S+ \\[[^\\]]+\\] \"(?P<method>\\S+) (?P<path>\\S+) [^\"]*\" (?P<status>\\d{3}) (?P<size>\\d+) `",
		"| unpack")
}

func (g generator) stage() string {
	switch g.r.IntN(12) {
	case 0, 1, 2:
		return g.lineFilter()
	case 3, 4, 5:
		return "| " + g.labelFilter()
	case 6:
		return "| " + g.labelFilter() + g.one(" and ", " or ") + g.labelFilter()
	case 7, 8:
		return g.parser()
	case 9:
		return g.one(`| line_format "{{.pod}}"`, `| line_format "x {{__line__}}"`, `| line_format "{{.trace_id}}"`, "| decolorize")
	case 10:
		return g.one("| drop trace_id", `| drop level="info"`, "| keep app, pod", `| keep app, status=~"2.."`, "| drop __error__")
	}
	return g.one("| label_format x=pod", "| label_format trace_id=pod", `| label_format status="{{.method}}"`)
}

func (g generator) selector(stages int) string {
	s := g.one(g.selectors...)
	if g.chance(15) {
		s += " " + g.one("| json", "| logfmt", `| json kind="kind"`, "| json | drop level") + ` | kind` + g.one("=", "=~") + strconv.Quote(g.one("error", "not so", "error|info"))
	}
	for range g.r.IntN(stages + 1) {
		s += " " + g.stage()
	}
	return s
}

func (g generator) grouping() string {
	names := []string{g.label()}
	for range g.r.IntN(3) {
		if name := g.label(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch g.r.IntN(6) {
	case 0:
		return ""
	case 1:
		return " without (" + strings.Join(names, ", ") + ")"
	case 2:
		return " by ()"
	}
	return " by (" + strings.Join(names, ", ") + ")"
}

// window is the range in brackets and what follows it.
func (g generator) window() string {
	s := "[" + g.one("1m", "30s", "5m", "10s", "7s", "13s500ms", "90s") + "]"
	return s + g.one("", "", "", " offset 1m", " offset -45s", " offset 1ms")
}

// accessLog is what people ask of access logs: a parser, perhaps a filter, and a
// number of what it finds.
func (g generator) accessLog() string {
	sel := g.one(g.selectors...) + " " + g.one(
		"| pattern `<ip> - <user> [<ts>] \"<method> <path> <proto>\" <status> <size> <_>`",
		"| regexp `^\\S+ - \\S+ \\[[^\\]]+\\] \"(?P<method>\\S+) (?P<path>\\S+) [^\"]*\" (?P<status>\\d{3}) (?P<size>\\S+) `")
	if g.chance(30) {
		sel += " | " + g.labelFilter()
	}
	op := g.one("count_over_time", "bytes_over_time", "rate")
	if g.chance(60) {
		sel += " | unwrap " + g.one("size", "size", "status", "duration(size)") + g.one("", ` | __error__=""`, ` | __error__=""`)
		op = g.one("sum_over_time", "sum_over_time", "rate", "first_over_time", "max_over_time")
	}
	return g.one("sum", "sum", "max") + g.one("", " by (status)", " by (size, method)", " by (app, status)") + " (" + op + "(" + sel + " " + g.window() + "))"
}

func (g generator) rangeAggregation() string {
	sel := g.selector(3)
	if g.chance(40) { // the shapes that dashboards have
		sel = g.one(g.selectors...)
		if g.chance(50) {
			sel += " " + g.lineFilter()
		}
		if g.chance(60) {
			sel += " " + g.parser()
		}
		if g.chance(30) {
			sel += " | " + g.labelFilter()
		}
	}
	if g.chance(60) {
		if g.chance(60) {
			sel += ` | __error__=""`
		}
		op := g.one("count_over_time", "count_over_time", "rate", "bytes_over_time", "bytes_rate", "absent_over_time")
		return op + "(" + sel + " " + g.window() + ")"
	}
	sel += g.one(" | unwrap trace_id", " | unwrap size", " | unwrap duration(size)", " | unwrap duration_seconds(took)", " | unwrap bytes(size)", " | unwrap took")
	if g.chance(80) {
		sel += ` | __error__=""`
	}
	if g.chance(20) {
		sel += " | " + g.labelFilter()
	}
	op := g.one("sum_over_time", "rate", "avg_over_time", "min_over_time", "max_over_time", "stddev_over_time",
		"stdvar_over_time", "first_over_time", "last_over_time", "quantile_over_time", "rate_counter")
	param := ""
	if op == "quantile_over_time" {
		param = g.one("0.5, ", "0.99, ", "0, ", "1, ")
	}
	out := op + "(" + param + sel + " " + g.window() + ")"
	if op != "sum_over_time" && op != "rate" && op != "rate_counter" {
		out += g.grouping()
	}
	return out
}

func (g generator) metric(depth int) string {
	switch {
	case depth == 2 && g.chance(20):
		return g.accessLog()
	case depth == 0 || g.chance(20):
		return g.rangeAggregation()
	case g.chance(60):
		return g.one("sum", "sum", "sum", "avg", "min", "max", "count", "stddev") + g.grouping() + " (" + g.metric(depth-1) + ")"
	}
	switch g.r.IntN(5) {
	case 0:
		return "(" + g.metric(depth-1) + ")" + g.one(" / ", " + ", " * ", " > ", " >= bool ", " and ", " or ", " unless ") + "(" + g.metric(depth-1) + ")"
	case 1:
		return "(" + g.metric(depth-1) + ")" + g.one(" * 2", " > 3", " == bool 1", " % 7")
	case 2:
		return `label_replace(` + g.metric(depth-1) + `, "dst", "x$1", "pod", "p(.*)")`
	case 3:
		return g.one("sort", "sort_desc") + "(" + g.metric(depth-1) + ")"
	}
	return g.metric(depth - 1)
}

func (g generator) request() logs.Request {
	span := g.end.Sub(g.start)
	from := time.Duration(g.r.Int64N(int64(span)))
	req := logs.Request{Start: g.start.Add(from / 2), End: g.start.Add(from/2 + span/4), Limit: 1 + g.r.IntN(200)}
	if g.chance(50) { // on the edges
		req.Start, req.End = req.Start.Truncate(10*time.Second), req.End.Truncate(10*time.Second)
	}
	if g.chance(50) {
		req.Direction = logproto.BACKWARD
	}
	if g.chance(12) {
		req.Interval = time.Duration(1+g.r.IntN(20)) * time.Second
	}
	req.Step = []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 77 * time.Second, 100 * time.Second, 12345678901}[g.r.IntN(6)]
	if g.chance(30) {
		req.Query = g.selector(4)
		return req
	}
	req.Query = g.metric(2)
	if g.chance(10) { // only here: which of equal ones it takes is chance
		req.Query = g.one("topk", "bottomk") + "(2, " + req.Query + ")"
	}
	if g.chance(30) {
		req.Start, req.Step = req.End, 0
		if g.chance(50) {
			req.Query = strings.ReplaceAll(req.Query, "[1m]", fmt.Sprintf("[%ds]", 60+g.r.IntN(3000)))
		}
	}
	return req
}
