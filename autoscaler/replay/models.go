package replay

import (
	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
)

// Models makes models of one name with the history of a policy. Floors are the policy's: VPA stands without its own.
func Models(policy *v1alpha1.WorkloadAutoscaler, name v1alpha1.EstimationModel) func(container string, resource vertical.Resource) (vertical.Model, error) {
	options := vertical.Options{Others: map[string]func(vertical.Resource) vertical.Model{vertical.VPA: newVPA}}
	if h := policy.Spec.Vertical.History; h != nil {
		options.History = h.Duration
	}
	return func(_ string, resource vertical.Resource) (vertical.Model, error) {
		return vertical.New(string(name), resource, options)
	}
}

// newVPA makes the estimator of the VerticalPodAutoscaler with its defaults, which are valid for every resource that is replayed.
func newVPA(resource vertical.Resource) vertical.Model {
	model, err := vertical.NewVPA(resource, vpa.DefaultOptions().WithoutFloor())
	if err != nil {
		return nil
	}
	return model
}
