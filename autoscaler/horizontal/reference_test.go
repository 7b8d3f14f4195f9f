package horizontal

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// decideOnCPU evaluates a target of 70% for four pods that use 600m each.
func decideOnCPU(references map[string]int64, requests ...int64) decision.Record {
	utilization := int32(70)
	pods := make([]*corev1.Pod, 4)
	usage := Usage{}
	for i := range pods {
		pods[i] = podCase{Requests: requests}.build(i, corev1.ResourceCPU)
		usage[pods[i].Name] = Sample{Milli: 600, Time: now}
	}
	return Decide(Input{
		Now: now,
		Policy: &v1alpha1.WorkloadAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout"},
			Spec: v1alpha1.WorkloadAutoscalerSpec{
				TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "checkout"},
				Mode:      v1alpha1.Apply,
				Horizontal: &v1alpha1.HorizontalPolicy{Min: 1, Max: 20, Objectives: []v1alpha1.Objective{
					{Name: "cpu", Resource: &v1alpha1.ResourceObjective{Name: v1alpha1.CPU, Utilization: &utilization}},
				}},
			},
		},
		Current: 4, Existing: 4, Pods: pods, References: references,
		Signals: []Signal{{State: decision.Fresh, Usage: usage}},
		History: &History{},
	})
}

func TestAResizeAloneChangesNoReplicas(t *testing.T) {
	// 600m of 500m is 120%, which asks for 4*120/70 = 7 replicas, whatever the pods were resized to since.
	for name, requests := range map[string][]int64{
		"as they were": {250, 250}, "grown": {1500, 1500}, "shrunk": {300, 340}, "without any request": nil,
	} {
		t.Run(name, func(t *testing.T) {
			record := decideOnCPU(map[string]int64{"cpu": 500}, requests...)
			assert.Equal(t, int32(7), record.DesiredReplicas)
			require.NotNil(t, record.Objectives[0].Value)
			assert.Equal(t, 120.0, *record.Objectives[0].Value)
			assert.Contains(t, record.Reason, "cpu at 120% of the reference of 0.5 cores per pod, target 70%")
		})
	}
}

func TestWithoutAReferencePodsRequestsCount(t *testing.T) {
	for _, references := range []map[string]int64{nil, {}, {"other": 500}, {"cpu": 0}} {
		record := decideOnCPU(references, 300, 300)
		assert.Equal(t, int32(6), record.DesiredReplicas, "100% of 600m: 4*100/70")
		assert.Contains(t, record.Reason, "cpu at 100% of requests")
		assert.Equal(t, decideOnCPU(nil, 300, 300), record)
	}
}

func TestAReferenceIsWhatAPodWithoutASampleMightUse(t *testing.T) {
	pods := buildPods([]podCase{{Requests: []int64{100, 100}}, {Requests: []int64{100, 100}}, {Requests: []int64{100, 100}}}, corev1.ResourceCPU)
	usage := Usage{pods[0].Name: {Milli: 100}, pods[1].Name: {Milli: 100}}
	// 20% of 500m in two pods; the third counts with all of its 500m: 700m of 1500m is 46%, which at 70% is 2 replicas.
	p, err := ForReference(3, 70, corev1.ResourceCPU, 500, pods, usage, Tolerance{0.1, 0.1}, publishedReadiness, now)
	require.NoError(t, err)
	assert.Equal(t, 20.0, p.Value)
	assert.Equal(t, int32(2), p.Replicas)
}
