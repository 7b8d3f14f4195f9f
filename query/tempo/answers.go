package tempo

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/yagura-dev/yagura/query/traceql"
)

// The answers are the JSON encoding of Tempo's protobuf messages: 64-bit integers are
// strings.

type searchAnswer struct {
	Traces  []traceJSON   `json:"traces"`
	Metrics searchMetrics `json:"metrics"`
}

type searchMetrics struct {
	InspectedTraces int64 `json:"inspectedTraces,omitempty"`
	InspectedBytes  int64 `json:"inspectedBytes,omitempty,string"`
	InspectedSpans  int64 `json:"inspectedSpans,omitempty,string"`
	CompletedJobs   int   `json:"completedJobs"`
	TotalJobs       int   `json:"totalJobs"`
}

// metricsOf tells what a query cost. It ran as one job.
func metricsOf(st Stats) searchMetrics {
	return searchMetrics{InspectedTraces: st.Traces, InspectedBytes: st.Bytes, InspectedSpans: st.Spans, CompletedJobs: 1, TotalJobs: 1}
}

type traceJSON struct {
	TraceID         string                 `json:"traceID"`
	RootServiceName string                 `json:"rootServiceName"`
	RootTraceName   string                 `json:"rootTraceName"`
	Start           int64                  `json:"startTimeUnixNano,string"`
	DurationMs      uint32                 `json:"durationMs"`
	SpanSet         *spansetJSON           `json:"spanSet,omitempty"` // the first, for old clients
	SpanSets        []spansetJSON          `json:"spanSets,omitempty"`
	ServiceStats    map[string]serviceJSON `json:"serviceStats,omitempty"`
}

type serviceJSON struct {
	SpanCount  int `json:"spanCount"`
	ErrorCount int `json:"errorCount,omitempty"`
}

type spansetJSON struct {
	Spans      []spanJSON     `json:"spans"`
	Matched    int            `json:"matched"`
	Attributes []keyValueJSON `json:"attributes,omitempty"`
}

type spanJSON struct {
	SpanID     string         `json:"spanID"`
	Name       string         `json:"name,omitempty"`
	Start      int64          `json:"startTimeUnixNano,string"`
	Duration   int64          `json:"durationNanos,string"`
	Attributes []keyValueJSON `json:"attributes,omitempty"`
}

type keyValueJSON struct {
	Key   string   `json:"key"`
	Value anyValue `json:"value"`
}

// anyValue is a value as OTLP's JSON writes it.
type anyValue traceql.Value

func (v anyValue) MarshalJSON() ([]byte, error) {
	value := traceql.Value(v)
	switch value.Type() {
	case traceql.Int:
		return json.Marshal(map[string]string{"intValue": value.String()})
	case traceql.Float:
		f, _ := value.Number()
		return json.Marshal(map[string]float{"doubleValue": float(f)})
	case traceql.Bool:
		return json.Marshal(map[string]bool{"boolValue": value.True()})
	}
	return json.Marshal(map[string]string{"stringValue": value.String()})
}

// float is a number that may be none that JSON has; then it is a string.
type float float64

