package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// checkPage is how many expected lines are compared at a time; storedPage is how
	// many a store may answer for them (Loki's default limit).
	checkPage  = 1000
	storedPage = 5000
	// maxNamed bounds how many missing or doubled lines are named.
	maxNamed = 10
)

// logChecker compares what a target holds with what it was sent.
type logChecker struct {
	client *client
	at     endpoint
	data   *logData
	truth  *logTruth
	window window
	// whole compares every line. Otherwise only streams whose numbers of lines, bytes
	// or trace ids are wrong are read, to name the lines.
	whole bool
}

// wrongStream is a stream that does not hold what it should.
type wrongStream struct {
	number int // in logData.streams; -1 for one that was never sent
	name   string
	found  streamTruth
}

// check returns what was found and what is wrong with it.
func (c *logChecker) check(ctx context.Context) (Check, error) {
	out := Check{Expected: int64(c.truth.lines)}
	found, err := c.counts(ctx)
	if err != nil {
		return out, err
	}
	var wrong []wrongStream
	for i, want := range c.truth.streams {
		name := c.data.streams[i].selector()
		got := found[name]
		if want.Lines > 0 {
			out.Found += int64(got.Lines)
			delete(found, name)
			if got != want || c.whole {
				wrong = append(wrong, wrongStream{i, name, got})
			}
		}
	}
	for name, got := range found {
		out.Found += int64(got.Lines)
		out.Wrong++
		out.problem("stream %s was never sent and has %d lines", name, got.Lines)
	}
	for _, s := range wrong {
		if err := c.compare(ctx, s, &out); err != nil {
			return out, err
		}
	}
	out.Complete = out.Wrong == 0 && out.Found == out.Expected
	return out, nil
}

