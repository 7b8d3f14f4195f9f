package logs_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/logs"
)

// TestLogQLTest runs every .logqltest file of the folder LOGQLTEST_DIR (by default
// the public ones beside the repository) over the HTTP API and the real store, one
// subtest for each eval. The format is described in FORMAT.md of that folder.
func TestLogQLTest(t *testing.T) {
	dir := os.Getenv("LOGQLTEST_DIR")
	if dir == "" {
		dir = sharedData(t, "logql")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.logqltest"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "no .logqltest files in %s", dir)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".logqltest"), func(t *testing.T) {
			runScript(t, file)
		})
	}
}

func runScript(t *testing.T, file string) {
	lines := readLines(t, file)
	var store *columnar.Store
	var server http.Handler
	reset := func() {
		store = openStore(t)
		server = newServer(t, store, logs.DefaultConfig())
	}
	reset()
	for i := 0; i < len(lines); {
		line := lines[i]
		at := i + 1
		i++
		var block []string
		for i < len(lines) && lines[i] != "" && (lines[i][0] == ' ' || lines[i][0] == '\t') {
			if text := strings.TrimSpace(stripComment(lines[i])); text != "" {
				block = append(block, text)
			}
			i++
		}
		switch text := strings.TrimSpace(stripComment(line)); {
		case text == "":
			require.Empty(t, block, "line %d: an indented block without a command", at)
		case text == "clear":
			reset()
		case text == "load":
			for _, l := range block {
				loadLine(t, store, l)
			}
			require.NoError(t, store.Flush(t.Context())) // read from blocks, not from memory
		case strings.HasPrefix(text, "eval "):
			t.Run(fmt.Sprintf("line %d", at), func(t *testing.T) { evalBlock(t, server, text, block) })
		default:
			t.Fatalf("line %d: unknown command %q", at, text)
		}
	}
}

func readLines(t *testing.T, file string) (out []string) {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := strings.TrimRight(sc.Text(), " \t\r")
		if strings.HasPrefix(strings.TrimSpace(line), "#") && len(out) > 0 && line[0] != '#' {
			continue // a comment within a block does not end it
		}
		out = append(out, line)
	}
	require.NoError(t, sc.Err())
	return out
}

// stripComment cuts from a # that is not within quotes.
func stripComment(s string) string {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote == '"' && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '`':
			quote = c
		case c == '#':
			return s[:i]
		}
	}
	return s
}

var loadPattern = regexp.MustCompile("^(\\{.*?\\})\\s+(\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`)\\s+@\\s+(\\S+)\\s*(.*)$")

var (
	repeatPattern   = regexp.MustCompile(`^\[repeat\s+every\s+(\S+)\s+for\s+(\d+)\]\s*`)
	metadataPattern = regexp.MustCompile(`^\[metadata\s+(.*?)\s*\]$`)
	pairPattern     = regexp.MustCompile(`^("[^"]*"|[^\s=]+)="([^"]*)"\s*`)
)

func loadLine(t *testing.T, store columnar.Writer, l string) {
	m := loadPattern.FindStringSubmatch(l)
	require.NotNil(t, m, "load line %q", l)
	lbls, err := syntax.ParseLabels(m[1])
	require.NoError(t, err, l)
	text := m[2][1 : len(m[2])-1]
	start := parseOffset(t, m[3])
	every, count := time.Duration(0), 1
	rest := m[4]
	if r := repeatPattern.FindStringSubmatch(rest); r != nil {
		every = parseOffset(t, r[1])
		count, err = strconv.Atoi(r[2])
		require.NoError(t, err, l)
		rest = rest[len(r[0]):]
	}
	var meta []string
	if md := metadataPattern.FindStringSubmatch(rest); md != nil {
		pairs := md[1]
		for pairs != "" {
			p := pairPattern.FindStringSubmatch(pairs)
			require.NotNil(t, p, "metadata in %q", l)
			meta = append(meta, strings.Trim(p[1], `"`), p[2])
			pairs = pairs[len(p[0]):]
		}
		rest = ""
	}
	require.Empty(t, rest, "load line %q", l)
	rows := make([]columnar.Row, count)
	for i := range rows {
		rows[i] = row(int64(start+time.Duration(i)*every), strings.ReplaceAll(text, "{{.i}}", strconv.Itoa(i)), meta...)
	}
	appendRows(t, store, lbls, rows...)
}

