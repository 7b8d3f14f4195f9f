package columnar_test

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

// testdata/vN is a small store as the program wrote it when the newest format was
// version N. After a change of a format, write the next one with
//
//	go test -run TestEarlierVersions ./query/columnar -write-version v2
//
// and never touch those that are there: they stand for the stores of users.
var writeVersion = flag.String("write-version", "", "write the store of this version to testdata, such as v2")

// versionStart is a second before midnight UTC, so that the rows lie in two days.
const versionStart = 1_717_199_999_000_000_000

// versionBatches are the rows of every stored version: the first ones in parts,
// the others in the write-ahead log only.
func versionBatches() (inParts, inLog []columnar.Batch) {
	sequence := uint64(0)
	batch := func(table columnar.Table, streams ...columnar.Stream) columnar.Batch {
		sequence++
		return columnar.Batch{Table: table, ID: columnar.BatchID{Collector: "collector-1", Stream: table.String(), Sequence: sequence}, Streams: streams}
	}
	for i := range 3 {
		from := versionStart + int64(i)*700_000_000
		inParts = append(inParts, batch(columnar.Logs, versionLogs(from)...), batch(columnar.Spans, versionSpans(from)))
	}
	for i := range 2 {
		from := versionStart + int64(3+i)*700_000_000
		inLog = append(inLog, batch(columnar.Logs, versionLogs(from)...), batch(columnar.Spans, versionSpans(from)))
	}
	return inParts, inLog
}

// versionLogs are three streams: templated text, logfmt and JSON; with fields of
// all types, repeated names, empty values, and lines that are no UTF-8.
func versionLogs(from int64) []columnar.Stream {
	shop := columnar.Tenant{Cluster: "north", Namespace: "shop"}
	web := columnar.Stream{Tenant: shop, Labels: labels.FromStrings("cluster", "north", "namespace", "shop", "app", "web")}
	api := columnar.Stream{Tenant: shop, Labels: labels.FromStrings("cluster", "north", "namespace", "shop", "app", "api")}
	odd := columnar.Stream{Tenant: columnar.Tenant{Namespace: "bank"}, Labels: labels.FromStrings("namespace", "bank", "app", "ledger")}
	for i := range int64(60) {
		ts := from + i*10_000_000
		trace := columnar.Field{Name: "trace_id", Value: fmt.Sprintf("%016x%016x", uint64(ts)*0x9E3779B97F4A7C15, uint64(i)*0xBF58476D1CE4E5B9)}
		web.Rows = append(web.Rows, columnar.Row{
			Timestamp: ts,
			Line:      fmt.Sprintf("10.0.%d.%d - GET /cart/%d HTTP/1.1 %d %d", i%3, i%7, ts%1000, 200+i%5*100, 100+i*i),
			Fields:    []columnar.Field{trace, {Name: "detected_level", Value: "info"}, {Name: "size", Value: fmt.Sprint(100 + i*i), Type: columnar.Int}},
		})
		api.Rows = append(api.Rows, columnar.Row{
			Timestamp: ts,
			Line:      fmt.Sprintf(`level=%s ts=%d msg="order %d placed" took=%dms`, []string{"info", "warn", "error"}[i%3], ts/1e6, i*17, i*3),
			Fields:    []columnar.Field{trace, {Name: "ratio", Value: fmt.Sprint(float64(i) / 8), Type: columnar.Float}, {Name: "cached", Value: fmt.Sprint(i%2 == 0), Type: columnar.Bool}},
		})
		row := columnar.Row{Timestamp: ts, Line: fmt.Sprintf(`{"level":"info","account":%d,"amount":"%d.50","nested":{"id":"a-%d"}}`, i%4, i, i)}
		switch i % 6 {
		case 0:
			row.Fields = []columnar.Field{{Name: "key", Value: "AAECAw==", Type: columnar.Bytes}, {Name: "tags", Value: `["a",{"b":1}]`, Type: columnar.JSON}}
		case 1:
			row.Fields = []columnar.Field{{Name: "twice", Value: "one"}, {Name: "twice", Value: "2", Type: columnar.Int}, {Name: "empty"}}
		case 2:
			row.Line = ""
		case 3:
			row.Line = "\xff\xfe not UTF-8\nsecond line\x00"
		case 4:
			row.Timestamp -= 5_000_000 * (i % 5) // out of order
		}
		odd.Rows = append(odd.Rows, row)
	}
	return []columnar.Stream{web, api, odd}
}

func versionSpans(from int64) columnar.Stream {
	st := columnar.Stream{Tenant: columnar.Tenant{Cluster: "north", Namespace: "shop"}, Labels: labels.FromStrings("cluster", "north", "namespace", "shop", "service_name", "web")}
	for i := range int64(40) {
		ts := from + i*15_000_000
		st.Rows = append(st.Rows, columnar.Row{Timestamp: ts, Fields: []columnar.Field{
			{Name: "trace_id", Value: fmt.Sprintf("%032x", uint64(from+i/4)*0x9E3779B97F4A7C15)},
			{Name: "span_id", Value: fmt.Sprintf("%016x", uint64(ts)*0x94D049BB133111EB)},
			{Name: "name", Value: []string{"GET /cart", "charge", "SELECT"}[i%3]},
			{Name: "kind", Value: "server"},
			{Name: "duration_ns", Value: fmt.Sprint(1000 + i*i*997), Type: columnar.Int},
			{Name: "status_code", Value: fmt.Sprint(i % 3), Type: columnar.Int},
			{Name: "resource.k8s.pod.name", Value: fmt.Sprintf("web-%d", i%2)},
			{Name: "span.http.response.status_code", Value: "200", Type: columnar.Int},
			{Name: "events", Value: fmt.Sprintf(`[{"name":"exception","timeUnixNano":%d}]`, ts), Type: columnar.JSON},
		}})
	}
	return st
}

