package queryservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/yagura-dev/yagura/cmd/internal/buildinfo"
	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
	"github.com/yagura-dev/yagura/query/logs"
	"github.com/yagura-dev/yagura/query/metrics"
	"github.com/yagura-dev/yagura/query/server"
	"github.com/yagura-dev/yagura/query/spanmetrics"
	"github.com/yagura-dev/yagura/query/tempo"
	"github.com/yagura-dev/yagura/query/traces"
	"github.com/yagura-dev/yagura/ui"
)

// Service is an opened query service. Close it after its parts have ended.
type Service struct {
	cfg      Config
	logger   *slog.Logger
	rows     *columnar.Store
	samples  *metrics.Store
	spans    *spanmetrics.Generator
	tailers  *logs.Tailers
	ingester *ingest.Ingester
	traces   *traces.API
	server   *server.Server

	autoscaler *server.Autoscaler
}

// Open opens the stores below data and wires everything; nothing listens yet.
func Open(ctx context.Context, cfg Config, data string, logger *slog.Logger, reg *prometheus.Registry) (_ *Service, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, logger: logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.rows, err = columnar.Open(filepath.Join(data, columnarDir), columnar.Options{
		Config: cfg.Store, Logger: logger.With("room", "columnar"), Registerer: reg,
	}); err != nil {
		return nil, fmt.Errorf("open the store of logs and spans: %w", err)
	}
	if s.samples, err = metrics.Open(filepath.Join(data, metricsDir), metrics.Options{
		Config: cfg.Metrics, Logger: logger.With("room", "metrics"), Registerer: reg, Gatherer: reg, Version: buildinfo.Version(),
	}); err != nil {
		return nil, fmt.Errorf("open the store of metrics: %w", err)
	}
	// A batch passes the tails and the span metrics on its way; each looks at what the
	// store has taken for the first time.
	if s.spans, err = spanmetrics.New(spanmetrics.Options{
		Config: cfg.SpanMetrics, Rows: s.rows, Samples: s.samples, Logger: logger.With("room", "spanmetrics"), Registerer: reg,
	}); err != nil {
		return nil, fmt.Errorf("create span metrics: %w", err)
	}
	s.tailers = logs.NewTailers(s.spans, cfg.Logs, reg)
	if s.ingester, err = ingest.New(ingest.Options{
		Config: cfg.Ingest, Samples: s.samples, Rows: s.tailers, SampleWindow: time.Duration(cfg.Metrics.OutOfOrderWindow),
		Logger: logger.With("room", "ingest"), Registerer: reg,
	}); err != nil {
		return nil, fmt.Errorf("create ingest: %w", err)
	}
	logsAPI, err := logs.NewAPI(logs.Options{
		Config: cfg.Logs, Rows: s.rows, Tailers: s.tailers,
		Limits: map[string]any{
			"retention_period":      cfg.Store.Retention.MaxAge,
			"discover_log_levels":   cfg.Ingest.DiscoverLevel,
			"discover_service_name": cfg.Ingest.DiscoverServiceName,
		},
		Logger: logger.With("room", "logs"), Registerer: reg,
	})
	if err != nil {
		return nil, fmt.Errorf("create the logs API: %w", err)
	}
	s.traces, err = traces.NewAPI(s.rows, cfg.Traces, logger.With("room", "traces"), reg,
		traces.WithMetrics(spanmetrics.NewEvaluator(s.samples.Engine(), s.samples.Queryable())))
	if err != nil {
		return nil, fmt.Errorf("create the traces API: %w", err)
	}
	tempoAPI, err := tempo.NewAPI(s.rows, cfg.Tempo, logger.With("room", "tempo"), reg)
	if err != nil {
		return nil, fmt.Errorf("create the TraceQL API: %w", err)
	}
	s.autoscaler = server.NewAutoscaler(cfg.Autoscaler)
	mounts := []server.Mount{
		{Prefix: "", Routes: s.ingester},
		{Prefix: "/prometheus", Routes: s.samples},
		{Prefix: "/loki", Routes: logsAPI},
		{Prefix: "/jaeger", Routes: s.traces},
		{Prefix: "/tempo", Routes: tempoAPI},
		{Prefix: "/api/v1", Routes: s.autoscaler},
	}
	if cfg.AdminAPI {
		mounts = append(mounts, server.Mount{Prefix: "/api/v1", Routes: &admin{data: data, rows: s.rows, samples: s.samples, now: time.Now}})
	}
	if err := removeUnfinished(data); err != nil {
		return nil, err
	}
	s.server, err = server.New(server.Options{
		Config: cfg.Server,
		Mounts: mounts,
		UI:     ui.Files(),
		// The stores replay their logs in Open, so that a server that listens is ready
		// until a log can no longer be written.
		Ready:  s.samples.Ready,
		Logger: logger.With("room", "server"), Registerer: reg, Gatherer: reg,
	})
	if err != nil {
		return nil, fmt.Errorf("create the server: %w", err)
	}
	return s, nil
}

