package tempo_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/tempo"
	"github.com/yagura-dev/yagura/query/traces"
)

var now = time.Now().Truncate(time.Second).Add(-10 * time.Minute)

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// shop is ten traces one second apart: a gateway that calls a cart twice. The cart of
// the last two fails, and tells so in an event.
func shop() ptrace.Traces {
	td := ptrace.NewTraces()
	add := func(service string, i, span byte, name string, start time.Time, d time.Duration) ptrace.Span {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("service.name", service)
		rs.Resource().Attributes().PutInt("shard", int64(i%2))
		ss := rs.ScopeSpans().AppendEmpty()
		ss.Scope().SetName("otelhttp")
		sp := ss.Spans().AppendEmpty()
		sp.SetTraceID(pcommon.TraceID{0: 0xab, 15: i})
		sp.SetSpanID(pcommon.SpanID{0: 1, 6: i, 7: span})
		sp.SetName(name)
		sp.SetStartTimestamp(pcommon.NewTimestampFromTime(start))
		sp.SetEndTimestamp(pcommon.NewTimestampFromTime(start.Add(d)))
		return sp
	}
	for i := range byte(10) {
		start := now.Add(time.Duration(i) * time.Second)
		root := add("gateway", i, 1, "GET /", start, 50*time.Millisecond)
		root.SetKind(ptrace.SpanKindServer)
		root.Attributes().PutInt("http.status_code", 200)
		for n := range byte(2) {
			c := add("cart", i, 2+n, "load cart", start.Add(time.Millisecond), time.Duration(i+1)*time.Millisecond)
			c.SetParentSpanID(root.SpanID())
			c.SetKind(ptrace.SpanKindClient)
			c.Attributes().PutStr("user", fmt.Sprintf("u%d", i%3))
			if i >= 8 {
				c.Status().SetCode(ptrace.StatusCodeError)
				ev := c.Events().AppendEmpty()
				ev.SetName("exception")
				ev.SetTimestamp(c.StartTimestamp())
				ev.Attributes().PutStr("exception.type", "Deadlock")
			}
		}
	}
	return td
}

func newShop(t *testing.T) *echo.Echo {
	store := openStore(t)
	spans := spansOf(shop())
	appendSpans(t, store, spans[:20])
	require.NoError(t, store.Flush(t.Context()))
	appendSpans(t, store, spans[20:])
	return newServer(t, store, tempo.DefaultConfig())
}

func traceID(i byte) string { return fmt.Sprintf("ab%028x%02x", 0, i) }

type keyValue struct {
	Key   string
	Value struct {
		StringValue, IntValue string
		DoubleValue           float64
		BoolValue             bool
	}
}

type spanset struct {
	Matched    int
	Attributes []keyValue
	Spans      []struct {
		SpanID, Name, StartTimeUnixNano, DurationNanos string
		Attributes                                     []keyValue
	}
}

type searchAnswer struct {
	Traces []struct {
		TraceID, RootServiceName, RootTraceName, StartTimeUnixNano string
		DurationMs                                                 int
		SpanSet                                                    spanset
		SpanSets                                                   []spanset
		ServiceStats                                               map[string]struct{ SpanCount, ErrorCount int }
	}
	Metrics struct{ InspectedBytes string }
}

