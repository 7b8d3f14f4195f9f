package columnar

import (
	"math"
	"math/bits"
)

// sketch estimates how many different values were seen, within about 7% (HyperLogLog
// by Flajolet, Fusy, Gandouet and Meunier, 2007, with 256 registers). Sketches of
// parts of the data merge into the sketch of all of it.
type sketch [256]byte

// add notes the hash of a value.
func (s *sketch) add(hash uint64) {
	i := hash >> 56
	s[i] = max(s[i], byte(bits.LeadingZeros64(hash<<8|1<<7)+1))
}

func (s *sketch) merge(o *sketch) {
	for i := range s {
		s[i] = max(s[i], o[i])
	}
}

func (s *sketch) estimate() int64 {
	const m = float64(len(s))
	sum, zeros := 0.0, 0.0
	for _, r := range s {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			zeros++
		}
	}
	e := 0.7213 / (1 + 1.079/m) * m * m / sum
	if e <= 2.5*m && zeros > 0 {
		e = m * math.Log(m/zeros) // counting empty registers is better for few values
	}
	return int64(math.Round(e))
}
