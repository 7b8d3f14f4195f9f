package logs

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/stretchr/testify/require"
)

func TestWindowGuardCountsWhatIsInTheWindow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		limit := 1 + r.IntN(50)
		g := &windowGuard{limit: int64(limit), bucket: 10}
		ts := r.Int64N(1e6) - 5e5
		var times []int64
		for range 500 {
			ts += r.Int64N(1 + r.Int64N(200))
			times = append(times, ts)
			strict, loose := 0, 0 // the guard's grain is one bucket
			for _, at := range times {
				if at > ts-(windowBuckets-1)*10 {
					strict++
				}
				if at > ts-(windowBuckets+2)*10 {
					loose++
				}
			}
			if err := g.add(ts); err != nil {
				require.Greater(t, loose, limit)
				break
			}
			require.LessOrEqual(t, strict, limit)
		}
	}
}

func TestWindowGuardIsForQueriesThatKeepSamples(t *testing.T) {
	start := time.Unix(0, 0)
	ranged := Request{Start: start, End: start.Add(time.Hour), Step: time.Minute}
	instant := Request{Start: start, End: start}
	for _, tc := range []struct {
		query string
		req   Request
		want  bool
	}{
		{`sum(count_over_time({a="b"}[5m]))`, ranged, true},
		{`sum(count_over_time({a="b"}[10s]))`, ranged, false},
		{`sum(count_over_time({a="b"}[5m]))`, instant, false},
		{`quantile_over_time(0.5, {a="b"} | unwrap x [5m])`, instant, true},
	} {
		expr, err := syntax.ParseSampleExpr(tc.query)
		require.NoError(t, err)
		require.Equal(t, tc.want, newWindowGuard(10, 0, expr, tc.req) != nil, tc.query)
	}
}
