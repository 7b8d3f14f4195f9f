package replay

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// The file format is
//
//	timestamp,value[,container]
//
// in UTF-8, one sample a row, with fields quoted as RFC 4180 has it where need be, but within one line. The timestamp is in Unix
// seconds, with a fraction if it has one, or as RFC 3339 has it, where a blank may stand for the T and UTC is meant without an
// offset. The value is in cores or bytes. Rows without a container are of one that the reader's caller names. The first row is a
// header when neither its timestamp nor its value is one. Empty rows are skipped. Rows are in the order of time for each
// container, those of several containers in any.

// maxLine bounds a row: a file that is no CSV must not be read into memory whole.
const maxLine = 64 << 10

// lastSecond is the end of the year 9999. What is beyond is most likely in milliseconds.
const lastSecond = 253402300799

// Reader reads samples of one resource from CSV.
type Reader struct {
	name      string
	resource  vertical.Resource
	container string
	lines     *bufio.Reader
	line      int
	started   bool
	names     map[string]string // each container's name once, not once a row
	fields    [3][]byte
}

// NewReader reads from r. The name stands in errors, the container is that of rows which name none.
func NewReader(r io.Reader, name string, resource vertical.Resource, container string) *Reader {
	return &Reader{name: name, resource: resource, container: container, lines: bufio.NewReaderSize(r, maxLine), names: map[string]string{}}
}

// Read returns the next sample, and io.EOF after the last one. Other errors name the file, the line and the field.
func (r *Reader) Read() (Sample, error) {
	for {
		line, err := r.next()
		if err != nil {
			return Sample{}, err
		}
		if len(line) == 0 {
			continue
		}
		fields, err := r.split(line)
		if err != nil {
			return Sample{}, r.errorf("%w", err)
		}
		first := !r.started
		r.started = true
		at, timeErr := parseTime(string(fields[0]))
		value, valueErr := parseValue(string(fields[1]))
		switch {
		case first && timeErr != nil && valueErr != nil && !numeric(fields[0]) && !numeric(fields[1]):
			if err := checkHeader(fields); err != nil {
				return Sample{}, r.errorf("%w", err)
			}
			continue
		case timeErr != nil:
			return Sample{}, r.errorf("timestamp %w", timeErr)
		case valueErr != nil:
			return Sample{}, r.errorf("value %w", valueErr)
		}
		container, err := r.named(fields)
		if err != nil {
			return Sample{}, r.errorf("container %w", err)
		}
		return Sample{Container: container, Resource: r.resource, Time: at, Usage: value}, nil
	}
}

// next returns the next line without white space around it. It is valid until the next call.
func (r *Reader) next() ([]byte, error) {
	line, err := r.lines.ReadSlice('\n')
	if len(line) == 0 && err != nil {
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("read %s: %w", r.name, err)
		}
		return nil, err
	}
	r.line++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, r.errorf("a row of more than %d bytes", maxLine)
	case err != nil && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("read %s: %w", r.name, err)
	}
	if r.line == 1 {
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
	}
	return bytes.TrimSpace(line), nil
}

// split returns the two or three fields of a row.
func (r *Reader) split(line []byte) ([][]byte, error) {
	if bytes.IndexByte(line, '"') >= 0 {
		return splitQuoted(line)
	}
	n := 0
	for ; n < len(r.fields); n++ {
		field, rest, more := bytes.Cut(line, []byte{','})
		r.fields[n] = bytes.TrimSpace(field)
		line = rest
		if !more {
			return checkFields(r.fields[:n+1], 0)
		}
	}
	return checkFields(r.fields[:], 1+bytes.Count(line, []byte{','}))
}

func splitQuoted(line []byte) ([][]byte, error) {
	quoted := csv.NewReader(bytes.NewReader(line))
	quoted.FieldsPerRecord = -1
	record, err := quoted.Read()
	if err != nil {
		var parse *csv.ParseError
		if errors.As(err, &parse) {
			err = parse.Err // its line is always 1
		}
		return nil, err
	}
	fields := make([][]byte, len(record))
	for i, field := range record {
		fields[i] = []byte(strings.TrimSpace(field))
	}
	return checkFields(fields, 0)
}

