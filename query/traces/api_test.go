package traces_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traces"
)

// now is recent, because lists of operations look back from the real clock.
var now = time.Now().Truncate(time.Microsecond).Add(-10 * time.Minute)

func micros(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

// newSpan adds a span of a service to a request and returns it.
func newSpan(td ptrace.Traces, service string, trace, span byte, name string, start time.Time, d time.Duration) ptrace.Span {
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", service)
	rs.Resource().Attributes().PutStr("host.name", "node-1")
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("otelhttp")
	ss.Scope().SetVersion("0.72.0")
	sp := ss.Spans().AppendEmpty()
	sp.SetTraceID(pcommon.TraceID{0: 0xab, 15: trace})
	sp.SetSpanID(pcommon.SpanID{7: span})
	sp.SetName(name)
	sp.SetStartTimestamp(pcommon.NewTimestampFromTime(start))
	sp.SetEndTimestamp(pcommon.NewTimestampFromTime(start.Add(d)))
	return sp
}

func traceID(n byte) string { return fmt.Sprintf("ab%028x%02x", 0, n) }

func TestAConvertedTrace(t *testing.T) {
	store := openStore(t)
	td := ptrace.NewTraces()
	root := newSpan(td, "gateway", 1, 1, "GET /", now, 50*time.Millisecond)
	root.SetKind(ptrace.SpanKindServer)
	child := newSpan(td, "cart", 1, 2, "SELECT", now.Add(10*time.Millisecond), 20*time.Millisecond)
	child.SetParentSpanID(root.SpanID())
	child.SetKind(ptrace.SpanKindClient)
	child.SetFlags(0x101)
	child.Status().SetCode(ptrace.StatusCodeError)
	child.Status().SetMessage("deadlock")
	child.TraceState().FromRaw("k=v")
	as := child.Attributes()
	as.PutStr("db", "orders")
	as.PutInt("rows", 3)
	as.PutInt("big", 1<<60)
	as.PutDouble("ratio", 0.5)
	as.PutBool("cached", false)
	as.PutEmptyBytes("raw").FromRaw([]byte{1, 2})
	as.PutEmptySlice("list").AppendEmpty().SetStr("a")
	ev := child.Events().AppendEmpty()
	ev.SetName("retry")
	ev.SetTimestamp(pcommon.NewTimestampFromTime(now.Add(15 * time.Millisecond)))
	ev.Attributes().PutInt("attempt", 2)
	link := child.Links().AppendEmpty()
	link.SetTraceID(pcommon.TraceID{15: 9})
	link.SetSpanID(pcommon.SpanID{7: 8})
	appendTraces(t, store, td)

	code, ans := get[[]jaegerTrace](t, newServer(t, store, traces.DefaultConfig()), "/jaeger/api/traces/"+traceID(1))
	require.Equal(t, http.StatusOK, code)
	require.Len(t, ans.Data, 1)
	tr := ans.Data[0]
	require.Equal(t, traceID(1), tr.TraceID)
	require.Len(t, tr.Spans, 2)
	require.Len(t, tr.Processes, 2)

	r, c := tr.Spans[0], tr.Spans[1]
	require.Equal(t, "GET /", r.OperationName)
	require.Empty(t, r.References)
	require.Equal(t, "gateway", tr.Processes[r.ProcessID].ServiceName)
	require.Equal(t, []jaegerTag{{"host.name", "string", "node-1"}}, tr.Processes[r.ProcessID].Tags)

	require.Equal(t, now.Add(10*time.Millisecond).UnixMicro(), c.StartTime)
	require.EqualValues(t, 20_000, c.Duration)
	require.EqualValues(t, 1, c.Flags)
	require.Equal(t, "CHILD_OF", c.References[0].RefType)
	require.Equal(t, r.SpanID, c.References[0].SpanID)
	require.Equal(t, "FOLLOWS_FROM", c.References[1].RefType)
	require.Equal(t, "0000000000000009", c.References[1].TraceID, "an id of 64 bits is shown as one")
	require.ElementsMatch(t, []jaegerTag{
		{"db", "string", "orders"}, {"rows", "int64", 3.0}, {"big", "int64", "1152921504606846976"},
		{"ratio", "float64", 0.5}, {"cached", "bool", false}, {"raw", "binary", "AQI="}, {"list", "string", `["a"]`},
		{"span.kind", "string", "client"}, {"otel.status_code", "string", "ERROR"}, {"error", "bool", true},
		{"otel.status_description", "string", "deadlock"}, {"w3c.tracestate", "string", "k=v"},
		{"otel.scope.name", "string", "otelhttp"}, {"otel.scope.version", "string", "0.72.0"},
	}, c.Tags)
	require.Len(t, c.Logs, 1)
	require.Equal(t, now.Add(15*time.Millisecond).UnixMicro(), c.Logs[0].Timestamp)
	require.Equal(t, []jaegerTag{{"event", "string", "retry"}, {"attempt", "int64", 2.0}}, c.Logs[0].Fields)
}

// demo is ten traces of two services, one second apart; the last one failed.
func demo(t testing.TB) traces.Store {
	store := openStore(t)
	td := ptrace.NewTraces()
	for i := range byte(10) {
		start := now.Add(time.Duration(i) * time.Second)
		root := newSpan(td, "gateway", i, 1, "GET /", start, time.Duration(i)*time.Millisecond)
		root.SetKind(ptrace.SpanKindServer)
		if i == 9 {
			root.Status().SetCode(ptrace.StatusCodeError)
		}
		child := newSpan(td, "cart", i, 2, "load cart", start.Add(time.Millisecond), time.Millisecond)
		child.SetParentSpanID(root.SpanID())
		child.Attributes().PutInt("items", int64(i))
	}
	appendTraces(t, store, td)
	require.NoError(t, store.Flush(context.Background())) // read from blocks, not from memory
	return store
}

func TestSearch(t *testing.T) {
	e := newServer(t, demo(t), traces.DefaultConfig())
	all := []byte{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}
	window := "&start=" + micros(now) + "&end=" + micros(now.Add(time.Minute))
	for _, tc := range []struct {
		query string
		want  []byte
	}{
		{"service=gateway" + window, all},
		{"service=gateway&lookback=1h", all},
		{"service=gateway&lookback=2d", all},
		{"service=gateway&limit=2" + window, []byte{9, 8}},
		{"service=gateway&start=" + micros(now.Add(3*time.Second)) + "&end=" + micros(now.Add(5*time.Second)), []byte{5, 4, 3}},
		{"service=cart&operation=load+cart&limit=1" + window, []byte{9}},
		{"service=cart&operation=GET+/" + window, nil},
		{"service=gateway&minDuration=7ms" + window, []byte{9, 8, 7}},
		{"service=gateway&maxDuration=1ms" + window, []byte{1, 0}},
		{"service=gateway&minDuration=2ms&maxDuration=3ms" + window, []byte{3, 2}},
		{"service=cart" + window + "&tags=" + url.QueryEscape(`{"items":"4"}`), []byte{4}},
		{"service=cart" + window + "&tags=" + url.QueryEscape(`{"items":4,"host.name":"node-1"}`), []byte{4}},
		{"service=cart" + window + "&tag=items:3&tag=host.name:node-1", []byte{3}},
		{"service=cart" + window + "&tag=items:3&tag=items.more:x", nil},
		{"service=gateway" + window + "&tags=" + url.QueryEscape(`{"error":"true"}`), []byte{9}},
		{"service=gateway" + window + "&tag=otel.status_code:ERROR", []byte{9}},
		{"service=gateway&limit=1" + window + "&tag=span.kind:server", []byte{9}},
		{"service=gateway&limit=1" + window + "&tag=otel.scope.name:otelhttp", []byte{9}},
		{"service=gateway" + window + "&tag=span.kind:client", nil},
		{"service=nobody" + window, nil},
	} {
		t.Run(tc.query, func(t *testing.T) {
			code, ans := get[[]jaegerTrace](t, e, "/jaeger/api/traces?"+tc.query)
			require.Equal(t, http.StatusOK, code, ans.Errors)
			var want, got []string
			for _, n := range tc.want {
				want = append(want, traceID(n))
			}
			for _, tr := range ans.Data {
				got = append(got, tr.TraceID)
				require.Len(t, tr.Spans, 2, "a found trace is whole")
			}
			require.Equal(t, want, got)
			require.Equal(t, len(want), ans.Total)
		})
	}
}

func TestServicesAndOperations(t *testing.T) {
	e := newServer(t, demo(t), traces.DefaultConfig())
	_, services := get[[]string](t, e, "/jaeger/api/services")
	require.Equal(t, []string{"cart", "gateway"}, services.Data)
	require.Equal(t, 2, services.Total)
	for range 2 { // the second time from the cache
		_, names := get[[]string](t, e, "/jaeger/api/services/gateway/operations")
		require.Equal(t, []string{"GET /"}, names.Data)
	}
	type operation struct{ Name, SpanKind string }
	_, ops := get[[]operation](t, e, "/jaeger/api/operations?service=gateway")
	require.Equal(t, []operation{{"GET /", "server"}}, ops.Data)
	_, ops = get[[]operation](t, e, "/jaeger/api/operations?service=gateway&spanKind=client")
	require.Empty(t, ops.Data)
	_, names := get[[]string](t, e, "/jaeger/api/services/no%2Fbody/operations")
	require.Equal(t, []string{}, names.Data)
}

func TestOperationsSeeNewSpans(t *testing.T) {
	store := openStore(t)
	e := newServer(t, store, traces.DefaultConfig())
	for i, name := range []string{"a", "b", "c"} {
		td := ptrace.NewTraces()
		newSpan(td, "svc", byte(i), 1, name, time.Now(), time.Millisecond)
		appendTraces(t, store, td)
		_, names := get[[]string](t, e, "/jaeger/api/services/svc/operations")
		require.Len(t, names.Data, i+1)
	}
}

func TestTracesByID(t *testing.T) {
	e := newServer(t, demo(t), traces.DefaultConfig())
	code, ans := get[[]jaegerTrace](t, e, "/jaeger/api/traces?traceID="+traceID(3)+"&traceID=77&traceID="+traceID(3))
	require.Equal(t, http.StatusOK, code)
	require.Len(t, ans.Data, 1)
	require.Equal(t, traceID(3), ans.Data[0].TraceID)
	require.Len(t, ans.Errors, 1)
	require.Equal(t, "trace not found", ans.Errors[0].Msg)
	require.Equal(t, "0000000000000077", ans.Errors[0].TraceID)

	code, _ = get[[]jaegerTrace](t, e, "/jaeger/api/traces/"+traceID(3)+"?start="+micros(now.Add(3*time.Second))+"&end="+micros(now.Add(4*time.Second)))
	require.Equal(t, http.StatusOK, code)
	code, _ = get[[]jaegerTrace](t, e, "/jaeger/api/traces/"+traceID(3)+"?start="+micros(now.Add(30*time.Second)))
	require.Equal(t, http.StatusNotFound, code)
}

func TestRepeatedSpansAreShownOnce(t *testing.T) {
	store := openStore(t)
	td := ptrace.NewTraces()
	newSpan(td, "svc", 1, 1, "a", now, time.Millisecond)
	newSpan(td, "svc", 1, 2, "a", now, time.Millisecond)
	appendTraces(t, store, td)
	appendTraces(t, store, td)
	_, ans := get[[]jaegerTrace](t, newServer(t, store, traces.DefaultConfig()), "/jaeger/api/traces/"+traceID(1))
	require.Len(t, ans.Data[0].Spans, 2)
}

func TestASpanThatEndsBeforeItStarts(t *testing.T) {
	store := openStore(t)
	td := ptrace.NewTraces()
	newSpan(td, "svc", 1, 1, "a", now, -time.Second)
	appendTraces(t, store, td)
	_, ans := get[[]jaegerTrace](t, newServer(t, store, traces.DefaultConfig()), "/jaeger/api/traces/"+traceID(1))
	require.Zero(t, ans.Data[0].Spans[0].Duration)
	require.Len(t, ans.Data[0].Spans[0].Warnings, 1)
}

func TestSpansWithoutAService(t *testing.T) {
	store := openStore(t)
	td := ptrace.NewTraces()
	sp := newSpan(td, "", 1, 1, "a", now, time.Second)
	row := traces.FromOTLP(td.ResourceSpans().At(0).Resource(), td.ResourceSpans().At(0).ScopeSpans().At(0).Scope(), sp).Row()
	_, err := store.Append(t.Context(), columnar.Batch{Table: columnar.Spans, Streams: []columnar.Stream{{
		Labels: labels.FromStrings("pod", "p1"), Rows: []columnar.Row{row},
	}}})
	require.NoError(t, err)
	e := newServer(t, store, traces.DefaultConfig())
	_, services := get[[]string](t, e, "/jaeger/api/services")
	require.Equal(t, []string{"unknown_service"}, services.Data)
	_, ans := get[[]jaegerTrace](t, e, "/jaeger/api/traces?service=unknown_service")
	require.Len(t, ans.Data, 1)
	require.Equal(t, "unknown_service", ans.Data[0].Processes["p1"].ServiceName)
}

func TestBadRequestsNameTheParameter(t *testing.T) {
	e := newServer(t, demo(t), traces.DefaultConfig())
	for _, tc := range []struct {
		path, want string
		code       int
	}{
		{"traces", "'service' is required", 400},
		{"operations", "'service' is required", 400},
		{"traces?service=a&start=now", "'start'", 400},
		{"traces?service=a&end=1.5", "'end'", 400},
		{"traces?service=a&start=9223372036854775807", "'start'", 400},
		{"traces?service=a&start=20&end=10", "'end'", 400},
		{"traces?service=a&limit=x", "'limit'", 400},
		{"traces?service=a&limit=-1", "'limit'", 400},
		{"traces?service=a&limit=1501", "maxTraces", 400},
		{"traces?service=a&minDuration=10", "'minDuration'", 400},
		{"traces?service=a&maxDuration=-1s", "'maxDuration'", 400},
		{"traces?service=a&minDuration=2s&maxDuration=1s", "'maxDuration' should be greater than 'minDuration'", 400},
		{"traces?service=a&lookback=week", "'lookback'", 400},
		{"traces?service=a&tag=novalue", "malformed 'tag' parameter", 400},
		{"traces?service=a&tags=novalue", "malformed 'tags' parameter", 400},
		{"traces?service=a&tags=%7B%22a%22:%7B%7D%7D", "malformed 'tags' parameter", 400},
		{"traces?traceID=xyz", "'traceID'", 400},
		{"traces/xyz", "'traceID'", 400},
		{"traces/0", "'traceID'", 400},
		{"traces/" + strings.Repeat("1", 33), "'traceID'", 400},
		{"traces/1?end=abc", "'end'", 400},
		{"traces/1", "trace not found", 404},
		{"traces?service=%zz", "invalid URL escape", 400},
		{"traces/1?raw=perhaps", "'raw'", 400},
		{"dependencies?endTs=now", "'endTs'", 400},
		{"dependencies?lookback=-5", "'lookback'", 400},
		{"metrics/calls", "'service'", 400},
		{"metrics/calls?service=a&spanKind=boss", "'spanKind'", 400},
		{"metrics/calls?service=a&groupByOperation=perhaps", "'groupByOperation'", 400},
		{"metrics/calls?service=a&step=0", "'step'", 400},
		{"metrics/calls?service=a&step=1", "'step'", 400},
		{"metrics/calls?service=a&ratePer=1.5", "'ratePer'", 400},
		{"metrics/calls?service=a", "not available", 501},
		{"metrics/errors?service=a&endTs=x", "'endTs'", 400},
		{"metrics/latencies?service=a", "'quantile'", 400},
		{"metrics/latencies?service=a&quantile=95", "'quantile'", 400},
	} {
		t.Run(tc.path, func(t *testing.T) {
			code, ans := get[any](t, e, "/jaeger/api/"+tc.path)
			require.Equal(t, tc.code, code)
			require.Nil(t, ans.Data)
			require.Len(t, ans.Errors, 1)
			require.Equal(t, tc.code, ans.Errors[0].Code)
			require.Contains(t, ans.Errors[0].Msg, tc.want)
		})
	}
}

func TestMinimumStepOfTheMonitorTab(t *testing.T) {
	code, ans := get[int](t, newServer(t, openStore(t), traces.DefaultConfig()), "/jaeger/api/metrics/minstep")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, 1, ans.Data)
}

