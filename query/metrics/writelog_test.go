//go:build unix

package metrics_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/yagura-dev/yagura/query/metrics"
)

// The TSDB registers its counter through a prefixing registerer; the watch must
// see through it.
func TestLogWatchSeesTheCounter(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := metrics.NewLogWatch(reg)
	_, ok := w.Failures()
	require.False(t, ok)
	c := promauto.With(prometheus.WrapRegistererWithPrefix("prometheus_tsdb_out_of_order_wbl_", w)).NewCounter(prometheus.CounterOpts{Name: "writes_failed_total"})
	promauto.With(prometheus.WrapRegistererWithPrefix("prometheus_tsdb_wal_", w)).NewCounter(prometheus.CounterOpts{Name: "writes_failed_total"}).Add(5)
	n, ok := w.Failures()
	require.True(t, ok)
	require.Zero(t, n)
	c.Inc()
	n, _ = w.Failures()
	require.Equal(t, 1.0, n)
	families, err := reg.Gather()
	require.NoError(t, err)
	require.Len(t, families, 2, "everything is registered all the same")
}

const (
	fullDirEnv  = "YAGURA_TEST_FULL_DIR"
	fullKindEnv = "YAGURA_TEST_FULL_KIND" // which file cannot grow: "log" or "chunks"
)

// fullBatch fills the log with few samples of many series, or the chunk files
// with many out-of-order samples of few.
func fullBatch(kind string, seq uint64, base int64) func(*metrics.Appender) error {
	if kind == "chunks" {
		return crashBatch(0, seq, base)
	}
	return func(app *metrics.Appender) error {
		for i := range 100 {
			ls := labels.FromStrings(model.MetricNameLabel, "full", "seq", fmt.Sprint(seq), "i", fmt.Sprint(i))
			if _, err := app.Append(0, ls, 0, base+int64(seq), float64(seq), nil, nil, storage.AOptions{}); err != nil {
				return err
			}
		}
		return nil
	}
}

// fullChild appends until its files cannot grow any further, as on a full disk,
// and goes on to append when there is room again.
func fullChild(dir string) error {
	signal.Ignore(unix.SIGXFSZ)
	kind := os.Getenv(fullKindEnv)
	s, err := metrics.Open(dir, metrics.Options{Config: testConfig()})
	if err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	small := limit
	small.Cur = 100 << 10
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &small); err != nil {
		return err
	}
	base := time.Now().Add(-10 * time.Minute).UnixMilli()
	ctx := context.Background()
	seq := uint64(1)
	for ; seq < 100_000; seq++ {
		if _, _, err = s.AppendBatch(ctx, crashID(0, seq), fullBatch(kind, seq, base)); err != nil {
			break
		}
		fmt.Println("acknowledged", seq)
	}
	if err == nil {
		return fmt.Errorf("the files never filled up")
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	_, _, err = s.AppendBatch(ctx, crashID(0, seq), fullBatch(kind, seq, base))
	fmt.Println("then", err)
	fmt.Println("ready", s.Ready())
	return nil
}

// When a log write fails the TSDB may leave half a record in the log, and replay
// cuts off whatever follows it. So nothing may be acknowledged after it, even if
// there is room again; when a chunk file cannot be written the process ends. Either
// way all that was acknowledged before is there.
func TestNothingIsLostWhenFilesCannotGrow(t *testing.T) {
	run := func(t *testing.T, kind string) (dir string, acked uint64, out string, err error) {
		dir = t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fullDirEnv+"="+dir, fullKindEnv+"="+kind)
		b, err := cmd.CombinedOutput()
		for _, line := range strings.Split(string(b), "\n") {
			_, _ = fmt.Sscanf(line, "acknowledged %d", &acked)
		}
		require.NotZero(t, acked, "%s", b)
		return dir, acked, string(b), err
	}
	repeat := func(t *testing.T, s *metrics.Store, acked uint64) {
		require.NoError(t, s.Ready())
		_, dup, err := s.AppendBatch(context.Background(), crashID(0, acked), floats("never"))
		require.NoError(t, err)
		require.True(t, dup)
	}
	t.Run("log", func(t *testing.T) {
		dir, acked, out, err := run(t, "log")
		require.NoError(t, err, "%s", out)
		require.Contains(t, out, "then write-ahead log failed, restart to repair it")
		require.Contains(t, out, "ready write-ahead log failed")
		s := open(t, dir)
		require.GreaterOrEqual(t, len(stored(t, s, "full")), int(acked)*100)
		repeat(t, s, acked)
	})
	t.Run("chunks", func(t *testing.T) {
		dir, acked, out, err := run(t, "chunks")
		require.Error(t, err)
		require.Contains(t, out, "metrics store cannot write its files")
		s := open(t, dir)
		for name, series := range map[string]int{"crash_in_order": 5, "crash_out_of_order": 5, "crash_histogram": 1} {
			all := stored(t, s, name)
			require.Len(t, all, series)
			for key, ps := range all {
				require.GreaterOrEqual(t, len(ps), int(acked), key)
				require.LessOrEqual(t, len(ps), int(acked)+1, key)
			}
		}
		repeat(t, s, acked)
	})
}
