package logs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/logs"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ns(d time.Duration) int64 { return epoch.Add(d).UnixNano() }

func nsParam(d time.Duration) string { return strconv.FormatInt(ns(d), 10) }

type logStream struct {
	Stream map[string]string
	Values [][]json.RawMessage
}

func (s logStream) lines(t *testing.T) (out []string) {
	for _, v := range s.Values {
		var line string
		require.NoError(t, json.Unmarshal(v[1], &line))
		out = append(out, line)
	}
	return out
}

func streams(t *testing.T, a answer) (out []logStream) {
	t.Helper()
	require.Equal(t, "streams", a.Data.ResultType)
	require.NoError(t, json.Unmarshal(a.Data.Result, &out))
	return out
}

// shop is two services that write a line each second for a minute.
func shop(t *testing.T) http.Handler {
	store := openStore(t)
	for _, pod := range []string{"a", "b"} {
		lbls := labels.FromStrings("service_name", "shop", "pod", pod)
		for i := range 60 {
			level := "info"
			if i%10 == 0 {
				level = "error"
			}
			appendRows(t, store, lbls, row(ns(time.Duration(i)*time.Second), fmt.Sprintf("level=%s n=%d", level, i), "trace_id", fmt.Sprintf("t%d", i)))
		}
	}
	return newServer(t, store, logs.DefaultConfig())
}

func TestQueryRangeReturnsTheNewestLinesFirst(t *testing.T) {
	e := shop(t)
	a := query(t, e, "/loki/api/v1/query_range", url.Values{
		"query": {`{service_name="shop",pod="a"}`}, "start": {nsParam(0)}, "end": {nsParam(time.Minute)}, "limit": {"3"},
	})
	var lines []string
	for _, s := range streams(t, a) {
		require.Equal(t, "shop", s.Stream["service_name"])
		require.NotEmpty(t, s.Stream["trace_id"], "structured metadata stands among the labels")
		lines = append(lines, s.lines(t)...)
	}
	require.ElementsMatch(t, []string{"level=info n=59", "level=info n=58", "level=info n=57"}, lines)
	require.NotNil(t, a.Data.Stats["summary"])
}

func TestQueryRangeForward(t *testing.T) {
	a := query(t, shop(t), "/loki/api/v1/query_range", url.Values{
		"query": {`{pod="b"} | drop trace_id`}, "start": {epoch.Format(time.RFC3339Nano)}, "end": {epoch.Add(time.Minute).Format(time.RFC3339)},
		"limit": {"2"}, "direction": {"forward"},
	})
	ss := streams(t, a)
	require.Len(t, ss, 1)
	require.Equal(t, []string{"level=error n=0", "level=info n=1"}, ss[0].lines(t))
}

func TestTheEndOfALogQueryIsExclusive(t *testing.T) {
	a := query(t, shop(t), "/loki/api/v1/query_range", url.Values{
		"query": {`{pod="a"} | drop trace_id`}, "start": {nsParam(0)}, "end": {nsParam(2 * time.Second)}, "direction": {"forward"},
	})
	require.Equal(t, []string{"level=error n=0", "level=info n=1"}, streams(t, a)[0].lines(t))
}

func TestIntervalPassesOverLines(t *testing.T) {
	a := query(t, shop(t), "/loki/api/v1/query_range", url.Values{
		"query": {`{pod="a"} | drop trace_id`}, "start": {nsParam(0)}, "end": {nsParam(time.Minute)},
		"interval": {"20s"}, "limit": {"3"}, "direction": {"forward"},
	})
	require.Equal(t, []string{"level=error n=0", "level=error n=20", "level=error n=40"}, streams(t, a)[0].lines(t))
}

func TestFilters(t *testing.T) {
	e := shop(t)
	for _, tc := range []struct {
		query string
		want  int
	}{
		{`{service_name="shop"} |= "level=error"`, 12},
		{`{service_name="shop"} |= "level=error" != "n=0"`, 10},
		{`{service_name="shop"} |~ "n=[0-9]$"`, 20},
		{`{service_name="shop"} |= "n=1" or "n=20"`, 24},
		{`{service_name="shop"} !~ "n=.."`, 20},
		{`{service_name="shop"} | trace_id="t7"`, 2},
		{`{service_name="shop"} | trace_id!="t7"`, 118},
		{`{service_name="shop"} | pod="a"`, 60},
		{`{service_name="shop"} | logfmt | level="error" | n > 30`, 4},
		{`{service_name="shop"} | line_format "x{{.pod}}" |= "xa"`, 60},
		{`{service_name="shop"} |~ "(?i)LEVEL=ERROR"`, 12},
		{`{service_name="shop"} | missing=""`, 120},
		{`{service_name="shop"} | missing!=""`, 0},
	} {
		t.Run(tc.query, func(t *testing.T) {
			a := query(t, e, "/loki/api/v1/query_range", url.Values{
				"query": {tc.query}, "start": {nsParam(0)}, "end": {nsParam(time.Minute)}, "limit": {"1000"},
			})
			n := 0
			for _, s := range streams(t, a) {
				n += len(s.Values)
			}
			require.Equal(t, tc.want, n)
		})
	}
}

