package traces

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/prometheus/model/labels"
)

// Evaluator evaluates PromQL over the metrics that are derived from spans.
// Implementations must be safe for concurrent use.
type Evaluator interface {
	// QueryRange evaluates at start, start+step and so on until end, inclusive.
	QueryRange(ctx context.Context, expr string, start, end time.Time, step time.Duration) ([]Series, error)
	// Increase is how much each series of a counter grew after start, until end
	// inclusive, as the one point of the series. It counts what was stored: PromQL's
	// increase extrapolates, and shows more calls than there were when they began a
	// moment ago.
	Increase(ctx context.Context, metric string, start, end time.Time) ([]Series, error)
}

// Series is one series of an evaluation.
type Series struct {
	Labels labels.Labels
	Points []Point
}

// Point is the value of a series at a time.
type Point struct {
	Time  time.Time
	Value float64
}

// ErrNoMetrics means that no metrics are derived from spans here.
var ErrNoMetrics = errors.New("metrics of spans are not available")

// The metrics of package spanmetrics that the answers are made of.
const (
	metricCalls    = "traces_span_metrics_calls_total"
	metricDuration = "traces_span_metrics_duration_milliseconds"
	metricRequests = "traces_service_graph_request_total"
	// clientUser stands in the service graph for callers that send no spans.
	clientUser = "user"
)

const (
	defaultMonitorLookback = time.Hour
	defaultMonitorStep     = 5 * time.Second
	defaultMonitorRate     = 10 * time.Minute
	// minMonitorStep is what the tab may ask for at least; metrics are written every
	// few seconds.
	minMonitorStep = time.Millisecond
	// maxMonitorPoints bounds the points of one series, as Prometheus does.
	maxMonitorPoints = 11_000
)

// monitorQuery is what the three charts of Jaeger's monitor tab have in common.
type monitorQuery struct {
	services    []string
	kinds       []string // as metrics spell them
	byOperation bool
	start, end  time.Time
	step, rate  time.Duration
}

func monitorParams(form url.Values, now time.Time) (monitorQuery, error) {
	q := monitorQuery{services: form["service"], kinds: []string{kindLabel(KindServer)}}
	if len(q.services) == 0 {
		return q, badParam("service", errors.New("please provide at least one service name"))
	}
	var err error
	if q.byOperation, err = boolParam(form, "groupByOperation"); err != nil {
		return q, err
	}
	if texts := form["spanKind"]; len(texts) > 0 {
		q.kinds = nil
		for _, text := range texts {
			k, err := ParseKind(text)
			if err != nil || k < 0 || int(k) >= len(kindNames) {
				return q, badParam("spanKind", fmt.Errorf("unsupported span kind: '%s'", text))
			}
			q.kinds = append(q.kinds, kindLabel(k))
		}
	}
	if q.end, err = millisParam(form, "endTs", now); err != nil {
		return q, err
	}
	lookback, err := millisDuration(form, "lookback", defaultMonitorLookback)
	if err != nil {
		return q, err
	}
	if q.step, err = millisDuration(form, "step", defaultMonitorStep); err != nil {
		return q, err
	}
	if q.rate, err = millisDuration(form, "ratePer", defaultMonitorRate); err != nil {
		return q, err
	}
	if lookback/q.step > maxMonitorPoints {
		return q, badParam("step", fmt.Errorf("the answer would have more than %d points", maxMonitorPoints))
	}
	q.start = q.end.Add(-lookback)
	return q, nil
}

// kindLabel is a kind as metrics of spans are labelled with it: OTLP's name of it.
func kindLabel(k Kind) string { return "SPAN_KIND_" + strings.ToUpper(k.String()) }

func boolParam(form url.Values, name string) (bool, error) {
	v := form.Get(name)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, badParam(name, err)
	}
	return b, nil
}

// millisParam reads Unix milliseconds.
func millisParam(form url.Values, name string, def time.Time) (time.Time, error) {
	v := form.Get(name)
	if v == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return def, badParam(name, err)
	}
	t := time.UnixMilli(n)
	if t.Before(minTime) || t.After(maxTime) {
		return def, badParam(name, fmt.Errorf("%s is outside of the years that can be stored", v))
	}
	return t, nil
}

// millisDuration reads milliseconds, more than none.
func millisDuration(form url.Values, name string, def time.Duration) (time.Duration, error) {
	v := form.Get(name)
	if v == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return 0, badParam(name, err)
	}
	if n <= 0 || n > math.MaxInt64/int64(time.Millisecond) {
		return 0, badParam(name, fmt.Errorf("%s is no number of milliseconds above zero", v))
	}
	return time.Duration(n) * time.Millisecond, nil
}

func (q monitorQuery) selector(more string) string {
	services := make([]string, len(q.services))
	for i, s := range q.services {
		services[i] = regexp.QuoteMeta(s)
	}
	return fmt.Sprintf("{service_name=~%q,span_kind=~%q%s}[%dms]",
		strings.Join(services, "|"), strings.Join(q.kinds, "|"), more, q.rate.Milliseconds())
}

