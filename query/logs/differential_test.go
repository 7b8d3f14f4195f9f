package logs_test

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/logs"
)

// corpus is real lines, each at a time of its own, with structured metadata.
type corpus struct {
	lines      []string
	selectors  []string
	start, end time.Time
}

// loadCorpus leaves some of the lines in memory and some in blocks.
func loadCorpus(t testing.TB, store *columnar.Store, linesPerFile int) corpus {
	t.Helper()
	dir := sharedData(t, "logs")
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	c := corpus{start: epoch, selectors: []string{`{app=~".+"}`, `{app="nginx-access"}`, `{app="kafka"}`, `{app=~"nginx.*|vault"}`,
		`{app!="kafka",pod="p1"}`, `{pod="p2"}`, `{severity_text="LABEL"}`, `{app=~".*logfmt"}`, `{app=~".*json"}`}}
	r := rand.New(rand.NewPCG(1, 2))
	n := int64(0)
	for i, file := range files {
		if i == len(files)*3/4 {
			require.NoError(t, store.Flush(context.Background()))
		}
		app := strings.SplitN(filepath.Base(file), ".", 2)[0]
		byPod := map[string][]columnar.Row{}
		for _, line := range readLog(t, file, linesPerFile) {
			n++
			ts := epoch.UnixNano() + (n*7919%1_000_003)*int64(3*time.Millisecond)
			id := strconv.Itoa(r.IntN(500))
			pod := "p" + strconv.Itoa(r.IntN(3))
			rw := row(ts, line, "trace_id", id)
			if r.IntN(2) == 0 {
				rw.Fields = append(rw.Fields, columnar.Field{Name: "severity_text", Value: []string{"INFO", "WARN", "ERROR"}[r.IntN(3)]})
			}
			byPod[pod] = append(byPod[pod], rw)
			c.lines = append(c.lines, line)
		}
		for pod, rows := range byPod {
			lbls := labels.FromStrings("app", app, "pod", pod)
			if pod == "p2" { // here the name of a field is also that of a label
				lbls = labels.FromStrings("app", app, "pod", pod, "severity_text", "LABEL")
			}
			appendRows(t, store, lbls, rows...)
		}
	}
	c.end = epoch.Add(1_000_003 * 3 * time.Millisecond)
	return c
}

func readLog(t testing.TB, file string, limit int) (out []string) {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		in, err = gzip.NewReader(f)
		require.NoError(t, err)
	}
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 1<<20)
	for len(out) < limit && sc.Scan() {
		out = append(out, sc.Text())
	}
	require.NoError(t, sc.Err())
	return out
}

