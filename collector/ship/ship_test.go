package ship_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/collector/queue"
	"github.com/yagura-dev/yagura/collector/ship"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// got is one request as the receiver saw it.
type got struct {
	path, id, body string
	header         http.Header
}

// receiver answers each request with the next answer, the last one for ever.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	requests []got
	answer   func(n int, r got, w http.ResponseWriter) // n counts from 0
}

func newReceiver(t *testing.T, answer func(n int, r got, w http.ResponseWriter)) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		g := got{path: req.URL.Path, id: req.Header.Get("Yagura-Batch"), body: string(body), header: req.Header}
		r.mu.Lock()
		n := len(r.requests)
		r.requests = append(r.requests, g)
		r.mu.Unlock()
		r.answer(n, g, w)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) seen() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]got{}, r.requests...)
}

func status(codes ...int) func(int, got, http.ResponseWriter) {
	return func(n int, _ got, w http.ResponseWriter) {
		w.WriteHeader(codes[min(n, len(codes)-1)])
	}
}

// rig is a running shipper on a real queue.
type rig struct {
	t     *testing.T
	queue *queue.Queue
	clock *clocktesting.FakeClock
	reg   *prometheus.Registry
}

func start(t *testing.T, config ship.Config) *rig {
	t.Helper()
	r := &rig{t: t, clock: clocktesting.NewFakeClock(time.UnixMilli(1_800_000_000_000)), reg: prometheus.NewPedanticRegistry()}
	var err error
	r.queue, err = queue.Open(t.TempDir(), queue.DefaultConfig(), quiet, r.reg, queue.WithClock(r.clock.Now))
	require.NoError(t, err)
	s, err := ship.New(config, r.queue, quiet, r.reg, ship.WithClock(r.clock))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, r.queue.Close())
	})
	return r
}

func config(url string) ship.Config {
	c := ship.DefaultConfig()
	c.URL = url
	return c
}

func (r *rig) append(s queue.Stream, payload string) {
	r.t.Helper()
	require.NoError(r.t, r.queue.Append(r.t.Context(), s, []byte(payload)))
}

func (r *rig) eventually(what string, condition func() bool) {
	r.t.Helper()
	require.Eventually(r.t, condition, 20*time.Second, time.Millisecond, what)
}

// skip lets the shipper's next wait pass.
func (r *rig) skip(d time.Duration) {
	r.t.Helper()
	r.eventually("the shipper waits", r.clock.HasWaiters)
	r.clock.Step(d)
}

func (r *rig) drained(s queue.Stream) {
	r.t.Helper()
	r.eventually("stream "+string(s)+" is drained", func() bool { return r.queue.Stats(s).Records == 0 })
}

