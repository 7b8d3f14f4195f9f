package queue

// Stream names one ordered sequence of records. Every stream has files, sequence
// numbers and an acknowledged position of its own, so that one that is refused
// downstream does not hold up the others.
type Stream string

// The streams. The payload of a record is one HTTP request body exactly as it is
// sent, compression included, so that a resend is the same bytes.
const (
	// Logs carries gzip-compressed OTLP ExportLogsServiceRequest protobuf.
	Logs Stream = "logs"
	// Traces carries gzip-compressed OTLP ExportTraceServiceRequest protobuf.
	Traces Stream = "traces"
	// OTLPMetrics carries gzip-compressed OTLP ExportMetricsServiceRequest protobuf.
	OTLPMetrics Stream = "otlp-metrics"
	// Metrics carries snappy-compressed remote write 2.0 requests
	// (io.prometheus.write.v2.Request).
	Metrics Stream = "metrics"
)

// Streams lists every stream.
func Streams() []Stream {
	return []Stream{Logs, Traces, OTLPMetrics, Metrics}
}
