package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

func TestExplain(t *testing.T) {
	for _, name := range []string{"both", "new", "sizes"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + name + ".yaml")
			require.NoError(t, err)
			var policy v1alpha1.WorkloadAutoscaler
			require.NoError(t, yaml.UnmarshalStrict(text, &policy))
			golden(t, name+".txt", explain(&policy, noon))
		})
	}
}

func lines(records ...decision.Record) []byte {
	var values [][]any
	for _, r := range records {
		text, _ := json.Marshal(r)
		values = append(values, []any{strconv.FormatInt(r.Time.UnixNano(), 10), string(text), map[string]any{}})
	}
	body, _ := json.Marshal(map[string]any{"status": "success", "data": map[string]any{"resultType": "streams", "result": []any{
		map[string]any{"stream": map[string]string{"service_name": "yagura-autoscaler"}, "values": values}}}})
	return body
}

func TestHistory(t *testing.T) {
	at := func(minutes int, d decision.Direction, reason string, pods ...decision.PodAction) decision.Record {
		return decision.Record{Name: "web", Time: noon.Add(time.Duration(minutes) * time.Minute), Direction: d, Reason: reason, Outcome: decision.Held, Pods: pods}
	}
	var asked, path string
	status, body := http.StatusOK, lines(
		at(-1, decision.Vertical, "Resized 1 pod: memory from 100Mi to 200Mi", decision.PodAction{Pod: "web-1", Method: decision.InPlace, Result: decision.Done},
			decision.PodAction{Pod: "web-2", Method: decision.Evict, Result: decision.Blocked, Reason: "PodDisruptionBudget web allows none"}),
		at(-2, decision.Horizontal, "Held at 4: the signal is stale"), at(-3, decision.Horizontal, "Held at 4: the signal is stale"), at(-9, decision.Horizontal, "Scaled out from 2 to 4"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, path = r.FormValue("query"), r.URL.Path
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	defer server.Close()
	ask := records{url: server.URL + "/", since: time.Hour, limit: 20}
	defer http.DefaultClient.CloseIdleConnections()

	all, err := ask.fetch(t.Context(), "shop", `we"b`, noon)
	require.NoError(t, err)
	assert.Equal(t, "/loki/api/v1/query_range", path)
	assert.Equal(t, `{service_name="yagura-autoscaler"} | json target_namespace="namespace", autoscaler="name", outcome="outcome" | target_namespace="shop" | autoscaler="we\"b" | outcome!="Unchanged"`, asked)
	assert.Equal(t, `Decisions of the last 1h:
  2026-03-01T11:51:00Z Scaled out from 2 to 4.
  2026-03-01T11:57:00Z Held at 4: the signal is stale.
  2026-03-01T11:59:00Z Resized 1 pod: memory from 100Mi to 200Mi.
    web-1: InPlace done
    web-2: Evict blocked, PodDisruptionBudget web allows none
`, history(all, model.Duration(time.Hour)))
	assert.Equal(t, "Decisions of the last 1h:\n  none that changed anything.\n", history(nil, model.Duration(time.Hour)))

	for want, answer := range map[string]struct {
		status int
		body   string
	}{
		"answers 500 Internal Server Error: out of order": {500, "out of order\n"},
		"read the answer: ":                 {200, "<html>"},
		`want log lines, not "matrix"`:      {200, `{"data":{"resultType":"matrix"}}`},
		"read the answer: a line has":       {200, `{"data":{"resultType":"streams","result":[{"values":[["1"]]}]}}`},
		"read a record: invalid character":  {200, `{"data":{"resultType":"streams","result":[{"values":[["1","no record"]]}]}}`},
		"read the answer: json: cannot unm": {200, `{"data":{"resultType":"streams","result":[{"values":[["1",7]]}]}}`},
	} {
		status, body = answer.status, []byte(answer.body)
		_, err := ask.fetch(t.Context(), "shop", "web", noon)
		assert.ErrorContains(t, err, want)
	}
	server.Close()
	_, err = ask.fetch(t.Context(), "shop", "web", noon)
	assert.ErrorContains(t, err, "is it running?")
}

func FuzzRecords(f *testing.F) {
	f.Add(lines(decision.Record{Name: "web"}))
	f.Add([]byte(fmt.Sprintf(`{"data":{"resultType":"streams","result":[{"values":[["1",%q]]}]}}`, `{"time":"2026-01-01T00:00:00Z"}`)))
	f.Fuzz(func(_ *testing.T, body []byte) {
		if all, err := parseRecords(body); err == nil {
			history(all, model.Duration(time.Hour))
		}
	})
}
