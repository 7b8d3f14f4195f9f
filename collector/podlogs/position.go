package podlogs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// tailBytes is how much of the text before a position is remembered, so as to tell
// whether a file is still the one that was read: a new file may get the inode of a
// deleted one, and a file that was truncated may have grown past the position
// again. Unlike the beginning of a file, which may be a header that all files of a
// program share, the text before the position is rarely the same twice.
const tailBytes = 256

// position is how far a file was read, as the queue keeps it.
type position struct {
	// Offset is the first byte that was not taken.
	Offset int64 `json:"offset"`
	// Tail is the hash of the tailBytes (or fewer) before Offset.
	Tail uint64 `json:"tail"`
	// Pieces says, for each stream with a line whose last piece was not seen yet,
	// where its first piece begins. Entries of the other stream that lie between
	// there and Offset were taken.
	Pieces map[string]int64 `json:"pieces,omitempty"`
}

func (p position) encode() []byte {
	b, _ := json.Marshal(p) // of numbers and strings it cannot fail
	return b
}

func decodePosition(b []byte) (position, error) {
	var p position
	if err := json.Unmarshal(b, &p); err != nil {
		return position{}, fmt.Errorf("decode position: %w", err)
	}
	if p.Offset < 0 {
		return position{}, fmt.Errorf("decode position: offset %d is negative", p.Offset)
	}
	for name, start := range p.Pieces {
		if (name != stdout.String() && name != stderr.String()) || start < 0 || start > p.Offset {
			return position{}, fmt.Errorf("decode position: pieces of %q from %d", name, start)
		}
	}
	return p, nil
}

// readTail reads the text before offset.
func readTail(file *os.File, offset int64) ([]byte, error) {
	tail := make([]byte, min(offset, tailBytes))
	if _, err := file.ReadAt(tail, offset-int64(len(tail))); err != nil {
		return nil, fmt.Errorf("read the text before offset %d: %w", offset, err)
	}
	return tail, nil
}

func hashTail(tail []byte) uint64 { return xxhash.Sum64(tail) }

// appendTail returns the last tailBytes of tail and text together.
func appendTail(tail, text []byte) []byte {
	if len(text) >= tailBytes {
		return append(tail[:0], text[len(text)-tailBytes:]...)
	}
	if over := len(tail) + len(text) - tailBytes; over > 0 {
		tail = append(tail[:0], tail[over:]...)
	}
	return append(tail, text...)
}

// fileID names a file whatever its path is.
type fileID struct{ device, inode uint64 }

// Under these names, followed by the file's id, the queue keeps positions.
const (
	podPrefix   = "pod:"
	plainPrefix = "file:"
)

// source is the name under which the queue keeps the position of a file.
func (id fileID) source(plain bool) string {
	prefix := podPrefix
	if plain {
		prefix = plainPrefix
	}
	return fmt.Sprintf("%s%x:%x", prefix, id.device, id.inode)
}

func parseSource(source string) (id fileID, plain, ok bool) {
	text, plain := strings.CutPrefix(source, plainPrefix)
	if !plain {
		text, ok = strings.CutPrefix(source, podPrefix)
		if !ok {
			return fileID{}, false, false
		}
	}
	if _, err := fmt.Sscanf(text, "%x:%x", &id.device, &id.inode); err != nil {
		return fileID{}, false, false
	}
	return id, plain, id.source(plain) == source
}

// eachLine calls visit for every line in text that is ended by a newline, with
// where it begins and its content without the newline, until visit returns false.
func eachLine(text []byte, visit func(start int, line []byte) bool) {
	for start := 0; ; {
		n := bytes.IndexByte(text[start:], '\n')
		if n < 0 || !visit(start, text[start:start+n]) {
			return
		}
		start += n + 1
	}
}
