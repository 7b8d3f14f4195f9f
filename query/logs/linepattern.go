package logs

import (
	"encoding/binary"
	"regexp"
	"slices"

	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/log/pattern"
	"github.com/grafana/loki/v3/pkg/logql/syntax"

	"github.com/yagura-dev/yagura/query/columnar"
)

// linePattern is LogQL's pattern parser as the store evaluates it, so that no line
// has to be rebuilt for a few words of it.
type linePattern struct {
	columnar.LinePattern
	inKey   []int // wanted captures that decide
	capture int   // the wanted capture that the value comes from, or -1
	text    []byte
}

// linePattern returns nil when more of the lines is needed than captures.
func (p *memoPlan) linePattern(stages syntax.MultiStageExpr) *linePattern {
	if p == nil || p.bytes {
		return nil
	}
	for _, stage := range stages {
		s, ok := stage.(*syntax.LineParserExpr)
		if !ok {
			continue
		}
		if s.Op != syntax.OpParserTypePattern {
			return nil
		}
		return p.newLinePattern(s.Param)
	}
	return nil
}

func (p *memoPlan) newLinePattern(param string) *linePattern {
	out := &linePattern{capture: -1}
	elements, ok := patternElements(param)
	if !ok {
		return nil
	}
	name, wanted := 0, 0
	for _, e := range elements {
		switch {
		case e.capture == "":
			if n := len(out.Captures); n > 0 {
				out.Captures[n-1].Until = e.text
			} else {
				out.Prefix = e.text
			}
			continue
		case e.capture == "_":
			out.Captures = append(out.Captures, columnar.LineCapture{})
			continue
		}
		want := false
		if slices.Contains(p.inKey, name) {
			out.inKey, want = append(out.inKey, wanted), true
		}
		if p.capture == name {
			out.capture, want = wanted, true
		}
		out.Captures = append(out.Captures, columnar.LineCapture{Want: want})
		name++
		if want {
			wanted++
		}
	}
	if len(out.Captures) > columnar.MaxCaptures {
		return nil
	}
	return out
}

// line is a line that has the same wanted captures as the current one of the batch,
// whose own line nobody has: to LogQL's parser they are equal. Each capture that is
// not wanted is empty, and the line ends with the last one that is.
func (p *linePattern) line(batch *columnar.ColumnBatch, row int) string {
	n := int(batch.CaptureCounts[row])
	if n == 0 {
		return ""
	}
	out := append(p.text[:0], p.Prefix...)
	for _, c := range p.Captures {
		if n == 0 {
			break
		}
		if c.Want {
			k := int(batch.CaptureCounts[row]) - n
			out = append(out, batch.Captures[k][row]...)
			if n--; n == 0 && len(out) > 0 {
				break // the empty line would have no captures
			}
		}
		out = append(out, c.Until...)
	}
	p.text = out
	return string(out)
}

// extractors makes those of the leaf. Where captures stand for lines, the filters of
// the lines are left out: the store has applied them to the real ones.
func (p *linePattern) extractors(l leaf) ([]log.SampleExtractor, error) {
	pipeline, ok := l.rng.Left.Left.(*syntax.PipelineExpr)
	if p == nil || !ok {
		return l.expr.Extractors()
	}
	stages := pipeline.MultiStages
	defer func() { pipeline.MultiStages = stages }()
	pipeline.MultiStages = slices.DeleteFunc(slices.Clone(stages), func(s syntax.StageExpr) bool {
		_, filter := s.(*syntax.LineFilterExpr)
		return filter
	})
	return l.expr.Extractors()
}

// readCaptures is read for rows with captures instead of lines.
func (p *memoPlan) readCaptures(key []byte, from *linePattern, batch *columnar.ColumnBatch, i int, fields []columnar.Field) (memoRow, bool) {
	n := int(batch.CaptureCounts[i])
	row := memoRow{key: binary.AppendUvarint(key, uint64(n))}
	for _, k := range from.inKey {
		if k < n {
			row.key = appendText(row.key, batch.Captures[k][i])
		}
	}
	if from.capture >= 0 && from.capture < n {
		return p.finish(row, batch.Captures[from.capture][i], true, 0, fields)
	}
	return p.finish(row, "", false, 0, fields)
}

// patternElement is a capture, or text between captures.
type patternElement struct{ capture, text string }

// patternElements splits what LogQL's pattern parser is given as that does it.
func patternElements(param string) ([]patternElement, bool) {
	literals, err := pattern.ParseLiterals(param)
	if err != nil {
		return nil, false
	}
	var out []patternElement
	for rest := param; rest != ""; {
		at := captureInPattern.FindStringIndex(rest)
		if at == nil {
			at = []int{len(rest), len(rest)}
		}
		if at[0] > 0 {
			// What LogQL makes of the text counts; it is the same text.
			if len(literals) == 0 || string(literals[0]) != rest[:at[0]] {
				return nil, false
			}
			out = append(out, patternElement{text: rest[:at[0]]})
			literals = literals[1:]
		}
		if at[0] < at[1] {
			out = append(out, patternElement{capture: rest[at[0]+1 : at[1]-1]})
		}
		rest = rest[at[1]:]
	}
	return out, len(literals) == 0
}

var captureInPattern = regexp.MustCompile(`<[A-Za-z_][A-Za-z0-9_]*>`)
