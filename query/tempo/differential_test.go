package tempo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traceql"
	"github.com/yagura-dev/yagura/query/traces"
)

// generator makes traces and queries whose values meet often.
type generator struct {
	*rand.Rand
}

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

var testStart = time.Date(2026, 3, 1, 23, 30, 0, 0, time.UTC).UnixNano() // crosses midnight

func (g generator) attribute(key string) traces.Attribute {
	switch g.IntN(8) {
	case 0:
		return traces.Attribute{Key: key, Text: pick(g, "1", "2", "5", "-1", "1000000", "9007199254740993"), Type: columnar.Int}
	case 1:
		return traces.Attribute{Key: key, Text: pick(g, "1", "2.5", "5", "1e+06", "-0", "NaN", "9.007199254740992e+15"), Type: columnar.Float}
	case 2:
		return traces.Attribute{Key: key, Text: pick(g, "true", "false"), Type: columnar.Bool}
	case 3:
		return traces.Attribute{Key: key, Text: `{"arrayValue":{"values":[]}}`, Type: columnar.JSON}
	}
	return traces.Attribute{Key: key, Text: pick(g, "", "a", "b", "ab", "5", "true", "x\ny")}
}

func (g generator) attributes(keys ...string) (out []traces.Attribute) {
	for _, k := range keys {
		if g.IntN(2) == 0 {
			out = append(out, g.attribute(k))
		}
	}
	return out
}

func (g generator) trace(n int) (out []traces.Span) {
	start := testStart + g.Int64N(int64(time.Hour))
	size := 1 + g.IntN(8)
	for i := range size {
		s := traces.Span{
			TraceID: traces.TraceID{0: 1, 14: byte(n >> 8), 15: byte(n)}, SpanID: traces.SpanID{6: byte(n), 7: byte(i + 1)},
			Name: pick(g, "a", "b", "ab", "GET /"), Kind: traces.Kind(g.IntN(6)), StatusCode: traces.StatusCode(g.IntN(3)),
			Start: start + g.Int64N(int64(time.Second)), StatusMessage: pick(g, "", "", "a"),
			ScopeName:          pick(g, "", "a", "lib"),
			ResourceAttributes: g.attributes("k", "r"), Attributes: g.attributes("k", "s"), ScopeAttributes: g.attributes("k"),
		}
		s.End = s.Start + pick(g, 0, 1, 5, int64(time.Millisecond), int64(time.Second))
		if i > 0 && g.IntN(10) > 0 {
			s.ParentSpanID = traces.SpanID{6: byte(n), 7: byte(1 + g.IntN(i))}
		} else if g.IntN(5) == 0 {
			s.ParentSpanID = traces.SpanID{6: byte(n), 7: 99} // missing
		}
		if service := pick(g, "", "a", "b", "ab"); service != "" {
			s.ResourceAttributes = append(s.ResourceAttributes, traces.Attribute{Key: "service.name", Text: service})
		}
		for range g.IntN(3) {
			s.Events = append(s.Events, traces.Event{Time: s.Start + g.Int64N(10), Name: pick(g, "a", "b"), Attributes: g.attributes("k")})
		}
		if g.IntN(4) == 0 {
			s.Links = append(s.Links, traces.Link{TraceID: traces.TraceID{1}, SpanID: traces.SpanID{1}, Attributes: g.attributes("k")})
		}
		out = append(out, s)
	}
	return out
}

func (g generator) field() string {
	return pick(g, ".k", ".s", ".r", "span.k", "span.s", "resource.k", "resource.r", "resource.service.name", ".service.name", "instrumentation.k",
		"event.k", "link.k", "name", "kind", "status", "statusMessage", "duration", "event:name", "event:timeSinceStart", "link:traceID",
		"instrumentation:name", "nestedSetParent", "traceDuration", "rootName", "rootServiceName", "childCount", "parent.k", "parent.span.s",
		"span:parentID", "trace:id", "span.missing")
}

