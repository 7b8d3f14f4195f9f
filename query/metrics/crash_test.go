package metrics_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
)

const (
	crashDirEnv   = "YAGURA_TEST_CRASH_DIR"
	crashBaseEnv  = "YAGURA_TEST_CRASH_BASE"
	crashStartEnv = "YAGURA_TEST_CRASH_START" // one sequence per stream, separated by spaces
	crashStreams  = 3
)

// crashBatch is what batch seq of a stream always holds: samples in order, samples
// that go ever further back (out-of-order log), a histogram (a record of its own),
// and a sample of a series that all streams write to, at times of their own: which
// is in order there depends on who comes first.
func crashBatch(stream int, seq uint64, base int64) func(*metrics.Appender) error {
	return func(app *metrics.Appender) error {
		series := func(name string, i int) labels.Labels {
			return labels.FromStrings(model.MetricNameLabel, name, "stream", strconv.Itoa(stream), "i", strconv.Itoa(i))
		}
		step := int64(seq) * 10
		for i := range 5 {
			if _, err := app.Append(0, series("crash_in_order", i), 0, base+step, float64(seq), nil, nil, storage.AOptions{}); err != nil {
				return err
			}
			if _, err := app.Append(0, series("crash_out_of_order", i), 0, base-time.Hour.Milliseconds()-step, float64(seq), nil, nil, storage.AOptions{}); err != nil {
				return err
			}
		}
		shared := labels.FromStrings(model.MetricNameLabel, "crash_shared")
		if _, err := app.Append(0, shared, 0, sharedTime(stream, int64(seq), base), float64(seq), nil, nil, storage.AOptions{}); err != nil {
			return err
		}
		_, err := app.Append(0, series("crash_histogram", 0), 0, base+step, 0, tsdbutil.GenerateTestHistogram(int64(seq)), nil, storage.AOptions{})
		return err
	}
}

func sharedTime(stream int, seq, base int64) int64 { return base + seq*10 + int64(stream) }

func crashID(stream int, seq uint64) columnar.BatchID {
	return columnar.BatchID{Collector: "crash", Stream: strconv.Itoa(stream), Sequence: seq}
}

// crashChild appends until it is killed and prints each acknowledged batch.
func crashChild(dir string) error {
	cfg := testConfig()
	s, err := metrics.Open(dir, metrics.Options{Config: cfg})
	if err != nil {
		return err
	}
	base, err := strconv.ParseInt(os.Getenv(crashBaseEnv), 10, 64)
	if err != nil {
		return err
	}
	var starts [crashStreams]uint64
	if _, err := fmt.Sscan(os.Getenv(crashStartEnv), &starts[0], &starts[1], &starts[2]); err != nil {
		return err
	}
	fmt.Println("open")
	var out sync.Mutex
	fail := make(chan error)
	for stream, start := range starts {
		go func() {
			for seq := start; ; seq++ {
				res, _, err := s.AppendBatch(context.Background(), crashID(stream, seq), crashBatch(stream, seq, base))
				if err == nil && len(res.Refused) > 0 {
					err = fmt.Errorf("refused: %v", res.Refusals)
				}
				if err != nil {
					fail <- err
					return
				}
				out.Lock()
				fmt.Println(stream, seq) // one write(2): a line is whole or absent
				out.Unlock()
			}
		}()
	}
	return <-fail
}

// A writer is killed again and again at random moments. It resends what was not
// acknowledged, and the batch before it, which was. In the end every acknowledged
// sample is there, once.
func TestKillLosesAndDoublesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	rounds := 12
	if v := os.Getenv("YAGURA_TEST_KILLS"); v != "" {
		n, err := strconv.Atoi(v)
		require.NoError(t, err)
		rounds = n
	}
	dir := t.TempDir()
	base := ms(-30 * time.Minute)
	var acked [crashStreams]uint64
	for range rounds {
		starts := ""
		for _, a := range acked {
			starts += fmt.Sprint(max(a, 1), " ")
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDirEnv+"="+dir, crashBaseEnv+"="+fmt.Sprint(base), crashStartEnv+"="+starts)
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(stdout)
		require.True(t, lines.Scan(), "the child did not open the store")
		kill := time.AfterFunc(time.Duration(rand.IntN(250))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for lines.Scan() {
			var stream int
			var seq uint64
			if n, _ := fmt.Sscan(lines.Text(), &stream, &seq); n == 2 {
				require.LessOrEqual(t, seq, acked[stream]+1, "sequences are acknowledged in order")
				acked[stream] = max(acked[stream], seq)
			}
		}
		kill.Stop()
		err = cmd.Wait()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, -1, exit.ExitCode(), "the child must end by the signal, not by an error")
	}
	s := open(t, dir)
	in, out, hist := stored(t, s, "crash_in_order"), stored(t, s, "crash_out_of_order"), stored(t, s, "crash_histogram")
	shared := map[int64]float64{}
	for _, ps := range stored(t, s, "crash_shared") {
		for _, p := range ps {
			shared[p.T] = p.V
		}
		require.Len(t, shared, len(ps), "no time is there twice")
	}
	total := 0
	for stream, last := range acked {
		require.NotZero(t, last)
		total += int(last)
		for seq := int64(1); seq <= int64(last); seq++ {
			require.Equal(t, float64(seq), shared[sharedTime(stream, seq, base)], "the shared series lost sequence %d of stream %d", seq, stream)
		}
		for i := range 5 {
			key := func(name string) string {
				return labels.FromStrings(model.MetricNameLabel, name, "stream", strconv.Itoa(stream), "i", strconv.Itoa(i)).String()
			}
			checkCrashSeries(t, key("crash_in_order"), in, last, func(seq int64) point { return point{base + seq*10, float64(seq)} })
			checkCrashSeries(t, key("crash_out_of_order"), out, last, func(seq int64) point {
				return point{base - time.Hour.Milliseconds() - seq*10, float64(seq)}
			})
			if i == 0 {
				checkCrashSeries(t, key("crash_histogram"), hist, last, func(seq int64) point {
					return point{base + seq*10, float64(tsdbutil.GenerateTestHistogram(seq).Count)}
				})
			}
		}
	}
	t.Logf("%d kills, %d batches acknowledged, 12 samples each", rounds, total)
}

// checkCrashSeries wants the samples of sequences 1 to last, each once; the batch
// that was on its way when the last kill came may be there as well.
func checkCrashSeries(t *testing.T, key string, all map[string][]point, last uint64, want func(seq int64) point) {
	t.Helper()
	got := map[int64]float64{}
	for _, p := range all[key] {
		_, twice := got[p.T]
		require.False(t, twice, "%s has two samples at %d", key, p.T)
		got[p.T] = p.V
	}
	for seq := int64(1); seq <= int64(last); seq++ {
		p := want(seq)
		v, ok := got[p.T]
		require.True(t, ok, "%s lost sequence %d of %d", key, seq, last)
		require.Equal(t, p.V, v)
		delete(got, p.T)
	}
	require.LessOrEqual(t, len(got), 1, "%s has samples that were never sent", key)
}
