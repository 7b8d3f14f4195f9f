package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// spool holds encoded requests on disk until they are pushed: what a target costs is
// measured without what encoding costs, and the bench's memory stays the same
// however much data there is. Each request follows its length and its number of
// items (lines, spans or samples), both little-endian uint32.
type spool struct {
	path     string
	Requests int
	Items    int
	Bytes    int64 // of requests as sent
}

type request struct {
	body  []byte // reused by the next read
	items int
}

type spoolWriter struct {
	spool
	file *os.File
	out  *bufio.Writer
}

func createSpool(path string) (*spoolWriter, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create a spool file: %w", err)
	}
	return &spoolWriter{spool: spool{path: path}, file: f, out: bufio.NewWriterSize(f, 1<<20)}, nil
}

func (w *spoolWriter) add(body []byte, items int) error {
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:4], uint32(len(body)))
	binary.LittleEndian.PutUint32(head[4:], uint32(items))
	if _, err := w.out.Write(head[:]); err != nil {
		return fmt.Errorf("write the spool file: %w", err)
	}
	if _, err := w.out.Write(body); err != nil {
		return fmt.Errorf("write the spool file: %w", err)
	}
	w.Requests++
	w.Items += items
	w.Bytes += int64(len(body))
	return nil
}

func (w *spoolWriter) close() (*spool, error) {
	if err := errors.Join(w.out.Flush(), w.file.Close()); err != nil {
		return nil, fmt.Errorf("write the spool file: %w", err)
	}
	s := w.spool
	return &s, nil
}

// each calls fn with every request in order.
func (s *spool) each(fn func(request) error) error {
	f, err := os.Open(s.path)
	if err != nil {
		return fmt.Errorf("open the spool file: %w", err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	var body []byte
	for {
		var head [8]byte
		if _, err := io.ReadFull(in, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the spool file: %w", err)
		}
		n := int(binary.LittleEndian.Uint32(head[:4]))
		if cap(body) < n {
			body = make([]byte, n)
		}
		body = body[:n]
		if _, err := io.ReadFull(in, body); err != nil {
			return fmt.Errorf("read the spool file: %w", err)
		}
		if err := fn(request{body: body, items: int(binary.LittleEndian.Uint32(head[4:]))}); err != nil {
			return err
		}
	}
}