func (g generator) literal() string {
	return pick(g, "1", "2", "5", "-1", "0", "1000000", "9007199254740993", "2.5", "5.0", "1.0", "1ms", "1s", "5ns", "true", "false", "nil",
		`"a"`, `"b"`, `"ab"`, `""`, `"5"`, `"true"`, `"GET /"`, `"lib"`, "error", "ok", "unset", "server", "client", "unspecified", "-1", "0",
		strconv.Quote(traces.TraceID{0: 1, 15: byte(g.IntN(40))}.String()))
}

func (g generator) expr(depth int) string {
	if depth > 0 && g.IntN(2) == 0 {
		switch g.IntN(7) {
		case 0:
			return "!(" + g.expr(depth-1) + ")"
		case 1:
			return "(" + g.expr(depth-1) + ")"
		case 2, 3:
			return g.expr(depth-1) + " || " + g.expr(depth-1)
		default:
			return g.expr(depth-1) + " && " + g.expr(depth-1)
		}
	}
	switch g.IntN(10) {
	case 0:
		return g.field() + pick(g, " =~ ", " !~ ") + pick(g, `"a.*"`, `".*"`, `"a|b"`, `""`, `"[0-9]"`, `"x.y"`)
	case 1:
		return pick(g, ".k", "!.k", "span.s", "!span.k", "true", "false")
	case 2:
		return g.literal() + pick(g, " = ", " < ", " >= ") + g.field()
	case 3:
		return g.field() + pick(g, " = ", " != ", " < ") + g.field()
	case 4:
		return g.field() + pick(g, " + ", " * ", " - ") + g.literal() + " > " + g.literal()
	}
	return g.field() + pick(g, " = ", " = ", " != ", " < ", " <= ", " > ", " >= ") + g.literal()
}

func (g generator) spansets(depth int) string {
	if depth > 0 && g.IntN(3) == 0 {
		op := pick(g, "&&", "||", ">", ">>", "<", "<<", "~", "!>", "!>>", "!<", "!<<", "!~", "&>", "&>>", "&<", "&<<", "&~")
		return "(" + g.spansets(depth-1) + ") " + op + " (" + g.spansets(depth-1) + ")"
	}
	if depth > 0 && g.IntN(4) == 0 {
		return "{ " + g.expr(1) + " } || { " + g.expr(1) + " }"
	}
	if g.IntN(8) == 0 {
		return "{ }"
	}
	return "{ " + g.expr(2) + " }"
}

func (g generator) query(metrics bool) string {
	out := g.spansets(2)
	for range g.IntN(3) {
		out += " | " + pick(g, "count() > 1", "count() < 4", "avg(duration) >= 1ms", "max(.k) > 1", "sum(span.s) - min(span.s) >= 0", "by(name)", "by(.k)",
			"by(rootName)", "coalesce()", "select(span.s, resource.r)", "{ "+g.expr(1)+" }", "{ "+g.expr(1)+" }")
	}
	if metrics {
		out += " | " + pick(g, "rate()", "count_over_time()", "min_over_time(duration)", "max_over_time(.k)", "avg_over_time(span.s)", "sum_over_time(duration)",
			"quantile_over_time(duration, 0.5, 0.99)", "histogram_over_time(duration)", "compare({ "+g.expr(1)+" }, 3)")
		out += pick(g, "", " by (resource.service.name)", " by (name, .k)", " by (rootName)", " by (kind)")
	}
	return out
}

// valid makes queries until one parses: the generator knows nothing of types.
func (g generator) valid(t *testing.T, metrics bool) *traceql.Query {
	for range 10_000 {
		if q, err := traceql.Parse(g.query(metrics)); err == nil {
			return q
		}
	}
	t.Fatal("no query of the generator is valid")
	return nil
}

// naive evaluates on every trace, from what was generated and not from the store.
type naive struct {
	traces []loaded
}

