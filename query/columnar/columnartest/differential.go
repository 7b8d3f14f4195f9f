package columnartest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

// seedEnv repeats a failed run of the randomized tests.
const seedEnv = "YAGURA_SEED"

func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv(seedEnv); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err, seedEnv)
		seed = v
	}
	t.Logf("%s=%d", seedEnv, seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// generator makes rows and queries that meet each other often: few names, few
// values, times that repeat.
type generator struct {
	*rand.Rand
	sequence map[columnar.BatchID]uint64
}

func newGenerator(r *rand.Rand) *generator {
	return &generator{Rand: r, sequence: map[columnar.BatchID]uint64{}}
}

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

func (g *generator) labels() labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	b.Set("app", pick(g, "shop", "cart", "nginx", "db"))
	if g.IntN(2) == 0 {
		b.Set("namespace", pick(g, "a", "b"))
	}
	if g.IntN(3) == 0 {
		b.Set("pod", fmt.Sprint("pod-", g.IntN(40)))
	}
	return b.Labels()
}

func (g *generator) time() int64 {
	switch g.IntN(20) {
	case 0:
		return g.Int64N(40 * int64(24*time.Hour))
	case 1:
		return -g.Int64N(1000)
	default:
		return int64(time.Hour) + g.Int64N(2000)*int64(time.Millisecond)
	}
}

func (g *generator) line() string {
	switch g.IntN(15) {
	case 5, 6, 7, 8:
		return g.accessLine()
	case 3, 4:
		return pick(g, "", "trace=", "x") + g.id() + pick(g, "", " ok", "-", "g") + pick(g, "", g.id())
	case 0:
		return ""
	case 1:
		return strings.Repeat("long ", 1+g.IntN(300))
	case 2:
		b := make([]byte, g.IntN(20))
		for i := range b {
			b[i] = byte(g.IntN(256))
		}
		return string(b)
	}
	return fmt.Sprintf("%s %s id=%04x took %dms", pick(g, "INFO", "ERROR", "warn"), pick(g, "get order", "put order", "login failed"), g.IntN(1<<16), g.IntN(500))
}

// id makes runs of hexadecimal digits around the length from which they are
// indexed, some of which are pieces of others.
func (g *generator) id() string {
	full := fmt.Sprintf("%032x", uint64(g.IntN(50))*0x9e3779b97f4a7c15)
	return pick(g, full, full, full[16:], full[17:], full+"a", strings.ToUpper(full), full+full)
}

func (g *generator) fields() []columnar.Field {
	var out []columnar.Field
	for range g.IntN(5) {
		f := columnar.Field{Name: pick(g, "trace_id", "span_id", "status", "user", "path", fmt.Sprint("rare", g.IntN(200)))}
		switch f.Name {
		case "trace_id":
			f.Value = fmt.Sprintf("%032x", g.IntN(50))
		case "span_id":
			f.Value = g.id()
		case "status":
			f.Value, f.Type = strconv.Itoa(pick(g, 200, 404, 500)), columnar.Int
		case "user":
			f.Value = fmt.Sprint("user", g.IntN(1000))
		default:
			f.Value, f.Type = g.line(), columnar.ValueType(g.IntN(6))
		}
		out = append(out, f)
	}
	return out
}

func (g *generator) batch() columnar.Batch {
	b := columnar.Batch{Table: pick(g, columnar.Logs, columnar.Logs, columnar.Spans)}
	for range g.IntN(6) {
		ls := g.labels()
		s := columnar.Stream{Labels: ls, Tenant: columnar.Tenant{Namespace: ls.Get("namespace")}}
		for range g.IntN(60) {
			s.Rows = append(s.Rows, columnar.Row{Timestamp: g.time(), Line: g.line(), Fields: g.fields()})
		}
		b.Streams = append(b.Streams, s)
	}
	if g.IntN(3) > 0 {
		key := columnar.BatchID{Collector: pick(g, "c1", "c2"), Stream: "logs"}
		if g.IntN(5) > 0 || g.sequence[key] == 0 {
			g.sequence[key]++ // else it is a repeat
		}
		b.ID = key
		b.ID.Sequence = g.sequence[key]
	}
	return b
}

// deletion is narrow as a rule, so that most rows stay.
func (g *generator) deletion() columnar.Deletion {
	q := g.query()
	for len(q.Lines)+len(q.Fields) == 0 || q.From < -1<<61 && g.IntN(3) > 0 {
		q = g.query()
	}
	return columnar.Deletion{Table: q.Table, Tenants: q.Tenants, From: q.From, To: max(q.To, q.From+1), Matchers: q.Matchers, Lines: q.Lines, Fields: q.Fields}
}

