package ingest

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// serviceNameLabel is the label that pages about logs begin with.
const serviceNameLabel = "service_name"

// defaultServiceLabels are the labels that a service's name is taken from, the best
// first, as Loki has them by default.
func defaultServiceLabels() []string {
	return []string{
		"service", "app", "application", "app_name", "name", "app_kubernetes_io_name",
		"container", "container_name", "k8s_container_name", "component", "workload", "job", "k8s_job_name",
	}
}

// withServiceName adds the label service_name to a log stream that has none: the
// value of the first of DiscoverServiceName that it has.
func (c Config) withServiceName(ls labels.Labels) labels.Labels {
	if len(c.DiscoverServiceName) == 0 || ls.Has(serviceNameLabel) {
		return ls
	}
	name, best := unknownService, len(c.DiscoverServiceName)
	ls.Range(func(l labels.Label) {
		if i := slices.Index(c.DiscoverServiceName[:best], l.Name); i >= 0 && l.Value != "" {
			name, best = l.Value, i
		}
	})
	b := labels.NewScratchBuilder(ls.Len() + 1)
	ls.Range(func(l labels.Label) { b.Add(l.Name, l.Value) })
	b.Add(serviceNameLabel, name)
	b.Sort()
	return b.Labels()
}
