package spanmetrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
)

// The metrics.
const (
	nameCalls    = "traces_span_metrics_calls_total"
	nameDuration = "traces_span_metrics_duration_milliseconds"
	nameRequests = "traces_service_graph_request_total"
	nameFailed   = "traces_service_graph_request_failed_total"
	nameServer   = "traces_service_graph_request_server_seconds"
	nameClient   = "traces_service_graph_request_client_seconds"
)

var families = map[string]metrics.Metadata{
	nameCalls:    {Type: model.MetricTypeCounter, Help: "Spans by operation."},
	nameDuration: {Type: model.MetricTypeHistogram, Unit: "milliseconds", Help: "Duration of spans by operation."},
	nameRequests: {Type: model.MetricTypeCounter, Help: "Calls from one service to another."},
	nameFailed:   {Type: model.MetricTypeCounter, Help: "Calls from one service to another that either side says failed."},
	nameServer:   {Type: model.MetricTypeHistogram, Unit: "seconds", Help: "Duration of calls as the callee measured it."},
	nameClient:   {Type: model.MetricTypeHistogram, Unit: "seconds", Help: "Duration of calls as the caller measured it."},
}

// maxFlushSamples is how many samples are written at once: a batch that creates
// series keeps all others waiting.
const maxFlushSamples = 10_000

// sample is one series of one flush.
type sample struct {
	name, le string // le only of buckets
	labels   []labels.Label
	value    float64
	first    bool // its series begins
	ref      *storage.SeriesRef
	example  *example
	// got is the reference that the store gave, to be kept once it has stored.
	got storage.SeriesRef
}

// Run writes the metrics every interval until ctx ends, and then once more.
func (g *Generator) Run(ctx context.Context) error {
	if !g.cfg.Enabled {
		<-ctx.Done()
		return nil
	}
	ticker := g.clock.NewTicker(time.Duration(g.cfg.Interval))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			g.flushOrLog(last)
			return nil
		case <-ticker.C():
			g.flushOrLog(ctx)
		}
	}
}

func (g *Generator) flushOrLog(ctx context.Context) {
	if err := g.Flush(ctx); err != nil && !errors.Is(err, columnar.ErrClosed) && ctx.Err() == nil {
		g.logger.Error("span metrics were not written; trying again later", "err", err)
	}
}

// Flush writes what the metrics are now. What it could not write is in what the
// next flush writes, exemplars excepted.
func (g *Generator) Flush(ctx context.Context) error {
	g.flushMu.Lock()
	defer g.flushMu.Unlock()
	now := g.clock.Now().UnixMilli()
	begun := g.flushed + 1
	if now <= begun {
		return nil
	}
	samples, written := g.collect(now)
	for chunk := range slices.Chunk(samples, maxFlushSamples) {
		if err := g.write(ctx, chunk, begun, now); err != nil {
			g.metrics.failures.Inc()
			return fmt.Errorf("write span metrics: %w", err)
		}
	}
	for _, w := range written {
		*w = true
	}
	g.flushed = now
	return nil
}

