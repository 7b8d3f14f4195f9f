package bench

import (
	"fmt"
	"net/http"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// otlpBatchSpans is how many spans make one request.
const otlpBatchSpans = 1000

// otlpEncoder gathers spans into OTLP requests, with a resource for each pod.
type otlpEncoder struct {
	data   *spanData
	traces ptrace.Traces
	scopes map[int]ptrace.ScopeSpans
	spans  int
	emit   func(body []byte, items int) error
}

func (e *otlpEncoder) add(s *span) error {
	if e.spans == 0 {
		e.traces, e.scopes = ptrace.NewTraces(), map[int]ptrace.ScopeSpans{}
	}
	scope, ok := e.scopes[s.pod]
	if !ok {
		r := e.traces.ResourceSpans().AppendEmpty()
		r.Resource().Attributes().PutStr("service.name", e.data.service(s))
		r.Resource().Attributes().PutStr("k8s.pod.name", e.data.pods[s.pod])
		scope = r.ScopeSpans().AppendEmpty()
		e.scopes[s.pod] = scope
	}
	s.encode(scope.Spans().AppendEmpty())
	if e.spans++; e.spans == otlpBatchSpans {
		return e.flush()
	}
	return nil
}

func (e *otlpEncoder) flush() error {
	if e.spans == 0 {
		return nil
	}
	b, err := ptraceotlp.NewExportRequestFromTraces(e.traces).MarshalProto()
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	n := e.spans
	e.spans = 0
	return e.emit(b, n)
}

func (s *span) encode(out ptrace.Span) {
	out.SetTraceID(pcommon.TraceID(s.trace))
	out.SetSpanID(pcommon.SpanID(s.id))
	out.SetParentSpanID(pcommon.SpanID(s.parent))
	out.SetName(s.name)
	out.SetStartTimestamp(pcommon.Timestamp(s.start))
	out.SetEndTimestamp(pcommon.Timestamp(s.end))
	kind, method := s.kind()
	out.SetKind(kind)
	out.Attributes().PutStr("http.method", method)
	out.Attributes().PutInt("http.status_code", s.status())
	out.Attributes().PutStr("user.id", s.user())
	if s.status() == 500 {
		out.Status().SetCode(ptrace.StatusCodeError)
	}
}

// kind guesses a span's kind and method from its name.
func (s *span) kind() (ptrace.SpanKind, string) {
	method := "GET"
	if s.hash()>>8&1 == 1 {
		method = "POST"
	}
	verb, rest, _ := strings.Cut(s.name, " ")
	switch verb {
	case "HTTP":
		return ptrace.SpanKindClient, rest
	case "SELECT", "INSERT", "UPDATE", "DELETE":
		return ptrace.SpanKindClient, method
	}
	if strings.HasPrefix(s.name, "/") {
		return ptrace.SpanKindServer, method
	}
	return ptrace.SpanKindInternal, method
}

func otlpFeed(s *spool) feed {
	return feed{
		spool:  s,
		header: http.Header{"Content-Type": {"application/x-protobuf"}},
		path: func(k Kind) string {
			if k == VictoriaTraces {
				return "/insert/opentelemetry/v1/traces"
			}
			return "/v1/traces"
		},
		accepted: func(body []byte) error {
			res := ptraceotlp.NewExportResponse()
			if err := res.UnmarshalProto(body); err != nil {
				return fmt.Errorf("read the answer: %w", err)
			}
			if p := res.PartialSuccess(); p.RejectedSpans() > 0 {
				return fmt.Errorf("%d spans were refused: %s", p.RejectedSpans(), p.ErrorMessage())
			}
			return nil
		},
	}
}
