package logs

import (
	"context"
	"slices"
	"testing"

	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

func TestAnalyze(t *testing.T) {
	contains := func(s string) columnar.LinePredicate { return columnar.LinePredicate{Op: columnar.Contains, Text: s} }
	not := func(s string) columnar.LinePredicate {
		return columnar.LinePredicate{Op: columnar.NotContains, Text: s}
	}
	matches := func(s string) columnar.LinePredicate { return columnar.LinePredicate{Op: columnar.Matches, Text: s} }
	notMatches := func(s string) columnar.LinePredicate {
		return columnar.LinePredicate{Op: columnar.NotMatches, Text: s}
	}
	equal := func(n, v string) columnar.FieldPredicate {
		return columnar.FieldPredicate{Name: n, Op: columnar.FieldEqual, Text: v}
	}
	for _, tc := range []struct {
		pipeline string
		lines    []columnar.LinePredicate
		fields   []columnar.FieldPredicate
		exact    bool
	}{
		{``, nil, nil, true},
		{`|= "a" != "b"`, []columnar.LinePredicate{not("b"), contains("a")}, nil, true},
		{`|= ""`, nil, nil, true},
		{`!= ""`, nil, nil, false},
		{`|= "a.b" or "c"`, []columnar.LinePredicate{matches(`(?:a\.b)|(?:c)`)}, nil, true},
		{`!= "a" or "b"`, []columnar.LinePredicate{not("b"), not("a")}, nil, true},
		{`|~ "foo"`, []columnar.LinePredicate{contains("foo")}, nil, true},
		{`|~ ".*foo.*"`, []columnar.LinePredicate{contains("foo")}, nil, true},
		{`|~ "a|bc"`, []columnar.LinePredicate{matches(`(?:a)|(?:bc)`)}, nil, true},
		{`|~ "a[0-9]+b"`, []columnar.LinePredicate{matches(`a[0-9]+b`)}, nil, true},
		{`!~ "a[0-9]+b"`, []columnar.LinePredicate{notMatches(`a[0-9]+b`)}, nil, true},
		{`|~ ".+"`, nil, nil, false},
		{`|~ ".*"`, nil, nil, false},
		{`|~ "(?i)panel"`, []columnar.LinePredicate{matches(`(?i:panel)`)}, nil, true},
		{`!~ "(?i)panel"`, []columnar.LinePredicate{notMatches(`(?i:panel)`)}, nil, true},
		{`|~ "(?i)timeout"`, []columnar.LinePredicate{matches(`(?i:timeout)|\x{130}`)}, nil, false},
		{`!~ "(?i)timeout"`, nil, nil, false},
		{`|~ "(?i)ünter"`, nil, nil, false},
		{`|= ip("10.0.0.0/8")`, nil, nil, false},
		{`|> "<_>a<_>"`, nil, nil, false},
		{`| json |= "a"`, []columnar.LinePredicate{contains("a")}, nil, true},
		{`| json | line_format "x"`, nil, nil, true},
		{`| line_format "x" |= "a"`, nil, nil, false},
		{`| decolorize |= "a"`, nil, nil, false},
		{`| unpack |= "a"`, nil, nil, false},
		{`| trace_id="x"`, nil, []columnar.FieldPredicate{equal("trace_id", "x")}, false},
		{`| trace_id!="x"`, nil, []columnar.FieldPredicate{{Name: "trace_id", Op: columnar.FieldNotEqual, Text: "x"}}, false},
		{`| a="x" and b="y"`, nil, []columnar.FieldPredicate{equal("a", "x"), equal("b", "y")}, false},
		{`| a="x" or b="y"`, nil, nil, false},
		{`| status > 400`, nil, nil, false},
		{`| a=~"x.*"`, nil, []columnar.FieldPredicate{{Name: "a", Op: columnar.FieldMatches, Text: ".*(?:x).*"}}, false}, // as LogQL has it
		{`| a=~"x|y.z"`, nil, []columnar.FieldPredicate{{Name: "a", Op: columnar.FieldMatches, Text: "x|y.z"}}, false},
		{`| a=~"x|yz"`, nil, []columnar.FieldPredicate{{Name: "a", Op: columnar.FieldMatches, Text: "x|yz"}}, false},
		{`| a=~".*x.*"`, nil, []columnar.FieldPredicate{{Name: "a", Op: columnar.FieldMatches, Text: ".*(?:x).*"}}, false},
		{`| a=~"(?i)x"`, nil, []columnar.FieldPredicate{{Name: "a", Op: columnar.FieldMatches, Text: ".*(?:(?i:x)).*"}}, false},
		{`| a=~".*"`, nil, nil, false},
		{`| a!~"x|y"`, nil, nil, false},
		{`| __error__=""`, nil, nil, false},
		{`| pod_extracted="x"`, nil, nil, false},
		{`| json | a="x"`, nil, nil, false},
		{`| drop a | a="x"`, nil, nil, false},
		{`| label_format a=b | a="x"`, nil, nil, false},
	} {
		t.Run(tc.pipeline, func(t *testing.T) {
			expr, err := syntax.ParseLogSelector(`{app="x"} `+tc.pipeline, true)
			require.NoError(t, err)
			got := analyze(stagesOf(expr))
			require.ElementsMatch(t, tc.lines, got.lines)
			require.ElementsMatch(t, tc.fields, got.fields)
			require.Equal(t, tc.exact, got.exact)
		})
	}
}

func TestDerive(t *testing.T) {
	matches := func(s string) columnar.LinePredicate { return columnar.LinePredicate{Op: columnar.Matches, Text: s} }
	for pipeline, want := range map[string][]derivedPredicate{
		`| json | level="error"`:                   {{[]string{"level"}, matches(`(?:error)|(?:\\)`)}},
		`| logfmt | msg="not so found"`:            {{[]string{"msg"}, matches(`(?:found)|(?:\\)`)}},
		`| json lvl="level" | lvl="e"`:             {{[]string{"lvl"}, matches(`(?:e)|(?:\\)`)}},
		`| json | level=~"error|warn"`:             {{[]string{"level"}, matches(`(?:error)|(?:warn)|(?:\\)`)}},
		`| json | level=~".*err.*"`:                {{[]string{"level"}, matches(`(?:err)|(?:\\)`)}},
		`| json | a="x" or b="y"`:                  {{[]string{"a", "b"}, matches(`(?:x)|(?:y)|(?:\\)`)}},
		`| pattern "<a> <b>" | a="500"`:            {{[]string{"a"}, columnar.LinePredicate{Op: columnar.Contains, Text: "500"}}},
		`| regexp "(?P<a>.)" | a="x" and b="y z"`:  {{[]string{"a"}, columnar.LinePredicate{Op: columnar.Contains, Text: "x"}}, {[]string{"b"}, columnar.LinePredicate{Op: columnar.Contains, Text: "y z"}}},
		`| pattern "<a> <b>" | json | a="500"`:     {{[]string{"a"}, matches(`(?:500)|(?:\\)`)}},
		`| json | drop x | level="error" | size>1`: {{[]string{"level"}, matches(`(?:error)|(?:\\)`)}},
		`| json | level=""`:                        nil,
		`| json | level!="error"`:                  nil,
		`| json | level=~"(?i)error"`:              nil,
		`| json | level=~"err[a-z]+"`:              nil,
		`| json | level="error" or size>1`:         nil,
		`| json | __error__="x"`:                   nil,
		`| json | x_extracted="y"`:                 nil,
		`| json | label_format a=b | a="x"`:        nil,
		`| line_format "{{.x}}" | json | a="x"`:    nil,
		`| unpack | a="x"`:                         nil,
		`| decolorize | json | a="x"`:              nil,
		`| drop x | a="x"`:                         nil,
	} {
		t.Run(pipeline, func(t *testing.T) {
			expr, err := syntax.ParseLogSelector(`{app="x"} `+pipeline, true)
			require.NoError(t, err)
			require.ElementsMatch(t, want, analyze(stagesOf(expr)).derived)
		})
	}
}

func TestSampleColumns(t *testing.T) {
	// Metadata that claims to be an error is one.
	fields := func(names ...string) []string {
		names = append(names, "__error__", "__error_details__", "__preserve_error__")
		slices.Sort(names)
		return names
	}
	for query, want := range map[string]columnar.Columns{
		`sum(count_over_time({a="b"}[1m]))`:                                    {Fields: fields()},
		`sum by (x, y) (rate({a="b"}[1m]))`:                                    {Fields: fields("x", "y")},
		`sum by (x) (rate({a="b"} |= "z" | t="1" [1m]))`:                       {Line: true, Fields: fields("t", "x")},
		`sum by (x_extracted) (rate({a="b"}[1m]))`:                             {Fields: fields("x", "x_extracted")},
		`sum without (x) (rate({a="b"}[1m]))`:                                  {AllFields: true},
		`count_over_time({a="b"}[1m])`:                                         {AllFields: true},
		`absent_over_time({a="b"}[1m])`:                                        {Fields: fields()},
		`sum(bytes_rate({a="b"}[1m]))`:                                         {Line: true, Fields: fields()},
		`sum by (x) (sum_over_time({a="b"} | unwrap v | w="1" [1m]))`:          {Fields: fields("v", "w", "x")},
		`avg_over_time({a="b"} | unwrap v [1m]) by (x)`:                        {Fields: fields("v", "x")},
		`sum by (x) (rate({a="b"} | json [1m]))`:                               {Line: true, Fields: fields("x")},
		`sum by (x) (rate({a="b"} | drop y [1m]))`:                             {Fields: fields("x")},
		`sum by (x) (rate({a="b"} | label_format x=y [1m]))`:                   {Line: true, AllFields: true},
		`sum by (x) (rate({a="b"} | unpack [1m]))`:                             {Line: true, AllFields: true},
		`max by (x) (rate({a="b"}[1m]))`:                                       {Line: true, AllFields: true},
		`sum by (x) (quantile_over_time(0.9, {a="b"} | unwrap v [1m]) by (x))`: {Line: true, AllFields: true},
	} {
		t.Run(query, func(t *testing.T) {
			expr, err := syntax.ParseSampleExpr(query)
			require.NoError(t, err)
			require.Equal(t, want, sampleColumns(expr))
		})
	}
}

func TestIPAlternatives(t *testing.T) {
	for query, want := range map[string]string{
		`{a="b"} |= ip("1.1.1.1") or "x" or ip("2.2.2.2")`:          `{a="b"} |= ip("1.1.1.1") or "x" or ip("2.2.2.2")`,
		"{a=\"b\"} |= \"or ip(\" or ip( `2.2.2.2` ) # or ip(\"x\")": `{a="b"} |= "or ip(" or ip("2.2.2.2")`,
		`{a="b"} | addr=ip("1.1.1.1") or addr=ip("2.2.2.2")`:        `{a="b"} | ( addr=ip("1.1.1.1") or addr=ip("2.2.2.2") )`,
	} {
		expr, err := parse(query)
		require.NoError(t, err)
		require.Equal(t, want, expr.String())
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{a="b"} |= ip("1.1.1.1") or ip("2.2.2.2") or "x"`)
	f.Add(`sum by (x) (rate({a="b"} | json | v > 0x10 [1m]))`)
	f.Add("{a=`b`} |~ `(?i)k+` # or ip(")
	f.Fuzz(func(t *testing.T, query string) {
		expr, err := parse(query)
		if err != nil {
			return
		}
		switch e := expr.(type) {
		case syntax.SampleExpr:
			if sel, err := e.Selector(); err == nil {
				analyze(stagesOf(sel))
			}
			sampleColumns(e)
		case syntax.LogSelectorExpr:
			analyze(stagesOf(e))
		}
		_ = correctPipelines(context.Background(), expr)
	})
}
