package otlp

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the package's own.
type metrics struct {
	requests  *prometheus.CounterVec
	refused   *prometheus.CounterVec
	bytes     *prometheus.CounterVec
	beyond    prometheus.Counter
	lostBeats prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_otlp_requests_total",
			Help: "Requests received, by signal and protocol.",
		}, []string{"signal", "protocol"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_otlp_requests_refused_total",
			Help: "Requests that were not accepted, by signal and reason.",
		}, []string{"signal", "reason"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_otlp_received_bytes_total",
			Help: "Bytes of requests before compression, by signal.",
		}, []string{"signal"}),
		beyond: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_otlp_senders_beyond_limit_total",
			Help: "Resources whose sender got no heartbeat because of maxSenders.",
		}),
		lostBeats: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_otlp_heartbeats_lost_total",
			Help: "Heartbeats of senders that the queue did not take.",
		}),
	}
	for _, collector := range []prometheus.Collector{m.requests, m.refused, m.bytes, m.beyond, m.lostBeats} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("register the metrics of the OTLP receiver: %w", err)
		}
	}
	return m, nil
}
