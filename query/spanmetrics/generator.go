package spanmetrics

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"k8s.io/utils/clock"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
	"github.com/yagura-dev/yagura/query/traces"
)

// Sink is where the metrics go: the metrics store.
type Sink interface {
	AppendBatch(ctx context.Context, id columnar.BatchID, write func(*metrics.Appender) error) (res metrics.Result, duplicate bool, err error)
}

// Options is what a Generator needs from the process it runs in. Rows and Samples
// are required; the others get a quiet default.
type Options struct {
	Config     Config
	Rows       columnar.Writer // what stores the spans
	Samples    Sink
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Clock      clock.WithTicker
}

// Generator stores rows and counts the spans among them. It is safe for concurrent
// use. Counters start at zero with the process.
type Generator struct {
	cfg     Config
	rows    columnar.Writer
	samples Sink
	logger  *slog.Logger
	clock   clock.WithTicker
	metrics *telemetry

	millis, seconds *bounds

	mu       sync.Mutex
	streams  map[string]*stream // by streamKey
	key      []byte             // of the stream at hand
	series   int
	overflow *operation
	graph    *graph
	flushed  int64 // when the last flush was, or the start, Unix milliseconds

	flushMu sync.Mutex // one flush at a time
}

// stream is the spans of all streams whose metrics carry the same labels, by operation.
type stream struct {
	service    string
	kept       []labels.Label // those that metrics carry
	operations map[operationKey]*operation
}

type operationKey struct {
	name   string
	kind   traces.Kind
	status traces.StatusCode
}

// operation counts the spans of one combination of labels.
type operation struct {
	labels    []labels.Label // all but the metric's name and le
	durations *histogram
	calls     storage.SeriesRef
	last      example // the newest span since the last flush
	used      int64   // Unix milliseconds
	written   bool    // its series began with a zero
}

// The labels of metrics.
const (
	labelService = "service_name"
	labelName    = "span_name"
	labelKind    = "span_kind"
	labelStatus  = "status_code"
	// labelOverflow is OpenTelemetry's name for what is beyond a limit.
	labelOverflow = "otel_metric_overflow"

	unknownService = "unknown_service"
)

