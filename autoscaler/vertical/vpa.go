package vertical

import (
	"fmt"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
)

// vpaModel is the estimator of the VerticalPodAutoscaler.
type vpaModel struct {
	resource  Resource
	estimator *vpa.Estimator
	newest    time.Time
}

// NewVPA makes the model named VPA. Ephemeral storage is estimated as memory is. Options.Containers and the floors are taken as
// they are given: vpa.DefaultOptions has those of the VerticalPodAutoscaler, Options.WithoutFloor none.
func NewVPA(resource Resource, options vpa.Options) (Model, error) {
	var (
		estimator *vpa.Estimator
		err       error
	)
	switch resource {
	case CPU:
		estimator, err = vpa.NewCPU(options)
	case EphemeralStorage:
		options.Memory.Floor = 0
		fallthrough
	case Memory:
		estimator, err = vpa.NewMemory(options)
	default:
		return nil, fmt.Errorf("model VPA knows no resource %q", resource)
	}
	if err != nil {
		return nil, fmt.Errorf("model VPA: %w", err)
	}
	return &vpaModel{resource: resource, estimator: estimator}, nil
}

// Observe implements Model. The usage is that which a request has to hold.
func (m *vpaModel) Observe(s Sample) bool {
	// A kill moves the estimator's own idea of what is too old.
	if s.Time.Before(m.newest) || !m.estimator.Add(s.Value, s.Time) {
		return false
	}
	m.newest = s.Time
	return true
}

// ObserveOOM implements Model. What the container had is its limit; without one its usage has to do.
func (m *vpaModel) ObserveOOM(oom OOM) {
	had := oom.Limit
	if had == 0 {
		had = oom.Usage
	}
	m.estimator.AddOOM(had, oom.Time)
}

// Estimate implements Model.
func (m *vpaModel) Estimate(now time.Time) (Estimate, bool) {
	r, ok := m.estimator.Recommend(now)
	if !ok {
		return Estimate{}, false
	}
	options := m.estimator.Options()
	what, of := "CPU usage", options.CPU
	if m.resource != CPU {
		what, of = fmt.Sprintf("the peaks of each %s", options.Interval), options.Memory
	}
	return Estimate{
		Target: r.Target, Lower: r.Lower, Upper: r.Upper,
		Floor: r.Recent * (1 + options.Margin),
		Model: "VPA",
		Reason: fmt.Sprintf("percentile %g of %s is %s, with a margin of %g%% %s, from %d samples",
			of.Target*100, what, amountText(m.resource, r.Percentile), options.Margin*100, amountText(m.resource, r.Target), r.Samples),
		// The upper bound is 1+1/days times as large as it will be in the end.
		Confidence: r.Days / (1 + r.Days),
		Samples:    r.Samples, Since: r.First,
	}, true
}

// amountText writes an amount for people.
func amountText(resource Resource, amount float64) string {
	if resource == CPU {
		return fmt.Sprintf("%.3f cores", amount)
	}
	return fmt.Sprintf("%.0f MiB", amount/(1<<20))
}
