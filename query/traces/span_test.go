package traces_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traces"
)

// randomTraces is one resource, scope and span filled with every type of value.
func randomTraces(r *rand.Rand) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	ss := rs.ScopeSpans().AppendEmpty()
	sp := ss.Spans().AppendEmpty()
	randomMap(r, rs.Resource().Attributes(), 2)
	rs.Resource().SetDroppedAttributesCount(r.Uint32N(3))
	randomMap(r, ss.Scope().Attributes(), 2)
	ss.Scope().SetName(randomText(r))
	ss.Scope().SetVersion(randomText(r))
	ss.Scope().SetDroppedAttributesCount(r.Uint32N(3))

	sp.SetTraceID(randomTraceID(r))
	sp.SetSpanID(randomSpanID(r))
	if r.IntN(2) == 0 {
		sp.SetParentSpanID(randomSpanID(r))
	}
	sp.TraceState().FromRaw(randomText(r))
	sp.SetFlags(r.Uint32())
	sp.SetName(randomText(r))
	sp.SetKind(ptrace.SpanKind(r.IntN(8)))
	sp.SetStartTimestamp(pcommon.Timestamp(r.Uint64()))
	sp.SetEndTimestamp(pcommon.Timestamp(r.Uint64()))
	sp.Status().SetCode(ptrace.StatusCode(r.IntN(5)))
	sp.Status().SetMessage(randomText(r))
	sp.SetDroppedAttributesCount(r.Uint32N(3))
	sp.SetDroppedEventsCount(r.Uint32N(3))
	sp.SetDroppedLinksCount(r.Uint32N(3))
	randomMap(r, sp.Attributes(), 3)
	for range r.IntN(3) {
		e := sp.Events().AppendEmpty()
		e.SetName(randomText(r))
		e.SetTimestamp(pcommon.Timestamp(r.Uint64()))
		e.SetDroppedAttributesCount(r.Uint32N(3))
		randomMap(r, e.Attributes(), 2)
	}
	for range r.IntN(3) {
		l := sp.Links().AppendEmpty()
		l.SetTraceID(randomTraceID(r))
		l.SetSpanID(randomSpanID(r))
		l.TraceState().FromRaw(randomText(r))
		l.SetFlags(r.Uint32())
		l.SetDroppedAttributesCount(r.Uint32N(3))
		randomMap(r, l.Attributes(), 2)
	}
	return td
}

func randomTraceID(r *rand.Rand) (id pcommon.TraceID) {
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return id
}

func randomSpanID(r *rand.Rand) (id pcommon.SpanID) {
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return id
}

func randomText(r *rand.Rand) string {
	all := []string{"", "a", "http.method", "日本語 櫓", "quote\" back\\slash", "\x00\x1f\n\t\r", "<&>", "\u2028", "😀", "{}", "null", "1"}
	return all[r.IntN(len(all))]
}

func randomMap(r *rand.Rand, m pcommon.Map, depth int) {
	for range r.IntN(6) {
		randomValue(r, m.PutEmpty(randomText(r)), depth)
	}
}

func randomValue(r *rand.Rand, v pcommon.Value, depth int) {
	kinds := 8
	if depth == 0 {
		kinds = 6
	}
	switch r.IntN(kinds) {
	case 0: // stays unset
	case 1:
		v.SetStr(randomText(r))
	case 2:
		v.SetInt([]int64{0, 1, -1, math.MaxInt64, math.MinInt64, 1 << 53}[r.IntN(6)])
	case 3:
		v.SetDouble([]float64{0, 1, -1.5, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), 1e21, math.Copysign(0, -1)}[r.IntN(9)])
	case 4:
		v.SetBool(r.IntN(2) == 0)
	case 5:
		b := make([]byte, r.IntN(5))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		v.SetEmptyBytes().FromRaw(b)
	case 6:
		s := v.SetEmptySlice()
		for range r.IntN(4) {
			randomValue(r, s.AppendEmpty(), depth-1)
		}
	case 7:
		m := v.SetEmptyMap()
		for range r.IntN(4) {
			randomValue(r, m.PutEmpty(randomText(r)), depth-1)
		}
	}
}

func fromOTLP(td ptrace.Traces) traces.Span {
	rs := td.ResourceSpans().At(0)
	ss := rs.ScopeSpans().At(0)
	return traces.FromOTLP(rs.Resource(), ss.Scope(), ss.Spans().At(0))
}

func toOTLP(t *testing.T, s traces.Span) ptrace.Traces {
	t.Helper()
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	ss := rs.ScopeSpans().AppendEmpty()
	require.NoError(t, s.ToOTLP(rs.Resource(), ss.Scope(), ss.Spans().AppendEmpty()))
	return td
}

