package gke

import (
	"fmt"
	"math"
)

// Config names a GKE cluster.
type Config struct {
	// Project, Location (a zone or a region) and Cluster name it.
	Project  string `json:"project"`
	Location string `json:"location"`
	Cluster  string `json:"cluster"`
	// MaxNodes bounds the nodes of a pool in each of its zones, by the pool's name. A pool that is not named is not bounded here.
	MaxNodes map[string]int `json:"maxNodes,omitempty"`
	// Prices are money per hour by machine type; by machine type and "/spot" for spot machines.
	Prices map[string]float64 `json:"prices,omitempty"`
	// CPUPrice and MemoryPrice are money per hour for a core and a GiB of machine types without a price, SpotShare the part of it
	// that spot machines cost.
	CPUPrice    float64 `json:"cpuPrice,omitempty"`
	MemoryPrice float64 `json:"memoryPrice,omitempty"`
	SpotShare   float64 `json:"spotShare,omitempty"`
}

// DefaultConfig lacks the cluster. Its prices are about those of general machines.
func DefaultConfig() Config { return Config{CPUPrice: 0.03, MemoryPrice: 0.004, SpotShare: 0.35} }

func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.CPUPrice == 0 && c.MemoryPrice == 0 {
		c.CPUPrice, c.MemoryPrice = d.CPUPrice, d.MemoryPrice
	}
	if c.SpotShare == 0 {
		c.SpotShare = d.SpotShare
	}
	return c
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	c = c.withDefaults()
	for _, f := range []struct{ name, value string }{{"project", c.Project}, {"location", c.Location}, {"cluster", c.Cluster}} {
		if f.value == "" {
			return fmt.Errorf("%s: must be set", f.name)
		}
	}
	for pool, n := range c.MaxNodes {
		if n < 0 {
			return fmt.Errorf("maxNodes.%s: must not be negative", pool)
		}
	}
	for name, price := range c.Prices {
		if !valid(price) {
			return fmt.Errorf("prices.%s: must not be negative", name)
		}
	}
	switch {
	case !valid(c.CPUPrice):
		return fmt.Errorf("cpuPrice: must not be negative")
	case !valid(c.MemoryPrice):
		return fmt.Errorf("memoryPrice: must not be negative")
	case !(c.SpotShare > 0 && c.SpotShare <= 1):
		return fmt.Errorf("spotShare: must be above 0 and at most 1")
	}
	return nil
}

func valid(price float64) bool { return price >= 0 && !math.IsInf(price, 0) }