func TestEqualLinesAtTheSameTimeAllCount(t *testing.T) {
	store := openStore(t)
	for range 3 {
		appendRows(t, store, labels.FromStrings("app", "x"), row(ns(0), "same"), row(ns(0), "same"))
	}
	e := newServer(t, store, logs.DefaultConfig())
	a := query(t, e, "/loki/api/v1/query", url.Values{"query": {`sum(count_over_time({app="x"}[1m]))`}, "time": {nsParam(time.Second)}})
	require.JSONEq(t, fmt.Sprintf(`[{"metric":{},"value":[%d,"6"]}]`, epoch.Unix()+1), string(a.Data.Result))
}

func TestMetricQueriesOverGetAndPost(t *testing.T) {
	e := shop(t)
	form := url.Values{
		"query": {`sum by (pod) (count_over_time({service_name="shop"} |= "error" [30s]))`},
		"start": {strconv.FormatInt(epoch.Unix()+30, 10)}, "end": {fmt.Sprintf("%d.0", epoch.Unix()+60)}, "step": {"30"},
	}
	want := fmt.Sprintf(`[
		{"metric":{"pod":"a"},"values":[[%[1]d,"3"],[%[2]d,"2"]]},
		{"metric":{"pod":"b"},"values":[[%[1]d,"3"],[%[2]d,"2"]]}]`, epoch.Unix()+30, epoch.Unix()+60)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		rec := do(e, method, "/loki/api/v1/query_range", form)
		require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
		var a answer
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &a))
		require.Equal(t, "matrix", a.Data.ResultType)
		require.JSONEq(t, want, string(a.Data.Result))
	}
}

func TestVectorsNeedNoData(t *testing.T) {
	a := query(t, shop(t), "/loki/api/v1/query", url.Values{"query": {"vector(1)+vector(1)"}, "time": {strconv.FormatInt(epoch.Unix(), 10)}})
	require.JSONEq(t, fmt.Sprintf(`[{"metric":{},"value":[%d,"2"]}]`, epoch.Unix()), string(a.Data.Result))
}

func TestCategorizedLabels(t *testing.T) {
	rec := do(shop(t), http.MethodGet, "/loki/api/v1/query_range", url.Values{
		"query": {`{pod="a"} | logfmt`}, "start": {nsParam(0)}, "end": {nsParam(time.Second)},
	}, "X-Loki-Response-Encoding-Flags", "categorize-labels")
	require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
	var a answer
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &a))
	ss := streams(t, a)
	require.Len(t, ss, 1)
	require.Equal(t, map[string]string{"service_name": "shop", "pod": "a"}, ss[0].Stream)
	require.JSONEq(t, `{"structuredMetadata":{"trace_id":"t0"},"parsed":{"level":"error","n":"0"}}`, string(ss[0].Values[0][2]))
	require.Contains(t, rec.Body.String(), `"encodingFlags":["categorize-labels"]`)
}

func TestLabelsValuesAndSeries(t *testing.T) {
	e := shop(t)
	bounds := url.Values{"start": {nsParam(0)}, "end": {nsParam(time.Minute)}}
	with := func(kv ...string) url.Values {
		v := url.Values{}
		for k, s := range bounds {
			v[k] = s
		}
		for i := 0; i < len(kv); i += 2 {
			v.Add(kv[i], kv[i+1])
		}
		return v
	}
	for _, tc := range []struct {
		path string
		form url.Values
		want string
	}{
		{"/loki/api/v1/labels", bounds, `{"status":"success","data":["pod","service_name"]}`},
		{"/loki/api/v1/label/pod/values", bounds, `{"status":"success","data":["a","b"]}`},
		{"/loki/api/v1/label/pod/values", with("query", `{pod="b"}`), `{"status":"success","data":["b"]}`},
		{"/loki/api/v1/label/none/values", bounds, `{"status":"success"}`},
		{"/loki/api/v1/labels", url.Values{"start": {nsParam(-2 * time.Hour)}, "end": {nsParam(-time.Hour)}}, `{"status":"success"}`},
		{"/loki/api/v1/series", with("match[]", `{pod="a"}`), `{"status":"success","data":[{"pod":"a","service_name":"shop"}]}`},
		{"/loki/api/v1/series", with("match[]", `{pod="a"}`, "match", `{service_name="shop"}`), `{"status":"success","data":[{"pod":"a","service_name":"shop"},{"pod":"b","service_name":"shop"}]}`},
		{"/loki/api/v1/series", with("match[]", "{}"), `{"status":"success","data":[{"pod":"a","service_name":"shop"},{"pod":"b","service_name":"shop"}]}`},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			rec := do(e, method, tc.path, tc.form)
			require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
			require.JSONEq(t, tc.want, rec.Body.String(), tc.path)
		}
	}
}

