package shred

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
)

// Ids.

// maxIDBytes bounds one id, which fits its shape byte.
const maxIDBytes = 255

// uuidShape is the shape of 8-4-4-4-12 digits.
const uuidShape = 0

// idShape is the shape that all values have, or -1.
func idShape(t *texts) int {
	first := t.at(0)
	shape := -1
	switch n := len(first); {
	case isUUID(first):
		shape = uuidShape
	case n >= minID && n%2 == 0 && n/2 <= maxIDBytes && isHex(first):
		shape = n / 2
	default:
		return -1
	}
	for i := range t.spans {
		v := t.at(i)
		if len(v) != len(first) || shape == uuidShape && !isUUID(v) || shape != uuidShape && !isHex(v) {
			return -1
		}
	}
	return shape
}

// idBytes is the size of a packed id of the shape.
func idBytes(shape int) int {
	if shape == uuidShape {
		return 16
	}
	return shape
}

const notHex = 0xff

var hexDigits = func() (t [256]byte) {
	for c := range t {
		t[c] = notHex
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i)
	}
	return t
}()

// isHex reports whether there are only lower-case hexadecimal digits.
func isHex(v []byte) bool {
	for _, c := range v {
		if hexDigits[c] == notHex {
			return false
		}
	}
	return true
}

func isUUID(v []byte) bool {
	return len(v) == 36 && v[8] == '-' && v[13] == '-' && v[18] == '-' && v[23] == '-' &&
		isHex(v[:8]) && isHex(v[9:13]) && isHex(v[14:18]) && isHex(v[19:23]) && isHex(v[24:])
}

// packID appends the id's bytes.
func packID(dst, v []byte) []byte {
	high := byte(notHex)
	for _, c := range v {
		d := hexDigits[c]
		switch {
		case d == notHex: // the hyphens of a uuid
		case high == notHex:
			high = d
		default:
			dst = append(dst, high<<4|d)
			high = notHex
		}
	}
	return dst
}

// unpackID appends the id's text.
func unpackID(dst, id []byte, shape int) []byte {
	if shape != uuidShape {
		return hex.AppendEncode(dst, id)
	}
	dst = hex.AppendEncode(dst, id[:4])
	for _, at := range []int{4, 6, 8} {
		dst = append(dst, '-')
		dst = hex.AppendEncode(dst, id[at:at+2])
	}
	dst = append(dst, '-')
	return hex.AppendEncode(dst, id[10:])
}

func (e *Encoder) idColumn(dst *Sections, t *texts, shape int) {
	clear(e.dict)
	e.order, e.indexes = e.order[:0], e.indexes[:0]
	last, lastIndex := []byte(nil), uint32(0)
	for i, s := range t.spans {
		v := t.text[s.start:s.end]
		if i > 0 && string(v) == string(last) {
			e.indexes = append(e.indexes, lastIndex)
			continue
		}
		at, ok := e.dict[string(v)]
		if !ok {
			at = uint32(len(e.order))
			e.dict[viewString(v)] = at
			e.order = append(e.order, s)
		}
		e.indexes = append(e.indexes, at)
		last, lastIndex = v, at
	}
	count := len(e.order)
	if count == len(t.spans) {
		count = 0
	}
	dst.Main = append(dst.Main, kindID, byte(shape))
	dst.Main = binary.AppendUvarint(dst.Main, uint64(count))
	for _, s := range e.order {
		dst.IDs = packID(dst.IDs, t.text[s.start:s.end])
	}
	if count > 0 {
		e.appendIndexes(dst)
	}
}

// Integers.

// integerForm is what all values of a column of integers have in common.
type integerForm struct {
	prefix, suffix []byte
	digits         int // 0: no leading zeros
}

// maxDigits is how many digits always fit an int64.
const maxDigits = 18

// integers leaves the numbers in e.numbers if all values are the same but for one
// run of decimal digits.
func (e *Encoder) integers(t *texts) (integerForm, bool) {
	first := t.at(0)
	start := 0
	for start < len(first) && classes[first[start]] != classDigit {
		start++
	}
	end := start
	for end < len(first) && classes[first[end]] == classDigit {
		end++
	}
	f := integerForm{prefix: first[:start], suffix: first[end:], digits: end - start}
	if f.digits == 0 || f.digits > maxDigits {
		return f, false
	}
	e.numbers = e.numbers[:0]
	canonical, fixed := true, true
	for i := range t.spans {
		v := t.at(i)
		n := len(v) - len(f.prefix) - len(f.suffix)
		if n < 1 || n > maxDigits || string(v[:len(f.prefix)]) != string(f.prefix) || string(v[len(f.prefix)+n:]) != string(f.suffix) {
			return f, false
		}
		number := int64(0)
		for _, c := range v[len(f.prefix) : len(f.prefix)+n] {
			if classes[c] != classDigit {
				return f, false
			}
			number = number*10 + int64(c-'0')
		}
		canonical = canonical && (n == 1 || v[len(f.prefix)] != '0')
		fixed = fixed && n == f.digits
		if !canonical && !fixed {
			return f, false
		}
		e.numbers = append(e.numbers, number)
	}
	if canonical {
		f.digits = 0
	}
	return f, true
}

// appendInteger appends the number with so many digits, or as few as it needs.
func appendInteger(dst []byte, v int64, digits int) []byte {
	if digits == 0 {
		return strconv.AppendInt(dst, v, 10)
	}
	at := len(dst)
	for range digits {
		dst = append(dst, '0')
	}
	// What does not fit, which only damaged data has, is cut off.
	for u := uint64(v); u > 0 && digits > 0; u /= 10 {
		digits--
		dst[at+digits] = byte('0' + u%10)
	}
	return dst
}
