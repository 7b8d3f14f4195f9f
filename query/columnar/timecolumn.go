package columnar

import (
	"encoding/binary"
	"fmt"
)

// The timestamps of a block, before compression:
//
//	unit   uvarint  all differences are multiples of it
//	times  uvarint  for each row, (time - time of the row before) / unit; the first
//	                row of each run is taken relative to the block's least time
//
// Within a run times do not fall, so no difference is negative. The unit is 10^6
// for sources that log milliseconds, which takes most of the bytes away.

// appendTimes encodes the times of runs, which hold so many rows each.
func appendTimes(dst []byte, times []int64, runs []int, least int64) []byte {
	unit := uint64(0)
	for _, t := range times {
		if unit = gcd(unit, uint64(t-least)); unit == 1 {
			break
		}
	}
	unit = max(unit, 1)
	dst = binary.AppendUvarint(dst, unit)
	i := 0
	for _, n := range runs {
		prev := least
		for range n {
			dst = binary.AppendUvarint(dst, uint64(times[i]-prev)/unit)
			prev = times[i]
			i++
		}
	}
	return dst
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// decodeTimes appends the times to dst.
func decodeTimes(dst []int64, data []byte, runs []blockRun, least int64) ([]int64, error) {
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
