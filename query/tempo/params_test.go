package tempo

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/traceql"
)

func TestTagQuery(t *testing.T) {
	for tags, want := range map[string]string{
		"":                            "{ }",
		"a=b":                         `{ .a =~ "(?i).*b.*" }`,
		`a="b c" d=.`:                 `{ (.a =~ "(?i).*b c.*") && (.d =~ "(?i).*\\..*") }`,
		"n=5":                         `{ (.n =~ "(?i).*5.*") || (.n = 5) }`,
		"status=error name=x":         `{ (status = error) && (name =~ "(?i).*x.*") }`,
		"error=true span.kind=SERVER": "{ (status = error) && (kind = server) }",
		"root.service.name=g":         `{ rootServiceName =~ "(?i).*g.*" }`,
		"we{i}rd=1.5":                 `{ ."we{i}rd" =~ "(?i).*1\\.5.*" }`,
	} {
		text, err := tagQuery(url.Values{"tags": {tags}})
		require.NoError(t, err)
		q, err := traceql.Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, q.String())
	}
}

// Whatever a client sends is answered or refused, and what is taken from it is valid.
func FuzzSearchParams(f *testing.F) {
	for _, s := range []string{
		"q={}&limit=3", "tags=a%3Db+c%3D%22d+e%22&minDuration=1s", "start=1&end=2&spss=4", "tags=%22", "q={+.a+%3D+`", "start=-1", "end=99999999999999999",
		"q={}|rate()&step=1s&since=1h&exemplars=3", "q={}|rate()&start=2026-01-01T00:00:00Z&end=1e9", "step=1e300&q={}|rate()&start=1&end=9223372036854775807",
	} {
		f.Add(s)
	}
	engine, err := NewEngine(nil, DefaultConfig(), nil, nil)
	require.NoError(f, err)
	a := &API{engine: engine, now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
	f.Fuzz(func(t *testing.T, raw string) {
		form, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		if s, err := a.searchParams(form); err == nil {
			if s.Query == nil || s.Limit < 0 || s.Spans < 0 {
				t.Fatalf("%+v", s)
			}
			newPlan(s.Query)
		} else if status, _ := statusOf(err); status != 400 {
			t.Fatalf("status %d: %v", status, err)
		}
		for _, instant := range []bool{false, true} {
			q, err := a.rangeParams(form, instant)
			if err == nil && (q.Interval.Step <= 0 || q.Interval.End <= q.Interval.Start || q.Interval.Steps() < 1) {
				t.Fatalf("%+v", q.Interval)
			}
		}
		lenientFilter(form.Get("q"))
	})
}