func (r *rig) metric(name string, labels map[string]string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	require.NoError(r.t, err)
	var sum float64
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
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func TestEachStreamSpeaksItsProtocol(t *testing.T) {
	receiver := newReceiver(t, status(200))
	c := config(receiver.URL + "/base/")
	c.Headers = map[string]string{"Authorization": "Bearer secret", "X-Scope": "all"}
	c.Streams = map[queue.Stream]ship.StreamConfig{
		queue.Traces: {URL: receiver.URL + "/elsewhere", Headers: map[string]string{"X-Scope": "traces"}},
	}
	r := start(t, c)
	for _, s := range queue.Streams() {
		r.append(s, "payload of "+string(s))
		r.drained(s)
	}
	want := map[queue.Stream]struct{ path, contentType, encoding, version, scope string }{
		queue.Logs:        {"/base/v1/logs", "application/x-protobuf", "gzip", "", "all"},
		queue.Traces:      {"/elsewhere", "application/x-protobuf", "gzip", "", "traces"},
		queue.OTLPMetrics: {"/base/v1/metrics", "application/x-protobuf", "gzip", "", "all"},
		queue.Metrics: {"/base/prometheus/api/v1/write",
			"application/x-protobuf;proto=io.prometheus.write.v2.Request", "snappy", "2.0.0", "all"},
	}
	requests := receiver.seen()
	require.Len(t, requests, len(want))
	for i, s := range queue.Streams() {
		g := requests[i]
		require.Equal(t, want[s].path, g.path)
		require.Equal(t, "payload of "+string(s), g.body, "as it is in the queue")
		require.Equal(t, fmt.Sprintf("%s/%s/1", r.queue.ID(), s), g.id)
		require.Equal(t, want[s].contentType, g.header.Get("Content-Type"))
		require.Equal(t, want[s].encoding, g.header.Get("Content-Encoding"))
		require.Equal(t, want[s].version, g.header.Get("X-Prometheus-Remote-Write-Version"))
		require.Equal(t, want[s].scope, g.header.Get("X-Scope"))
	}
	require.Equal(t, "Bearer secret", requests[0].header.Get("Authorization"))
	require.Empty(t, requests[1].header.Get("Authorization"))
	problems, err := testutil.GatherAndLint(r.reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestRepeatIsTheSameRequest(t *testing.T) {
	receiver := newReceiver(t, func(n int, _ got, w http.ResponseWriter) {
		switch n {
		case 0:
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			panic(http.ErrAbortHandler) // taken in, but the answer is lost
		}
	})
	r := start(t, config(receiver.URL))
	r.append(queue.Logs, "one")
	r.append(queue.Logs, "two")
	r.eventually("the shipper waits", r.clock.HasWaiters)
	r.clock.Step(59 * time.Second)
	require.Len(t, receiver.seen(), 1, "Retry-After is longer than the backoff")
	r.clock.Step(time.Second)
	r.eventually("a second request", func() bool { return len(receiver.seen()) == 2 })
	r.skip(time.Minute)
	r.drained(queue.Logs)

	var bodies, ids []string
	for _, g := range receiver.seen() {
		bodies = append(bodies, g.body)
		ids = append(ids, g.id)
	}
	require.Equal(t, []string{"one", "one", "one", "two"}, bodies)
	require.Equal(t, ids[0], ids[1])
	require.Equal(t, ids[0], ids[2])
	require.NotEqual(t, ids[0], ids[3])
	require.InDelta(t, 2, r.metric("yagura_queue_acked_records_total", nil), 0)
}

func TestReceiverThatIsAwayLosesNothing(t *testing.T) {
	receiver := newReceiver(t, status(200))
	url := receiver.URL
	receiver.Close()
	r := start(t, config(url))
	r.append(queue.Metrics, "kept")
	for range 20 {
		r.skip(time.Minute)
	}
	require.Equal(t, 1, r.queue.Stats(queue.Metrics).Records)
	require.Positive(t, r.metric("yagura_ship_requests_total", map[string]string{"code": "error"}))
}

func TestRefusedBatchIsDroppedAndCounted(t *testing.T) {
	receiver := newReceiver(t, status(400, 415, 422, 200))
	r := start(t, config(receiver.URL))
	for _, payload := range []string{"a", "b", "c", "good"} {
		r.append(queue.Metrics, payload)
	}
	r.drained(queue.Metrics)
	for _, reason := range []string{"http_400", "http_415", "http_422"} {
		labels := map[string]string{"stream": "metrics", "reason": reason}
		require.InDelta(t, 1, r.metric("yagura_ship_dropped_records_total", labels), 0)
		require.InDelta(t, 1, r.metric("yagura_queue_dropped_records_total", labels), 0)
	}
	require.InDelta(t, 1, r.metric("yagura_queue_acked_records_total", nil), 0)
}

func TestWrongTokenCostsNothing(t *testing.T) {
	receiver := newReceiver(t, status(401, 403, 404, 302, 200))
	r := start(t, config(receiver.URL))
	r.append(queue.Logs, "a")
	r.append(queue.Logs, "b")
	for i := range 4 {
		r.eventually("another attempt", func() bool { return len(receiver.seen()) == i+1 && r.clock.HasWaiters() })
		r.clock.Step(2 * time.Second)
		require.Len(t, receiver.seen(), i+1, "the wait is long")
		r.clock.Step(time.Minute)
	}
	r.drained(queue.Logs)
	require.Zero(t, r.metric("yagura_ship_dropped_records_total", nil))
	require.InDelta(t, 2, r.metric("yagura_queue_acked_records_total", nil), 0)
}

func TestPoisonousBatchIsGivenUpInTheEnd(t *testing.T) {
	receiver := newReceiver(t, func(_ int, g got, w http.ResponseWriter) {
		if g.body == "poison" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	r := start(t, config(receiver.URL))
	r.append(queue.Traces, "poison")
	r.append(queue.Traces, "good")
	for range 20 {
		if r.queue.Stats(queue.Traces).Records < 2 {
			break
		}
		r.eventually("the shipper waits or is through", func() bool {
			return r.clock.HasWaiters() || r.queue.Stats(queue.Traces).Records < 2
		})
		r.clock.Step(time.Minute)
	}
	r.drained(queue.Traces)
	require.InDelta(t, 1, r.metric("yagura_ship_dropped_records_total", map[string]string{"reason": "http_500"}), 0)
	require.InDelta(t, 1, r.metric("yagura_queue_acked_records_total", nil), 0)
	require.Greater(t, len(receiver.seen()), 10)
}

func TestRecordThatExpiresMeanwhileIsNotSent(t *testing.T) {
	receiver := newReceiver(t, status(503, 200))
	r := start(t, config(receiver.URL))
	r.append(queue.Logs, "old")
	r.eventually("the shipper waits", r.clock.HasWaiters)
	r.clock.Step(13 * time.Hour)
	r.append(queue.Logs, "young")
	r.drained(queue.Logs)
	requests := receiver.seen()
	require.Equal(t, "young", requests[len(requests)-1].body)
	require.InDelta(t, 1, r.metric("yagura_queue_dropped_records_total", map[string]string{"reason": "expired"}), 0)
}

func TestPartialSuccessIsCounted(t *testing.T) {
	receiver := newReceiver(t, func(_ int, _ got, w http.ResponseWriter) {
		response := plogotlp.NewExportResponse()
		response.PartialSuccess().SetRejectedLogRecords(3)
		response.PartialSuccess().SetErrorMessage("too old")
		body, _ := response.MarshalProto()
		_, _ = w.Write(body)
	})
	r := start(t, config(receiver.URL))
	r.append(queue.Logs, "a")
	r.drained(queue.Logs)
	r.eventually("it is counted", func() bool {
		return r.metric("yagura_ship_rejected_items_total", map[string]string{"stream": "logs"}) == 3
	})
	require.Len(t, receiver.seen(), 1, "what was left out is not sent again")
}

func TestOneStreamDoesNotHoldUpAnother(t *testing.T) {
	receiver := newReceiver(t, func(_ int, g got, w http.ResponseWriter) {
		if g.path == "/v1/logs" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	r := start(t, config(receiver.URL))
	r.append(queue.Logs, "stuck")
	for range 10 {
		r.append(queue.Metrics, "m")
	}
	r.drained(queue.Metrics)
	require.Equal(t, 1, r.queue.Stats(queue.Logs).Records)
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	require.NoError(t, ship.DefaultConfig().Validate())
	c := ship.Config{
		URL: "localhost:9428", Headers: map[string]string{"content-type": "x", "a b": "c", "X": "y\nz"},
		Streams: map[queue.Stream]ship.StreamConfig{"smoke": {URL: "ftp://x"}},
	}
	err := c.Validate()
	for _, want := range []string{"url:", "headers: content-type", `headers: "a b"`, `headers: "X"`, "streams.smoke:",
		"streams.smoke.url:", "timeout:", "minBackoff:", "giveUpAfter:"} {
		require.ErrorContains(t, err, want)
	}
}
