package queue

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// Positions says how far each source has read, as opaque bytes of the source's
// own making. In a call that changes positions, a nil value forgets the source.
type Positions map[string][]byte

// A positions block is a list of entries, sorted by source so that equal positions
// are equal bytes:
//
//	uvarint length of the source, source,
//	uvarint 0 to forget it, or 1 + length of the position, position

func appendPositions(dst []byte, p Positions) []byte {
	for _, source := range slices.Sorted(maps.Keys(p)) {
		dst = binary.AppendUvarint(dst, uint64(len(source)))
		dst = append(dst, source...)
		position := p[source]
		if position == nil {
			dst = binary.AppendUvarint(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, 1+uint64(len(position)))
		dst = append(dst, position...)
	}
	return dst
}

// applyPositions decodes a block into p. On an error p holds the entries before
// the one that could not be read.
func applyPositions(p Positions, block []byte) error {
	for len(block) > 0 {
		source, rest, err := cutBytes(block, 0)
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		length, n := binary.Uvarint(rest)
		if n <= 0 {
			return fmt.Errorf("position of %q: %w: bad length", source, errDamaged)
		}
		if length == 0 {
			delete(p, string(source))
			block = rest[n:]
			continue
		}
		position, rest, err := cutBytes(rest, 1)
		if err != nil {
			return fmt.Errorf("position of %q: %w", source, err)
		}
		p[string(source)] = append([]byte{}, position...)
		block = rest
	}
	return nil
}

// cutBytes cuts bytes with a length prefix that is too large by bias.
func cutBytes(b []byte, bias uint64) (value, rest []byte, err error) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length < bias || length-bias > uint64(len(b)-n) {
		return nil, nil, fmt.Errorf("%w: bad length", errDamaged)
	}
	end := n + int(length-bias)
	return b[n:end], b[end:], nil
}

// apply carries out the changes of a source, as applyPositions does from disk.
func (p Positions) apply(changes Positions) {
	for source, position := range changes {
		if position == nil {
			delete(p, source)
		} else {
			p[source] = slices.Clone(position)
		}
	}
}

func (p Positions) clone() Positions {
	out := make(Positions, len(p))
	out.apply(p)
	return out
}
