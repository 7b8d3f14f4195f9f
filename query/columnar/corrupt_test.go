package columnar_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/yagura-dev/yagura/query/columnar"
)

// metric sums the samples of a metric whose labels include the given pairs.
func metric(t testing.TB, g prometheus.Gatherer, name string, pairs ...string) float64 {
	t.Helper()
	families, err := g.Gather()
	require.NoError(t, err)
	total := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	samples:
		for _, m := range f.GetMetric() {
			for i := 0; i < len(pairs); i += 2 {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName() == pairs[i] && l.GetValue() == pairs[i+1]
				}
				if !found {
					continue samples
				}
			}
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total
}

var smallBlocks = columnar.Config{BlockBytes: 4 << 10, MinFreeDisk: -1}

// fillForDamage stores rows of several streams and returns how many there are.
func fillForDamage(t *testing.T, dir string, batches int, flush bool) int {
	s := open(t, dir, func(o *columnar.Options) { o.Config = smallBlocks })
	rows := 0
	for i := range batches {
		b := columnar.Batch{Table: columnar.Logs, ID: columnar.BatchID{Collector: "c", Stream: "logs", Sequence: uint64(i + 1)}}
		for app := range 3 {
			st := columnar.Stream{Labels: labels.FromStrings("app", fmt.Sprint(app))}
			for j := range 10 {
				st.Rows = append(st.Rows, columnar.Row{Timestamp: int64(rows), Line: fmt.Sprintf("line %d of batch %d", j, i), Fields: []columnar.Field{{Name: "trace_id", Value: fmt.Sprintf("%032x", rows*7919)}}})
				rows++
			}
			b.Streams = append(b.Streams, st)
		}
		_, err := s.Append(context.Background(), b)
		require.NoError(t, err)
	}
	if flush {
		require.NoError(t, s.Flush(context.Background()))
	}
	require.NoError(t, s.Close())
	return rows
}

// onlyFile is the one file that matches the pattern and has content.
func onlyFile(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	require.NoError(t, err)
	var full []string
	for _, f := range found {
		info, err := os.Stat(f)
		require.NoError(t, err)
		if info.Size() > 100 {
			full = append(full, f)
		}
	}
	require.Len(t, full, 1)
	return full[0]
}

// flipped calls test for the store in dir with one flipped bit in the file, at
// positions all over it, each time on a fresh copy of the folder.
func flipped(t *testing.T, dir, file string, positions int, test func(t *testing.T, s *columnar.Store, reg *prometheus.Registry, offset int64)) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	relative, err := filepath.Rel(dir, file)
	require.NoError(t, err)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	for i := range positions {
		offset := int64(len(data)) * int64(i) / int64(positions)
		if i%3 == 0 {
			offset = random.Int64N(int64(len(data)))
		}
		if i == 0 && filepath.Ext(file) == ".part" {
			offset = int64(len(data)) - 40 // in the second index, which is small
		}
		work := t.TempDir()
		require.NoError(t, os.CopyFS(work, os.DirFS(dir)))
		changed := append([]byte(nil), data...)
		changed[offset] ^= 1 << random.IntN(8)
		require.NoError(t, os.WriteFile(filepath.Join(work, relative), changed, 0o644))
		reg := prometheus.NewRegistry()
		s := open(t, work, func(o *columnar.Options) { o.Config, o.Registerer = smallBlocks, reg })
		test(t, s, reg, offset)
		require.NoError(t, s.Close())
	}
}

const corruptions = "yagura_columnar_corruptions_total"

func TestFlippedBitInPart(t *testing.T) {
	dir := t.TempDir()
	rows := fillForDamage(t, dir, 60, true)
	file := onlyFile(t, filepath.Join(dir, "parts", "*.part"))
	damagedBlocks, damagedIndexes := 0, 0
	flipped(t, dir, file, 120, func(t *testing.T, s *columnar.Store, reg *prometheus.Registry, offset int64) {
		c, err := s.Select(context.Background(), columnar.Query{Table: columnar.Logs, To: 1 << 62, Columns: columnar.Columns{Line: true, AllFields: true}})
		require.NoError(t, err)
		seen := map[string]bool{}
		for {
			b, err := c.Next(context.Background())
			require.NoError(t, err)
			if b == nil {
				break
			}
			for i := range b.Len() {
				key := fmt.Sprint(b.Timestamps[i], b.Lines[i], b.Fields[i])
				require.False(t, seen[key])
				seen[key] = true
			}
		}
		stats := c.Stats()
		require.NoError(t, c.Close())
		blockRows := (rows + int(stats.BlocksTotal) - 1) / int(stats.BlocksTotal)
		lost := rows - len(seen)
		switch {
		case stats.BlocksLost == 1:
			damagedBlocks++
			require.Positive(t, lost)
			require.LessOrEqual(t, lost, 3*blockRows, "offset %d", offset)
			require.EqualValues(t, 1, metric(t, reg, corruptions, "where", "block"))
		case metric(t, reg, corruptions, "where", "index") == 1:
			damagedIndexes++
			require.Zero(t, lost)
		default:
			// The magic at the start and the first of the two indexes: not needed.
			require.Zero(t, stats.BlocksLost)
			require.Zero(t, lost, "offset %d", offset)
		}
	})
	require.Positive(t, damagedBlocks)
	require.Positive(t, damagedIndexes)
}

