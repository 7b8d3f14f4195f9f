package workload

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Config says how policies are carried out.
type Config struct {
	// Interval is the time from one evaluation to the next.
	Interval model.Duration `json:"interval"`
	// Workers is how many policies are evaluated at the same time.
	Workers int `json:"workers"`
	// CPUInitializationPeriod is the time after a pod's start in which its CPU use counts only once it is ready and one whole window
	// was measured since.
	CPUInitializationPeriod model.Duration `json:"cpuInitializationPeriod"`
	// InitialReadinessDelay is the time after a pod's start in which a change to unready means that it has never been ready.
	InitialReadinessDelay model.Duration `json:"initialReadinessDelay"`
	// StatusInterval is the shortest time between two writes of a policy's status that are not about a change of replicas.
	StatusInterval model.Duration `json:"statusInterval"`
}

// DefaultConfig evaluates every second. The times about pods are the defaults of Kubernetes' controller manager.
func DefaultConfig() Config {
	return Config{
		Interval:                model.Duration(time.Second),
		Workers:                 32,
		CPUInitializationPeriod: model.Duration(5 * time.Minute),
		InitialReadinessDelay:   model.Duration(30 * time.Second),
		StatusInterval:          model.Duration(10 * time.Second),
	}
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	switch {
	case c.Interval < model.Duration(100*time.Millisecond):
		return fmt.Errorf("interval: must be at least 100ms")
	case c.Workers < 1:
		return fmt.Errorf("workers: must be at least 1")
	case c.CPUInitializationPeriod < 0:
		return fmt.Errorf("cpuInitializationPeriod: must not be negative")
	case c.InitialReadinessDelay < 0:
		return fmt.Errorf("initialReadinessDelay: must not be negative")
	case c.StatusInterval < 0:
		return fmt.Errorf("statusInterval: must not be negative")
	}
	return nil
}
