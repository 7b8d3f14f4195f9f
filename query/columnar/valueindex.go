package columnar

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// A value index says which blocks of a part may hold a value, so that a search for
// a trace id or for any attribute reads a few hundred bytes and then only the
// blocks that have it. It is a section behind the blocks that it is about: all
// since the value index before it.
//
//	size   uint32  of the head, with its checksum
//	head
//	  bits   byte    number of pages as a power of two
//	  pages  for each: uvarint size, then CRC-32C
//	  crc    uint32  CRC-32C of the size and the head so far
//	pages
//
// Its keys are 64-bit hashes. The first bits of a hash choose the page and the
// remainderBits after them the entry:
//
//	remainder uvarint  difference to the entry before
//	block     uvarint  first block, counted from the section's first, times 4 plus a
//	                   mode
//	rest      mode 0: nothing. Mode 1, a list: uvarint number of further blocks, then
//	          the difference to the block before, minus 1, of each. Mode 2, ranges:
//	          uvarint number of further blocks behind the first one, uvarint number of
//	          further ranges, and for each: blocks left out minus 1, blocks minus 1
//
// The remainder is cut short, so a key may seem to be there that is not: about one
// time in 64 some block is opened in vain. What is there is always found.
//
// The keys of a block are
//
//   - a hash of each run of at least minID hexadecimal digits in its lines, and of
//     each field value that is such a run as a whole, under whatever name; of a run
//     that is longer than traceDigits but shorter than unknownDigits, each piece of
//     traceDigits as well, so that trace ids are always found
//   - a hash of name and value for every other field value
//   - for a name whose values are left out, because there would be more keys than a
//     block of so many rows may have, a key that says so: the block may hold any
//     value. Lines have such a key, too.
const (
	remainderBits = 14
	// pageKeys is about how many keys a page has, which makes its remainders differ
	// by 64 on average and so take one byte each.
	pageKeys = 256
	// segmentKeys is how many (key, block) pairs are gathered for one section; it
	// bounds the memory of writing a part at 8 bytes each.
	segmentKeys = 256 << 10
	// blockBits is how many blocks a section may be about, as a power of two.
	blockBits = 12
	// minID is the least number of hexadecimal digits that make an id.
	minID = 16
	// traceDigits are those of a trace id.
	traceDigits = 32
)

// The kinds of sections of a part.
const (
	sectionValues byte = 1
	sectionRollup byte = 2
	sectionGrams  byte = 3
)

// The modes of an entry.
const (
	modeOne = iota
	modeList
	modeRanges
)

// hexDigit says which bytes are hexadecimal digits, of either case.
var hexDigit = func() (t [256]bool) {
	for _, c := range "0123456789abcdefABCDEF" {
		t[c] = true
	}
	return t
}()

// hexRuns calls fn for the longest possible runs of at least minID hexadecimal
// digits. It looks at one byte in minID as long as there is none.
func hexRuns(s string, fn func(start, end int)) {
	for i := minID - 1; i < len(s); i += minID {
		if !hexDigit[s[i]] {
			continue
		}
		start, end := i, i+1
		for start > 0 && hexDigit[s[start-1]] {
			start--
		}
		for end < len(s) && hexDigit[s[end]] {
			end++
		}
		if end-start >= minID {
			fn(start, end)
		}
		i = end
	}
}

// isID reports whether the whole value is an id.
func isID(v string) bool {
	if len(v) < minID {
		return false
	}
	for i := range len(v) {
		if !hexDigit[v[i]] {
			return false
		}
	}
	return true
}

// nameHash is what distinguishes equal values of different names.
func nameHash(name string) uint64 { return xxhash.Sum64String(name)*2 + 1 }

// idHash is the key of an id.
func idHash(id string) uint64 { return xxhash.Sum64String(id) }

// valueHash is the key of a field's value.
func valueHash(name uint64, value string) uint64 {
	if isID(value) {
		return idHash(value)
	}
	return mixHash(xxhash.Sum64String(value) ^ name)
}

