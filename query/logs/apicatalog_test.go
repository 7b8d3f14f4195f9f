package logs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/logs"
)

// city is three streams: two pods of a service that writes JSON and one of a
// service that writes logfmt; ten lines of 40 bytes each, one every six seconds.
func city(t *testing.T) http.Handler {
	store := openStore(t)
	for _, s := range []struct {
		service, pod, line string
	}{
		{"bus", "10", `{"msg":"go","user":{"id":%d},"ok":true}   `},
		{"bus", "11", `{"msg":"go","user":{"id":%d},"ok":true}   `},
		{"tram", "12", `took=1.5s size=10MB line=%d msg="a b"    `},
	} {
		lbls := labels.FromStrings("service_name", s.service, "shard", s.pod, "pod", s.pod)
		for i := range 10 {
			line := fmt.Sprintf(s.line, i)[:40]
			appendRows(t, store, lbls, row(ns(time.Duration(i)*6*time.Second), line, "trace_id", fmt.Sprintf("t%d", i), "retries", "2"))
		}
	}
	return newServer(t, store, logs.DefaultConfig())
}

func minute(kv ...string) url.Values {
	v := url.Values{"start": {nsParam(0)}, "end": {nsParam(time.Minute)}}
	for i := 0; i < len(kv); i += 2 {
		v.Add(kv[i], kv[i+1])
	}
	return v
}

