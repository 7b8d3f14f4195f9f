package actuation

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// The role of a pod shows when it runs; a created one gets the largest size of all roles.
func TestWhatAPodOfALightRoleComesBackWith(t *testing.T) {
	memory := func(amount string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(amount)}
	}
	pod := func(amount string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "main", Resources: corev1.ResourceRequirements{Requests: memory(amount)}}}}}
	}
	for _, test := range []struct {
		name                 string
		has, wanted, created string
		admitted             bool
	}{
		{"its own size", "512Mi", "1Gi", "1Gi", true},
		{"it is to grow", "512Mi", "1Gi", "2Gi", true},
		{"it is to shrink, and will", "3Gi", "1Gi", "2Gi", true},
		{"it is to shrink, and would come back as it was", "2Gi", "1Gi", "2Gi", false},
		{"it is to shrink, and would grow", "1536Mi", "1Gi", "2Gi", false},
		{"a size of nobody", "512Mi", "1Gi", "3Gi", false},
		{"too little", "512Mi", "1Gi", "512Mi", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			old := pod(test.has)
			r := &replacement{pod: old, t: &Target{
				Pods: []sizing.Pod{{Object: old, Role: sizing.DefaultRole}},
				Sizes: []sizing.ContainerSize{
					{Role: sizing.DefaultRole, Container: "main", Requests: memory("1Gi")}, {Role: "heavy", Container: "main", Requests: memory("2Gi")}},
			}, step: &sizing.Step{Pod: old, Containers: map[string]corev1.ResourceRequirements{"main": {Requests: memory(test.wanted)}}}}
			lacks := r.lacks(pod(test.created))
			if test.admitted {
				assert.Empty(t, lacks)
			} else {
				assert.Contains(t, lacks, "main would request")
			}
		})
	}
}
