package podlogs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"
)

// file is one open log file. Its path may change while it is read; its id does not.
type file struct {
	id      fileID
	path    string
	origin  origin
	handle  *os.File
	rotated bool // it has a successor, so nothing or little more will be written

	offset int64  // the first byte that was not taken
	tail   []byte // the text before it
	size   int64  // when it was last asked for
	pieces [streams]pieces

	observed  int64     // time of the last line of a plain file, Unix nanoseconds
	waitUntil time.Time // for metadata
	seen      time.Time // when a scan found it last
	grown     time.Time // when there was something to read last
	atEnd     bool      // the last read reached the end
	caughtUp  time.Time // when a read reached the end last
	failing   bool      // the last read failed
}

// pieces are the pieces of a line whose last one was not seen yet.
type pieces struct {
	open  bool
	start int64 // where the first of them begins
	time  int64 // of the first of them
	text  []byte
}

func (p *pieces) begin(start, time int64) {
	p.open, p.start, p.time, p.text = true, start, time, p.text[:0]
}

func (p *pieces) end() {
	const keep = 64 << 10
	p.open = false
	if cap(p.text) > keep {
		p.text = nil // one long line must not hold its memory for ever
	}
}

func (f *file) source() string { return f.id.source(f.origin.plain()) }

func (f *file) position() position {
	p := position{Offset: f.offset, Tail: hashTail(f.tail)}
	for s := range f.pieces {
		if f.pieces[s].open {
			if p.Pieces == nil {
				p.Pieces = map[string]int64{}
			}
			p.Pieces[stream(s).String()] = f.pieces[s].start
		}
	}
	return p
}

// restart goes to the beginning: the content is not the one that was read.
func (f *file) restart() {
	f.offset, f.tail = 0, f.tail[:0]
	for s := range f.pieces {
		f.pieces[s].end()
	}
}

