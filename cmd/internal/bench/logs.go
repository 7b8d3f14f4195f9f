package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// logLine is one line of a log. Times are nanoseconds since 1970.
type logLine struct {
	ts          int64
	stream      int // in logData.streams
	line        string
	trace, span string // structured metadata; "" for none
}

// stream is what Loki calls one: a set of labels.
type stream struct {
	App, Container, Namespace, Node, Pod string
}

// labels lists names and values in order of their names, without empty ones.
func (s stream) labels() [][2]string {
	all := [][2]string{{"app", s.App}, {"container", s.Container}, {"namespace", s.Namespace}, {"node", s.Node}, {"pod", s.Pod}}
	return slices.DeleteFunc(all, func(l [2]string) bool { return l[1] == "" })
}

// selector is the stream as LogQL and LogsQL select it, and as Loki's push names it.
func (s stream) selector() string {
	var b strings.Builder
	for _, l := range s.labels() {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(l[0] + "=" + strconv.Quote(l[1]))
	}
	return "{" + b.String() + "}"
}

// logData is real logs: one day of a microservice application, and an access log
// spread over the hour after it. Lines of the services carry their trace and span id
// as structured metadata. Only one copy is in memory, however many are made of it.
type logData struct {
	copies   int
	lines    []logLine // of copy 0: the services' by time, then the access log's
	services int       // how many of them are the services'
	streams  []stream  // of all copies; copy k's stream i is number k*perCopy+i
	perCopy  int
	access   int           // the access log's stream
	spacing  time.Duration // between two lines of the access log
	accessed []string      // its lines
}

// serviceEnd and accessEnd say how long before the data's end the logs of the
// services and the access log end.
const (
	serviceEnd = 2 * time.Hour
	accessEnd  = time.Hour
	// logSpan is the time before the end that holds all lines: the range of all queries.
	logSpan = 10 * time.Hour
	// copyShift lies between the same line of two copies, so that no two of the
	// services' lines are equal.
	copyShift = 1003 * time.Nanosecond
)

// readLogs reads the public logs and shifts them to end shortly before end. Lines
// without a time, malformed ones and exact repetitions (stream, time, line) are left
// out. A sample above 0 bounds how many lines are read of each of the two.
func readLogs(ctx context.Context, data string, end time.Time, copies, sample int) (*logData, error) {
	d := &logData{copies: copies}
	var err error
	if d.lines, err = d.readServiceLines(ctx, data, sample); err != nil {
		return nil, err
	}
	d.services = len(d.lines)
	if d.accessed, err = readAccessLog(data, sample); err != nil {
		return nil, err
	}
	if d.services == 0 || len(d.accessed) == 0 {
		return nil, fmt.Errorf("no logs in %s", data)
	}
	shift := end.Add(-serviceEnd).UnixNano() - d.lines[d.services-1].ts
	for i := range d.lines {
		d.lines[i].ts += shift
	}
	d.access = len(d.streams)
	d.streams = append(d.streams, stream{App: "nginx"})
	d.spacing = (serviceEnd - accessEnd) / time.Duration(len(d.accessed))
	first := end.Add(-serviceEnd)
	for i, line := range d.accessed {
		d.lines = append(d.lines, logLine{ts: first.Add(time.Duration(i) * d.spacing).UnixNano(), stream: d.access, line: line})
	}
	d.nameCopies()
	return d, nil
}

