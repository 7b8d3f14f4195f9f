package podlogs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/collector/podlogs"
	"github.com/yagura-dev/yagura/collector/queue"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashChildEnv); dir != "" {
		crashChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// rig is a tailer on a real queue and real files, under a clock that runs fast.
type rig struct {
	t        *testing.T
	pods     string // folder of container logs
	plain    string // folder of plain files
	queueDir string
	config   podlogs.Config
	queueCfg queue.Config
	metadata podlogs.Metadata

	clock *clocktesting.FakeClock
	queue *queue.Queue
	reg   *prometheus.Registry
	full  atomic.Bool // the queue takes no lines
	stop  func()
}

// fillable is the queue with a switch.
type fillable struct {
	*queue.Queue
	full *atomic.Bool
}

func (q fillable) AppendWithPositions(ctx context.Context, s queue.Stream, payload []byte, p queue.Positions) error {
	if q.full.Load() {
		return queue.ErrFull
	}
	return q.Queue.AppendWithPositions(ctx, s, payload, p)
}

func newRig(t *testing.T) *rig {
	dir := t.TempDir()
	r := &rig{
		t: t, pods: filepath.Join(dir, "pods"), plain: filepath.Join(dir, "plain"), queueDir: filepath.Join(dir, "queue"),
		config: podlogs.DefaultConfig(), queueCfg: queue.DefaultConfig(),
		clock: clocktesting.NewFakeClock(time.Date(2027, 1, 2, 3, 0, 0, 0, time.UTC)),
	}
	require.NoError(t, os.Mkdir(r.plain, 0o700))
	r.config.PodsDir = r.pods
	t.Cleanup(func() {
		if r.stop != nil {
			r.stop()
		}
	})
	return r
}

// start opens the queue and runs a tailer until stop.
func (r *rig) start() {
	r.t.Helper()
	r.reg = prometheus.NewPedanticRegistry()
	var err error
	r.queue, err = queue.Open(r.queueDir, r.queueCfg, quiet, r.reg)
	require.NoError(r.t, err)
	tailer, err := podlogs.New(r.config, fillable{r.queue, &r.full}, r.metadata, quiet, r.reg, podlogs.WithClock(r.clock))
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var both sync.WaitGroup
	both.Go(func() { done <- tailer.Run(ctx) })
	both.Go(func() {
		for ctx.Err() == nil {
			r.clock.Step(250 * time.Millisecond)
			time.Sleep(200 * time.Microsecond)
		}
	})
	r.stop = func() {
		cancel()
		both.Wait()
		require.NoError(r.t, <-done)
		require.NoError(r.t, r.queue.Close())
		r.stop = nil
	}
}

// got is one line as it was queued.
type got struct {
	body, stream string
	time         time.Time
	resource     map[string]any
}

// drain takes the lines out of the queue that are there.
func (r *rig) drain() []got {
	r.t.Helper()
	var lines []got
	for r.queue.Stats(queue.Logs).Records > 0 {
		record, err := r.queue.Peek(r.t.Context(), queue.Logs)
		require.NoError(r.t, err)
		lines = append(lines, decode(r.t, record.Payload)...)
		require.NoError(r.t, r.queue.Ack(queue.Logs, record.Sequence))
	}
	return lines
}

func decode(t testing.TB, payload []byte) []got {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(payload))
	require.NoError(t, err)
	proto, err := io.ReadAll(zip)
	require.NoError(t, err)
	request := plogotlp.NewExportRequest()
	require.NoError(t, request.UnmarshalProto(proto))
	var lines []got
	for _, rl := range request.Logs().ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				g := got{
					body: record.Body().Str(), time: record.Timestamp().AsTime(), resource: rl.Resource().Attributes().AsRaw(),
				}
				if s, ok := record.Attributes().Get("log.iostream"); ok {
					g.stream = s.Str()
				}
				require.NotZero(t, record.ObservedTimestamp())
				lines = append(lines, g)
			}
		}
	}
	return lines
}

// lines waits for n lines and returns their bodies; more than n fail the test
// later, at the next call.
func (r *rig) lines(n int) []string {
	r.t.Helper()
	var bodies []string
	for _, g := range r.whole(n) {
		bodies = append(bodies, g.body)
	}
	return bodies
}

func (r *rig) whole(n int) []got {
	r.t.Helper()
	var lines []got
	require.Eventually(r.t, func() bool {
		lines = append(lines, r.drain()...)
		return len(lines) >= n
	}, 20*time.Second, time.Millisecond, "%d lines", n)
	require.Len(r.t, lines, n)
	return lines
}

// settle lets the tailer look at everything some times.
func (r *rig) settle() {
	r.t.Helper()
	r.pass(10 * time.Second)
}

func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	until := r.clock.Now().Add(d)
	require.Eventually(r.t, func() bool { return r.clock.Now().After(until) }, 20*time.Second, time.Millisecond)
}

func (r *rig) metric(name string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	require.NoError(r.t, err)
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	r.t.Fatalf("there is no metric %s", name)
	return 0
}

// container returns the path of a container's log file, whose folder it makes.
func (r *rig) container(namespace, pod, uid, container string) string {
	r.t.Helper()
	dir := filepath.Join(r.pods, namespace+"_"+pod+"_"+uid, container)
	require.NoError(r.t, os.MkdirAll(dir, 0o700))
	return filepath.Join(dir, "0.log")
}

var stamp = time.Date(2027, 1, 2, 2, 0, 0, 123456789, time.UTC)

// cri formats entries of the CRI log format, each "<stream> <tag> <text>".
func cri(entries ...string) string {
	var b bytes.Buffer
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %s\n", stamp.Format(time.RFC3339Nano), e)
	}
	return b.String()
}

func (r *rig) write(path, text string) {
	r.t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(r.t, err)
	_, err = file.WriteString(text)
	require.NoError(r.t, err)
	require.NoError(r.t, file.Close())
}
