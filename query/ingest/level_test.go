package ingest_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
)

// lineLevels are lines and the levels that Loki 3.7 finds in them.
var lineLevels = []struct{ line, want string }{
	{"", "unknown"},
	{"nothing to see", "unknown"},
	{"2026-03-01 12:00:00 INFO starting", "info"},
	{"[WARN] low disk", "warn"},
	{"Warning: low disk", "warn"},
	{"ERROR", "error"},
	{"err: no", "error"},
	{"errors are many", "unknown"},
	{"terror at noon", "unknown"},
	{"misc:error", "unknown"},
	{"error:misc", "error"},
	{"debug then error", "debug"},
	{"an error, no info", "error"},
	{"(fatal) end", "fatal"},
	{"critical! now", "critical"},
	{"trace", "trace"},
	{"information is not a word for it", "unknown"},
	{`"error" in quotes`, "error"},
	{"info\tafter", "info"},
	{"a\tinfo", "info"},
	{"x=INFO", "info"},
	{"inf", "unknown"},

	{"level=warn msg=hello", "warn"},
	{`ts=1 msg="an error came" level=info`, "info"},
	{`ts=1 msg="level=debug" lvl=err`, "error"},
	{"severity=low lvl=dbg", "unknown"}, // the better key has no known level
	{"LVL=debug severity=ERROR", "error"},
	{"Level=Information", "info"},
	{`a b c level="WRN" d`, "warn"},
	{`broken"quote level=dbg`, "unknown"},
	{`a="unterminated level=error`, "error"}, // by its word
	{`a=b=c level=debug`, "debug"},           // by its word
	{"=x level=fatal", "fatal"},
	{"level= info", "info"},
	{"severity_text=trc", "trace"},
	{"levels=error", "error"},
	{"log.level=dbg", "debug"},

	{`{"level":"error"}`, "error"},
	{` {"a":1,"b":[{"level":"info"}],"Level":"WARN"} `, "warn"},
	{`{"log":{"level":"debug"},"level":"info"}`, "debug"},
	{`{"a":{"b":{"level":"debug"}},"severity":"err"}`, "error"},
	{`{"level":3,"msg":"a warning"}`, "warn"}, // by its word
	{`{"level":3,"msg":"warning"}`, "warn"},
	{`{"msg":"say \"level\":\"debug\"","lvl":"crit"}`, "unknown"},
	{`{"msg":"a\\","lvl":"trace"}`, "trace"},
	{`{"log.level":"FATAL"}`, "fatal"},
	{`{"lvl" : "inf" , "x" : null}`, "info"},
	{`{}`, "unknown"},
	{`{"level":"`, "unknown"},
	{`{"level" "info"}`, "info"}, // by its word
	{`{"a":[1,"]",{"x":"}"}],"SEVERITY":"critical"}`, "critical"},
	{`{"a":tru}`, "unknown"},
}

func TestLevelOfLine(t *testing.T) {
	for _, tc := range lineLevels {
		require.Equal(t, tc.want, ingest.LevelOfLine(tc.line), "%s", tc.line)
	}
}

func discovering(o *ingest.Options) {
	c := ingest.DefaultConfig()
	o.Config.DiscoverServiceName, o.Config.DiscoverLevel = c.DiscoverServiceName, c.DiscoverLevel
}

// TestLevelIsFound pushes lines in every way and looks at what is stored.
func TestLevelIsFound(t *testing.T) {
	for name, tc := range map[string]struct {
		labels string
		line   string
		meta   push.LabelsAdapter
		want   string
	}{
		"line":                    {`{a="b"}`, "ERROR x", nil, "error"},
		"line beside metadata":    {`{a="b"}`, "ERROR x", push.LabelsAdapter{{Name: "trace_id", Value: "1"}}, "error"},
		"label":                   {`{level="warning"}`, "ERROR x", push.LabelsAdapter{{Name: "level", Value: "info"}}, "warn"},
		"label, best":             {`{lvl="info",severity="dbg"}`, "ERROR x", nil, "debug"},
		"label of its own":        {`{level="notice"}`, "ERROR x", nil, "notice"},
		"metadata":                {`{a="b"}`, "ERROR x", push.LabelsAdapter{{Name: "severity_text", Value: "Information"}, {Name: "severity_number", Value: "17"}}, "info"},
		"number":                  {`{a="b"}`, "ERROR x", push.LabelsAdapter{{Name: "severity_number", Value: "13"}}, "warn"},
		"number, highest":         {`{a="b"}`, "ERROR x", push.LabelsAdapter{{Name: "severity_number", Value: "24"}}, "fatal"},
		"number, none":            {`{a="b"}`, "ERROR x", push.LabelsAdapter{{Name: "severity_number", Value: "0"}}, "unknown"},
		"number that is no digit": {`{a="b"}`, "ERROR x", push.LabelsAdapter{{Name: "severity_number", Value: "x"}}, "info"},
		"already there":           {`{level="info"}`, "ERROR x", push.LabelsAdapter{{Name: "detected_level", Value: "WRN"}}, "warn"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, discovering)
			a := r.post(pushPath, lokiProto(t, push.Stream{Labels: tc.labels, Entries: []push.Entry{{Timestamp: time.Now(), Line: tc.line, StructuredMetadata: tc.meta}}}))
			require.Equal(t, http.StatusNoContent, a.code, "%s", a.body)
			rows := r.stored(columnar.Logs)
			require.Len(t, rows, 1)
			levels := slices.DeleteFunc(rows[0].Fields, func(f columnar.Field) bool { return f.Name != "detected_level" })
			require.Equal(t, []columnar.Field{{Name: "detected_level", Value: tc.want}}, levels)
		})
	}
}

