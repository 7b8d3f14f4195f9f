package signal

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPromSelectors(t *testing.T) {
	tests := map[string]struct {
		query string
		want  []string
	}{
		"one":               {`up`, []string{`up`}},
		"matchers":          {`sum(rate(http_requests_total{code=~"5..",app="a"}[5m]))`, []string{`http_requests_total{app="a",code=~"5.."}`}},
		"offset and @":      {`x offset 1h + x @ 100 + x @ end()`, []string{`x`}},
		"several, each one": {`a / (a + b) + on() c`, []string{`a`, `b`, `c`}},
		"subquery":          {`max_over_time(rate(x[1m])[10m:10s] offset 5m)`, []string{`x`}},
		"no metric name":    {`{__name__=~"a|b",app="x"}`, []string{`{__name__=~"a|b",app="x"}`}},
		"none":              {`vector(1) + time()`, nil},
		"name in braces":    {`{"with.dots", app="x"}`, []string{`{"with.dots",app="x"}`}},
		"experimental":      {`sort_by_label(x, "a")`, []string{`x`}},
		"a comment":         {"sum(x) # {y}", []string{`x`}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := promSelectors(newParser(), tc.query)
			require.NoError(t, err)
			require.Len(t, got, len(tc.want))
			for i := range got {
				assert.Equal(t, sortedMatchers(t, tc.want[i]), sortedMatchers(t, got[i]))
			}
		})
	}
	_, err := promSelectors(newParser(), `sum(`)
	assert.Error(t, err)
}

// sortedMatchers makes selectors comparable that differ in the order of their matchers only.
func sortedMatchers(t *testing.T, selector string) map[string]bool {
	t.Helper()
	matchers, err := newParser().ParseMetricSelector(selector)
	require.NoError(t, err)
	set := map[string]bool{}
	for _, m := range matchers {
		set[m.String()] = true
	}
	return set
}

func TestLogSelectors(t *testing.T) {
	tests := map[string]struct {
		query string
		want  []string
		beats []string
	}{
		"a rate": {`sum(rate({app="checkout"} |= "timeout" [1m]))`, []string{`{app="checkout"}`}, []string{""}},
		"labels that sources have": {`{namespace="shop", container=~"web|api"}`,
			[]string{`{namespace="shop", container=~"web|api"}`},
			[]string{`yagura_log_source_heartbeat_timestamp_seconds{namespace="shop",container=~"web|api"}`}},
		"a label that heartbeats lack": {`{namespace="shop", container="web", level="error"}`,
			[]string{`{namespace="shop", container="web", level="error"}`}, []string{""}},
		"a whole namespace":   {`{namespace="shop"}`, []string{`{namespace="shop"}`}, []string{""}},
		"all but one service": {`{namespace="shop", service_name!="a"}`, []string{`{namespace="shop", service_name!="a"}`}, []string{""}},
		"braces in strings": {"sum(count_over_time({pod=\"a\"} | line_format \"{{.x}} }\" |~ `{\\d+}` [5m]))", []string{`{pod="a"}`},
			[]string{`yagura_log_source_heartbeat_timestamp_seconds{pod="a"}`}},
		"two": {`sum(rate({service_name="a"}[1m])) / sum(rate({service_name="b"}[1m]))`, []string{`{service_name="a"}`, `{service_name="b"}`},
			[]string{`yagura_log_source_heartbeat_timestamp_seconds{service_name="a"}`, `yagura_log_source_heartbeat_timestamp_seconds{service_name="b"}`}},
		"one twice":              {`rate({app="a"}[1m]) / rate({app="a"} |= "x" [1m])`, []string{`{app="a"}`}, []string{""}},
		"comments":               {"rate({app=\"a\", # {not this}\n pod=\"b\"}[1m]) # }", []string{`{app="a", pod="b"}`}, []string{""}},
		"escapes":                {`rate({app="a\"}"}[1m])`, []string{`{app="a\"}"}`}, []string{""}},
		"backquoted value":       {"rate({app=~`a\\.b`}[1m])", []string{`{app=~"a\\.b"}`}, []string{""}},
		"comma at the end":       {`rate({app="a",}[1m])`, []string{`{app="a"}`}, []string{""}},
		"nothing to be selected": {`vector(0)`, nil, nil},
		"or vector":              {`sum(rate({app="a"}[1m])) or vector(0)`, []string{`{app="a"}`}, []string{""}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := logSelectors(newParser(), tc.query)
			require.NoError(t, err)
			var texts, beats []string
			for _, s := range got {
				texts, beats = append(texts, s.text), append(beats, s.heartbeat())
			}
			assert.Equal(t, tc.want, texts)
			assert.Equal(t, tc.beats, beats)
		})
	}
}

func TestLogSelectorsRefuse(t *testing.T) {
	for _, query := range []string{`{app="a"`, `rate(app="a"}[1m])`, `{app="a" {pod="b"}}`, `{app=`, `{app="a`, "{app=`a", `"`, `{app=~"("}`} {
		_, err := logSelectors(newParser(), query)
		assert.Error(t, err, query)
	}
}

// FuzzLogSelectors checks that no query makes the extractor panic, and that what it extracts are selectors that give themselves.
func FuzzLogSelectors(f *testing.F) {
	for _, seed := range []string{`sum(rate({app="checkout"} |= "timeout" [1m]))`, "{a=`b`} # {", `{a="\"}"} | line_format "{{.x}}"`, `{a!~"x",}`, `}{`, `"\`} {
		f.Add(seed)
	}
	p := newParser()
	f.Fuzz(func(t *testing.T, query string) {
		selectors, err := logSelectors(p, query)
		if err != nil {
			return
		}
		for _, s := range selectors {
			again, err := logSelectors(p, s.text)
			if err != nil || len(again) != 1 || again[0].text != s.text {
				t.Fatalf("%q gave %q, which gives %v, %v", query, s.text, again, err)
			}
			if b := s.heartbeat(); b != "" {
				if _, err := p.ParseMetricSelector(b); err != nil {
					t.Fatalf("heartbeat %q of %q: %v", b, query, err)
				}
			}
		}
	})
}

// FuzzDecode checks that no answer makes the decoder panic.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.5,"3"]}]}}`,
		`{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}`,
		`{"status":"success","data":{"resultType":"streams","result":[{"stream":{},"values":[["1","x",{"a":"b"}]]}]}}`,
		`{"status":"error","error":"no"}`, `{`, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := decode(text)
		if err == nil && a.kind == "" {
			t.Fatalf("%q was taken for an answer", text)
		}
	})
}

func BenchmarkLogSelectors(b *testing.B) {
	query := `sum by (pod) (rate({namespace="shop", container="checkout"} | json | level="error" |= "timeout" | line_format "{{.msg}}" [1m])) / ` +
		strings.Repeat(`sum(rate({namespace="shop"}[1m])) + `, 4) + `1`
	p := newParser()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := logSelectors(p, query); err != nil {
			b.Fatal(err)
		}
	}
}