// A damaged index of values costs time, never a row.
func TestFlippedBitInValueIndex(t *testing.T) {
	dir := t.TempDir()
	rows := fillForDamage(t, dir, 60, true)
	file := onlyFile(t, filepath.Join(dir, "parts", "*.part"))
	damaged := 0
	flipped(t, dir, file, 100, func(t *testing.T, s *columnar.Store, reg *prometheus.Registry, offset int64) {
		for i := 0; i < rows; i += rows / 20 {
			id := fmt.Sprintf("%032x", i*7919)
			c, err := s.Select(context.Background(), columnar.Query{Table: columnar.Logs, To: 1 << 62, Fields: []columnar.FieldPredicate{{Name: "trace_id", Op: columnar.FieldEqual, Text: id}}})
			require.NoError(t, err)
			found := 0
			for {
				b, err := c.Next(context.Background())
				require.NoError(t, err)
				if b == nil {
					break
				}
				found += b.Len()
			}
			if c.Stats().BlocksLost == 0 {
				require.Equal(t, 1, found, "offset %d, %s", offset, id)
			}
			require.NoError(t, c.Close())
		}
		if metric(t, reg, corruptions, "where", "index") > 1 {
			damaged++ // one of the two copies of the part's index counts once
		}
	})
	require.Positive(t, damaged)
}

func TestFlippedBitInLog(t *testing.T) {
	dir := t.TempDir()
	rows := fillForDamage(t, dir, 40, false)
	file := onlyFile(t, filepath.Join(dir, "wal", "*.wal"))
	flipped(t, dir, file, 80, func(t *testing.T, s *columnar.Store, reg *prometheus.Registry, offset int64) {
		found := len(readAll(t, s, columnar.Query{Table: columnar.Logs, To: 1 << 62}))
		if offset < 8 {
			require.Equal(t, rows, found, "the file's head is not needed")
			return
		}
		require.Equal(t, rows-30, found, "one batch is lost, offset %d", offset)
		require.EqualValues(t, 1, metric(t, reg, corruptions, "where", "wal"), "offset %d", offset)
	})
}

func TestFlippedBitInManifest(t *testing.T) {
	dir := t.TempDir()
	rows := fillForDamage(t, dir, 5, true)
	flipped(t, dir, filepath.Join(dir, "MANIFEST"), 60, func(t *testing.T, s *columnar.Store, reg *prometheus.Registry, offset int64) {
		require.Len(t, readAll(t, s, columnar.Query{Table: columnar.Logs, To: 1 << 62}), rows, "offset %d", offset)
		duplicate, err := s.Append(context.Background(), columnar.Batch{Table: columnar.Logs, ID: columnar.BatchID{Collector: "c", Stream: "logs", Sequence: 5}})
		require.NoError(t, err)
		require.True(t, duplicate)
		// A flipped line feed between the copies is the one bit that says nothing.
		require.LessOrEqual(t, 1-metric(t, reg, corruptions, "where", "manifest"), 1.0)
	})
}

// A write that a crash cut short costs nothing that was acknowledged, wherever
// the cut is.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	fillForDamage(t, dir, 3, false)
	file := onlyFile(t, filepath.Join(dir, "wal", "*.wal"))
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	relative, err := filepath.Rel(dir, file)
	require.NoError(t, err)
	last := -1
	for cut := len(data); cut >= 0; cut -= 7 {
		work := t.TempDir()
		require.NoError(t, os.CopyFS(work, os.DirFS(dir)))
		require.NoError(t, os.WriteFile(filepath.Join(work, relative), data[:cut], 0o644))
		for range 2 {
			reg := prometheus.NewRegistry()
			s := open(t, work, func(o *columnar.Options) { o.Registerer = reg })
			found := len(readAll(t, s, columnar.Query{Table: columnar.Logs, To: 1 << 62}))
			require.Zero(t, found%30)
			require.Zero(t, metric(t, reg, corruptions), "a torn tail is no damage")
			if last >= 0 {
				require.LessOrEqual(t, found, last)
			}
			last = found
			require.NoError(t, s.Close())
		}
	}
	require.Zero(t, last)
}

func TestMissingManifest(t *testing.T) {
	dir := t.TempDir()
	fillForDamage(t, dir, 3, true)
	require.NoError(t, os.Remove(filepath.Join(dir, "MANIFEST")))
	_, err := columnar.Open(dir, columnar.Options{Logger: quiet()})
	require.ErrorContains(t, err, "MANIFEST is missing")
}