// TestEarlierVersions opens a copy of each stored version, finds every row of it,
// recognizes its batches, and goes on working with it.
func TestEarlierVersions(t *testing.T) {
	if *writeVersion != "" {
		writeVersionStore(t, filepath.Join("testdata", *writeVersion))
	}
	stores, err := filepath.Glob("testdata/v[0-9]*")
	require.NoError(t, err)
	require.NotEmpty(t, stores)
	for _, stored := range stores {
		t.Run(filepath.Base(stored), func(t *testing.T) { testVersion(t, stored) })
	}
}

func testVersion(t *testing.T, stored string) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.CopyFS(dir, os.DirFS(stored)))
	inParts, inLog := versionBatches()
	batches := append(inParts, inLog...)
	want := map[columnar.Table][]string{}
	note := func(b columnar.Batch) {
		for _, st := range b.Streams {
			for _, r := range st.Rows {
				want[b.Table] = append(want[b.Table], versionRow(st.Labels, r))
			}
		}
	}
	for _, b := range batches {
		note(b)
	}
	s := open(t, dir)
	check := func(step string) {
		t.Helper()
		for table, rows := range want {
			sort.Strings(rows)
			require.Equal(t, rows, versionRows(t, s, table), "%s: %s", step, table)
		}
	}
	reopen := func() {
		t.Helper()
		require.NoError(t, s.Close())
		s = open(t, dir)
	}
	check("opened")
	for _, b := range batches {
		duplicate, err := s.Append(ctx, b)
		require.NoError(t, err)
		require.True(t, duplicate, "%+v", b.ID)
	}
	for i := range uint64(8) {
		next := columnar.Batch{Table: columnar.Logs, ID: columnar.BatchID{Collector: "collector-1", Stream: "logs", Sequence: 100 + i}, Streams: versionLogs(versionStart + int64(10+i)*700_000_000)}
		duplicate, err := s.Append(ctx, next)
		require.NoError(t, err)
		require.False(t, duplicate)
		note(next)
		check("added rows")
		require.NoError(t, s.Flush(ctx)) // eight new parts of a day make merges begin
		check("flushed")
	}
	reopen()
	check("opened again")
	cut := int64(versionStart + 1_000_000_000) // midnight
	require.NoError(t, s.Retain(ctx, versionTime(cut)))
	for table, rows := range want {
		want[table] = rows[:0:0]
		for _, r := range rows {
			if strings.Compare(r, versionPrefix(cut)) >= 0 {
				want[table] = append(want[table], r)
			}
		}
	}
	check("retained")
	require.NoError(t, s.Close())
}

// versionRows reads a table with all columns as sorted text.
func versionRows(t *testing.T, s columnar.Reader, table columnar.Table) []string {
	t.Helper()
	ctx := context.Background()
	c, err := s.Select(ctx, columnar.Query{Table: table, To: 1 << 62, Columns: columnar.Columns{Line: true, AllFields: true}})
	require.NoError(t, err)
	defer c.Close()
	var out []string
	for {
		b, err := c.Next(ctx)
		require.NoError(t, err)
		if b == nil {
			break
		}
		for i := range b.Len() {
			out = append(out, versionRow(b.Streams[b.StreamRefs[i]], columnar.Row{Timestamp: b.Timestamps[i], Line: b.Lines[i], Fields: b.Fields[i]}))
		}
	}
	require.Zero(t, c.Stats().BlocksLost)
	sort.Strings(out)
	return out
}

func versionPrefix(ts int64) string { return fmt.Sprintf("%020d", ts) }

func versionRow(ls labels.Labels, r columnar.Row) string {
	fields := append([]columnar.Field(nil), r.Fields...)
	sort.SliceStable(fields, func(i, j int) bool { return fields[i].Name < fields[j].Name })
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %q", versionPrefix(r.Timestamp), ls, r.Line)
	for _, f := range fields {
		fmt.Fprintf(&b, " %s=%q/%d", f.Name, f.Value, f.Type)
	}
	return b.String()
}

// writeVersionStore writes the store of the current version.
func writeVersionStore(t *testing.T, dir string) {
	ctx := context.Background()
	_, err := os.Stat(dir)
	require.ErrorIs(t, err, fs.ErrNotExist, "a stored version is never changed")
	s := open(t, dir)
	inParts, inLog := versionBatches()
	for i, b := range append(inParts, inLog...) {
		if i == len(inParts) {
			require.NoError(t, s.Flush(ctx))
		}
		_, err := s.Append(ctx, b)
		require.NoError(t, err)
	}
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "LOCK")))
}

func versionTime(ts int64) time.Time { return time.Unix(0, ts) }
