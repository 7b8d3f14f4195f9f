package traceql_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/traceql"
)

// testSpan is a span by what queries call its fields.
type testSpan map[string][]traceql.Value

func (s testSpan) Values(f *traceql.Field, dst []traceql.Value) []traceql.Value {
	if f.Intrinsic == traceql.NoIntrinsic && f.Scope == traceql.AnyScope {
		if vs := s["span."+f.Name]; len(vs) > 0 {
			return append(dst, vs...)
		}
		return append(dst, s["resource."+f.Name]...)
	}
	return append(dst, s[strings.TrimPrefix(f.String(), "span:")]...)
}

// All implements traceql.Enumerator.
func (s testSpan) All(visit func(string, traceql.Value)) {
	for _, name := range []string{"resource.service.name", "kind", "span.n"} {
		for _, v := range s[name] {
			visit(name, v)
		}
	}
}

func str(s string) []traceql.Value     { return []traceql.Value{traceql.StringValue(s)} }
func number(n int64) []traceql.Value   { return []traceql.Value{traceql.IntValue(n)} }
func float(f float64) []traceql.Value  { return []traceql.Value{traceql.FloatValue(f)} }
func boolean(b bool) []traceql.Value   { return []traceql.Value{traceql.BoolValue(b)} }
func millis(n int64) []traceql.Value   { return []traceql.Value{traceql.DurationValue(n * 1e6)} }
func status(n int32) []traceql.Value   { return []traceql.Value{traceql.StatusValue(n)} }
func spanKind(n int32) []traceql.Value { return []traceql.Value{traceql.KindValue(n)} }

// sampleTrace is
//
//	0 GET / (gateway, server, 100 ms)
//	├─ 1 cart (cart, client, 50 ms, error)
//	│  ├─ 3 SELECT (db, 10 ms)
//	│  └─ 4 SELECT (db, 20 ms)
//	├─ 2 pay (pay, client, 30 ms)
//	└─ (missing)
//	   └─ 5 orphan (late, 1 ms)
//	      └─ 6 orphan's child (late, 1 ms)
func sampleTrace() []traceql.Span {
	id := func(n byte) [8]byte { return [8]byte{7: n} }
	mk := func(n, parent byte, name, service string, startMs, ms int64, kind int32, st int32, more testSpan) traceql.Span {
		v := testSpan{
			"name": str(name), "resource.service.name": str(service), "duration": millis(ms), "kind": spanKind(kind), "status": status(st),
			"trace:id": str("abc"), "id": str(string('a' + rune(n))),
		}
		for k, x := range more {
			v[k] = x
		}
		s := traceql.Span{ID: id(n + 1), Start: startMs * 1e6, End: (startMs + ms) * 1e6, Values: v}
		if parent != 0 {
			s.ParentID = id(parent)
		}
		return s
	}
	return []traceql.Span{
		mk(0, 0, "GET /", "gateway", 0, 100, 2, 0, testSpan{"span.http.status": number(200), "span.ok": boolean(true), "span.f": float(0.5), "span.env": str("span")}),
		mk(1, 1, "cart", "cart", 10, 50, 3, 2, testSpan{
			"span.http.status": number(500), "statusMessage": str("deadlock"), "resource.env": str("prod"), "span.n": number(1),
			"event:name": {traceql.StringValue("retry"), traceql.StringValue("exception")}, "event.attempt": {traceql.IntValue(1), traceql.IntValue(2)},
			"link.why": str("batch"), "instrumentation:name": str("otelhttp"),
		}),
		mk(2, 1, "pay", "pay", 60, 30, 3, 1, testSpan{"span.n": number(2), "span.http.status": str("500")}),
		mk(3, 2, "SELECT", "db", 15, 10, 3, 0, testSpan{"span.n": number(3), "span.rows": number(10)}),
		mk(4, 2, "SELECT", "db", 30, 20, 3, 0, testSpan{"span.n": number(4), "span.rows": number(30), "span.f": float(2.5)}),
		mk(5, 99, "orphan", "late", 200, 1, 1, 0, nil),
		mk(6, 6, "orphan's child", "late", 200, 1, 1, 0, testSpan{"span.list": {traceql.OtherValue("[]")}}),
	}
}

