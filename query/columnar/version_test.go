package columnar_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
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

// versionDeletion is a deletion in the stored versions since the second.
const versionDeletion = "deletion-1"

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
	if filepath.Base(stored) != "v1" {
		deletions, err := s.Deletions(ctx)
		require.NoError(t, err)
		require.Len(t, deletions, 1)
		require.Equal(t, versionDeletion, deletions[0].ID)
		require.Equal(t, "\xff", deletions[0].Lines[0].Text)
	}
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
		if i == len(inParts)-1 { // which has reached no row yet when it is accepted
			_, err := s.Delete(ctx, columnar.Deletion{
				ID: versionDeletion, Table: columnar.Logs, From: 1, To: versionStart, Query: "{} |= `x`",
				Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "app", "web|api")},
				Lines:    []columnar.LinePredicate{{Op: columnar.Contains, Text: "\xff"}},
				Fields:   []columnar.FieldPredicate{{Name: "size", Op: columnar.FieldLess, Text: "7"}},
			})
			require.NoError(t, err)
		}
		_, err := s.Append(ctx, b)
		require.NoError(t, err)
	}
	require.NoError(t, s.Close())
	for _, name := range []string{"LOCK", "RESERVE"} {
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
	}
}

func versionTime(ts int64) time.Time { return time.Unix(0, ts) }

// A file of a newer version is named, with the version, and nothing of the folder
// is changed, so that the newer program finds it as it was.
func TestNewerVersions(t *testing.T) {
	newest, err := filepath.Glob("testdata/v[0-9]*")
	require.NoError(t, err)
	sum := func(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	for name, c := range map[string]struct {
		file    string
		change  func(data []byte) []byte
		inQuery bool
	}{
		"manifest": {"MANIFEST", func(data []byte) []byte {
			return regexp.MustCompile(`yagura-manifest [0-9]+ `).ReplaceAll(data, []byte("yagura-manifest 99 "))
		}, false},
		"segment": {"wal/*.wal", func(data []byte) []byte {
			data[7] = 99
			return []byte(strings.ReplaceAll(string(data), "YWR1", "YWR2"))
		}, false},
		"record": {"wal/*.wal", func(data []byte) []byte {
			h := data[8:40] // of the first record, whose payload begins with its version
			size := binary.LittleEndian.Uint32(h[4:])
			raw, err := s2.Decode(nil, data[40:40+size])
			require.NoError(t, err)
			raw[0] = 99
			payload := s2.Encode(nil, raw)
			binary.LittleEndian.PutUint32(h[4:], uint32(len(payload)))
			binary.LittleEndian.PutUint32(h[24:], sum(payload))
			binary.LittleEndian.PutUint32(h[28:], sum(h[:28]))
			return append(append([]byte(nil), data[:40]...), payload...)
		}, false},
		"part": {"parts/logs-20240601-*.part", func(data []byte) []byte {
			footer := data[len(data)-32:]
			footer[27] = 99
			binary.LittleEndian.PutUint32(footer[28:], sum(footer[:28]))
			return data
		}, false},
		"block": {"parts/logs-20240601-*.part", func(data []byte) []byte {
			copy(data[8:], "YBK\x63")
			// The header's size is in the index; its checksum covers all before.
			for end := 16; end < len(data); end++ {
				before := append([]byte("YBLK"), data[12:end]...)
				if sum(before) == binary.LittleEndian.Uint32(data[end:]) {
					binary.LittleEndian.PutUint32(data[end:], sum(data[8:end]))
					return data
				}
			}
			t.Fatal("no block header")
			return nil
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			stored := "testdata/v1"
			if name != "block" {
				stored = newest[len(newest)-1]
			}
			require.NoError(t, os.CopyFS(dir, os.DirFS(stored)))
			files, err := filepath.Glob(filepath.Join(dir, c.file))
			require.NoError(t, err)
			require.Len(t, files, 1)
			data, err := os.ReadFile(files[0])
			require.NoError(t, err)
			changed := c.change(data)
			require.NoError(t, os.WriteFile(files[0], changed, 0o644))
			s, err := columnar.Open(dir, columnar.Options{Logger: quiet()})
			if c.inQuery {
				require.NoError(t, err)
				var cursor columnar.Cursor
				cursor, err = s.Select(context.Background(), columnar.Query{Table: columnar.Logs, To: 1 << 62, Columns: columnar.Columns{Line: true}})
				require.NoError(t, err)
				for b := (&columnar.ColumnBatch{}); b != nil && err == nil; {
					b, err = cursor.Next(context.Background())
				}
				require.NoError(t, cursor.Close())
				require.NoError(t, s.Close())
			}
			require.ErrorIs(t, err, columnar.ErrNewerFormat)
			require.ErrorContains(t, err, files[0])
			require.ErrorContains(t, err, "version 99")
			after, err := os.ReadFile(files[0])
			require.NoError(t, err)
			require.Equal(t, changed, after)
		})
	}
}
