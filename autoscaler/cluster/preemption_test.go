package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func priorityClass(name string, value int32, global bool) *schedulingv1.PriorityClass {
	return &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, GlobalDefault: global}
}

func TestPriorityOfAPod(t *testing.T) {
	never := priorityClass("patient", 500, false)
	never.PreemptionPolicy = ptr.To(corev1.PreemptNever)
	p := newPriorities()
	for _, c := range []*schedulingv1.PriorityClass{never, priorityClass("high", 1000, false), priorityClass("usual", 100, true), priorityClass("also-usual", 50, true)} {
		p.upsert(c)
	}
	tests := map[string]struct {
		spec     corev1.PodSpec
		want     int32
		preempts bool
	}{
		"none named, the lowest default": {corev1.PodSpec{}, 50, true},
		"by class":                       {corev1.PodSpec{PriorityClassName: "high"}, 1000, true},
		"set by admission":               {corev1.PodSpec{PriorityClassName: "high", Priority: ptr.To[int32](7)}, 7, true},
		"built in":                       {corev1.PodSpec{PriorityClassName: "system-node-critical"}, 2000001000, true},
		"unknown class":                  {corev1.PodSpec{PriorityClassName: "gone"}, 0, true},
		"waits, says the class":          {corev1.PodSpec{PriorityClassName: "patient"}, 500, false},
		"waits, says the pod":            {corev1.PodSpec{Priority: ptr.To[int32](9), PreemptionPolicy: ptr.To(corev1.PreemptNever)}, 9, false},
		"admission has decided": {corev1.PodSpec{PriorityClassName: "patient", Priority: ptr.To[int32](500),
			PreemptionPolicy: ptr.To(corev1.PreemptLowerPriority)}, 500, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: tt.spec}
			assert.Equal(t, tt.want, p.of(pod))
			assert.Equal(t, tt.preempts, p.preempts(pod))
		})
	}
	p.remove("also-usual")
	assert.EqualValues(t, 100, p.of(&corev1.Pod{}))
	p.remove("usual")
	assert.EqualValues(t, 0, p.of(&corev1.Pod{}))
}
