package replay

import (
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
)

// Models makes models as the controller makes them for a policy, but of the given name.
func Models(policy *v1alpha1.WorkloadAutoscaler, name v1alpha1.EstimationModel) func(container string, resource vertical.Resource) (vertical.Model, error) {
	var history time.Duration
	if h := policy.Spec.Vertical.History; h != nil {
		history = h.Duration
	}
	return func(_ string, r vertical.Resource) (vertical.Model, error) {
		return NewModel(name, r, history, policy.Spec.Vertical.Tolerance)
	}
}

// NewModel makes the model that a policy names, with its history, the default when 0, and its tolerance, the default when nil. The
// VerticalPodAutoscaler's goes without its floors, which are per pod and meant for clusters where nobody says otherwise: policies
// have floors of their own. It is no candidate of Auto, whose own are as good and smaller.
func NewModel(name v1alpha1.EstimationModel, r vertical.Resource, history time.Duration, tolerance *resource.Quantity) (vertical.Model, error) {
	if name == v1alpha1.ModelVPA && (r == vertical.CPU || r == vertical.Memory || r == vertical.EphemeralStorage) {
		return vertical.NewVPA(r, vpa.DefaultOptions().WithoutFloor())
	}
	options := vertical.Options{History: history}
	if tolerance != nil {
		if options.Tolerance = tolerance.AsApproximateFloat64(); options.Tolerance == 0 {
			options.Tolerance = -1 // none, which 0 does not say
		}
	}
	if name == v1alpha1.ModelVPA {
		// It knows nothing of huge pages, which are never estimated from less than their peak.
		name = v1alpha1.ModelPeak
	}
	return vertical.New(string(name), r, options)
}