func TestBadRequestsNameTheProblem(t *testing.T) {
	e := shop(t)
	long := strings.Repeat("a", 64<<10)
	for _, tc := range []struct {
		name, path string
		form       url.Values
		want       string
	}{
		{"no query", "query_range", nil, "parse error"},
		{"syntax", "query_range", url.Values{"query": {`{app="x"`}}, "parse error at line 1, col 9: syntax error"},
		{"no matcher", "query_range", url.Values{"query": {`{}`}}, "queries require at least one"},
		{"bad regexp", "query_range", url.Values{"query": {`{app="x"} |~ "("`}}, "missing closing )"},
		{"start", "query_range", url.Values{"query": {`{app="x"}`}, "start": {"yesterday"}}, "'start'"},
		{"end", "query_range", url.Values{"query": {`{app="x"}`}, "end": {"1.x"}}, "'end'"},
		{"far year", "query_range", url.Values{"query": {`{app="x"}`}, "start": {"9999-01-01T00:00:00Z"}}, "'start'"},
		{"end before start", "query_range", url.Values{"query": {`{app="x"}`}, "start": {"20"}, "end": {"10"}}, "'end'"},
		{"since", "query_range", url.Values{"query": {`{app="x"}`}, "since": {"1 hour"}}, "'since'"},
		{"limit", "query_range", url.Values{"query": {`{app="x"}`}, "limit": {"many"}}, "'limit'"},
		{"limit zero", "query_range", url.Values{"query": {`{app="x"}`}, "limit": {"0"}}, "limit must be a positive value"},
		{"limit too large", "query_range", url.Values{"query": {`{app="x"}`}, "limit": {"5001"}}, "maxLines"},
		{"step", "query_range", url.Values{"query": {`{app="x"}`}, "step": {"abc"}}, "'step'"},
		{"step zero", "query_range", url.Values{"query": {`{app="x"}`}, "step": {"0"}}, "'step'"},
		{"too many steps", "query_range", url.Values{"query": {`rate({app="x"}[1m])`}, "step": {"0.1"}}, "exceeded maximum resolution of 11000 points"},
		{"interval", "query_range", url.Values{"query": {`{app="x"}`}, "interval": {"-1s"}}, "'interval'"},
		{"direction", "query_range", url.Values{"query": {`{app="x"}`}, "direction": {"up"}}, "'direction'"},
		{"range too long", "query_range", url.Values{"query": {`{app="x"}`}, "start": {"1"}, "end": {"1700000000"}}, "maxQueryRange"},
		{"text too long", "query_range", url.Values{"query": {`{app="x"} |= "` + long + `"`}}, "maxQueryText"},
		{"logs as instant", "query", url.Values{"query": {`{app="x"}`}}, "log queries are not supported as an instant query type"},
		{"time", "query", url.Values{"query": {`vector(1)`}, "time": {"noon"}}, "'time'"},
		{"label selector", "labels", url.Values{"query": {`{app=`}}, "parse error"},
		{"series selector", "series", url.Values{"match[]": {`{app="x"} |= "y"`}}, "only label matchers are supported"},
		{"pipeline error", "query", url.Values{"query": {`sum(sum_over_time({service_name="shop"} | logfmt | unwrap level [1m]))`}, "time": {nsParam(time.Minute)}}, "SampleExtractionErr"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := do(e, http.MethodPost, "/loki/api/v1/"+tc.path, tc.form)
			require.Equal(t, http.StatusBadRequest, rec.Code, rec.Body.String())
			require.Contains(t, rec.Body.String(), tc.want)
			require.Contains(t, rec.Header().Get("Content-Type"), "text/plain")
		})
	}
	rec := do(e, http.MethodPost, "/loki/api/v1/query", url.Values{"query": {strings.Repeat("x", 2<<20)}})
	require.Equal(t, http.StatusBadRequest, rec.Code)
	require.Contains(t, rec.Body.String(), "too large")
}

