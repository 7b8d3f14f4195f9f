package metrics

import (
	"strings"
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/metadata"
)

// Metadata is the type, unit and help of a metric family.
type Metadata = metadata.Metadata

// metadataIndex holds the newest metadata of each metric family, in memory: every
// remote write 2.0 and OTLP request brings it along, so it is whole again shortly
// after a start.
type metadataIndex struct {
	max      int
	mu       sync.RWMutex
	families map[string]Metadata
}

func newMetadataIndex(limit int) *metadataIndex {
	return &metadataIndex{max: limit, families: make(map[string]Metadata)}
}

// maxHelpBytes bounds what one family may hold in memory.
const maxHelpBytes = 4096

func (x *metadataIndex) set(family string, m Metadata) {
	if family == "" || len(family)+len(m.Help)+len(m.Unit) > maxHelpBytes {
		return
	}
	x.mu.RLock()
	old, known := x.families[family]
	full := len(x.families) >= x.max
	x.mu.RUnlock()
	if known && old == m || !known && full {
		return
	}
	// The strings may point into a request's buffer.
	family, m.Help, m.Unit = strings.Clone(family), strings.Clone(m.Help), strings.Clone(m.Unit)
	x.mu.Lock()
	x.families[family] = m
	x.mu.Unlock()
}

// get returns the metadata of one family, or of all when family is empty; limit
// bounds the number of families when it is not negative.
func (x *metadataIndex) get(family string, limit int) map[string][]Metadata {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make(map[string][]Metadata)
	if family != "" {
		if m, ok := x.families[family]; ok && limit != 0 {
			out[family] = []Metadata{m}
		}
		return out
	}
	for f, m := range x.families {
		if limit >= 0 && len(out) >= limit {
			break
		}
		out[f] = []Metadata{m}
	}
	return out
}

// familyName is the family of a series: what the sender said, or the metric name
// without the suffixes that its type adds.
func familyName(family, name string, t model.MetricType) string {
	if family != "" {
		return family
	}
	var suffixes []string
	switch t {
	case model.MetricTypeHistogram, model.MetricTypeGaugeHistogram:
		suffixes = []string{"_bucket", "_count", "_sum"}
	case model.MetricTypeSummary:
		suffixes = []string{"_count", "_sum"}
	}
	for _, s := range suffixes {
		if trimmed := strings.TrimSuffix(name, s); trimmed != name {
			return trimmed
		}
	}
	return name
}
