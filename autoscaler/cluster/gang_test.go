package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
)

func TestWhatMakesAPodOneOfAGang(t *testing.T) {
	tests := map[string]struct {
		meta metav1.ObjectMeta
		spec corev1.PodSpec
		want gangID
	}{
		"nothing": {},
		"scheduling group": {spec: corev1.PodSpec{SchedulingGroup: &corev1.PodSchedulingGroup{PodGroupName: ptr.To("g")}},
			want: gangID{api: "scheduling.k8s.io", namespace: "ml", name: "g"}},
		"scheduling group before labels": {meta: metav1.ObjectMeta{Labels: map[string]string{"scheduling.x-k8s.io/pod-group": "h"}},
			spec: corev1.PodSpec{SchedulingGroup: &corev1.PodSchedulingGroup{PodGroupName: ptr.To("g")}},
			want: gangID{api: "scheduling.k8s.io", namespace: "ml", name: "g"}},
		"coscheduling": {meta: metav1.ObjectMeta{Labels: map[string]string{"scheduling.x-k8s.io/pod-group": "g"}},
			want: gangID{api: "scheduling.x-k8s.io", namespace: "ml", name: "g"}},
		"coscheduling, older": {meta: metav1.ObjectMeta{Labels: map[string]string{"pod-group.scheduling.sigs.k8s.io": "g"}},
			want: gangID{api: "scheduling.x-k8s.io", namespace: "ml", name: "g"}},
		"volcano": {meta: metav1.ObjectMeta{Annotations: map[string]string{"scheduling.volcano.sh/group-name": "g"}},
			want: gangID{api: "scheduling.volcano.sh", namespace: "ml", name: "g"}},
		"volcano, older": {meta: metav1.ObjectMeta{Annotations: map[string]string{"scheduling.k8s.io/group-name": "g"}},
			want: gangID{api: "scheduling.volcano.sh", namespace: "ml", name: "g"}},
		"kueue": {meta: metav1.ObjectMeta{Labels: map[string]string{"kueue.x-k8s.io/pod-group-name": "g"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.meta.Namespace, tt.meta.Name = "ml", "p"
			assert.Equal(t, tt.want, gangOf(&corev1.Pod{ObjectMeta: tt.meta, Spec: tt.spec}))
		})
	}
}

func loose(api, kind string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": api, "kind": kind, "metadata": map[string]any{"namespace": "ml", "name": "g"}, "spec": spec,
	}}
}

func TestHowManyPodsAGangNeeds(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "ml", Name: "g"}
	const kubernetes, coscheduling, volcano = "scheduling.k8s.io", "scheduling.x-k8s.io", "scheduling.volcano.sh"
	tests := map[string]struct {
		object any
		api    string
		want   int
		why    string
	}{
		"v1beta1": {&schedulingv1beta1.PodGroup{ObjectMeta: meta, Spec: schedulingv1beta1.PodGroupSpec{
			SchedulingPolicy: schedulingv1beta1.PodGroupSchedulingPolicy{Gang: &schedulingv1beta1.GangSchedulingPolicy{MinCount: 4}}}}, kubernetes, 4, ""},
		"v1beta1, basic": {&schedulingv1beta1.PodGroup{ObjectMeta: meta, Spec: schedulingv1beta1.PodGroupSpec{
			SchedulingPolicy: schedulingv1beta1.PodGroupSchedulingPolicy{Basic: &schedulingv1beta1.BasicSchedulingPolicy{}}}}, kubernetes, 1, ""},
		"v1alpha3": {&schedulingv1alpha3.PodGroup{ObjectMeta: meta, Spec: schedulingv1alpha3.PodGroupSpec{
			SchedulingPolicy: schedulingv1alpha3.PodGroupSchedulingPolicy{Gang: &schedulingv1alpha3.GangSchedulingPolicy{MinCount: 3}}}}, kubernetes, 3, ""},
		"unstructured":                    {loose("scheduling.k8s.io/v1beta1", "PodGroup", map[string]any{"schedulingPolicy": map[string]any{"gang": map[string]any{"minCount": int64(5)}}}), kubernetes, 5, ""},
		"coscheduling":                    {loose("scheduling.x-k8s.io/v1alpha1", "PodGroup", map[string]any{"minMember": int64(6)}), coscheduling, 6, ""},
		"volcano":                         {loose("scheduling.volcano.sh/v1beta1", "PodGroup", map[string]any{"minMember": float64(7)}), volcano, 7, ""},
		"no number":                       {loose("scheduling.volcano.sh/v1beta1", "PodGroup", map[string]any{"minMember": "seven"}), volcano, 1, ""},
		"negative":                        {loose("scheduling.volcano.sh/v1beta1", "PodGroup", map[string]any{"minMember": int64(-7)}), volcano, 1, ""},
		"group missing, waits":            {nil, kubernetes, 0, "its pod group ml/g does not exist"},
		"group missing, waits in volcano": {nil, volcano, 0, "its pod group ml/g does not exist"},
		"group missing, goes alone":       {nil, coscheduling, 1, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			known := gangs{}
			if tt.object != nil {
				assert.True(t, known.upsert(tt.object))
			}
			got, why := known.needs(gangID{api: tt.api, namespace: "ml", name: "g"})
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.why, why)
			if tt.object != nil {
				assert.True(t, known.remove(tt.object))
				assert.Empty(t, known)
			}
		})
	}
	n, why := gangs{}.needs(gangID{})
	assert.Equal(t, 1, n)
	assert.Empty(t, why)
	for _, other := range []any{&corev1.Pod{}, loose("example.com/v1", "PodGroup", nil), loose("scheduling.k8s.io/v1beta1", "Workload", nil), nil} {
		assert.False(t, gangs{}.upsert(other))
	}
}
