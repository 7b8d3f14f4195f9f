package logs

import (
	"context"
	"slices"
	"testing"

	"github.com/grafana/loki/v3/pkg/logql/log/pattern"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/columnar/columnartest"
)

// TestLinePattern compares what the contract says of captures with LogQL's parser,
// and the lines that stand for the real ones.
func TestLinePattern(t *testing.T) {
	lines := []string{
		"", " ", "a", "a b", "a  b", "a b c", "<a> b", "é b ü", "aab b", "abab",
		`1.2.3.4 - - [22/Jan/2019:03:56:14 +0330] "GET /a?b HTTP/1.1" 200 5667 "-"`, `1.2.3.4 - - [x] "GET`, `x - y`, "- - -", "\xff b \xfe c",
	}
	store := columnartest.NewOracle()
	stream := columnar.Stream{Labels: labels.FromStrings("app", "x")}
	for i, line := range lines {
		stream.Rows = append(stream.Rows, columnar.Row{Timestamp: int64(i), Line: line})
	}
	ctx := context.Background()
	_, err := store.Append(ctx, columnar.Batch{Table: columnar.Logs, Streams: []columnar.Stream{stream}})
	require.NoError(t, err)
	for _, text := range []string{
		"<ip> - <user> [<ts>] \"<method> <path> <proto>\" <status> <size> <_>", "<_> <a> <_>", "<a>", "<_>b<a>", "a<a>b", "<a> b", "a<x>", "<<a>>", "<a<b> <c>",
		"<a>ab<b>", "<_1> <a-b> <c>", "é<a>ü<b>", "<_a> <_> <b>", " <a> <_>",
	} {
		m, err := pattern.New(text)
		require.NoError(t, err, text)
		names := m.Names()
		for wanted := range 1 << min(len(names), 4) {
			plan := memoPlan{capture: -1}
			for i := range names {
				if wanted>>(i%4)&1 != 0 {
					plan.inKey = append(plan.inKey, i)
				}
			}
			p := plan.newLinePattern(text)
			require.NotNil(t, p, text)
			cur, err := store.Select(ctx, columnar.Query{Table: columnar.Logs, To: 1 << 40, Captures: &p.LinePattern})
			require.NoError(t, err)
			batch, err := cur.Next(ctx)
			require.NoError(t, err)
			for row, line := range lines {
				for _, line := range []string{line, p.line(batch, row)} {
					var want, got []string
					for i, capture := range m.Matches([]byte(line)) {
						if slices.Contains(plan.inKey, i) {
							want = append(want, string(capture))
						}
					}
					for k := range int(batch.CaptureCounts[row]) {
						got = append(got, batch.Captures[k][row])
					}
					require.Equal(t, want, got, "%s, wanted %v, in %q for %q", text, plan.inKey, line, lines[row])
				}
			}
			require.NoError(t, cur.Close())
		}
	}
	_, ok := patternElements("<a><b")
	require.True(t, ok)
	_, ok = patternElements("<a> \xff")
	require.False(t, ok)
}
