package columnar

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func seededRand(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

func TestHexRuns(t *testing.T) {
	re := regexp.MustCompile(`[0-9a-fA-F]{16,}`)
	random := seededRand(t)
	check := func(line string) {
		var got [][]int
		hexRuns(line, func(start, end int) { got = append(got, []int{start, end}) })
		require.Equal(t, re.FindAllStringIndex(line, -1), got, "%q", line)
	}
	check("")
	check("0123456789abcdef")
	check("0123456789abcde")
	check("TraceID: 0123456789abcdefABCDEF0123456789 SpanID: 0123456789abcdef")
	for range 5000 {
		b := make([]byte, random.IntN(120))
		for i := range b {
			b[i] = "0123456789abcdefABCDEF0123456789abcdef g"[random.IntN(38+random.IntN(3))]
		}
		check(string(b))
	}
}

func TestBlockList(t *testing.T) {
	random := seededRand(t)
	for range 2000 {
		want := map[uint64]bool{}
		dense := random.IntN(3) > 0
		for range 1 + random.IntN(40) {
			from := random.Uint64N(1 << blockBits)
			n := uint64(1)
			if dense {
				n = 1 + random.Uint64N(20)
			}
			for i := from; i < min(from+n, 1<<blockBits); i++ {
				want[i] = true
			}
		}
		var list []uint32
		for b := range want {
			list = append(list, uint32(b))
		}
		slices.Sort(list)
		d := decoder{b: appendBlockList(nil, list)}
		got := map[uint64]bool{}
		readBlockList(&d, func(from, to uint64) {
			for ; from < to; from++ {
				require.False(t, got[from])
				got[from] = true
			}
		})
		require.NoError(t, d.err)
		require.Zero(t, d.left())
		require.Equal(t, want, got)
	}
}

// TestValueIndex checks that no key is missed, and that few are found that are not
// there.
func TestValueIndex(t *testing.T) {
	random := seededRand(t)
	for _, n := range []int{0, 1, 100, 5000, 60_000} {
		keys := map[uint64]map[int]bool{}
		var pairs []uint64
		for range n {
			k := valueHash(nameHash("user"), fmt.Sprint(random.IntN(n)))
			if keys[k] == nil {
				keys[k] = map[int]bool{}
			}
			b := random.IntN(min(1<<blockBits, 1+n/100))
			keys[k][b] = true
			pairs = append(pairs, blockKey(k, b), blockKey(k, b))
		}
		data := appendValueIndex([]byte("before"), pairs)[6:]
		x, err := decodeValueIndex(data, 1000, int64(len(data)))
		require.NoError(t, err)
		find := func(k uint64) map[int]bool {
			offset, size, crc := x.page(k)
			page := data[offset-1000:][:size]
			require.Equal(t, crc, checksum(page))
			got := map[int]bool{}
			require.NoError(t, x.find(page, k, func(from, to uint64) {
				for ; from < to; from++ {
					got[int(from)] = true
				}
			}))
			return got
		}
		more := 0
		for k, blocks := range keys {
			got := find(k)
			for b := range blocks {
				require.True(t, got[b], "%d keys", n)
			}
			more += len(got) - len(blocks)
		}
		wrong := 0
		for i := range 2000 {
			wrong += len(find(valueHash(nameHash("absent"), fmt.Sprint(i))))
		}
		require.Less(t, wrong, 2000/10)
		require.LessOrEqual(t, more, n/10)
		if n > 0 {
			t.Logf("%d keys: %.2f bytes each, %d wrong of 2000", n, float64(len(data))/float64(n), wrong)
		}
	}
}

func FuzzValueIndex(f *testing.F) {
	var pairs []uint64
	for i := range 600 {
		pairs = append(pairs, blockKey(mixHash(uint64(i)), i%7), blockKey(mixHash(uint64(i%50)), i%300))
	}
	f.Add(appendValueIndex(nil, pairs), uint64(7))
	f.Add(appendValueIndex(nil, nil), uint64(7))
	f.Fuzz(func(t *testing.T, data []byte, key uint64) {
		x, err := decodeValueIndex(data, 0, int64(len(data)))
		if err == nil {
			offset, size, _ := x.page(key)
			_ = x.find(data[offset:][:size], key, func(uint64, uint64) {})
		}
		// Pages are found in any bytes, too.
		x = &valueIndex{}
		_ = x.find(data, key, func(uint64, uint64) {})
	})
}

func BenchmarkHexRuns(b *testing.B) {
	line := "18:20:47.850 INFO  p.c.PreserveController#35 TraceID: fcb23d04a51880ef0ff907e007463530 SpanID: 415a202e87983146 [preserve][Preserve Account order][from shanghai to suzhou at 2023-01-29]"
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		n := 0
		hexRuns(line, func(int, int) { n++ })
		if n != 2 {
			b.Fatal(n)
		}
	}
}

func FuzzRollup(f *testing.F) {
	r := rollup{names: map[string]*rollupName{
		"status": {
			values: []FieldValue{{Value: "200", Type: Int}, {Value: "ok"}},
			blocks: []rollupBlock{
				{block: 1, about: 1<<Int | rollupRange | rollupListed, rows: 3, distinct: 1, least: 200, latest: 200, listed: []listedValue{{0, 3}}},
				{block: 5, about: 1, rows: 9, distinct: 9},
			},
			sketch: &sketch{1, 2, 3},
		},
		"": {blocks: []rollupBlock{{about: 1 << JSON, rows: 1, distinct: 1}}},
	}}
	data := r.append(nil)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRollup(data)
		if err != nil {
			return
		}
		again, err := decodeRollup(r.append(nil))
		require.NoError(t, err)
		require.Len(t, again.names, len(r.names))
	})
}

func TestSketch(t *testing.T) {
	for _, n := range []int{0, 1, 10, 100, 1000, 100_000} {
		var a, b sketch
		for i := range n {
			h := mixHash(valueHash(nameHash("x"), fmt.Sprint(i)))
			a.add(h)
			b.add(h)
		}
		a.merge(&b)
		require.InEpsilon(t, n+1, a.estimate()+1, 0.3, "%d values", n)
	}
}
