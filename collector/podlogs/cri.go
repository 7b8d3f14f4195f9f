package podlogs

import (
	"bytes"
	"errors"
	"time"
)

// stream is the output that a line was written to.
type stream uint8

const (
	stdout stream = iota
	stderr
	streams // how many there are
)

func (s stream) String() string { return [...]string{"stdout", "stderr"}[s] }

// criLine is one line of a container log file:
//
//	2027-01-02T03:04:05.678901234Z stdout F the text
//
// The third field holds tags, separated by colons; the first is P for a piece of a
// line that goes on in the next entry of its stream, and F for the last piece. Runtimes cut
// lines into pieces of 16 KiB.
type criLine struct {
	time    int64 // Unix nanoseconds
	stream  stream
	partial bool
	text    []byte // within the line that was parsed
}

var errNotCRI = errors.New("not a line of the CRI log format")

// parseCRI parses a line without its newline.
func parseCRI(line []byte) (criLine, error) {
	stamp, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return criLine{}, errNotCRI
	}
	t, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return criLine{}, errNotCRI
	}
	l := criLine{time: t.UnixNano()}
	name, rest, ok := bytes.Cut(rest, []byte{' '})
	switch {
	case !ok:
		return criLine{}, errNotCRI
	case string(name) == "stdout":
		l.stream = stdout
	case string(name) == "stderr":
		l.stream = stderr
	default:
		return criLine{}, errNotCRI
	}
	tags, text, _ := bytes.Cut(rest, []byte{' '}) // a runtime may leave out the space before no text
	tag, _, _ := bytes.Cut(tags, []byte{':'})
	switch string(tag) {
	case "P":
		l.partial = true
	case "F":
	default:
		return criLine{}, errNotCRI
	}
	l.text = text
	return l, nil
}
