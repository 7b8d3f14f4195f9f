package ingest

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traces"
)

// encoding is how an OTLP message is written.
type encoding uint8

const (
	encodingProto encoding = iota
	encodingJSON
)

// exportResponse is the answer to a stored OTLP request.
type exportResponse interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

// otlpSignal is one of OTLP's services: the same path for HTTP and gRPC.
type otlpSignal struct {
	name    string
	service string // of gRPC
	root    *message
	export  func(g *Ingester, ctx context.Context, id columnar.BatchID, body []byte, enc encoding) (exportResponse, error)
}

var otlpSignals = []otlpSignal{
	{signalLogs, "opentelemetry.proto.collector.logs.v1.LogsService", logsRequest, (*Ingester).exportLogs},
	{signalTraces, "opentelemetry.proto.collector.trace.v1.TraceService", tracesRequest, (*Ingester).exportTraces},
	{signalMetrics, "opentelemetry.proto.collector.metrics.v1.MetricsService", metricsRequest, (*Ingester).exportMetrics},
}

// take decodes and stores a body that the lease covers, after a look at its shape.
func (s otlpSignal) take(g *Ingester, ctx context.Context, id columnar.BatchID, body []byte, enc encoding, l *lease) (exportResponse, error) {
	fit := func() error { return g.fitProto(body, s.root, l) }
	if enc == encodingJSON {
		fit = func() error { return g.fitJSON(body, l) }
	}
	if err := fit(); err != nil {
		return nil, err
	}
	return s.export(g, ctx, id, body, enc)
}

// decodable is what pdata's export requests have in common.
type decodable interface {
	UnmarshalProto([]byte) error
	UnmarshalJSON([]byte) error
}

func decodeOTLP(into decodable, body []byte, enc encoding) (err error) {
	// The JSON decoder of pdata is not ours, and one message must never end the
	// process for all others.
	defer func() {
		if p := recover(); p != nil {
			err = undecodable(fmt.Errorf("decode OTLP: %v", p))
		}
	}()
	if enc == encodingJSON {
		if err := into.UnmarshalJSON(body); err != nil {
			return undecodable(fmt.Errorf("decode OTLP/JSON: %w", err))
		}
		return nil
	}
	if err := into.UnmarshalProto(body); err != nil {
		return undecodable(fmt.Errorf("decode OTLP protobuf: %w", err))
	}
	return nil
}

func (g *Ingester) exportLogs(ctx context.Context, id columnar.BatchID, body []byte, enc encoding) (exportResponse, error) {
	req := plogotlp.NewExportRequest()
	if err := decodeOTLP(req, body, enc); err != nil {
		return nil, err
	}
	b := g.newRowBatch(id, columnar.Logs, signalLogs)
	now := b.now.UnixNano()
	for _, rl := range req.Logs().ResourceLogs().All() {
		attributes := rl.Resource().Attributes()
		stream := b.stream(g.cfg.withServiceName(StreamLabels(attributes)))
		for _, sl := range rl.ScopeLogs().All() {
			shared := resourceFields(attributes, sl.Scope())
			for _, rec := range sl.LogRecords().All() {
				b.add(stream, logRow(rec, shared, now))
			}
		}
	}
	if err := b.commit(ctx); err != nil {
		return nil, err
	}
	resp := plogotlp.NewExportResponse()
	if b.refused.total > 0 {
		resp.PartialSuccess().SetRejectedLogRecords(int64(b.refused.total))
		resp.PartialSuccess().SetErrorMessage(b.refused.message())
	}
	return resp, nil
}

func (g *Ingester) exportTraces(ctx context.Context, id columnar.BatchID, body []byte, enc encoding) (exportResponse, error) {
	req := ptraceotlp.NewExportRequest()
	if err := decodeOTLP(req, body, enc); err != nil {
		return nil, err
	}
	b := g.newRowBatch(id, columnar.Spans, signalTraces)
	for _, rs := range req.Traces().ResourceSpans().All() {
		stream := b.stream(StreamLabels(rs.Resource().Attributes()))
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				if span.TraceID().IsEmpty() || span.SpanID().IsEmpty() {
					b.refused.add(stream.tenant, reasonInvalidID, fmt.Sprintf("span %q has no trace id or no span id", short(span.Name())), 1)
					continue
				}
				b.add(stream, traces.FromOTLP(rs.Resource(), ss.Scope(), span).Row())
			}
		}
	}
	if err := b.commit(ctx); err != nil {
		return nil, err
	}
	resp := ptraceotlp.NewExportResponse()
	if b.refused.total > 0 {
		resp.PartialSuccess().SetRejectedSpans(int64(b.refused.total))
		resp.PartialSuccess().SetErrorMessage(b.refused.message())
	}
	return resp, nil
}

func (g *Ingester) exportMetrics(ctx context.Context, id columnar.BatchID, body []byte, enc encoding) (exportResponse, error) {
	req := pmetricotlp.NewExportRequest()
	if err := decodeOTLP(req, body, enc); err != nil {
		return nil, err
	}
	refused, err := g.storeOTLPMetrics(ctx, id, req.Metrics())
	if err != nil {
		return nil, err
	}
	resp := pmetricotlp.NewExportResponse()
	if refused.total > 0 {
		resp.PartialSuccess().SetRejectedDataPoints(int64(refused.total))
		resp.PartialSuccess().SetErrorMessage(refused.message())
	}
	return resp, nil
}

// message says in one line what was refused.
func (r *refusals) message() string {
	m := strings.Join(r.texts, "; ")
	if r.total > len(r.texts) {
		m += fmt.Sprintf("; %d refused in all", r.total)
	}
	return validText(m)
}
