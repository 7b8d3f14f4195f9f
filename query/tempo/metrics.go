package tempo

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	queries *prometheus.CounterVec
	seconds prometheus.Histogram
	bytes   prometheus.Counter
	rows    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_tempo_queries_total", Help: "Requests of TraceQL queries, tag lists and traces by outcome.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "yagura_tempo_query_duration_seconds", Help: "Time that they took, waiting for a slot included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_tempo_query_read_bytes_total", Help: "Uncompressed bytes that the store decoded for them.",
		}),
		rows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_tempo_query_read_rows_total", Help: "Rows that the store decoded for them.",
		}),
	}
	for _, o := range []string{"success", "not_found", "bad_request", "limit", "timeout", "canceled", "unavailable", "error"} {
		m.queries.WithLabelValues(o)
	}
	if reg != nil {
		reg.MustRegister(m.queries, m.seconds, m.bytes, m.rows)
	}
	return m
}
