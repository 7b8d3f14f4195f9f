package actuation

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Config bounds what is done to the cluster's pods, whatever single policies allow.
type Config struct {
	// Workers is how many pods are being changed at the same time. Answers to kills for memory have as many places of their own.
	Workers int `json:"workers"`
	// Timeout is how long one call to the API server may take.
	Timeout model.Duration `json:"timeout"`
	// Wait is how long an evaluation waits for its changes to be accepted. What takes longer goes on and is told by a later one.
	Wait model.Duration `json:"wait"`
	// RetryInterval is the time after which a change that was refused, or blocked by something outside, is tried again.
	RetryInterval model.Duration `json:"retryInterval"`
	// DeferredTimeout is how long a node may have no room for a resize before the pod is replaced, where that is allowed.
	DeferredTimeout model.Duration `json:"deferredTimeout"`
	// ProgressTimeout is how long a node may take to carry a resize out before the pod is replaced, where that is allowed.
	ProgressTimeout model.Duration `json:"progressTimeout"`
	// ReplacementRest is how old a pod that replaced another one has to be before it is replaced itself, so that a size which new
	// pods do not get cannot make pods be replaced over and over.
	ReplacementRest model.Duration `json:"replacementRest"`
	// EvictionsPerMinute is how many pods of the whole cluster may be taken away in any minute.
	EvictionsPerMinute int `json:"evictionsPerMinute"`
	// ChangedShare is the share of all pods under vertical policies, above 0 and at most 1, that may be changed in any hour.
	ChangedShare float64 `json:"changedShare"`
	// ChangedAtLeast is how many pods may be changed in any hour although they are a larger share.
	ChangedAtLeast int `json:"changedAtLeast"`
}

// DefaultConfig changes at most a fifth of the pods in an hour.
func DefaultConfig() Config {
	return Config{
		Workers:            16,
		Timeout:            model.Duration(10 * time.Second),
		Wait:               model.Duration(200 * time.Millisecond),
		RetryInterval:      model.Duration(10 * time.Second),
		DeferredTimeout:    model.Duration(5 * time.Minute),
		ProgressTimeout:    model.Duration(10 * time.Minute),
		ReplacementRest:    model.Duration(10 * time.Minute),
		EvictionsPerMinute: 10,
		ChangedShare:       0.2,
		ChangedAtLeast:     10,
	}
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	switch {
	case c.Workers < 1:
		return fmt.Errorf("workers: must be at least 1")
	case c.Timeout < model.Duration(100*time.Millisecond):
		return fmt.Errorf("timeout: must be at least 100ms")
	case c.Wait < 0 || c.Wait > model.Duration(time.Second):
		return fmt.Errorf("wait: must be from 0s to 1s")
	case c.RetryInterval < model.Duration(time.Second):
		return fmt.Errorf("retryInterval: must be at least 1s")
	case c.DeferredTimeout < 0:
		return fmt.Errorf("deferredTimeout: must not be negative")
	case c.ProgressTimeout < 0:
		return fmt.Errorf("progressTimeout: must not be negative")
	case c.ReplacementRest < 0:
		return fmt.Errorf("replacementRest: must not be negative")
	case c.EvictionsPerMinute < 0:
		return fmt.Errorf("evictionsPerMinute: must not be negative")
	case !(c.ChangedShare > 0 && c.ChangedShare <= 1): // not a number is not in range either
		return fmt.Errorf("changedShare: must be greater than 0 and at most 1")
	case c.ChangedAtLeast < 0:
		return fmt.Errorf("changedAtLeast: must not be negative")
	}
	return nil
}