// write stores samples at now. A counter that is new begins with a zero at begun:
// Prometheus takes the first value of a series for what was there before, and would
// lose it in every rate.
func (g *Generator) write(ctx context.Context, samples []sample, begun, now int64) error {
	b := labels.NewScratchBuilder(16)
	res, _, err := g.samples.AppendBatch(ctx, columnar.BatchID{}, func(app *metrics.Appender) error {
		for name, m := range families {
			app.SetMetadata(name, m)
		}
		for i := range samples {
			s := &samples[i]
			ref, ls := *s.ref, labels.EmptyLabels()
			if ref == 0 {
				ls = s.series(&b)
			}
			if s.first {
				var err error
				if ref, err = app.Append(ref, ls, begun, begun, 0, nil, nil, storage.AOptions{}); err != nil {
					return err
				}
			}
			var opts storage.AOptions
			if e := s.example; e != nil {
				opts.Exemplars = []exemplar.Exemplar{{Labels: e.labels(), Value: e.value, Ts: e.at, HasTs: true}}
			}
			var err error
			if s.got, err = app.Append(ref, ls, begun, now, s.value, nil, nil, opts); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	g.metrics.refused.Add(float64(res.RefusedSamples()))
	for i := range samples {
		*samples[i].ref = samples[i].got
	}
	return nil
}

func (s *sample) series(b *labels.ScratchBuilder) labels.Labels {
	b.Reset()
	b.Add(model.MetricNameLabel, s.name)
	for _, l := range s.labels {
		if l.Value != "" {
			b.Add(l.Name, l.Value)
		}
	}
	if s.le != "" {
		b.Add("le", s.le)
	}
	b.Sort()
	return b.Labels()
}

func (e *example) labels() labels.Labels {
	return labels.FromStrings("trace_id", text(e.trace[:]), "span_id", text(e.span[:])).WithoutEmpty()
}

func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

// collect takes the values of all series, and forgets those that were idle: these
// end with a stale marker. written are to be set once the samples are stored.
func (g *Generator) collect(now int64) (samples []sample, written []*bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.graph.expire(now)
	oldest := now - time.Duration(g.cfg.Idle).Milliseconds()
	c := &collector{}
	for streamKey, s := range g.streams {
		for key, op := range s.operations {
			idle := op.used < oldest
			c.operation(op, g.millis, idle)
			if idle {
				delete(s.operations, key)
				g.series--
			}
		}
		if len(s.operations) == 0 {
			delete(g.streams, streamKey)
		}
	}
	if g.overflow != nil {
		c.operation(g.overflow, g.millis, false)
	}
	for key, e := range g.graph.edges {
		idle := e.used < oldest
		c.edge(e, g.seconds, idle)
		if idle {
			delete(g.graph.edges, key)
		}
	}
	if g.graph.overflow != nil {
		c.edge(g.graph.overflow, g.seconds, false)
	}
	g.metrics.series.Set(float64(g.series))
	g.metrics.edges.Set(float64(len(g.graph.edges)))
	g.metrics.pending.Set(float64(len(g.graph.pending)))
	return c.samples, c.written
}

// collector gathers the samples of one flush.
type collector struct {
	samples []sample
	written []*bool
	labels  []labels.Label
	first   bool
	idle    bool
}

func (c *collector) begin(ls []labels.Label, written *bool, idle bool) {
	c.labels, c.first, c.idle = ls, !*written, idle
	c.written = append(c.written, written)
}

func (c *collector) add(name, le string, v float64, ref *storage.SeriesRef, e *example) {
	if e != nil {
		if e.trace[0] == 0 {
			e = nil
		} else {
			taken := *e
			*e, e = example{}, &taken
		}
	}
	if c.idle {
		v = math.Float64frombits(value.StaleNaN)
	}
	c.samples = append(c.samples, sample{name: name, le: le, labels: c.labels, value: v, first: c.first, ref: ref, example: e})
}

func (c *collector) operation(op *operation, b *bounds, idle bool) {
	c.begin(op.labels, &op.written, idle)
	total := c.histogram(nameDuration, op.durations, b)
	c.add(nameCalls, "", total, &op.calls, &op.last)
}

func (c *collector) edge(e *edge, b *bounds, idle bool) {
	c.begin(e.labels, &e.written, idle)
	c.add(nameRequests, "", float64(e.total), &e.refs[0], nil)
	c.add(nameFailed, "", float64(e.failed), &e.refs[1], nil)
	c.histogram(nameServer, e.server, b)
	c.histogram(nameClient, e.client, b)
}

// histogram returns the count.
func (c *collector) histogram(name string, h *histogram, b *bounds) float64 {
	var total uint64
	n := len(h.counts)
	for i, count := range h.counts {
		total += count
		c.add(name+"_bucket", b.texts[i], float64(total), &h.refs[i], &h.examples[i])
	}
	c.add(name+"_sum", "", h.sum, &h.refs[n], nil)
	c.add(name+"_count", "", float64(total), &h.refs[n+1], nil)
	return float64(total)
}
