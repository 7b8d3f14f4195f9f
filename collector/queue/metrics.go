package queue

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Reasons why a record was dropped without being delivered.
const (
	// DropExpired is a record older than Config.MaxAge.
	DropExpired = "expired"
	// DropCorrupt is a record that could not be read back from disk.
	DropCorrupt = "corrupt"
)

type metrics struct {
	appended, appendedBytes, acked *prometheus.CounterVec
	dropped, refused               *prometheus.CounterVec
	damaged, torn                  *prometheus.CounterVec
	errors                         *prometheus.CounterVec
	fsync                          prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "yagura_queue_" + name, Help: help},
			append([]string{"stream"}, labels...))
	}
	m := &metrics{
		appended:      counter("appended_records_total", "Records accepted from sources."),
		appendedBytes: counter("appended_bytes_total", "Bytes of payload accepted from sources."),
		acked:         counter("acked_records_total", "Records that were delivered and acknowledged."),
		dropped:       counter("dropped_records_total", "Records given up without being delivered, by reason.", "reason"),
		refused:       counter("refused_appends_total", "Appends that were refused, by reason; the source keeps the data.", "reason"),
		damaged:       counter("damaged_regions_total", "Damaged places found in segment files when the queue was opened."),
		torn:          counter("torn_bytes_total", "Bytes of unfinished writes cut off when the queue was opened."),
		errors:        counter("errors_total", "Errors of the file system, by operation.", "operation"),
		fsync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "yagura_queue_fsync_duration_seconds", Help: "Time to force records to disk.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 10),
		}),
	}
	for _, s := range Streams() {
		m.dropped.WithLabelValues(string(s), DropExpired)
		m.dropped.WithLabelValues(string(s), DropCorrupt)
		m.refused.WithLabelValues(string(s), "full")
	}
	for _, c := range []prometheus.Collector{
		m.appended, m.appendedBytes, m.acked, m.dropped, m.refused, m.damaged, m.torn, m.errors, m.fsync,
	} {
		if err := register(reg, c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func register(reg prometheus.Registerer, c prometheus.Collector) error {
	if reg == nil {
		return nil
	}
	return reg.Register(c)
}

var (
	bytesDesc = prometheus.NewDesc("yagura_queue_bytes",
		"Bytes of segment files on disk.", []string{"stream"}, nil)
	recordsDesc = prometheus.NewDesc("yagura_queue_records",
		"Records that are not acknowledged yet.", []string{"stream"}, nil)
	ageDesc = prometheus.NewDesc("yagura_queue_oldest_record_age_seconds",
		"Age of the oldest record that is not acknowledged yet; 0 without one.", []string{"stream"}, nil)
	limitDesc = prometheus.NewDesc("yagura_queue_limit_bytes",
		"Bytes that all streams together may use.", nil, nil)
)

// Describe implements prometheus.Collector.
func (q *Queue) Describe(ch chan<- *prometheus.Desc) {
	ch <- bytesDesc
	ch <- recordsDesc
	ch <- ageDesc
	ch <- limitDesc
}

// Collect implements prometheus.Collector: the state of the queue as it is now.
func (q *Queue) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(limitDesc, prometheus.GaugeValue, float64(q.budget.max))
	for _, stream := range Streams() {
		st := q.Stats(stream)
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, string(stream))
		}
		gauge(bytesDesc, float64(st.Bytes))
		gauge(recordsDesc, float64(st.Records))
		gauge(ageDesc, st.OldestAge.Seconds())
	}
}
