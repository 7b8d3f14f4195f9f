package columnar

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// gramText is a text of a kind that lines have.
func gramText(random *rand.Rand) string {
	words := []string{"GET", "/api/v1/orders/", " 200 ", " 500 ", "Failed!", "tripId: D13", "ERROR", "=", "\"", "-", "é", "\xff\x00", "cafe", "1674000000"}
	var b strings.Builder
	for range random.IntN(12) {
		switch random.IntN(4) {
		case 0:
			fmt.Fprintf(&b, "%x", random.Uint64N(1<<(4*random.IntN(12))))
		case 1:
			fmt.Fprint(&b, random.IntN(100_000))
		default:
			b.WriteString(words[random.IntN(len(words))])
		}
	}
	return b.String()
}

// blocksWith is the blocks of a section that may hold the literal.
func blocksWith(t *testing.T, x *gramIndex, data []byte, codec *blockCodec, literal string) []bool {
	may := make([]bool, x.blocks)
	for b := range may {
		may[b] = true
	}
	for _, slot := range literalGrams(literal) {
		page := int(slot / gramPageSlots)
		stored := data[x.offsets[page]:x.offsets[page+1]]
		require.Equal(t, x.crcs[page], checksum(stored))
		raw, err := codec.decompress(nil, stored, methodZstd, x.blocks*gramPageBytes)
		require.NoError(t, err)
		x.without(may, raw, slot)
	}
	return may
}

// TestGramIndex checks that no block with a text is missed, whatever the text, and
// that most blocks without it are ruled out.
func TestGramIndex(t *testing.T) {
	random := seededRand(t)
	codec, err := newBlockCodec()
	require.NoError(t, err)
	var w gramWriter
	ruledOut := 0
	for _, blocks := range []int{1, 2, 7, maxGramBlocks} {
		var lines [][]string
		for b := range blocks {
			n := 1 + random.IntN(40)
			if b%3 == 2 {
				n = 4000 // too full
			}
			var own []string
			for range n {
				own = append(own, gramText(random))
				w.line(own[len(own)-1])
			}
			w.finish()
			lines = append(lines, own)
		}
		require.Equal(t, blocks == maxGramBlocks, w.full())
		w.text = minGramText
		data := w.section([]byte("before"), codec.flush)[6:]
		x, err := decodeGramIndex(data, 0, int64(len(data)), blocks)
		require.NoError(t, err)
		require.Equal(t, blocks, x.blocks)
		for range 500 {
			b := random.IntN(blocks)
			line := lines[b][random.IntN(len(lines[b]))]
			from := random.IntN(len(line) + 1)
			literal := line[from : from+random.IntN(len(line)-from+1)]
			require.True(t, blocksWith(t, x, data, codec, literal)[b], "%q in %q", literal, line)
		}
		for b, may := range blocksWith(t, x, data, codec, "nowhere to be found") {
			require.False(t, may, "block %d of %d", b, blocks)
			ruledOut++
		}
	}
	require.Positive(t, ruledOut)
	// What is not worth an index has none, and leaves nothing behind.
	w.line("a short line")
	w.finish()
	require.Empty(t, w.section(nil, codec.flush))
	require.Equal(t, make([]uint64, len(w.words)), w.words)
}

func TestGramFill(t *testing.T) {
	random := seededRand(t)
	var w gramWriter
	for range 40_000 {
		w.line(fmt.Sprintf("%x", random.Uint64()))
	}
	w.line("some words")
	w.finish()
	slots := literalGrams("da74a0f87")
	require.Len(t, slots, 6)
	for _, s := range slots {
		require.GreaterOrEqual(t, s, uint32(gramTextSlots))
		require.NotZero(t, w.words[s/64]>>(s%64)&1, "too many numbers: any may be there")
	}
	words := literalGrams("other")
	require.Len(t, words, 2)
	for _, s := range words {
		require.Less(t, s, uint32(gramTextSlots))
		require.Zero(t, w.words[s/64]>>(s%64)&1)
	}
	require.Empty(t, literalGrams("12345678"))
	require.Empty(t, literalGrams("abc"))
	require.Empty(t, literalGrams("a=1 b=2"))
	require.Len(t, literalGrams(" 500 "), 2)
	require.LessOrEqual(t, len(literalGrams(strings.Repeat("many different words ", 50))), maxLiteralGrams)
}

func FuzzGramIndex(f *testing.F) {
	codec, err := newBlockCodec()
	require.NoError(f, err)
	var w gramWriter
	for range 3 {
		w.line("a line of a program")
		w.finish()
	}
	w.text = minGramText
	data := w.section(nil, codec.flush)
	f.Add(data[:valueHeadSize(data)])
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := decodeGramIndex(data, 0, 1<<20, 5)
		if err != nil {
			return
		}
		require.LessOrEqual(t, x.blocks, 5)
		for i := range gramPages {
			require.LessOrEqual(t, x.offsets[i], x.offsets[i+1])
		}
		require.LessOrEqual(t, x.offsets[gramPages], int64(1<<20))
	})
}