func checkFields(fields [][]byte, more int) ([][]byte, error) {
	if n := len(fields) + more; n < 2 || n > 3 {
		return nil, fmt.Errorf("%d fields: want timestamp,value or timestamp,value,container", n)
	}
	return fields, nil
}

// checkHeader finds columns that are named, but in another order.
func checkHeader(fields [][]byte) error {
	for i, wrong := range [...][]string{{"value", "usage", "container", "pod"}, {"timestamp", "time", "container", "pod"}, {"timestamp", "time", "value", "usage"}} {
		for _, name := range wrong {
			if i < len(fields) && strings.EqualFold(string(fields[i]), name) {
				return fmt.Errorf("column %d is %s: want timestamp,value or timestamp,value,container", i+1, name)
			}
		}
	}
	return nil
}

// numeric tells what is meant to be a number or a time from the name of a column.
func numeric(field []byte) bool {
	return len(field) > 0 && (field[0] >= '0' && field[0] <= '9' || bytes.IndexByte([]byte("+-."), field[0]) >= 0) || isNotFinite(string(field))
}

func isNotFinite(field string) bool {
	v, err := strconv.ParseFloat(field, 64)
	return err == nil && (math.IsNaN(v) || math.IsInf(v, 0))
}

// maxName is the longest name of a container, that of a DNS label with a pod's name before it.
const maxName = 512

func (r *Reader) named(fields [][]byte) (string, error) {
	if len(fields) < 3 || len(fields[2]) == 0 {
		return r.container, nil
	}
	if name, ok := r.names[string(fields[2])]; ok {
		return name, nil
	}
	name := string(fields[2])
	if len(name) > maxName {
		return "", fmt.Errorf("%.20q…: longer than %d bytes", name, maxName)
	}
	if strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\ufffd' }) {
		return "", fmt.Errorf("%q: want UTF-8 without control characters", name)
	}
	if len(r.names) >= maxSeries {
		return "", ErrTooManySeries
	}
	r.names[name] = name
	return name, nil
}

// maxValue is an exabyte. Sums of what is beyond would not stay finite.
const maxValue = 1e18

func parseValue(field string) (float64, error) {
	v, err := strconv.ParseFloat(field, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%q: out of range", field)
	case err != nil:
		return 0, fmt.Errorf("%q: not a number", clip(field))
	case math.IsNaN(v) || math.IsInf(v, 0):
		return 0, fmt.Errorf("%q: want a finite number", field)
	case v < 0:
		return 0, fmt.Errorf("%q: must not be negative", field)
	case v > maxValue:
		return 0, fmt.Errorf("%q: out of range", field)
	}
	return v, nil
}

// layouts are those of RFC 3339 and of what leaves out the offset. A fraction of a second may follow in each.
var layouts = [...]string{time.DateTime, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00"}

func parseTime(field string) (time.Time, error) {
	if seconds, err := strconv.ParseFloat(field, 64); err == nil {
		return parseUnix(field, seconds)
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, field); err == nil {
			if t.Unix() < 0 {
				return time.Time{}, fmt.Errorf("%q: before 1970", field)
			}
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: want Unix seconds or RFC 3339, such as 1767571200 or 2026-01-05T00:00:00Z", clip(field))
}

func parseUnix(field string, seconds float64) (time.Time, error) {
	switch {
	case math.IsNaN(seconds) || math.IsInf(seconds, 0):
		return time.Time{}, fmt.Errorf("%q: want a finite number", field)
	case seconds < 0:
		return time.Time{}, fmt.Errorf("%q: before 1970", field)
	case seconds > lastSecond:
		return time.Time{}, fmt.Errorf("%q: after the year 9999; want seconds", field)
	}
	whole, fraction := math.Modf(seconds)
	// A float64 holds present times to a quarter of a microsecond.
	return time.Unix(int64(whole), int64(math.Round(fraction*1e6))*1000).UTC(), nil
}

func clip(field string) string {
	if len(field) > 40 {
		return field[:40] + "…"
	}
	return field
}

// errorf makes an error about the row that was read last.
func (r *Reader) errorf(format string, args ...any) error { return r.errorAt(r.line, format, args...) }

func (r *Reader) errorAt(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", r.name, line, fmt.Errorf(format, args...))
}