func TestServiceNameIsFound(t *testing.T) {
	for sent, want := range map[string]string{
		`{a="b"}`:                              `{a="b", service_name="unknown_service"}`,
		`{job="j", container="c", app="shop"}`: `{app="shop", container="c", job="j", service_name="shop"}`,
		`{service_name="x", app="shop"}`:       `{app="shop", service_name="x"}`,
		`{}`:                                   `{service_name="unknown_service"}`,
	} {
		r := newRig(t, discovering)
		for i, body := range [][]byte{
			lokiProto(t, push.Stream{Labels: sent, Entries: []push.Entry{{Timestamp: time.Now(), Line: "x"}}}),
			[]byte(fmt.Sprintf(`{"streams":[{"stream":%s,"values":[["%d","x"]]}]}`, asJSONLabels(sent), time.Now().UnixNano())),
		} {
			a := r.post(pushPath, body, "Content-Type", []string{"application/x-protobuf", "application/json"}[i])
			require.Equal(t, http.StatusNoContent, a.code, "%s", a.body)
		}
		rows := r.stored(columnar.Logs)
		require.Len(t, rows, 2)
		for _, row := range rows {
			require.Equal(t, want, row.labels)
		}
	}
}

// asJSONLabels turns {a="b"} into {"a":"b"}.
func asJSONLabels(s string) string {
	pairs := strings.FieldsFunc(strings.Trim(s, "{}"), func(r rune) bool { return r == ',' })
	for i, p := range pairs {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		pairs[i] = `"` + name + `":` + value
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

// TestOTLPBelowLoki sends what Loki's own OTLP endpoint takes.
func TestOTLPBelowLoki(t *testing.T) {
	r := newRig(t, discovering)
	body := []byte(`{"resourceLogs":[{"resource":{"attributes":[{"key":"k8s.container.name","value":{"stringValue":"web"}}]},
		"scopeLogs":[{"logRecords":[{"timeUnixNano":"1","severityNumber":9,"body":{"stringValue":"an error"}}]}]}]}`)
	for i, path := range []string{"/otlp/v1/logs", "/loki/otlp/v1/logs"} {
		a := r.post(path, body, "Content-Type", "application/json")
		require.Equal(t, http.StatusOK, a.code, "%s", a.body)
		rows := r.stored(columnar.Logs)
		require.Len(t, rows, i+1)
		require.Equal(t, `{container="web", service_name="web"}`, rows[0].labels)
		require.Equal(t, "info", fields(rows[0].Row)["detected_level"])
	}
}

func FuzzLevelOfLine(f *testing.F) {
	for _, tc := range lineLevels {
		f.Add(tc.line)
	}
	levels := []string{"trace", "debug", "info", "warn", "error", "critical", "fatal", "unknown"}
	f.Fuzz(func(t *testing.T, line string) {
		if l := ingest.LevelOfLine(line); !slices.Contains(levels, l) {
			t.Fatalf("level %q of %q", l, line)
		}
	})
}

// BenchmarkLevelOfLine is what finding out a level costs for each line of real logs.
func BenchmarkLevelOfLine(b *testing.B) {
	for _, file := range []string{"agent-logfmt.txt", "drone-json.txt", "kafka.txt", "kubernetes.txt", "vault.txt"} {
		b.Run(strings.TrimSuffix(file, ".txt"), func(b *testing.B) {
			var lines []string
			sc := bufio.NewScanner(bytes.NewReader(shared(b, "logs/"+file)))
			sc.Buffer(nil, 1<<20)
			for sc.Scan() && len(lines) < 20_000 {
				lines = append(lines, sc.Text())
			}
			b.ResetTimer()
			for i := range b.N {
				ingest.LevelOfLine(lines[i%len(lines)])
			}
		})
	}
	for name, line := range map[string]string{
		"access": `203.0.113.7 - - [01/Mar/2026:12:00:00 +0000] "GET /shop/items?page=2&sort=price HTTP/1.1" 200 5123 "https://example.org/shop" "Mozilla/5.0 (X11; Linux x86_64)"`,
		"logfmt": `ts=2026-03-01T12:00:00Z caller=main.go:12 level=info msg="an order came in" id=12`,
		"json":   `{"time":"2026-03-01T12:00:00Z","msg":"an order came in","id":12,"level":"info","user":{"id":3}}`,
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				ingest.LevelOfLine(line)
			}
		})
	}
}
