package bench

// maxLogCopies is how many permutations permuteIDs has.
const maxLogCopies = 16

// multipliers are odd, so that multiplying by one of them modulo 16 is a permutation.
var multipliers = [8]int{1, 3, 5, 7, 9, 11, 13, 15}

// permuteIDs replaces the digits of every hexadecimal id in s, as trace ids and
// UUIDs, by a permutation of them that differs for each copy. So copies have ids of
// their own, and are as hard to compress as other real data would be. Copy 0 is s.
func permuteIDs(s string, copyNo int) string {
	if copyNo == 0 {
		return s
	}
	const digits = "0123456789abcdef"
	const shortest = 16 // bytes; anything shorter may be a number or a word
	multiplier := multipliers[copyNo%len(multipliers)]
	var out []byte
	for i := 0; i < len(s); i++ {
		start := i
		for i < len(s) && isIDByte(s[i]) {
			i++
		}
		if i-start < shortest {
			continue
		}
		if out == nil {
			out = []byte(s)
		}
		for x := start; x < i; x++ {
			if c := out[x]; c != '-' {
				out[x] = digits[(hexValue(c)*multiplier+copyNo)&15]
			}
		}
	}
	if out == nil {
		return s
	}
	return string(out)
}

func isIDByte(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c == '-' }

func hexValue(c byte) int {
	if c >= 'a' {
		return int(c-'a') + 10
	}
	return int(c - '0')
}

// copyLetters names a copy: a, b, … z, ba, …
func copyLetters(copyNo int) string {
	if copyNo < 26 {
		return string(rune('a' + copyNo))
	}
	return copyLetters(copyNo/26) + copyLetters(copyNo%26)
}

// mix is the finalizer of SplitMix64: a bijection of 64 bits whose every output bit
// depends on every input bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
