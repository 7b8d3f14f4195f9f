package ship

import (
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/yagura-dev/yagura/collector/queue"
)

// rejection is the part of an accepted OTLP request that the receiver left out.
// OTLP forbids to repeat the request for its sake.
type rejection struct {
	items   int64
	message string
}

// partialSuccess reads the answer to an accepted OTLP request. An answer that is
// not OTLP, as from a receiver that just says 200, rejects nothing.
func partialSuccess(s queue.Stream, body []byte) rejection {
	if len(body) == 0 {
		return rejection{}
	}
	switch s {
	case queue.Logs:
		if r := plogotlp.NewExportResponse(); r.UnmarshalProto(body) == nil {
			return rejection{r.PartialSuccess().RejectedLogRecords(), r.PartialSuccess().ErrorMessage()}
		}
	case queue.Traces:
		if r := ptraceotlp.NewExportResponse(); r.UnmarshalProto(body) == nil {
			return rejection{r.PartialSuccess().RejectedSpans(), r.PartialSuccess().ErrorMessage()}
		}
	case queue.OTLPMetrics:
		if r := pmetricotlp.NewExportResponse(); r.UnmarshalProto(body) == nil {
			return rejection{r.PartialSuccess().RejectedDataPoints(), r.PartialSuccess().ErrorMessage()}
		}
	}
	return rejection{}
}
