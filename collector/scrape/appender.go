package scrape

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/yagura-dev/yagura/collector/queue"
	"github.com/yagura-dev/yagura/collector/sample"
)

// Sink takes a batch into the disk queue; nil means that it is there to stay.
type Sink interface {
	Append(ctx context.Context, s queue.Stream, payload []byte) error
}

// storer is the storage that the scrape manager writes to: each scrape is one
// transaction, and so one record of the queue. It is safe for concurrent use.
type storer struct {
	sink     Sink
	external labels.Labels
	metrics  *metrics
}

// AppenderV2 implements storage.AppendableV2.
func (s *storer) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &transaction{ctx: ctx, storer: s, builder: labels.NewBuilder(labels.EmptyLabels())}
}

// transaction collects the samples of one scrape.
type transaction struct {
	*storer
	ctx     context.Context
	batch   sample.Batch
	builder *labels.Builder
}

// Append implements storage.AppenderV2. A queue has no use for series references, but
// the scrape loop remembers by them which series a target had, to mark the end of
// those that vanish; a hash of the labels tells them apart as well.
func (t *transaction) Append(ref storage.SeriesRef, ls labels.Labels, st, ts int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AppendV2Options) (storage.SeriesRef, error) {
	if h != nil || fh != nil {
		// A job has to ask for native histograms; without that, targets send the
		// classic form, which arrives as floats.
		t.metrics.dropped.WithLabelValues("native_histogram").Inc()
	} else {
		t.batch.Add(sample.Sample{Labels: t.label(ls), Timestamp: ts, Value: v, Created: st, Metadata: o.Metadata})
	}
	if ref == 0 {
		ref = storage.SeriesRef(ls.Hash() | 1) // 0 means "no reference"
	}
	return ref, nil
}

// label adds the external labels that the series lacks, as Prometheus does before
// it sends samples away.
func (t *transaction) label(ls labels.Labels) labels.Labels {
	if t.external.IsEmpty() {
		return ls
	}
	t.builder.Reset(ls)
	t.external.Range(func(l labels.Label) {
		if !ls.Has(l.Name) {
			t.builder.Set(l.Name, l.Value)
		}
	})
	return t.builder.Labels()
}

// SetOptions implements storage.AppenderTransaction; its options concern a TSDB.
func (t *transaction) SetOptions(*storage.AppendOptions) {}

// Commit puts the scrape into the queue, as one record.
func (t *transaction) Commit() error {
	n := t.batch.Len()
	if n == 0 {
		return nil
	}
	payload, err := t.batch.Encode()
	if err != nil {
		t.metrics.dropped.WithLabelValues("encoding").Add(float64(n))
		return fmt.Errorf("encode %d scraped samples: %w", n, err)
	}
	// The scrape's own context ends with its timeout, or with the target; what was
	// read is kept all the same.
	if err := t.sink.Append(context.WithoutCancel(t.ctx), queue.Metrics, payload); err != nil {
		reason := "queue_error"
		if errors.Is(err, queue.ErrFull) {
			reason = "queue_full"
		}
		t.metrics.dropped.WithLabelValues(reason).Add(float64(n))
		return fmt.Errorf("queue %d scraped samples: %w", n, err)
	}
	t.metrics.samples.Add(float64(n))
	return nil
}

// Rollback forgets the scrape.
func (t *transaction) Rollback() error {
	t.batch.Reset()
	return nil
}
