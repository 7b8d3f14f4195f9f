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

type patternSeries struct {
	Pattern string
	Level   string
	Samples [][2]int64
}

func patterns(t *testing.T, e http.Handler, form url.Values) []patternSeries {
	t.Helper()
	rec := do(e, http.MethodGet, "/loki/api/v1/patterns", form)
	require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
	var a struct {
		Status string
		Data   []patternSeries
	}
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &a))
	require.Equal(t, "success", a.Status)
	return a.Data
}

func depot(t *testing.T, change ...func(*logs.Config)) http.Handler {
	store := openStore(t)
	lbls := labels.FromStrings("service_name", "depot")
	for i := range 600 {
		at := ns(time.Duration(i) * 100 * time.Millisecond)
		appendRows(t, store, lbls, row(at, fmt.Sprintf("tram %d left the depot after %dms today", i, i*7), "detected_level", "info"))
		if i%10 == 0 {
			appendRows(t, store, lbls, row(at+1, fmt.Sprintf("door %d of tram %d does not close at all", i%4, i), "detected_level", "error"))
		}
	}
	cfg := logs.DefaultConfig()
	for _, f := range change {
		f(&cfg)
	}
	return newServer(t, store, cfg)
}

func TestPatterns(t *testing.T) {
	at := func(d time.Duration) int64 { return epoch.Add(d).Unix() }
	got := patterns(t, depot(t), minute("query", `{service_name="depot"}`, "step", "20s"))
	require.Equal(t, []patternSeries{
		{"tram <_> left the depot after <_> today", "info", [][2]int64{{at(0), 200}, {at(20 * time.Second), 200}, {at(40 * time.Second), 200}}},
		{"door <_> of tram <_> does not close at all", "error", [][2]int64{{at(0), 20}, {at(20 * time.Second), 20}, {at(40 * time.Second), 20}}},
	}, got)
	require.Empty(t, patterns(t, depot(t), minute("query", `{service_name="none"}`)))
}

// TestPatternsOfManyLines are mined from a sample that stands for all of them.
func TestPatternsOfManyLines(t *testing.T) {
	e := depot(t, func(c *logs.Config) { c.MaxPatternLines = 120 })
	got := patterns(t, e, minute("query", `{service_name="depot"}`, "step", "10s"))
	require.Len(t, got, 2)
	total := int64(0)
	for _, s := range got {
		require.Len(t, s.Samples, 6, "each step has its share of the sample")
		for _, p := range s.Samples {
			total += p[1]
		}
	}
	require.InDelta(t, 660, total, 10)
}

func TestPatternsWidenTheStep(t *testing.T) {
	for _, step := range []string{"1s", "1ms"} {
		form := url.Values{"query": {`{service_name="depot"}`}, "start": {nsParam(0)}, "end": {nsParam(2 * time.Hour)}, "step": {step}}
		got := patterns(t, depot(t), form)
		require.Len(t, got, 2)
		require.LessOrEqual(t, len(got[0].Samples), 5, "7,200 steps are 500 of 15 s")
	}
}

func TestPatternsBadRequests(t *testing.T) {
	e := depot(t)
	for want, form := range map[string]url.Values{
		"only label matchers": minute("query", `{a="b"} |= "x"`),
		"parse error":         minute("query", ``),
		"'step'":              minute("query", `{a="b"}`, "step", "-1"),
		"'start'":             {"query": {`{a="b"}`}, "start": {"x"}},
		"maxQueryRange":       {"query": {`{a="b"}`}, "start": {"1"}, "end": {"1700000000"}, "step": {"1000000"}},
	} {
		rec := do(e, http.MethodGet, "/loki/api/v1/patterns", form)
		require.Equal(t, http.StatusBadRequest, rec.Code, "%v %s", form, rec.Body.String())
		require.Contains(t, rec.Body.String(), want)
	}
}
