package replay

import (
	"encoding/json"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// Totals are what the samples after the warm-up come to.
type Totals struct {
	// Slack is the mean over samples of what the request left unused, as a share of it: max(0, 1 - usage/request).
	Slack float64 `json:"slack"`
	// OverRequest is the share of samples with usage above the request, from 0 to 1.
	OverRequest float64 `json:"over_request"`
	// OOMs counts samples of memory above the request, each of which is a kill.
	OOMs int `json:"ooms"`
	// Changes counts changes of requests.
	Changes int `json:"changes"`
	// Samples counts what slack and over_request are shares of, Unsized the samples at which there was no request yet.
	Samples int `json:"samples"`
	Unsized int `json:"unsized"`
	// Containers have samples after their warm-up, and ran for ContainerHours.
	Containers     int     `json:"containers"`
	ContainerHours float64 `json:"container_hours"`
	// Requested and Used are in core-hours or GiB-hours.
	Requested float64 `json:"requested"`
	Used      float64 `json:"used"`
	// Cost is Requested at its price.
	Cost float64 `json:"cost"`
}

// Prices are what requests cost, in any currency.
type Prices struct {
	// CPU is for a core and an hour, Memory for a GiB and an hour.
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
}

// DefaultPrices are those of common virtual machines in dollars, to compare policies by rather than to pay.
func DefaultPrices() Prices { return Prices{CPU: 0.032, Memory: 0.0043} }

func (p Prices) of(resource vertical.Resource) float64 {
	if resource == vertical.CPU {
		return p.CPU
	}
	return p.Memory
}

// tally sums up one series.
type tally struct {
	samples, unsized, over, ooms, changes int
	slack                                 float64
	hours, requested, used                float64 // in the resource's own unit
}

// add counts a step that took so long.
func (t *tally) add(step *Step, elapsed time.Duration) {
	if step.Change {
		t.changes++
	}
	t.hours += elapsed.Hours()
	t.used += step.Usage * elapsed.Hours()
	if step.Request == nil {
		t.unsized++
		return
	}
	t.samples++
	t.requested += *step.Request * elapsed.Hours()
	t.slack += max(0, 1 - step.Usage / *step.Request)
	if step.Over {
		t.over++
	}
	if step.OOM {
		t.ooms++
	}
}

func (t *tally) merge(o *tally) {
	t.samples += o.samples
	t.unsized += o.unsized
	t.over += o.over
	t.ooms += o.ooms
	t.changes += o.changes
	t.slack += o.slack
	t.hours += o.hours
	t.requested += o.requested
	t.used += o.used
}

func (t *tally) totals(resource vertical.Resource, prices Prices, containers int) Totals {
	unit := 1.0
	if resource != vertical.CPU {
		unit = 1 << 30
	}
	totals := Totals{
		OOMs: t.ooms, Changes: t.changes, Samples: t.samples, Unsized: t.unsized, Containers: containers, ContainerHours: t.hours,
		Requested: t.requested / unit, Used: t.used / unit, Cost: t.requested / unit * prices.of(resource),
	}
	if t.samples > 0 {
		totals.Slack = t.slack / float64(t.samples)
		totals.OverRequest = float64(t.over) / float64(t.samples)
	}
	return totals
}

// Summary is the totals by resource. In JSON, those of a single resource stand alone.
type Summary map[vertical.Resource]Totals

// MarshalJSON writes {slack, …} for one resource, and {cpu: {slack, …}, memory: {slack, …}} for two.
func (s Summary) MarshalJSON() ([]byte, error) {
	if len(s) == 1 {
		for _, totals := range s {
			return json.Marshal(totals)
		}
	}
	return json.Marshal(map[vertical.Resource]Totals(s))
}

// ContainerTotals are the totals of one series.
type ContainerTotals struct {
	Container string            `json:"container"`
	Resource  vertical.Resource `json:"resource"`
	Totals
}