// TestCatalogEndpoints holds the answers against those that Loki gives, byte for
// byte but for the statistics.
func TestCatalogEndpoints(t *testing.T) {
	e := city(t)
	end := epoch.Add(time.Minute).Unix()
	vector := func(series ...string) string {
		out := ""
		for i := 0; i < len(series); i += 2 {
			out += fmt.Sprintf(`,{"metric":%s,"value":[%d,"%s"]}`, series[i], end, series[i+1])
		}
		return `{"status":"success","data":{"resultType":"vector","result":[` + out[1:] + `]}}`
	}
	for _, tc := range []struct {
		name, path string
		form       url.Values
		want       string
	}{
		{"stats", "index/stats", minute("query", `{service_name="bus"}`), `{"streams":2,"chunks":0,"bytes":800,"entries":20}`},
		{"stats of nothing", "index/stats", minute("query", `{service_name="ship"}`), `{"streams":0,"chunks":0,"bytes":0,"entries":0}`},
		{"volume by the selector's labels", "index/volume", minute("query", `{service_name=~".+"}`),
			vector(`{"service_name":"bus"}`, "800", `{"service_name":"tram"}`, "400")},
		{"volume by targets", "index/volume", minute("query", `{service_name="bus"}`, "targetLabels", "pod"),
			vector(`{"pod":"10"}`, "400", `{"pod":"11"}`, "400")},
		{"volume of all", "index/volume", minute("query", `{}`, "targetLabels", "service_name", "limit", "1"),
			vector(`{"service_name":"bus"}`, "800")},
		{"volume by label names", "index/volume", minute("query", `{service_name=~".+"}`, "aggregateBy", "labels"),
			vector(`{"pod":""}`, "1200", `{"service_name":""}`, "1200", `{"shard":""}`, "1200")},
		{"volume by one label's name", "index/volume", minute("query", `{service_name="tram"}`, "aggregateBy", "labels", "targetLabels", "pod"),
			vector(`{"pod":""}`, "400")},
		{"volume over time", "index/volume_range", minute("query", `{service_name="bus"}`, "step", "30"),
			fmt.Sprintf(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"service_name":"bus"},"values":[[%d.999,"400"],[%d.999,"400"]]}]}}`, end-31, end-1)},
		{"labels that are worth it", "detected_labels", minute("query", `{service_name=~".+"}`),
			`{"detectedLabels":[{"label":"pod","cardinality":3},{"label":"service_name","cardinality":2}]}`},
		{"labels of all", "detected_labels", minute(),
			`{"detectedLabels":[{"label":"pod","cardinality":3},{"label":"service_name","cardinality":2}]}`},
		{"labels of nothing", "detected_labels", minute("query", `{a="b"}`), `{}`},
		{"fields of JSON", "detected_fields", minute("query", `{service_name="bus"}`), `{"fields":[
			{"label":"msg","type":"string","cardinality":1,"parsers":["json"],"jsonPath":["msg"]},
			{"label":"ok","type":"boolean","cardinality":1,"parsers":["json"],"jsonPath":["ok"]},
			{"label":"retries","type":"int","cardinality":1,"parsers":null},
			{"label":"trace_id","type":"string","cardinality":10,"parsers":null},
			{"label":"user_id","type":"int","cardinality":10,"parsers":["json"],"jsonPath":["user","id"]}],"limit":1000}`},
		{"fields of logfmt", "detected_fields", minute("query", `{service_name="tram"}`, "limit", "20"), `{"fields":[
			{"label":"line","type":"int","cardinality":10,"parsers":["logfmt"]},
			{"label":"msg","type":"string","cardinality":1,"parsers":["logfmt"]},
			{"label":"retries","type":"int","cardinality":1,"parsers":null},
			{"label":"size","type":"bytes","cardinality":1,"parsers":["logfmt"]},
			{"label":"took","type":"duration","cardinality":1,"parsers":["logfmt"]},
			{"label":"trace_id","type":"string","cardinality":10,"parsers":null}],"limit":20}`},
		{"fields of what a filter leaves", "detected_fields", minute("query", `{service_name="tram"} |= "line=3" | logfmt`), `{"fields":[
			{"label":"line","type":"int","cardinality":1,"parsers":["logfmt"]},
			{"label":"msg","type":"string","cardinality":1,"parsers":["logfmt"]},
			{"label":"retries","type":"int","cardinality":1,"parsers":null},
			{"label":"size","type":"bytes","cardinality":1,"parsers":["logfmt"]},
			{"label":"took","type":"duration","cardinality":1,"parsers":["logfmt"]},
			{"label":"trace_id","type":"string","cardinality":1,"parsers":null}],"limit":1000}`},
		{"fields beyond the sample", "detected_fields", minute("query", `{service_name="bus"}`, "line_limit", "1", "field_limit", "50"), `{"fields":[
			{"label":"msg","type":"string","cardinality":1,"parsers":["json"],"jsonPath":["msg"]},
			{"label":"ok","type":"boolean","cardinality":1,"parsers":["json"],"jsonPath":["ok"]},
			{"label":"retries","type":"int","cardinality":1,"parsers":null},
			{"label":"trace_id","type":"string","cardinality":10,"parsers":null},
			{"label":"user_id","type":"int","cardinality":1,"parsers":["json"],"jsonPath":["user","id"]}],"limit":50}`},
		{"fields of nothing", "detected_fields", minute("query", `{a="b"}`), `{}`},
		{"values of a parsed field", "detected_field/size/values", minute("query", `{service_name="tram"}`), `{"values":["10MB"],"limit":1000}`},
		{"values of structured metadata", "detected_field/retries/values", minute("query", `{service_name=~".+"}`), `{"values":["2"],"limit":1000}`},
		{"values, some", "detected_field/trace_id/values", minute("query", `{service_name="tram"}`, "limit", "2"), `{"values":["t0","t1"],"limit":2}`},
		{"values, filtered", "detected_field/trace_id/values", minute("query", `{service_name="tram"} |= "line=7"`), `{"values":["t7"],"limit":1000}`},
		{"values of nothing", "detected_field/none/values", minute("query", `{service_name="tram"}`), `{}`},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(tc.name+" "+method, func(t *testing.T) {
				rec := do(e, method, "/loki/api/v1/"+tc.path, tc.form)
				require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
				require.JSONEq(t, tc.want, withoutCost(t, rec.Body.Bytes()))
			})
		}
	}
}

// withoutCost drops what depends on how the store keeps its rows.
func withoutCost(t *testing.T, body []byte) string {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal(body, &v), "%s", body)
	if data, ok := v["data"].(map[string]any); ok {
		require.Contains(t, data["stats"], "summary")
		delete(data, "stats")
	}
	if _, ok := v["chunks"]; ok {
		v["chunks"] = 0
	}
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// TestVolumeRangeAligns puts what lies before the first step's boundary into a
// bucket of its own, and loses nothing at either end.
func TestVolumeRangeAligns(t *testing.T) {
	e := city(t)
	form := url.Values{"query": {`{pod="10"}`}, "start": {nsParam(12 * time.Second)}, "end": {nsParam(54 * time.Second)}, "step": {"20"}}
	rec := do(e, http.MethodGet, "/loki/api/v1/index/volume_range", form)
	require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
	at := func(d time.Duration) string { return fmt.Sprintf("%d", epoch.Add(d).Unix()) }
	// Lines at 12 and 18, at 24, 30 and 36, and at 42, 48 and 54 seconds.
	require.JSONEq(t, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"pod":"10"},"values":[[`+
		at(19*time.Second)+`.999,"80"],[`+at(39*time.Second)+`.999,"120"],[`+at(54*time.Second)+`,"120"]]}]}}`, withoutCost(t, rec.Body.Bytes()))
}

