package shred

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// Numbers are, in Main,
//
//	mode   byte     0: as they are, 1: differences to the number before (zigzag)
//	base   varint   the least number; in mode 1 the first one
//	unit   uvarint  what is kept is a multiple of it
//	width  byte     0 to 8
//	raw    byte     bit p: plane p lies in IDs
//
// and width planes: the lowest byte of each number, then the next one of each, so
// that bytes which are alike lie together. A plane as good as random lies in IDs,
// where it costs no attempt to compress it and does not spoil the statistics of
// the others; the rest lie in Indexes.
type numbers struct {
	steps bool
	base  int64
	unit  uint64
	width int
	raw   byte

	indexesAt, idsAt int // of the first plane in its section
}

// rawEntropy is from how many bits a byte on a plane is taken for random, rawRows
// from how many bytes on that can be told.
const (
	rawEntropy = 7.6
	rawRows    = 512
)

// Numbers appends numbers, of which there must be one at least.
func (e *Encoder) Numbers(dst *Sections, values []int64) {
	least, most := values[0], values[0]
	leastStep, mostStep, wild := int64(0), int64(0), false
	for i, v := range values {
		least, most = min(least, v), max(most, v)
		if i > 0 {
			step := v - values[i-1]
			wild = wild || (v > values[i-1]) != (step > 0)
			leastStep, mostStep = min(leastStep, step), max(mostStep, step)
		}
	}
	unit := uint64(0)
	for _, v := range values {
		if unit = gcd(unit, uint64(v)-uint64(least)); unit == 1 {
			break
		}
	}
	unit = max(unit, 1)
	width := planeWidth((uint64(most) - uint64(least)) / unit)
	if u := int64(unit); !wild && u > 0 {
		narrow := planeWidth(max(zigzag(mostStep/u), zigzag(leastStep/u)))
		if narrow < width || narrow == width && width > 0 && stepsAreTamer(values, least, u) {
			dst.Main = append(dst.Main, 1)
			dst.Main = binary.AppendVarint(dst.Main, values[0])
			e.planes(dst, len(values), unit, narrow, func(i int) uint64 {
				return zigzag((values[i] - values[max(i-1, 0)]) / u)
			})
			return
		}
	}
	dst.Main = append(dst.Main, 0)
	dst.Main = binary.AppendVarint(dst.Main, least)
	e.planes(dst, len(values), unit, width, func(i int) uint64 { return (uint64(values[i]) - uint64(least)) / unit })
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// planeWidth is how many bytes the greatest number takes.
func planeWidth(most uint64) int { return (bits.Len64(most) + 7) / 8 }

// planes appends the rest of the description, and the planes.
func (e *Encoder) planes(dst *Sections, n int, unit uint64, width int, number func(i int) uint64) {
	e.plane = appendPlanes(e.plane[:0], n, width, number)
	raw := byte(0)
	for p := range width {
		plane := e.plane[p*n : (p+1)*n]
		if Random(plane) {
			raw |= 1 << p
			dst.IDs = append(dst.IDs, plane...)
		} else {
			dst.Indexes = append(dst.Indexes, plane...)
		}
	}
	dst.Main = binary.AppendUvarint(dst.Main, unit)
	dst.Main = append(dst.Main, byte(width), raw)
}

func appendPlanes(dst []byte, n, width int, number func(i int) uint64) []byte {
	at := len(dst)
	dst = slices.Grow(dst, n*width)[:at+n*width]
	for i := range n {
		v := number(i)
		for p := range width {
			dst[at+p*n+i] = byte(v)
			v >>= 8
		}
	}
	return dst
}

// Random reports whether no compressor will gain by the bytes. Of a few bytes that
// cannot be told.
func Random(data []byte) bool {
	if len(data) < rawRows {
		return false
	}
	var counts [256]int
	for _, b := range data {
		counts[b]++
	}
	return entropy(&counts) >= rawEntropy*float64(len(data))
}

// stepsAreTamer compares the order-0 entropy of the lowest bytes.
func stepsAreTamer(values []int64, least, unit int64) bool {
	var plain, steps [256]int
	for i, v := range values {
		plain[byte((uint64(v)-uint64(least))/uint64(unit))]++
		if i > 0 {
			steps[byte(zigzag((v-values[i-1])/unit))]++
		}
	}
	return entropy(&steps) < entropy(&plain)*0.95
}

// entropy is the bits that so many bytes of each value take.
func entropy(counts *[256]int) float64 {
	total, sum := 0, 0.0
	for _, n := range counts {
		if n > 0 {
			total += n
			sum -= float64(n) * math.Log2(float64(n))
		}
	}
	if total > 0 {
		sum += float64(total) * math.Log2(float64(total))
	}
	return sum
}

// describe reads the description of n numbers.
func (x *numbers) describe(r *reader, n int) {
	mode := r.byte()
	*x = numbers{steps: mode == 1, base: r.varint(), unit: r.uvarint(), width: int(r.byte()), raw: r.byte()}
	if mode > 1 || x.width > 8 || x.raw>>x.width != 0 {
		r.bad = true
		return
	}
	raw := bits.OnesCount8(x.raw)
	x.idsAt = r.take(&r.ids, uint64(n)*uint64(raw))
	x.indexesAt = r.take(&r.indexes, uint64(n)*uint64(x.width-raw))
}

// excludes reports that the value is outside what the planes can hold.
func (x *numbers) excludes(v int64) bool {
	if x.steps || x.width >= 7 {
		return false
	}
	over, most := bits.Mul64(1<<(8*x.width)-1, x.unit)
	return v < x.base || over == 0 && uint64(v)-uint64(x.base) > most
}

// load appends the n numbers to dst. The sections were checked to have them; ids
// are needed only if planes lie there.
func (x *numbers) load(dst []int64, n int, indexes, ids []byte) []int64 {
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	out := dst[at:]
	clear(out)
	indexes = indexes[x.indexesAt:]
	if x.raw != 0 {
		ids = ids[x.idsAt:]
	}
	for p := range x.width {
		var plane []byte
		if x.raw>>p&1 != 0 {
			plane, ids = ids[:n], ids[n:]
		} else {
			plane, indexes = indexes[:n], indexes[n:]
		}
		for i, b := range plane {
			out[i] |= int64(b) << (8 * p)
		}
	}
	if !x.steps {
		for i, v := range out {
			out[i] = x.base + int64(uint64(v)*x.unit)
		}
		return dst
	}
	v := x.base
	for i, s := range out {
		v += unzigzag(uint64(s)) * int64(x.unit)
		out[i] = v
	}
	return dst
}

// DecodeNumbers appends the n numbers of the sections to dst.
func DecodeNumbers(dst []int64, s *Sections, n int) ([]int64, error) {
	r := reader{b: s.Main}
	var x numbers
	x.describe(&r, n)
	if err := r.done(s); err != nil {
		return dst, err
	}
	return x.load(dst, n, s.Indexes, s.IDs), nil
}