func (g *generator) query() columnar.Query {
	q := columnar.Query{Table: pick(g, columnar.Logs, columnar.Logs, columnar.Spans), From: -1 << 62, To: 1 << 62}
	if g.IntN(2) == 0 {
		q.From = g.time()
		q.To = q.From + g.Int64N(int64(2*time.Second))
	}
	if g.IntN(3) == 0 {
		q.Tenants = []columnar.Tenant{{Namespace: pick(g, "", "a", "b", "c")}}
	}
	if g.IntN(2) == 0 {
		q.Matchers = append(q.Matchers, labels.MustNewMatcher(pick(g, labels.MatchEqual, labels.MatchNotEqual), "app", pick(g, "shop", "cart", "")))
	}
	if g.IntN(3) == 0 {
		q.Matchers = append(q.Matchers, labels.MustNewMatcher(pick(g, labels.MatchRegexp, labels.MatchNotRegexp), "pod", pick(g, "pod-1.*", ".+", "")))
	}
	for range pick(g, 0, 0, 1, 2) {
		if g.IntN(2) == 0 {
			q.Lines = append(q.Lines, columnar.LinePredicate{Op: pick(g, columnar.Contains, columnar.NotContains), Text: pick(g, "", g.id(), g.id(), "="+g.id()+" ", "g"+g.id(), g.id()+"-", "ERROR", "order", "id=00", "a", "long long", "msINFO", g.line())})
		} else {
			q.Lines = append(q.Lines, columnar.LinePredicate{Op: pick(g, columnar.Matches, columnar.NotMatches), Text: pick(g, "ERROR|warn", "took 4[0-9]{2}ms$", "(?i)error.*login", "="+g.id()+".ok", g.id()+"|ERROR", "(?i)"+g.id(), "^$", "id=[0-9a-f]{3}7 ", "order")})
		}
	}
	for range pick(g, 0, 0, 1, 2) {
		p := columnar.FieldPredicate{Name: pick(g, "trace_id", "span_id", "status", "user", "path", "rare7", "absent"), Op: columnar.FieldOp(1 + g.IntN(8))}
		p.Text = pick(g, "", g.id(), "user7|user8|user9", "|user7", g.id()+"|"+g.id(), "200", "500", "user7", fmt.Sprintf("%032x", g.IntN(50)), ".*", "user[0-9]", "4..|500", "300")
		q.Fields = append(q.Fields, p)
	}
	q.Columns = columnar.Columns{Line: g.IntN(4) > 0, AllFields: g.IntN(2) == 0}
	if !q.Columns.AllFields && g.IntN(2) == 0 {
		q.Columns.Fields = []string{"status", "trace_id", "rare3"}
	}
	if g.IntN(2) == 0 {
		q.Captures = g.pattern()
	}
	if g.IntN(2) == 0 {
		q.Direction = columnar.Backward
	}
	if g.IntN(2) == 0 {
		q.Limit = 1 + g.IntN(200)
	}
	return q
}

// testDifferential compares the engine with the oracle on random rows and
// queries, with flushes in between.
func testDifferential(t *testing.T, e columnar.Engine) {
	g := newGenerator(seeded(t))
	o := NewOracle()
	for range 40 {
		g.step(t, e, o)
	}
}

func (g *generator) step(t testing.TB, e columnar.Engine, o *Oracle) {
	t.Helper()
	for range 1 + g.IntN(4) {
		put(t, e, o, g.batch())
	}
	if g.IntN(4) == 0 {
		flush(t, e)
	}
	if g.IntN(6) == 0 {
		remove(t, e, o, g.deletion())
	}
	for range 8 {
		q := g.query()
		mustEqual(t, e, o, q)
		mustCount(t, e, o, g.count(q))
	}
	if g.IntN(3) > 0 {
		return
	}
	q := g.query()
	mustCatalog(t, e, o, columnar.CatalogQuery{Table: q.Table, Tenants: q.Tenants, From: q.From, To: q.To, Matchers: q.Matchers}, false)
	if g.IntN(4) == 0 {
		mustCatalog(t, e, o, everythingInCatalog(q.Table), settled(t, e))
	}
}

func testDifferentialReopen(t *testing.T, open OpenFunc) {
	g := newGenerator(seeded(t))
	dir := t.TempDir()
	o := NewOracle()
	for range 8 {
		e := open(t, dir)
		for range 6 {
			g.step(t, e, o)
		}
		require.NoError(t, e.Close())
	}
}

// unsafeString shares b's memory, to show whether an engine copies.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
