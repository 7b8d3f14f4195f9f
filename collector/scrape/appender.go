package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/yagura-dev/yagura/collector/queue"
	"github.com/yagura-dev/yagura/collector/sample"
)

// Sink takes encoded batches; *queue.Queue is one.
type Sink interface {
	Append(ctx context.Context, s queue.Stream, payload []byte) error
}

// appendable gives every scrape an appender of its own. It is safe for concurrent
// use.
type appendable struct {
	sink     Sink
	external labels.Labels
	samples  prometheus.Counter
	dropped  *prometheus.CounterVec
	log      *slog.Logger
	refusing atomic.Bool // the queue refused the last batch, which was logged
}

var _ storage.AppendableV2 = (*appendable)(nil)

// AppenderV2 implements storage.AppendableV2.
func (a *appendable) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &appender{appendable: a, ctx: ctx, builder: labels.NewBuilder(labels.EmptyLabels())}
}

// maxBatch bounds the samples of one record of the queue.
const maxBatch = 5000

// appender collects one scrape. It belongs to one goroutine.
type appender struct {
	*appendable
	ctx     context.Context // of the scrape pool
	builder *labels.Builder
	batch   sample.Batch
	records []record
}

// record is an encoded batch.
type record struct {
	payload []byte
	samples int
}

// Append implements storage.AppenderV2. Histograms in Prometheus' native form and
// exemplars have no place in a batch yet; they are counted, and the series of a
// classic histogram are samples like any other.
func (a *appender) Append(ref storage.SeriesRef, l labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	if ref == 0 {
		// The scraper follows the series that have a reference, and tells when they
		// end. 0 means none.
		ref = storage.SeriesRef(max(l.Hash(), 1))
	}
	if n := len(opts.Exemplars); n > 0 {
		a.dropped.WithLabelValues("exemplar").Add(float64(n))
	}
	if h != nil || fh != nil {
		a.dropped.WithLabelValues("native_histogram").Inc()
		return ref, nil
	}
	a.batch.Add(sample.Sample{Labels: a.withExternal(l), Timestamp: t, Value: v, Created: st, Metadata: opts.Metadata})
	if a.batch.Len() >= maxBatch {
		return ref, a.encode()
	}
	return ref, nil
}

// withExternal adds the labels of this collector that a series does not have.
func (a *appender) withExternal(l labels.Labels) labels.Labels {
	if a.external.IsEmpty() {
		return l
	}
	a.builder.Reset(l)
	a.external.Range(func(e labels.Label) {
		if !l.Has(e.Name) {
			a.builder.Set(e.Name, e.Value)
		}
	})
	return a.builder.Labels()
}

func (a *appender) encode() error {
	if a.batch.Len() == 0 {
		return nil
	}
	payload, err := a.batch.Encode()
	if err != nil {
		a.dropped.WithLabelValues("encode").Add(float64(a.batch.Len()))
		return fmt.Errorf("encode %d samples: %w", a.batch.Len(), err)
	}
	a.records = append(a.records, record{payload: payload, samples: a.batch.Len()})
	a.batch.Reset()
	return nil
}

// Commit implements storage.AppenderTransaction: it hands the scrape to the queue.
// What the queue refuses is counted and lost, since the target's next scrape has
// newer values; that is no error of the scrape.
func (a *appender) Commit() error {
	if err := a.encode(); err != nil {
		return err
	}
	// The pool's context ends with the process; what was read is kept all the same.
	ctx := context.WithoutCancel(a.ctx)
	for _, r := range a.records {
		err := a.sink.Append(ctx, queue.Metrics, r.payload)
		a.note(err)
		if err == nil {
			a.samples.Add(float64(r.samples))
			continue
		}
		reason := "queue_error"
		if errors.Is(err, queue.ErrFull) {
			reason = "queue_full"
		}
		a.dropped.WithLabelValues(reason).Add(float64(r.samples))
	}
	a.records = nil
	return nil
}

// Rollback implements storage.AppenderTransaction.
func (a *appender) Rollback() error {
	a.batch.Reset()
	a.records = nil
	return nil
}

// note logs when the queue begins and ends to refuse.
func (a *appendable) note(err error) {
	switch {
	case err != nil && !a.refusing.Swap(true):
		a.log.Warn("scraped samples are lost, the queue does not take them", "err", err)
	case err == nil && a.refusing.Swap(false):
		a.log.Info("the queue takes scraped samples again")
	}
}
