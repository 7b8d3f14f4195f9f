package metrics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// Reason is why the store refused a sample or exemplar.
type Reason string

// The reasons.
const (
	ReasonTooOld             Reason = "too_old"              // behind the out-of-order window
	ReasonTooNew             Reason = "too_far_in_future"    // ahead of the clock
	ReasonDuplicateTimestamp Reason = "duplicate_timestamp"  // another value at this time is stored
	ReasonInvalidLabels      Reason = "invalid_labels"       // no name, a name twice, not UTF-8
	ReasonReservedName       Reason = "reserved_metric_name" // MarkerName
	ReasonTooManyLabels      Reason = "too_many_labels"
	ReasonLabelNameTooLong   Reason = "label_name_too_long"
	ReasonLabelValueTooLong  Reason = "label_value_too_long"
	ReasonInvalidHistogram   Reason = "invalid_histogram"
	ReasonSeriesLimit        Reason = "series_limit" // Config.MaxSeries
	ReasonExemplarOutOfOrder Reason = "exemplar_out_of_order"
	ReasonInvalidExemplar    Reason = "invalid_exemplar"
)

// Refusal is one refused sample or exemplar: why, and in words that name the
// series.
type Refusal struct {
	Reason Reason
	Text   string
}

// Result says what became of a batch's samples.
type Result struct {
	Samples    int // float samples stored
	Histograms int // native histogram samples stored
	Exemplars  int // exemplars stored; each also counted when the ring dropped it as a repeat
	Refused    map[Reason]int
	// Refusals are the first few, for the answer to the sender.
	Refusals []Refusal
}

// maxRefusals bounds the texts that are kept; all are counted.
const maxRefusals = 10

// RefusedSamples is the number of refused samples, without exemplars: a refused
// exemplar loses no measurement.
func (r Result) RefusedSamples() int {
	n := 0
	for reason, c := range r.Refused {
		if reason != ReasonExemplarOutOfOrder && reason != ReasonInvalidExemplar {
			n += c
		}
	}
	return n
}

func (r *Result) refuse(reason Reason, ls labels.Labels, cause string) {
	if r.Refused == nil {
		r.Refused = make(map[Reason]int)
	}
	r.Refused[reason]++
	if len(r.Refusals) < maxRefusals {
		r.Refusals = append(r.Refusals, Refusal{Reason: reason, Text: fmt.Sprintf("%s: %s", shortSeries(ls), cause)})
	}
}

// shortSeries is the series for a message, cut so that a hostile one cannot fill
// logs and answers.
func shortSeries(ls labels.Labels) string {
	const most = 256
	s := ls.String()
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}

// Appender takes the samples of one batch. A refused sample is noted in the
// batch's Result and Append returns nil, so that what writes goes on with the
// next; an error means that the whole batch must fail, and must be returned.
type Appender struct {
	s       *Store
	ctx     context.Context
	app     storage.AppenderV2
	create  bool // may create series; see Store.createMu
	metNew  bool // met a series it would have to create
	maxTime int64
	result  Result
}

// errNewSeries ends a batch that may not create series.
var errNewSeries = errors.New("the batch creates series")

var (
	_ storage.AppenderV2         = (*Appender)(nil)
	_ storage.ExemplarAppenderV2 = (*Appender)(nil)
)

func (s *Store) newAppender(ctx context.Context, create bool) *Appender {
	return &Appender{
		s:       s,
		ctx:     ctx,
		app:     s.db.AppenderV2(ctx),
		create:  create,
		maxTime: s.now().Add(time.Duration(s.cfg.MaxFutureTime)).UnixMilli(),
	}
}

// Append adds a float sample, or a native histogram when h or fh is given, and
// the exemplars and metadata that come with it. The reference it returns is 0
// when the sample was refused.
func (a *Appender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	if err := a.ctx.Err(); err != nil {
		return 0, err
	}
	if t > a.maxTime {
		a.result.refuse(ReasonTooNew, ls, fmt.Sprintf("timestamp %s is more than %s ahead of the clock", formatTime(t), a.s.cfg.MaxFutureTime))
		return 0, nil
	}
	if ref == 0 {
		if reason, text := a.checkSeries(ls); reason != "" {
			a.result.refuse(reason, ls, text)
			return 0, nil
		}
		var refused bool
		if ref, refused = a.find(ls); refused {
			return 0, nil
		}
		if ref == 0 && !a.create {
			a.metNew = true
			return 0, errNewSeries
		}
	}
	if err := reduceResolution(h, fh); err != nil {
		a.result.refuse(ReasonInvalidHistogram, ls, err.Error())
		return 0, nil
	}
	if !opts.Metadata.IsEmpty() {
		a.s.meta.set(familyName(opts.MetricFamilyName, ls.Get(model.MetricNameLabel), opts.Metadata.Type), opts.Metadata)
	}
	exemplars := opts.Exemplars
	opts.Exemplars = nil
	ref, err := a.app.Append(ref, ls, st, t, v, h, fh, opts)
	if err != nil {
		reason, ok := refusalOf(err)
		if !ok {
			return 0, fmt.Errorf("append sample of %s: %w", shortSeries(ls), err)
		}
		a.result.refuse(reason, ls, fmt.Sprintf("%v, timestamp %s", err, formatTime(t)))
		return 0, nil
	}
	if h != nil || fh != nil {
		a.result.Histograms++
	} else {
		a.result.Samples++
	}
	if len(exemplars) > 0 {
		return a.AppendExemplars(ref, ls, exemplars)
	}
	return ref, nil
}

