package traces

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// defaultSearchDepth is how many traces api_v3 finds without being told.
const defaultSearchDepth = 100

func (a *API) registerV3(g *echo.Group) {
	g.GET("/api/v3/services", a.handleV3(a.servicesV3))
	g.GET("/api/v3/operations", a.handleV3(a.operationsV3))
	g.GET("/api/v3/traces", a.handleV3(a.searchV3))
	g.GET("/api/v3/traces/:id", a.handleV3(a.traceV3))
	g.GET("/api/v3/dependencies", a.handleV3(a.dependenciesV3))
}

// gatewayError is how api_v3 says what went wrong.
type gatewayError struct {
	Error gatewayErrorDetails `json:"error"`
}

type gatewayErrorDetails struct {
	HTTPCode int    `json:"httpCode"`
	Message  string `json:"message"`
}

// gatewayResult wraps traces, as the gateway of a stream of messages does.
type gatewayResult struct {
	Result json.RawMessage `json:"result"`
}

//lint:ignore ST1005 it is the text that Jaeger answers with
var errNoTraces = errors.New("No traces found")

func (a *API) handleV3(h func(c echo.Context, form url.Values) (any, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		form, err := url.ParseQuery(c.Request().URL.RawQuery)
		var ans any
		if err != nil {
			err = badRequest{err}
		} else {
			ans, err = h(c, form)
		}
		if err != nil {
			status, _ := statusOf(err)
			if errors.Is(err, errNoTraces) {
				status = http.StatusNotFound
			}
			if status == http.StatusInternalServerError {
				a.logger.Error("traces request failed", "path", c.Request().URL.Path, "err", err)
			}
			return c.JSON(status, gatewayError{gatewayErrorDetails{HTTPCode: status, Message: err.Error()}})
		}
		return c.JSON(http.StatusOK, ans)
	}
}

func (a *API) servicesV3(c echo.Context, _ url.Values) (any, error) {
	names, err := a.querier.Services(c.Request().Context())
	return struct {
		Services []string `json:"services"`
	}{names}, err
}

func (a *API) operationsV3(c echo.Context, form url.Values) (any, error) {
	service := form.Get("service")
	if service == "" {
		return nil, badParamV3("service", errors.New("it is required"))
	}
	ops, err := a.operationsOf(c.Request().Context(), service, v3Param(form, "spanKind", "span_kind"))
	out := make([]jaegerOperation, len(ops))
	for i, op := range ops {
		out[i] = jaegerOperation{Name: op.Name, SpanKind: kindV3(op.Kind)}
	}
	return struct {
		Operations []jaegerOperation `json:"operations"`
	}{out}, err
}

// kindV3 calls spans that say nothing internal, which is what OTLP has them be.
func kindV3(k Kind) string {
	if k == KindUnspecified {
		k = KindInternal
	}
	return k.String()
}

func (a *API) traceV3(c echo.Context, form url.Values) (any, error) {
	text, err := pathParam(c, "id")
	if err != nil {
		return nil, err
	}
	id, err := traceIDParam("trace_id", text)
	if err != nil {
		return nil, err
	}
	start, err := timeV3(form, "startTime", "start_time")
	if err != nil {
		return nil, err
	}
	end, err := timeV3(form, "endTime", "end_time")
	if err != nil {
		return nil, err
	}
	if _, err := boolV3(form, "rawTraces", "raw_traces"); err != nil {
		return nil, err
	}
	t, err := a.querier.Trace(c.Request().Context(), id, start, end)
	if err != nil {
		return nil, err
	}
	return resultV3([]Trace{t})
}

func (a *API) searchV3(c echo.Context, form url.Values) (any, error) {
	s, err := searchParamsV3(form)
	if err != nil {
		return nil, err
	}
	traces, err := a.querier.Search(c.Request().Context(), s)
	if err != nil {
		return nil, err
	}
	if len(traces) == 0 {
		return nil, errNoTraces
	}
	return resultV3(traces)
}

func resultV3(traces []Trace) (any, error) {
	all := ptrace.NewTraces()
	for _, t := range traces {
		td, err := t.OTLP()
		if err != nil {
			return nil, err
		}
		td.ResourceSpans().MoveAndAppendTo(all.ResourceSpans())
	}
	b, err := (&ptrace.JSONMarshaler{}).MarshalTraces(all)
	if err != nil {
		return nil, fmt.Errorf("encode traces: %w", err)
	}
	return gatewayResult{Result: b}, nil
}

