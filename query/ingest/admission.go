package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"golang.org/x/sync/semaphore"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
)

// SampleStore is where samples go: the metrics store.
type SampleStore interface {
	AppendBatch(ctx context.Context, id columnar.BatchID, write func(*metrics.Appender) error) (res metrics.Result, duplicate bool, err error)
}

// Options is what an Ingester needs from the process it runs in. Samples and Rows
// are required; the others get a quiet default.
type Options struct {
	Config  Config
	Samples SampleStore
	Rows    columnar.Writer
	// SampleWindow is how far a sample may lie behind the newest one; it bounds the
	// work that one OTLP request can cause. Default 12h.
	SampleWindow time.Duration
	Logger       *slog.Logger
	Registerer   prometheus.Registerer
	Now          func() time.Time
}

// Ingester takes telemetry in. It is safe for concurrent use.
type Ingester struct {
	cfg     Config
	samples SampleStore
	rows    columnar.Writer
	window  time.Duration
	logger  *slog.Logger
	now     func() time.Time

	telemetry *telemetry
	memory    *semaphore.Weighted
	streams   *streamCounter
	rates     *rateLimiter
	parser    parser.Parser
}

// New returns an Ingester.
func New(opts Options) (*Ingester, error) {
	if err := opts.Config.Validate(); err != nil {
		return nil, fmt.Errorf("ingest configuration: %w", err)
	}
	if opts.Samples == nil || opts.Rows == nil {
		return nil, fmt.Errorf("ingest needs a store for samples and one for rows")
	}
	if opts.SampleWindow == 0 {
		opts.SampleWindow = 12 * time.Hour
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Registerer == nil {
		opts.Registerer = prometheus.NewRegistry()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	c := opts.Config
	return &Ingester{
		cfg:       c,
		samples:   opts.Samples,
		rows:      opts.Rows,
		window:    opts.SampleWindow,
		logger:    opts.Logger,
		now:       opts.Now,
		telemetry: newTelemetry(opts.Registerer, c.MaxTenantLabels),
		memory:    semaphore.NewWeighted(c.MaxInFlightBytes),
		streams:   newStreamCounter(c.MaxStreamsPerTenant, c.MaxStreams),
		rates:     newRateLimiter(c.TenantBytesPerSecond, c.TenantBurstBytes, 10*c.MaxTenantLabels),
		parser:    parser.NewParser(parser.Options{}),
	}, nil
}

// The names of protocols and signals in our metrics.
const (
	protocolOTLPHTTP    = "otlp_http"
	protocolOTLPGRPC    = "otlp_grpc"
	protocolRemoteWrite = "remote_write"
	protocolLoki        = "loki"

	signalLogs    = "logs"
	signalTraces  = "traces"
	signalMetrics = "metrics"
)

// rowBatch gathers the rows of one request, refusing those beyond a limit.
type rowBatch struct {
	g       *Ingester
	signal  string
	now     time.Time
	batch   columnar.Batch
	byKey   map[string]*rowStream
	streams []*rowStream
	bytes   map[columnar.Tenant]int64
	refused refusals
	rows    int
	levels  bool // levels are found out
}

// rowStream is a stream that rows are added to. refused is why none may be.
type rowStream struct {
	tenant        columnar.Tenant
	labels        labels.Labels
	level         string // that the labels name, if levels are found out
	rows          []columnar.Row
	refused, text string
}

func (g *Ingester) newRowBatch(id columnar.BatchID, table columnar.Table, signal string) *rowBatch {
	return &rowBatch{
		g:      g,
		signal: signal,
		now:    g.now(),
		batch:  columnar.Batch{ID: id, Table: table},
		byKey:  make(map[string]*rowStream),
		bytes:  make(map[columnar.Tenant]int64),
		levels: table == columnar.Logs && g.cfg.DiscoverLevel,
	}
}

// stream returns the stream of the labels, the same for the same labels.
func (b *rowBatch) stream(ls labels.Labels) *rowStream {
	var buf [256]byte
	key := ls.Bytes(buf[:])
	if s, ok := b.byKey[string(key)]; ok {
		return s
	}
	s := &rowStream{tenant: TenantOf(ls), labels: ls}
	if s.refused, s.text = b.g.cfg.checkStream(ls); s.refused == "" && !b.g.streams.use(s.tenant, ls.Hash(), b.now) {
		s.refused = reasonTooManyStreams
		s.text = fmt.Sprintf("stream %s is new, and maxStreamsPerTenant %d or maxStreams %d is reached", shortLabels(ls), b.g.cfg.MaxStreamsPerTenant, b.g.cfg.MaxStreams)
	}
	if b.levels {
		s.level = levelOfLabels(ls)
	}
	b.byKey[string(key)] = s
	b.streams = append(b.streams, s)
	return s
}

// grow makes room for n more rows.
func (s *rowStream) grow(n int) {
	if s.refused == "" {
		s.rows = slices.Grow(s.rows, n)
	}
}

func (b *rowBatch) add(s *rowStream, r columnar.Row) {
	if s.refused != "" {
		b.refused.add(s.tenant, s.refused, s.text, 1)
		return
	}
	size, reason, text := b.g.cfg.checkRow(r, b.now.UnixNano())
	if reason != "" {
		b.refused.add(s.tenant, reason, text, 1)
		return
	}
	if b.levels {
		addLevel(&r, s.level)
	}
	s.rows = append(s.rows, r)
	b.bytes[s.tenant] += int64(size)
	b.rows++
}

// commit makes the rows durable. Rows that were refused before are counted only
// when the others are stored, since the sender comes again with all of them
// otherwise.
func (b *rowBatch) commit(ctx context.Context) error {
	if b.rows > 0 {
		if r := b.g.rates.take(b.bytes, b.now); r != nil {
			return r
		}
		for _, s := range b.streams {
			if len(s.rows) > 0 {
				b.batch.Streams = append(b.batch.Streams, columnar.Stream{Tenant: s.tenant, Labels: s.labels, Rows: s.rows})
			}
		}
		start := time.Now()
		duplicate, err := b.g.rows.Append(ctx, b.batch)
		if err != nil {
			return fmt.Errorf("store %s: %w", b.signal, err)
		}
		b.g.telemetry.store.WithLabelValues(b.signal).Observe(time.Since(start).Seconds())
		if duplicate {
			b.g.telemetry.duplicates.WithLabelValues(b.signal).Inc()
			return nil
		}
	}
	b.g.telemetry.accepted.WithLabelValues(b.signal).Add(float64(b.rows))
	b.g.telemetry.countRefusals(b.signal, &b.refused)
	return nil
}

// storeSamples makes the samples that write appends durable. refused are those
// that were refused before they reached the store; the store's are added to it.
func (g *Ingester) storeSamples(ctx context.Context, id columnar.BatchID, refused *refusals, write func(*metrics.Appender) error) (res metrics.Result, duplicate bool, err error) {
	start := time.Now()
	res, duplicate, err = g.samples.AppendBatch(ctx, id, write)
	if err != nil {
		return res, false, fmt.Errorf("store metrics: %w", err)
	}
	g.telemetry.store.WithLabelValues(signalMetrics).Observe(time.Since(start).Seconds())
	if duplicate {
		g.telemetry.duplicates.WithLabelValues(signalMetrics).Inc()
		return res, true, nil
	}
	for reason, n := range res.Refused {
		refused.add(columnar.Tenant{}, string(reason), textOf(res, reason), n)
	}
	g.telemetry.accepted.WithLabelValues(signalMetrics).Add(float64(res.Samples + res.Histograms))
	g.telemetry.countRefusals(signalMetrics, refused)
	return res, false, nil
}

func textOf(res metrics.Result, reason metrics.Reason) string {
	for _, r := range res.Refusals {
		if r.Reason == reason {
			return r.Text
		}
	}
	return string(reason)
}

// finish counts a request's end and returns what to tell the sender when it was
// refused.
func (g *Ingester) finish(protocol, signal string, err error) *refusal {
	if err == nil {
		g.telemetry.requests.WithLabelValues(protocol, signal).Inc()
		return nil
	}
	r := refusalOf(err)
	g.telemetry.rejected.WithLabelValues(protocol, signal, r.reason).Inc()
	if r.reason == "store_failed" {
		g.logger.Error("a request could not be stored", "protocol", protocol, "signal", signal, "err", r.err)
	} else {
		g.logger.Debug("a request was refused", "protocol", protocol, "signal", signal, "reason", r.reason, "err", r.err)
	}
	return r
}