func (f float) MarshalJSON() ([]byte, error) {
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

func keyValues(as []traceql.SpansetAttribute) []keyValueJSON {
	var out []keyValueJSON
	for _, a := range as {
		out = append(out, keyValueJSON{a.Name, anyValue(a.Value)})
	}
	return out
}

// noRoot is what Tempo says of a trace without its root span.
const noRoot = "<root span not yet received>"

func (a *API) search(ctx context.Context, _ echo.Context, form url.Values) (answer, error) {
	s, err := a.searchParams(form)
	if err != nil {
		return answer{}, err
	}
	found, st, err := a.engine.Search(ctx, s)
	if err != nil {
		return answer{}, err
	}
	out := searchAnswer{Traces: []traceJSON{}, Metrics: metricsOf(st)}
	for _, t := range found {
		out.Traces = append(out.Traces, traceAnswer(t))
	}
	return jsonAnswer(out)
}

func traceAnswer(t FoundTrace) traceJSON {
	out := traceJSON{
		TraceID: t.ID, RootServiceName: t.RootService, RootTraceName: t.RootName, Start: t.Start,
		DurationMs:   uint32(max(0, min(math.MaxUint32, (t.End-t.Start)/int64(time.Millisecond)))),
		ServiceStats: map[string]serviceJSON{},
	}
	if !t.HasRoot {
		out.RootServiceName, out.RootTraceName = noRoot, noRoot
	}
	for name, s := range t.Services {
		out.ServiceStats[name] = serviceJSON{SpanCount: s.Spans, ErrorCount: s.Errors}
	}
	for _, set := range t.Spansets {
		s := spansetJSON{Matched: set.Matched, Attributes: keyValues(set.Attributes), Spans: []spanJSON{}}
		for _, sp := range set.Spans {
			s.Spans = append(s.Spans, spanJSON{SpanID: sp.ID, Name: sp.Name, Start: sp.Start, Duration: sp.Duration, Attributes: keyValues(sp.Attributes)})
		}
		out.SpanSets = append(out.SpanSets, s)
	}
	if len(out.SpanSets) > 0 {
		out.SpanSet = &out.SpanSets[0]
	}
	return out
}

type rangeAnswer struct {
	Series  []seriesJSON  `json:"series"`
	Metrics searchMetrics `json:"metrics"`
}

type seriesJSON struct {
	Labels     []keyValueJSON `json:"labels"`
	Samples    []sampleJSON   `json:"samples,omitempty"`
	Value      *float         `json:"value,omitempty"` // of an instant query
	PromLabels string         `json:"promLabels"`
	Exemplars  []exemplarJSON `json:"exemplars,omitempty"`
}

type sampleJSON struct {
	TimestampMs int64 `json:"timestampMs,string"`
	Value       float `json:"value"`
}

type exemplarJSON struct {
	Labels      []keyValueJSON `json:"labels"`
	Value       float          `json:"value"`
	TimestampMs int64          `json:"timestampMs,string"`
}

func (a *API) queryRange(ctx context.Context, _ echo.Context, form url.Values) (answer, error) {
	q, err := a.rangeParams(form, false)
	if err != nil {
		return answer{}, err
	}
	series, st, err := a.engine.Range(ctx, q)
	if err != nil {
		return answer{}, err
	}
	out := rangeAnswer{Series: []seriesJSON{}, Metrics: metricsOf(st)}
	for _, s := range series {
		one := seriesJSON{Labels: keyValues(s.Labels), PromLabels: promLabels(s.Labels)}
		for i, v := range s.Values {
			if !math.IsNaN(v) {
				one.Samples = append(one.Samples, sampleJSON{q.Interval.Time(i) / int64(time.Millisecond), float(v)})
			}
		}
		for _, e := range s.Exemplars {
			one.Exemplars = append(one.Exemplars, exemplarJSON{
				Labels: []keyValueJSON{{"trace:id", anyValue(traceql.StringValue(e.TraceID))}},
				Value:  float(e.Value), TimestampMs: e.Time / int64(time.Millisecond),
			})
		}
		out.Series = append(out.Series, one)
	}
	return jsonAnswer(out)
}

func (a *API) queryInstant(ctx context.Context, _ echo.Context, form url.Values) (answer, error) {
	q, err := a.rangeParams(form, true)
	if err != nil {
		return answer{}, err
	}
	series, st, err := a.engine.Range(ctx, q)
	if err != nil {
		return answer{}, err
	}
	out := rangeAnswer{Series: []seriesJSON{}, Metrics: metricsOf(st)}
	for _, s := range series {
		if len(s.Values) != 1 {
			return answer{}, errors.New("an instant query has more than one step")
		}
		v := float(s.Values[0])
		out.Series = append(out.Series, seriesJSON{Labels: keyValues(s.Labels), PromLabels: promLabels(s.Labels), Value: &v})
	}
	return jsonAnswer(out)
}

// promLabels writes labels as Prometheus does: what a name cannot hold becomes an
// underscore, absent and empty values get names.
func promLabels(as []traceql.SpansetAttribute) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, a := range as {
		if i > 0 {
			b.WriteString(", ")
		}
		name := strings.Map(func(r rune) rune {
			if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
				return r
			}
			return '_'
		}, a.Name)
		value := a.Value.String()
		switch {
		case a.Value.IsNil():
			value = "<nil>"
		case value == "":
			value = "<empty>"
		}
		b.WriteString(name + "=" + strconv.Quote(value))
	}
	b.WriteByte('}')
	return b.String()
}