func (q monitorQuery) groups(more ...string) string {
	by := []string{"service_name"}
	if q.byOperation {
		by = append(by, "span_name")
	}
	return strings.Join(append(by, more...), ",")
}

func (q monitorQuery) calls() string {
	return fmt.Sprintf("sum by (%s) (rate(%s%s))", q.groups(), metricCalls, q.selector(""))
}

// errors is a share; what has calls and no errors has the share zero.
func (q monitorQuery) errors() string {
	failed := fmt.Sprintf("sum by (%s) (rate(%s%s))", q.groups(), metricCalls, q.selector(`,status_code="STATUS_CODE_ERROR"`))
	return fmt.Sprintf("(%s or %s * 0) / %s", failed, q.calls(), q.calls())
}

func (q monitorQuery) latencies(quantile float64) string {
	return fmt.Sprintf("histogram_quantile(%g, sum by (%s) (rate(%s_bucket%s)))", quantile, q.groups("le"), metricDuration, q.selector(""))
}

// metricFamily is Jaeger's form of metrics, the JSON of its protobuf message.
type metricFamily struct {
	Name    string          `json:"name"`
	Type    string          `json:"type"`
	Help    string          `json:"help"`
	Metrics []monitorMetric `json:"metrics"`
}

type monitorMetric struct {
	Labels []monitorLabel `json:"labels"`
	Points []monitorPoint `json:"metricPoints"`
}

type monitorLabel struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type monitorPoint struct {
	Gauge     monitorGauge `json:"gaugeValue"`
	Timestamp time.Time    `json:"timestamp"`
}

type monitorGauge struct {
	Value jsonDouble `json:"doubleValue"`
}

// jsonDouble is a number that the JSON of protobuf writes in quotes when JSON has
// no such number.
type jsonDouble float64

func (f jsonDouble) MarshalJSON() ([]byte, error) {
	switch v := float64(f); {
	case math.IsNaN(v):
		return []byte(`"NaN"`), nil
	case math.IsInf(v, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return json.Marshal(v)
	}
}

func (a *API) latencies(ctx context.Context, _ echo.Context, form url.Values) (any, error) {
	quantile, err := strconv.ParseFloat(form.Get("quantile"), 64)
	if err == nil && !(quantile >= 0 && quantile <= 1) {
		err = errors.New("it is not between 0 and 1")
	}
	if err != nil {
		return nil, badParam("quantile", err)
	}
	q, err := monitorParams(form, a.querier.now())
	if err != nil {
		return nil, err
	}
	return a.monitor(ctx, q, "latencies", fmt.Sprintf("%.2fth quantile latency, grouped by service", quantile), q.latencies(quantile))
}

func (a *API) calls(ctx context.Context, _ echo.Context, form url.Values) (any, error) {
	q, err := monitorParams(form, a.querier.now())
	if err != nil {
		return nil, err
	}
	return a.monitor(ctx, q, "call_rate", "calls/sec, grouped by service", q.calls())
}

func (a *API) errors(ctx context.Context, _ echo.Context, form url.Values) (any, error) {
	q, err := monitorParams(form, a.querier.now())
	if err != nil {
		return nil, err
	}
	return a.monitor(ctx, q, "error_rate", "error rate, computed as a fraction of errors/sec over calls/sec, grouped by service", q.errors())
}

// minStep is a number of milliseconds.
func (a *API) minStep(context.Context, echo.Context, url.Values) (any, error) {
	return answer{Data: minMonitorStep.Milliseconds(), Total: 1}, nil
}

func (a *API) monitor(ctx context.Context, q monitorQuery, name, help, expr string) (any, error) {
	if a.metrics == nil {
		return nil, ErrNoMetrics
	}
	var series []Series
	err := a.querier.run(ctx, func(ctx context.Context) (err error) {
		series, err = a.metrics.QueryRange(ctx, expr, q.start, q.end, q.step)
		return err
	})
	if err != nil {
		return nil, err
	}
	family := metricFamily{Name: "service_" + name, Type: "GAUGE", Help: help, Metrics: make([]monitorMetric, len(series))}
	if q.byOperation {
		family.Name = "service_operation_" + name
		family.Help += " & operation"
	}
	for i, s := range series {
		family.Metrics[i] = monitorMetric{Labels: monitorLabels(s.Labels), Points: make([]monitorPoint, len(s.Points))}
		for j, p := range s.Points {
			family.Metrics[i].Points[j] = monitorPoint{Gauge: monitorGauge{Value: jsonDouble(p.Value)}, Timestamp: p.Time.UTC()}
		}
	}
	return family, nil
}

func monitorLabels(ls labels.Labels) []monitorLabel {
	out := make([]monitorLabel, 0, ls.Len())
	ls.Range(func(l labels.Label) {
		if l.Name == "span_name" {
			l.Name = "operation" // what Jaeger's interface expects
		}
		out = append(out, monitorLabel{Name: l.Name, Value: l.Value})
	})
	return out
}
