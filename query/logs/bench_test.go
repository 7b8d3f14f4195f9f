package logs_test

import (
	"context"
	"testing"
	"time"

	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/logs"
)

// BenchmarkQuery measures whole queries over real lines in blocks; MB/s is of
// lines.
func BenchmarkQuery(b *testing.B) {
	store := openStore(b)
	c := loadCorpus(b, store, 100_000)
	require.NoError(b, store.Flush(context.Background()))
	var size int64
	for _, l := range c.lines {
		size += int64(len(l))
	}
	engine, err := logs.NewEngine(store, logs.DefaultConfig(), discard, nil)
	require.NoError(b, err)
	for _, tc := range []struct{ name, query string }{
		{"count", `sum by (app) (count_over_time({app=~".+"}[1m]))`},
		{"substring", `sum by (app) (count_over_time({app=~".+"} |= "HTTP/1.1\" 500" [1m]))`},
		{"regexp", `sum by (app) (count_over_time({app=~".+"} |~ "HTTP/[0-9.]+\" 500" [1m]))`},
		{"metadata", `sum by (app) (count_over_time({app=~".+"} | trace_id="7" [1m]))`},
		{"logfmt", `sum by (level) (count_over_time({app=~".*logfmt"} | logfmt [1m]))`},
		{"lines", `{app="nginx-access"}`},
		{"rare-lines", `{app="nginx-access"} |= "no such thing"`},
		{"parsed-lines", `{app="nginx-access"} | pattern "<ip> - - <_> \"<method> <path> <_>" | method="DELETE"`},
	} {
		b.Run(tc.name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				res, err := engine.Exec(context.Background(), logs.Request{
					Query: tc.query, Start: c.start, End: c.end, Step: time.Minute, Limit: 1000, Direction: logproto.BACKWARD,
				})
				require.NoError(b, err)
				switch v := res.Data.(type) {
				case promql.Matrix:
					b.ReportMetric(float64(len(v)), "series")
				case logqlmodel.Streams:
					b.ReportMetric(float64(v.Lines()), "lines")
				}
			}
			b.ReportMetric(float64(len(c.lines))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
