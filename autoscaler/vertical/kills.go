package vertical

import "time"

// kills is what is known of kills for memory.
type kills struct {
	level float64
	count int
	at    time.Time
}

const (
	// killBump is by how much a request grows beyond what was not enough.
	killBump = 1.2
	// killMemory is how long a kill is remembered.
	killMemory = 2 * time.Hour
)

// add takes a kill; inForce is the request that the model asked for.
func (k *kills) add(oom OOM, inForce float64) {
	high := max(oom.Limit, oom.Usage)
	if high <= 0 {
		high = inForce
	}
	k.level = max(high*killBump, k.floor(oom.Time))
	k.at = oom.Time
	k.count++
}

// floor is what a request must not be below at a time because of kills, 0 when there is nothing to remember.
func (k *kills) floor(now time.Time) float64 {
	if k.count == 0 || now.Sub(k.at) > killMemory {
		return 0
	}
	return k.level
}
