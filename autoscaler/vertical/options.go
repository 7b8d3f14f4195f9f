package vertical

import (
	"errors"
	"fmt"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
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
	// Tolerance is the difference between a request in force and the target, as a fraction of the request, up to which the
	// target will not be applied: DefaultTolerance when zero, none when negative. Models keep their target where a change would
	// not be applied, and raise it beyond the tolerance where it must be.
	Tolerance float64
	// Others makes further models by name, nil for resources that they do not know. For CPU, Auto chooses among them, too: VPA is
	// not among its candidates but when it is here, since its histograms are larger than all of Auto's statistics. For memory Auto
	// chooses among the candidates of Peak alone.
	Others map[string]func(Resource) Model

	tuning *tuning
}

// DefaultTolerance is that of policies that give none.
const DefaultTolerance = 0.1

func (o *Options) tolerance() float64 {
	switch {
	case o.Tolerance == 0:
		return DefaultTolerance
	case o.Tolerance < 0:
		return 0
	}
	return o.Tolerance
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
		if model := other(resource); model != nil {
			return model, nil
		}
		return nil, fmt.Errorf("model %s knows no resource %q", name, resource)
	}
	if name == VPA {
		return NewVPA(resource, vpa.DefaultOptions())
	}
	return nil, fmt.Errorf("%w %q", ErrUnknownModel, name)
}
