package columnar

import (
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// tables lists every table, in the order in which they are written.
var tables = []Table{Logs, Spans}

// String is the table's name in metrics, messages and file names.
func (t Table) String() string {
	switch t {
	case Logs:
		return "logs"
	case Spans:
		return "spans"
	}
	return "unknown"
}

func (t Tenant) clone() Tenant {
	return Tenant{Cluster: strings.Clone(t.Cluster), Namespace: strings.Clone(t.Namespace)}
}

// compareStreams is the order of streams in a part: by tenant, then labels, so
// that similar rows lie next to each other.
func compareStreams(a, b *stream) int {
	if c := strings.Compare(a.tenant.Cluster, b.tenant.Cluster); c != 0 {
		return c
	}
	if c := strings.Compare(a.tenant.Namespace, b.tenant.Namespace); c != 0 {
		return c
	}
	return labels.Compare(a.labels, b.labels)
}

// copyLabels makes labels that share no memory with ls.
func copyLabels(ls labels.Labels) labels.Labels {
	b := labels.NewScratchBuilder(ls.Len())
	ls.Range(func(l labels.Label) { b.Add(strings.Clone(l.Name), strings.Clone(l.Value)) })
	b.Sort()
	return b.Labels()
}