// digits names spans by their number in the sample.
func digits(sets []traceql.Spanset) string {
	var out []string
	for _, s := range sets {
		var b strings.Builder
		for _, i := range s.Spans {
			b.WriteByte('0' + byte(i))
		}
		out = append(out, b.String())
	}
	return strings.Join(out, " ")
}

func evaluate(t testing.TB, q *traceql.Query, trace *traceql.Trace) []traceql.Spanset {
	t.Helper()
	sets, err := q.Pipeline.Evaluate(context.Background(), trace)
	require.NoError(t, err)
	return sets
}

func seriesOf(t testing.TB, a *traceql.Aggregator) []traceql.Series {
	t.Helper()
	series, err := a.Series(context.Background())
	require.NoError(t, err)
	return series
}

func TestEvaluate(t *testing.T) {
	trace := traceql.NewTrace(sampleTrace())
	for _, tc := range []struct{ query, want string }{
		{"{ }", "0123456"},
		{"{ false }", ""},
		// Comparisons.
		{"{ name = `cart` }", "1"},
		{"{ name != `cart` }", "023456"},
		{"{ name =~ `S.*T|p.y` }", "234"},
		{"{ name =~ `SEL` }", ""},
		{"{ name !~ `S.*T|p.y` }", "0156"},
		{"{ name > `c` && name < `p` }", "156"},
		{"{ status = error }", "1"},
		{"{ status != error }", "023456"},
		{"{ status = ok || status = error }", "12"},
		{"{ kind = server }", "0"},
		{"{ kind != client }", "056"},
		{"{ statusMessage = `deadlock` }", "1"},
		{"{ duration > 30ms }", "01"},
		{"{ duration >= 30ms }", "012"},
		{"{ duration < 10000000 }", "56"},
		{"{ duration <= 10ms }", "356"},
		{"{ span.n = 3 }", "3"},
		{"{ span.n = 3.0 }", "3"},
		{"{ span.n != 3 }", "124"},
		{"{ !(span.n = 3) }", "012456"},
		{"{ 2 < span.n }", "34"},
		{"{ span.f = 0.5 }", "0"},
		{"{ span.f > 1 }", "4"},
		{"{ span.http.status = 500 }", "1"},
		{"{ span.http.status = \"500\" }", "2"},
		{"{ span.http.status != 500 }", "0"},
		{"{ span.ok }", "0"},
		{"{ span.ok = true }", "0"},
		{"{ span.ok != true }", ""},
		{"{ !span.ok }", ""},
		{"{ span.list = `[]` }", ""},
		{"{ span.list != nil }", "6"},
		// Absence.
		{"{ span.n = nil }", "056"},
		{"{ span.n != nil }", "1234"},
		{"{ nil = span.n + 1 }", "056"},
		// Scopes.
		{"{ resource.service.name = `db` }", "34"},
		{"{ .service.name = `db` }", "34"},
		{"{ .env = `span` }", "0"},
		{"{ .env = `prod` }", "1"},
		{"{ span.env = `prod` }", ""},
		{"{ event:name = `exception` }", "1"},
		{"{ event:name != `exception` }", "1"},
		{"{ event.attempt > 1 }", "1"},
		{"{ event.attempt = 3 }", ""},
		{"{ event.attempt = nil }", "023456"},
		{"{ link.why = `batch` }", "1"},
		{"{ instrumentation:name = `otelhttp` }", "1"},
		{"{ parent.service.name = `gateway` }", "12"},
		{"{ parent.span.n = 1 }", "34"},
		{"{ parent.resource.env = `prod` }", "34"},
		{"{ parent.n = nil }", "01256"},
		// Arithmetic and logic.
		{"{ span.n + 1 = 4 }", "3"},
		{"{ span.n * 2 - 1 = 5 }", "3"},
		{"{ span.n / 2 = 1.5 }", "3"},
		{"{ span.n % 2 = 0 }", "24"},
		{"{ span.n ^ 2 = 9 }", "3"},
		{"{ -span.n = -3 }", "3"},
		{"{ duration * 2 > 100ms }", "0"},
		{"{ duration + 10ms = 20ms }", "3"},
		{"{ name = `cart` || name = `pay` && span.n = 2 }", "2"},
		{"{ name = `cart` || (name = `pay` && span.n = 2) }", "12"},
		{"{ !(name = `cart`) && !(name = `pay`) }", "03456"},
		// Of the trace.
		{"{ rootName = `GET /` && rootServiceName = `gateway` }", "0123456"},
		{"{ traceDuration = 201ms }", "0123456"},
		{"{ traceDuration > 201ms }", ""},
		{"{ trace:id = `abc` }", "0123456"},
		{"{ span:id = `c` }", "2"},
		{"{ childCount = 2 }", "01"},
		{"{ span:childCount > 0 }", "015"},
		{"{ nestedSetParent < 0 }", "0"},
		{"{ nestedSetParent >= 0 }", "123456"},
		{"{ nestedSetParent = 1 }", "12"},
		{"{ nestedSetLeft = 1 }", "0"},
		{"{ nestedSetRight - nestedSetLeft = 1 }", "2346"},
		// Structure.
		{"{ name = `GET /` } > { }", "12"},
		{"{ name = `GET /` } >> { }", "1234"},
		{"{ name = `GET /` } > { span.n > 1 }", "2"},
		{"{ } < { name = `cart` }", "1"},
		{"{ name = `SELECT` } < { }", "1"},
		{"{ name = `SELECT` } << { }", "01"},
		{"{ name = `cart` } ~ { }", "2"},
		{"{ name = `SELECT` } ~ { }", "34"},
		{"{ name = `GET /` } ~ { }", ""},
		{"{ name = `orphan` } >> { }", "6"},
		{"{ name = `GET /` } !> { }", "03456"},
		{"{ name = `GET /` } !>> { }", "056"},
		{"{ name = `SELECT` } !< { }", "023456"},
		{"{ name = `SELECT` } !<< { }", "23456"},
		{"{ name = `cart` } !~ { }", "013456"},
		{"{ name = `nothing` } !> { name = `cart` }", "1"},
		{"{ name = `GET /` } &> { span.n = 1 }", "01"},
		{"{ name = `GET /` } &>> { name = `SELECT` }", "034"},
		{"{ name = `SELECT` } &< { }", "134"},
		{"{ span.n = 3 } &<< { kind = server }", "03"},
		{"{ name = `cart` } &~ { kind = client }", "12"},
		{"{ name = `GET /` } > { name = `cart` } > { span.n = 4 }", "4"},
		{"({ name = `GET /` } >> { name = `SELECT` }) && { status = error }", "134"},
		{"{ name = `cart` } && { name = `nothing` }", ""},
		{"{ name = `cart` } || { name = `nothing` }", "1"},
		{"{ name = `pay` } && { name = `cart` }", "12"},
		{"{ kind = client } | { duration > 20ms }", "12"},
		// Aggregates.
		{"{ kind = client } | count() = 4", "1234"},
		{"{ kind = client } | count() > 4", ""},
		{"{ kind = client } | avg(duration) = 27500us", "1234"},
		{"{ kind = client } | max(duration) = 50ms", "1234"},
		{"{ kind = client } | min(duration) < 10ms", ""},
		{"{ } | sum(span.n) = 10", "0123456"},
		{"{ } | sum(span.missing) >= 0", ""},
		{"{ } | max(span.n) - min(span.n) = 3", "0123456"},
		{"{ } | avg(span.f) = 1.5", "0123456"},
		{"{ } | count() * 2 > 13 | { name = `cart` }", "1"},
		{"{ } | by(resource.service.name)", "0 1 2 34 56"},
		{"{ } | by(resource.service.name) | count() > 1", "34 56"},
		{"{ } | by(resource.service.name) | count() > 1 | coalesce()", "3456"},
		{"{ } | by(span.n > 2) | count() = 2", "34"},
		{"{ } | by(name) | by(span.n) | count() = 1", "0 1 2 3 4 5 6"},
		{"by(name) | { kind = client } | count() = 2", "34"},
		{"({ } | count() > 1 | { name = `cart` }) > ({ } | { span.n = 3 })", "3"},
		{"{ name = `cart` } | select(span.n, duration)", "1"},
	} {
		t.Run(tc.query, func(t *testing.T) {
			q, err := traceql.Parse(tc.query)
			require.NoError(t, err)
			require.Equal(t, tc.want, digits(evaluate(t, q, trace)))
			again, err := traceql.Parse(q.String())
			require.NoError(t, err)
			require.Equal(t, tc.want, digits(evaluate(t, again, trace)), "written as %s", q)
		})
	}
}