func TestCatalogBadRequests(t *testing.T) {
	e := city(t)
	for _, tc := range []struct {
		path string
		form url.Values
		want string
	}{
		{"index/stats", minute("query", `{a="b"} |= "x"`), "only label matchers are supported"},
		{"index/stats", minute("query", ``), "parse error"},
		{"index/volume", minute("query", `{a="b"}`, "limit", "-1"), "'limit'"},
		{"index/volume", minute("query", `{a="b"}`, "limit", "x"), "'limit'"},
		{"index/volume", minute("query", `{a="b"}`, "aggregateBy", "pods"), "'aggregateBy'"},
		{"index/volume", url.Values{"query": {`{a="b"}`}, "start": {"x"}}, "'start'"},
		{"index/volume_range", minute("query", `{a="b"}`, "step", "0"), "'step'"},
		{"index/volume_range", minute("query", `{a="b"}`, "step", "0.0000001"), "'step'"},
		{"detected_labels", minute("query", `{a=`), "parse error"},
		{"detected_labels", url.Values{"since": {"x"}}, "'since'"},
		{"detected_fields", minute("query", `rate({a="b"}[1m])`), "'query'"},
		{"detected_fields", minute("query", `0`), "'query'"},
		{"detected_fields", minute("query", `{a="b"}`, "line_limit", "0"), "'line_limit'"},
		{"detected_fields", minute("query", `{a="b"}`, "line_limit", "100000"), "maxLines"},
		{"detected_fields", minute("query", `{a="b"}`, "limit", "99999999999"), "'limit'"},
		{"detected_fields", minute("query", `{a="b"}`, "field_limit", "0"), "'field_limit'"},
		{"detected_field/x/values", minute("query", `{a=`), "parse error"},
		{"detected_field/x/values", url.Values{"query": {`{a="b"}`}, "start": {"1"}, "end": {"1700000000"}}, "maxQueryRange"},
	} {
		rec := do(e, http.MethodGet, "/loki/api/v1/"+tc.path, tc.form)
		require.Equal(t, http.StatusBadRequest, rec.Code, "%s %v: %s", tc.path, tc.form, rec.Body.String())
		require.Contains(t, rec.Body.String(), tc.want, "%s %v", tc.path, tc.form)
		require.Contains(t, rec.Header().Get("Content-Type"), "text/plain")
	}
}

// TestDetectedFieldsAreTheMostFrequent of more than were asked for, in whatever order
// lines have them.
func TestDetectedFieldsAreTheMostFrequent(t *testing.T) {
	store := openStore(t)
	for i, line := range []string{"often=1 z=1", "b=1 often=2 a=1", "seldom=1", "c=1 often=1 z=3"} {
		appendRows(t, store, labels.FromStrings("app", "x"), row(ns(time.Duration(i)*time.Second), line))
	}
	e := newServer(t, store, logs.DefaultConfig())
	for limit, want := range map[string][]string{"1": {"often"}, "2": {"often", "z"}, "3": {"a", "often", "z"}} {
		rec := do(e, http.MethodGet, "/loki/api/v1/detected_fields", minute("query", `{app="x"}`, "field_limit", limit))
		require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
		var answer struct{ Fields []struct{ Label string } }
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &answer))
		var got []string
		for _, f := range answer.Fields {
			got = append(got, f.Label)
		}
		require.Equal(t, want, got)
	}
}

func TestVolumeNamesItsLimit(t *testing.T) {
	store := openStore(t)
	for i := range 20 {
		appendRows(t, store, labels.FromStrings("pod", fmt.Sprint(i)), row(ns(0), "line"))
	}
	cfg := logs.DefaultConfig()
	cfg.MaxSeries = 10
	rec := do(newServer(t, store, cfg), http.MethodGet, "/loki/api/v1/index/volume", minute("query", `{pod=~".+"}`))
	require.Equal(t, http.StatusBadRequest, rec.Code)
	require.Contains(t, rec.Body.String(), "query refused by maxSeries")
}

func TestWhatGrafanaAsksFirst(t *testing.T) {
	e := city(t)
	rec := do(e, http.MethodGet, "/loki/api/v1/drilldown-limits", nil)
	var limits struct {
		Limits                 map[string]any `json:"limits"`
		PatternIngesterEnabled bool           `json:"pattern_ingester_enabled"`
		Version                string         `json:"version"`
	}
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &limits))
	require.True(t, limits.PatternIngesterEnabled)
	require.NotEmpty(t, limits.Version)
	require.Equal(t, true, limits.Limits["volume_enabled"])
	require.EqualValues(t, 100_000, limits.Limits["max_query_series"])
	require.Equal(t, "30d1h", limits.Limits["max_query_length"])

	rec = do(e, http.MethodGet, "/loki/api/v1/rules", nil)
	require.Equal(t, http.StatusOK, rec.Code)
	require.Equal(t, "{}\n", rec.Body.String())
	require.Equal(t, "application/yaml", rec.Header().Get("Content-Type"))

	require.Equal(t, "ready\n", do(e, http.MethodGet, "/loki/ready", nil).Body.String())
}