func newNaive(all [][]traces.Span) naive {
	var n naive
	for _, spans := range all {
		l := loaded{id: spans[0].TraceID.String()}
		for _, s := range spans {
			l.rows = append(l.rows, &row{labels: labels.FromStrings("service_name", s.Service()), start: s.Start, fields: s.Row().Fields})
		}
		l.rows = withoutRepeats(l.rows)
		n.traces = append(n.traces, l)
	}
	return n
}

func (n naive) search(q *traceql.Query) map[string][]FoundSpanset {
	p := newPlan(q)
	out := map[string][]FoundSpanset{}
	for _, l := range n.traces {
		found, ok, err := p.evaluate(context.Background(), l, 100)
		if err != nil {
			panic(err) // only a context that ends makes one
		}
		if ok {
			out[l.id] = found.Spansets
		}
	}
	return out
}

func (n naive) series(q RangeQuery) []traceql.Series {
	agg := traceql.NewAggregator(q.Query.Metrics, q.Interval, traceql.Bounds{Series: 1e6, Samples: 1e6})
	for _, l := range n.traces {
		t := l.trace()
		sets, err := q.Query.Pipeline.Evaluate(context.Background(), t)
		if err != nil {
			panic(err)
		}
		for _, set := range sets {
			for _, i := range set.Spans {
				if err := agg.ObserveIn(t, i); err != nil {
					panic(err)
				}
			}
		}
	}
	series, err := agg.Series(context.Background())
	if err != nil {
		panic(err)
	}
	return series
}

// TestDifferential compares what the engine finds with the help of the store with what
// evaluating every trace finds.
func TestDifferential(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("YAGURA_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("YAGURA_SEED=%d", seed)
	searches, ranges, least := 200, 100, 40
	if RaceEnabled {
		searches, ranges, least = 40, 20, 2
	}
	g := generator{rand.New(rand.NewPCG(seed, 1))}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	store, err := columnar.Open(t.TempDir(), columnar.Options{Config: columnar.Config{MinFreeDisk: -1}, Logger: quiet})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	var all [][]traces.Span
	for n := range 150 {
		spans := g.trace(n)
		all = append(all, spans)
		rows := map[string][]columnar.Row{}
		for _, s := range spans {
			rows[s.Service()] = append(rows[s.Service()], s.Row())
		}
		b := columnar.Batch{Table: columnar.Spans}
		for service, rows := range rows {
			b.Streams = append(b.Streams, columnar.Stream{Labels: labels.FromStrings("service_name", service), Rows: rows})
		}
		_, err := store.Append(context.Background(), b)
		require.NoError(t, err)
		if n == 50 || n == 100 { // some in parts, some in memory
			require.NoError(t, store.Flush(t.Context()))
		}
	}
	var engines []*Engine
	for _, maxSpans := range []int{8, 50, DefaultConfig().MaxSpans} { // few traces at a time, or all
		cfg := DefaultConfig()
		cfg.MaxSpans = maxSpans
		engine, err := NewEngine(store, cfg, quiet, nil)
		require.NoError(t, err)
		engines = append(engines, engine)
	}
	reference := newNaive(all)
	from, to := testStart-int64(time.Hour), testStart+int64(3*time.Hour)
	matched := 0
	for range searches {
		q := g.valid(t, false)
		want := reference.search(q)
		found, _, err := pick(g, engines...).Search(t.Context(), Search{Query: q, From: from, To: to, Limit: 1000, Spans: 100})
		require.NoError(t, err, q)
		got := map[string][]FoundSpanset{}
		for _, f := range found {
			got[f.ID] = f.Spansets
		}
		if len(want) > 0 {
			matched++
		}
		requireEqual(t, want, got, q)
	}
	require.Greater(t, matched, least, "too few queries find something")
	for range ranges {
		q := RangeQuery{Query: g.valid(t, true), Interval: traceql.NewInterval(testStart, testStart+int64(time.Hour), pick(g, int64(10*time.Minute), int64(7*time.Minute), 0))}
		got, _, err := pick(g, engines...).Range(t.Context(), q)
		require.NoError(t, err, q.Query)
		requireEqual(t, reference.series(q), got, q.Query)
	}
}

func requireEqual(t *testing.T, want, got any, q *traceql.Query) {
	t.Helper()
	opts := cmp.Options{
		cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-9, 1e-12), cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b traceql.Value) bool {
			return a == b || a.Type() == b.Type() && a.String() == b.String()
		}),
	}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		p := newPlan(q)
		t.Fatalf("%s\nplanned as %+v\n%s", q, describe(p), diff)
	}
}

