package traces_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/yagura-dev/yagura/query/traces"
)

// TestDependenciesOfStoredSpans counts calls of traces that came long after they were
// made, of which there are no metrics.
func TestDependenciesOfStoredSpans(t *testing.T) {
	store := openStore(t)
	td := ptrace.NewTraces()
	at := time.Now().Add(-6 * time.Hour).Truncate(time.Second)
	span := func(service string, trace, id, parent byte, kind ptrace.SpanKind, start time.Time, attributes ...string) {
		sp := newSpan(td, service, trace, id, "x", start, 10*time.Millisecond)
		sp.SetKind(kind)
		if parent != 0 {
			sp.SetParentSpanID([8]byte{7: parent})
		}
		for i := 0; i < len(attributes); i += 2 {
			sp.Attributes().PutStr(attributes[i], attributes[i+1])
		}
	}
	for i := range byte(5) { // a minute apart
		start := at.Add(time.Duration(i) * time.Minute)
		span("web", i, 1, 0, ptrace.SpanKindServer, start) // a user's
		span("web", i, 2, 1, ptrace.SpanKindClient, start, "peer.service", "the shop")
		span("shop", i, 3, 2, ptrace.SpanKindServer, start.Add(time.Millisecond))
		span("shop", i, 3, 2, ptrace.SpanKindServer, start.Add(time.Millisecond)) // sent again
		span("shop", i, 4, 3, ptrace.SpanKindInternal, start)
		span("shop", i, 5, 4, ptrace.SpanKindClient, start, "db.system", "redis")
		span("shop", i, 6, 4, ptrace.SpanKindProducer, start)
		span("mail", i, 7, 6, ptrace.SpanKindConsumer, start.Add(30*time.Second))
		span("bill", i, 8, 6, ptrace.SpanKindConsumer, start)
		span("bill", i, 9, 8, ptrace.SpanKindClient, start, "server.address", "bank.example")
		span("bill", i, 10, 8, ptrace.SpanKindClient, start)  // of nobody
		span("lost", i, 11, 99, ptrace.SpanKindServer, start) // by nobody known
		span("auth", i, 12, 1, ptrace.SpanKindServer, start)  // its parent called nobody
	}
	span("web", 77, 1, 0, ptrace.SpanKindClient, at)
	span("auth", 77, 1, 0, ptrace.SpanKindServer, at, "zipkin.shared", "true")
	appendTraces(t, store, td)
	e := newServer(t, store, traces.DefaultConfig())
	ask := func(params string) []traces.Dependency {
		t.Helper()
		code, ans := get[[]traces.Dependency](t, e, "/jaeger/api/dependencies?"+params)
		require.Equal(t, http.StatusOK, code)
		require.Empty(t, ans.Errors)
		return ans.Data
	}
	end := "endTs=" + strconv.FormatInt(at.Add(4*time.Minute).UnixMilli(), 10)
	want := func(n uint64) []traces.Dependency {
		return []traces.Dependency{
			{Parent: "bill", Child: "bank.example", CallCount: n},
			{Parent: "shop", Child: "bill", CallCount: n}, {Parent: "shop", Child: "mail", CallCount: n}, {Parent: "shop", Child: "redis", CallCount: n},
			{Parent: "web", Child: "shop", CallCount: n},
		}
	}
	all := want(5)
	all = append(all[:4], traces.Dependency{Parent: "web", Child: "auth", CallCount: 1}, all[4])
	require.Equal(t, all, ask(end))
	require.NoError(t, store.Flush(t.Context()))
	require.Equal(t, all, ask(end))
	require.Equal(t, all, ask("")) // a day
	require.Equal(t, want(3), ask(end+"&lookback=120000"))
	require.Equal(t, all[4:5], ask(end+"&service=auth"))
	require.Empty(t, ask("lookback=3600000"))

	// Without metrics to take instead, too many spans are refused.
	cfg := traces.DefaultConfig()
	cfg.MaxSpans = 10
	code, ans := get[any](t, newServer(t, store, cfg), "/jaeger/api/dependencies")
	require.Equal(t, http.StatusBadRequest, code)
	require.Contains(t, ans.Errors[0].Msg, "maxSpans")
}
