package queue_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/yagura-dev/yagura/collector/queue"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashChildEnv); dir != "" {
		crashChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMilli(1_800_000_000_000)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// small is a configuration in which segments and limits are reached quickly.
func small() queue.Config {
	c := queue.DefaultConfig()
	c.SegmentBytes = 64 << 10
	c.MaxBytes = 1 << 20
	return c
}

// rig is a queue with its registry.
type rig struct {
	*queue.Queue
	t   testing.TB
	dir string
	reg *prometheus.Registry
}

func open(t testing.TB, dir string, c queue.Config, options ...queue.Option) *rig {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	q, err := queue.Open(dir, c, quiet, reg, options...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	return &rig{Queue: q, t: t, dir: dir, reg: reg}
}

// crash returns a copy of the folder as a kill at this moment would leave it.
func (r *rig) crash() string {
	r.t.Helper()
	to := filepath.Join(r.t.TempDir(), "queue")
	require.NoError(r.t, os.CopyFS(to, os.DirFS(r.dir)))
	return to
}

func (r *rig) append(s queue.Stream, payload string) {
	r.t.Helper()
	require.NoError(r.t, r.Append(r.t.Context(), s, []byte(payload)))
}

// drain reads and acknowledges everything that is there.
func (r *rig) drain(s queue.Stream) (payloads []string, sequences []uint64) {
	r.t.Helper()
	for r.Stats(s).Records > 0 {
		ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
		record, err := r.Peek(ctx, s)
		cancel()
		require.NoError(r.t, err)
		require.NoError(r.t, r.Ack(s, record.Sequence))
		payloads = append(payloads, string(record.Payload))
		sequences = append(sequences, record.Sequence)
	}
	return payloads, sequences
}

// counter returns the value of a counter with these label values, in the order of
// the label names.
func (r *rig) counter(name string, labels map[string]string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	require.NoError(r.t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metric:
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if want, ok := labels[l.GetName()]; ok && want != l.GetValue() {
					continue metric
				}
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return 0
}

func (r *rig) dropped(s queue.Stream, reason string) float64 {
	return r.counter("yagura_queue_dropped_records_total", map[string]string{"stream": string(s), "reason": reason})
}

func TestRecordsComeBackInOrder(t *testing.T) {
	q := open(t, t.TempDir(), small())
	for i := range 5 {
		q.append(queue.Logs, fmt.Sprintf("log %d", i))
		q.append(queue.Metrics, fmt.Sprintf("metric %d", i))
	}
	payloads, sequences := q.drain(queue.Logs)
	require.Equal(t, []string{"log 0", "log 1", "log 2", "log 3", "log 4"}, payloads)
	require.Equal(t, []uint64{1, 2, 3, 4, 5}, sequences)
	payloads, sequences = q.drain(queue.Metrics)
	require.Equal(t, []string{"metric 0", "metric 1", "metric 2", "metric 3", "metric 4"}, payloads)
	require.Equal(t, []uint64{1, 2, 3, 4, 5}, sequences)
	require.InDelta(t, 5, q.counter("yagura_queue_appended_records_total", map[string]string{"stream": "logs"}), 0)
	require.InDelta(t, 5, q.counter("yagura_queue_acked_records_total", map[string]string{"stream": "logs"}), 0)
	problems, err := testutil.GatherAndLint(q.reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestPeekRepeatsUntilAck(t *testing.T) {
	q := open(t, t.TempDir(), small())
	q.append(queue.Traces, "a")
	q.append(queue.Traces, "b")
	for range 3 {
		record, err := q.Peek(t.Context(), queue.Traces)
		require.NoError(t, err)
		require.Equal(t, "a", string(record.Payload))
		require.EqualValues(t, 1, record.Sequence)
	}
	require.NoError(t, q.Ack(queue.Traces, 1))
	require.NoError(t, q.Ack(queue.Traces, 1), "a second acknowledgement does nothing")
	require.Equal(t, 1, q.Stats(queue.Traces).Records)
	require.Error(t, q.Ack(queue.Traces, 3), "there is no such record yet")
	require.NoError(t, q.Drop(queue.Traces, 2, "refused"))
	require.InDelta(t, 1, q.dropped(queue.Traces, "refused"), 0)
}

func TestPeekWaits(t *testing.T) {
	q := open(t, t.TempDir(), small())
	got := make(chan queue.Record)
	go func() {
		record, _ := q.Peek(t.Context(), queue.Logs)
		got <- record
	}()
	q.append(queue.Logs, "late")
	require.Equal(t, "late", string((<-got).Payload))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := q.Peek(ctx, queue.Metrics)
	require.ErrorIs(t, err, context.Canceled)
}

func TestCloseEndsWaiting(t *testing.T) {
	q := open(t, t.TempDir(), small())
	failed := make(chan error)
	go func() {
		_, err := q.Peek(context.Background(), queue.Logs)
		failed <- err
	}()
	require.NoError(t, q.Close())
	require.ErrorIs(t, <-failed, queue.ErrClosed)
	require.ErrorIs(t, q.Append(t.Context(), queue.Logs, nil), queue.ErrClosed)
}

func TestReopenGoesOn(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir, small())
	id := q.ID()
	for i := range 3 {
		q.append(queue.Logs, fmt.Sprint(i))
	}
	require.NoError(t, q.Ack(queue.Logs, 1))
	require.NoError(t, q.Close())

	q = open(t, dir, small())
	require.Equal(t, id, q.ID())
	q.append(queue.Logs, "3")
	payloads, sequences := q.drain(queue.Logs)
	require.Equal(t, []string{"1", "2", "3"}, payloads)
	require.Equal(t, []uint64{2, 3, 4}, sequences, "an orderly stop leaves no gap")
}

func TestSequenceIsNeverUsedTwice(t *testing.T) {
	dir := t.TempDir()
	used := map[uint64]bool{}
	for round := range 6 {
		q := open(t, dir, small())
		for range 3 {
			q.append(queue.Metrics, "x")
		}
		_, sequences := q.drain(queue.Metrics)
		for _, s := range sequences {
			require.False(t, used[s], "sequence %d is used twice", s)
			used[s] = true
		}
		dir = q.crash()
		if round%2 == 1 {
			// As after a loss of power: nothing but the reservation is left.
			segments, err := filepath.Glob(filepath.Join(dir, "metrics", "*.seg"))
			require.NoError(t, err)
			require.NotEmpty(t, segments)
			for _, s := range segments {
				require.NoError(t, os.Remove(s))
			}
			require.NoError(t, os.Remove(filepath.Join(dir, "metrics", "acked")))
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "metrics", "reserved"), []byte("garbage"), 0o600))
	q := open(t, dir, small())
	q.append(queue.Metrics, "x")
	_, sequences := q.drain(queue.Metrics)
	require.False(t, used[sequences[0]])
}

func TestWipedFolderIsAnotherCollector(t *testing.T) {
	a, b := open(t, t.TempDir(), small()), open(t, t.TempDir(), small())
	require.NotEqual(t, a.ID(), b.ID())
	require.Len(t, a.ID(), 36)
}

func TestUnreadableCollectorIDIsReplaced(t *testing.T) {
	q := open(t, t.TempDir(), small())
	q.append(queue.Logs, "kept")
	dir := q.crash()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "collector-id"), []byte("\x00\x00"), 0o600))
	again := open(t, dir, small())
	require.NotEqual(t, q.ID(), again.ID())
	payloads, _ := again.drain(queue.Logs)
	require.Equal(t, []string{"kept"}, payloads)
}

