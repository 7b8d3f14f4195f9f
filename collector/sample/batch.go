// Package sample holds metric samples on their way from a source to the queue: a
// Batch collects them and encodes them as one remote write 2.0 request.
//
// It imports Prometheus' label, metadata and remote write message packages (never
// its storage), and no other room of the project. The metric sources of the
// collector (host, scrape, podlogs) import it.
package sample

import (
	"fmt"
	"math"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// Sample is one value of one series.
type Sample struct {
	// Labels identify the series. They include the metric name (__name__) and are
	// sorted, as labels.New and labels.Builder leave them.
	Labels labels.Labels
	// Timestamp is in milliseconds since the Unix epoch.
	Timestamp int64
	// Value is the sample's value; Stale() ends the series.
	Value float64
	// Created is when a counter started from zero, in milliseconds since the Unix
	// epoch; 0 means unknown.
	Created int64
	// Metadata is the type, unit and help of the metric; its zero value means
	// unknown.
	Metadata metadata.Metadata
}

// Stale is the value that marks the end of a series, so that a query stops
// returning it at once instead of after the lookback.
func Stale() float64 { return math.Float64frombits(value.StaleNaN) }

// IsStale says whether v is the end-of-series marker (which is not any NaN).
func IsStale(v float64) bool { return value.IsStaleNaN(v) }

// Batch collects samples for one remote write request. Its zero value is ready to
// use. A Batch belongs to one goroutine at a time.
//
// Add interns every string into the request's symbol table, so a Batch that is
// Reset and filled again with series of similar size does not allocate for each
// sample.
type Batch struct {
	refs    map[string]uint32
	request writev2.Request
	proto   []byte
}

// Add appends one sample. The order of samples is kept.
func (b *Batch) Add(s Sample) {
	b.start()
	series := b.grow()
	series.LabelsRefs = series.LabelsRefs[:0]
	s.Labels.Range(func(l labels.Label) {
		if l.Value == "" {
			return // in Prometheus an empty label is an absent one, and receivers refuse it
		}
		series.LabelsRefs = append(series.LabelsRefs, b.intern(l.Name), b.intern(l.Value))
	})
	series.Samples = append(series.Samples[:0], writev2.Sample{
		Value: s.Value, Timestamp: s.Timestamp, StartTimestamp: s.Created,
	})
	series.Metadata = writev2.Metadata{
		Type:    writev2.FromMetadataType(s.Metadata.Type),
		UnitRef: b.intern(s.Metadata.Unit),
		HelpRef: b.intern(s.Metadata.Help),
	}
}

// Len returns the number of samples added since the last Reset.
func (b *Batch) Len() int { return len(b.request.Timeseries) }

// Reset empties the batch and keeps its memory for the next one.
func (b *Batch) Reset() {
	b.request.Timeseries = b.request.Timeseries[:0]
	clear(b.request.Symbols) // or the strings of past batches stay reachable
	b.request.Symbols = b.request.Symbols[:0]
	clear(b.refs)
}

// Encode returns the batch as a snappy-compressed (block format)
// io.prometheus.write.v2.Request in a new slice, and leaves the batch as it is.
// The same samples added in the same order encode to the same bytes.
func (b *Batch) Encode() ([]byte, error) {
	b.start() // an empty request still has the empty string as its first symbol
	proto, err := b.request.OptimizedMarshal(b.proto[:0])
	if err != nil {
		return nil, fmt.Errorf("marshal remote write request of %d samples: %w", b.Len(), err)
	}
	b.proto = proto
	return s2.EncodeSnappy(nil, proto), nil
}

// start makes the symbol table what the protocol requires: reference 0 is "".
func (b *Batch) start() {
	if b.refs == nil {
		b.refs = make(map[string]uint32)
	}
	if len(b.request.Symbols) == 0 {
		b.request.Symbols = append(b.request.Symbols, "")
	}
}

// grow extends the request by one series and returns it with whatever slices an
// earlier batch left there.
func (b *Batch) grow() *writev2.TimeSeries {
	n := len(b.request.Timeseries)
	if n < cap(b.request.Timeseries) {
		b.request.Timeseries = b.request.Timeseries[:n+1]
	} else {
		b.request.Timeseries = append(b.request.Timeseries, writev2.TimeSeries{})
	}
	return &b.request.Timeseries[n]
}

func (b *Batch) intern(s string) uint32 {
	if s == "" {
		return 0
	}
	if ref, ok := b.refs[s]; ok {
		return ref
	}
	ref := uint32(len(b.request.Symbols))
	b.request.Symbols = append(b.request.Symbols, s)
	b.refs[s] = ref
	return ref
}
