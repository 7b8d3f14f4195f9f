package workload

import (
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

func TestARecordSaysWhatCameOfItsSteps(t *testing.T) {
	done := decision.PodAction{Pod: "done", Method: decision.InPlace, Result: decision.Done}
	running := decision.PodAction{Pod: "running", Method: decision.InPlace, Result: decision.Pending, Code: "InProgress"}
	queued := decision.PodAction{Pod: "queued", Method: decision.InPlace, Result: decision.Pending, Code: "Queued", Reason: "others first"}
	sent := decision.PodAction{Pod: "sent", Method: decision.Evict, Result: decision.Pending, Code: "Sent", Reason: "no answer yet"}
	evicted := decision.PodAction{Pod: "evicted", Method: decision.Evict, Result: decision.Done}
	blocked := decision.PodAction{Pod: "kept", Method: decision.Evict, Result: decision.Blocked, Code: "PodDisruptionBudget", Reason: "two are needed"}
	refused := decision.PodAction{Pod: "odd", Method: decision.InPlace, Result: decision.Refused, Code: "Invalid", Reason: "no"}
	held := &decision.Record{Outcome: decision.Held, Code: "PodDisruptionBudget", Reason: "Held: as before"}
	tests := map[string]struct {
		steps   int
		actions []decision.PodAction
		before  *decision.Record
		outcome decision.Outcome
		code    string
		reason  string
	}{
		"all done":                  {1, []decision.PodAction{done}, nil, decision.Resized, "Resize", "Resized 3 pods: more is used"},
		"the node works on it":      {1, []decision.PodAction{running}, nil, decision.Resized, "Resize", "Resized 3 pods: more is used"},
		"some":                      {3, []decision.PodAction{done, blocked, queued}, nil, decision.Resized, "Resize", "Resized 1 of 3 pods: more is used; not pod kept: two are needed"},
		"replaced":                  {1, []decision.PodAction{evicted}, nil, decision.Recreated, "Resize", "Resized 3 pods: more is used"},
		"none":                      {1, []decision.PodAction{blocked}, nil, decision.Held, "PodDisruptionBudget", "Held: pod kept: two are needed; wanted: more is used"},
		"the end of an earlier one": {1, []decision.PodAction{blocked, done}, nil, decision.Held, "PodDisruptionBudget", "Held: pod kept: two are needed; wanted: more is used"},
		"refused":                   {2, []decision.PodAction{blocked, refused}, nil, decision.Failed, "Invalid", "Failed: pod odd: no; wanted: more is used"},
		"queued":                    {1, []decision.PodAction{queued}, nil, decision.Held, "Queued", "Held: pod queued: others first; wanted: more is used"},
		"tried again":               {1, []decision.PodAction{sent}, held, decision.Held, "PodDisruptionBudget", "Held: as before"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := decision.Record{Outcome: decision.Resized, Code: "Resize", Reason: "Resized 3 pods: more is used", Pods: tc.actions}
			concludeActions(&r, tc.steps, tc.before)
			assert.Equal(t, tc.outcome, r.Outcome)
			assert.Equal(t, tc.code, r.Code)
			assert.Equal(t, tc.reason, r.Reason)
		})
	}
}

func TestPodsThatEndedNeedNoSize(t *testing.T) {
	pod := func(name, memory string, phase corev1.PodPhase) sizing.Pod {
		return sizing.Pod{Object: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Status: corev1.PodStatus{Phase: phase},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}}}}}}}
	}
	sizes := []sizing.ContainerSize{{Role: sizing.DefaultRole, Container: "main", Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("100Mi")}}}
	pods := []sizing.Pod{pod("ended", "1Gi", corev1.PodSucceeded), pod("right", "100Mi", corev1.PodRunning), pod("nearly", "105Mi", corev1.PodRunning), pod("not", "200Mi", corev1.PodRunning)}
	assert.Equal(t, int32(2), countSized(pods, nil, sizes, 0.1))
	assert.Equal(t, int32(3), countLiving(pods))
}

func TestCachedTemplatesKeepWhatSizesDependOn(t *testing.T) {
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		PriorityClassName: "high", OS: &corev1.PodOS{Name: corev1.Windows},
		Volumes: []corev1.Volume{{Name: "large", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}}}, InitContainers: []corev1.Container{},
		Containers: []corev1.Container{{Name: "main", Args: []string{"-Xmx1g"},
			Env:     []corev1.EnvVar{{Name: "JAVA_TOOL_OPTIONS", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{Key: "k"}}}},
			EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{}}}}}}}
	var apply toolscache.TransformFunc
	for object, options := range CachedObjects() {
		if _, ok := object.(*appsv1.Deployment); ok {
			apply = options.Transform
		}
	}
	got, err := apply(&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: *template.DeepCopy()}})
	assert.NoError(t, err)
	want := template
	want.Spec.Volumes = nil
	assert.Equal(t, want.Spec, got.(*appsv1.Deployment).Spec.Template.Spec)
}
