package cgroup

import (
	"bytes"
	"math"
)

// parseUint reads the decimal number that content begins with, after spaces.
// A number beyond 64 bits is the largest one.
func parseUint(content []byte) (value uint64, rest []byte, ok bool) {
	i := 0
	for i < len(content) && (content[i] == ' ' || content[i] == '\t') {
		i++
	}
	start := i
	for i < len(content) && content[i] >= '0' && content[i] <= '9' {
		digit := uint64(content[i] - '0')
		if value > (math.MaxUint64-digit)/10 {
			value = math.MaxUint64
		} else {
			value = value*10 + digit
		}
		i++
	}
	return value, content[i:], i > start
}

// cutLine splits off the first line.
func cutLine(content []byte) (line, rest []byte) {
	if i := bytes.IndexByte(content, '\n'); i >= 0 {
		return content[:i], content[i+1:]
	}
	return content, nil
}

// cutField splits off the first word of a line.
func cutField(line []byte) (field, rest []byte) {
	i := 0
	for i < len(line) && line[i] == ' ' {
		i++
	}
	start := i
	for i < len(line) && line[i] != ' ' {
		i++
	}
	return line[start:i], line[i:]
}

// Pairs calls yield with each "key value" line whose value is a number.
func Pairs(content []byte, yield func(key []byte, value uint64)) {
	var line []byte
	for len(content) > 0 {
		line, content = cutLine(content)
		key, rest := cutField(line)
		if value, _, ok := parseUint(rest); ok && len(key) > 0 {
			yield(key, value)
		}
	}
}

// Stall is a pair of pressure totals, in microseconds.
type Stall struct {
	// Some is the time during which at least one task waited.
	Some uint64
	// Full is the time during which all tasks waited at once.
	Full uint64
	// HasSome and HasFull say which of the two the kernel reports.
	HasSome, HasFull bool
}

// ParsePressure reads a pressure file: lines "some …" and "full …" that end with
// "total=" and microseconds.
func ParsePressure(content []byte) Stall {
	var stall Stall
	var line []byte
	for len(content) > 0 {
		line, content = cutLine(content)
		at := bytes.LastIndex(line, []byte("total="))
		if at < 0 {
			continue
		}
		total, _, ok := parseUint(line[at+len("total="):])
		if !ok {
			continue
		}
		switch kind, _ := cutField(line); string(kind) {
		case "some":
			stall.Some, stall.HasSome = total, true
		case "full":
			stall.Full, stall.HasFull = total, true
		}
	}
	return stall
}
