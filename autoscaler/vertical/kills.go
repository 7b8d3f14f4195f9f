package vertical

import (
	"math"
	"time"
)

// kills is what is known of kills for memory: what was not enough, and how much more is asked for. Its zero value knows none.
type kills struct {
	// level is the highest amount that was not enough lately, in bytes; bump what it is multiplied by.
	level, bump float64
	at          time.Time
}

const (
	// killBump is by how much a request grows beyond what was not enough, with each kill that follows while the one before is
	// remembered by as much again, up to killMost: a container that needs twice the memory has it after four kills.
	// VerticalPodAutoscaler has 1.2 as well.
	killBump = 1.2
	killMost = 2
	// killMemory is how long a kill is remembered without another one. What usage then was is known by that time.
	killMemory = 2 * time.Hour
)

// add takes a kill; inForce is the request that the model asked for. One that is older than the newest changes nothing but the level.
func (k *kills) add(oom OOM, inForce float64) {
	high := math.Max(oom.Limit, oom.Usage)
	if high <= 0 {
		high = inForce
	}
	if high <= 0 {
		return
	}
	again := k.level > 0 && oom.Time.Sub(k.at) <= killMemory
	switch {
	case !again:
		k.level, k.bump = high, killBump
	case high >= k.level:
		// What the last answer allowed was not enough either.
		k.level, k.bump = high, math.Min(k.bump*killBump, killMost)
	}
	if oom.Time.After(k.at) {
		k.at = oom.Time
	}
}

// floor is what a request must not be below at a time because of kills, 0 when there is nothing to remember.
func (k *kills) floor(now time.Time) float64 {
	if k.level == 0 || now.Sub(k.at) > killMemory {
		return 0
	}
	return k.level * k.bump
}
