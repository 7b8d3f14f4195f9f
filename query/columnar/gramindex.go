package columnar

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

// A gram index says which pieces of four bytes, grams, are in the lines of a block,
// so that a search for a text opens only the blocks that can have it. A text whose
// every gram is in a block need not be there; one with a gram that is not there is
// not. It is a section behind the blocks that it is about: so many before it as it
// says.
//
//	size   uint32  of the head, with its checksum
//	head
//	  blocks uvarint
//	  pages  gramPages times: uvarint size, then CRC-32C
//	  crc    uint32  CRC-32C of the size and the head so far
//	pages, each compressed with zstd: gramPageBytes for each block
//
// The bits of a block are gramSlots, one for each value of a gram's hash. The first
// gramTextSlots are of grams without a digit, and of three digits after or before a
// space, because status codes are searched for. The others are of hexadecimal
// numbers, which are many where ids are. Bitmaps that are too full to be of use have
// all bits set. Left out are decimal numbers, of which most blocks have nearly all
// with four digits, and other texts with a digit in them, which are as many and say
// little. A page has the same few slots of all blocks, those of texts as difference
// (xor) to the block before it, which as a rule is of the same stream and has the
// same words.
const (
	gramSize      = 4
	gramTextSlots = 1 << 16
	gramHexSlots  = 1 << 14
	gramSlots     = gramTextSlots + gramHexSlots
	gramWords     = gramSlots / 64
	gramPageSlots = 1 << 11
	gramPages     = gramSlots / gramPageSlots
	gramPageWords = gramPageSlots / 64
	gramPageBytes = gramPageSlots / 8

	// maxTextGrams and maxHexGrams are how many bits may be set. Fuller bitmaps would
	// rule out hardly a block; numbers are mostly searched for by many digits, of which
	// all grams must be there.
	maxTextGrams = gramTextSlots * 3 / 8
	maxHexGrams  = gramHexSlots * 3 / 4
	// maxGramBlocks bounds the memory of writing an index at 10 KiB a block.
	maxGramBlocks = 64
	// minGramText is how many bytes of lines are worth an index: fewer are searched
	// faster than it is read.
	minGramText = 64 << 10
	// maxLiteralGrams is how many grams of a literal are looked up.
	maxLiteralGrams = 12
)

// Classes of bytes, as far as grams go.
const (
	gramOther = iota // of no hexadecimal number
	gramSpace
	gramLetter
	gramDigit
)

var gramClass = func() (t [256]uint8) {
	t[' '] = gramSpace
	for c := byte('0'); c <= '9'; c++ {
		t[c] = gramDigit
	}
	for c := byte('a'); c <= 'f'; c++ {
		t[c] = gramLetter
	}
	return t
}()

// gramLeftOut is where the bits of grams go that are left out, behind all others.
const gramLeftOut = gramSlots

// gramFirst is where the slots of grams with these classes of bytes, two bits each,
// begin, and gramMask which bits of a hash count there.
var gramFirst, gramMask = func() (first, mask [256]uint32) {
	for state := range first {
		var count [4]int
		for i := range gramSize {
			count[state>>(2*i)&3]++
		}
		mask[state] = gramHexSlots - 1
		switch {
		case count[gramDigit] == gramSize:
			first[state] = gramLeftOut
		case count[gramDigit] > 0 && count[gramDigit]+count[gramLetter] == gramSize:
			first[state] = gramTextSlots
		case count[gramDigit] > 0 && !(count[gramDigit] == gramSize-1 && count[gramSpace] == 1):
			first[state] = gramLeftOut
		default:
			mask[state] = gramTextSlots - 1
		}
	}
	return first, mask
}()

// gramSlot is the place of the bit of a gram, first byte lowest, with these classes
// of bytes, first byte highest.
func gramSlot(gram uint32, state uint8) uint32 {
	return gram*0x9e3779b1>>16&gramMask[state] | gramFirst[state]
}

// eachGram calls fn for the slots of the grams in the text that are not left out.
func eachGram(text string, fn func(slot uint32)) {
	gram, state := uint32(0), uint8(0)
	for i := range len(text) {
		c := text[i]
		gram, state = gram>>8|uint32(c)<<24, state<<2|gramClass[c]
		if i >= gramSize-1 && gramFirst[state] != gramLeftOut {
			fn(gramSlot(gram, state))
		}
	}
}

// gramWriter gathers the gram indexes of a part while its blocks are built.
type gramWriter struct {
	// words are the bits of all blocks. Those of the block being built are the last
	// gramScratch words, of which the first gramWords count; others are of grams that are left out.
	words  []uint64
	blocks int // finished ones
	text   int // bytes of lines
}

const gramScratch = 1 << 11

