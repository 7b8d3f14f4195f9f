package podlogs

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/metadata"

	"github.com/yagura-dev/yagura/collector/queue"
	"github.com/yagura-dev/yagura/collector/sample"
)

const (
	heartbeatInterval = 15 * time.Second
	heartbeatMetric   = "yagura_log_source_heartbeat_timestamp_seconds"
)

var heartbeatMetadata = metadata.Metadata{
	Type: "gauge", Unit: "seconds",
	Help: "When a source of logs was last read to its end, whether or not it had lines.",
}

// heartbeat tells that sources are being read even if they have nothing to say, so
// that no lines can be told from no knowledge. It says so only of what is true: of
// files that were read to their end lately, and while lines get through at all.
func (t *Tailer) heartbeat(ctx context.Context) {
	if t.payload != nil || t.queue.Stats(queue.Logs).OldestAge > heartbeatInterval {
		return
	}
	now := t.clock.Now()
	var b sample.Batch
	sent := map[string]bool{}
	for _, f := range t.order {
		if f.rotated || now.Sub(f.seen) >= quietBefore || now.Sub(f.caughtUp) > heartbeatInterval {
			continue
		}
		l := resourceOf(f.origin, t.config, t.metadata).labels(heartbeatMetric)
		if key := l.String(); !sent[key] { // two files of a container are one source
			sent[key] = true
			b.Add(sample.Sample{
				Labels: l, Timestamp: now.UnixMilli(), Value: float64(now.UnixMilli()) / 1000, Metadata: heartbeatMetadata,
			})
		}
	}
	if b.Len() == 0 {
		return
	}
	payload, err := b.Encode()
	if err == nil {
		err = t.queue.Append(ctx, queue.Metrics, payload)
	}
	if err != nil && ctx.Err() == nil {
		t.trouble("the heartbeat of log sources cannot be sent", err)
	}
}