// resume goes to a position, unless the file is not the one that it is of.
func (f *file) resume(p position, maxLine int) (same bool, err error) {
	info, err := f.handle.Stat()
	if err != nil {
		return false, fmt.Errorf("size of %s: %w", f.path, err)
	}
	if info.Size() < p.Offset {
		return false, nil
	}
	tail, err := readTail(f.handle, p.Offset)
	if err != nil {
		return false, err
	}
	if hashTail(tail) != p.Tail {
		return false, nil
	}
	f.offset, f.tail = p.Offset, tail
	for s := range streams {
		if start, ok := p.Pieces[s.String()]; ok {
			if err := f.restorePieces(s, start, maxLine); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// restorePieces reads again the pieces of an unfinished line, which lie between
// start and the offset among the entries of the other stream.
func (f *file) restorePieces(s stream, start int64, maxLine int) error {
	p := &f.pieces[s]
	r := io.NewSectionReader(f.handle, start, f.offset-start)
	buf := make([]byte, maxLine+criOverhead)
	kept := 0
	for at := start; ; {
		n, err := io.ReadFull(r, buf[kept:])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read pieces of a line in %s: %w", f.path, err)
		}
		text := buf[:kept+n]
		used := 0
		eachLine(text, func(from int, entry []byte) bool {
			used = from + len(entry) + 1
			if l, err := parseCRI(entry); err == nil && l.stream == s {
				if !p.open {
					p.begin(at+int64(from), l.time)
				}
				p.text = append(p.text, l.text...)
			}
			return true
		})
		if n == 0 || used == 0 {
			return nil
		}
		at += int64(used)
		kept = copy(buf, text[used:])
	}
}

// criOverhead is more than a CRI entry's time, stream and tags ever take.
const criOverhead = 256

// reader takes text out of files, one at a time.
type reader struct {
	buf     []byte
	maxLine int
	metrics *metrics
}

func newReader(maxLine int, m *metrics) *reader {
	return &reader{buf: make([]byte, tailBytes+max(maxLine+criOverhead, 256<<10)), maxLine: maxLine, metrics: m}
}

// read takes as much of f as fits into the buffer and adds its whole lines to b.
// It returns how many bytes it took; 0 if there is nothing that is complete.
func (r *reader) read(f *file, b *batch, now time.Time) (int, error) {
	text, err := r.fill(f, now)
	if err != nil {
		return 0, err
	}
	taken := r.take(f, text, b, now)
	if taken > 0 {
		f.tail = appendTail(f.tail, text[:taken])
		f.offset += int64(taken)
		f.grown = now
		b.moved[f] = struct{}{}
		r.metrics.bytes.Add(float64(taken))
	}
	return taken, nil
}

// fill reads the text from the offset on. It reads what is before it once more: if
// that is not what was read, the file was truncated and written anew.
func (r *reader) fill(f *file, now time.Time) ([]byte, error) {
	n, err := f.handle.ReadAt(r.buf, f.offset-int64(len(f.tail)))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", f.path, err)
	}
	if n < len(f.tail) || !bytes.Equal(r.buf[:len(f.tail)], f.tail) {
		r.metrics.truncations.Inc()
		f.restart()
		if n, err = f.handle.ReadAt(r.buf, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read %s: %w", f.path, err)
		}
	}
	text := r.buf[len(f.tail):n]
	if f.atEnd = n < len(r.buf); f.atEnd {
		f.caughtUp = now
	}
	return text, nil
}

// take adds the whole lines of text and returns how far they reach.
func (r *reader) take(f *file, text []byte, b *batch, now time.Time) int {
	taken := 0
	eachLine(text, func(start int, entry []byte) bool {
		r.entry(f, f.offset+int64(start), entry, b, now)
		taken = start + len(entry) + 1
		return true
	})
	if taken == 0 && len(text) == len(r.buf)-len(f.tail) {
		// One line fills the buffer: it is longer than lines may be.
		r.metrics.split.Inc()
		n := cut(text, r.maxLine)
		r.raw(f, text[:n], b, now)
		return n
	}
	return taken
}

// cut returns how many bytes of text, at most limit, do not end within a character.
func cut(text []byte, limit int) int {
	for n := limit; n > limit-utf8.UTFMax && n > 0; n-- {
		if utf8.RuneStart(text[n]) {
			return n
		}
	}
	return limit
}

// entry adds one physical line.
func (r *reader) entry(f *file, start int64, entry []byte, b *batch, now time.Time) {
	if f.origin.plain() {
		for len(entry) > r.maxLine {
			r.metrics.split.Inc()
			n := cut(entry, r.maxLine)
			r.raw(f, entry[:n], b, now)
			entry = entry[n:]
		}
		r.raw(f, entry, b, now)
		return
	}
	l, err := parseCRI(entry)
	if err != nil {
		r.metrics.malformed.Inc()
		r.raw(f, entry, b, now)
		return
	}
	p := &f.pieces[l.stream]
	if !p.open && !l.partial {
		r.emit(f, b, line{time: l.time, observed: now.UnixNano(), stream: l.stream.String(), body: l.text})
		return
	}
	if !p.open {
		p.begin(start, l.time)
	}
	if len(p.text) > 0 && len(p.text)+len(l.text) > r.maxLine {
		r.metrics.split.Inc()
		r.finish(f, l.stream, b, now)
		p.begin(start, l.time)
	}
	p.text = append(p.text, l.text...)
	if !l.partial {
		r.finish(f, l.stream, b, now)
	}
}

// finish adds the line that the pieces make up.
func (r *reader) finish(f *file, s stream, b *batch, now time.Time) {
	p := &f.pieces[s]
	r.emit(f, b, line{time: p.time, observed: now.UnixNano(), stream: s.String(), body: p.text})
	p.end()
}

// raw adds text that carries no time of its own. Lines of a file get rising times,
// because equal lines at equal times are one line to who reads them.
func (r *reader) raw(f *file, text []byte, b *batch, now time.Time) {
	f.observed = max(f.observed+1, now.UnixNano())
	if f.origin.plain() {
		text = bytes.TrimSuffix(text, []byte{'\r'})
		// A program that does not append writes behind a hole of zeros when its file
		// was truncated.
		text = bytes.TrimLeft(text, "\x00")
	}
	r.emit(f, b, line{time: f.observed, observed: f.observed, body: text})
}

func (r *reader) emit(f *file, b *batch, l line) {
	if b.add(f, l) {
		r.metrics.invalidUTF8.Inc()
	}
}

// rest takes what is left at the end of a file that will not grow any more: a line
// without a newline, and pieces without a last one.
func (r *reader) rest(f *file, b *batch, now time.Time) error {
	text, err := r.fill(f, now)
	if err != nil {
		return err
	}
	if len(text) > 0 && bytes.IndexByte(text, '\n') < 0 {
		r.entry(f, f.offset, text, b, now)
		f.tail = appendTail(f.tail, text)
		f.offset += int64(len(text))
		b.moved[f] = struct{}{}
	}
	for s := range streams {
		if f.pieces[s].open {
			r.finish(f, s, b, now)
			b.moved[f] = struct{}{}
		}
	}
	return nil
}
