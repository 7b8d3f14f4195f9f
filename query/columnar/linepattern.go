package columnar

import (
	"errors"

	"github.com/yagura-dev/yagura/query/columnar/shred"
)

// compilePattern checks a pattern and leaves out what is behind its last wanted
// capture, which makes no difference.
func compilePattern(p *LinePattern) (*shred.Pattern, error) {
	if p == nil {
		return nil, nil
	}
	if len(p.Captures) > MaxCaptures {
		return nil, errors.New("line pattern has too many captures")
	}
	out, wanted := &shred.Pattern{Prefix: []byte(p.Prefix)}, 0
	for i, c := range p.Captures {
		if c.Until == "" && i < len(p.Captures)-1 {
			return nil, errors.New("line pattern has nothing between two captures")
		}
		out.Captures = append(out.Captures, shred.Capture{Until: []byte(c.Until), Want: c.Want})
		if c.Want {
			wanted = i + 1
		}
	}
	out.Captures = out.Captures[:wanted]
	return out, nil
}

// capture finds the captures in the lines of the rows. It rebuilds only lines whose
// templates leave them open.
func (r *blockReader) capture(p *shred.Pattern, rows []uint32, codec *blockCodec) error {
	c, err := r.open(r.header.line, codec)
	if err != nil {
		return err
	}
	if c.encoding != valuesLines {
		if c, err = r.lines(rows, codec); err != nil {
			return err
		}
		r.captured.Reset(len(rows), p.Wanted())
		for i, row := range rows {
			r.captured.Match(p, i, viewBytes(c.value(int(row))))
		}
		return nil
	}
	if err := r.loadTimes(codec); err != nil {
		return err
	}
	open, err := c.shredded.Capture(p, rows, r.times, &r.captured, nil)
	if err != nil {
		return r.damage("lines", err)
	}
	if len(open) == 0 {
		return nil
	}
	needed := make([]uint32, len(open))
	for i, at := range open {
		needed[i] = rows[at]
	}
	if _, err := r.lines(needed, codec); err != nil {
		return err
	}
	for i, at := range open {
		r.captured.Match(p, int(at), viewBytes(c.value(int(needed[i]))))
	}
	return nil
}

// copyCaptures adds the captures of the row that was added last, which is row i of
// those given.
func (b *batchBuilder) copyCaptures(counts []uint8, values [][]string, i int) {
	out := &b.out
	out.CaptureCounts = append(out.CaptureCounts, counts[i])
	for len(out.Captures) < b.want.captures {
		out.Captures = append(out.Captures, nil)
	}
	for k := range out.Captures {
		out.Captures[k] = append(out.Captures[k], values[k][i])
	}
}

// matchLine adds the captures of the row that was added last, whose line is given.
func (b *batchBuilder) matchLine(line string) {
	if b.want.pattern == nil {
		return
	}
	b.captured.Reset(1, b.want.captures)
	b.captured.Match(b.want.pattern, 0, viewBytes(line))
	b.copyCaptures(b.captured.Counts, b.captured.Values, 0)
}

// captureBytes is how many bytes the captures of row i have.
func (b *batchBuilder) captureBytes(i int) (n int64) {
	for _, values := range b.out.Captures {
		n += int64(len(values[i])) + 16
	}
	return n
}

// resetCaptures lets go of the blocks behind the captures.
func (b *batchBuilder) resetCaptures() {
	b.out.CaptureCounts = b.out.CaptureCounts[:0]
	for k := range b.out.Captures {
		clear(b.out.Captures[k])
		b.out.Captures[k] = b.out.Captures[k][:0]
	}
}