// line notes the grams of a line of the block being built. It has no branch by what
// a gram is, and none by whether its bit is set: with either, which cannot be
// foretold, it took up to half as long again, and it is the greater part of what the
// index costs, about 2 s of CPU time per GB of lines.
func (w *gramWriter) line(line string) {
	if n := w.blocks*gramWords + gramScratch; len(w.words) < n {
		w.words = append(w.words, make([]uint64, n-len(w.words))...)
	}
	w.text += len(line)
	if len(line) < gramSize {
		return
	}
	bits := (*[gramScratch]uint64)(w.words[w.blocks*gramWords:])
	gram, state := uint32(0), uint8(0)
	for i := range gramSize - 1 {
		c := line[i]
		gram, state = gram>>8|uint32(c)<<24, state<<2|gramClass[c]
	}
	rest := line[gramSize-1:]
	for i := range len(rest) {
		c := rest[i]
		gram, state = gram>>8|uint32(c)<<24, state<<2|gramClass[c]
		slot := gramSlot(gram, state)
		bits[slot/64%gramScratch] |= 1 << (slot % 64)
	}
}

// finish ends the block.
func (w *gramWriter) finish() {
	block := w.words[w.blocks*gramWords:]
	fill(block[:gramTextSlots/64], maxTextGrams)
	fill(block[gramTextSlots/64:gramWords], maxHexGrams)
	clear(block[gramWords:])
	w.blocks++
}

// fill sets all bits when more than limit are set.
func fill(words []uint64, limit int) {
	set := 0
	for _, x := range words {
		set += bits.OnesCount64(x)
	}
	if set <= limit {
		return
	}
	for i := range words {
		words[i] = math.MaxUint64
	}
}

func (w *gramWriter) full() bool { return w.blocks >= maxGramBlocks }

// section appends the index of the blocks finished since the last one, or nothing
// when it is not worth it.
func (w *gramWriter) section(dst []byte, enc *zstd.Encoder) []byte {
	if w.text >= minGramText {
		dst = w.append(dst, enc)
	}
	clear(w.words)
	w.blocks, w.text = 0, 0
	return dst
}

func (w *gramWriter) append(dst []byte, enc *zstd.Encoder) []byte {
	var data []byte
	raw := make([]byte, 0, w.blocks*gramPageBytes)
	head := binary.AppendUvarint(nil, uint64(w.blocks))
	for page := range gramPages {
		raw = raw[:0]
		for b := range w.blocks {
			at := b*gramWords + page*gramPageWords
			for i, x := range w.words[at : at+gramPageWords] {
				if b > 0 && page < gramTextSlots/gramPageSlots {
					x ^= w.words[at-gramWords+i]
				}
				raw = binary.LittleEndian.AppendUint64(raw, x)
			}
		}
		start := len(data)
		data = enc.EncodeAll(raw, data)
		head = binary.AppendUvarint(head, uint64(len(data)-start))
		head = binary.LittleEndian.AppendUint32(head, checksum(data[start:]))
	}
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(head)+4))
	dst = append(dst, head...)
	dst = binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
	return append(dst, data...)
}

// gramIndex is the decoded head of a section.
type gramIndex struct {
	blocks  int
	offsets [gramPages + 1]int64 // of the pages in the file, and the end of the last one
	crcs    [gramPages]uint32
}

// gramIndexMemory is how many bytes a decoded head takes.
const gramIndexMemory = 12*gramPages + 64

// maxGramHead is the size of the biggest head.
const maxGramHead = 4 + binary.MaxVarintLen64 + gramPages*(binary.MaxVarintLen64+4) + 4

// decodeGramIndex reads the head of a section that lies at offset, has so many
// bytes, and comes behind so many blocks. data starts with the head.
func decodeGramIndex(data []byte, offset, size int64, after int) (*gramIndex, error) {
	n := valueHeadSize(data)
	if n < 8 || n > int64(len(data)) || n > size {
		return nil, fmt.Errorf("gram index: %w", errBadLength)
	}
	if checksum(data[:n-4]) != binary.LittleEndian.Uint32(data[n-4:]) {
		return nil, fmt.Errorf("gram index: %w", errChecksum)
	}
	d := decoder{b: data[4 : n-4]}
	x := &gramIndex{}
	blocks := d.uvarint()
	if blocks == 0 || blocks > maxGramBlocks || blocks > uint64(after) {
		d.fail(errBadLength)
	}
	x.blocks = int(blocks)
	at := uint64(n)
	for i := range x.crcs {
		x.offsets[i] = offset + int64(at)
		if at += d.uvarint(); at > uint64(size) {
			d.fail(errBadLength)
			break
		}
		x.crcs[i] = d.uint32()
	}
	x.offsets[gramPages] = offset + int64(at)
	if d.err == nil && (d.left() != 0 || at != uint64(size)) {
		d.err = errBadLength
	}
	if d.err != nil {
		return nil, fmt.Errorf("gram index: %w", d.err)
	}
	return x, nil
}

// without clears the blocks of may whose bit of the slot, in its uncompressed page,
// is not set, and reports whether any is left.
func (x *gramIndex) without(may []bool, page []byte, slot uint32) bool {
	at, bit := int(slot%gramPageSlots/8), slot%8
	any := false
	last := byte(0)
	for b := range may {
		v := page[b*gramPageBytes+at]
		if slot < gramTextSlots {
			v ^= last
			last = v
		}
		may[b] = may[b] && v>>bit&1 != 0
		any = any || may[b]
	}
	return any
}
