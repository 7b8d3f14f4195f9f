package vpa_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/yagura-dev/yagura/autoscaler/vpa"
)

func object(name string, edit func(*vpav1.VerticalPodAutoscaler)) vpav1.VerticalPodAutoscaler {
	v := vpav1.VerticalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec: vpav1.VerticalPodAutoscalerSpec{
			TargetRef: &autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}},
	}
	if edit != nil {
		edit(&v)
	}
	return v
}

func mode(m vpav1.UpdateMode) func(*vpav1.VerticalPodAutoscaler) {
	return func(v *vpav1.VerticalPodAutoscaler) { v.Spec.UpdatePolicy = &vpav1.PodUpdatePolicy{UpdateMode: &m} }
}

func TestOwners(t *testing.T) {
	web := vpa.Target{Namespace: "shop", Group: "apps", Kind: "Deployment", Name: "web"}
	boost := &vpav1.StartupBoost{CPU: &vpav1.GenericStartupBoost{Type: "Factor", Factor: ptr(int32(2))}}
	for name, c := range map[string]struct {
		objects []vpav1.VerticalPodAutoscaler
		want    map[vpa.Target]string
	}{
		"none":               {nil, map[vpa.Target]string{}},
		"the default mode":   {[]vpav1.VerticalPodAutoscaler{object("a", nil)}, map[vpa.Target]string{web: "a"}},
		"an empty mode":      {[]vpav1.VerticalPodAutoscaler{object("a", mode(""))}, map[vpa.Target]string{web: "a"}},
		"new pods only":      {[]vpav1.VerticalPodAutoscaler{object("a", mode("Initial"))}, map[vpa.Target]string{web: "a"}},
		"a mode of tomorrow": {[]vpav1.VerticalPodAutoscaler{object("a", mode("Gently"))}, map[vpa.Target]string{web: "a"}},
		"nothing applied":    {[]vpav1.VerticalPodAutoscaler{object("a", mode("Off"))}, map[vpa.Target]string{}},
		"starts boosted all the same": {[]vpav1.VerticalPodAutoscaler{object("a", func(v *vpav1.VerticalPodAutoscaler) {
			mode("Off")(v)
			v.Spec.StartupBoost = boost
		})}, map[vpa.Target]string{web: "a"}},
		"a container's starts boosted": {[]vpav1.VerticalPodAutoscaler{object("a", func(v *vpav1.VerticalPodAutoscaler) {
			mode("Off")(v)
			v.Spec.ResourcePolicy = &vpav1.PodResourcePolicy{ContainerPolicies: []vpav1.ContainerResourcePolicy{{ContainerName: "*", StartupBoost: boost}}}
		})}, map[vpa.Target]string{web: "a"}},
		"whoever recommends": {[]vpav1.VerticalPodAutoscaler{object("a", func(v *vpav1.VerticalPodAutoscaler) {
			v.Spec.Recommenders = []*vpav1.VerticalPodAutoscalerRecommenderSelector{{Name: "somebody"}}
		})}, map[vpa.Target]string{web: "a"}},
		"two, by name": {[]vpav1.VerticalPodAutoscaler{object("b", nil), object("a", nil), object("0", mode("Off"))}, map[vpa.Target]string{web: "a"}},
		"another version is the same target": {[]vpav1.VerticalPodAutoscaler{object("a", func(v *vpav1.VerticalPodAutoscaler) { v.Spec.TargetRef.APIVersion = "apps/v1beta2" })},
			map[vpa.Target]string{web: "a"}},
		"no version": {[]vpav1.VerticalPodAutoscaler{object("a", func(v *vpav1.VerticalPodAutoscaler) { v.Spec.TargetRef.APIVersion = "" })},
			map[vpa.Target]string{web: "a"}},
		"no target": {[]vpav1.VerticalPodAutoscaler{object("a", func(v *vpav1.VerticalPodAutoscaler) { v.Spec.TargetRef = nil })}, map[vpa.Target]string{}},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, vpa.Owners(c.objects)) })
	}
}

func TestSelects(t *testing.T) {
	selectors := func(names ...string) func(*vpav1.VerticalPodAutoscaler) {
		return func(v *vpav1.VerticalPodAutoscaler) {
			for _, n := range names {
				v.Spec.Recommenders = append(v.Spec.Recommenders, &vpav1.VerticalPodAutoscalerRecommenderSelector{Name: n})
			}
		}
	}
	for _, c := range []struct {
		names []string
		want  bool
	}{{nil, false}, {[]string{"yagura"}, true}, {[]string{"default"}, false}, {[]string{"other", "yagura"}, false}, {[]string{"yagura", "other"}, true}} {
		v := object("a", selectors(c.names...))
		assert.Equal(t, c.want, vpa.DefaultConfig().Selects(&v), "%v", c.names)
		assert.False(t, vpa.Config{}.Selects(&v), "switched off")
	}
	v := object("a", nil)
	v.Spec.Recommenders = []*vpav1.VerticalPodAutoscalerRecommenderSelector{nil}
	assert.False(t, vpa.DefaultConfig().Selects(&v))
}

func TestConfigValidate(t *testing.T) {
	assert.NoError(t, vpa.DefaultConfig().Validate())
	c := vpa.DefaultConfig()
	c.Recommender = "default"
	assert.ErrorContains(t, c.Validate(), "recommender: ")
	c = vpa.DefaultConfig()
	c.Interval = 0
	assert.ErrorContains(t, c.Validate(), "interval: ")
}
