package replay

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// maxSeries bounds what a history with a new container in each row can take.
const maxSeries = 200_000

// ErrTooManySeries means that the history has more containers than are replayed at once.
var ErrTooManySeries = fmt.Errorf("more than %d containers and resources", maxSeries)

// Config is what an engine needs.
type Config struct {
	// Model makes the model for one resource of one container.
	Model func(container string, resource vertical.Resource) (vertical.Model, error)
	// Rules says what the policy makes of that model's estimates.
	Rules func(container string, resource vertical.Resource) Rules
	// Warmup is how long after its first sample a container is left out of the summary. A sample at its very end counts.
	Warmup time.Duration
	Prices Prices
}

// Engine replays the history of any number of containers side by side. Each needs memory for its model and none for its samples.
// It is not safe for concurrent use.
type Engine struct {
	cfg    Config
	series map[seriesKey]*series
}

type seriesKey struct {
	resource  vertical.Resource
	container string
}

// New makes an engine. Model is required.
func New(cfg Config) (*Engine, error) {
	if cfg.Model == nil {
		return nil, errors.New("a replay needs a model")
	}
	if cfg.Warmup < 0 {
		return nil, fmt.Errorf("warm-up %s: want at least 0", cfg.Warmup)
	}
	if cfg.Rules == nil {
		cfg.Rules = func(string, vertical.Resource) Rules { return Rules{} }
	}
	return &Engine{cfg: cfg, series: map[seriesKey]*series{}}, nil
}

// Step takes the next sample of its container and resource. Samples of one container and resource must come in the order of time,
// no two of the same time; otherwise they may come in any order.
func (e *Engine) Step(sample Sample) (Step, error) {
	s, err := e.find(sample.Container, sample.Resource)
	if err != nil {
		return Step{}, err
	}
	return s.step(sample)
}

func (e *Engine) find(container string, resource vertical.Resource) (*series, error) {
	key := seriesKey{resource, container}
	if s := e.series[key]; s != nil {
		return s, nil
	}
	if len(e.series) >= maxSeries {
		return nil, ErrTooManySeries
	}
	model, err := e.cfg.Model(container, resource)
	if err != nil {
		return nil, fmt.Errorf("model for %s of container %s: %w", resource, container, err)
	}
	s := &series{container: container, resource: resource, model: model, rules: e.cfg.Rules(container, resource), warmup: e.cfg.Warmup}
	e.series[key] = s
	return s, nil
}

// Summary is what came of all samples so far.
func (e *Engine) Summary() Summary {
	tallies, containers := map[vertical.Resource]*tally{}, map[vertical.Resource]int{}
	// In a fixed order, since sums of floating point numbers depend on it.
	for _, s := range e.sorted() {
		t := tallies[s.resource]
		if t == nil {
			t = &tally{}
			tallies[s.resource] = t
		}
		t.merge(&s.tally)
		if s.tally.samples > 0 {
			containers[s.resource]++
		}
	}
	summary := make(Summary, len(tallies))
	for resource, t := range tallies {
		summary[resource] = t.totals(resource, e.cfg.Prices, containers[resource])
	}
	return summary
}

// Containers are the totals of each series, by container and resource.
func (e *Engine) Containers() []ContainerTotals {
	all := e.sorted()
	totals := make([]ContainerTotals, len(all))
	for i, s := range all {
		counted := min(1, s.tally.samples)
		totals[i] = ContainerTotals{Container: s.container, Resource: s.resource, Totals: s.tally.totals(s.resource, e.cfg.Prices, counted)}
	}
	return totals
}

func (e *Engine) sorted() []*series {
	all := make([]*series, 0, len(e.series))
	for _, s := range e.series {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *series) int {
		return cmp.Or(cmp.Compare(a.container, b.container), cmp.Compare(a.resource, b.resource))
	})
	return all
}