func TestSpansetAttributes(t *testing.T) {
	q, err := traceql.Parse("{ } | by(resource.service.name) | count() > 1 | max(duration) < 20ms")
	require.NoError(t, err)
	sets := evaluate(t, q, traceql.NewTrace(sampleTrace()))
	require.Len(t, sets, 1)
	got := map[string]string{}
	for _, a := range sets[0].Attributes {
		got[a.Name] = a.Value.String()
	}
	require.Equal(t, map[string]string{"by(resource.service.name)": "late", "count()": "2", "max(duration)": "1ms"}, got)
}

func TestCyclesAndRepeats(t *testing.T) {
	id := func(n byte) [8]byte { return [8]byte{n} }
	v := testSpan{"name": str("x")}
	spans := []traceql.Span{
		{ID: id(1), ParentID: id(2), Values: v}, {ID: id(2), ParentID: id(1), Values: v}, // a cycle
		{ID: id(3), ParentID: id(3), Values: v},                                                 // its own parent
		{ID: id(4), ParentID: id(1), Values: v},                                                 // below the cycle
		{ID: id(5), Values: v}, {ID: id(5), Values: v}, {ID: id(6), ParentID: id(5), Values: v}, // an id twice
	}
	trace := traceql.NewTrace(spans)
	for query, want := range map[string]string{
		"{ } >> { }": "6", "{ } > { }": "0136", "{ } << { }": "4", "{ } !>> { }": "012345", "{ nestedSetParent < 0 }": "45",
	} {
		q, err := traceql.Parse(query)
		require.NoError(t, err)
		require.Equal(t, want, digits(evaluate(t, q, trace)), query)
	}
}

