package ship

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/yagura-dev/yagura/collector/queue"
)

type metrics struct {
	requests, bytes    *prometheus.CounterVec
	dropped, rejected  *prometheus.CounterVec
	duration           *prometheus.HistogramVec
	lastSuccess, state *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "yagura_ship_" + name, Help: help},
			append([]string{"stream"}, labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "yagura_ship_" + name, Help: help}, []string{"stream"})
	}
	m := &metrics{
		requests: counter("requests_total", "Requests by status code; error where there was no answer.", "code"),
		bytes:    counter("sent_bytes_total", "Bytes of payload that were accepted."),
		dropped:  counter("dropped_records_total", "Records that the receiver refused for good, by status code.", "reason"),
		rejected: counter("rejected_items_total", "Log records, spans and data points left out of accepted requests."),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "yagura_ship_request_duration_seconds", Help: "Time from request to answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}, []string{"stream"}),
		lastSuccess: gauge("last_success_timestamp_seconds", "When a record was accepted last."),
		state:       gauge("failing_attempts", "Attempts of the oldest record that failed so far; 0 while all is well."),
	}
	for _, s := range queue.Streams() {
		m.rejected.WithLabelValues(string(s))
		m.bytes.WithLabelValues(string(s))
		m.state.WithLabelValues(string(s))
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.bytes, m.dropped, m.rejected, m.duration, m.lastSuccess, m.state} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register ship metrics: %w", err)
		}
	}
	return m, nil
}
