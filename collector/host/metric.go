package host

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/metadata"
)

// metric is what all series of one name have in common.
type metric struct {
	name string
	meta metadata.Metadata
}

func counter(name, help string) *metric {
	return &metric{name: name, meta: metadata.Metadata{Type: model.MetricTypeCounter, Help: help}}
}

func gauge(name, help string) *metric {
	return &metric{name: name, meta: metadata.Metadata{Type: model.MetricTypeGauge, Help: help}}
}

// family makes metrics whose names the kernel chooses, each once.
type family struct {
	make    func(name string) *metric
	metrics map[string]*metric
}

func newFamily(mk func(name string) *metric) *family {
	return &family{make: mk, metrics: make(map[string]*metric)}
}

// get returns the metric of a kernel name.
func (f *family) get(name []byte) *metric {
	if m, ok := f.metrics[string(name)]; ok {
		return m
	}
	m := f.make(string(name))
	f.metrics[string(name)] = m
	return m
}
