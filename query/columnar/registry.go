package columnar

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// stream is the identity of one (table, tenant, label set) in memory. Everything
// that holds rows of it (a memory table, a part) shares one stream and counts as
// one holder, so that the registry forgets streams whose last row was dropped.
type stream struct {
	table  Table
	tenant Tenant
	labels labels.Labels
	hash   uint64

	holders int          // guarded by registry.mu, as is
	slot    uint32       // the place in the table's postings
	maxTime atomic.Int64 // greatest timestamp of any row ever held
}

// noteTime raises the stream's newest timestamp.
func (s *stream) noteTime(ts int64) {
	for {
		old := s.maxTime.Load()
		if ts <= old || s.maxTime.CompareAndSwap(old, ts) {
			return
		}
	}
}

// registry holds each stream once. It is safe for concurrent use.
type registry struct {
	max int

	mu      sync.RWMutex
	byHash  map[uint64][]*stream
	tables  [Spans + 1]postings
	streams int
}

func newRegistry(limit int) *registry {
	return &registry{max: limit, byHash: map[uint64][]*stream{}}
}

func (r *registry) len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.streams
}

func streamHash(t Table, tenant Tenant, ls labels.Labels) uint64 {
	var stack [512]byte
	b := append(stack[:0], byte(t))
	b = appendString(b, tenant.Cluster)
	b = appendString(b, tenant.Namespace)
	ls.Range(func(l labels.Label) {
		b = appendString(b, l.Name)
		b = appendString(b, l.Value)
	})
	return xxhash.Sum64(b)
}

func (r *registry) find(hash uint64, t Table, tenant Tenant, ls labels.Labels) *stream {
	for _, s := range r.byHash[hash] {
		if s.table == t && s.tenant == tenant && labels.Equal(s.labels, ls) {
			return s
		}
	}
	return nil
}

// unknown counts the given streams that would be new.
func (r *registry) unknown(c *chunk) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := 0
	for i := range c.streams {
		s := &c.streams[i]
		if r.find(streamHash(c.table, s.tenant, s.labels), c.table, s.tenant, s.labels) == nil {
			n++
		}
	}
	return n
}

// full reports whether n more streams are too many.
func (r *registry) full(n int) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return n > 0 && r.streams+n > r.max
}

// hold returns the stream and counts the caller as one more holder. It copies
// the labels and tenant of a new stream.
func (r *registry) hold(t Table, tenant Tenant, ls labels.Labels) *stream {
	hash := streamHash(t, tenant, ls)
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.find(hash, t, tenant, ls)
	if s == nil {
		ls = copyLabels(ls)
		// The labels usually hold the tenant's two names as values; a copy of its
		// own keeps them alive apart from the caller's batch.
		s = &stream{table: t, tenant: tenant.clone(), labels: ls, hash: hash}
		s.maxTime.Store(math.MinInt64)
		r.byHash[hash] = append(r.byHash[hash], s)
		r.tables[t].add(s)
		r.streams++
	}
	s.holders++
	return s
}

// release gives up one hold.
func (r *registry) release(s *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.holders--; s.holders > 0 {
		return
	}
	r.streams--
	r.tables[s.table].remove(s)
	chain := r.byHash[s.hash]
	if len(chain) == 1 {
		delete(r.byHash, s.hash)
		return
	}
	for i := range chain {
		if chain[i] == s {
			r.byHash[s.hash] = append(chain[:i:i], chain[i+1:]...)
			return
		}
	}
}

// matching returns the streams of the table that belong to one of the tenants
// (none given: all) and match every matcher, always in the same order.
func (r *registry) matching(t Table, tenants []Tenant, ms []*labels.Matcher) []*stream {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []*stream
	r.tables[t].candidates(ms, func(s *stream) {
		if matchesTenant(s.tenant, tenants) && matchesLabels(s.labels, ms) {
			out = append(out, s)
		}
	})
	return out
}

func matchesTenant(t Tenant, tenants []Tenant) bool {
	if len(tenants) == 0 {
		return true
	}
	for i := range tenants {
		if tenants[i] == t {
			return true
		}
	}
	return false
}

func matchesLabels(ls labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}
