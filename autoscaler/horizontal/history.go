package horizontal

import "time"

// longestPeriod is the longest period that a scaling policy may have, and so the longest that a change matters.
const longestPeriod = 30 * time.Minute

type recommendation struct {
	at       time.Time
	replicas int32
}

type scaling struct {
	at     time.Time
	change int32 // positive when replicas were added
}

// History is what one policy recommended and did lately. It lives in memory: after a restart it starts with the replicas that the
// target has, so that nothing is scaled in before the stabilization window was seen whole. Its zero value is empty. It is
// not safe for concurrent use. Times must not go backwards.
type History struct {
	since time.Time
	// highest holds the recommendations that no later one reaches, and lowest those that no later one undercuts, oldest
	// first: all that a maximum and a minimum over a sliding window can still depend on. Each is as long as there are
	// different numbers of replicas in the window at most, however often recommendations are made.
	highest, lowest []recommendation
	scalings        []scaling
}

// Started reports whether there is any history.
func (h *History) Started() bool { return !h.since.IsZero() }

// Since is when the history starts.
func (h *History) Since() time.Time { return h.since }

// Recommend adds a recommendation.
func (h *History) Recommend(at time.Time, replicas int32) {
	if h.since.IsZero() {
		h.since = at
	}
	for len(h.highest) > 0 && h.highest[len(h.highest)-1].replicas <= replicas {
		h.highest = h.highest[:len(h.highest)-1]
	}
	h.highest = append(h.highest, recommendation{at, replicas})
	for len(h.lowest) > 0 && h.lowest[len(h.lowest)-1].replicas >= replicas {
		h.lowest = h.lowest[:len(h.lowest)-1]
	}
	h.lowest = append(h.lowest, recommendation{at, replicas})
}

// Scale adds a change of the target's replicas that was carried out.
func (h *History) Scale(at time.Time, from, to int32) {
	kept := h.scalings[:0]
	for _, s := range h.scalings {
		if at.Sub(s.at) <= longestPeriod {
			kept = append(kept, s)
		}
	}
	h.scalings = append(kept, scaling{at, to - from})
}

// forget drops recommendations that are in neither window any more.
func (h *History) forget(now time.Time, up, down time.Duration) {
	h.highest = younger(h.highest, now.Add(-down))
	h.lowest = younger(h.lowest, now.Add(-up))
}

func younger(list []recommendation, cutoff time.Time) []recommendation {
	n := 0
	for n < len(list) && !list[n].at.After(cutoff) {
		n++
	}
	if n == 0 {
		return list
	}
	return append(list[:0], list[n:]...)
}

// stabilize brings a recommendation between the lowest of the up window and the highest of the down window, starting from
// the current replicas: it rises only to what was recommended all along, and falls only to the highest that was.
func (h *History) stabilize(now time.Time, current, recommended int32, up, down time.Duration) int32 {
	h.forget(now, up, down)
	lowest, highest := recommended, recommended
	if len(h.lowest) > 0 {
		lowest = min(lowest, h.lowest[0].replicas)
	}
	if len(h.highest) > 0 {
		highest = max(highest, h.highest[0].replicas)
	}
	return min(max(current, lowest), highest)
}

// replicasAt is how many replicas there were a period ago, as far as the changes made here tell.
func (h *History) replicasAt(current int32, period time.Duration, now time.Time) int32 {
	cutoff := now.Add(-period)
	start := int64(current)
	for _, s := range h.scalings {
		if s.at.After(cutoff) {
			start -= int64(s.change)
		}
	}
	return clamp(start)
}
