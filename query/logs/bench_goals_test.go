package logs_test

import (
	"context"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/columnar/columnartest"
	"github.com/yagura-dev/yagura/query/logs"
)

// cpuTime is the processor time of the whole process so far.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// goalStore holds a day of real logs in parts: one copy, or eight (1.04 GB, 217
// streams) with YAGURA_BIG. YAGURA_PLAIN leaves everything to LogQL.
func goalEngine(b *testing.B) (engine *logs.Engine, end time.Time) {
	copies := 1
	if os.Getenv("YAGURA_BIG") != "" {
		copies = 8
	}
	store := openStore(b)
	ctx := context.Background()
	require.NoError(b, columnartest.PrepareCorpus(b, b.TempDir()).Batches(copies, 1<<20, func(batch columnar.Batch) error {
		_, err := store.Append(ctx, batch)
		return err
	}))
	require.NoError(b, store.Flush(ctx))
	newest, ok, err := store.NewestTimestamp(ctx, columnar.Logs, nil, 0, nil)
	require.NoError(b, err)
	require.True(b, ok)
	engine, err = logs.NewEngine(store, logs.DefaultConfig(), discard, nil)
	require.NoError(b, err)
	if os.Getenv("YAGURA_PLAIN") != "" {
		engine = logs.WithoutPushdown(engine)
	}
	return engine, time.Unix(0, newest+1).Truncate(10 * time.Second).Add(10 * time.Second)
}

// BenchmarkGoals is the queries that the engine is measured by. What counts is
// cpu-ms/op: on a shared machine it is worth more than the time on the wall.
func BenchmarkGoals(b *testing.B) {
	engine, end := goalEngine(b)
	const (
		pattern = "| pattern `<ip> - <user> [<ts>] \"<method> <path> <proto>\" <status> <size> <_>`"
		regex   = "| regexp `^\\S+ - \\S+ \\[[^\\]]+\\] \"(?P<method>\\S+) (?P<path>\\S+) [^\"]*\" (?P<status>\\d{3}) (?P<size>\\d+) `"
		tripIDs = `{app=~".+"} |~ "Failed!.*tripId: [DG]13[0-9]{2}"`
	)
	for _, q := range []struct {
		name, query string
		step        time.Duration // of a range query, or else an instant or a log query
	}{
		{"Count", `sum by (app) (count_over_time({app=~".+"}[10h]))`, 0},
		{"NeedleLine", `{app=~".+"} |= "fcb23d04a51880ef0ff907e007463530"`, 0},
		{"NeedleField", `{app=~".+"} | trace_id="fcb23d04a51880ef0ff907e007463530"`, 0},
		{"Substring", `{app=~".+"} |= "da74a0f87"`, 0},
		{"Regexp", tripIDs, 0},
		{"RegexpCount", `sum(count_over_time(` + tripIDs + `[10h]))`, 0},
		{"RateErrors", `sum by (app) (rate({app=~".+"} |= "ERROR" or " 500 " [10s]))`, 10 * time.Second},
		{"Pattern", `sum by (status) (count_over_time({app="nginx"} ` + pattern + ` [10h]))`, 0},
		{"RegexpParser", `sum by (status) (count_over_time({app="nginx"} ` + regex + ` [10h]))`, 0},
		{"PatternSum", `sum by (status) (sum_over_time({app="nginx"} ` + pattern + ` | unwrap size [10h]))`, 0},
		{"LastOfPod", `{pod="ts-seat-service-5c95b49cff-tdsdz"}`, 0},
		{"CountPerMinute", `sum by (app) (count_over_time({app=~".+"}[1m]))`, time.Minute},
		{"RateOverlapping", `sum by (app) (rate({app=~".+"}[5m]))`, 30 * time.Second},
		{"CountByField", `sum by (severity) (count_over_time({app=~".+"}[1m]))`, time.Minute},
	} {
		b.Run(q.name, func(b *testing.B) {
			req := logs.Request{Query: q.query, Start: end.Add(-10 * time.Hour), End: end, Step: q.step, Limit: 1000, Direction: logproto.BACKWARD}
			if q.query[0] == 's' && q.step == 0 {
				req.Start = end
			}
			b.ReportAllocs()
			runtime.GC()
			start := cpuTime(b)
			for b.Loop() {
				res, err := engine.Exec(context.Background(), req)
				require.NoError(b, err)
				b.ReportMetric(size(res), "results")
			}
			b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// size is the lines of an answer, or the sum of its values.
func size(r logqlmodel.Result) (n float64) {
	switch v := r.Data.(type) {
	case promql.Matrix:
		n = float64(v.TotalSamples())
	case promql.Vector:
		for _, s := range v {
			n += s.F
		}
	case logqlmodel.Streams:
		n = float64(v.Lines())
	}
	return n
}