// hostileCorpus is rows that were made to catch a push-down at it: many at the same
// times, which are those of the windows' edges, fields that repeat or share their
// names with labels or with what parsers find, values that are no numbers or odd
// ones, empty and invalid lines.
func hostileCorpus(t testing.TB, store *columnar.Store) corpus {
	t.Helper()
	c := corpus{start: epoch.Truncate(10 * time.Second), selectors: []string{`{app=~".+"}`, `{app="a"}`, `{pod="p1"}`, `{status="7"}`, `{pod=""}`, `{app="a",pod=~"p.*"}`}}
	c.lines = []string{
		"", " ", "a", "x y z", "\xff\xfe x \xc3", "INFO x", `{"level":"info","status":200,"size":"12"}`, `{"level":"error","status":"x","app":"z","took":"1s"}`,
		`{"level":`, `[1,2]`, `level=error status=404 size=5.5 took=1.5`, `level=info status= size=-0 took=NaN`, `level="a b" size=1e400 took=+Inf level=error`,
		`1.2.3.4 - - [t] "GET /a HTTP/1.1" 200 12 "x"`, `1.2.3.4 - - [t] "PUT /a HTTP/1.1" 404 x "x"`, `1.2.3.4 - - [t] "GET /a HTTP/1.1" 500`,
		`1.2.3.4 - - [t] "GET /b HTTP/1.1" 200 12.25 ""`, `- - [t] "GET /b HTTP/1.1" 200  ""`, `1.2.3.4 - - [t] "GET /\xff HTTP/1.1" 200 7 `,
		`{"kind":"error"}`, `{"kind":"err\u006fr","level":"x"}`, `kind="err\u006fr" level=info`, `kind=info`, `kind="not so"`, `{"kind":"not\tso"}`, "kind=\"not\xffso\"",
		`{"_entry":"unpacked level=info","status":"201"}`, `{"level":"err\u006fr","size":"3ms"}`, "\x1b[31merror\x1b[0m size=1kB",
	}
	streams := []labels.Labels{
		labels.FromStrings("app", "a", "pod", "p1"),
		labels.FromStrings("app", "a", "pod", "p2", "status", "7"),
		labels.FromStrings("app", "b", "level", "info", "size", "3"),
		labels.FromStrings("app", "b", "pod", "p1", "trace_id", "9"),
		labels.FromStrings("app", "c", "method", "GET", "quoted", "a\"b\\c\n\xff"),
	}
	fields := [][]string{
		nil, nil, nil, {"trace_id", "1"}, {"trace_id", "2", "trace_id", "3"}, {"trace_id", ""}, {"trace_id", "x"}, {"trace_id", "NaN"},
		{"level", "error"}, {"level", "info", "level", "error"}, {"status", "200", "size", "4"}, {"size", "0.1"}, {"size", "0.7", "pod", "p9"}, {"size", "-0"},
		{"app", "f"}, {"pod", "f", "app_extracted", "g"}, {"status_extracted", "8"}, {"severity_text", "INFO", "method", "\xff"}, {"took", "2.5"}, {"took", "1m"},
		{"dotted.name", "1"}, {"__error__", "mine"}, {"__error_details__", "mine"}, {strings.Repeat("n", 255), "1"},
	}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 3000 {
		at := c.start.Add(time.Duration(r.IntN(120)) * 10 * time.Second).Add(time.Duration(r.IntN(3) - 1))
		if r.IntN(3) == 0 {
			at = at.Add(time.Duration(r.Int64N(int64(10 * time.Second))))
		}
		f := fields[r.IntN(len(fields))]
		if i%100 != 0 && len(f) > 0 && f[0] == "__error__" {
			f = nil // or nearly every query ends with an error
		}
		rw := row(at.UnixNano(), c.lines[r.IntN(len(c.lines))], f...)
		if r.IntN(20) == 0 {
			rw.Fields = append(rw.Fields, row(0, "", fields[r.IntN(20)]...).Fields...)
		}
		appendRows(t, store, streams[r.IntN(len(streams))], rw)
		if i == 2000 {
			require.NoError(t, store.Flush(context.Background()))
		}
	}
	c.end = c.start.Add(20 * time.Minute)
	return c
}

// TestPushdownChangesNothing runs generated queries with and without the push-down
// and compares the answers. DIFFERENTIAL_QUERIES (for each corpus) and
// DIFFERENTIAL_SEED widen it.
func TestPushdownChangesNothing(t *testing.T) {
	seed, queries := envUint("DIFFERENTIAL_SEED", 1), envUint("DIFFERENTIAL_QUERIES", 600)
	for name, load := range map[string]func(testing.TB, *columnar.Store) corpus{
		"real":    func(t testing.TB, s *columnar.Store) corpus { return loadCorpus(t, s, 300) },
		"hostile": hostileCorpus,
	} {
		t.Run(name, func(t *testing.T) {
			store := openStore(t)
			c := load(t, store)
			pushing, err := logs.NewEngine(store, logs.DefaultConfig(), discard, nil)
			require.NoError(t, err)
			plain := logs.WithoutPushdown(pushing)
			g := generator{corpus: c, r: rand.New(rand.NewPCG(seed, 7))}
			t.Logf("DIFFERENTIAL_SEED=%d", seed)
			var answered, refused uint64
			for range queries {
				req := g.request()
				got, gotErr := pushing.Exec(context.Background(), req)
				want, wantErr := plain.Exec(context.Background(), req)
				switch {
				case wantErr != nil:
					refused++
					requireSameError(t, wantErr, gotErr, req)
					continue
				case gotErr != nil:
					require.NoError(t, gotErr, "%+v", req)
				}
				if requireSame(t, want, got, req) {
					answered++
				}
			}
			t.Logf("of %d queries %d had an answer and %d ended with an error", queries, answered, refused)
			require.Greater(t, answered, queries/8)
		})
	}
}