func TestTagsOfAnySpot(t *testing.T) {
	store := openStore(t)
	td := ptrace.NewTraces()
	sp := newSpan(td, "svc", 1, 1, "a", now, time.Millisecond)
	sp.Attributes().PutEmptySlice("list").AppendEmpty().SetStr("x")
	sp.Attributes().PutStr("mixed", "7")
	sp.Attributes().PutStr("empty", "")
	ev := sp.Events().AppendEmpty()
	ev.SetName("retry")
	ev.Attributes().PutInt("mixed", 8)
	sp.Links().AppendEmpty().Attributes().PutStr("why \"quoted\"", "because")
	td.ResourceSpans().At(0).ScopeSpans().At(0).Scope().Attributes().PutStr("flavour", "sweet")
	newSpan(td, "svc", 2, 2, "b", now, time.Millisecond).Attributes().PutInt("mixed", 7)
	appendTraces(t, store, td)
	e := newServer(t, store, traces.DefaultConfig())
	for tags, want := range map[string]int{
		`{"list":"[\"x\"]"}`:       1,
		`{"mixed":"7"}`:            2,
		`{"mixed":"8"}`:            1,
		`{"mixed":"9"}`:            0,
		`{"mixed":"7","list":"x"}`: 0,
		`{"empty":""}`:             1,
		`{"none":""}`:              0,
		`{"event":"retry"}`:        1,
		`{"why \"quoted\"":"because","mixed":"8","flavour":"sweet"}`:               1,
		`{"otel.scope.flavour":"sweet","host.name":"node-1","service.name":"svc"}`: 1,
		`{"mixed":"7","host.name":"node-1","flavour":"sweet","event":"retry"}`:     1,
		`{"mixed":"7","host.name":"node-1","flavour":"sweet","event":"something"}`: 0,
		`{"otel.scope.name":"otelhttp","otel.scope.version":"0.72.0","mixed":"7"}`: 2,
		`{"service.name":"svc","mixed":"7","error":"true"}`:                        0,
	} {
		_, ans := get[[]jaegerTrace](t, e, "/jaeger/api/traces?service=svc&tags="+url.QueryEscape(tags))
		require.Len(t, ans.Data, want, tags)
	}
}

