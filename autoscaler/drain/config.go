package drain

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Config says how fast nodes are drained, and how patient a drain is.
type Config struct {
	// Evictions is how many pods of one node are asked to leave in one go.
	Evictions int `json:"evictions"`
	// RetryInterval is the time after which a pod that may not leave is asked again. It doubles up to RetryLimit.
	RetryInterval model.Duration `json:"retryInterval"`
	RetryLimit    model.Duration `json:"retryLimit"`
	// DetachTimeout is how long a node without pods is kept until its volumes are detached.
	DetachTimeout model.Duration `json:"detachTimeout"`
	// SurgeTimeout is how long the rollout may take that puts a second pod beside an only one; then the pod is evicted.
	SurgeTimeout model.Duration `json:"surgeTimeout"`
}

// DefaultConfig waits ten minutes for volumes: longer than the six after which they are taken from a node that does not answer.
func DefaultConfig() Config {
	return Config{
		Evictions:     20,
		RetryInterval: model.Duration(2 * time.Second),
		RetryLimit:    model.Duration(30 * time.Second),
		DetachTimeout: model.Duration(10 * time.Minute),
		SurgeTimeout:  model.Duration(10 * time.Minute),
	}
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	switch {
	case c.Evictions < 1:
		return fmt.Errorf("evictions: must be at least 1")
	case c.RetryInterval < model.Duration(100*time.Millisecond):
		return fmt.Errorf("retryInterval: must be at least 100ms")
	case c.RetryLimit < c.RetryInterval:
		return fmt.Errorf("retryLimit: must be at least retryInterval")
	case c.DetachTimeout < 0:
		return fmt.Errorf("detachTimeout: must not be negative")
	case c.SurgeTimeout < 0:
		return fmt.Errorf("surgeTimeout: must not be negative")
	}
	return nil
}
