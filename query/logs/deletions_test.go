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

func seconds(d time.Duration) string { return fmt.Sprint(epoch.Add(d).Unix()) }

// remaining are the lines of the streams that the shop of these tests has left.
func remaining(t *testing.T, e http.Handler) (out []string) {
	t.Helper()
	a := query(t, e, "/loki/api/v1/query_range", url.Values{
		"query": {`{service_name=~".+"} | drop trace_id`}, "start": {nsParam(0)}, "end": {nsParam(time.Hour)}, "direction": {"forward"}, "limit": {"1000"},
	})
	for _, s := range streams(t, a) {
		out = append(out, s.lines(t)...)
	}
	return out
}

func deletionServer(t *testing.T) http.Handler {
	store := openStore(t)
	for i := range 6 {
		appendRows(t, store, labels.FromStrings("service_name", "shop"), row(ns(time.Duration(i)*time.Second), fmt.Sprintf("order %d", i), "trace_id", fmt.Sprintf("t%d", i)))
	}
	appendRows(t, store, labels.FromStrings("service_name", "other"), row(ns(0), "order of another"))
	appendRows(t, store, labels.FromStrings("service_name", "labelled", "trace_id", "t1"), row(ns(0), "by label"))
	return newServer(t, store, logs.DefaultConfig())
}

func TestDelete(t *testing.T) {
	all := []string{"order 0", "order 1", "order 2", "order 3", "order 4", "order 5", "order of another", "by label"}
	without := func(gone ...string) (out []string) {
		for _, l := range all {
			keep := true
			for _, g := range gone {
				keep = keep && l != g
			}
			if keep {
				out = append(out, l)
			}
		}
		return out
	}
	for name, tc := range map[string]struct {
		form url.Values
		left []string
	}{
		"both ends":    {url.Values{"query": {`{service_name="shop"}`}, "start": {seconds(time.Second)}, "end": {seconds(3 * time.Second)}}, without("order 1", "order 2", "order 3")},
		"until now":    {url.Values{"query": {`{service_name="shop"}`}, "start": {epoch.Format(time.RFC3339)}}, []string{"order of another", "by label"}},
		"line filters": {url.Values{"query": {`{service_name=~".+"} |= "order" != "0" !~ "another|5"`}, "start": {seconds(0)}}, []string{"order 0", "order 5", "order of another", "by label"}},
		"metadata":     {url.Values{"query": {`{service_name="shop"} | trace_id="t2"`}, "start": {seconds(0)}}, without("order 2")},
		"not metadata": {url.Values{"query": {`{service_name="shop"} | trace_id!="t2" and trace_id!="t3"`}, "start": {seconds(0)}}, []string{"order 2", "order 3", "order of another", "by label"}},
		"nothing":      {url.Values{"query": {`{service_name="shop"} |= "none"`}, "start": {seconds(0)}, "max_interval": {"1h"}}, all},
	} {
		t.Run(name, func(t *testing.T) {
			e := deletionServer(t)
			require.ElementsMatch(t, all, remaining(t, e))
			rec := do(e, http.MethodPost, "/loki/api/v1/delete?"+tc.form.Encode(), nil)
			require.Equal(t, http.StatusNoContent, rec.Code, rec.Body.String())
			require.NotEmpty(t, rec.Header().Get("X-Delete-Request-ID"))
			require.ElementsMatch(t, tc.left, remaining(t, e))

			var listed []map[string]any
			require.NoError(t, json.Unmarshal(do(e, http.MethodGet, "/loki/api/v1/delete", nil).Body.Bytes(), &listed))
			require.Len(t, listed, 1)
			require.Equal(t, rec.Header().Get("X-Delete-Request-ID"), listed[0]["request_id"])
			require.Equal(t, tc.form.Get("query"), listed[0]["query"])
			require.Contains(t, []any{"received", "processed"}, listed[0]["status"])
			if tc.form.Has("end") {
				require.Equal(t, tc.form.Get("end"), fmt.Sprintf("%.0f", listed[0]["end_time"]))
				require.EqualValues(t, epoch.Add(time.Second).Unix(), listed[0]["start_time"])
			}
		})
	}
}

func TestDeleteRefuses(t *testing.T) {
	e := deletionServer(t)
	future := fmt.Sprint(time.Now().Add(time.Hour).Unix())
	for name, tc := range map[string]struct {
		form url.Values
		want string
	}{
		"no query":          {url.Values{"start": {"1"}}, "'query' parameter: query not set"},
		"no start":          {url.Values{"query": {`{a="b"}`}}, "'start' parameter: start time not set"},
		"syntax":            {url.Values{"query": {`{a=`}, "start": {"1"}}, "parse error"},
		"metric":            {url.Values{"query": {`rate({a="b"}[1m])`}, "start": {"1"}}, "only log queries"},
		"a bare number":     {url.Values{"query": {`0`}, "start": {"1"}}, "only log queries"},
		"parser":            {url.Values{"query": {`{a="b"} | json`}, "start": {"1"}}, "deletions know"},
		"pattern filter":    {url.Values{"query": {`{a="b"} |> "<_> x"`}, "start": {"1"}}, "cannot be evaluated exactly"},
		"numbers":           {url.Values{"query": {`{a="b"} | n > 3`}, "start": {"1"}}, "with = and != only"},
		"regexp":            {url.Values{"query": {`{a="b"} | n =~ "x.*"`}, "start": {"1"}}, "with = and != only"},
		"or":                {url.Values{"query": {`{a="b"} | n = "x" or m = "y"`}, "start": {"1"}}, "with = and != only"},
		"a stream's label":  {url.Values{"query": {`{service_name=~".+"} | trace_id="t1"`}, "start": {seconds(0)}, "end": {seconds(time.Minute)}}, `"trace_id" is a label`},
		"the future":        {url.Values{"query": {`{a="b"}`}, "start": {"1"}, "end": {future}}, "'end' parameter: deletes in the future"},
		"end before start":  {url.Values{"query": {`{a="b"}`}, "start": {"10"}, "end": {"9"}}, "'start'"},
		"start is no time":  {url.Values{"query": {`{a="b"}`}, "start": {"x"}}, "'start'"},
		"interval":          {url.Values{"query": {`{a="b"}`}, "start": {"1"}, "max_interval": {"1d"}}, "'max_interval'"},
		"interval too tiny": {url.Values{"query": {`{a="b"}`}, "start": {"1"}, "max_interval": {"1ms"}}, "'max_interval'"},
	} {
		t.Run(name, func(t *testing.T) {
			rec := do(e, http.MethodPost, "/loki/api/v1/delete?"+tc.form.Encode(), nil)
			require.Equal(t, http.StatusBadRequest, rec.Code, rec.Body.String())
			require.Contains(t, rec.Body.String(), tc.want)
		})
	}
	require.Equal(t, "[]\n", do(e, http.MethodGet, "/loki/api/v1/delete", nil).Body.String())
	require.Equal(t, http.StatusNotFound, do(e, http.MethodDelete, "/loki/api/v1/delete", url.Values{"request_id": {"x"}}).Code)
	require.Equal(t, http.StatusBadRequest, do(e, http.MethodDelete, "/loki/api/v1/delete", nil).Code)
}
