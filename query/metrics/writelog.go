package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// outOfOrderLogFailures names the counter of failed writes to the TSDB's second
// write-ahead log, the one for out-of-order samples.
const outOfOrderLogFailures = "prometheus_tsdb_out_of_order_wbl_writes_failed_total"

// logWatch sees whether the out-of-order log could be written. The TSDB's Commit
// logs such a failure, counts it and returns nil, so its own counter is the only
// way to learn that samples are in memory but not on disk. logWatch passes every
// registration through and keeps hold of that counter.
type logWatch struct {
	prometheus.Registerer
	counter prometheus.Collector
}

func (w *logWatch) Register(c prometheus.Collector) error {
	w.see(c)
	return w.Registerer.Register(c)
}

func (w *logWatch) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		w.see(c)
	}
	w.Registerer.MustRegister(cs...)
}

func (w *logWatch) see(c prometheus.Collector) {
	descs := make(chan *prometheus.Desc)
	go func() {
		c.Describe(descs)
		close(descs)
	}()
	for d := range descs {
		if strings.Contains(d.String(), `"`+outOfOrderLogFailures+`"`) {
			w.counter = c
		}
	}
}

// failures is the number of writes that failed so far, and false when the TSDB no
// longer has such a counter.
func (w *logWatch) failures() (float64, bool) {
	if w.counter == nil {
		return 0, false
	}
	ms := make(chan prometheus.Metric, 1)
	w.counter.Collect(ms)
	var m dto.Metric
	if err := (<-ms).Write(&m); err != nil {
		return 0, false
	}
	return m.GetCounter().GetValue(), true
}
