package replay

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// batchSize is how many samples are replayed at a time: enough to keep all processors busy when there are some containers.
const batchSize = 8192

// Feed replays a file through several engines side by side, so that it is read once.
type Feed struct {
	Engines []*Engine
	// Sized says whether a resource of a container is replayed at all; all are when it is nil.
	Sized func(container string, resource vertical.Resource) bool
	// Emit takes the steps of each engine, in the order of the file. The slices are used again afterwards.
	Emit func(steps [][]Step) error
}

// Run replays all that r has. It returns how many samples were replayed and how many were not because their container is not sized.
// The containers of a batch are replayed at the same time, which no result depends on.
func (f *Feed) Run(ctx context.Context, r *Reader) (replayed, skipped int, err error) {
	b := newBatch(f.Engines)
	sized := map[seriesKey]bool{}
	for {
		if err := ctx.Err(); err != nil {
			return replayed, skipped, err
		}
		b.reset()
		n, readErr := f.fill(b, r, sized)
		skipped += n
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			return replayed, skipped, readErr
		}
		if err := b.run(r); err != nil {
			return replayed, skipped, err
		}
		replayed += len(b.samples)
		if len(b.samples) > 0 && f.Emit != nil {
			if err := f.Emit(b.steps); err != nil {
				return replayed, skipped, err
			}
		}
		if readErr != nil {
			return replayed, skipped, nil
		}
	}
}

// fill reads a batch and says how many samples were left out.
func (f *Feed) fill(b *batch, r *Reader, sized map[seriesKey]bool) (skipped int, err error) {
	for len(b.samples) < batchSize {
		sample, err := r.Read()
		if err != nil {
			return skipped, err
		}
		key := seriesKey{sample.Resource, sample.Container}
		wanted, known := sized[key]
		if !known {
			wanted = f.Sized == nil || f.Sized(sample.Container, sample.Resource)
			sized[key] = wanted
		}
		if !wanted {
			skipped++
			continue
		}
		if err := b.add(sample, r.line); err != nil {
			return skipped, r.errorf("%w", err)
		}
	}
	return skipped, nil
}

// batch is some samples and what becomes of them.
type batch struct {
	engines []*Engine
	samples []Sample
	lines   []int
	steps   [][]Step
	jobs    []*job
	byKey   map[seriesKey][]*job // one for each engine
}

// job is the samples of one series.
type job struct {
	series *series
	engine int
	rows   []int
	failed int // the row of err
	err    error
}

func newBatch(engines []*Engine) *batch {
	return &batch{engines: engines, steps: make([][]Step, len(engines)), byKey: map[seriesKey][]*job{}}
}

func (b *batch) reset() {
	b.samples, b.lines, b.jobs = b.samples[:0], b.lines[:0], b.jobs[:0]
	clear(b.byKey)
}

func (b *batch) add(sample Sample, line int) error {
	key := seriesKey{sample.Resource, sample.Container}
	jobs, ok := b.byKey[key]
	if !ok {
		for i, e := range b.engines {
			s, err := e.find(sample.Container, sample.Resource)
			if err != nil {
				return err
			}
			jobs = append(jobs, &job{series: s, engine: i})
		}
		b.byKey[key] = jobs
		b.jobs = append(b.jobs, jobs...)
	}
	for _, j := range jobs {
		j.rows = append(j.rows, len(b.samples))
	}
	b.samples, b.lines = append(b.samples, sample), append(b.lines, line)
	return nil
}

// run steps every series of the batch and returns the first row's error.
func (b *batch) run(r *Reader) error {
	for i := range b.steps {
		if cap(b.steps[i]) < len(b.samples) {
			b.steps[i] = make([]Step, len(b.samples), batchSize)
		}
		b.steps[i] = b.steps[i][:len(b.samples)]
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(b.jobs)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(b.jobs)); i = next.Add(1) - 1 {
				b.jobs[i].run(b)
			}
		})
	}
	workers.Wait()
	var first *job
	for _, j := range b.jobs {
		if j.err != nil && (first == nil || j.failed < first.failed) {
			first = j
		}
	}
	if first != nil {
		return r.errorAt(b.lines[first.failed], "%w", first.err)
	}
	return nil
}

func (j *job) run(b *batch) {
	for _, row := range j.rows {
		step, err := j.series.step(b.samples[row])
		if err != nil {
			j.failed, j.err = row, err
			return
		}
		b.steps[j.engine][row] = step
	}
}
