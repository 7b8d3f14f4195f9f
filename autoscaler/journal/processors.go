package journal

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// logProcessor puts log entries into an outbox.
type logProcessor struct {
	outbox   *outbox[sdklog.Record]
	exporter sdklog.Exporter
}

var _ sdklog.Processor = (*logProcessor)(nil)

func newLogProcessor(exporter sdklog.Exporter, capacity int, logger *slog.Logger, lost *prometheus.CounterVec) *logProcessor {
	return &logProcessor{outbox: newOutbox("logs", capacity, exporter.Export, logger, lost), exporter: exporter}
}

func (p *logProcessor) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

func (p *logProcessor) OnEmit(_ context.Context, record *sdklog.Record) error {
	p.outbox.add(record.Clone())
	return nil
}

func (p *logProcessor) ForceFlush(ctx context.Context) error { return p.outbox.flush(ctx) }

func (p *logProcessor) Shutdown(ctx context.Context) error {
	return errors.Join(p.outbox.shutdown(ctx), p.exporter.Shutdown(ctx))
}

// spanProcessor puts spans into an outbox.
type spanProcessor struct {
	outbox   *outbox[sdktrace.ReadOnlySpan]
	exporter sdktrace.SpanExporter
}

var _ sdktrace.SpanProcessor = (*spanProcessor)(nil)

func newSpanProcessor(exporter sdktrace.SpanExporter, capacity int, logger *slog.Logger, lost *prometheus.CounterVec) *spanProcessor {
	return &spanProcessor{outbox: newOutbox("spans", capacity, exporter.ExportSpans, logger, lost), exporter: exporter}
}

func (p *spanProcessor) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

func (p *spanProcessor) OnEnd(span sdktrace.ReadOnlySpan) {
	if span.SpanContext().IsSampled() {
		p.outbox.add(span)
	}
}

func (p *spanProcessor) ForceFlush(ctx context.Context) error { return p.outbox.flush(ctx) }

func (p *spanProcessor) Shutdown(ctx context.Context) error {
	return errors.Join(p.outbox.shutdown(ctx), p.exporter.Shutdown(ctx))
}
