package columnar_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Merges take over blocks as they are where they can; what rows they hold must not
// depend on it, whether streams are big or small, in order or not, or have had rows
// deleted.
func TestMergedBlocksHoldTheSameRows(t *testing.T) {
	ctx := context.Background()
	reg := prometheus.NewRegistry()
	s := open(t, t.TempDir(), func(o *columnar.Options) { o.Config, o.Registerer = smallBlocks, reg })
	defer func() { require.NoError(t, s.Close()) }()
	r := rand.New(rand.NewPCG(11, 12))
	want := map[string]bool{}
	for round := range 30 {
		b := columnar.Batch{Table: columnar.Logs}
		for app, rows := range []int{130, 7, 1 + r.IntN(60), 300} {
			st := columnar.Stream{Labels: labels.FromStrings("app", fmt.Sprint(app))}
			for i := range rows {
				// Rounds overlap, so that some blocks cannot be taken over.
				ts := int64(round*1000 + r.IntN(1050))
				id := fmt.Sprintf("%016x", r.Uint64())
				line := fmt.Sprintf("round %d row %d id %s of app %d", round, i, id, app)
				st.Rows = append(st.Rows, columnar.Row{Timestamp: ts, Line: line, Fields: []columnar.Field{{Name: "id", Value: id}}})
				if ts < 5000 || ts >= 5400 {
					want[line] = true
				}
			}
			b.Streams = append(b.Streams, st)
		}
		_, err := s.Append(ctx, b)
		require.NoError(t, err)
		require.NoError(t, s.Flush(ctx))
		if round == 6 {
			_, err := s.Delete(ctx, columnar.Deletion{Table: columnar.Logs, From: 5000, To: 5400})
			require.NoError(t, err)
		}
	}
	require.Eventually(t, func() bool {
		return metric(t, reg, "yagura_columnar_merges_total", "outcome", "ok") >= 3
	}, 20*time.Second, time.Millisecond)
	seen := map[string]bool{}
	last := int64(0)
	for _, row := range readAll(t, s, columnar.Query{Table: columnar.Logs, To: 1 << 40, Columns: columnar.Columns{Line: true, AllFields: true}}) {
		require.GreaterOrEqual(t, row.Timestamp, last)
		last = row.Timestamp
		require.False(t, seen[row.Line], row.Line)
		seen[row.Line] = true
		if row.Timestamp < 5000 || row.Timestamp >= 5400 {
			require.True(t, want[row.Line], row.Line)
			require.Contains(t, row.Line, row.Fields[0].Value)
		}
	}
	for line := range want {
		require.True(t, seen[line], line)
	}
}

// Full blocks of either table are taken over: what was compressed once is in the
// merged part byte for byte, which it would not be had it been compressed again.
func TestFullBlocksAreTakenOver(t *testing.T) {
	for _, table := range []columnar.Table{columnar.Logs, columnar.Spans} {
		t.Run(table.String(), func(t *testing.T) {
			dir := t.TempDir()
			reg := prometheus.NewRegistry()
			s := open(t, dir, func(o *columnar.Options) {
				o.Config, o.Registerer = columnar.Config{BlockBytes: 32 << 10, MinFreeDisk: -1}, reg
			})
			defer func() { require.NoError(t, s.Close()) }()
			r := rand.New(rand.NewPCG(13, 14))
			for round := range 5 { // too few to merge
				flushWords(t, s, r, table, round)
			}
			var flushed [][]byte // pieces of the parts
			for _, part := range partFiles(t, dir) {
				for at := len(part) / 8; at < len(part)/2; at += len(part) / 16 {
					flushed = append(flushed, part[at:at+48])
				}
			}
			for round := range 5 {
				flushWords(t, s, r, table, 5+round)
			}
			require.Eventually(t, func() bool {
				return metric(t, reg, "yagura_columnar_merges_total", "outcome", "ok") >= 1
			}, 20*time.Second, time.Millisecond)
			merged := bytes.Join(partFiles(t, dir), nil)
			found := 0
			for _, piece := range flushed {
				if bytes.Contains(merged, piece) {
					found++
				}
			}
			require.Greater(t, found, len(flushed)/2, "of %d", len(flushed))
			require.Len(t, readAll(t, s, columnar.Query{Table: table, To: 1 << 40}), 10*500)
		})
	}
}

// A block of which only the first rows stay is written anew, whatever the blocks
// after it, of which nothing stays, look like: one of them has as many rows as stay.
func TestBlocksAreTakenOverWholeOrNotAtAll(t *testing.T) {
	ctx := context.Background()
	const rows = 60 // one block and a half
	for keep := 1; keep < rows; keep++ {
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			logger, done := watched()
			s := open(t, t.TempDir(), func(o *columnar.Options) {
				o.Config, o.Logger, o.DeletionDelay = smallBlocks, logger, -1
			})
			defer func() { require.NoError(t, s.Close()) }()
			st := columnar.Stream{Labels: labels.FromStrings("app", "shop")}
			for i := range rows {
				st.Rows = append(st.Rows, columnar.Row{Timestamp: int64(i), Line: fmt.Sprintf("row %02d %s", i, strings.Repeat("x", 100))})
			}
			_, err := s.Append(ctx, columnar.Batch{Table: columnar.Logs, Streams: []columnar.Stream{st}})
			require.NoError(t, err)
			require.NoError(t, s.Flush(ctx))
			_, err = s.Delete(ctx, columnar.Deletion{Table: columnar.Logs, From: int64(keep), To: rows, Lines: []columnar.LinePredicate{{Op: columnar.Contains, Text: "row"}}})
			require.NoError(t, err)
			<-done
			found := readAll(t, s, columnar.Query{Table: columnar.Logs, To: rows, Columns: columnar.Columns{Line: true}})
			require.Len(t, found, keep)
			for i, r := range found {
				require.Equal(t, st.Rows[i].Line, r.Line)
			}
		})
	}
}

// flushWords stores rows of random words, which compress, as a part of their own.
func flushWords(t *testing.T, s *columnar.Store, r *rand.Rand, table columnar.Table, round int) {
	t.Helper()
	st := columnar.Stream{Labels: labels.FromStrings("app", "words")}
	for i := range 500 {
		var line strings.Builder
		for range 20 {
			word := []byte("     ")
			for j := range 4 {
				word[j] = byte('a' + r.IntN(8))
			}
			line.Write(word)
		}
		st.Rows = append(st.Rows, columnar.Row{Timestamp: int64(round*1000 + i), Line: line.String()})
	}
	_, err := s.Append(context.Background(), columnar.Batch{Table: table, Streams: []columnar.Stream{st}})
	require.NoError(t, err)
	require.NoError(t, s.Flush(context.Background()))
}

func partFiles(t *testing.T, dir string) [][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "parts", "*.part"))
	require.NoError(t, err)
	var out [][]byte
	for _, name := range names {
		data, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // merged away meanwhile
		}
		require.NoError(t, err)
		out = append(out, data)
	}
	return out
}