func TestFolderBelongsToOneProcess(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir, small())
	_, err := queue.Open(dir, small(), quiet, nil)
	require.ErrorIs(t, err, queue.ErrLocked)
	require.NoError(t, q.Close())
	open(t, dir, small())
}

func TestFullQueueRefusesAndKeepsShares(t *testing.T) {
	q := open(t, t.TempDir(), small())
	payload := make([]byte, 10<<10)
	var n int
	for {
		err := q.Append(t.Context(), queue.Logs, payload)
		if err != nil {
			require.ErrorIs(t, err, queue.ErrFull)
			break
		}
		n++
	}
	c := small()
	require.LessOrEqual(t, q.Stats(queue.Logs).Bytes, int64(c.MaxBytes))
	require.Greater(t, n*len(payload), int(c.MaxBytes)*3/4)
	require.NoError(t, q.Append(t.Context(), queue.Metrics, payload), "the others' shares cannot be taken")
	require.InDelta(t, 1, q.counter("yagura_queue_refused_appends_total",
		map[string]string{"stream": "logs", "reason": "full"}), 0)

	appended := make(chan error)
	go func() { appended <- q.AppendWait(t.Context(), queue.Logs, payload, nil) }()
	record, err := q.Peek(t.Context(), queue.Logs)
	require.NoError(t, err)
	require.NoError(t, q.Ack(queue.Logs, record.Sequence+uint64(n)/2))
	require.NoError(t, <-appended)

	q.drain(queue.Logs)
	require.LessOrEqual(t, q.Stats(queue.Logs).Bytes, int64(c.SegmentBytes), "segments are deleted when acknowledged")
}

