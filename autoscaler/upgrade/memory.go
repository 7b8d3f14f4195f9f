package upgrade

import (
	"slices"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

const (
	// gap is how long ago the previous decision may be for the time since then to count towards the pace.
	gap = time.Minute
	// trial is for how long a new node is on trial, and how long its failure is remembered.
	trial = time.Hour
	// maxFailed is how many new nodes may fail within trial before no further node is renewed.
	maxFailed = 2
)

// Memory is what decisions have in common over time: which new nodes have failed, and the pace. It is not needed for safety beyond the
// next failure: after a start with a new one the failures are counted anew. The zero value is not usable. Not safe for concurrent use.
type Memory struct {
	policies map[string]*rollout
}

// NewMemory returns one that knows nothing.
func NewMemory() *Memory { return &Memory{policies: make(map[string]*rollout)} }

// Forget drops what is remembered of policies that are not named.
func (m *Memory) Forget(policies []string) {
	for name := range m.policies {
		if !slices.Contains(policies, name) {
			delete(m.policies, name)
		}
	}
}

// rollout is the renewal of one policy's nodes to one template.
type rollout struct {
	hash string
	last time.Time
	// working is how long renewal was possible, done how many nodes were renewed meanwhile.
	working time.Duration
	done    int
	updated int
	// failed are claims of new nodes that failed, and when that was seen first.
	failed map[string]time.Time
}

// of returns the rollout to a template. Another template begins another one.
func (m *Memory) of(policy, hash string) *rollout {
	r := m.policies[policy]
	if r == nil || r.hash != hash {
		r = &rollout{hash: hash, failed: make(map[string]time.Time), updated: -1}
		m.policies[policy] = r
	}
	return r
}

// pace takes in how far it has come, and whether it could go on since the last look.
func (r *rollout) pace(now time.Time, updated int, could bool) {
	if d := now.Sub(r.last); could && !r.last.IsZero() && d > 0 {
		r.working += min(d, gap)
	}
	if r.updated >= 0 && updated > r.updated {
		r.done += updated - r.updated
	}
	r.updated, r.last = updated, now
}

// needs is how long the renewal of so many further nodes takes, false while there is no pace.
func (r *rollout) needs(nodes int) (time.Duration, bool) {
	if r.done == 0 || r.working <= 0 {
		return 0, false
	}
	return time.Duration(float64(r.working) / float64(r.done) * float64(nodes)), true
}

// fails notes that a new node has failed.
func (r *rollout) fails(claim string, now time.Time) {
	if _, known := r.failed[claim]; !known {
		r.failed[claim] = now
	}
}

// recent drops failures that are long ago, and names the others.
func (r *rollout) recent(now time.Time) []string {
	var names []string
	for name, at := range r.failed {
		if now.Sub(at) >= trial {
			delete(r.failed, name)
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// failure says why a node that was made in place of another one is no success, empty for one that may become one.
func failure(in *Input, n *Node, boot time.Duration) string {
	c := n.Claim
	switch {
	case len(c.Status.Repairs) > 0:
		return c.Status.Repairs[len(c.Status.Repairs)-1].Message
	case c.Status.Disruption != nil && c.Status.Disruption.Reason == v1alpha1.DisruptUnhealthy:
		return c.Status.Disruption.Message
	case n.Unhealthy != "" && !n.booting():
		return n.Unhealthy
	case n.booting() && in.Now.Sub(c.CreationTimestamp.Time) >= boot:
		return "it does not become ready"
	}
	return ""
}
