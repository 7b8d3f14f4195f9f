package logs

import (
	"fmt"
	"time"

	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/prometheus/prometheus/model/labels"
)

// entryBytes is what a line of an answer takes beside its text.
const entryBytes = 128

// entryIterator runs a pipeline over the rows of a selection. The store orders
// rows over all streams, so one iterator serves the whole query and nothing is
// collected.
type entryIterator struct {
	sel   *selection[log.StreamPipeline]
	meta  labels.Labels
	entry logproto.Entry
	lbls  log.LabelsResult
	hash  uint64
	size  int64 // of the entries so far
}

func (it *entryIterator) Next() bool {
	for it.sel.next() {
		st := it.sel.stream()
		line := it.sel.line()
		ts := it.sel.timestamp()
		out, lbls, ok := st.value.ProcessString(ts, line, it.sel.metadata(&it.meta))
		if !ok {
			continue
		}
		it.sel.kept++
		it.entry = logproto.Entry{
			Timestamp:          time.Unix(0, ts),
			Line:               detach(out, line),
			StructuredMetadata: logproto.FromLabelsToLabelAdapters(lbls.StructuredMetadata()),
			Parsed:             logproto.FromLabelsToLabelAdapters(lbls.Parsed()),
		}
		it.lbls, it.hash = lbls, st.hash
		size := int64(len(it.entry.Line) + len(lbls.String()))
		if err := it.sel.exec.memory.hold(size + entryBytes); err != nil {
			it.sel.err = it.sel.exec.fail(err)
			return false
		}
		it.size += size
		if limit := it.sel.exec.cfg.MaxAnswerBytes; limit > 0 && it.size > limit {
			it.sel.err = it.sel.exec.fail(&LimitError{Limit: "maxAnswerBytes", Detail: fmt.Sprintf(
				"its answer has more than %d bytes; ask for fewer lines or shorter ones", limit)})
			return false
		}
		return true
	}
	return false
}

func (it *entryIterator) At() logproto.Entry { return it.entry }
func (it *entryIterator) Labels() string     { return it.lbls.String() }
func (it *entryIterator) StreamHash() uint64 { return it.hash }
func (it *entryIterator) Err() error         { return it.sel.err }
func (it *entryIterator) Close() error       { return it.sel.close() }

// sampleIterator runs extractors over the rows of a selection.
type sampleIterator struct {
	sel  *selection[[]log.StreamSampleExtractor]
	meta labels.Labels
	// series counts the distinct label sets that the extractors made: the engine
	// keeps something for each of them, whatever it aggregates them to.
	series  map[uint64]struct{}
	last    log.LabelsResult
	window  *windowGuard
	pending []pendingSample
	at      pendingSample
	hash    uint64
	samples uint64
}

type pendingSample struct {
	sample logproto.Sample
	labels log.LabelsResult
}

func (it *sampleIterator) Next() bool {
	for len(it.pending) == 0 {
		if !it.sel.next() {
			return false
		}
		if err := it.extract(); err != nil {
			it.sel.err = it.sel.exec.fail(err)
			return false
		}
	}
	it.at, it.pending = it.pending[0], it.pending[1:]
	return true
}

func (it *sampleIterator) extract() error {
	it.pending = it.pending[:0]
	st := it.sel.stream()
	ts, line, meta := it.sel.timestamp(), it.sel.line(), it.sel.metadata(&it.meta)
	it.hash = st.hash
	for _, ex := range st.value {
		samples, ok := ex.ProcessString(ts, line, meta)
		if !ok {
			continue
		}
		it.sel.kept++
		for _, s := range samples {
			if err := it.countSeries(s.Labels); err != nil {
				return err
			}
			if err := it.window.add(ts); err != nil {
				return err
			}
			// The hash tells samples apart that share series, time and value; two
			// equal lines are two lines.
			it.samples++
			it.pending = append(it.pending, pendingSample{
				sample: logproto.Sample{Timestamp: ts, Value: s.Value, Hash: it.samples},
				labels: s.Labels,
			})
		}
	}
	return nil
}

func (it *sampleIterator) countSeries(l log.LabelsResult) error {
	if l == it.last {
		return nil
	}
	it.last = l
	it.series[l.Hash()] = struct{}{}
	if limit := it.sel.exec.cfg.MaxInnerSeries; len(it.series) > limit {
		return innerSeriesError(limit)
	}
	return nil
}

func (it *sampleIterator) At() logproto.Sample { return it.at.sample }
func (it *sampleIterator) Labels() string      { return it.at.labels.String() }
func (it *sampleIterator) StreamHash() uint64  { return it.hash }
func (it *sampleIterator) Err() error          { return it.sel.err }
func (it *sampleIterator) Close() error        { return it.sel.close() }
