package shop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
)

// exportInterval is how often a replica exports each signal. SDKs export metrics
// once a minute by default; a shop that wants to be scaled within seconds says so.
const exportInterval = time.Second

// telemetry is the OpenTelemetry SDK of one replica, as an application would set
// it up: three providers under one resource.
type telemetry struct {
	logger   *slog.Logger
	tracers  *sdktrace.TracerProvider
	meters   *sdkmetric.MeterProvider
	logs     *sdklog.LoggerProvider
	inFlight metric.Int64UpDownCounter
	refused  metric.Int64Counter
}

var propagator = propagation.TraceContext{}

// newTelemetry exports over conn, which the replicas of the process share.
func newTelemetry(ctx context.Context, conn *grpc.ClientConn, pod Pod, service string) (*telemetry, error) {
	res := resource.NewSchemaless(
		attribute.String("service.name", service),
		attribute.String("service.namespace", pod.Namespace),
		attribute.String("service.instance.id", pod.Name),
		attribute.String("k8s.namespace.name", pod.Namespace),
		attribute.String("k8s.pod.name", pod.Name),
		attribute.String("k8s.node.name", pod.Node),
		attribute.String("k8s.container.name", service),
	)
	spans, err := otlptracegrpc.New(ctx, otlptracegrpc.WithGRPCConn(conn))
	if err != nil {
		return nil, fmt.Errorf("create the span exporter: %w", err)
	}
	points, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithGRPCConn(conn))
	if err != nil {
		return nil, fmt.Errorf("create the metric exporter: %w", err)
	}
	lines, err := otlploggrpc.New(ctx, otlploggrpc.WithGRPCConn(conn))
	if err != nil {
		return nil, fmt.Errorf("create the log exporter: %w", err)
	}
	t := &telemetry{
		tracers: sdktrace.NewTracerProvider(sdktrace.WithResource(res),
			sdktrace.WithBatcher(spans, sdktrace.WithBatchTimeout(exportInterval))),
		meters: sdkmetric.NewMeterProvider(sdkmetric.WithResource(res),
			sdkmetric.WithReader(sdkmetric.NewPeriodicReader(points, sdkmetric.WithInterval(exportInterval)))),
		logs: sdklog.NewLoggerProvider(sdklog.WithResource(res),
			sdklog.WithProcessor(sdklog.NewBatchProcessor(lines, sdklog.WithExportInterval(exportInterval)))),
	}
	t.logger = otelslog.NewLogger("shop", otelslog.WithLoggerProvider(t.logs))
	meter := t.meters.Meter("shop")
	if t.inFlight, err = meter.Int64UpDownCounter("shop.requests.in_flight",
		metric.WithDescription("Requests that are being served or wait for a worker.")); err != nil {
		return nil, fmt.Errorf("create shop.requests.in_flight: %w", err)
	}
	if t.refused, err = meter.Int64Counter("shop.requests.refused",
		metric.WithDescription("Requests turned away because too many were waiting.")); err != nil {
		return nil, fmt.Errorf("create shop.requests.refused: %w", err)
	}
	// So that the series exist, at 0, before the first request.
	t.inFlight.Add(ctx, 0)
	t.refused.Add(ctx, 0)
	return t, nil
}

// shutdown exports what is left, within ctx.
func (t *telemetry) shutdown(ctx context.Context) error {
	return errors.Join(t.tracers.Shutdown(ctx), t.meters.Shutdown(ctx), t.logs.Shutdown(ctx))
}