func (a *API) dependenciesV3(c echo.Context, form url.Values) (any, error) {
	start, err := timeV3(form, "startTime", "start_time")
	if err != nil {
		return nil, err
	}
	end, err := timeV3(form, "endTime", "end_time")
	if err != nil {
		return nil, err
	}
	start, end = a.dependencyBounds(start, end)
	deps, err := a.Dependencies(c.Request().Context(), start, end)
	return struct {
		Dependencies []Dependency `json:"dependencies"`
	}{deps}, err
}

// dependencyBounds are a day up to now when nothing is said.
func (a *API) dependencyBounds(start, end time.Time) (time.Time, time.Time) {
	if end.IsZero() {
		end = a.querier.now()
	}
	if start.IsZero() {
		start = end.Add(-defaultDependencyLookback)
	}
	return start, end
}

// searchParamsV3 reads the parameters of a search in api_v3.
func searchParamsV3(form url.Values) (Search, error) {
	s := Search{
		Service:   v3Param(form, "query.serviceName", "query.service_name"),
		Operation: v3Param(form, "query.operationName", "query.operation_name"),
		Limit:     defaultSearchDepth, Tags: map[string]string{},
	}
	if form.Get("query.filter") != "" {
		return s, badParamV3("query.filter", errFilter)
	}
	if v := form.Get("query.attributes"); v != "" {
		if err := parseTags(v, s.Tags); err != nil {
			return s, badParamV3("query.attributes", err)
		}
	}
	var err error
	if s.Start, err = timeV3(form, "query.startTimeMin", "query.start_time_min"); err != nil {
		return s, err
	}
	if s.End, err = timeV3(form, "query.startTimeMax", "query.start_time_max"); err != nil {
		return s, err
	}
	if v := v3Param(form, "query.searchDepth", "query.search_depth", "query.num_traces"); v != "" {
		if s.Limit, err = strconv.Atoi(v); err != nil {
			return s, badParamV3("query.searchDepth", err)
		}
	}
	if s.MinDuration, err = durationV3(form, "query.durationMin", "query.duration_min"); err != nil {
		return s, err
	}
	if s.MaxDuration, err = durationV3(form, "query.durationMax", "query.duration_max"); err != nil {
		return s, err
	}
	if _, err := boolV3(form, "query.rawTraces", "query.raw_traces"); err != nil {
		return s, err
	}
	return s, s.checkV3()
}

var errFilter = errors.New("structured filters are not supported")

// checkV3 holds a search against the rules of api_v3.
func (s Search) checkV3() error {
	switch {
	case s.Start.IsZero() || s.End.IsZero():
		return badRequest{errors.New("query.startTimeMin and query.startTimeMax are required")}
	case !s.Start.Before(s.End):
		return badRequest{errors.New("query.startTimeMin must be before query.startTimeMax")}
	case s.Limit <= 0:
		return badParamV3("query.searchDepth", errors.New("it must be positive"))
	case s.MinDuration < 0 || s.MaxDuration < 0:
		return badRequest{errors.New("durations must not be negative")}
	case s.MaxDuration > 0 && s.MaxDuration < s.MinDuration:
		return badRequest{errors.New("query.durationMax must not be less than query.durationMin")}
	}
	return nil
}

func badParamV3(name string, err error) error {
	return badRequest{fmt.Errorf("malformed parameter %s: %w", name, err)}
}

// v3Param is the first of a parameter's spellings that is given.
func v3Param(form url.Values, names ...string) string {
	for _, n := range names {
		if v := form.Get(n); v != "" {
			return v
		}
	}
	return ""
}

func timeV3(form url.Values, names ...string) (time.Time, error) {
	v := v3Param(form, names...)
	if v == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return t, badParamV3(names[0], err)
	}
	return t, nil
}

func durationV3(form url.Values, names ...string) (time.Duration, error) {
	v := v3Param(form, names...)
	if v == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return 0, badParamV3(names[0], err)
	}
	return d, nil
}

func boolV3(form url.Values, names ...string) (bool, error) {
	v := v3Param(form, names...)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, badParamV3(names[0], err)
	}
	return b, nil
}
