package metrics_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
)

func TestRefusedSamplesAreCountedAndOthersStored(t *testing.T) {
	now := ms(0)
	long := strings.Repeat("x", 5000)
	with := func(kv ...string) labels.Labels {
		return labels.FromStrings(append([]string{model.MetricNameLabel, "m"}, kv...)...)
	}
	many := make([]string, 0, 200)
	for i := range 100 {
		many = append(many, "l"+string(rune('a'+i/26))+string(rune('a'+i%26)), "v")
	}
	badHistogram := tsdbutil.GenerateTestHistogram(1)
	badHistogram.Count = 1
	cases := map[string]struct {
		labels    labels.Labels
		t         int64
		v         float64
		h         *histogram.Histogram
		want      metrics.Reason
		wantNamed string
	}{
		"too old":               {labels: with(), t: now - 13*time.Hour.Milliseconds(), want: metrics.ReasonTooOld},
		"timestamp zero":        {labels: with(), t: 0, want: metrics.ReasonTooOld},
		"timestamp minimum":     {labels: with(), t: math.MinInt64, want: metrics.ReasonTooOld},
		"too new":               {labels: with(), t: now + time.Hour.Milliseconds(), want: metrics.ReasonTooNew},
		"another value":         {labels: labels.FromStrings(model.MetricNameLabel, "known"), t: now, v: 2, want: metrics.ReasonDuplicateTimestamp},
		"no name":               {labels: labels.FromStrings("a", "b"), t: now, want: metrics.ReasonInvalidLabels},
		"not UTF-8":             {labels: with("a", "\xff"), t: now, want: metrics.ReasonInvalidLabels},
		"label twice":           {labels: twice(), t: now, want: metrics.ReasonInvalidLabels, wantNamed: `"a"`},
		"reserved":              {labels: labels.FromStrings(model.MetricNameLabel, metrics.MarkerName, "collector", "c1", "stream", "metrics"), t: now, v: 99, want: metrics.ReasonReservedName},
		"too many labels":       {labels: with(many...), t: now, want: metrics.ReasonTooManyLabels, wantNamed: "maxLabels"},
		"label name too long":   {labels: with(long, "v"), t: now, want: metrics.ReasonLabelNameTooLong},
		"label value too long":  {labels: with("a", long), t: now, want: metrics.ReasonLabelValueTooLong, wantNamed: `"a"`},
		"histogram count wrong": {labels: with(), t: now, h: badHistogram, want: metrics.ReasonInvalidHistogram},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			s := open(t, t.TempDir(), func(o *metrics.Options) { o.Registerer = reg })
			ctx := context.Background()
			_, _, err := s.AppendBatch(ctx, columnar.BatchID{}, floats("known", point{now, 1}))
			require.NoError(t, err)
			res, _, err := s.AppendBatch(ctx, columnar.BatchID{}, func(app *metrics.Appender) error {
				if _, err := app.Append(0, c.labels, 0, c.t, c.v, c.h, nil, storage.AOptions{}); err != nil {
					return err
				}
				return floats("good", point{now, 1})(app)
			})
			require.NoError(t, err)
			require.Equal(t, map[metrics.Reason]int{c.want: 1}, res.Refused)
			require.Equal(t, 1, res.Samples)
			require.Equal(t, 1, res.RefusedSamples())
			require.Len(t, res.Refusals, 1)
			require.Less(t, len(res.Refusals[0].Text), 600)
			require.Contains(t, res.Refusals[0].Text, c.wantNamed)
			require.Len(t, stored(t, s, "good"), 1)
			require.Len(t, stored(t, s, "known"), 1)
			require.Empty(t, stored(t, s, "m"))
			require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP yagura_metrics_refused_total Samples and exemplars that the metrics store refused, by reason.
# TYPE yagura_metrics_refused_total counter
yagura_metrics_refused_total{reason="`+string(c.want)+`"} 1
`), "yagura_metrics_refused_total"))
		})
	}
}

func twice() labels.Labels {
	b := labels.NewScratchBuilder(3)
	b.Add(model.MetricNameLabel, "m")
	b.Add("a", "1")
	b.Add("a", "2")
	return b.Labels()
}

func TestSeriesLimit(t *testing.T) {
	s := open(t, t.TempDir(), func(o *metrics.Options) { o.Config.MaxSeries = 2 })
	now := ms(0)
	res, _, err := s.AppendBatch(context.Background(), columnar.BatchID{}, func(app *metrics.Appender) error {
		for _, n := range []string{"a", "b", "c", "a", "d"} {
			if err := floats(n, point{now, 1})(app); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, map[metrics.Reason]int{metrics.ReasonSeriesLimit: 2}, res.Refused)
	require.Equal(t, 3, res.Samples)
}

func TestFullDiskRefusesTheWholeBatch(t *testing.T) {
	s := open(t, t.TempDir(), func(o *metrics.Options) { o.Config.MinFreeBytes = math.MaxInt64 })
	_, _, err := s.AppendBatch(context.Background(), columnar.BatchID{}, floats("a", point{ms(0), 1}))
	require.ErrorIs(t, err, columnar.ErrFull)
	require.ErrorContains(t, err, "minFreeBytes")
	require.NoError(t, s.Ready(), "queries still work")
}

func TestNothingIsAcknowledgedAfterALogFailed(t *testing.T) {
	s := open(t, t.TempDir())
	s.Fail(errors.New("no space left on device"))
	_, _, err := s.AppendBatch(context.Background(), columnar.BatchID{}, floats("a", point{ms(0), 1}))
	require.ErrorContains(t, err, "no space left on device")
	require.ErrorContains(t, s.Ready(), "restart")
}

func TestOneProcessPerFolder(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := metrics.Open(dir, metrics.Options{Config: testConfig()})
	require.ErrorContains(t, err, "lock")
}

// A log whose end was torn by a crash is repaired, and what came before is there.
func TestTornLogIsRepaired(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, _, err := s.AppendBatch(context.Background(), batchID(1), floats("a", point{ms(0), 1}))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	segments, err := filepath.Glob(filepath.Join(dir, "tsdb", "wal", "0*"))
	require.NoError(t, err)
	f, err := os.OpenFile(segments[0], os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = f.Write([]byte{1, 0, 200, 1, 2, 3, 4, 5, 6})
	require.NoError(t, err)
	require.NoError(t, f.Close())

	s = open(t, dir)
	require.Len(t, stored(t, s, "a"), 1)
	_, dup, err := s.AppendBatch(context.Background(), batchID(1), floats("a"))
	require.NoError(t, err)
	require.True(t, dup)
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	require.NoError(t, metrics.DefaultConfig().Validate())
	c := metrics.DefaultConfig()
	c.Retention, c.MaxSeries, c.QueryTimeout = model.Duration(time.Hour), 0, -1
	err := c.Validate()
	for _, field := range []string{"outOfOrderWindow", "maxSeries", "queryTimeout"} {
		require.ErrorContains(t, err, field)
	}
}

func TestPrometheusAPI(t *testing.T) {
	s := open(t, t.TempDir())
	now := ms(0)
	_, _, err := s.AppendBatch(context.Background(), batchID(1), func(app *metrics.Appender) error {
		ls := labels.FromStrings(model.MetricNameLabel, "http_requests_total", "code", "200", "path", "/a/b")
		_, err := app.Append(0, ls, 0, now, 42, nil, nil, storage.AOptions{
			Metadata: metrics.Metadata{Type: model.MetricTypeCounter, Help: "Requests.", Unit: ""},
		})
		return err
	})
	require.NoError(t, err)
	e := echo.New()
	s.Register(e.Group("/prometheus"))
	srv := httptest.NewServer(e)
	defer srv.Close()
	at := "&time=" + url.QueryEscape(time.UnixMilli(now).UTC().Format(time.RFC3339))

	cases := map[string]struct {
		path string
		form url.Values
		code int
		want string
	}{
		"query":              {path: "/query?query=http_requests_total" + at, code: 200, want: `"path":"/a/b"`},
		"query, posted":      {path: "/query", form: url.Values{"query": {"sum(http_requests_total)"}}, code: 200, want: `"resultType":"vector"`},
		"query range":        {path: "/query_range?query=up&start=1&end=2&step=1", code: 200, want: `"matrix"`},
		"at modifier":        {path: "/query?query=" + url.QueryEscape("http_requests_total @ end()") + at, code: 200, want: `"42"`},
		"series":             {path: "/series?match[]=http_requests_total", code: 200, want: `"code":"200"`},
		"labels":             {path: "/labels", code: 200, want: `"path"`},
		"label values":       {path: "/label/path/values", code: 200, want: `"/a/b"`},
		"label values, utf8": {path: "/label/U__service_2e_name/values", code: 200, want: `"data":[]`},
		"metadata":           {path: "/metadata", code: 200, want: `{"data":{"http_requests_total":[{"type":"counter","unit":"","help":"Requests."}]},"status":"success"}`},
		"metadata of none":   {path: "/metadata?metric=nope", code: 200, want: `{"data":{},"status":"success"}`},
		"metadata, bad":      {path: "/metadata?limit=x", code: 400, want: "limit must be a number"},
		"format":             {path: "/format_query?query=a%2Bb", code: 200, want: "a + b"},
		"parse":              {path: "/parse_query?query=a%2Bb", code: 200, want: `"binaryExpr"`},
		"targets":            {path: "/targets", code: 200, want: `"activeTargets":[]`},
		"rules":              {path: "/rules", code: 200, want: `"groups":[]`},
		"alerts":             {path: "/alerts", code: 200, want: `"alerts":[]`},
		"alertmanagers":      {path: "/alertmanagers", code: 200, want: `"activeAlertmanagers":[]`},
		"scrape pools":       {path: "/scrape_pools", code: 200, want: `"scrapePools":[]`},
		"tsdb status":        {path: "/status/tsdb", code: 200, want: `"http_requests_total"`},
		"tsdb blocks":        {path: "/status/tsdb/blocks", code: 200, want: `"success"`},
		"build":              {path: "/status/buildinfo", code: 200, want: `"version":"dev"`},
		"runtime":            {path: "/status/runtimeinfo", code: 200, want: `"storageRetention":"15d"`},
		"flags":              {path: "/status/flags", code: 200, want: `"success"`},
		"config":             {path: "/status/config", code: 200, want: `"yaml"`},
		"exemplars":          {path: "/query_exemplars?query=up&start=1&end=2", code: 200, want: `"data":[]`},
		"bad PromQL":         {path: "/query?query=" + url.QueryEscape("sum("), code: 400, want: "unclosed left parenthesis"},
		"no query":           {path: "/query", code: 400, want: "bad_data"},
		"bad time":           {path: "/query?query=up&time=yesterday", code: 400, want: "time"},
		"too many points":    {path: "/query_range?query=up&start=1&end=99999999&step=1", code: 400, want: "11,000"},
		"bad matcher":        {path: "/series?match[]={", code: 400, want: "bad_data"},
		"bad remote read":    {path: "/read", form: url.Values{"a": {"b"}}, code: 400, want: ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var resp *http.Response
			var err error
			if c.form != nil {
				resp, err = http.PostForm(srv.URL+"/prometheus/api/v1"+c.path, c.form)
			} else {
				resp, err = http.Get(srv.URL + "/prometheus/api/v1" + c.path)
			}
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, c.code, resp.StatusCode, "%s", body)
			require.Contains(t, string(body), c.want)
			require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"))
			if c.code == 200 && resp.Header.Get("Content-Type") == "application/json" {
				require.True(t, json.Valid(body))
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestQueryBudget(t *testing.T) {
	s := open(t, t.TempDir(), func(o *metrics.Options) { o.Config.QueryMaxSamples = 3 })
	now := ms(0)
	_, _, err := s.AppendBatch(context.Background(), columnar.BatchID{}, floats("a",
		point{now - 4000, 1}, point{now - 3000, 1}, point{now - 2000, 1}, point{now - 1000, 1}))
	require.NoError(t, err)
	e := echo.New()
	s.Register(e.Group("/prometheus"))
	srv := httptest.NewServer(e)
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/prometheus/api/v1/query?query=" + url.QueryEscape("count_over_time(a[1m])"))
	require.NoError(t, err)
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	require.Equal(t, http.StatusUnprocessableEntity, resp.StatusCode)
	require.Contains(t, string(body), "too many samples")
	http.DefaultClient.CloseIdleConnections()
}