func TestRootTest(t *testing.T) {
	for query, want := range map[string]string{
		"{ nestedSetParent < 0 }": "root", "{ nestedSetParent = -1 }": "root", "{ nestedSetParent <= -1 }": "root",
		"{ nestedSetParent >= 0 }": "child", "{ nestedSetParent > -1 }": "child", "{ nestedSetParent != -1 }": "child",
		"{ nestedSetParent <= 0 }": "trace", "{ nestedSetParent = 0 }": "trace", "{ nestedSetParent > 3 }": "trace", "{ nestedSetParent < -1 }": "trace",
		"{ 0 > nestedSetParent }": "trace", "{ span.a = 1 }": "span",
	} {
		q, err := traceql.Parse(query)
		require.NoError(t, err)
		e := q.Pipeline.Stages[0].(*traceql.Filter).Expr
		got := "span"
		if root, ok := traceql.RootTest(e); ok && root {
			got = "root"
		} else if ok {
			got = "child"
		} else if traceql.NeedsTrace(e) {
			got = "trace"
		}
		require.Equal(t, want, got, query)
	}
}

func TestMetrics(t *testing.T) {
	s := time.Second.Nanoseconds()
	trace := sampleTrace() // starts at 0, 10, 60, 15, 30, 200, 200 ms
	for i := range trace {
		trace[i].Start += 10 * s
	}
	trace[4].Start = 25 * s
	nan := math.NaN()
	for _, tc := range []struct {
		query string
		want  map[string][]float64
	}{
		{"{ } | rate()", map[string][]float64{"__name__=rate": {0, 0.6, 0.1}}},
		{"{ } | count_over_time()", map[string][]float64{"__name__=count_over_time": {0, 6, 1}}},
		{"{ } | count_over_time() by (kind)", map[string][]float64{"kind=server": {0, 1, 0}, "kind=client": {0, 3, 1}, "kind=internal": {0, 2, 0}}},
		{"{ } | count_over_time() by (span.missing)", map[string][]float64{"span.missing=nil": {0, 6, 1}}},
		{"{ } | max_over_time(duration)", map[string][]float64{"__name__=max_over_time": {nan, 0.1, 0.02}}},
		{"{ } | min_over_time(span.n) by (resource.service.name)", map[string][]float64{
			"resource.service.name=cart": {nan, 1, nan}, "resource.service.name=pay": {nan, 2, nan}, "resource.service.name=db": {nan, 3, 4}}},
		{"{ } | avg_over_time(span.n)", map[string][]float64{"__name__=avg_over_time": {nan, 2, 4}}},
		{"{ } | sum_over_time(span.rows)", map[string][]float64{"__name__=sum_over_time": {nan, 10, 30}}},
		{"{ } | histogram_over_time(span.n)", map[string][]float64{"__bucket=2": {0, 1, 0}, "__bucket=4": {0, 2, 0}, "__bucket=8": {0, 0, 1}}},
		{"{ } | count_over_time() by (kind) | topk(1)", map[string][]float64{"kind=client": {0, 3, 1}}},
		{"{ } | count_over_time() by (kind) | bottomk(1)", map[string][]float64{
			"kind=client": {0, nan, nan}, "kind=server": {nan, 1, nan}, "kind=internal": {nan, nan, 0}}},
		{"{ } | count_over_time() by (kind) > 1", map[string][]float64{"kind=client": {nan, 3, nan}, "kind=internal": {nan, 2, nan}}},
	} {
		t.Run(tc.query, func(t *testing.T) {
			q, err := traceql.Parse(tc.query)
			require.NoError(t, err)
			agg := traceql.NewAggregator(q.Metrics, traceql.NewInterval(0, 30*s-1, 10*s), traceql.Bounds{Series: 10, Samples: 100, Exemplars: 1})
			tr := traceql.NewTrace(trace)
			for i := range tr.Spans {
				tr.Spans[i].Start++ // intervals are open on the left
				require.NoError(t, agg.ObserveIn(tr, i))
				tr.Spans[i].Start--
			}
			got := map[string][]float64{}
			exemplars := 0
			for _, series := range seriesOf(t, agg) {
				var name []string
				for _, l := range series.Labels {
					name = append(name, l.Name+"="+l.Value.String())
				}
				got[strings.Join(name, ",")] = series.Values
				exemplars += len(series.Exemplars)
			}
			require.Empty(t, cmp.Diff(tc.want, got, cmpopts.EquateNaNs(), cmpopts.EquateApprox(0, 1e-9)))
			require.LessOrEqual(t, exemplars, 1)
		})
	}
}

