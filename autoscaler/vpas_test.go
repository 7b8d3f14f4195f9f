package autoscaler

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

func TestWhatIsRecommendedToOthersWaitsForConfidence(t *testing.T) {
	const mi = 1 << 20
	template := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")}}}}}}
	key := sizing.Key{Role: sizing.DefaultRole, Container: "app", Resource: corev1.ResourceMemory}
	tests := map[string]struct {
		estimate vertical.Estimate
		usage    float64
		want     float64
	}{
		"a few samples ask for much":   {vertical.Estimate{Target: 986 * mi, Floor: 84 * mi}, 82 * mi, 128 * mi},
		"a few samples ask for little": {vertical.Estimate{Target: 10 * mi}, 8 * mi, 128 * mi},
		"what is used":                 {vertical.Estimate{Target: 986 * mi, Floor: 84 * mi}, 400 * mi, 600 * mi},
		"a kill":                       {vertical.Estimate{Target: 986 * mi, Floor: 300 * mi}, 82 * mi, 300 * mi},
		"a long history":               {vertical.Estimate{Target: 986 * mi, Floor: 84 * mi, Confidence: 1}, 82 * mi, 986 * mi},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.estimate.Lower, tc.estimate.Upper = tc.estimate.Target/2, tc.estimate.Target*2
			e := trusted(&sizing.Reading{Estimate: tc.estimate, Usage: tc.usage}, template, key)
			assert.Equal(t, tc.want, e.Target)
			assert.LessOrEqual(t, e.Lower, e.Target)
			assert.GreaterOrEqual(t, e.Upper, e.Target)
		})
	}
}
