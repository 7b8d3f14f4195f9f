package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// ServiceName is the service.name of everything that the autoscaler sends.
const ServiceName = "yagura-autoscaler"

const scope = "github.com/yagura-dev/yagura/autoscaler"

// Config says where records go.
type Config struct {
	// Endpoint is host and port of an OTLP receiver that speaks gRPC. Empty means that nothing is sent.
	Endpoint string `json:"endpoint"`
	// TLS makes the connection encrypted, trusting the system's certificate authorities.
	TLS bool `json:"tls,omitempty"`
	// MetricsInterval is the time between two exports of the gauges.
	MetricsInterval model.Duration `json:"metricsInterval"`
	// Capacity is how many log entries, and how many spans, may wait for the receiver.
	Capacity int `json:"capacity"`
}

// DefaultConfig sends to a collector on this machine.
func DefaultConfig() Config {
	return Config{Endpoint: "127.0.0.1:4317", MetricsInterval: model.Duration(5 * time.Second), Capacity: 20_000}
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	switch {
	case c.MetricsInterval < model.Duration(time.Second):
		return fmt.Errorf("metricsInterval: must be at least 1s")
	case c.Capacity < 1:
		return fmt.Errorf("capacity: must be at least 1")
	}
	return nil
}

// Journal sends records. It is safe for concurrent use.
type Journal struct {
	connection *grpc.ClientConn
	logs       *sdklog.LoggerProvider
	spans      *sdktrace.TracerProvider
	metrics    *sdkmetric.MeterProvider
	logger     otellog.Logger
	tracer     trace.Tracer
	log        *slog.Logger
	// logBox and spanBox are shut down here rather than by the providers, which leave that out when the time is up already.
	logBox  *logProcessor
	spanBox *spanProcessor

	mu      sync.RWMutex
	current map[key]decision.Record

	fleet atomic.Pointer[nodeCounts]

	usageMu       sync.Mutex
	usage         map[attribute.Set]usageEntry
	usageCapacity int
	usageLife     time.Duration
	lost          *prometheus.CounterVec
}

// key names the decisions whose newest is kept for the gauges.
type key struct {
	namespace, name string
	direction       decision.Direction
}

// New makes a journal. It does not wait for the receiver. Instance is this process' service.instance.id.
func New(ctx context.Context, cfg Config, instance string, logger *slog.Logger, reg prometheus.Registerer) (*Journal, error) {
	transport := insecure.NewCredentials()
	if cfg.TLS {
		transport = credentials.NewTLS(nil)
	}
	// The default lets two minutes pass between two attempts to connect.
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay, reconnect.MaxDelay = firstBackoff, maxBackoff
	connection, err := grpc.NewClient(cfg.Endpoint, grpc.WithTransportCredentials(transport),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: maxBackoff}))
	if err != nil {
		return nil, fmt.Errorf("journal endpoint %s: %w", cfg.Endpoint, err)
	}
	j := &Journal{connection: connection, log: logger, current: map[key]decision.Record{},
		usage: map[attribute.Set]usageEntry{}, usageCapacity: cfg.Capacity,
		usageLife: max(usageLife, time.Duration(cfg.MetricsInterval))}
	lost := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "yagura_autoscaler_journal_lost_total", Help: "Log entries and spans about decisions that were not delivered, by signal and reason.",
	}, []string{"signal", "reason"})
	j.lost = lost
	if err := errors.Join(reg.Register(lost), j.open(ctx, cfg, instance, lost)); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), connection.Close())
	}
	return j, nil
}

