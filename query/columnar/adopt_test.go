package columnar_test

import (
	"context"
	"fmt"
	"math/rand/v2"
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
