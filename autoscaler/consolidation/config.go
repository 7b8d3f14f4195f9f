package consolidation

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Config bounds what consolidation does, for all policies. What belongs to one policy is in NodePolicy.
type Config struct {
	// Horizon is how long a saving is counted on before the load is another one: a move must save within it what its evictions
	// cost. Shorter means fewer evictions. The default is where a day's replay saves what Karpenter's policy saves, see TestDay.
	Horizon metav1.Duration `json:"horizon"`
	// CoolDown is how long after nodes were bought for pods nothing but empty nodes is given back: load that grows takes up the
	// room that it finds.
	CoolDown metav1.Duration `json:"coolDown"`
	// Hold is how long a node that took pods of a move, or was bought by one, is left alone.
	Hold metav1.Duration `json:"hold"`
	// Retry is how long a node is left alone after its move was given up. It doubles with every time in a row, up to 16 times.
	Retry metav1.Duration `json:"retry"`
	// Recheck is how long an answer that took a simulation holds for a node whose pods are the same.
	Recheck metav1.Duration `json:"recheck"`
	// Overlap is how long a node and its replacement are paid for at once.
	Overlap metav1.Duration `json:"overlap"`
	// MaxBatch is how many nodes are replaced at once at most.
	MaxBatch int `json:"maxBatch"`
	// MaxSimulations and MaxSimulatedPods bound the work of one decision. Nodes that were not looked at are the next one's.
	MaxSimulations   int `json:"maxSimulations"`
	MaxSimulatedPods int `json:"maxSimulatedPods"`
	// SpotAlternatives is how many cheaper instance types must be able to take a spot node's place before it is swapped for
	// another spot node: with fewer, one ends on the cheapest and scarcest, is interrupted, and swaps again.
	SpotAlternatives int `json:"spotAlternatives"`
}

// DefaultConfig is what holds where nothing is set.
func DefaultConfig() Config {
	minutes := func(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Minute} }
	return Config{
		Horizon: minutes(75), CoolDown: minutes(3), Hold: minutes(15), Retry: minutes(10), Recheck: minutes(1), Overlap: minutes(5),
		MaxBatch: 32, MaxSimulations: 2000, MaxSimulatedPods: 100_000, SpotAlternatives: 15,
	}
}

// Validate names the first field that cannot be.
func (c Config) Validate() error {
	for _, d := range []struct {
		name  string
		value metav1.Duration
		least time.Duration
	}{
		{"horizon", c.Horizon, time.Minute}, {"coolDown", c.CoolDown, 0}, {"hold", c.Hold, 0}, {"retry", c.Retry, time.Second},
		{"recheck", c.Recheck, 0}, {"overlap", c.Overlap, 0},
	} {
		if d.value.Duration < d.least {
			return fmt.Errorf("%s must be at least %s", d.name, d.least)
		}
	}
	for _, n := range []struct {
		name         string
		value, least int
	}{
		{"maxBatch", c.MaxBatch, 1}, {"maxSimulations", c.MaxSimulations, 1}, {"maxSimulatedPods", c.MaxSimulatedPods, 1},
		{"spotAlternatives", c.SpotAlternatives, 0},
	} {
		if n.value < n.least {
			return fmt.Errorf("%s must be at least %d", n.name, n.least)
		}
	}
	return nil
}