func requireSameError(t *testing.T, want, got error, req logs.Request) {
	t.Helper()
	require.Error(t, got, "want %v: %+v", want, req)
	if errors.Is(want, logqlmodel.ErrPipeline) {
		// It names one of many series, whichever a map yields first.
		require.ErrorIs(t, got, logqlmodel.ErrPipeline, "%+v", req)
		return
	}
	require.Equal(t, want.Error(), got.Error(), "%+v", req)
}

// requireSame reports whether there was anything to compare.
func requireSame(t *testing.T, want, got logqlmodel.Result, req logs.Request) bool {
	t.Helper()
	w, g := samples(want, req), samples(got, req)
	require.Equal(t, len(w), len(g), "%+v\nwant %v\ngot  %v", req, w, g)
	// LogQL adds series in the order of a map, so the last bits of sums of broken
	// numbers differ from run to run.
	loose := addsSeries.MatchString(req.Query)
	for i := range w {
		if w[i] == g[i] {
			continue
		}
		wv, gv := w[i].value, g[i].value
		w[i].value, g[i].value = 0, 0
		same := math.IsNaN(wv) && math.IsNaN(gv) || wv == gv || loose && math.Abs(wv-gv) <= 1e-9*max(math.Abs(wv), 1e-9)
		require.Truef(t, same && w[i] == g[i], "%+v\nwant %v %v\ngot  %v %v", req, w[i], wv, g[i], gv)
	}
	return len(w) > 0
}

var addsSeries = regexp.MustCompile(`\b(sum|avg|stddev)( by| without| \()`)

// one line or point of an answer.
type datum struct {
	labels string
	t      int64
	line   string
	value  float64
}

func samples(r logqlmodel.Result, req logs.Request) (out []datum) {
	switch data := r.Data.(type) {
	case logqlmodel.Streams:
		for _, st := range data {
			for _, e := range st.Entries {
				out = append(out, datum{labels: st.Labels, t: e.Timestamp.UnixNano(), line: fmt.Sprint(e.Line, e.StructuredMetadata, e.Parsed)})
			}
		}
	case promql.Vector:
		for _, s := range data {
			out = append(out, datum{labels: s.Metric.String(), t: s.T, value: s.F})
		}
	case promql.Matrix:
		for _, s := range data {
			for _, p := range s.Floats {
				out = append(out, datum{labels: s.Metric.String(), t: p.T, value: p.F})
			}
		}
	}
	ranked := strings.Contains(req.Query, "topk(") || strings.Contains(req.Query, "bottomk(")
	for i := range out {
		if ranked {
			out[i].labels = "" // which of equal ones are among the first is chance
		}
	}
	if r.Data.Type() != logqlmodel.ValueTypeStreams {
		// Series whose texts differ may have the same labels, since an empty one is
		// none, and they come in any order.
		slices.SortFunc(out, func(a, b datum) int {
			return cmp.Or(strings.Compare(a.labels, b.labels), cmp.Compare(a.t, b.t), cmp.Compare(a.value, b.value))
		})
	}
	return out
}

func envUint(name string, def uint64) uint64 {
	if v, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return v
	}
	return def
}