func marshal(t *testing.T, td ptrace.Traces) string {
	t.Helper()
	b, err := (&ptrace.JSONMarshaler{}).MarshalTraces(td)
	require.NoError(t, err)
	return string(b)
}

var equateLabels = cmp.Comparer(labels.Equal)

func TestSpanSurvivesTheStoreUnchanged(t *testing.T) {
	lbls := labels.FromStrings("service_name", "shop")
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		td := randomTraces(r)
		want := fromOTLP(td)
		row := want.Row()
		require.Equal(t, want.Start, row.Timestamp)
		got, err := traces.SpanFromRow(lbls, row)
		require.NoError(t, err)
		want.Labels = lbls
		require.Empty(t, cmp.Diff(want, got, equateLabels), "seed %d", seed)
		require.Equal(t, marshal(t, td), marshal(t, toOTLP(t, got)), "seed %d", seed)
	}
}

func TestNaNSurvives(t *testing.T) {
	td := randomTraces(rand.New(rand.NewPCG(1, 1)))
	td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().PutDouble("nan", math.NaN())
	got, err := traces.SpanFromRow(labels.EmptyLabels(), fromOTLP(td).Row())
	require.NoError(t, err)
	v, ok := toOTLP(t, got).ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().Get("nan")
	require.True(t, ok)
	require.True(t, math.IsNaN(v.Double()))
}

func TestRowColumns(t *testing.T) {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	ss := rs.ScopeSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "shop")
	sp := ss.Spans().AppendEmpty()
	sp.SetTraceID(pcommon.TraceID{1, 2, 3})
	sp.SetSpanID(pcommon.SpanID{4})
	sp.SetName("GET /cart")
	sp.SetKind(ptrace.SpanKindServer)
	sp.SetStartTimestamp(1000)
	sp.SetEndTimestamp(3500)
	sp.Status().SetCode(ptrace.StatusCodeError)
	sp.Attributes().PutInt("http.status", 500)
	require.Equal(t, columnar.Row{Timestamp: 1000, Fields: []columnar.Field{
		{Name: "trace_id", Value: "01020300000000000000000000000000"},
		{Name: "span_id", Value: "0400000000000000"},
		{Name: "name", Value: "GET /cart"},
		{Name: "kind", Value: "server"},
		{Name: "status_code", Value: "error"},
		{Name: "duration_ns", Value: "2500", Type: columnar.Int},
		{Name: "resource.service.name", Value: "shop"},
		{Name: "span.http.status", Value: "500", Type: columnar.Int},
	}}, fromOTLP(td).Row())
}

func TestSpanFromRowNamesTheBadField(t *testing.T) {
	for name, f := range map[string]columnar.Field{
		"short id":       {Name: "trace_id", Value: "abc"},
		"id not hex":     {Name: "span_id", Value: "zzzzzzzzzzzzzzzz"},
		"kind":           {Name: "kind", Value: "boss"},
		"status":         {Name: "status_code", Value: "fine"},
		"duration":       {Name: "duration_ns", Value: "1s"},
		"flags":          {Name: "flags", Value: "-1"},
		"events":         {Name: "events", Value: `[{"timeUnixNano":"x"}]`},
		"link":           {Name: "links", Value: `[{"traceId":"00"}]`},
		"event no value": {Name: "events", Value: `[{"timeUnixNano":"1","attributes":[{"key":"a"}]}]`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := traces.SpanFromRow(labels.EmptyLabels(), columnar.Row{Fields: []columnar.Field{f}})
			require.ErrorContains(t, err, f.Name)
		})
	}
}

func FuzzSpanFromRow(f *testing.F) {
	f.Add("events", `[{"timeUnixNano":"1","name":"x","attributes":[{"key":"a","value":{"arrayValue":{"values":[{}]}}}]}]`, uint8(columnar.JSON))
	f.Add("span.a", `{"kvlistValue":{"values":[{"key":"k","value":{"bytesValue":"AA=="}}]}}`, uint8(columnar.JSON))
	f.Add("span.a", strings.Repeat(`{"arrayValue":{"values":[`, 20), uint8(columnar.JSON))
	f.Add("links", `[{"traceId":"00000000000000000000000000000001","spanId":"0000000000000001"}]`, uint8(columnar.JSON))
	f.Fuzz(func(t *testing.T, name, value string, typ uint8) {
		s, err := traces.SpanFromRow(labels.EmptyLabels(), columnar.Row{Timestamp: 1, Fields: []columnar.Field{{Name: name, Value: value, Type: columnar.ValueType(typ)}}})
		if err != nil {
			return
		}
		if _, err := traces.SpanFromRow(labels.EmptyLabels(), s.Row()); err != nil {
			t.Fatalf("a span that was read cannot be read again: %v", err)
		}
		_ = s.ToOTLP(pcommon.NewResource(), pcommon.NewInstrumentationScope(), ptrace.NewSpan())
	})
}
