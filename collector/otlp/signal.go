package otlp

import (
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/yagura-dev/yagura/collector/queue"
)

// Signal is a kind of telemetry.
type Signal uint8

// The signals.
const (
	Logs Signal = iota + 1
	Traces
	Metrics
)

// signal is what the receiver needs to know of one.
type signal struct {
	name    string // in metrics
	stream  queue.Stream
	path    string // of HTTP
	service string // of gRPC
	schema  *message
	// fromJSON turns an OTLP/JSON request into protobuf.
	fromJSON func(body []byte) ([]byte, error)
}

func newSignals() []*signal {
	return []*signal{
		{
			name: "logs", stream: queue.Logs, path: "/v1/logs", schema: resourceSchema(Logs),
			service: "opentelemetry.proto.collector.logs.v1.LogsService",
			fromJSON: func(body []byte) ([]byte, error) {
				request := plogotlp.NewExportRequest()
				if err := request.UnmarshalJSON(body); err != nil {
					return nil, err
				}
				return request.MarshalProto()
			},
		},
		{
			name: "traces", stream: queue.Traces, path: "/v1/traces", schema: resourceSchema(Traces),
			service: "opentelemetry.proto.collector.trace.v1.TraceService",
			fromJSON: func(body []byte) ([]byte, error) {
				request := ptraceotlp.NewExportRequest()
				if err := request.UnmarshalJSON(body); err != nil {
					return nil, err
				}
				return request.MarshalProto()
			},
		},
		{
			name: "metrics", stream: queue.OTLPMetrics, path: "/v1/metrics", schema: resourceSchema(Metrics),
			service: "opentelemetry.proto.collector.metrics.v1.MetricsService",
			fromJSON: func(body []byte) ([]byte, error) {
				request := pmetricotlp.NewExportRequest()
				if err := request.UnmarshalJSON(body); err != nil {
					return nil, err
				}
				return request.MarshalProto()
			},
		},
	}
}
