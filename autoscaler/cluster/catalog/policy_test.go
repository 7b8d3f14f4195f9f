package catalog

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

func in(key string, values ...string) corev1.NodeSelectorRequirement {
	return corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}
}

func policy(spec v1alpha1.NodePolicySpec) *v1alpha1.NodePolicy {
	return &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "general"}, Spec: spec}
}

func offersToChoose() []cluster.Offer {
	var offers []cluster.Offer
	for _, name := range []string{"small", "large"} {
		for _, zone := range []string{"a", "b"} {
			offers = append(offers, cluster.Offer{Name: name, Group: name + "-" + zone, Zone: zone, PricePerHour: 1, Available: true, Labels: map[string]string{
				corev1.LabelInstanceTypeStable: name, corev1.LabelTopologyZone: zone, "team": "any", "memory-gib": "16",
			}})
		}
	}
	return offers
}

func TestApply(t *testing.T) {
	for name, tc := range map[string]struct {
		spec v1alpha1.NodePolicySpec
		want []string
	}{
		"everything": {v1alpha1.NodePolicySpec{}, []string{"small-a", "small-b", "large-a", "large-b"}},
		"one zone":   {v1alpha1.NodePolicySpec{Requirements: []corev1.NodeSelectorRequirement{in(corev1.LabelTopologyZone, "b")}}, []string{"small-b", "large-b"}},
		"requirements are ANDed": {v1alpha1.NodePolicySpec{Requirements: []corev1.NodeSelectorRequirement{
			in(corev1.LabelTopologyZone, "b"), {Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpNotIn, Values: []string{"large"}}}}, []string{"small-b"}},
		"greater than": {v1alpha1.NodePolicySpec{Requirements: []corev1.NodeSelectorRequirement{{Key: "memory-gib", Operator: corev1.NodeSelectorOpGt, Values: []string{"16"}}}}, nil},
		"groups":       {v1alpha1.NodePolicySpec{Provider: v1alpha1.ProviderReference{Groups: []string{"large-a"}}}, []string{"large-a"}},
		"a label of the template": {v1alpha1.NodePolicySpec{Template: v1alpha1.NodeTemplate{Labels: map[string]string{"team": "shop"}},
			Requirements: []corev1.NodeSelectorRequirement{in("team", "shop")}}, []string{"small-a", "small-b", "large-a", "large-b"}},
		"the template does not move machines": {v1alpha1.NodePolicySpec{Template: v1alpha1.NodeTemplate{Labels: map[string]string{corev1.LabelTopologyZone: "a"}},
			Requirements: []corev1.NodeSelectorRequirement{in(corev1.LabelTopologyZone, "a")}}, []string{"small-a", "large-a"}},
		"not understood": {v1alpha1.NodePolicySpec{Requirements: []corev1.NodeSelectorRequirement{{Key: "a", Operator: "in"}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, o := range Apply(policy(tc.spec), offersToChoose()) {
				got = append(got, o.Group)
				assert.Equal(t, "general", o.Policy)
				assert.Equal(t, "general", o.Labels[v1alpha1.LabelNodePolicy])
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestApplyRanksAndTaints(t *testing.T) {
	offers := offersToChoose()
	under := Apply(policy(v1alpha1.NodePolicySpec{
		Weight:     7,
		Template:   v1alpha1.NodeTemplate{Taints: []corev1.Taint{{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}}},
		Priorities: []v1alpha1.OfferPriority{{Requirements: []corev1.NodeSelectorRequirement{in(corev1.LabelTopologyZone, "b")}}, {Requirements: []corev1.NodeSelectorRequirement{in(corev1.LabelInstanceTypeStable, "large")}}},
	}), offers)
	require.Len(t, under, 4)
	for i, rank := range []int{2, 0, 1, 0} {
		assert.Equal(t, rank, under[i].Rank, under[i].Group)
		assert.EqualValues(t, 7, under[i].Weight)
		assert.Len(t, under[i].Taints, 1)
	}
	assert.Equal(t, offersToChoose(), offers, "what was given is not changed")
}

func TestValidate(t *testing.T) {
	for want, spec := range map[string]v1alpha1.NodePolicySpec{
		"spec.requirements[1]":               {Requirements: []corev1.NodeSelectorRequirement{in("a", "b"), {Key: "c", Operator: "Is"}}},
		"spec.priorities[0].requirements":    {Priorities: []v1alpha1.OfferPriority{{}}},
		"spec.priorities[0].requirements[0]": {Priorities: []v1alpha1.OfferPriority{{Requirements: []corev1.NodeSelectorRequirement{{Key: "a", Operator: corev1.NodeSelectorOpGt, Values: []string{"x"}}}}}},
	} {
		assert.ErrorContains(t, Validate(policy(spec)), want)
	}
	assert.NoError(t, Validate(policy(v1alpha1.NodePolicySpec{})))
}

func TestLimits(t *testing.T) {
	quantity := func(s string) *resource.Quantity { q := resource.MustParse(s); return &q }
	nodes := int32(10)
	p := policy(v1alpha1.NodePolicySpec{Expander: v1alpha1.LeastWaste, Limits: &v1alpha1.NodeLimits{CPU: quantity("10"), Memory: quantity("1Gi"), Nodes: &nodes, PricePerHour: quantity("2500m")}})
	p.Status.Charged = v1alpha1.NodeCharge{CPU: *quantity("2500m"), Memory: *quantity("2Gi"), Nodes: 3, PricePerHour: *quantity("1")}
	got := Limits(p)
	assert.Equal(t, "general", got.Name)
	assert.Equal(t, "LeastWaste", got.Expander)
	assert.EqualValues(t, 7500, *got.Left.MilliCPU)
	assert.EqualValues(t, 0, *got.Left.Memory, "more was bought than is allowed now")
	assert.Equal(t, 7, *got.Left.Nodes)
	assert.InDelta(t, 1.5, *got.Left.PricePerHour, 1e-9)
	assert.Equal(t, cluster.Limits{}, Limits(policy(v1alpha1.NodePolicySpec{})).Left)
}

func TestPrice(t *testing.T) {
	offers, err := Read(bytes.NewReader(published(t)))
	require.NoError(t, err)
	prices := NewPrices(offers)
	for name, tc := range map[string]struct {
		labels map[string]string
		want   float64
	}{
		"all labels":            {map[string]string{corev1.LabelInstanceTypeStable: "c-1x-amd64-linux", corev1.LabelTopologyZone: "test-zone-b", LabelCapacityType: "spot"}, 0.019003238553599998},
		"only the type":         {map[string]string{corev1.LabelInstanceTypeStable: "c-1x-amd64-linux"}, 0.027147483648},
		"the former label":      {map[string]string{corev1.LabelInstanceType: "c-1x-amd64-linux"}, 0.027147483648},
		"a zone without offers": {map[string]string{corev1.LabelInstanceTypeStable: "c-1x-amd64-linux", corev1.LabelTopologyZone: "elsewhere"}, -1},
		"an unknown type":       {map[string]string{corev1.LabelInstanceTypeStable: "elsewhere"}, -1},
		"no type":               {nil, -1},
	} {
		t.Run(name, func(t *testing.T) {
			price, ok := prices.Of(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: tc.labels}})
			assert.Equal(t, tc.want >= 0, ok)
			if ok {
				assert.Equal(t, tc.want, price)
			}
		})
	}
}