func describe(p plan) string {
	var out []string
	for _, s := range p.selections {
		out = append(out, fmt.Sprintf("%v %+v exact=%t", s.matchers, s.fields, s.exact))
	}
	return fmt.Sprintf("%s %s", map[bool]string{true: "spanwise", false: map[bool]string{true: "selective", false: "traces"}[p.selective]}[p.spanwise], strings.Join(out, " OR "))
}

// TestPlan shows what the store is asked for.
func TestPlan(t *testing.T) {
	for _, tc := range []struct{ query, want string }{
		{"{ }", "spanwise [] [] exact=true"},
		{`{ name = "a" && duration > 1s }`, "spanwise [] [{Name:name Op:1 Text:a} {Name:duration_ns Op:7 Text:1e+09}] exact=true"},
		{`{ resource.service.name = "a" }`, `spanwise [service_name="a"] [{Name:resource.service.name Op:1 Text:a}] exact=false`},
		{`{ span.a = 5 || status = error }`, "spanwise [] [{Name:span.a Op:1 Text:5}] exact=false OR [] [{Name:status_code Op:1 Text:error}] exact=true"},
		{`{ .a = "x" }`, "spanwise [] [{Name:span.a Op:1 Text:x}] exact=false OR [] [{Name:resource.a Op:1 Text:x}] exact=false"},
		{`{ nestedSetParent < 0 && kind = server }`, "spanwise [] [{Name:parent_span_id Op:1 Text:} {Name:kind Op:1 Text:server}] exact=true"},
		{`{ rootName = "a" && span.b = true }`, "traces [] [{Name:span.b Op:1 Text:true}] exact=false"},
		{`{ name = "a" } >> { status != ok }`, "traces [] [{Name:name Op:1 Text:a}] exact=true"},
		{`{ name = "a" } !> { status != ok }`, "traces [] [{Name:status_code Op:2 Text:ok}] exact=true"},
		{`{ kind = server } | { span.a >= 2 } | count() > 1`, "selective [] [{Name:kind Op:1 Text:server} {Name:span.a Op:8 Text:2}] exact=false"},
		{`{ false }`, "spanwise "},
		{"{ name = `a` } || { kind = server }", "spanwise [] [{Name:name Op:1 Text:a}] exact=true OR [] [{Name:kind Op:1 Text:server}] exact=true"},
		{"{ name = `a` } | count() > 1 | { kind = server }", "traces [] [{Name:name Op:1 Text:a} {Name:kind Op:1 Text:server}] exact=true"},
		{"{ } | by(rootName) | count() > 1", "traces [] [] exact=true"},
		{`{ event:name = "a" }`, "spanwise [] [{Name:events Op:2 Text:}] exact=false"},
	} {
		q, err := traceql.Parse(tc.query)
		require.NoError(t, err)
		require.Equal(t, tc.want, describe(newPlan(q)), tc.query)
	}
}

func TestColumnsAreOnlyThoseNeeded(t *testing.T) {
	q, err := traceql.Parse(`{ span.a = 1 && duration > 1s } | rate() by (resource.b)`)
	require.NoError(t, err)
	p := newPlan(q)
	require.Equal(t, []string{"duration_ns", "resource.b", "span.a"}, p.columns())
	require.True(t, slices.Contains(p.columns(columnTraceID), columnTraceID))
}