func (j *Journal) open(ctx context.Context, cfg Config, instance string, lost *prometheus.CounterVec) error {
	// Errors about the environment's resource attributes come with a resource that has the others.
	res, err := resource.New(ctx, resource.WithFromEnv(), resource.WithAttributes(
		attribute.String("service.name", ServiceName), attribute.String("service.instance.id", instance)))
	if err != nil && res == nil {
		return err
	}
	logExporter, err := otlploggrpc.New(ctx, otlploggrpc.WithGRPCConn(j.connection), otlploggrpc.WithRetry(otlploggrpc.RetryConfig{}))
	if err != nil {
		return err
	}
	spanExporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithGRPCConn(j.connection), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
	if err != nil {
		return err
	}
	metricExporter, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithGRPCConn(j.connection))
	if err != nil {
		return err
	}
	j.logBox, j.spanBox = newLogProcessor(logExporter, cfg.Capacity, j.log, lost), newSpanProcessor(spanExporter, cfg.Capacity, j.log, lost)
	j.logs = sdklog.NewLoggerProvider(sdklog.WithResource(res), sdklog.WithProcessor(j.logBox))
	j.spans = sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithSpanProcessor(j.spanBox))
	// The SDK's limit of 2000 attribute sets per metric would throw policies and containers beyond it together. They are bounded here:
	// by what is observed, and by the capacity.
	j.metrics = sdkmetric.NewMeterProvider(sdkmetric.WithResource(res), sdkmetric.WithCardinalityLimit(0),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metricExporter, sdkmetric.WithInterval(time.Duration(cfg.MetricsInterval)))))
	j.logger, j.tracer = j.logs.Logger(scope), j.spans.Tracer(scope)
	return errors.Join(j.registerGauges(j.metrics.Meter(scope)), j.registerUsage(j.metrics.Meter(scope)), j.registerFleet(j.metrics.Meter(scope)))
}

// Record sends a decision as a log entry within a span of its own.
func (j *Journal) Record(ctx context.Context, record decision.Record, changed bool) {
	body, err := record.JSON()
	if err != nil {
		j.log.Error("cannot record decision", "err", err)
		return
	}
	ctx, span := j.tracer.Start(ctx, "decide", trace.WithNewRoot(), trace.WithTimestamp(record.Time), trace.WithAttributes(
		attribute.String("target_namespace", record.Namespace), attribute.String("autoscaler", record.Name),
		attribute.String("target_kind", record.Target.Kind), attribute.String("target_name", record.Target.Name),
		attribute.String("outcome", string(record.Outcome)), attribute.String("reason", record.Reason),
		attribute.Int("replicas_current", int(record.CurrentReplicas)), attribute.Int("replicas_recommended", int(record.RecommendedReplicas)),
		attribute.Int("replicas_desired", int(record.DesiredReplicas)), attribute.Bool("changed", changed),
		attribute.String("direction", string(record.Direction))))
	defer span.End()
	if record.Outcome == decision.Failed {
		span.SetStatus(codes.Error, record.Reason)
	}
	var entry otellog.Record
	entry.SetTimestamp(record.Time)
	entry.SetObservedTimestamp(record.Time)
	entry.SetBody(attribute.StringValue(string(body)))
	severity, text := severityOf(record)
	entry.SetSeverity(severity)
	entry.SetSeverityText(text)
	j.logger.Emit(ctx, entry)
}

func severityOf(record decision.Record) (otellog.Severity, string) {
	switch {
	case record.Outcome == decision.Failed:
		return otellog.SeverityError, "ERROR"
	case record.Alarming():
		return otellog.SeverityWarn, "WARN"
	}
	return otellog.SeverityInfo, "INFO"
}

// Observe takes the numbers of an evaluation for the gauges. Nodes have gauges of their own, see Fleet.
func (j *Journal) Observe(record decision.Record) {
	if record.Direction == decision.Nodes {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.current[key{record.Namespace, record.Name, record.Direction}] = record
}

// Forget ends the gauges of a policy.
func (j *Journal) Forget(namespace, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, direction := range []decision.Direction{decision.Horizontal, decision.Vertical} {
		delete(j.current, key{namespace, name, direction})
	}
}

// Close delivers what is waiting, until the context ends, and closes the connection.
func (j *Journal) Close(ctx context.Context) error {
	closers := []func(context.Context) error{j.logBox.Shutdown, j.spanBox.Shutdown, j.metrics.Shutdown}
	failures := make([]error, len(closers))
	var group sync.WaitGroup
	for i, shutdown := range closers {
		group.Go(func() { failures[i] = shutdown(ctx) })
	}
	group.Wait()
	failures = append(failures, j.logs.Shutdown(ctx), j.spans.Shutdown(ctx), j.connection.Close())
	return errors.Join(failures...)
}
