package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/collector/queue"
	"github.com/yagura-dev/yagura/collector/sample"
)

// Sink takes encoded batches; *queue.Queue is one.
type Sink interface {
	Append(ctx context.Context, s queue.Stream, payload []byte) error
}

// maxBatch bounds the samples of one record, and with it the request that ship
// makes of it.
const maxBatch = 5000

// maxEnded bounds the series whose end is still to be told while the queue is
// full.
const maxEnded = 50_000

// series is one time series. Its labels are built once.
type series struct {
	labels labels.Labels
	metric *metric
	tick   uint64 // the last tick that had a value
}

// active says whether the series has begun and not ended.
func (s *series) active() bool { return !s.labels.IsEmpty() }

// writer turns values into samples and batches. It remembers every series that
// it has written, so that one that gets no value any more is ended with a stale
// marker. It belongs to one goroutine.
type writer struct {
	base    labels.Labels // on every series
	builder *labels.Builder
	tick    uint64
	now     int64 // timestamp of this tick, in milliseconds

	series  map[string]*series
	key     []byte
	ended   []labels.Labels // told to the queue until it takes them
	batch   sample.Batch
	records []record
	err     error
}

// record is an encoded batch.
type record struct {
	payload []byte
	samples int
}

func newWriter(base labels.Labels) *writer {
	return &writer{base: base, builder: labels.NewBuilder(base), series: make(map[string]*series)}
}

// begin starts a tick.
func (w *writer) begin(at time.Time) {
	w.tick++
	w.now = at.UnixMilli()
	w.records, w.err = w.records[:0], nil
	w.batch.Reset()
}

// add writes one value. pairs are label names and values in turn.
func (w *writer) add(m *metric, value float64, pairs ...string) {
	w.key = append(w.key[:0], m.name...)
	for _, s := range pairs {
		w.key = append(w.key, 0xff) // in no valid label
		w.key = append(w.key, s...)
	}
	s := w.series[string(w.key)]
	if s == nil {
		s = &series{labels: w.labels(m, pairs), metric: m}
		w.series[string(w.key)] = s
	}
	w.put(s, value)
}

// labels builds the labels of a series.
func (w *writer) labels(m *metric, pairs []string) labels.Labels {
	w.builder.Reset(w.base)
	for i := 0; i+1 < len(pairs); i += 2 {
		w.builder.Set(pairs[i], pairs[i+1])
	}
	w.builder.Set(model.MetricNameLabel, m.name)
	return w.builder.Labels()
}

// put writes a value of a series that the caller keeps.
func (w *writer) put(s *series, value float64) {
	s.tick = w.tick
	w.sample(s.labels, value, s.metric)
}

func (w *writer) sample(l labels.Labels, value float64, m *metric) {
	next := sample.Sample{Labels: l, Timestamp: w.now, Value: value}
	if m != nil {
		next.Metadata = m.meta
	}
	w.batch.Add(next)
	if w.batch.Len() >= maxBatch {
		w.encode()
	}
}

// end ends a series that the caller keeps.
func (w *writer) end(s *series) {
	if s.active() && len(w.ended) < maxEnded {
		w.ended = append(w.ended, s.labels)
	}
	s.labels = labels.EmptyLabels()
}

// finish ends what got no value in this tick and encodes the rest.
func (w *writer) finish() ([]record, error) {
	for key, s := range w.series {
		if s.tick != w.tick {
			w.end(s)
			delete(w.series, key)
		}
	}
	for _, l := range w.ended {
		w.sample(l, sample.Stale(), nil)
	}
	w.encode()
	return w.records, w.err
}

// told forgets the ended series: the queue has their markers.
func (w *writer) told() { w.ended = w.ended[:0] }

func (w *writer) encode() {
	if w.batch.Len() == 0 {
		return
	}
	payload, err := w.batch.Encode()
	if err != nil {
		w.err = errors.Join(w.err, fmt.Errorf("encode %d samples: %w", w.batch.Len(), err))
	} else {
		w.records = append(w.records, record{payload: payload, samples: w.batch.Len()})
	}
	w.batch.Reset()
}
