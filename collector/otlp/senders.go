package otlp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"

	"github.com/yagura-dev/yagura/collector/queue"
	"github.com/yagura-dev/yagura/collector/sample"
)

// heartbeatMetric says of a source of signals that it is alive. A query that
// finds no log line may take that for "nothing happened" only while it is fresh.
const heartbeatMetric = "yagura_log_source_heartbeat_timestamp_seconds"

// heartbeatInterval is how often the senders that were heard are told.
const heartbeatInterval = 15 * time.Second

// unknownService is the service name of a resource without any of the labels.
const unknownService = "unknown_service"

// sender is who a resource says it is: the labels of its signals.
type sender struct{ service, cluster, namespace, pod, container, node string }

// senderOf reads the sender from the attributes of a resource and those that
// were added.
func senderOf(known resource, added []attribute) sender {
	get := func(key string) string {
		if known.has(key) {
			return known[key]
		}
		for _, a := range added {
			if a.key == key {
				return a.value
			}
		}
		return ""
	}
	s := sender{
		service: get(attrServiceName), cluster: get(attrCluster), namespace: get(attrNamespace),
		pod: get(attrPod), container: get(attrContainer), node: get(attrNode),
	}
	if s == (sender{}) {
		s.service = unknownService
	}
	return s
}

// senders are those heard since the last tick. It is safe for concurrent use.
type senders struct {
	limit int

	mu     sync.Mutex
	heard  map[sender]struct{}
	beyond int // resources of senders that found no place
}

func newSenders(limit int) *senders {
	return &senders{limit: limit, heard: make(map[sender]struct{})}
}

func (s *senders) hear(list []sender) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range list {
		if _, again := s.heard[one]; again {
			continue
		}
		if len(s.heard) >= s.limit {
			s.beyond++
			continue
		}
		s.heard[one] = struct{}{}
	}
}

// take returns who was heard since the last call, in a fixed order.
func (s *senders) take() (list []sender, beyond int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.heard {
		list = append(list, one)
	}
	beyond = s.beyond
	s.heard, s.beyond = make(map[sender]struct{}), 0
	slices.SortFunc(list, func(a, b sender) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.pod, b.pod),
			cmp.Compare(a.container, b.container), cmp.Compare(a.service, b.service),
			cmp.Compare(a.node, b.node), cmp.Compare(a.cluster, b.cluster))
	})
	return list, beyond
}

// heartbeats tells who was heard, until ctx is done.
func (r *Receiver) heartbeats(ctx context.Context) {
	ticker := r.clock.NewTicker(heartbeatInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C():
			if err := r.beat(ctx, now); err != nil {
				r.log.Debug("heartbeats of senders are lost", "err", err)
			}
		}
	}
}

// backlog is a sink that can say what waits in it, as the disk queue can.
type backlog interface {
	Stats(s queue.Stream) queue.Stats
}

// logsAreStuck says whether log lines wait in the queue for longer than a heartbeat
// vouches for. A source whose lines do not get through must not look alive: an
// empty answer would then pass for a true zero.
func (r *Receiver) logsAreStuck() bool {
	b, ok := r.sink.(backlog)
	return ok && b.Stats(queue.Logs).OldestAge > heartbeatInterval
}

func (r *Receiver) beat(ctx context.Context, now time.Time) error {
	list, beyond := r.senders.take()
	r.metrics.beyond.Add(float64(beyond))
	if len(list) == 0 || r.logsAreStuck() {
		return nil
	}
	var batch sample.Batch
	for _, s := range list {
		batch.Add(sample.Sample{
			Labels: labels.FromStrings(model.MetricNameLabel, heartbeatMetric, "cluster", s.cluster, "container", s.container,
				"namespace", s.namespace, "node", s.node, "pod", s.pod, "service_name", s.service),
			Timestamp: now.UnixMilli(),
			Value:     float64(now.UnixMilli()) / 1000,
			Metadata: metadata.Metadata{
				Type: model.MetricTypeGauge, Help: "When a source of logs, traces or metrics was last known to be alive.",
			},
		})
	}
	payload, err := batch.Encode()
	if err != nil {
		return fmt.Errorf("encode the heartbeats of %d senders: %w", len(list), err)
	}
	if err := r.sink.Append(ctx, queue.Metrics, payload); err != nil {
		r.metrics.lostBeats.Add(float64(len(list)))
		return fmt.Errorf("queue the heartbeats of %d senders: %w", len(list), err)
	}
	return nil
}