// compare names the lines of a stream that are missing, doubled or foreign.
func (c *logChecker) compare(ctx context.Context, s wrongStream, out *Check) error {
	want := c.truth.streams[s.number]
	if s.found != want {
		out.Wrong++
		out.problem("stream %s has %d lines, %d bytes, %d trace ids; want %d, %d, %d",
			s.name, s.found.Lines, s.found.Bytes, s.found.Traced, want.Lines, want.Bytes, want.Traced)
	}
	if s.found.Lines == 0 || len(out.Problems) >= maxNamed {
		return nil // nothing to tell line by line
	}
	pages := linePages{start: c.window.start.UnixNano(), fn: func(from, to int64, lines []storedLine) error {
		stored, err := c.lines(ctx, c.data.streams[s.number], from, to)
		if err != nil {
			return err
		}
		for _, text := range compareLines(lines, stored) {
			out.Wrong++
			out.problem("stream %s: %s", s.name, text)
		}
		if len(out.Problems) > maxNamed {
			return errEnough
		}
		return nil
	}}
	err := c.data.ofStream(ctx, s.number, pages.add)
	if err == nil {
		err = pages.end(c.window.end.UnixNano())
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// linePages cuts lines that come by time into pages, never between two lines of the
// same time.
type linePages struct {
	start int64
	lines []storedLine
	fn    func(from, to int64, lines []storedLine) error
}

func (p *linePages) add(l logLine) error {
	if n := len(p.lines); n >= checkPage && p.lines[n-1].ts != l.ts {
		if err := p.end(l.ts); err != nil {
			return err
		}
	}
	p.lines = append(p.lines, storedLine{l.ts, l.line})
	return nil
}

// end closes the page before time to.
func (p *linePages) end(to int64) error {
	err := p.fn(p.start, to, p.lines)
	p.start, p.lines = to, p.lines[:0]
	return err
}

// compareLines says which lines are stored less or more often than they should be.
func compareLines(want, got []storedLine) []string {
	balance := make(map[storedLine]int, len(want))
	for _, l := range want {
		balance[l]++
	}
	sent := make(map[storedLine]bool)
	for _, l := range got {
		if _, ok := balance[l]; ok {
			sent[l] = true
		}
		balance[l]--
	}
	var problems []string
	tell := func(what string, l storedLine) {
		problems = append(problems, fmt.Sprintf("%s at %s: %.120q", what, time.Unix(0, l.ts).UTC().Format(time.RFC3339Nano), l.line))
	}
	for _, l := range want {
		if balance[l] > 0 {
			tell("missing", l)
			balance[l] = 0
		}
	}
	for _, l := range got {
		switch {
		case balance[l] < 0 && sent[l]:
			tell(fmt.Sprintf("stored %d times too often", -balance[l]), l)
		case balance[l] < 0:
			tell("never sent", l)
		}
		balance[l] = 0
	}
	return problems
}

// counts is what each stream holds, by its selector.
func (c *logChecker) counts(ctx context.Context) (map[string]streamTruth, error) {
	out := map[string]streamTruth{}
	by := "app, container, namespace, node, pod"
	type counting struct {
		query string
		path  string
		put   func(s *streamTruth, name string, n int64)
	}
	var queries []counting
	params := url.Values{"time": c.window.nanos()["end"]}
	if c.at.api == apiLoki {
		of := func(fn, filter string, put func(*streamTruth, string, int64)) counting {
			return counting{`sum by (` + by + `) (` + fn + `({app=~".+"}` + filter + `[10h]))`, "/loki/api/v1/query", put}
		}
		queries = []counting{
			of("count_over_time", "", func(s *streamTruth, _ string, n int64) { s.Lines = int(n) }),
			of("bytes_over_time", "", func(s *streamTruth, _ string, n int64) { s.Bytes = n }),
			of("count_over_time", ` | trace_id != ""`, func(s *streamTruth, _ string, n int64) { s.Traced = int(n) }),
		}
	} else {
		params = with(c.window.seconds(), "time", c.window.seconds().Get("end"))
		queries = []counting{{"* | stats by (" + by + ") count() lines, sum_len(_msg) bytes, count(trace_id) traced", "/select/logsql/stats_query",
			func(s *streamTruth, name string, n int64) {
				switch name {
				case "lines":
					s.Lines = int(n)
				case "bytes":
					s.Bytes = n
				case "traced":
					s.Traced = int(n)
				}
			}}}
	}
	for _, q := range queries {
		body, _, err := c.client.get(ctx, c.at.url+q.path, with(params, "query", q.query))
		if err != nil {
			return nil, fmt.Errorf("count with %s: %w", q.query, err)
		}
		if err := readCounts(body, out, q.put); err != nil {
			return nil, fmt.Errorf("count with %s: %w", q.query, err)
		}
	}
	return out, nil
}

func readCounts(body []byte, out map[string]streamTruth, put func(*streamTruth, string, int64)) error {
	var a samplesAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return err
	}
	for _, series := range a.Data.Result {
		n, err := sampleValue(series.Value)
		if err != nil {
			return err
		}
		m := series.Metric
		s := stream{App: m["app"], Container: m["container"], Namespace: m["namespace"], Node: m["node"], Pod: m["pod"]}
		t := out[s.selector()]
		put(&t, m["__name__"], int64(n))
		out[s.selector()] = t
	}
	return nil
}

// lines reads what a stream holds in [from, to).
func (c *logChecker) lines(ctx context.Context, s stream, from, to int64) ([]storedLine, error) {
	limit := strconv.Itoa(storedPage)
	path, decode := "/loki/api/v1/query_range", decodeLokiLines
	params := url.Values{"query": {s.selector()}, "start": {strconv.FormatInt(from, 10)}, "end": {strconv.FormatInt(to, 10)}, "limit": {limit}, "direction": {"forward"}}
	if c.at.api == apiLogsQL {
		format := func(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
		path, decode = "/select/logsql/query", decodeLogsQLLines
		selector := strings.ReplaceAll(s.selector(), ", ", ",")
		params = url.Values{"query": {selector + " _time:[" + format(from) + ", " + format(to) + ") | fields _time, _msg"}, "limit": {limit}}
	}
	body, _, err := c.client.get(ctx, c.at.url+path, params)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", s.selector(), err)
	}
	lines, err := decode(body)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", s.selector(), err)
	}
	return lines, nil
}