func TestSearch(t *testing.T) {
	e := newShop(t)
	start, end := unix(now), unix(now.Add(time.Minute))
	for _, tc := range []struct {
		name   string
		params []string
		want   []byte
	}{
		{"all", []string{"q", "{}"}, []byte{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
		{"no query at all", nil, []byte{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
		{"limit", []string{"q", "{}", "limit", "3"}, []byte{9, 8, 7}},
		{"status", []string{"q", "{ status = error }"}, []byte{9, 8}},
		{"user", []string{"q", "{ span.user = `u1` }"}, []byte{7, 4, 1}},
		{"typed", []string{"q", "{ span.http.status_code >= 200 && resource.shard = 1 }"}, []byte{9, 7, 5, 3, 1}},
		{"duration", []string{"q", "{ name = `load cart` && duration >= 9ms }"}, []byte{9, 8}},
		{"event", []string{"q", "{ event.exception.type = `Deadlock` && event:name = `exception` }"}, []byte{9, 8}},
		{"structure", []string{"q", "{ resource.service.name = `gateway` } > { status = error }"}, []byte{9, 8}},
		{"aggregate", []string{"q", "{ resource.service.name = `cart` } | sum(duration) > 16ms"}, []byte{9, 8}},
		{"root", []string{"q", "{ rootServiceName = `gateway` && span.user = `u0` }"}, []byte{9, 6, 3, 0}},
		{"one trace", []string{"q", "{ trace:id = `" + traceID(5) + "` }"}, []byte{5}},
		{"nothing", []string{"q", "{ name = `nothing` }"}, nil},
		{"tags", []string{"tags", `service.name=CAR user="u1"`}, []byte{7, 4, 1}},
		{"tags with a number", []string{"tags", "http.status_code=200", "limit", "2"}, []byte{9, 8}},
		{"tags with status", []string{"tags", "status.code=error name=load"}, []byte{9, 8}},
		{"duration of the trace", []string{"minDuration", "50ms", "maxDuration", "60ms", "limit", "1"}, []byte{9}},
		{"too long for any", []string{"minDuration", "51ms"}, nil},
		{"end", []string{"q", "{}", "end", unix(now.Add(2 * time.Second))}, []byte{2, 1, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			params := append([]string{"start", start}, tc.params...)
			if tc.name != "end" {
				params = append(params, "end", end)
			}
			ans := getJSON[searchAnswer](t, e, "/api/search", params...)
			var got []string
			for _, tr := range ans.Traces {
				got = append(got, tr.TraceID)
			}
			var want []string
			for _, i := range tc.want {
				want = append(want, traceID(i))
			}
			require.Equal(t, want, got)
		})
	}
	t.Run("no time at all", func(t *testing.T) {
		require.Len(t, getJSON[searchAnswer](t, e, "/api/search", "q", "{}").Traces, 10)
	})
}

func TestSearchAnswer(t *testing.T) {
	e := newShop(t)
	ans := getJSON[searchAnswer](t, e, "/api/search", "spss", "1",
		"q", "{ status = error } | select(span.user, resource.shard) | by(name) | count() > 1", "limit", "1")
	require.Len(t, ans.Traces, 1)
	tr := ans.Traces[0]
	require.Equal(t, "gateway", tr.RootServiceName)
	require.Equal(t, "GET /", tr.RootTraceName)
	require.Equal(t, strconv.FormatInt(now.Add(9*time.Second).UnixNano(), 10), tr.StartTimeUnixNano)
	require.Equal(t, 50, tr.DurationMs)
	require.Equal(t, 1, tr.ServiceStats["gateway"].SpanCount)
	require.Equal(t, 2, tr.ServiceStats["cart"].ErrorCount)
	require.Len(t, tr.SpanSets, 1)
	set := tr.SpanSets[0]
	require.Equal(t, set, tr.SpanSet)
	require.Equal(t, 2, set.Matched)
	require.Len(t, set.Spans, 1)
	require.Equal(t, "0100000000000902", set.Spans[0].SpanID)
	require.Equal(t, "10000000", set.Spans[0].DurationNanos)
	attributes := map[string]string{}
	for _, kv := range append(set.Attributes, set.Spans[0].Attributes...) {
		attributes[kv.Key] = kv.Value.StringValue + kv.Value.IntValue
	}
	require.Equal(t, map[string]string{"by(name)": "load cart", "count()": "2", "status": "error", "user": "u0", "shard": "1"}, attributes)
}

func TestTraceByID(t *testing.T) {
	e := newShop(t)
	want := spansOf(shop())[27:30]
	unmarshal := func(b []byte) ptrace.Traces {
		td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(b)
		require.NoError(t, err)
		return td
	}
	for _, id := range []string{traceID(9), strings.ToUpper(traceID(9))} {
		rec := get(t, e, "/api/traces/"+id, "application/protobuf")
		require.Equal(t, http.StatusOK, rec.Code)
		require.Equal(t, "application/protobuf", rec.Header().Get("Content-Type"))
		td := unmarshal(rec.Body.Bytes())
		require.ElementsMatch(t, want, spansOf(td))
		require.Equal(t, 2, td.ResourceSpans().Len(), "spans of one resource stand together")
	}
	rec := get(t, e, "/api/v2/traces/"+traceID(9), "application/protobuf")
	require.Equal(t, http.StatusOK, rec.Code)
	num, typ, n := protowire.ConsumeTag(rec.Body.Bytes())
	require.Equal(t, protowire.Number(1), num)
	require.Equal(t, protowire.BytesType, typ)
	inner, _ := protowire.ConsumeBytes(rec.Body.Bytes()[n:])
	require.ElementsMatch(t, want, spansOf(unmarshal(inner)))

	type batch struct {
		Resource   struct{ Attributes []keyValue }
		ScopeSpans []struct {
			Scope struct{ Name string }
			Spans []struct {
				TraceID, SpanID, Kind, Name, StartTimeUnixNano string
				Status                                         struct{ Code string }
			}
		}
	}
	v1 := getJSON[struct{ Batches []batch }](t, e, "/api/traces/"+traceID(9))
	require.Len(t, v1.Batches, 2)
	sp := v1.Batches[0].ScopeSpans[0].Spans[0]
	id := pcommon.TraceID{0: 0xab, 15: 9}
	require.Equal(t, base64.StdEncoding.EncodeToString(id[:]), sp.TraceID)
	require.Equal(t, "SPAN_KIND_SERVER", sp.Kind)
	require.Equal(t, "otelhttp", v1.Batches[0].ScopeSpans[0].Scope.Name)

	v2 := getJSON[struct {
		Trace struct{ ResourceSpans []batch }
	}](t, e, "/api/v2/traces/"+traceID(9))
	require.Equal(t, v1.Batches, v2.Trace.ResourceSpans)

	filtered := getJSON[struct {
		Trace struct{ ResourceSpans []batch }
	}](t, e, "/api/v2/traces/"+traceID(9), "q", "{ span.user = `u0` }", "keep_hierarchy", "false")
	require.Len(t, filtered.Trace.ResourceSpans, 1)
	require.Len(t, filtered.Trace.ResourceSpans[0].ScopeSpans[0].Spans, 2)
	require.Equal(t, http.StatusNotFound, get(t, e, "/api/traces/"+traceID(77), "").Code)
	require.Equal(t, http.StatusNotFound, get(t, e, "/api/traces/"+traceID(9), "", "start", "1", "end", "2").Code)
	require.Equal(t, http.StatusOK, get(t, e, "/api/traces/"+traceID(9), "", "start", unix(now), "end", unix(now.Add(time.Minute))).Code)
}

func TestTags(t *testing.T) {
	e := newShop(t)
	type tags struct{ TagNames []string }
	require.Equal(t, []string{"exception.type", "http.status_code", "service.name", "shard", "user"}, getJSON[tags](t, e, "/api/search/tags").TagNames)
	require.Equal(t, []string{"http.status_code", "user"}, getJSON[tags](t, e, "/api/search/tags", "scope", "span").TagNames)
	require.Contains(t, getJSON[tags](t, e, "/api/search/tags", "scope", "intrinsic").TagNames, "rootServiceName")

	type scopes struct {
		Scopes []struct {
			Name string
			Tags []string
		}
	}
	got := map[string][]string{}
	for _, s := range getJSON[scopes](t, e, "/api/v2/search/tags").Scopes {
		got[s.Name] = s.Tags
	}
	require.Contains(t, got["intrinsic"], "trace:duration")
	delete(got, "intrinsic")
	require.Equal(t, map[string][]string{"resource": {"service.name", "shard"}, "span": {"http.status_code", "user"}, "event": {"exception.type"}}, got)
	some := getJSON[scopes](t, e, "/api/v2/search/tags", "q", "{ resource.service.name = `gateway` }", "scope", "span")
	require.Equal(t, []string{"http.status_code"}, some.Scopes[0].Tags)

	values := func(path string, params ...string) (out []string) {
		type values struct {
			TagValues []struct{ Type, Value string }
		}
		for _, v := range getJSON[values](t, e, "/api/v2/search/tag/"+path+"/values", params...).TagValues {
			out = append(out, v.Type+":"+v.Value)
		}
		return out
	}
	require.Equal(t, []string{"string:cart", "string:gateway"}, values("resource.service.name"))
	require.Equal(t, []string{"string:cart", "string:gateway"}, values(".service.name"))
	require.Equal(t, []string{"string:cart"}, values("resource.service.name", "q", "{ status = error && span.foo = }"))
	require.Equal(t, []string{"int:200"}, values("span.http.status_code"))
	require.Equal(t, []string{"string:GET /", "string:load cart"}, values("name"))
	require.Equal(t, []string{"string:GET /"}, values("rootName"))
	require.Equal(t, []string{"string:gateway"}, values("trace:rootService"))
	require.Equal(t, []string{"keyword:unset", "keyword:ok", "keyword:error"}[0], values("status")[2])
	require.Equal(t, []string{"string:Deadlock"}, values("event.exception.type"))
	require.Equal(t, []string{"string:u0"}, values("span.user", "limit", "1"))
	require.Empty(t, values("duration"))
	require.Empty(t, values("span.missing"))
	type plain struct{ TagValues []string }
	require.Equal(t, []string{"u0", "u1", "u2"}, getJSON[plain](t, e, "/api/search/tag/user/values").TagValues)
	require.Equal(t, []string{"cart", "gateway"}, getJSON[plain](t, e, "/api/search/tag/service.name/values").TagValues)
}

type rangeAnswer struct {
	Series []struct {
		Labels     []keyValue
		PromLabels string
		Samples    []struct {
			TimestampMs string
			Value       float64
		}
		Value     *float64
		Exemplars []struct {
			Labels      []keyValue
			TimestampMs string
		}
	}
}

func TestMetrics(t *testing.T) {
	e := newShop(t)
	window := []string{"start", unix(now.Add(-time.Second)), "end", strconv.FormatInt(now.Add(10*time.Second).UnixNano(), 10)}
	sums := func(query string, params ...string) map[string]float64 {
		ans := getJSON[rangeAnswer](t, e, "/api/metrics/query_range", append(append([]string{"q", query}, params...), window...)...)
		out := map[string]float64{}
		for _, s := range ans.Series {
			for _, v := range s.Samples {
				out[s.PromLabels] += v.Value
			}
		}
		return out
	}
	require.Equal(t, map[string]float64{`{__name__="count_over_time"}`: 30}, sums("{} | count_over_time()", "step", "1s"))
	require.Equal(t, map[string]float64{`{__name__="rate"}`: 15}, sums("{} | rate()", "step", "2s"))
	require.Equal(t, map[string]float64{`{resource_service_name="gateway"}`: 10, `{resource_service_name="cart"}`: 20},
		sums("{} | count_over_time() by (resource.service.name)", "step", "5s"))
	require.Equal(t, map[string]float64{`{span_user="u0"}`: 8, `{span_user="u1"}`: 6, `{span_user="u2"}`: 6, `{span_user="<nil>"}`: 10},
		sums("{} | count_over_time() by (span.user)", "step", "1m"))
	require.Equal(t, map[string]float64{`{span_user="u0"}`: 2, `{span_user="u2"}`: 2},
		sums("{ rootName = `GET /` && status = error } | count_over_time() by (span.user)", "step", "1m"))
	require.Equal(t, map[string]float64{`{__name__="max_over_time"}`: 0.05}, sums("{} | max_over_time(duration)", "step", "1m"))

	ans := getJSON[rangeAnswer](t, e, "/api/metrics/query", append([]string{"q", "{ status = error } | quantile_over_time(duration, 0.9) by (name)"}, window...)...)
	require.Len(t, ans.Series, 1)
	require.InEpsilon(t, 0.01, *ans.Series[0].Value, 0.1)
	require.Equal(t, []string{"name", "p"}, []string{ans.Series[0].Labels[0].Key, ans.Series[0].Labels[1].Key})
	require.InDelta(t, 0.9, ans.Series[0].Labels[1].Value.DoubleValue, 0)

	ans = getJSON[rangeAnswer](t, e, "/api/metrics/query_range", append([]string{"q", "{ status = error } | rate()", "exemplars", "1"}, window...)...)
	require.Len(t, ans.Series[0].Exemplars, 1)
	require.Equal(t, traceID(8), ans.Series[0].Exemplars[0].Labels[0].Value.StringValue)
	ans = getJSON[rangeAnswer](t, e, "/api/metrics/query", append([]string{"q", "{ name = `load cart` } | compare({ status = error })"}, window...)...)
	compared := map[string]float64{}
	for _, s := range ans.Series {
		compared[s.PromLabels] = *s.Value
	}
	require.InDelta(t, 16, compared[`{__meta_type="baseline", name="load cart"}`], 0)
	require.InDelta(t, 4, compared[`{__meta_type="selection_total", span_user="<nil>"}`], 0)
	require.InDelta(t, 2, compared[`{__meta_type="selection", span_user="u2"}`], 0)
	ans = getJSON[rangeAnswer](t, e, "/api/metrics/query", "q", "{} | rate()", "start", unix(now.Add(-time.Second)), "end", unix(now.Add(14*time.Second)))
	require.Equal(t, 2.0, *ans.Series[0].Value, "30 spans in 15 seconds, exactly")
	since := getJSON[rangeAnswer](t, e, "/api/metrics/query", "q", "{} | count_over_time()", "since", "1h")
	require.InDelta(t, 30, *since.Series[0].Value, 0)
}

func TestBadRequests(t *testing.T) {
	e := newShop(t)
	for _, tc := range []struct {
		path   string
		params []string
		want   string
	}{
		{"/api/search", []string{"q", "{ foo = 1 }"}, `invalid TraceQL query: parse error at line 1, col 3: unknown word "foo"`},
		{"/api/search", []string{"q", "{} | rate()"}, "invalid q"},
		{"/api/search", []string{"limit", "x"}, "invalid limit"},
		{"/api/search", []string{"limit", "100000"}, "query refused by maxTraces"},
		{"/api/search", []string{"start", "x"}, "invalid start"},
		{"/api/search", []string{"start", "20", "end", "10"}, "invalid start: it is after end"},
		{"/api/search", []string{"tags", "nonsense"}, "invalid tags"},
		{"/api/search", []string{"tags", `a="b`}, "invalid tags"},
		{"/api/search", []string{"tags", "status=sad"}, `"sad" is no status`},
		{"/api/search", []string{"minDuration", "long"}, "invalid minDuration"},
		{"/api/traces/xyz", nil, "invalid trace id"},
		{"/api/traces/" + strings.Repeat("a", 33), nil, "invalid trace id"},
		{"/api/v2/traces/" + traceID(1), []string{"q", "{} > {}"}, "only one filter"},
		{"/api/v2/search/tag/nonsense/values", nil, "invalid tag name"},
		{"/api/search/tags", []string{"scope", "nonsense"}, "invalid scope"},
		{"/api/metrics/query_range", []string{"q", "{}"}, "no metrics function"},
		{"/api/metrics/query_range", []string{"q", "{} | rate()", "step", "0"}, "invalid step"},
		{"/api/metrics/query_range", []string{"q", "{} | rate()", "start", "1", "end", "1000000", "step", "1s"}, "query refused by maxPoints"},
		{"/api/metrics/query_range", []string{"q", "{} | rate()", "start", "10", "end", "10"}, "invalid start: it is not before end"},
		{"/api/metrics/query", []string{"q", "{} | rate()", "since", "-1h"}, "invalid since"},
	} {
		rec := get(t, e, tc.path, "", tc.params...)
		require.Equal(t, http.StatusBadRequest, rec.Code, "%s %v: %s", tc.path, tc.params, rec.Body)
		require.Contains(t, rec.Body.String(), tc.want)
	}
}

func TestLimitsAreNamed(t *testing.T) {
	store := openStore(t)
	appendSpans(t, store, spansOf(shop()))
	require.NoError(t, store.Flush(t.Context())) // reading memory costs no bytes
	for name, tc := range map[string]struct {
		set  func(*tempo.Config)
		path string
		q    string
	}{
		"maxCandidates": {func(c *tempo.Config) { c.MaxCandidates = 5 }, "/api/search", "{} | count() > 100"},
		"maxSpans":      {func(c *tempo.Config) { c.MaxSpans = 2 }, "/api/search", "{} >> {}"},
		"maxQueryRows":  {func(c *tempo.Config) { c.MaxQueryRows = 5 }, "/api/search", "{}"},
		"maxQueryBytes": {func(c *tempo.Config) { c.MaxQueryBytes = 5 }, "/api/search", "{}"},
		"maxStreams":    {func(c *tempo.Config) { c.MaxStreams = 1 }, "/api/search", "{}"},
		"maxSeries":     {func(c *tempo.Config) { c.MaxSeries = 2 }, "/api/metrics/query_range", "{} | rate() by (span.user)"},
		"maxSamples":    {func(c *tempo.Config) { c.MaxSamples = 2 }, "/api/metrics/query_range", "{} | rate() by (span.user)"},
		"maxSeries ":    {func(c *tempo.Config) { c.MaxSeries = 20 }, "/api/metrics/query_range", "{} | quantile_over_time(duration, .1, .2, .3) by (trace:id)"},
		"timeout":       {func(c *tempo.Config) { c.Timeout = 1 }, "/api/search", "{}"},
	} {
		cfg := tempo.DefaultConfig()
		tc.set(&cfg)
		require.NoError(t, cfg.Validate())
		rec := get(t, newServer(t, store, cfg), tc.path, "", "q", tc.q)
		require.GreaterOrEqual(t, rec.Code, 400, name)
		require.Contains(t, rec.Body.String(), "query refused by "+strings.TrimSpace(name))
	}
}

func TestConfig(t *testing.T) {
	require.NoError(t, tempo.DefaultConfig().Validate())
	cfg := tempo.DefaultConfig()
	cfg.MaxSpans = 0
	require.ErrorContains(t, cfg.Validate(), "maxSpans")
	cfg = tempo.DefaultConfig()
	cfg.DefaultTraces = 2000
	require.ErrorContains(t, cfg.Validate(), "defaultTraces")
}

func TestSmallEndpoints(t *testing.T) {
	e := newShop(t)
	require.Equal(t, "echo", get(t, e, "/api/echo", "").Body.String())
	require.Equal(t, http.StatusOK, get(t, e, "/ready", "").Code)
	info := getJSON[map[string]string](t, e, "/api/status/buildinfo")
	require.NotEmpty(t, info["version"])
	require.NotEmpty(t, info["goVersion"])
}

// TestJaegerFixtures looks up and searches each trace of Jaeger's storage suite.
func TestJaegerFixtures(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(sharedData(t, "traces"), "jaeger", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	store := openStore(t)
	byID := map[string][]traces.Span{}
	for i, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(b)
		require.NoError(t, err)
		spans := spansOf(td)
		appendSpans(t, store, spans)
		for _, s := range spans {
			byID[s.TraceID.String()] = append(byID[s.TraceID.String()], s)
		}
		if i == len(files)/2 {
			require.NoError(t, store.Flush(t.Context()))
		}
	}
	e := newServer(t, store, tempo.DefaultConfig())
	for id, spans := range byID {
		rec := get(t, e, "/api/traces/"+id, "application/protobuf")
		require.Equal(t, http.StatusOK, rec.Code)
		td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(rec.Body.Bytes())
		require.NoError(t, err)
		require.Equal(t, len(spans), td.SpanCount(), id)
		require.True(t, json.Valid(get(t, e, "/api/v2/traces/"+id, "").Body.Bytes()))
		s := spans[0]
		ans := getJSON[searchAnswer](t, e, "/api/search",
			"q", fmt.Sprintf("{ resource.service.name = %q && name = %q && duration = %dns && trace:id = %q }", s.Service(), s.Name, s.Duration(), id),
			"start", strconv.FormatInt(s.Start/1e9, 10), "end", strconv.FormatInt(s.Start/1e9+1, 10))
		require.Len(t, ans.Traces, 1, id)
		for _, a := range s.Attributes {
			if a.Type != columnar.String {
				continue
			}
			ans := getJSON[searchAnswer](t, e, "/api/search", "q", fmt.Sprintf("{ span.%q = %q && trace:id = %q }", a.Key, a.Text, id),
				"start", strconv.FormatInt(s.Start/1e9, 10), "end", strconv.FormatInt(s.Start/1e9+1, 10))
			require.Len(t, ans.Traces, 1, "%s %s", id, a.Key)
		}
	}
}