// anyHash is the key that says that a name's values are left out.
func anyHash(name uint64) uint64 { return mixHash(name) }

// mixHash spreads what was combined by xor over all bits.
func mixHash(h uint64) uint64 {
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>32
}

// anyLine is the key that says that the ids of lines are left out.
var anyLine = anyHash(0)

// blockKey is a key and a block of the section: the upper bits of the hash, then
// the block.
func blockKey(hash uint64, block int) uint64 {
	return hash>>blockBits<<blockBits | uint64(block)
}

// appendValueIndex appends a section of the pairs, which it sorts.
func appendValueIndex(dst []byte, pairs []uint64) []byte {
	slices.Sort(pairs)
	pairs = slices.Compact(pairs)
	pageBits := 0
	for len(pairs)>>pageBits > pageKeys {
		pageBits++
	}
	var (
		head, data []byte
		blocks     []uint32
	)
	head = append(head, byte(pageBits))
	for page := range uint64(1) << pageBits {
		start := len(data)
		prev := uint64(0)
		for len(pairs) > 0 && pageOf(pairs[0], pageBits) == page {
			remainder := remainderOf(pairs[0], pageBits)
			blocks = blocks[:0]
			for len(pairs) > 0 && pageOf(pairs[0], pageBits) == page && remainderOf(pairs[0], pageBits) == remainder {
				blocks = append(blocks, uint32(pairs[0]&(1<<blockBits-1)))
				pairs = pairs[1:]
			}
			slices.Sort(blocks) // of several keys with one remainder
			data = binary.AppendUvarint(data, remainder-prev)
			data = appendBlockList(data, slices.Compact(blocks))
			prev = remainder
		}
		head = binary.AppendUvarint(head, uint64(len(data)-start))
		head = binary.LittleEndian.AppendUint32(head, checksum(data[start:]))
	}
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(head)+4))
	dst = append(dst, head...)
	dst = binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
	return append(dst, data...)
}

func pageOf(hash uint64, pageBits int) uint64 { return hash >> 1 >> (63 - pageBits) }

func remainderOf(hash uint64, pageBits int) uint64 {
	return hash << pageBits >> (64 - remainderBits)
}

// appendBlockList appends ascending block numbers in the shorter way.
func appendBlockList(dst []byte, blocks []uint32) []byte {
	ranges := 1
	for i := 1; i < len(blocks); i++ {
		if blocks[i] != blocks[i-1]+1 {
			ranges++
		}
	}
	first := uint64(blocks[0]) << 2
	switch {
	case len(blocks) == 1:
		return binary.AppendUvarint(dst, first+modeOne)
	case len(blocks) <= 2*ranges:
		dst = binary.AppendUvarint(dst, first|modeList)
		dst = binary.AppendUvarint(dst, uint64(len(blocks)-1))
		for i := 1; i < len(blocks); i++ {
			dst = binary.AppendUvarint(dst, uint64(blocks[i]-blocks[i-1]-1))
		}
		return dst
	}
	dst = binary.AppendUvarint(dst, first|modeRanges)
	for i := 0; i < len(blocks); {
		n := 1
		for i+n < len(blocks) && blocks[i+n] == blocks[i]+uint32(n) {
			n++
		}
		if i > 0 {
			dst = binary.AppendUvarint(dst, uint64(blocks[i]-blocks[i-1]-2))
		}
		dst = binary.AppendUvarint(dst, uint64(n-1))
		if i == 0 {
			dst = binary.AppendUvarint(dst, uint64(ranges-1))
		}
		i += n
	}
	return dst
}

// readBlockList calls fn for the ranges of a list as half-open ones.
func readBlockList(d *decoder, fn func(from, to uint64)) {
	v := d.uvarint()
	block, mode := v>>2, v&3
	switch mode {
	case modeOne:
		fn(block, block+1)
	case modeList:
		fn(block, block+1)
		for range d.count(1) {
			block += d.uvarint() + 1
			fn(block, block+1)
		}
	case modeRanges:
		end := block + d.uvarint() + 1
		fn(block, end)
		for range d.count(2) {
			block = end + d.uvarint() + 1
			end = block + d.uvarint() + 1
			fn(block, end)
		}
	default:
		d.fail(errBadLength)
	}
}

