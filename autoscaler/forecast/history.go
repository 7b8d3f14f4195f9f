package forecast

import "time"

// History is what a workload asked for, one number for each step of time. Its memory is bounded by its capacity: four bytes a step,
// taken as it fills. It is not safe for concurrent use.
type History struct {
	step time.Duration
	cap  int
	// values is a ring of steps, of which newest is the last one; absent where nothing is known.
	values []int32
	newest int64
	filled int64
}

const absent int32 = -1

// NewHistory makes a history that reaches capacity steps back. A step is at least a second, and the capacity at least 1.
func NewHistory(step time.Duration, capacity int) *History {
	return &History{step: max(step, time.Second), cap: max(capacity, 1)}
}

// Step is the time between samples.
func (h *History) Step() time.Duration { return h.step }

// Add takes a sample in. A second one within a step replaces the first; negative ones, and those older than the newest, are dropped.
func (h *History) Add(at time.Time, replicas int32) {
	slot := h.slot(at)
	if replicas < 0 || slot < 0 || h.filled > 0 && slot < h.newest {
		return
	}
	if h.filled == 0 || slot-h.newest >= int64(h.cap) {
		h.values, h.filled, h.newest = append(h.values[:0], replicas), 1, slot
		return
	}
	for h.newest < slot {
		h.newest++
		h.filled++
		if len(h.values) < h.cap {
			h.values = append(h.values, absent)
		} else {
			h.values[(h.filled-1)%int64(h.cap)] = absent
		}
	}
	h.values[(h.filled-1)%int64(h.cap)] = replicas
}

// slot is the step that a time belongs to.
func (h *History) slot(at time.Time) int64 { return at.UnixNano() / int64(h.step) }

// at is the sample of a step, and that of the step before where one is missing.
func (h *History) at(slot int64) (int32, bool) {
	for back := range int64(2) {
		i := h.filled - 1 - (h.newest - (slot - back))
		if i >= 0 && i < h.filled && h.filled-i <= int64(len(h.values)) {
			if v := h.values[i%int64(h.cap)]; v != absent {
				return v, true
			}
		}
	}
	return 0, false
}

// smooth is the median of a step and the two before it: one sample alone means nothing.
func (h *History) smooth(slot int64) (float64, bool) {
	a, ok1 := h.at(slot)
	b, ok2 := h.at(slot - 1)
	c, ok3 := h.at(slot - 2)
	if !ok1 || !ok2 || !ok3 {
		return 0, false
	}
	return float64(max(min(a, b), min(max(a, b), c))), true
}

// most is the highest smoothed value after one step and up to another, false when too much of it is missing.
func (h *History) most(after, upTo int64) (float64, bool) {
	highest, known := 0.0, int64(0)
	for slot := after + 1; slot <= upTo; slot++ {
		if v, ok := h.smooth(slot); ok {
			highest, known = max(highest, v), known+1
		}
	}
	return highest, enough(known, upTo-after)
}

// enough says whether so few are missing that the others will do: one of five.
func enough(known, all int64) bool { return known > 0 && known*5 >= all*4 }