// AppendExemplars adds exemplars to a series that got a sample before. They need
// not be sorted.
func (a *Appender) AppendExemplars(ref storage.SeriesRef, ls labels.Labels, exemplars []exemplar.Exemplar) (storage.SeriesRef, error) {
	app, ok := a.app.(storage.ExemplarAppenderV2)
	if !ok || a.s.cfg.MaxExemplars == 0 {
		return ref, nil
	}
	valid := make([]exemplar.Exemplar, 0, len(exemplars))
	for _, e := range exemplars {
		if e.Ts > a.maxTime {
			a.result.refuse(ReasonInvalidExemplar, ls, "exemplar timestamp is ahead of the clock")
			continue
		}
		if !e.Labels.IsValid(model.UTF8Validation) {
			a.result.refuse(ReasonInvalidExemplar, ls, "exemplar label is not valid UTF-8")
			continue
		}
		valid = append(valid, e)
	}
	if len(valid) == 0 {
		return ref, nil
	}
	slices.SortFunc(valid, exemplar.Compare)
	newRef, err := app.AppendExemplars(ref, ls, valid)
	var partial *storage.AppendPartialError
	switch {
	case errors.As(err, &partial):
		for _, e := range partial.ExemplarErrors {
			reason := ReasonInvalidExemplar
			if errors.Is(e.Err, storage.ErrOutOfOrderExemplar) {
				reason = ReasonExemplarOutOfOrder
			}
			a.result.refuse(reason, ls, e.Err.Error())
		}
		a.result.Exemplars += len(valid) - len(partial.ExemplarErrors)
	case err != nil:
		return 0, fmt.Errorf("append exemplars of %s: %w", shortSeries(ls), err)
	default:
		a.result.Exemplars += len(valid)
	}
	return newRef, nil
}

// SetMetadata notes the type, help and unit of a metric family for /metadata.
func (a *Appender) SetMetadata(family string, m Metadata) { a.s.meta.set(family, m) }

// Refuse notes a sample that the caller could not even offer.
func (a *Appender) Refuse(reason Reason, ls labels.Labels, text string) {
	a.result.refuse(reason, ls, text)
}

// Result is what was appended and refused so far.
func (a *Appender) Result() Result { return a.result }

// Commit and Rollback belong to AppendBatch; code that takes any appender, like
// the OTLP converter, does not call them.
func (a *Appender) Commit() error { return errors.New("only AppendBatch commits") }

// Rollback does nothing; see Commit.
func (a *Appender) Rollback() error { return nil }

func (a *Appender) checkSeries(ls labels.Labels) (Reason, string) {
	cfg := a.s.cfg
	name := ls.Get(model.MetricNameLabel)
	switch {
	case name == "":
		return ReasonInvalidLabels, "the metric has no name"
	case name == MarkerName:
		return ReasonReservedName, "the name is reserved"
	case ls.Len() > cfg.MaxLabels:
		return ReasonTooManyLabels, fmt.Sprintf("%d labels, maxLabels is %d", ls.Len(), cfg.MaxLabels)
	case !ls.IsValid(model.UTF8Validation):
		return ReasonInvalidLabels, "a label name or value is empty or not valid UTF-8"
	}
	if dup, ok := ls.HasDuplicateLabelNames(); ok {
		return ReasonInvalidLabels, fmt.Sprintf("label %q is there twice", dup)
	}
	var reason Reason
	var text string
	ls.Range(func(l labels.Label) {
		switch {
		case reason != "":
		case len(l.Name) > cfg.MaxLabelNameBytes:
			reason, text = ReasonLabelNameTooLong, fmt.Sprintf("a label name has %d bytes, maxLabelNameBytes is %d", len(l.Name), cfg.MaxLabelNameBytes)
		case len(l.Value) > cfg.MaxLabelValueBytes:
			reason, text = ReasonLabelValueTooLong, fmt.Sprintf("label %q has %d bytes, maxLabelValueBytes is %d", l.Name, len(l.Value), cfg.MaxLabelValueBytes)
		}
	})
	return reason, text
}

// find returns the reference of a series, 0 when it is not there yet, and whether
// it is refused because there are too many.
func (a *Appender) find(ls labels.Labels) (ref storage.SeriesRef, refused bool) {
	if g, ok := a.app.(storage.GetRef); ok {
		ls = ls.WithoutEmpty() // as the TSDB keeps it
		ref, _ = g.GetRef(ls, ls.Hash())
	}
	if ref == 0 && a.s.db.Head().NumSeries() >= uint64(a.s.cfg.MaxSeries) {
		a.result.refuse(ReasonSeriesLimit, ls, fmt.Sprintf("maxSeries is %d", a.s.cfg.MaxSeries))
		return 0, true
	}
	return ref, false
}

// refusalOf tells a sample that cannot be stored from a store that cannot store.
func refusalOf(err error) (Reason, bool) {
	var bad histogram.Error
	switch {
	case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrOutOfOrderSample):
		return ReasonTooOld, true
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		return ReasonDuplicateTimestamp, true
	case errors.Is(err, tsdb.ErrInvalidSample):
		return ReasonInvalidLabels, true
	case errors.As(err, &bad):
		return ReasonInvalidHistogram, true
	}
	return "", false
}

// reduceResolution brings exponential histograms that are finer than the TSDB
// stores to the finest it does.
func reduceResolution(h *histogram.Histogram, fh *histogram.FloatHistogram) error {
	if h != nil && histogram.IsExponentialSchemaReserved(h.Schema) && h.Schema > histogram.ExponentialSchemaMax {
		return h.ReduceResolution(histogram.ExponentialSchemaMax)
	}
	if fh != nil && histogram.IsExponentialSchemaReserved(fh.Schema) && fh.Schema > histogram.ExponentialSchemaMax {
		return fh.ReduceResolution(histogram.ExponentialSchemaMax)
	}
	return nil
}

func formatTime(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }
