package traceql_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/traceql"
)

// valid queries, and how they are written back; empty means as they stand.
var valid = []struct{ query, written string }{
	{"{}", "{ }"},
	{"{ true }", "{ }"},
	{"{ false }", ""},
	{"{ .a }", ""},
	{"{ !.a }", ""},
	{"{ .a = 2 }", ""},
	{"{.a=2}", "{ .a = 2 }"},
	{"{ -.a = 2 }", "{ (-.a) = 2 }"},
	{"{ -1 = .a }", "{ -1 = .a }"},
	{"{ .a-b = 1 }", ""},
	{`{ span."a b".c = 1 }`, `{ span."a b.c" = 1 }`},
	{`{ resource.service.name = "x" }`, ""},
	{"{ name = `a\"b` }", `{ name = "a\"b" }`},
	{`{ event.exception.type =~ "Null.*" && link.kind != "x" && instrumentation.v = 1.5 }`,
		`{ ((event.exception.type =~ "Null.*") && (link.kind != "x")) && (instrumentation.v = 1.5) }`},
	{"{ parent.a = 1 && parent.span.b = 2 && parent.resource.c = 3 }", "{ ((parent.a = 1) && (parent.span.b = 2)) && (parent.resource.c = 3) }"},
	{"{ .a || .b && .c }", "{ (.a || .b) && .c }"},
	{"{ .a + 1 * 2 ^ 3 ^ 4 - 5 = 0 }", "{ ((.a + (1 * (2 ^ (3 ^ 4)))) - 5) = 0 }"},
	{"{ !.a = true }", "{ (!.a) = true }"},
	{"{ -.a * 2 + 1 = 0 }", "{ ((-(.a * 2)) + 1) = 0 }"},
	{"{ .a = nil || nil != .b }", "{ (.a = nil) || (.b != nil) }"},
	{"{ status = error && kind != server && statusMessage !~ `x` }", `{ ((status = error) && (kind != server)) && (statusMessage !~ "x") }`},
	{"{ duration > 1.5s && traceDuration <= 1h30m && duration > 1d }", "{ ((duration > 1.5s) && (traceDuration <= 1h30m0s)) && (duration > 24h0m0s) }"},
	{"{ rootName = `a` && rootServiceName = `b` && childCount > 2 && nestedSetParent < 0 }", ""},
	{"{ trace:id = `a` && trace:duration > 1s && trace:rootName = `a` && trace:rootService = `b` }", ""},
	{"{ span:id = `a` && span:parentID = `b` && span:name = `c` && span:kind = client && span:status = ok && span:statusMessage = `d` && span:duration > 1ms && span:childCount = 1 }", ""},
	{"{ event:name = `a` && event:timeSinceStart > 1s && link:traceID = `b` && link:spanID = `c` && instrumentation:name = `d` && instrumentation:version = `e` }", ""},
	{"{ 1 = 2 }", ""},
	{"{ 1h > 1.1 }", "{ 1h0m0s > 1.1 }"},
	{"{ .a >= \"200\" }", ""},
	{"{ .a } && { .b } || { .c }", "({ .a } && { .b }) || { .c }"},
	{"{ .a } && { .b } > { .c }", "{ .a } && ({ .b } > { .c })"},
	{"({ .a } && { .b }) >> { .c }", ""},
	{"{} > {} >> {} < {} << {} ~ {}", "(((({ } > { }) >> { }) < { }) << { }) ~ { }"},
	{"{} !> {} !>> {} !< {} !<< {} !~ {}", "(((({ } !> { }) !>> { }) !< { }) !<< { }) !~ { }"},
	{"{} &> {} &>> {} &< {} &<< {} &~ {}", "(((({ } &> { }) &>> { }) &< { }) &<< { }) &~ { }"},
	{"{.a}>{.b}", "{ .a } > { .b }"},
	{"({ } | count() > 1 | { .a }) >> ({ } | { .b })", ""},
	{"{ } | count() > 2", ""},
	{"count() = 1 | { .a }", ""},
	{"{ } | avg(duration) = 1h", "{ } | avg(duration) = 1h0m0s"},
	{"{ } | max((1 + .a) * 2) = 1", ""},
	{"{ } | max(.a) - min(.a) > -3", "{ } | max(.a) - min(.a) > -3"},
	{"{ } | (sum(.a) + 1) * 2 >= count()", "{ } | (sum(.a) + 1) * 2 >= count()"},
	{"{ } | by(.a) | by(1 + .b) | coalesce()", ""},
	{"by(.a) | { .b }", ""},
	{"{ } | select(.a, span.b, name)", ""},
	{"{ } | rate()", ""},
	{"{ } | count_over_time() by (name, resource.service.name) with (sample=0.1, most_recent=true)", ""},
	{"{ } | min_over_time(duration) by (span.a)", ""},
	{"{ } | quantile_over_time(duration, 0, 0.9, 1) by (span.a)", ""},
	{"{ } | histogram_over_time(span.size)", ""},
	{"{ } | avg_over_time(.a) by(name) | topk(5)", "{ } | avg_over_time(.a) by (name) | topk(5)"},
	{"{ } | sum_over_time(.a) | bottomk(1)", ""},
	{"{ } | rate() > 1.5", ""},
	{"{ } | rate() by (name) | topk(3) > -1", "{ } | rate() by (name) | topk(3) > -1"},
	{"{ nestedSetParent < 0 } | { .a } | rate()", ""},
	{"{ } > { } with (most_recent=true)", ""},
	{"{ } | quantile_over_time(duration, .99, .5)", "{ } | quantile_over_time(duration, 0.99, 0.5)"},
	{`{ ."5" = .5 }`, `{ ."5" = 0.5 }`},
	{"{ } | compare({ status = error })", "{ } | compare({ status = error }, 10)"},
	{"{ } | compare({ status = error }, 5, 100, 200) with (x=1)", "{ } | compare({ status = error }, 5, 100, 200) with (x=1)"},
}

func TestParse(t *testing.T) {
	for _, tc := range valid {
		t.Run(tc.query, func(t *testing.T) {
			q, err := traceql.Parse(tc.query)
			require.NoError(t, err)
			again, err := traceql.Parse(q.String())
			require.NoError(t, err, q.String())
			require.Equal(t, q.String(), again.String())
			if tc.written != "" {
				require.Equal(t, tc.written, q.String())
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, tc := range []struct{ query, want string }{
		{"", "line 1, col 1: want a selection of spans as { … }, got end of query"},
		{"true", "want an aggregate as count(), or a number"},
		{"[ true ]", "col 1: unexpected character '['"},
		{"( true )", "want an aggregate as count(), or a number"},
		{"{ . }", "col 3: an attribute's name must follow"},
		{"{ span. }", "an attribute's name must follow"},
		{"{ < }", "col 3: want an attribute, an intrinsic or a literal"},
		{"{ .a < }", "col 8: want an attribute"},
		{"{ .a < 3", "col 9: want an operator or \"}\", got end of query"},
		{"{ (.a < 3 }", "want \")\""},
		{"{\n  foo = 4 }", "line 2, col 3: unknown word \"foo\"; attributes are written with their scope, as in span.foo"},
		{"{ .a == 4 }", "want an attribute"},
		{"{ .a = 1 } + { .b }", "col 12: unexpected \"+\""},
		{"{ } = { }", "unexpected \"=\""},
		{"{ status }", "must be true or false, but status is of type status"},
		{"{ 1 + 1 }", "must be true or false"},
		{"{ \"foo\" }", "must be true or false"},
		{"{ 1 + \"foo\" = 1 }", "operator + cannot stand between 1 (int) and \"foo\" (string)"},
		{"{ 1 = name }", "operator = cannot stand between"},
		{"{ status > ok }", "operator > cannot stand between"},
		{"{ kind < consumer }", "operator < cannot stand between"},
		{"{ .a && 1 }", "operator && cannot stand between"},
		{"{ name =~ 2 }", "=~ needs a regular expression in quotes"},
		{"{ 1 =~ `2` }", "=~ needs a string on its left"},
		{"{ .a =~ `[` }", "missing closing ]"},
		{"{ .a > nil }", "nil can only be compared by = and !="},
		{"{ -name = `a` }", "- needs a number"},
		{"{ !1 = 1 }", "! needs true or false"},
		{"{ trace:status = error }", "unknown intrinsic \"trace:status\""},
		{"{ span:rootName = `a` }", "unknown intrinsic"},
		{"{ .a = 99999999999999999999 }", "out of range"},
		{"{ .a = 1parsec }", "neither a number nor a duration"},
		{"{ .a = \"x }", "string does not end"},
		{"{ } | count()", "count() must be compared with something"},
		{"{ } | max() = 1", "want an attribute"},
		{"{ } | max(name) = 1", "max needs numbers, but name is of type string"},
		{"{ } | max(1) = 1", "max needs an attribute"},
		{"{ } | max(.a) = status", "want an aggregate as count(), or a number"},
		{"{ } | 3 = 2", "has none of count()"},
		{"{ } | foo() = 1", "want a selection of spans"},
		{"{ } | by()", "want an attribute"},
		{"{ } | by(1)", "by() needs an attribute"},
		{"coalesce() | { }", "cannot begin with coalesce"},
		{"{ } | select()", "want an attribute or an intrinsic, got \")\""},
		{"{ } | select(1 + .a)", "want an attribute or an intrinsic"},
		{"{ } | rate() | { }", "want topk, bottomk or a comparison"},
		{"{ } | rate(.a)", "want \")\" after rate"},
		{"{ } | min_over_time()", "min_over_time needs an attribute"},
		{"{ } | max_over_time(name)", "max_over_time needs numbers"},
		{"{ } | quantile_over_time(duration)", "needs 1 to 20 quantiles"},
		{"{ } | quantile_over_time(duration, 2)", "want a quantile from 0 to 1"},
		{"{ } | rate() | topk(0)", "topk needs a positive number"},
		{"{ } | rate() by ()", "want an attribute"},
		{"{ } with (a)", "want \"=\""},
		{"{ } | compare()", "want \"{\" after compare("},
		{"{ } | compare({ }, 0)", "want a whole number above 0"},
		{"{ } | compare({ }, 5, 100)", "start and end together"},
		{"{ } | compare({ }, 5, 100, 100)", "must be after its start"},
		{"{ } }", "unexpected \"}\""},
		{"({ } | rate())", "want a selection"},
		{strings.Repeat("(", 1000) + "{ }", "nested more than 200 deep"},
		{"{ " + strings.Repeat("!", 1000) + ".a }", "nested more than 200 deep"},
		{"{ }" + strings.Repeat(" >> { }", 200), "col 1398: query has more than 200 operators"},
		{"{ 1" + strings.Repeat(" + 1", 200) + " = 2 }", "more than 200 operators"},
		{"{ .a = 1" + strings.Repeat(" || .a = 1", 100) + " }", "more than 200 operators"},
		{"{ }" + strings.Repeat(" | { }", 200), "more than 200 operators"},
		{"{ }" + strings.Repeat(" | by(name)", 200), "more than 200 operators"},
		{"{ } | count() > 0" + strings.Repeat(" + count()", 100), "more than 200 operators"},
		{"{ } | select(name" + strings.Repeat(", name", 200) + ")", "more than 200 operators"},
		{"{ } | rate()" + strings.Repeat(" > 0", 200), "more than 200 operators"},
		{"{ } | rate()" + strings.Repeat(" | topk(1)", 200), "more than 200 operators"},
		{"{ (" + strings.Repeat("!", 150) + ".a) || " + strings.Repeat("!", 150) + ".a }", "more than 200 operators"},
		{"{ .a = `" + strings.Repeat("x", traceql.MaxQueryBytes) + "` }", "more than 65536"},
	} {
		t.Run(tc.query[:min(len(tc.query), 40)], func(t *testing.T) {
			_, err := traceql.Parse(tc.query)
			var parse *traceql.ParseError
			require.True(t, errors.As(err, &parse), "%v", err)
			require.Contains(t, err.Error(), tc.want)
		})
	}
}

func TestParseField(t *testing.T) {
	for text, want := range map[string]string{
		".a": ".a", "span.a.b": "span.a.b", "resource.service.name": "resource.service.name", "name": "name",
		"trace:id": "trace:id", `span."a b"`: `span."a b"`,
	} {
		f, err := traceql.ParseField(text)
		require.NoError(t, err)
		require.Equal(t, want, f.String())
	}
	for _, text := range []string{"", "foo", "span.", "span.a = 1", "{}", "trace:foo", "1"} {
		_, err := traceql.ParseField(text)
		require.Error(t, err, text)
	}
}

func FuzzParse(f *testing.F) {
	for _, tc := range valid {
		f.Add(tc.query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := traceql.Parse(query)
		if err != nil {
			var parse *traceql.ParseError
			if !errors.As(err, &parse) || parse.Line < 1 || parse.Column < 1 {
				t.Fatalf("not an error with a position: %v", err)
			}
			return
		}
		again, err := traceql.Parse(q.String())
		if err != nil {
			if len(q.String()) > len(query)*2 || strings.Contains(err.Error(), "nested") {
				return // parentheses that it did not need at first
			}
			t.Fatalf("%q is written as %q, which is none: %v", query, q, err)
		}
		if again.String() != q.String() {
			t.Fatalf("%q is written as %q, and that as %q", query, q, again)
		}
		evaluate(t, q, traceql.NewTrace(sampleTrace()))
	})
}