func TestCompare(t *testing.T) {
	q, err := traceql.Parse("{ } | compare({ kind = client }, 2)")
	require.NoError(t, err)
	agg := traceql.NewAggregator(q.Metrics, traceql.NewInterval(-1, 1e9, 0), traceql.Bounds{Series: 100, Samples: 100})
	trace := traceql.NewTrace(sampleTrace())
	for i := range trace.Spans {
		require.NoError(t, agg.ObserveIn(trace, i))
	}
	got := map[string]float64{}
	for _, s := range seriesOf(t, agg) {
		got[s.Labels[0].Value.String()+" "+s.Labels[1].Name+"="+s.Labels[1].Value.String()] = s.Values[0]
	}
	require.Equal(t, map[string]float64{
		"baseline resource.service.name=late": 2, "baseline resource.service.name=gateway": 1, "baseline_total resource.service.name=nil": 3,
		"baseline kind=internal": 2, "baseline kind=server": 1, "baseline_total kind=nil": 3,
		"selection resource.service.name=db": 2, "selection resource.service.name=cart": 1, "selection_total resource.service.name=nil": 4,
		"selection kind=client": 4, "selection_total kind=nil": 4,
		"selection span.n=1": 1, "selection span.n=2": 1, "selection_total span.n=nil": 4,
		"__too_many_values__ resource.service.name=nil": 0, "__too_many_values__ span.n=nil": 0,
	}, got)
}

func TestQuantilesAreClose(t *testing.T) {
	q, err := traceql.Parse("{ } | quantile_over_time(span.n, 0.5, 0.9, 1)")
	require.NoError(t, err)
	agg := traceql.NewAggregator(q.Metrics, traceql.NewInterval(0, 10, 10), traceql.Bounds{Series: 10, Samples: 10_000})
	for n := range int64(10_000) {
		require.NoError(t, agg.Observe(5, testSpan{"span.n": number(n + 1)}))
	}
	series := seriesOf(t, agg)
	require.Len(t, series, 3)
	for i, want := range []float64{5000, 9000, 10_000} {
		require.InEpsilon(t, want, series[i].Values[0], 0.016)
	}
}