// valueIndex is the decoded head of a section.
type valueIndex struct {
	pageBits int
	offsets  []int64 // of the pages in the file, and the end of the last one
	crcs     []uint32
}

// decodeValueIndex reads the head of a section that lies at offset and has so many
// bytes. data starts with the head.
func decodeValueIndex(data []byte, offset, size int64) (*valueIndex, error) {
	n := valueHeadSize(data)
	if n < 10 || n > int64(len(data)) || n > size {
		return nil, fmt.Errorf("value index: %w", errBadLength)
	}
	if checksum(data[:n-4]) != binary.LittleEndian.Uint32(data[n-4:]) {
		return nil, fmt.Errorf("value index: %w", errChecksum)
	}
	d := decoder{b: data[4 : n-4]}
	x := &valueIndex{pageBits: int(d.byte())}
	if x.pageBits > blockBits*2 {
		return nil, fmt.Errorf("value index: %w", errBadLength)
	}
	at := uint64(n)
	for range 1 << x.pageBits {
		if d.err != nil {
			break
		}
		x.offsets = append(x.offsets, offset+int64(at))
		if at += d.uvarint(); at > uint64(size) {
			d.fail(errBadLength)
		}
		x.crcs = append(x.crcs, d.uint32())
	}
	x.offsets = append(x.offsets, offset+int64(at))
	if d.err == nil && (d.left() != 0 || at != uint64(size)) {
		d.err = errBadLength
	}
	if d.err != nil {
		return nil, fmt.Errorf("value index: %w", d.err)
	}
	return x, nil
}

// valueHeadSize is how many bytes the size and the head take.
func valueHeadSize(data []byte) int64 {
	if len(data) < 4 {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(data)) + 4
}

func (x *valueIndex) memory() int64 { return int64(len(x.offsets))*12 + 64 }

// page is where the key's page lies and how to check it.
func (x *valueIndex) page(hash uint64) (offset int64, size int, crc uint32) {
	i := pageOf(hash, x.pageBits)
	return x.offsets[i], int(x.offsets[i+1] - x.offsets[i]), x.crcs[i]
}

// find calls fn for the blocks that a page lists for the key, counted from the
// section's first, as half-open ranges.
func (x *valueIndex) find(page []byte, hash uint64, fn func(from, to uint64)) error {
	want := remainderOf(blockKey(hash, 0), x.pageBits)
	d := decoder{b: page}
	remainder := uint64(0)
	ignore := func(uint64, uint64) {}
	for d.left() > 0 {
		remainder += d.uvarint()
		if remainder > want {
			break
		}
		if remainder == want {
			readBlockList(&d, fn)
			break
		}
		readBlockList(&d, ignore)
	}
	if d.err != nil {
		return fmt.Errorf("value index: page: %w", d.err)
	}
	return nil
}

// hashSet is a set of keys, emptied for each block.
type hashSet struct {
	slots []uint64
	keys  []uint64
}

func (s *hashSet) reset() {
	s.keys = s.keys[:0]
	if len(s.slots) > 1<<16 {
		s.slots = nil
	}
	clear(s.slots)
}

// add reports whether the key is new.
func (s *hashSet) add(key uint64) bool {
	if key == 0 {
		key = 1 // 0 is an empty slot
	}
	if 2*len(s.keys) >= len(s.slots) {
		s.grow()
	}
	if !s.put(key) {
		return false
	}
	s.keys = append(s.keys, key)
	return true
}

func (s *hashSet) put(key uint64) bool {
	mask := uint64(len(s.slots) - 1)
	for i := bits.RotateLeft64(key, 20) & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case key:
			return false
		case 0:
			s.slots[i] = key
			return true
		}
	}
}

func (s *hashSet) grow() {
	s.slots = make([]uint64, max(1024, 2*len(s.slots)))
	for _, k := range s.keys {
		s.put(k)
	}
}
