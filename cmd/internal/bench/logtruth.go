package bench

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// lineLimit is how many lines a query may answer at most.
const lineLimit = 1000

// needles are the values that queries look for, taken from the data.
type needles struct {
	trace     string // a trace id in the middle of the data
	substring string // a piece of an id that begins and ends inside a word
	pod       string
}

// busyPod is whose last lines are asked for, if the data has it.
const busyPod = "ts-seat-service-5c95b49cff-tdsdz"

// failedTrip is a regular expression that few lines match.
const failedTrip = `Failed!.*tripId: [DG]13[0-9]{2}`

var (
	uuid         = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	failedTripRE = regexp.MustCompile(failedTrip)
)

// pick chooses the needles from copy 0; those that the data lacks are "".
func (d *logData) pick() needles {
	n := needles{trace: d.lines[d.services/2].trace}
	for i := d.services / 3; i < d.services && n.substring == ""; i++ {
		if id := uuid.FindString(d.lines[i].line); id != "" {
			// Nine digits from within the id's last group.
			if s := id[26:35]; d.isRare(s) {
				n.substring = s
			}
		}
	}
	perPod := map[string]int{}
	for _, l := range d.lines[:d.services] {
		perPod[d.streams[l.stream].Pod]++
	}
	for pod, lines := range perPod {
		if most := perPod[n.pod]; lines > most || lines == most && pod < n.pod {
			n.pod = pod
		}
	}
	if perPod[busyPod] > 0 {
		n.pod = busyPod
	}
	return n
}

// isRare reports whether 2 to 20 lines have s.
func (d *logData) isRare(s string) bool {
	found := 0
	for i := range d.lines {
		if strings.Contains(d.lines[i].line, s) {
			if found++; found > 20 {
				return false
			}
		}
	}
	return found >= 2
}

// streamTruth is what a stream holds.
type streamTruth struct {
	Lines  int
	Bytes  int64
	Traced int // lines with a trace id
}

// logTruth is what the pushed lines are, and what the queries must answer.
type logTruth struct {
	needles needles
	lines   int
	bytes   int64
	streams []streamTruth // by number, as logData.streams

	byApp, byStatus, sizeByStatus, errorsByApp map[string]float64
	traceLines, traceField, substring, failed  newest
	failedTotal                                float64
	ofPod                                      newest
	pods                                       answer
}

// prepareLogs encodes all lines into a spool file and gathers what queries must
// answer about them.
func prepareLogs(ctx context.Context, d *logData, path string) (*spool, *logTruth, error) {
	w, err := createSpool(path)
	if err != nil {
		return nil, nil, err
	}
	t := &logTruth{
		needles: d.pick(), streams: make([]streamTruth, len(d.streams)),
		byApp: map[string]float64{}, byStatus: map[string]float64{}, sizeByStatus: map[string]float64{}, errorsByApp: map[string]float64{},
	}
	for _, n := range []*newest{&t.traceLines, &t.traceField, &t.substring, &t.failed, &t.ofPod} {
		n.limit = lineLimit
	}
	e := lokiEncoder{streams: d.streams, emit: w.add}
	err = d.each(ctx, func(l logLine) error {
		if err := t.add(d, l); err != nil {
			return err
		}
		return e.add(l)
	})
	if err == nil {
		err = e.flush()
	}
	s, closeErr := w.close()
	if err != nil {
		return nil, nil, err
	}
	pods := map[string]bool{}
	for i, st := range t.streams {
		if pod := d.streams[i].Pod; st.Lines > 0 && pod != "" && !pods[pod] {
			pods[pod] = true
			t.pods.Rows++
			t.pods.Digest += digestID(pod)
		}
	}
	return s, t, closeErr
}

func (t *logTruth) add(d *logData, l logLine) error {
	s := d.streams[l.stream]
	st := &t.streams[l.stream]
	t.lines++
	t.bytes += int64(len(l.line))
	st.Lines++
	st.Bytes += int64(len(l.line))
	if l.trace != "" {
		st.Traced++
	}
	t.byApp[s.App]++
	if strings.Contains(l.line, t.needles.trace) {
		t.traceLines.add(l.ts, l.line)
	}
	if l.trace == t.needles.trace {
		t.traceField.add(l.ts, l.line)
	}
	if t.needles.substring != "" && strings.Contains(l.line, t.needles.substring) {
		t.substring.add(l.ts, l.line)
	}
	if strings.Contains(l.line, "Failed!") && failedTripRE.MatchString(l.line) {
		t.failed.add(l.ts, l.line)
		t.failedTotal++
	}
	if strings.Contains(l.line, "ERROR") || strings.Contains(l.line, " 500 ") {
		t.errorsByApp[s.App]++
	}
	if s.Pod != "" && s.Pod == t.needles.pod {
		t.ofPod.add(l.ts, l.line)
	}
	if l.stream == d.access {
		status, size, ok := parseAccess(l.line)
		if !ok {
			return fmt.Errorf("a line of the access log is none: %.200q", l.line)
		}
		t.byStatus[status]++
		t.sizeByStatus[status] += size
	}
	return nil
}

// parseAccess finds the status and the size in
// ip - user [time] "method path protocol" status size …
func parseAccess(line string) (status string, size float64, ok bool) {
	_, rest, _ := strings.Cut(line, "] \"")
	_, rest, ok = strings.Cut(rest, "\" ")
	if !ok {
		return "", 0, false
	}
	status, rest, _ = strings.Cut(rest, " ")
	text, _, _ := strings.Cut(rest, " ")
	size, err := strconv.ParseFloat(text, 64)
	return status, size, err == nil
}
