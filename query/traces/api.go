package traces

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// API is Jaeger's HTTP API for reading traces.
type API struct {
	querier *Querier
	cfg     Config
	logger  *slog.Logger
	metrics Evaluator // nil: none
}

// Option changes an API.
type Option func(*API)

// WithMetrics has the API answer for the monitor tab from the metrics that are derived
// from spans, and for dependencies when too many spans are stored to count them. Without
// it the monitor tab answers 501.
func WithMetrics(e Evaluator) Option { return func(a *API) { a.metrics = e } }

// NewAPI makes the API and its querier. reg may be nil.
func NewAPI(store Store, cfg Config, logger *slog.Logger, reg prometheus.Registerer, opts ...Option) (*API, error) {
	querier, err := NewQuerier(store, cfg, logger, reg)
	if err != nil {
		return nil, err
	}
	a := &API{querier: querier, cfg: cfg, logger: logger}
	for _, o := range opts {
		o(a)
	}
	return a, nil
}

// Querier is the querier behind the API.
func (a *API) Querier() *Querier { return a.querier }

// Register adds the routes under a group, which stands for /jaeger.
func (a *API) Register(g *echo.Group) {
	g.GET("/api/services", a.handle(a.services))
	g.GET("/api/services/:service/operations", a.handle(a.operationNames))
	g.GET("/api/operations", a.handle(a.operations))
	g.GET("/api/traces", a.handle(a.search))
	g.GET("/api/traces/:id", a.handle(a.trace))
	g.GET("/api/dependencies", a.handle(a.dependencies))
	g.GET("/api/metrics/latencies", a.handle(a.latencies))
	g.GET("/api/metrics/calls", a.handle(a.calls))
	g.GET("/api/metrics/errors", a.handle(a.errors))
	g.GET("/api/metrics/minstep", a.handle(a.minStep))
	a.registerV3(g)
}

// answer is the envelope of all of Jaeger's answers. Total is the length of Data.
type answer struct {
	Data   any           `json:"data"`
	Total  int           `json:"total"`
	Limit  int           `json:"limit"`
	Offset int           `json:"offset"`
	Errors []answerError `json:"errors"`
}

type answerError struct {
	Code    int    `json:"code,omitempty"`
	Msg     string `json:"msg"`
	TraceID string `json:"traceID,omitempty"`
}

type handler func(ctx context.Context, c echo.Context, form url.Values) (any, error)

func (a *API) handle(h handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		req := c.Request()
		form, err := url.ParseQuery(req.URL.RawQuery)
		var ans any
		if err != nil {
			err = badRequest{err}
		} else {
			ans, err = h(req.Context(), c, form)
		}
		if err != nil {
			status, _ := statusOf(err)
			if status == http.StatusInternalServerError {
				a.logger.Error("traces request failed", "path", req.URL.Path, "err", err)
			}
			return c.JSON(status, answer{Errors: []answerError{{Code: status, Msg: err.Error()}}})
		}
		if v := form.Get("prettyPrint"); v != "" && v != "false" {
			return c.JSONPretty(http.StatusOK, ans, "    ")
		}
		return c.JSON(http.StatusOK, ans)
	}
}

func list[T any](data []T) answer { return answer{Data: data, Total: len(data)} }

func (a *API) services(ctx context.Context, _ echo.Context, _ url.Values) (any, error) {
	names, err := a.querier.Services(ctx)
	return list(names), err
}

func (a *API) operationNames(ctx context.Context, c echo.Context, _ url.Values) (any, error) {
	service, err := pathParam(c, "service")
	if err != nil {
		return nil, err
	}
	names, err := a.querier.OperationNames(ctx, service)
	return list(names), err
}

func (a *API) operations(ctx context.Context, _ echo.Context, form url.Values) (any, error) {
	service := form.Get("service")
	if service == "" {
		return nil, badRequest{errors.New("parameter 'service' is required")}
	}
	ops, err := a.operationsOf(ctx, service, form.Get("spanKind"))
	out := make([]jaegerOperation, len(ops))
	for i, op := range ops {
		out[i] = toJaegerOperation(op)
	}
	return list(out), err
}

// operationsOf are a service's operations of one kind, or of any when it is empty.
func (a *API) operationsOf(ctx context.Context, service, kind string) ([]Operation, error) {
	ops, err := a.querier.Operations(ctx, service)
	return slices.DeleteFunc(ops, func(op Operation) bool {
		return kind != "" && !strings.EqualFold(kind, op.Kind.String())
	}), err
}

func toJaegerOperation(op Operation) jaegerOperation {
	j := jaegerOperation{Name: op.Name}
	if op.Kind != KindUnspecified {
		j.SpanKind = op.Kind.String()
	}
	return j
}

func (a *API) search(ctx context.Context, _ echo.Context, form url.Values) (any, error) {
	if ids := form["traceID"]; len(ids) > 0 {
		return a.tracesByID(ctx, ids, form)
	}
	s, err := searchParams(form, a.cfg, a.querier.now())
	if err != nil {
		return nil, err
	}
	traces, err := a.querier.Search(ctx, s)
	return list(jaegerTraces(traces)), err
}

// tracesByID answers with the traces that exist and an error for each that does
// not.
func (a *API) tracesByID(ctx context.Context, texts []string, form url.Values) (any, error) {
	ids := make([]TraceID, len(texts))
	for i, text := range texts {
		var err error
		if ids[i], err = traceIDParam("traceID", text); err != nil {
			return nil, err
		}
	}
	start, end, err := traceBounds(form)
	if err != nil {
		return nil, err
	}
	traces, err := a.querier.Traces(ctx, ids, start, end)
	ans := list(jaegerTraces(traces))
	for _, id := range ids {
		if !slices.ContainsFunc(traces, func(t Trace) bool { return t.ID == id }) {
			ans.Errors = append(ans.Errors, answerError{Msg: ErrNotFound.Error(), TraceID: jaegerTraceID(id)})
		}
	}
	return ans, err
}

func (a *API) trace(ctx context.Context, c echo.Context, form url.Values) (any, error) {
	text, err := pathParam(c, "id")
	if err != nil {
		return nil, err
	}
	id, err := traceIDParam("traceID", text)
	if err != nil {
		return nil, err
	}
	start, end, err := traceBounds(form)
	if err != nil {
		return nil, err
	}
	// Traces are shown as they were sent, so that raw changes nothing.
	if _, err := boolParam(form, "raw"); err != nil {
		return nil, err
	}
	t, err := a.querier.Trace(ctx, id, start, end)
	return list(jaegerTraces([]Trace{t})), err
}

// traceBounds is where to look for a trace, when the client knows; zero times
// mean everywhere.
func traceBounds(form url.Values) (start, end time.Time, err error) {
	if start, err = microsParam(form, "start", time.Time{}); err != nil {
		return start, end, err
	}
	if end, err = microsParam(form, "end", time.Time{}); err != nil {
		return start, end, err
	}
	if !end.IsZero() && end.Before(start) {
		return start, end, badParam("end", errors.New("it is before 'start'"))
	}
	return start, end, nil
}

func jaegerTraces(traces []Trace) []jaegerTrace {
	out := make([]jaegerTrace, len(traces))
	for i, t := range traces {
		out[i] = toJaeger(t)
	}
	return out
}

// pathParam undoes escapes: echo matches the escaped path when there are any that
// matter.
func pathParam(c echo.Context, name string) (string, error) {
	v := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return v, nil
	}
	v, err := url.PathUnescape(v)
	if err != nil {
		return "", badParam(name, err)
	}
	return v, nil
}
