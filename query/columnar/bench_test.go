package columnar_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/columnar/columnartest"
)

// The benchmarks run on real logs: 268,595 lines, 130 MB, 28 streams.

// corpusFor prepares the corpus once and keeps it in the temporary folder, since
// decoding it takes longer than any of the benchmarks.
func corpusFor(b *testing.B) *columnartest.Corpus {
	b.Helper()
	dir := filepath.Join(os.TempDir(), "yagura-columnar-bench")
	path := filepath.Join(dir, "corpus")
	if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) < 24*time.Hour {
		return &columnartest.Corpus{Path: path, Bytes: 130_109_843, Rows: 268_595}
	}
	require.NoError(b, os.MkdirAll(dir, 0o755))
	work, err := os.MkdirTemp(dir, "prepare")
	require.NoError(b, err)
	defer os.RemoveAll(work)
	c := columnartest.PrepareCorpus(b, work)
	require.NoError(b, os.Rename(c.Path, path))
	c.Path = path
	return c
}

// benchStore is a store that holds the corpus in parts.
func benchStore(b *testing.B) (*columnar.Store, *columnartest.Corpus) {
	b.Helper()
	c := corpusFor(b)
	s := open(b, b.TempDir())
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	require.NoError(b, c.Batches(1, 1<<20, func(batch columnar.Batch) error {
		_, err := s.Append(context.Background(), batch)
		return err
	}))
	require.NoError(b, s.Flush(context.Background()))
	return s, c
}

// BenchmarkAppend is one batch of about 1 MiB at a time, seals and flushes
// included.
func BenchmarkAppend(b *testing.B) {
	c := corpusFor(b)
	s := open(b, b.TempDir())
	defer s.Close()
	var batches []columnar.Batch
	require.NoError(b, c.Batches(1, 1<<20, func(batch columnar.Batch) error {
		batches = append(batches, batch)
		return nil
	}))
	runtime.GC()
	b.SetBytes(1 << 20)
	for i := 0; b.Loop(); i++ {
		if _, err := s.Append(context.Background(), batches[i%len(batches)]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendSmall is many connections with a row each: group commit.
func BenchmarkAppendSmall(b *testing.B) {
	for _, mode := range []columnar.FsyncMode{columnar.FsyncInterval, columnar.FsyncAlways} {
		b.Run(string(mode), func(b *testing.B) {
			s := open(b, b.TempDir(), func(o *columnar.Options) { o.Fsync = mode })
			defer s.Close()
			b.SetParallelism(32)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := s.Append(context.Background(), oneRow("x", time.Now().UnixNano(), "a line as short as many are")); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkStore is everything from the first append to the last flush, and what it
// takes on disk.
func BenchmarkStore(b *testing.B) {
	c := corpusFor(b)
	b.SetBytes(c.Bytes)
	stored := int64(0)
	reportCPU(b, func() {
		dir := b.TempDir()
		s := open(b, dir)
		require.NoError(b, c.Batches(1, 1<<20, func(batch columnar.Batch) error {
			_, err := s.Append(context.Background(), batch)
			return err
		}))
		require.NoError(b, s.Flush(context.Background()))
		require.NoError(b, s.Close())
		files, err := filepath.Glob(filepath.Join(dir, "parts", "*.part"))
		require.NoError(b, err)
		stored = 0
		for _, f := range files {
			info, err := os.Stat(f)
			require.NoError(b, err)
			stored += info.Size()
		}
	})
	b.ReportMetric(float64(stored)/float64(c.Rows), "bytes/line")
}

func BenchmarkSelect(b *testing.B) {
	s, c := benchStore(b)
	all := columnar.Query{Table: columnar.Logs, To: 1 << 62, Columns: columnar.Columns{Line: true, AllFields: true}}
	contains := func(text string) []columnar.LinePredicate {
		return []columnar.LinePredicate{{Op: columnar.Contains, Text: text}}
	}
	for _, q := range []struct {
		name  string
		query func(q *columnar.Query)
		rows  int
	}{
		{"Everything", func(*columnar.Query) {}, c.Rows},
		{"Times", func(q *columnar.Query) { q.Columns = columnar.Columns{} }, c.Rows},
		{"Substring", func(q *columnar.Query) { q.Lines = contains("da74a0f87") }, 11},
		{"TraceIDInLine", func(q *columnar.Query) { q.Lines = contains("fcb23d04a51880ef0ff907e007463530") }, 99},
		{"TraceIDField", func(q *columnar.Query) {
			q.Fields = []columnar.FieldPredicate{{Name: "trace_id", Op: columnar.FieldEqual, Text: "fcb23d04a51880ef0ff907e007463530"}}
		}, 99},
		{"Regex", func(q *columnar.Query) {
			q.Lines = []columnar.LinePredicate{{Op: columnar.Matches, Text: `Failed!.*tripId: [DG]13[0-9]{2}`}}
		}, 293},
		{"Last1000", func(q *columnar.Query) { q.Limit, q.Direction = 1000, columnar.Backward }, 1000},
		{"Last1000OfPod", func(q *columnar.Query) {
			q.Limit, q.Direction = 1000, columnar.Backward
			q.Matchers = []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "pod", "ts-seat-service-5c95b49cff-tdsdz")}
		}, 1000},
	} {
		b.Run(q.name, func(b *testing.B) {
			b.SetBytes(c.Bytes)
			b.ReportAllocs()
			for b.Loop() {
				query := all
				q.query(&query)
				if n := drain(b, s, query); n != q.rows {
					b.Fatalf("%d rows, want %d", n, q.rows)
				}
			}
		})
	}
}

func drain(b *testing.B, s columnar.Reader, q columnar.Query) int {
	c, err := s.Select(context.Background(), q)
	require.NoError(b, err)
	defer c.Close()
	n := 0
	for {
		batch, err := c.Next(context.Background())
		require.NoError(b, err)
		if batch == nil {
			return n
		}
		n += batch.Len()
	}
}

// BenchmarkNewestTimestamp is what a freshness check costs among many streams.
func BenchmarkNewestTimestamp(b *testing.B) {
	s := open(b, b.TempDir())
	defer s.Close()
	batch := columnar.Batch{Table: columnar.Logs}
	for i := range 10_000 {
		batch.Streams = append(batch.Streams, oneRow(string(rune('a'+i%26))+string(rune('0'+i%10)), int64(i), "x").Streams[0])
		batch.Streams[i].Labels = labels.FromStrings("app", batch.Streams[i].Labels.Get("app"), "pod", time.Duration(i).String())
	}
	_, err := s.Append(context.Background(), batch)
	require.NoError(b, err)
	ms := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "app", "c2")}
	for b.Loop() {
		if _, ok, err := s.NewestTimestamp(context.Background(), columnar.Logs, nil, 0, ms); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}