func TestBounds(t *testing.T) {
	q, err := traceql.Parse("{ } | rate() by (span.n)")
	require.NoError(t, err)
	span := func(n int64) testSpan { return testSpan{"span.n": number(n)} }
	agg := traceql.NewAggregator(q.Metrics, traceql.NewInterval(0, 100, 10), traceql.Bounds{Series: 2, Samples: 1000})
	require.NoError(t, agg.Observe(5, span(1)))
	require.NoError(t, agg.Observe(5, span(2)))
	require.NoError(t, agg.Observe(5, span(1)))
	require.ErrorIs(t, agg.Observe(5, span(3)), traceql.ErrTooManySeries)
	agg = traceql.NewAggregator(q.Metrics, traceql.NewInterval(0, 100, 10), traceql.Bounds{Series: 100, Samples: 15})
	require.NoError(t, agg.Observe(5, span(1)))
	require.ErrorIs(t, agg.Observe(5, span(2)), traceql.ErrTooManySamples)
	require.NoError(t, agg.Observe(500, span(3)), "outside of the time nothing is kept")
}

// TestAnswersAreBounded has functions whose answers are larger than what they count by.
func TestAnswersAreBounded(t *testing.T) {
	for _, tc := range []struct {
		query           string
		series, samples int // the least that are enough for values 1 to 4 in 10 steps
	}{
		{"{ } | avg_over_time(span.n)", 1, 20},
		{"{ } | avg_over_time(span.n) by (span.n)", 4, 80},
		{"{ } | quantile_over_time(span.n, .1, .5, .9)", 3, 50},
		{"{ } | quantile_over_time(span.n, .1, .5, .9) by (span.n)", 12, 140},
		{"{ } | histogram_over_time(span.n)", 3, 50},
		{"{ } | histogram_over_time(span.n) by (span.n)", 4, 60},
		{"{ } | compare({ false }, 10)", 5, 50},
		{"{ } | compare({ false }, 2)", 4, 60},
	} {
		t.Run(tc.query, func(t *testing.T) {
			q, err := traceql.Parse(tc.query)
			require.NoError(t, err)
			run := func(series, samples int) ([]traceql.Series, error) {
				agg := traceql.NewAggregator(q.Metrics, traceql.NewInterval(0, 100, 10), traceql.Bounds{Series: series, Samples: samples})
				for n := range int64(4) {
					if err := agg.Observe(5, testSpan{"span.n": number(n + 1)}); err != nil {
						return nil, err
					}
				}
				return agg.Series(t.Context())
			}
			out, err := run(tc.series, tc.samples)
			require.NoError(t, err)
			require.Len(t, out, tc.series)
			_, err = run(tc.series-1, tc.samples)
			require.ErrorIs(t, err, traceql.ErrTooManySeries)
			_, err = run(tc.series, tc.samples-1)
			require.ErrorIs(t, err, traceql.ErrTooManySamples)
		})
	}
}

func TestInterval(t *testing.T) {
	i := traceql.NewInterval(13, 38, 10)
	require.Equal(t, traceql.Interval{Start: 10, End: 40, Step: 10}, i)
	require.Equal(t, 3, i.Steps())
	require.EqualValues(t, 20, i.Time(0))
	require.EqualValues(t, 40, i.Time(2))
	instant := traceql.NewInterval(13, 38, 0)
	require.Equal(t, 1, instant.Steps())
	require.EqualValues(t, 38, instant.Time(0))
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := traceql.Parse("{ resource.service.name = `cart` && span.http.status_code >= 500 && duration > 1s } >> { status = error } | by(name) | count() > 2"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	q, err := traceql.Parse("{ resource.service.name = `cart` && span.n >= 1 && duration > 1ms }")
	if err != nil {
		b.Fatal(err)
	}
	expr := q.Pipeline.Stages[0].(*traceql.Filter).Expr
	span := sampleTrace()[1].Values
	var e traceql.Evaluator
	b.ReportAllocs()
	for b.Loop() {
		if !e.Match(expr, span) {
			b.Fatal("no match")
		}
	}
}
