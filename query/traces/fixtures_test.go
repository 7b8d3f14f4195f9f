package traces_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/yagura-dev/yagura/query/traces"
	"github.com/yagura-dev/yagura/query/traces/jaegerpb/apiv3"
	"github.com/yagura-dev/yagura/query/traces/jaegerpb/storagev2"
)

type fixtureQuery struct {
	Caption string
	Query   struct {
		ServiceName, OperationName string
		Tags                       map[string]any
		StartTimeMin, StartTimeMax time.Time
		DurationMin, DurationMax   time.Duration
		NumTraces                  int
	}
	ExpectedFixtures []string
}

func (q fixtureQuery) url(t *testing.T) string {
	form := url.Values{"service": {q.Query.ServiceName}}
	form.Set("start", strconv.FormatInt(q.Query.StartTimeMin.UnixMicro(), 10))
	form.Set("end", strconv.FormatInt(q.Query.StartTimeMax.UnixMicro(), 10))
	form.Set("limit", strconv.Itoa(q.Query.NumTraces))
	if q.Query.OperationName != "" {
		form.Set("operation", q.Query.OperationName)
	}
	if q.Query.DurationMin > 0 {
		form.Set("minDuration", q.Query.DurationMin.String())
	}
	if q.Query.DurationMax > 0 {
		form.Set("maxDuration", q.Query.DurationMax.String())
	}
	if len(q.Query.Tags) > 0 {
		b, err := json.Marshal(q.Query.Tags)
		require.NoError(t, err)
		form.Set("tags", string(b))
	}
	return "/jaeger/api/traces?" + form.Encode()
}

// TestJaegerFixtures stores the traces of Jaeger's storage integration suite and
// runs its searches over every API: each finds the traces it says and no other.
func TestJaegerFixtures(t *testing.T) {
	dir := sharedData(t, "traces")
	store := openStore(t)
	ids := map[string]string{}
	spans := map[string][]traces.Span{}
	files, err := filepath.Glob(filepath.Join(dir, "jaeger", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for i, file := range files {
		if i == len(files)/2 { // some in blocks, some in memory
			require.NoError(t, store.Flush(t.Context()))
		}
		td := readFixture(t, file)
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		ids[name] = td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).TraceID().String()
		appendTraces(t, store, td)
		spans[ids[name]] = append(spans[ids[name]], allSpans(td)...)
	}
	cfg := traces.DefaultConfig()
	e := newServer(t, store, cfg)
	conn := newRPC(t, store, cfg)

	b, err := os.ReadFile(filepath.Join(dir, "jaeger-queries.json"))
	require.NoError(t, err)
	var queries []fixtureQuery
	require.NoError(t, json.Unmarshal(b, &queries))
	require.NotEmpty(t, queries)
	for _, q := range queries {
		t.Run(q.Caption, func(t *testing.T) {
			code, ans := get[[]jaegerTrace](t, e, q.url(t))
			require.Equal(t, http.StatusOK, code, ans.Errors)
			var want, got []string
			for _, name := range q.ExpectedFixtures {
				require.Contains(t, ids, name)
				want = append(want, ids[name])
			}
			for _, tr := range ans.Data {
				id := strings.Repeat("0", 32-len(tr.TraceID)) + tr.TraceID
				got = append(got, id)
				require.Len(t, tr.Spans, len(spans[id]))
			}
			slices.Sort(want)
			slices.Sort(got)
			require.Equal(t, want, got)
			require.Equal(t, len(want), ans.Total)
			require.Equal(t, want, q.overV3(t, e))
			require.Equal(t, want, q.overV3RPC(t, apiv3.NewQueryServiceClient(conn)))
			require.Equal(t, want, q.overStorage(t, storagev2.NewTraceReaderClient(conn)))
		})
	}

	for name, id := range ids {
		t.Run("by id/"+name, func(t *testing.T) {
			code, ans := get[[]jaegerTrace](t, e, "/jaeger/api/traces/"+strings.TrimLeft(id, "0"))
			require.Equal(t, http.StatusOK, code)
			require.Len(t, ans.Data, 1)
			require.Len(t, ans.Data[0].Spans, len(spans[id]))
		})
	}

	t.Run("stored as sent", func(t *testing.T) {
		api, err := traces.NewQuerier(store, cfg, nil, nil)
		require.NoError(t, err)
		for _, want := range spans {
			tr, err := api.Trace(t.Context(), want[0].TraceID, time.Time{}, time.Time{})
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(want, tr.Spans,
				cmpopts.IgnoreFields(traces.Span{}, "Labels"),
				cmpopts.SortSlices(func(a, b traces.Attribute) bool { return a.Key < b.Key }),
				cmpopts.SortSlices(func(a, b traces.Span) bool { return a.SpanID.String() < b.SpanID.String() }),
			))
		}
	})
}

func allSpans(td ptrace.Traces) (out []traces.Span) {
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				out = append(out, traces.FromOTLP(rs.Resource(), ss.Scope(), sp))
			}
		}
	}
	return out
}
