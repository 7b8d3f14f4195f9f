package nodes

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/yagura-dev/yagura/autoscaler/forecast"
)

// ForecastConfig bounds what is kept for forecasts. Which nodes are bought for them is for NodePolicies to say.
type ForecastConfig struct {
	// Interval is the time between samples of what workloads ask for, and between forecasts.
	Interval model.Duration `json:"interval"`
	// History is how far back samples are kept. What came a week ago counts from 8 days on.
	History model.Duration `json:"history"`
	// MaxWorkloads is for how many workloads samples are kept, four bytes each. For others nothing is forecast.
	MaxWorkloads int `json:"maxWorkloads"`
	// BootTime is how long a node takes to be ready, while that could not be measured.
	BootTime model.Duration `json:"bootTime"`
}

// DefaultForecastConfig takes 23 MB at the most: 11,640 samples each of 500 workloads.
func DefaultForecastConfig() ForecastConfig {
	return ForecastConfig{
		Interval: model.Duration(time.Minute), History: model.Duration(194 * time.Hour), MaxWorkloads: 500, BootTime: model.Duration(5 * time.Minute),
	}
}

// Validate names the first field that cannot be.
func (c ForecastConfig) Validate() error {
	switch interval, history, boot := time.Duration(c.Interval), time.Duration(c.History), time.Duration(c.BootTime); {
	case interval < time.Second || interval > 5*time.Minute:
		return fmt.Errorf("interval: must be at least 1s and at most 5m")
	case history < time.Hour || history > 35*24*time.Hour:
		return fmt.Errorf("history: must be at least 1h and at most 35d")
	case c.MaxWorkloads < 1:
		return fmt.Errorf("maxWorkloads: must be at least 1")
	case boot < time.Second || boot > forecast.MaxHorizon:
		return fmt.Errorf("bootTime: must be at least 1s and at most %s", forecast.MaxHorizon)
	}
	return nil
}

// capacity is how many samples are kept of a workload.
func (c ForecastConfig) capacity() int { return int(c.History / c.Interval) }