func TestLimitsNameThemselves(t *testing.T) {
	store := openStore(t)
	for i := range 50 {
		appendRows(t, store, labels.FromStrings("app", "x", "pod", strconv.Itoa(i)), row(ns(0), "line"), row(ns(30*time.Second), "line"))
	}
	for name, tc := range map[string]struct {
		set   func(*logs.Config)
		query string
	}{
		"maxSeries":        {func(c *logs.Config) { c.MaxSeries = 10 }, `count_over_time({app="x"}[1m])`},
		"maxMemory":        {func(c *logs.Config) { c.MaxMemory = 1000 }, `quantile_over_time(0.5, {app="x"} | unwrap pod [1m]) by (app)`},
		"maxMemory, lines": {func(c *logs.Config) { c.MaxMemory = 1000 }, `{app="x"}`},
		"maxInnerSeries":   {func(c *logs.Config) { c.MaxInnerSeries = 10 }, `topk(1, count_over_time({app="x"}[1m]))`},
		// Functions that count hold no samples.
		"maxWindowSamples":      {func(c *logs.Config) { c.MaxWindowSamples = 60 }, `quantile_over_time(0.5, {app="x"} | unwrap pod [1m]) by (app)`},
		"maxWindowReads":        {func(c *logs.Config) { c.MaxWindowReads = 1000 }, `quantile_over_time(0.5, {app="x"} | unwrap pod [1m]) by (app)`},
		"maxWindowReads, LogQL": {func(c *logs.Config) { c.MaxWindowReads = 20_000 }, `quantile_over_time(0.5, {app="x"} | line_format "{{.app}}" |= "x" | unwrap pod [1m]) by (app)`},
		"maxAnswerBytes":        {func(c *logs.Config) { c.MaxAnswerBytes = 100 }, `{app="x"}`},
		"maxPoints":             {func(c *logs.Config) { c.MaxPoints = 100 }, `count_over_time({app="x"}[1m])`},
		"maxQueryRows":          {func(c *logs.Config) { c.MaxQueryRows = 20 }, `{app="x"}`},
		"maxQueryBytes":         {func(c *logs.Config) { c.MaxQueryBytes = 50 }, `{app="x"}`},
		"maxStreams":            {func(c *logs.Config) { c.MaxStreams = 20 }, `{app="x"}`},
	} {
		for _, flags := range []string{"", "categorize-labels"} {
			t.Run(name+" "+flags, func(t *testing.T) {
				cfg := logs.DefaultConfig()
				tc.set(&cfg)
				rec := do(newServer(t, store, cfg), http.MethodGet, "/loki/api/v1/query_range", url.Values{
					"query": {tc.query}, "start": {nsParam(0)}, "end": {nsParam(time.Minute)}, "step": {"1s"}, "limit": {"1000"},
				}, "X-Loki-Response-Encoding-Flags", flags)
				require.Equal(t, http.StatusBadRequest, rec.Code, rec.Body.String())
				require.Contains(t, rec.Body.String(), "query refused by "+name[:strings.IndexAny(name+",", ",")])
			})
		}
	}
}

func TestTimeout(t *testing.T) {
	cfg := logs.DefaultConfig()
	cfg.Timeout = model.Duration(time.Nanosecond)
	rec := do(newServer(t, openStore(t), cfg), http.MethodGet, "/loki/api/v1/query_range", url.Values{"query": {`{app="x"}`}})
	require.Equal(t, http.StatusGatewayTimeout, rec.Code)
	require.Contains(t, rec.Body.String(), "query refused by timeout")
}

func TestFormatQueryAndBuildInfo(t *testing.T) {
	e := shop(t)
	rec := do(e, http.MethodGet, "/loki/api/v1/format_query", url.Values{"query": {`{app = "x"}|="y"`}})
	require.JSONEq(t, `{"status":"success","data":"{app=\"x\"} |= \"y\""}`, rec.Body.String())
	rec = do(e, http.MethodPost, "/loki/api/v1/format_query", url.Values{"query": {`{`}})
	require.Equal(t, http.StatusBadRequest, rec.Code)
	require.Contains(t, rec.Body.String(), `"status":"invalid-query"`)
	rec = do(e, http.MethodGet, "/loki/api/v1/status/buildinfo", nil)
	require.Contains(t, rec.Body.String(), `"version":"3.`)
}

func TestConfigNamesTheField(t *testing.T) {
	require.NoError(t, logs.DefaultConfig().Validate())
	cfg := logs.DefaultConfig()
	cfg.MaxSeries = 0
	_, err := logs.NewAPI(logs.Options{Config: cfg, Rows: openStore(t), Logger: discard})
	require.ErrorContains(t, err, "maxSeries")
}
