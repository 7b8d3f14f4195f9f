package workload

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOwners(t *testing.T) {
	policy := func(name string, age int, edit func(*v1alpha1.WorkloadAutoscaler)) v1alpha1.WorkloadAutoscaler {
		p := v1alpha1.WorkloadAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(1000-age), 0))},
			Spec: v1alpha1.WorkloadAutoscalerSpec{Mode: v1alpha1.Apply, TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
				Horizontal: &v1alpha1.HorizontalPolicy{Max: 3}},
		}
		if edit != nil {
			edit(&p)
		}
		return p
	}
	hpa := func(namespace, apiVersion, target string) autoscalingv2.HorizontalPodAutoscaler {
		return autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "hpa"},
			Spec: autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: apiVersion, Kind: "Deployment", Name: target}}}
	}
	tests := map[string]struct {
		hpas     []autoscalingv2.HorizontalPodAutoscaler
		policies []v1alpha1.WorkloadAutoscaler
		want     string // for the first policy
	}{
		"alone":                        {policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, nil)}},
		"an HPA":                       {hpas: []autoscalingv2.HorizontalPodAutoscaler{hpa("shop", "apps/v1", "web")}, policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, nil)}, want: "HorizontalPodAutoscaler hpa"},
		"an HPA on another version":    {hpas: []autoscalingv2.HorizontalPodAutoscaler{hpa("shop", "apps/v1beta1", "web")}, policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, nil)}, want: "HorizontalPodAutoscaler hpa"},
		"an HPA on another target":     {hpas: []autoscalingv2.HorizontalPodAutoscaler{hpa("shop", "apps/v1", "api")}, policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, nil)}},
		"an HPA in another namespace":  {hpas: []autoscalingv2.HorizontalPodAutoscaler{hpa("other", "apps/v1", "web")}, policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, nil)}},
		"an older policy":              {policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, nil), policy("b", 2, nil)}, want: "WorkloadAutoscaler b"},
		"a younger policy":             {policies: []v1alpha1.WorkloadAutoscaler{policy("a", 2, nil), policy("b", 1, nil)}},
		"one of the same second":       {policies: []v1alpha1.WorkloadAutoscaler{policy("b", 1, nil), policy("a", 1, nil)}, want: "WorkloadAutoscaler a"},
		"an older one that recommends": {policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, nil), policy("b", 2, func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.Mode = v1alpha1.Recommend })}},
		"an older one that is going":   {policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, nil), policy("b", 2, func(p *v1alpha1.WorkloadAutoscaler) { p.DeletionTimestamp = &metav1.Time{} })}},
		"an older one for sizes only": {policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, nil), policy("b", 2, func(p *v1alpha1.WorkloadAutoscaler) {
			p.Spec.Horizontal, p.Spec.Vertical = nil, &v1alpha1.VerticalPolicy{}
		})}},
		"recommending beside one that acts": {policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.Mode = v1alpha1.Recommend }), policy("b", 2, nil)}, want: "WorkloadAutoscaler b"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, newOwners(tc.hpas, tc.policies).other(&tc.policies[0]))
		})
	}
}

func TestWhoElseSizesATarget(t *testing.T) {
	policy := func(name string, age int, apply v1alpha1.VerticalApply) v1alpha1.WorkloadAutoscaler {
		return v1alpha1.WorkloadAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(1000-age), 0))},
			Spec: v1alpha1.WorkloadAutoscalerSpec{Mode: v1alpha1.Apply, TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
				Vertical: &v1alpha1.VerticalPolicy{Apply: apply}},
		}
	}
	sized := map[Sized]string{{Namespace: "shop", Group: "apps", Kind: "Deployment", Name: "web"}: "VerticalPodAutoscaler web"}
	tests := map[string]struct {
		policies []v1alpha1.WorkloadAutoscaler
		sizers   map[Sized]string
		err      error
		want     string
	}{
		"alone":                    {policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, v1alpha1.ApplyInPlace)}},
		"a VPA":                    {policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, v1alpha1.ApplyInPlace)}, sizers: sized, want: "VerticalPodAutoscaler web"},
		"an older policy":          {policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, v1alpha1.ApplyInPlace), policy("b", 2, v1alpha1.ApplyOnCreate)}, want: "WorkloadAutoscaler b"},
		"an older one that is off": {policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, v1alpha1.ApplyInPlace), policy("b", 2, v1alpha1.ApplyOff)}},
		"nobody knows":             {policies: []v1alpha1.WorkloadAutoscaler{policy("a", 1, v1alpha1.ApplyInPlace)}, err: errors.New("no answer"), want: "somebody else, perhaps, for it is not known who does (no answer),"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o := newOwners(nil, tc.policies)
			o.sizedBy(tc.sizers, tc.err)
			assert.Equal(t, tc.want, o.otherSizer(&tc.policies[0]))
		})
	}
}
