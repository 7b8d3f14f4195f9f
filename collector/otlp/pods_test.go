package otlp

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/collector/kube"
	"github.com/yagura-dev/yagura/collector/queue"
)

// idle returns a receiver that does not run.
func idle(t testing.TB, p Pods, s Sink, senders int) *Receiver {
	t.Helper()
	c := DefaultConfig()
	c.GRPC, c.HTTP, c.MaxSenders = "", "", senders
	r, err := newReceiver(c, "dev", p, s, slog.New(slog.DiscardHandler), prometheus.NewRegistry(),
		clocktesting.NewFakeClock(time.Unix(1_800_000_000, 0)))
	require.NoError(t, err)
	return r
}

func TestAttributesOfTheSendersPod(t *testing.T) {
	gateway := kube.Pod{UID: "u2", Namespace: "infra", Name: "gateway-1", Node: "n1", Containers: []kube.Container{{Name: "a"}, {Name: "b"}}}
	address := netip.MustParseAddr("10.0.0.7")
	p := pods{
		byUID: map[string]kube.Pod{"u1": checkout, "u2": gateway},
		byIP:  map[netip.Addr]kube.Pod{address: checkout, netip.MustParseAddr("10.0.0.8"): gateway},
	}
	full := map[string]any{
		"k8s.cluster.name": "dev", "k8s.namespace.name": "shop", "k8s.pod.name": "checkout-1", "k8s.pod.uid": "u1",
		"k8s.node.name": "n1", "k8s.deployment.name": "checkout", "k8s.container.name": "app",
	}
	with := func(changes map[string]any) map[string]any {
		all := make(map[string]any)
		for _, m := range []map[string]any{full, changes} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	for name, test := range map[string]struct {
		peer        netip.Addr
		known, want map[string]any
	}{
		"by address":        {address, map[string]any{}, full},
		"by mapped address": {netip.MustParseAddr("::ffff:10.0.0.7").Unmap(), map[string]any{}, full},
		"nothing is overwritten": {address, map[string]any{"k8s.container.name": "mine", "k8s.cluster.name": "mine", "service.name": "s", "n": int64(1)},
			with(map[string]any{"k8s.container.name": "mine", "k8s.cluster.name": "mine", "service.name": "s", "n": int64(1)})},
		"not even another type": {address, map[string]any{"k8s.node.name": int64(5)}, with(map[string]any{"k8s.node.name": int64(5)})},
		"by uid":                {loopback, map[string]any{"k8s.pod.uid": "u1"}, full},
		"by pod address":        {loopback, map[string]any{"k8s.pod.ip": "10.0.0.7"}, with(map[string]any{"k8s.pod.ip": "10.0.0.7"})},
		"by container":          {loopback, map[string]any{"container.id": "c1"}, with(map[string]any{"container.id": "c1"})},
		"sent by a gateway for a pod elsewhere": {netip.MustParseAddr("10.0.0.8"),
			map[string]any{"k8s.pod.name": "other", "k8s.namespace.name": "shop"},
			map[string]any{"k8s.pod.name": "other", "k8s.namespace.name": "shop", "k8s.cluster.name": "dev"}},
		"sent by a gateway for a pod here": {netip.MustParseAddr("10.0.0.8"), map[string]any{"k8s.pod.uid": "u1"}, full},
		"several containers": {netip.MustParseAddr("10.0.0.8"), map[string]any{}, map[string]any{
			"k8s.cluster.name": "dev", "k8s.namespace.name": "infra", "k8s.pod.name": "gateway-1", "k8s.pod.uid": "u2", "k8s.node.name": "n1"}},
		"unknown": {loopback, map[string]any{"service.name": "s"}, map[string]any{"service.name": "s", "k8s.cluster.name": "dev"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink()
			r := idle(t, p, s, 10)
			refused := r.accept(context.Background(), r.signals[0], logs(t, test.known), test.peer)
			require.Nil(t, refused)
			require.Equal(t, test.want, resourceOf(t, s.last(t, queue.Logs)))
		})
	}
}

func TestHeartbeatsOfSenders(t *testing.T) {
	s := newSink()
	r := idle(t, pods{byIP: map[netip.Addr]kube.Pod{netip.MustParseAddr("10.0.0.7"): checkout}}, s, 3)
	send := func(peer string, attributes map[string]any) {
		require.Nil(t, r.accept(context.Background(), r.signals[0], logs(t, attributes), netip.MustParseAddr(peer)))
	}
	now := time.Unix(1_800_000_015, 0)
	require.NoError(t, r.beat(context.Background(), now))
	require.Zero(t, s.len(queue.Metrics), "nobody was heard")

	send("10.0.0.7", map[string]any{"service.name": "checkout"})
	send("10.0.0.7", map[string]any{"service.name": "checkout"})
	send("10.0.0.9", map[string]any{"service.name": "a"})
	send("10.0.0.9", map[string]any{"service.name": "b"})
	send("10.0.0.9", map[string]any{"service.name": "c"})
	require.NoError(t, r.beat(context.Background(), now))
	require.Equal(t, []string{
		`{__name__="yagura_log_source_heartbeat_timestamp_seconds", cluster="dev", service_name="a"} 1.800000015e+09`,
		`{__name__="yagura_log_source_heartbeat_timestamp_seconds", cluster="dev", service_name="b"} 1.800000015e+09`,
		`{__name__="yagura_log_source_heartbeat_timestamp_seconds", cluster="dev", container="app", namespace="shop", node="n1", pod="checkout-1", service_name="checkout"} 1.800000015e+09`,
	}, samples(t, s.records[queue.Metrics][0]))
	require.Equal(t, 1.0, testutil.ToFloat64(r.metrics.beyond), "c found no place")

	require.NoError(t, r.beat(context.Background(), now.Add(heartbeatInterval)))
	require.Len(t, s.records[queue.Metrics], 1, "only while it is heard")

	send("10.0.0.9", map[string]any{"service.name": "a"})
	s.err = queue.ErrFull
	require.ErrorIs(t, r.beat(context.Background(), now), queue.ErrFull)
	require.Equal(t, 1.0, testutil.ToFloat64(r.metrics.lostBeats))
}

// stuck is a sink in which log lines wait for that long.
type stuck struct {
	Sink
	oldest time.Duration
}

func (s stuck) Stats(queue.Stream) queue.Stats { return queue.Stats{OldestAge: s.oldest} }

func TestNoHeartbeatWhileLinesDoNotGetThrough(t *testing.T) {
	for oldest, beats := range map[time.Duration]int{0: 1, heartbeatInterval: 1, heartbeatInterval + 1: 0} {
		s := newSink()
		r := idle(t, pods{}, stuck{s, oldest}, 3)
		require.Nil(t, r.accept(context.Background(), r.signals[0], logs(t, map[string]any{"service.name": "a"}), netip.MustParseAddr("10.0.0.9")))
		require.NoError(t, r.beat(context.Background(), time.Unix(1_800_000_015, 0)))
		require.Len(t, s.records[queue.Metrics], beats, "lines wait for %s", oldest)
	}
}

func samples(t *testing.T, payload []byte) (list []string) {
	t.Helper()
	content, err := s2.Decode(nil, payload)
	require.NoError(t, err)
	var request writev2.Request
	require.NoError(t, request.Unmarshal(content))
	builder := labels.NewScratchBuilder(8)
	for _, series := range request.Timeseries {
		l, err := series.ToLabels(&builder, request.Symbols)
		require.NoError(t, err)
		list = append(list, strings.TrimSpace(l.String()+" "+strings.TrimSpace(prometheusFloat(series.Samples[0].Value))))
	}
	return list
}

func prometheusFloat(v float64) string { return strconv.FormatFloat(v, 'e', -1, 64) }