// New returns a generator. Its Run must be running for the metrics to be written.
func New(opts Options) (*Generator, error) {
	if err := opts.Config.Validate(); err != nil {
		return nil, fmt.Errorf("span metrics configuration: %w", err)
	}
	if opts.Rows == nil || opts.Samples == nil {
		return nil, fmt.Errorf("span metrics need a store for rows and one for samples")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	var durations []time.Duration
	for _, b := range opts.Config.Buckets {
		durations = append(durations, time.Duration(b))
	}
	g := &Generator{
		cfg: opts.Config, rows: opts.Rows, samples: opts.Samples, logger: opts.Logger, clock: opts.Clock,
		metrics: newTelemetry(opts.Registerer),
		millis:  newBounds(durations, time.Millisecond), seconds: newBounds(durations, time.Second),
		streams: map[string]*stream{},
		flushed: opts.Clock.Now().UnixMilli(),
	}
	g.graph = newGraph(g.cfg, g.seconds, g.metrics)
	return g, nil
}

// Append implements columnar.Writer. Only spans that were stored now are counted:
// neither those of a batch that failed, nor those of a repeat.
func (g *Generator) Append(ctx context.Context, b columnar.Batch) (duplicate bool, err error) {
	duplicate, err = g.rows.Append(ctx, b)
	if err != nil || duplicate || b.Table != columnar.Spans || !g.cfg.Enabled {
		return duplicate, err
	}
	g.observe(b)
	return false, nil
}

func (g *Generator) observe(b columnar.Batch) {
	now := g.clock.Now()
	oldest := now.Add(-time.Duration(g.cfg.MaxAge)).UnixNano()
	counted, old, over := 0, 0, 0
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range b.Streams {
		s := g.stream(b.Streams[i].Labels)
		for j := range b.Streams[i].Rows {
			var p peers
			o := traces.OutlineOf(b.Streams[i].Rows[j], p.attribute)
			if o.Start+o.Duration < oldest {
				old++
				continue
			}
			if !g.count(s, &o, now.UnixMilli()) {
				over++
			}
			counted++
			g.graph.observe(s.service, &o, &p, now.UnixMilli())
		}
	}
	g.metrics.spans.WithLabelValues("counted").Add(float64(counted - over))
	g.metrics.spans.WithLabelValues("overflow").Add(float64(over))
	g.metrics.spans.WithLabelValues("too_old").Add(float64(old))
	g.metrics.series.Set(float64(g.series))
}

func serviceOf(ls labels.Labels) string {
	if v := ls.Get(labelService); v != "" {
		return v
	}
	return unknownService
}

// appendStreamKey writes what the metrics of a stream carry. Streams that differ in other
// labels only must be counted as one, since they write the same series.
func (g *Generator) appendStreamKey(dst []byte, ls labels.Labels) []byte {
	add := func(v string) {
		dst = binary.AppendUvarint(dst, uint64(len(v)))
		dst = append(dst, v...)
	}
	add(serviceOf(ls))
	for _, name := range g.cfg.Labels {
		add(ls.Get(name))
	}
	return dst
}

// stream returns what is counted of a stream.
func (g *Generator) stream(ls labels.Labels) *stream {
	g.key = g.appendStreamKey(g.key[:0], ls)
	if s := g.streams[string(g.key)]; s != nil {
		return s
	}
	// Of streams without series of their own nothing is kept, so that streams cannot
	// fill the memory.
	s := &stream{service: serviceOf(ls), operations: map[operationKey]*operation{}}
	for _, name := range g.cfg.Labels {
		if v := ls.Get(name); v != "" {
			s.kept = append(s.kept, labels.Label{Name: name, Value: v})
		}
	}
	return s
}

// keep makes the stream at hand known, with labels of its own.
func (g *Generator) keep(s *stream) {
	s.service = strings.Clone(s.service)
	for i := range s.kept {
		s.kept[i].Value = strings.Clone(s.kept[i].Value)
	}
	g.streams[string(g.key)] = s
}

// count adds one span, and reports false when it went to the overflow.
func (g *Generator) count(s *stream, o *traces.Outline, now int64) bool {
	key := operationKey{name: labelValue(o.Name), kind: o.Kind, status: o.Status}
	op, within := s.operations[key], true
	switch {
	case op != nil:
	case g.series >= g.cfg.MaxSeries:
		within = false
		if g.overflow == nil {
			g.overflow = &operation{labels: []labels.Label{{Name: labelOverflow, Value: "true"}}, durations: g.millis.newHistogram()}
		}
		op = g.overflow
	default:
		if len(s.operations) == 0 {
			g.keep(s)
		}
		key.name = strings.Clone(key.name)
		op = &operation{labels: operationLabels(s, key), durations: g.millis.newHistogram()}
		s.operations[key] = op
		g.series++
	}
	e := newExample(o.TraceID, o.SpanID, now)
	g.millis.observe(op.durations, time.Duration(o.Duration), e)
	e.value = 1
	op.last, op.used = e, now
	return within
}

func operationLabels(s *stream, key operationKey) []labels.Label {
	return append([]labels.Label{
		{Name: labelService, Value: s.service},
		{Name: labelName, Value: key.name},
		{Name: labelKind, Value: "SPAN_KIND_" + strings.ToUpper(key.kind.String())},
		{Name: labelStatus, Value: "STATUS_CODE_" + strings.ToUpper(key.status.String())},
	}, s.kept...)
}

// maxValueBytes bounds a label's value.
const maxValueBytes = 512

// labelValue makes any text fit for a label's value.
func labelValue(s string) string {
	if len(s) > maxValueBytes {
		s = s[:maxValueBytes]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
