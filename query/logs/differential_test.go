package logs_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/logs"
)

// corpus is real lines, each at a time of its own, with structured metadata.
type corpus struct {
	lines      []string
	start, end time.Time
}

// loadCorpus leaves some of the lines in memory and some in blocks.
func loadCorpus(t testing.TB, store *columnar.Store, linesPerFile int) corpus {
	t.Helper()
	dir := sharedData(t, "logs")
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	c := corpus{start: epoch}
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

// TestPushdownChangesNothing runs generated queries over real logs with and
// without the push-down and compares the answers. DIFFERENTIAL_QUERIES and
// DIFFERENTIAL_SEED widen it.
func TestPushdownChangesNothing(t *testing.T) {
	store := openStore(t)
	c := loadCorpus(t, store, 400)
	pushing, err := logs.NewEngine(store, logs.DefaultConfig(), discard, nil)
	require.NoError(t, err)
	plain := logs.WithoutPushdown(pushing)

	g := generator{corpus: c, r: rand.New(rand.NewPCG(envUint("DIFFERENTIAL_SEED", 1), 7))}
	answered := 0
	for range envUint("DIFFERENTIAL_QUERIES", 300) {
		req := g.request()
		got, gotErr := pushing.Exec(context.Background(), req)
		want, wantErr := plain.Exec(context.Background(), req)
		if wantErr != nil {
			require.Error(t, gotErr, "%+v", req)
			if errors.Is(wantErr, logqlmodel.ErrPipeline) {
				// It names one of many series, whichever a map yields first.
				require.ErrorIs(t, gotErr, logqlmodel.ErrPipeline, "%+v", req)
			} else {
				require.Equal(t, wantErr.Error(), gotErr.Error(), "%+v", req)
			}
			continue
		}
		require.NoError(t, gotErr, "%+v", req)
		require.Equal(t, text(want), text(got), "%+v", req)
		if text(want) != "" {
			answered++
		}
	}
	require.Positive(t, answered)
	t.Logf("%d queries had an answer", answered)
}

func envUint(name string, def uint64) uint64 {
	if v, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return v
	}
	return def
}

func text(r logqlmodel.Result) string {
	if s, ok := r.Data.(logqlmodel.Streams); ok {
		var b strings.Builder
		for _, st := range s {
			for _, e := range st.Entries {
				fmt.Fprintln(&b, st.Labels, e.Timestamp.UnixNano(), e.Line)
			}
		}
		return b.String()
	}
	return r.Data.String()
}

type generator struct {
	corpus
	r *rand.Rand
}

func (g generator) one(of ...string) string { return of[g.r.IntN(len(of))] }

// fragment is a part of a real line.
func (g generator) fragment() string {
	l := g.lines[g.r.IntN(len(g.lines))]
	if len(l) < 4 {
		return "a"
	}
	n := 1 + g.r.IntN(min(12, len(l)-1))
	at := g.r.IntN(len(l) - n)
	return strings.ToValidUTF8(l[at:at+n], "?")
}

func (g generator) regexp() string {
	f := g.fragment()
	quoted := strings.NewReplacer(`\`, `\\`, `.`, `\.`, `(`, `\(`, `)`, `\)`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`, `+`, `\+`, `*`, `\*`, `?`, `\?`, `|`, `\|`, `^`, `\^`, `$`, `\$`).Replace
	switch g.r.IntN(8) {
	case 0:
		return "(?i)" + quoted(f)
	case 1:
		return quoted(f) + "|" + quoted(g.fragment())
	case 2:
		return ".*" + quoted(f) + ".*"
	case 3:
		return "[0-9]+" + quoted(f[:1])
	case 4:
		return quoted(f) + ".+"
	case 5:
		return "^" + quoted(f)
	case 6:
		return quoted(f[:1]) + "(a|b|" + quoted(g.fragment()) + ")"
	}
	return quoted(f)
}

func (g generator) stage() string {
	switch g.r.IntN(14) {
	case 0, 1, 2:
		return g.one("|=", "!=") + " " + strconv.Quote(g.fragment())
	case 3:
		return "|= " + strconv.Quote(g.fragment()) + " or " + strconv.Quote(g.fragment())
	case 4, 5:
		return g.one("|~", "!~") + " " + strconv.Quote(g.regexp())
	case 6:
		return "| trace_id" + g.one("=", "!=", "=~") + strconv.Quote(strconv.Itoa(g.r.IntN(500)))
	case 7:
		return `| severity_text` + g.one("=", "!=", "=~", "!~") + strconv.Quote(g.one("INFO", "ERROR", "LABEL", "", "INFO|WARN"))
	case 8:
		return g.one("| json", "| logfmt", `| pattern "<a> <b> <_>"`, "| decolorize")
	case 9:
		return `| line_format "` + g.one("{{.pod}}", "x {{__line__}}", "{{.trace_id}}") + `"`
	case 10:
		return g.one("| drop trace_id", "| keep app, pod", "| label_format x=pod", "| label_format trace_id=pod")
	case 11:
		return "| level" + g.one("=", "!=") + strconv.Quote(g.one("info", "error", "debug"))
	case 12:
		return `| trace_id > ` + strconv.Itoa(g.r.IntN(500))
	}
	return `| severity_text="INFO" ` + g.one("and", "or") + " trace_id!=" + strconv.Quote(strconv.Itoa(g.r.IntN(500)))
}

func (g generator) selector() string {
	s := g.one(`{app=~".+"}`, `{app="kafka"}`, `{app=~"nginx.*|vault"}`, `{app!="kafka",pod="p1"}`, `{pod="p2"}`, `{severity_text="LABEL"}`)
	for range g.r.IntN(4) {
		s += " " + g.stage()
	}
	return s
}

func (g generator) request() logs.Request {
	span := g.end.Sub(g.start)
	from := time.Duration(g.r.Int64N(int64(span)))
	req := logs.Request{Start: g.start.Add(from / 2), End: g.start.Add(from/2 + span/4), Limit: 1 + g.r.IntN(200)}
	if g.r.IntN(2) == 0 {
		req.Direction = logproto.BACKWARD
	}
	if g.r.IntN(8) == 0 {
		req.Interval = time.Duration(1+g.r.IntN(20)) * time.Second
	}
	req.Step = time.Duration(20+g.r.IntN(100)) * time.Second
	sel := g.selector()
	window := g.one("1m", "30s", "5m")
	switch g.r.IntN(7) {
	case 0:
		req.Query = fmt.Sprintf(`sum by (%s) (count_over_time(%s [%s]))`, g.one("app", "pod, severity_text", "trace_id", "level"), sel, window)
	case 1:
		req.Query = fmt.Sprintf(`sum(%s(%s [%s]))`, g.one("rate", "bytes_rate", "bytes_over_time"), sel, window)
	case 2:
		req.Query = fmt.Sprintf(`count_over_time(%s | keep app [%s] offset 1m)`, sel, window)
	case 3:
		req.Query = fmt.Sprintf(`%s(%s | unwrap trace_id | __error__="" [%s]) by (%s)`, g.one("max_over_time", "avg_over_time", "quantile_over_time"), sel, window, g.one("app", "pod"))
		req.Query = strings.Replace(req.Query, "quantile_over_time(", "quantile_over_time(0.9, ", 1)
	default:
		req.Query = sel
	}
	return req
}
