package ingest

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/yagura-dev/yagura/query/columnar"
)

type telemetry struct {
	requests   *prometheus.CounterVec
	rejected   *prometheus.CounterVec
	accepted   *prometheus.CounterVec
	refused    *prometheus.CounterVec
	duplicates *prometheus.CounterVec
	bytes      *prometheus.CounterVec
	store      *prometheus.HistogramVec
	inFlight   prometheus.Gauge

	tenants *tenantNames
}

func newTelemetry(reg prometheus.Registerer, maxTenants int) *telemetry {
	f := promauto.With(reg)
	return &telemetry{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_ingest_requests_total",
			Help: "Requests that were acknowledged, by protocol and signal.",
		}, []string{"protocol", "signal"}),
		rejected: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_ingest_rejected_requests_total",
			Help: "Requests of which nothing was stored, by protocol, signal and reason.",
		}, []string{"protocol", "signal", "reason"}),
		accepted: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_ingest_accepted_total",
			Help: "Log lines, spans and samples that were stored, by signal.",
		}, []string{"signal"}),
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_ingest_refused_total",
			Help: "Log lines, spans and samples that were refused while the rest of their request was stored, by signal, reason and tenant. Tenants beyond the configured number are counted as other; samples have no tenant.",
		}, []string{"signal", "reason", "cluster", "namespace"}),
		duplicates: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_ingest_duplicate_batches_total",
			Help: "Named batches that came again and were acknowledged without being stored.",
		}, []string{"signal"}),
		bytes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_ingest_received_bytes_total",
			Help: "Bytes of request bodies after decompression, by protocol and signal.",
		}, []string{"protocol", "signal"}),
		store: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "yagura_ingest_store_seconds",
			Help:    "Time until a batch was durable, by signal.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}, []string{"signal"}),
		inFlight: f.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_ingest_in_flight_bytes",
			Help: "Memory that the requests being taken hold of maxInFlightBytes.",
		}),
		tenants: &tenantNames{max: maxTenants, seen: make(map[columnar.Tenant]struct{})},
	}
}

// tenantNames bounds how many tenants get label values of their own.
type tenantNames struct {
	max  int
	mu   sync.Mutex
	seen map[columnar.Tenant]struct{}
}

func (n *tenantNames) name(t columnar.Tenant) (cluster, namespace string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.seen[t]; !ok {
		if len(n.seen) >= n.max {
			return "other", "other"
		}
		n.seen[t] = struct{}{}
	}
	return t.Cluster, t.Namespace
}

// refusals are the rows of one request that were refused while the others were
// stored.
type refusals struct {
	total int
	by    map[refusalKey]int
	texts []string
}

type refusalKey struct {
	tenant columnar.Tenant
	reason string
}

// maxRefusalTexts bounds how many refusals an answer spells out.
const maxRefusalTexts = 5

func (r *refusals) add(t columnar.Tenant, reason, text string, n int) {
	if n == 0 {
		return
	}
	if r.by == nil {
		r.by = make(map[refusalKey]int)
	}
	r.by[refusalKey{t, reason}] += n
	r.total += n
	if len(r.texts) < maxRefusalTexts {
		r.texts = append(r.texts, text)
	}
}

func (t *telemetry) countRefusals(signal string, r *refusals) {
	for k, n := range r.by {
		cluster, namespace := t.tenants.name(k.tenant)
		t.refused.WithLabelValues(signal, k.reason, cluster, namespace).Add(float64(n))
	}
}