func parseOffset(t *testing.T, s string) time.Duration {
	if s == "0" {
		return 0
	}
	d, err := time.ParseDuration(s)
	require.NoError(t, err)
	return d
}

var (
	instantPattern = regexp.MustCompile(`^eval instant at (\S+)\s+(.*)$`)
	rangePattern   = regexp.MustCompile(`^eval range from (\S+) to (\S+) step (\S+)\s+(.*)$`)
)

func evalBlock(t *testing.T, server http.Handler, command string, block []string) {
	form := url.Values{}
	at := func(d time.Duration) string { return time.Unix(0, int64(d)).UTC().Format(time.RFC3339Nano) }
	path, instant := "/loki/api/v1/query", true
	var times []float64
	if m := instantPattern.FindStringSubmatch(command); m != nil {
		form.Set("time", at(parseOffset(t, m[1])))
		form.Set("query", m[2])
	} else if m := rangePattern.FindStringSubmatch(command); m != nil {
		from, to, step := parseOffset(t, m[1]), parseOffset(t, m[2]), parseOffset(t, m[3])
		path, instant = "/loki/api/v1/query_range", false
		form.Set("start", at(from))
		form.Set("end", at(to))
		form.Set("step", step.String())
		form.Set("query", m[4])
		for ; from <= to; from += step {
			times = append(times, from.Seconds())
		}
	} else {
		t.Fatalf("unknown eval %q", command)
	}
	rec := do(server, http.MethodPost, path, form)
	body := rec.Body.String()

	want, fail, ordered := expectations(t, block)
	if fail != nil {
		require.Equal(t, http.StatusBadRequest, rec.Code, "the query must fail; answer: %s", body)
		require.Regexp(t, fail, body)
		return
	}
	require.Equal(t, http.StatusOK, rec.Code, "%s: %s", form.Get("query"), body)
	var a answer
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &a))
	got := results(t, a, times)
	if !ordered {
		slices.SortFunc(want, bySeries)
		slices.SortFunc(got, bySeries)
	}
	require.Equal(t, len(want), len(got), "series\nwant %v\ngot  %v", want, got)
	for i := range want {
		require.Equal(t, want[i].name, got[i].name, "series %d of\nwant %v\ngot  %v", i, want, got)
		if instant {
			require.Len(t, want[i].points, 1)
		}
		require.Equal(t, len(want[i].points), len(got[i].points), "points of %s: want %v, got %v", want[i].name, want[i], got[i])
		for j := range want[i].points {
			require.True(t, want[i].points[j].equal(got[i].points[j]), "point %d of %s:\nwant %v\ngot  %v", j, want[i].name, want[i], got[i])
		}
	}
}

type series struct {
	name   string // labels, or empty for a scalar
	points []point
}

type point struct {
	value float64
	gap   bool
}

func (p point) String() string {
	if p.gap {
		return "_"
	}
	return strconv.FormatFloat(p.value, 'g', -1, 64)
}

func (p point) equal(o point) bool {
	if p.gap || o.gap {
		return p.gap == o.gap
	}
	if p.value == o.value || math.IsNaN(p.value) && math.IsNaN(o.value) {
		return true
	}
	return math.Abs(p.value-o.value) <= 1e-9*max(math.Abs(p.value), math.Abs(o.value))
}

func bySeries(a, b series) int { return strings.Compare(a.name, b.name) }

func expectations(t *testing.T, block []string) (want []series, fail *regexp.Regexp, ordered bool) {
	empty := false
	for _, l := range block {
		switch {
		case strings.HasPrefix(l, "skip values-comparison"):
			// About the stacks of another system; every value is compared here.
		case l == "expect empty":
			empty = true
		case l == "expect ordered":
			ordered = true
		case l == "expect fail":
			fail = regexp.MustCompile("")
		case strings.HasPrefix(l, "expect fail msg:"):
			fail = regexp.MustCompile(regexp.QuoteMeta(strings.TrimSpace(strings.TrimPrefix(l, "expect fail msg:"))))
		case strings.HasPrefix(l, "expect fail regex:"):
			fail = regexp.MustCompile(strings.TrimSpace(strings.TrimPrefix(l, "expect fail regex:")))
		default:
			want = append(want, parseSeries(t, l))
		}
	}
	require.True(t, empty != (len(want) > 0) || fail != nil, "an eval must expect exactly one kind of result: %q", block)
	return want, fail, ordered
}

