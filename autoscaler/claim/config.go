package claim

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Config says how patient the keeper of claims is.
type Config struct {
	// ProviderTimeout is how long one call to a provider may take. A claim whose call has not come back keeps its finalizer for
	// twice as long, so that a leader that was replaced cannot leave a machine behind.
	ProviderTimeout model.Duration `json:"providerTimeout"`
	// PollInterval is how often a provider is asked about a machine whose node is not there yet, or that is being deleted.
	PollInterval model.Duration `json:"pollInterval"`
	// RetryInterval is the time after which a call that failed is tried again. It doubles with each failure up to RetryLimit.
	RetryInterval model.Duration `json:"retryInterval"`
	RetryLimit    model.Duration `json:"retryLimit"`
	// BootTimeout is how long a node may take to be ready, for policies that do not say it.
	BootTimeout model.Duration `json:"bootTimeout"`
	// ReservationTimeout is how long a purchase may take from its charge until its claims exist.
	ReservationTimeout model.Duration `json:"reservationTimeout"`
	// OrphanTimeout is how long a machine's claim must have been gone before the machine is deleted.
	OrphanTimeout model.Duration `json:"orphanTimeout"`
	// MaxOrphans is how many machines without a claim, or claims without a machine, a provider may have before nothing is done
	// about them any more: so many at once mean that somebody has lost track, not that they are not needed.
	MaxOrphans int `json:"maxOrphans"`
	// AvoidInterval is how long an offer is avoided that has failed once. It doubles with each failure up to AvoidLimit.
	AvoidInterval model.Duration `json:"avoidInterval"`
	AvoidLimit    model.Duration `json:"avoidLimit"`
}

// DefaultConfig suits clouds whose machines boot within some minutes.
func DefaultConfig() Config {
	return Config{
		ProviderTimeout:    model.Duration(time.Minute),
		PollInterval:       model.Duration(5 * time.Second),
		RetryInterval:      model.Duration(2 * time.Second),
		RetryLimit:         model.Duration(2 * time.Minute),
		BootTimeout:        model.Duration(15 * time.Minute),
		ReservationTimeout: model.Duration(10 * time.Second),
		OrphanTimeout:      model.Duration(time.Minute),
		MaxOrphans:         10,
		AvoidInterval:      model.Duration(time.Minute),
		AvoidLimit:         model.Duration(time.Hour),
	}
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	for _, d := range []struct {
		name  string
		value model.Duration
		least time.Duration
	}{
		{"providerTimeout", c.ProviderTimeout, time.Second},
		{"pollInterval", c.PollInterval, 100 * time.Millisecond},
		{"retryInterval", c.RetryInterval, 100 * time.Millisecond},
		{"retryLimit", c.RetryLimit, time.Duration(c.RetryInterval)},
		{"bootTimeout", c.BootTimeout, 30 * time.Second},
		{"reservationTimeout", c.ReservationTimeout, time.Second},
		{"orphanTimeout", c.OrphanTimeout, 30 * time.Second},
		{"avoidInterval", c.AvoidInterval, time.Second},
		{"avoidLimit", c.AvoidLimit, time.Duration(c.AvoidInterval)},
	} {
		if time.Duration(d.value) < d.least {
			return fmt.Errorf("%s: must be at least %s", d.name, d.least)
		}
	}
	if c.MaxOrphans < 0 {
		return fmt.Errorf("maxOrphans: must not be negative")
	}
	return nil
}