// readServiceLines returns the services' lines by time.
func (d *logData) readServiceLines(ctx context.Context, data string, sample int) ([]logLine, error) {
	type placed struct {
		logLine
		file string
	}
	numbers := map[stream]int{}
	var lines []placed
	err := readServices(ctx, data, "log", func(file string, record []string) error {
		// Timestamp, TimeUnixNano, Node, PodName, Container, TraceID, SpanID, Log
		if len(record) != 8 {
			return nil
		}
		ts, err := strconv.ParseInt(record[1], 10, 64)
		var entry struct {
			Log string `json:"log"`
		}
		if err != nil || ts <= 0 || json.Unmarshal([]byte(record[7]), &entry) != nil {
			return nil //nolint:nilerr // a malformed line of the public data
		}
		s := stream{App: workload(record[3]), Container: record[4], Namespace: "ts", Node: record[2], Pod: record[3]}
		n, ok := numbers[s]
		if !ok {
			s = stream{strings.Clone(s.App), strings.Clone(s.Container), s.Namespace, strings.Clone(s.Node), strings.Clone(s.Pod)}
			n = len(d.streams)
			numbers[s] = n
			d.streams = append(d.streams, s)
		}
		lines = append(lines, placed{file: file, logLine: logLine{
			ts: ts, stream: n, line: strings.TrimRight(entry.Log, "\r\n"),
			trace: strings.Clone(record[5]), span: strings.Clone(record[6]),
		}})
		if len(lines) == sample {
			return errEnough
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The archive has its files in no order; their names are times.
	slices.SortStableFunc(lines, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.ts, b.ts), strings.Compare(a.file, b.file))
	})
	type key struct {
		stream int
		ts     int64
		line   string
	}
	seen := make(map[key]bool, len(lines))
	out := make([]logLine, 0, len(lines))
	for _, l := range lines {
		if k := (key{l.stream, l.ts, l.line}); !seen[k] {
			seen[k] = true
			out = append(out, l.logLine)
		}
	}
	return out, nil
}

// nameCopies adds the streams of copies 1 and up: other pods of the same workloads.
// The access log stays one stream.
func (d *logData) nameCopies() {
	d.perCopy = len(d.streams)
	for k := 1; k < d.copies; k++ {
		for _, s := range d.streams[:d.perCopy] {
			if s.Pod != "" {
				s.Pod = s.Pod[:len(s.Pod)-1] + copyLetters(k) + "q"
			}
			d.streams = append(d.streams, s)
		}
	}
}

// at is line i of copy k. Copies of the access log are rotated, so that the same line
// comes at different times; those of the services have other pods and other ids.
func (d *logData) at(k, i int) logLine {
	l := d.lines[i]
	if k == 0 {
		return l
	}
	if l.stream == d.access {
		n := len(d.accessed)
		l.line = d.accessed[(i-d.services+k*n/d.copies)%n]
		l.ts += int64(d.spacing) / int64(d.copies) * int64(k)
		return l
	}
	l.ts += int64(k) * int64(copyShift)
	l.stream += k * d.perCopy
	l.line, l.trace, l.span = permuteIDs(l.line, k), permuteIDs(l.trace, k), permuteIDs(l.span, k)
	return l
}

// each calls fn with all lines of all copies by time; of equal times, the lower copy
// comes first.
func (d *logData) each(ctx context.Context, fn func(logLine) error) error {
	heads := make([]logLine, d.copies)
	next := make([]int, d.copies)
	for k := range heads {
		heads[k] = d.at(k, 0)
	}
	for n := 0; ; n++ {
		first := -1
		for k := range heads {
			if next[k] < len(d.lines) && (first < 0 || heads[k].ts < heads[first].ts) {
				first = k
			}
		}
		if first < 0 {
			return nil
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := fn(heads[first]); err != nil {
			return err
		}
		if next[first]++; next[first] < len(d.lines) {
			heads[first] = d.at(first, next[first])
		}
	}
}

// ofStream calls fn with the lines of one stream by time.
func (d *logData) ofStream(ctx context.Context, number int, fn func(logLine) error) error {
	if number == d.access {
		return d.each(ctx, func(l logLine) error {
			if l.stream != number {
				return nil
			}
			return fn(l)
		})
	}
	k := number / d.perCopy
	for i := range d.lines {
		if d.lines[i].stream != number%d.perCopy {
			continue
		}
		if err := errors.Join(ctx.Err(), fn(d.at(k, i))); err != nil {
			return err
		}
	}
	return nil
}