func parseSeries(t *testing.T, l string) series {
	var s series
	if strings.HasPrefix(l, "{") {
		end := closingBrace(l)
		lbls, err := parseExpectedLabels(l[:end+1])
		require.NoError(t, err, l)
		s.name = lbls
		l = l[end+1:]
	}
	for _, f := range strings.Fields(l) {
		s.points = append(s.points, parsePoints(t, f)...)
	}
	return s
}

func closingBrace(l string) int {
	quoted := false
	for i := 0; i < len(l); i++ {
		switch c := l[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '}' && !quoted:
			return i
		}
	}
	return len(l) - 1
}

var labelPattern = regexp.MustCompile(`\s*([a-zA-Z_][\w.]*)\s*=\s*("(?:[^"\\]|\\.)*"|` + "`[^`]*`" + `)\s*,?`)

// parseExpectedLabels keeps labels with empty values: they are significant.
func parseExpectedLabels(s string) (string, error) {
	m := map[string]string{}
	for _, g := range labelPattern.FindAllStringSubmatch(s, -1) {
		v, err := strconv.Unquote(g[2])
		if err != nil {
			return "", err
		}
		m[g[1]] = v
	}
	return canonical(m), nil
}

func canonical(m map[string]string) string { return labels.FromMap(m).String() }

var expansionPattern = regexp.MustCompile(`^(-?[\d.]+)(?:([+-][\d.]+))?x(\d+)$`)

func parsePoints(t *testing.T, f string) []point {
	if f == "_" {
		return []point{{gap: true}}
	}
	if m := expansionPattern.FindStringSubmatch(f); m != nil {
		base, err := strconv.ParseFloat(m[1], 64)
		require.NoError(t, err)
		step := 0.0
		if m[2] != "" {
			step, err = strconv.ParseFloat(m[2], 64)
			require.NoError(t, err)
		}
		n, err := strconv.Atoi(m[3])
		require.NoError(t, err)
		out := make([]point, n+1)
		for i := range out {
			out[i].value = base + float64(i)*step
		}
		return out
	}
	v, err := strconv.ParseFloat(f, 64)
	require.NoError(t, err, f)
	return []point{{value: v}}
}

// results reads an answer of any type; a matrix gets a point or a gap at each of
// the times.
func results(t *testing.T, a answer, times []float64) (out []series) {
	switch a.Data.ResultType {
	case "scalar":
		var v [2]any
		require.NoError(t, json.Unmarshal(a.Data.Result, &v))
		return []series{{points: []point{{value: parseValue(t, v[1])}}}}
	case "vector":
		var v []struct {
			Metric map[string]string
			Value  [2]any
		}
		require.NoError(t, json.Unmarshal(a.Data.Result, &v))
		for _, s := range v {
			out = append(out, series{name: canonical(s.Metric), points: []point{{value: parseValue(t, s.Value[1])}}})
		}
	case "matrix":
		var v []struct {
			Metric map[string]string
			Values [][2]any
		}
		require.NoError(t, json.Unmarshal(a.Data.Result, &v))
		for _, s := range v {
			points := make([]point, len(times))
			for i := range points {
				points[i].gap = true
			}
			for _, p := range s.Values {
				i := slices.IndexFunc(times, func(at float64) bool { return math.Abs(at-p[0].(float64)) < 1e-6 })
				require.GreaterOrEqual(t, i, 0, "a point at %v, which is no step", p[0])
				points[i] = point{value: parseValue(t, p[1])}
			}
			out = append(out, series{name: canonical(s.Metric), points: points})
		}
	default:
		t.Fatalf("result type %q", a.Data.ResultType)
	}
	return out
}

func parseValue(t *testing.T, v any) float64 {
	f, err := strconv.ParseFloat(v.(string), 64)
	require.NoError(t, err)
	return f
}