func TestLimitsNameThemselves(t *testing.T) {
	store := demo(t)
	for name, set := range map[string]func(*traces.Config){
		"maxSpans":      func(c *traces.Config) { c.MaxSpans = 5 },
		"maxQueryRows":  func(c *traces.Config) { c.MaxQueryRows = 5 },
		"maxQueryBytes": func(c *traces.Config) { c.MaxQueryBytes = 10 },
		"timeout":       func(c *traces.Config) { c.Timeout = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := traces.DefaultConfig()
			set(&cfg)
			code, ans := get[any](t, newServer(t, store, cfg), "/jaeger/api/traces?service=gateway&lookback=1h")
			require.NotEqual(t, http.StatusOK, code)
			require.Contains(t, ans.Errors[0].Msg, "query refused by "+name)
		})
	}
	cfg := traces.DefaultConfig()
	cfg.Lookback = model.Duration(0)
	_, err := traces.NewAPI(store, cfg, nil, nil)
	require.ErrorContains(t, err, "lookback")
}

// TestOperationsOutliveTheBatchTheyWereReadFrom lists the operations of spans in many
// blocks, which the store decodes one after the other into the same memory.
func TestOperationsOutliveTheBatchTheyWereReadFrom(t *testing.T) {
	store := openStore(t)
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprintf("operation-%02d", i))
	}
	for round := range 12 {
		td := ptrace.NewTraces()
		for i := range 1200 {
			at := now.Add(time.Duration(round)*time.Minute - time.Hour + time.Duration(i)*time.Millisecond)
			sp := newSpan(td, "svc", byte(i), byte(i), want[(i*7+round*3)%20], at, time.Millisecond)
			sp.SetKind(ptrace.SpanKind(1 + i%2))
			if round%2 == 1 && i < 300 {
				sp.SetName(fmt.Sprint("another name that is long ", i)) // blocks unlike each other
			}
		}
		appendTraces(t, store, td)
		require.NoError(t, store.Flush(t.Context()))
	}
	e := newServer(t, store, traces.DefaultConfig())
	for range 2 {
		_, ops := get[[]struct{ Name, SpanKind string }](t, e, "/jaeger/api/operations?service=svc")
		names := map[string]bool{}
		for _, op := range ops.Data {
			if !strings.HasPrefix(op.Name, "another name that is long ") {
				names[op.Name] = true
			}
		}
		require.Equal(t, want, slices.Sorted(maps.Keys(names)))
		require.Len(t, ops.Data, 40+300)
	}
}
