package nodes

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/yagura-dev/yagura/autoscaler/consolidation"
)

// Config says how nodes are looked after.
type Config struct {
	// Enabled makes the leader look after nodes. Without a NodePolicy it only watches and shows them.
	Enabled bool `json:"enabled"`
	// Interval is the time from one look at nodes, claims and moves to the next. Pods without a place do not wait for it.
	Interval model.Duration `json:"interval"`
	// BatchIdle is how long no further pod may come without a place before nodes are planned for those that have come: pods
	// planned together get better nodes.
	BatchIdle model.Duration `json:"batchIdle"`
	// BatchMax is how long the first of them waits at most.
	BatchMax model.Duration `json:"batchMax"`
	// SchedulerGrace is how long the scheduler may take to judge a pod. Until then it is not planned for, unless the
	// scheduler has found no place for it.
	SchedulerGrace model.Duration `json:"schedulerGrace"`
	// OffersInterval is how often providers are asked what can be bought.
	OffersInterval model.Duration `json:"offersInterval"`
	// ConsolidationInterval is how often it is asked which nodes can be given back.
	ConsolidationInterval model.Duration `json:"consolidationInterval"`
	// QueryInterval is how often the queries of repair rules and of upgrades are asked.
	QueryInterval model.Duration `json:"queryInterval"`
	// SweepInterval is how often claims, reservations and machines are held against each other.
	SweepInterval model.Duration `json:"sweepInterval"`
	// MaxNodesPerPlan is how many nodes are asked for at once, over all policies; the rest follows in the next plan.
	MaxNodesPerPlan int `json:"maxNodesPerPlan"`
	// Workers is how many claims of one provider are worked on at the same time.
	Workers int `json:"workers"`
	// ProviderTimeout is how long a provider may take for one answer.
	ProviderTimeout model.Duration `json:"providerTimeout"`
	// ReplacementTimeout is how long the replacements of a move may take to become ready before the move is taken back.
	ReplacementTimeout model.Duration `json:"replacementTimeout"`
	// DrainTimeout is how long the drain of a node may take that is given back to save money, before it is taken back.
	DrainTimeout model.Duration `json:"drainTimeout"`
	// MaxStaleness is how long watching the cluster may be broken before nothing is decided any more.
	MaxStaleness model.Duration `json:"maxStaleness"`
	// StatusInterval is the shortest time between two writes of a policy's status that are not about a decision.
	StatusInterval model.Duration `json:"statusInterval"`
	// Consolidation bounds what is done to save money.
	Consolidation consolidation.Config `json:"consolidation"`
	// Forecast bounds what is kept for forecasts.
	Forecast ForecastConfig `json:"forecast"`
}

// DefaultConfig asks for a node well within a second of a pod's having no place.
func DefaultConfig() Config {
	return Config{
		Enabled:               true,
		Interval:              model.Duration(time.Second),
		BatchIdle:             model.Duration(150 * time.Millisecond),
		BatchMax:              model.Duration(time.Second),
		SchedulerGrace:        model.Duration(2 * time.Second),
		OffersInterval:        model.Duration(30 * time.Second),
		ConsolidationInterval: model.Duration(10 * time.Second),
		QueryInterval:         model.Duration(10 * time.Second),
		SweepInterval:         model.Duration(10 * time.Second),
		MaxNodesPerPlan:       500,
		Workers:               16,
		ProviderTimeout:       model.Duration(30 * time.Second),
		ReplacementTimeout:    model.Duration(15 * time.Minute),
		DrainTimeout:          model.Duration(15 * time.Minute),
		MaxStaleness:          model.Duration(time.Minute),
		StatusInterval:        model.Duration(10 * time.Second),
		Consolidation:         consolidation.DefaultConfig(),
		Forecast:              DefaultForecastConfig(),
	}
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	for _, d := range []struct {
		field  string
		value  model.Duration
		atMost time.Duration
		atMin  time.Duration
	}{
		{"interval", c.Interval, time.Minute, 100 * time.Millisecond},
		{"batchIdle", c.BatchIdle, 10 * time.Second, 0},
		{"batchMax", c.BatchMax, time.Minute, time.Duration(c.BatchIdle)},
		{"schedulerGrace", c.SchedulerGrace, time.Minute, 0},
		{"offersInterval", c.OffersInterval, time.Hour, time.Second},
		{"consolidationInterval", c.ConsolidationInterval, time.Hour, time.Second},
		{"queryInterval", c.QueryInterval, 10 * time.Minute, time.Second},
		{"sweepInterval", c.SweepInterval, time.Hour, time.Second},
		{"providerTimeout", c.ProviderTimeout, 10 * time.Minute, time.Second},
		{"replacementTimeout", c.ReplacementTimeout, 24 * time.Hour, time.Second},
		{"drainTimeout", c.DrainTimeout, 24 * time.Hour, time.Second},
		{"maxStaleness", c.MaxStaleness, time.Hour, time.Second},
		{"statusInterval", c.StatusInterval, time.Hour, 0},
	} {
		if v := time.Duration(d.value); v < d.atMin || v > d.atMost {
			return fmt.Errorf("%s: must be at least %s and at most %s", d.field, d.atMin, d.atMost)
		}
	}
	switch {
	case c.MaxNodesPerPlan < 1:
		return fmt.Errorf("maxNodesPerPlan: must be at least 1")
	case c.Workers < 1 || c.Workers > 1000:
		return fmt.Errorf("workers: must be at least 1 and at most 1000")
	}
	if err := c.Consolidation.Validate(); err != nil {
		return fmt.Errorf("consolidation.%w", err)
	}
	if err := c.Forecast.Validate(); err != nil {
		return fmt.Errorf("forecast.%w", err)
	}
	return nil
}
