package vertical

import (
	"errors"
	"fmt"
	"time"
)

// Names of models, as policies give them.
const (
	Auto       = "Auto"
	VPA        = "VPA"
	Percentile = "Percentile"
	Peak       = "Peak"
	Forecast   = "Forecast"
	Autopilot  = "Autopilot"
)

// DefaultHistory is how far back usage counts when nothing else is said.
const DefaultHistory = 192 * time.Hour

// Options say how a model estimates. The zero value is good.
type Options struct {
	// History is how far back usage counts, DefaultHistory when zero.
	History time.Duration
	// Others makes models that are not of this package, by name: VPA is Others["VPA"]. Auto chooses among them, too.
	Others map[string]func(Resource) Model

	tuning *tuning
}

// ErrUnknownModel is returned for a name that nobody makes.
var ErrUnknownModel = errors.New("unknown model")

// New makes a model of the given name.
func New(name string, resource Resource, options Options) (Model, error) {
	if options.History < 0 {
		return nil, fmt.Errorf("history %s is negative", options.History)
	}
	if options.History == 0 {
		options.History = DefaultHistory
	}
	switch name {
	case Auto, Percentile, Peak, Forecast, Autopilot:
		return newEnsemble(name, resource, options), nil
	}
	if other := options.Others[name]; other != nil {
		return other(resource), nil
	}
	return nil, fmt.Errorf("%w %q", ErrUnknownModel, name)
}
