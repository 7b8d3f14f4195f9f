package columnar

import (
	"fmt"

	"github.com/yagura-dev/yagura/query/columnar/shred"
)

// The timestamps of a block are the numbers of package shred: for each row, its
// time minus the block's least one.
//
// Version 1 had one piece, which was
//
//	unit   uvarint  all differences are multiples of it
//	times  uvarint  for each row, (time - time of the row before) / unit; the first
//	                row of each run is taken relative to the block's least time

// appendTimes encodes the times; numbers is memory to use.
func appendTimes(dst *shred.Sections, numbers, times []int64, least int64, enc *shred.Encoder) []int64 {
	for _, t := range times {
		numbers = append(numbers, t-least) // wraps, as it does when they are decoded
	}
	enc.Numbers(dst, numbers)
	return numbers
}

// decodeTimes appends the times to dst.
func decodeTimes(dst []int64, data *shred.Sections, rows int, least int64) ([]int64, error) {
	at := len(dst)
	dst, err := shred.DecodeNumbers(dst, data, rows)
	if err != nil {
		return dst, fmt.Errorf("timestamps: %w", err)
	}
	for i := range dst[at:] {
		dst[at+i] += least
	}
	return dst, nil
}

// decodeTimesV1 appends the times to dst.
func decodeTimesV1(dst []int64, data []byte, runs []blockRun, least int64) ([]int64, error) {
	d := decoder{b: data}
	unit := d.uvarint()
	for _, run := range runs {
		t := least
		if run.rows > d.left() {
			d.fail(errTruncated)
			break
		}
		for range run.rows {
			// Unsigned differences wrap exactly as they did when they were taken.
			t += int64(d.uvarint() * unit)
			dst = append(dst, t)
		}
	}
	if d.err == nil && d.left() != 0 {
		d.err = errBadLength
	}
	if d.err != nil {
		return dst, fmt.Errorf("timestamps: %w", d.err)
	}
	return dst, nil
}
