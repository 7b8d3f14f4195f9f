package podlogs

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// dropTooLarge is a batch that the queue can never hold.
const dropTooLarge = "too_large"

type metrics struct {
	lines, bytes, truncations, split prometheus.Counter
	malformed, invalidUTF8, errors   prometheus.Counter
	dropped                          *prometheus.CounterVec
	files, lag, stalled              prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "yagura_podlogs_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "yagura_podlogs_" + name, Help: help})
	}
	m := &metrics{
		lines:       counter("lines_total", "Lines handed to the queue."),
		bytes:       counter("read_bytes_total", "Bytes of log files taken."),
		truncations: counter("truncations_total", "Files that were truncated while they were read."),
		split:       counter("split_lines_total", "Cuts of lines longer than maxLineBytes."),
		malformed:   counter("malformed_lines_total", "Lines of container logs that are not in the CRI format; they are sent as they are."),
		invalidUTF8: counter("invalid_utf8_lines_total", "Lines with bytes that are not UTF-8, which were replaced."),
		errors:      counter("errors_total", "Failures to list, open or read files."),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_podlogs_dropped_lines_total", Help: "Lines that were given up, by reason.",
		}, []string{"reason"}),
		files:   gauge("open_files", "Files that are being read."),
		lag:     gauge("lag_bytes", "Bytes of open files that were not read yet."),
		stalled: gauge("stalled", "1 while nothing is read because the queue takes nothing."),
	}
	m.dropped.WithLabelValues(dropTooLarge)
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.lines, m.bytes, m.truncations, m.split, m.malformed, m.invalidUTF8,
		m.errors, m.dropped, m.files, m.lag, m.stalled} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register podlogs metrics: %w", err)
		}
	}
	return m, nil
}
