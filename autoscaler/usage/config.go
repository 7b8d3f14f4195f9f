package usage

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Config says how usage is measured and how much of its history may be read.
type Config struct {
	// Interval is the time between two measurements of usage. The rate of CPU use is taken over it, or over four scrapes where that is
	// longer.
	Interval model.Duration `json:"interval"`
	// SampleInterval is the time that one sample of a model covers: the highest of the measurements within it.
	SampleInterval model.Duration `json:"sampleInterval"`
	// StaleAfter is the age beyond which usage is stale. Nothing shrinks by it then.
	StaleAfter model.Duration `json:"staleAfter"`
	// OOMInterval is the time between two looks for kills for memory.
	OOMInterval model.Duration `json:"oomInterval"`
	// HeapInterval is the time between two looks at the metrics of runtimes.
	HeapInterval model.Duration `json:"heapInterval"`
	// BatchPods is how many pods one query is about.
	BatchPods int `json:"batchPods"`
	// QueryTimeout is the longest that one query about history may take.
	QueryTimeout model.Duration `json:"queryTimeout"`
	// Concurrency is how many queries about history, and how many measurements, may be under way at once.
	Concurrency int `json:"concurrency"`
	// RawSamples is how many raw samples may be read for the history of one workload, newest first. Aggregates that were sent back
	// earlier are not counted.
	RawSamples int `json:"rawSamples"`
	// MaxContainers is how many containers of pods are followed at most. Workloads beyond it are refused and counted: those that are
	// followed already go before others, and then the names decide.
	MaxContainers int `json:"maxContainers"`
	// RoleRatio is how many times as much pods of one workload must use as the others, of CPU or of memory, for RoleHold, to have a role
	// of their own.
	RoleRatio float64 `json:"roleRatio"`
	// RoleHold is how long pods must behave differently, or alike again, before roles change.
	RoleHold model.Duration `json:"roleHold"`
}

// DefaultConfig measures every 15 seconds and gives models a sample every minute.
func DefaultConfig() Config {
	return Config{
		Interval:       model.Duration(15 * time.Second),
		SampleInterval: model.Duration(time.Minute),
		StaleAfter:     model.Duration(2 * time.Minute),
		OOMInterval:    model.Duration(time.Second),
		HeapInterval:   model.Duration(time.Minute),
		BatchPods:      1000,
		QueryTimeout:   model.Duration(30 * time.Second),
		Concurrency:    2,
		RawSamples:     100_000_000,
		MaxContainers:  50_000,
		RoleRatio:      2,
		RoleHold:       model.Duration(15 * time.Minute),
	}
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	for _, d := range []struct {
		field string
		value model.Duration
		least time.Duration
	}{
		{"interval", c.Interval, time.Second},
		{"staleAfter", c.StaleAfter, time.Second},
		{"oomInterval", c.OOMInterval, time.Second},
		{"heapInterval", c.HeapInterval, time.Second},
		{"queryTimeout", c.QueryTimeout, time.Second},
		{"roleHold", c.RoleHold, 0},
	} {
		if time.Duration(d.value) < d.least {
			return fmt.Errorf("%s: must be at least %s", d.field, d.least)
		}
	}
	switch {
	case c.SampleInterval < c.Interval:
		return fmt.Errorf("sampleInterval: must not be less than interval")
	case time.Duration(c.SampleInterval) > aggregateStep:
		return fmt.Errorf("sampleInterval: must be at most %s", aggregateStep)
	case c.BatchPods < 1:
		return fmt.Errorf("batchPods: must be at least 1")
	case c.Concurrency < 1:
		return fmt.Errorf("concurrency: must be at least 1")
	case c.RawSamples < 0:
		return fmt.Errorf("rawSamples: must not be negative")
	case c.MaxContainers < 1:
		return fmt.Errorf("maxContainers: must be at least 1")
	case !(c.RoleRatio >= 1.2):
		return fmt.Errorf("roleRatio: must be at least 1.2")
	}
	return nil
}
