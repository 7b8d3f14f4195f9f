package autoscaler

import (
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/usage"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// newModel makes the model that nobody's policy says more about, as VerticalPodAutoscalers do not.
func newModel(name v1alpha1.EstimationModel, resource vertical.Resource, history time.Duration) (vertical.Model, error) {
	return replay.NewModel(name, resource, history, nil)
}

// modelsOf makes models as a policy wants them: the same as a replay of the policy makes.
func modelsOf(policy *v1alpha1.VerticalPolicy) usage.Models {
	return func(name v1alpha1.EstimationModel, resource vertical.Resource, history time.Duration) (vertical.Model, error) {
		return replay.NewModel(name, resource, history, policy.Tolerance)
	}
}
