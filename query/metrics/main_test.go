package metrics_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/yagura-dev/yagura/query/metrics"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		if err := crashChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(fullDirEnv); dir != "" {
		if err := fullChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func testConfig() metrics.Config {
	c := metrics.DefaultConfig()
	c.MinFreeBytes = 0
	return c
}

func open(t testing.TB, dir string, change ...func(*metrics.Options)) *metrics.Store {
	t.Helper()
	opts := metrics.Options{Config: testConfig()}
	for _, f := range change {
		f(&opts)
	}
	s, err := metrics.Open(dir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// point is one stored sample; a histogram is represented by its count.
type point struct {
	T int64
	V float64
}

// stored reads every sample whose name is name, by the series' text.
func stored(t testing.TB, s *metrics.Store, name string) map[string][]point {
	t.Helper()
	q, err := s.Queryable().Querier(0, time.Now().Add(24*time.Hour).UnixMilli())
	require.NoError(t, err)
	defer q.Close()
	out := map[string][]point{}
	set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name))
	for set.Next() {
		key := set.At().Labels().String()
		it := set.At().Iterator(nil)
		for vt := it.Next(); vt != chunkenc.ValNone; vt = it.Next() {
			switch vt {
			case chunkenc.ValFloat:
				ts, v := it.At()
				out[key] = append(out[key], point{ts, v})
			default:
				ts, fh := it.AtFloatHistogram(nil)
				out[key] = append(out[key], point{ts, fh.Count})
			}
		}
		require.NoError(t, it.Err())
	}
	require.NoError(t, set.Err())
	return out
}

// floats writes one sample per point to the series name.
func floats(name string, ps ...point) func(*metrics.Appender) error {
	return func(app *metrics.Appender) error {
		for _, p := range ps {
			if _, err := app.Append(0, labels.FromStrings(model.MetricNameLabel, name), 0, p.T, p.V, nil, nil, storage.AOptions{}); err != nil {
				return err
			}
		}
		return nil
	}
}

func ms(d time.Duration) int64 { return time.Now().Add(d).Truncate(time.Second).UnixMilli() }
