package autoscaler

import (
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
)

// newModel makes the model that a policy names. The VerticalPodAutoscaler's goes without its floors, which are per pod and meant for
// clusters where nobody says otherwise: policies have floors of their own.
func newModel(name v1alpha1.EstimationModel, resource vertical.Resource, history time.Duration) (vertical.Model, error) {
	return vertical.New(string(name), resource, vertical.Options{History: history, Others: map[string]func(vertical.Resource) vertical.Model{
		vertical.VPA: func(r vertical.Resource) vertical.Model {
			model, err := vertical.NewVPA(r, vpa.DefaultOptions().WithoutFloor())
			if err != nil {
				return nil
			}
			return model
		},
	}})
}
