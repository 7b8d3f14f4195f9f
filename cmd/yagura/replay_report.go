package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/replay"
)

// replayReport gathers what a replay gives. Nothing is printed before the whole history was found good; until then steps for JSON
// wait in files.
type replayReport struct {
	run     *replayRun
	engines []*replay.Engine
	spools  []*spool         // one for each engine when the output is JSON
	views   []*replay.Digest // one for each engine when it is text
	shown   int
	skipped int
}

func (o *replayOptions) report(r *replayRun) (*replayReport, error) {
	engines, err := r.engines()
	if err != nil {
		return nil, err
	}
	report := &replayReport{run: r, engines: engines, shown: o.containers}
	for range engines {
		if o.output == "text" {
			report.views = append(report.views, replay.NewDigest())
			continue
		}
		s, err := newSpool()
		if err != nil {
			report.close()
			return nil, err
		}
		report.spools = append(report.spools, s)
	}
	return report, nil
}

func (r *replayReport) close() {
	for _, s := range r.spools {
		s.close()
	}
}

func (r *replayReport) emit(steps [][]replay.Step) error {
	for i := range r.views {
		for j := range steps[i] {
			r.views[i].Add(&steps[i][j])
		}
	}
	for i := range r.spools {
		for j := range steps[i] {
			if err := r.spools[i].add(&steps[i][j]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *replayReport) write(out io.Writer) error {
	if r.spools == nil {
		return r.writeText(out)
	}
	return r.writeJSON(out)
}

// replayHead is what stands before the steps in JSON.
type replayHead struct {
	Policy  string        `json:"policy"`
	Model   string        `json:"model"`
	Warmup  float64       `json:"warmup_seconds"`
	Prices  replay.Prices `json:"prices"`
	Skipped int           `json:"skipped_samples"`
}

// replayTail is what stands after them.
type replayTail struct {
	Summary    replay.Summary           `json:"summary"`
	Containers []replay.ContainerTotals `json:"containers"`
}

// writeJSON writes one object whose steps are never in memory together.
func (r *replayReport) writeJSON(out io.Writer) error {
	w := &objectWriter{out: out}
	w.open(replayHead{
		Policy: r.run.name(), Model: string(r.run.models[0]), Warmup: r.run.warmup.Seconds(), Prices: r.run.prices, Skipped: r.skipped,
	})
	w.steps(r.spools[0])
	w.members(r.tail(0))
	if len(r.engines) > 1 {
		w.raw(`,"compare":`)
		w.open(struct {
			Model string `json:"model"`
		}{string(r.run.models[1])})
		w.steps(r.spools[1])
		w.members(r.tail(1))
		w.raw("}")
	}
	w.raw("}\n")
	return w.err
}

func (r *replayReport) tail(i int) replayTail {
	return replayTail{Summary: r.engines[i].Summary(), Containers: r.engines[i].Containers()}
}

// name is the policy's, with its namespace if it says one.
func (r *replayRun) name() string {
	if r.policy.Namespace == "" {
		return r.policy.Name
	}
	return r.policy.Namespace + "/" + r.policy.Name
}

// objectWriter writes a JSON object in parts. After an error it writes nothing more.
type objectWriter struct {
	out io.Writer
	err error
}

func (w *objectWriter) raw(text string) {
	if w.err == nil {
		_, w.err = io.WriteString(w.out, text)
	}
}

// open starts an object with the members of v.
func (w *objectWriter) open(v any) {
	w.raw("{")
	w.write(v)
}

// members adds those of v.
func (w *objectWriter) members(v any) {
	w.raw(",")
	w.write(v)
}

func (w *objectWriter) write(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	w.raw(string(text[1 : len(text)-1]))
}

func (w *objectWriter) steps(s *spool) {
	w.raw(",\"steps\":[\n")
	if w.err == nil {
		w.err = s.copyTo(w.out)
	}
	w.raw("]")
}

// spool holds steps as JSON, one a line, in a temporary file.
type spool struct {
	file    *os.File
	buffer  *bufio.Writer
	encoded []byte
	n       int
}

func newSpool() (*spool, error) {
	file, err := os.CreateTemp("", "yagura-replay-*.json")
	if err != nil {
		return nil, fmt.Errorf("make a file for steps: %w", err)
	}
	return &spool{file: file, buffer: bufio.NewWriterSize(file, 1<<18)}, nil
}

func (s *spool) add(step *replay.Step) error {
	var err error
	if s.n > 0 {
		s.encoded = append(s.encoded[:0], ",\n"...)
	}
	if s.encoded, err = step.AppendJSON(s.encoded); err != nil {
		return fmt.Errorf("encode a step: %w", err)
	}
	s.n++
	if _, err := s.buffer.Write(s.encoded); err != nil {
		return fmt.Errorf("keep steps: %w", err)
	}
	return nil
}

func (s *spool) copyTo(out io.Writer) error {
	if err := s.buffer.Flush(); err != nil {
		return fmt.Errorf("keep steps: %w", err)
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read steps back: %w", err)
	}
	if _, err := io.Copy(out, s.file); err != nil {
		return fmt.Errorf("read steps back: %w", err)
	}
	return nil
}

func (s *spool) close() {
	// What is lost with them was printed or is not wanted.
	_ = s.file.Close()
	_ = os.Remove(s.file.Name())
}

// day writes a time as people read it.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