// Close closes the stores.
func (s *Service) Close() error {
	var errs []error
	if s.tailers != nil {
		s.tailers.Close() // the server does not wait for connections that became WebSockets
	}
	if s.autoscaler != nil {
		s.autoscaler.Close()
	}
	if s.samples != nil {
		errs = append(errs, s.samples.Close())
	}
	if s.rows != nil {
		errs = append(errs, s.rows.Close())
	}
	return errors.Join(errs...)
}

// Paths lists method and path of every route, in echo's notation.
func (s *Service) Paths() [][2]string { return s.server.Paths() }

// OpenAPI is the description of the routes that the service gives out.
func (s *Service) OpenAPI() []byte { return server.OpenAPI() }

// Listeners are where a service is reached. OTLP ones may be nil: in one process
// with a collector those ports are the collector's.
type Listeners struct {
	HTTP, OTLPGRPC, OTLPHTTP net.Listener
}

// Parts is what runs.
func (s *Service) Parts(l Listeners) []lifecycle.Part {
	parts := []lifecycle.Part{
		{Name: "query", Run: func(ctx context.Context) error { return s.server.Run(ctx, l.HTTP) }},
		{Name: "span-metrics", Run: s.spans.Run},
	}
	if l.OTLPGRPC != nil {
		parts = append(parts, lifecycle.Part{Name: "otlp-grpc", Run: func(ctx context.Context) error { return s.serveGRPC(ctx, l.OTLPGRPC) }})
	}
	if l.OTLPHTTP != nil {
		parts = append(parts, lifecycle.Part{Name: "otlp-http", Run: func(ctx context.Context) error { return s.serveOTLP(ctx, l.OTLPHTTP) }})
	}
	return parts
}

func (s *Service) serveGRPC(ctx context.Context, lis net.Listener) error {
	srv := s.ingester.NewGRPCServer()
	s.traces.RegisterGRPC(srv)
	stop := context.AfterFunc(ctx, srv.GracefulStop)
	defer stop()
	if err := srv.Serve(lis); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve OTLP on %s: %w", lis.Addr(), err)
	}
	return nil
}

// serveOTLP serves OTLP/HTTP on the port that SDKs expect it on.
func (s *Service) serveOTLP(ctx context.Context, lis net.Listener) error {
	e := echo.New()
	s.server.Protect(e)
	s.ingester.RegisterOTLP(e.Group("/v1"))
	srv := &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Duration(s.cfg.Server.ReadTimeout)}
	stop := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(s.cfg.Server.DrainTimeout))
		defer cancel()
		if err := srv.Shutdown(drain); err != nil {
			_ = srv.Close()
		}
	})
	defer stop()
	if err := srv.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve OTLP on %s: %w", lis.Addr(), err)
	}
	return nil
}