func TestAppendWaitEndsWithItsContext(t *testing.T) {
	q := open(t, t.TempDir(), small())
	for q.Append(t.Context(), queue.Logs, make([]byte, 50<<10)) == nil {
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { failed <- q.AppendWait(ctx, queue.Logs, make([]byte, 50<<10), nil) }()
	require.Eventually(t, func() bool {
		return q.counter("yagura_queue_refused_appends_total", map[string]string{"stream": "logs"}) >= 2
	}, 10*time.Second, time.Millisecond)
	cancel()
	err := <-failed
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, queue.ErrFull)
}

func TestTooLargeRecordIsRefusedForGood(t *testing.T) {
	q := open(t, t.TempDir(), small())
	err := q.Append(t.Context(), queue.Logs, make([]byte, 1<<20))
	require.ErrorIs(t, err, queue.ErrTooLarge)
	require.NotErrorIs(t, err, queue.ErrFull)
	largest := make([]byte, 300<<10) // larger than a segment
	for range 10 {
		require.NoError(t, q.Append(t.Context(), queue.Logs, largest))
		q.drain(queue.Logs)
	}
}

func TestOldRecordsExpire(t *testing.T) {
	c := small()
	c.MaxAge = model.Duration(time.Hour)
	clock := newClock()
	q := open(t, t.TempDir(), c, queue.WithClock(clock.Now))
	q.append(queue.Logs, "old")
	clock.Add(30 * time.Minute)
	q.append(queue.Logs, "young")
	require.Equal(t, 30*time.Minute, q.Stats(queue.Logs).OldestAge)
	require.InDelta(t, 1800, q.counter("yagura_queue_oldest_record_age_seconds", map[string]string{"stream": "logs"}), 0)
	clock.Add(30*time.Minute + time.Millisecond)

	record, err := q.Peek(t.Context(), queue.Logs)
	require.NoError(t, err)
	require.Equal(t, "young", string(record.Payload))
	require.InDelta(t, 1, q.dropped(queue.Logs, queue.DropExpired), 0)
	require.NoError(t, q.Ack(queue.Logs, 1), "a late acknowledgement of it does no harm")
	require.Equal(t, 1, q.Stats(queue.Logs).Records)
}

func TestEveryAppendIsForcedToDiskOnRequest(t *testing.T) {
	c := small()
	c.Fsync = queue.FsyncAlways
	q := open(t, t.TempDir(), c)
	var appends sync.WaitGroup
	for range 8 {
		appends.Go(func() {
			for range 20 {
				q.append(queue.Logs, "x")
			}
		})
	}
	appends.Wait()
	payloads, _ := q.drain(queue.Logs)
	require.Len(t, payloads, 160)
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	require.NoError(t, queue.DefaultConfig().Validate())
	err := queue.Config{}.Validate()
	for _, field := range []string{"segmentBytes", "maxAge", "fsync", "fsyncInterval"} {
		require.ErrorContains(t, err, field+":")
	}
	c := queue.DefaultConfig()
	c.MaxBytes = 1 << 20
	require.ErrorContains(t, c.Validate(), "maxBytes:")
}
