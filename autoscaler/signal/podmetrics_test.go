package signal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metricsfake "k8s.io/metrics/pkg/client/clientset/versioned/fake"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestKubernetesPodMetrics(t *testing.T) {
	at := time.Unix(1000, 0)
	clock := clocktesting.NewFakeClock(at)
	fake := metricsfake.NewSimpleClientset()
	asked, absent := 0, false
	fake.PrependReactor("list", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		asked++
		if absent {
			return true, nil, apierrors.NewNotFound(schema.GroupResource{Group: "metrics.k8s.io", Resource: "pods"}, "")
		}
		assert.Equal(t, "shop", action.GetNamespace())
		return true, &metricsv1beta1.PodMetricsList{Items: []metricsv1beta1.PodMetrics{{
			ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop"}, Timestamp: metav1.NewTime(at), Window: metav1.Duration{Duration: 15 * time.Second},
			Containers: []metricsv1beta1.ContainerMetrics{{Name: "main", Usage: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("64Mi")}}},
		}}}, nil
	})
	k := NewKubernetesPodMetrics(fake.MetricsV1beta1(), clock)
	got, err := k.InNamespace(t.Context(), "shop")
	require.NoError(t, err)
	assert.Equal(t, map[string]ContainerUsage{"web-1": {Time: at, Window: 15 * time.Second,
		CPU: map[string]float64{"main": 0.25}, Memory: map[string]float64{"main": 64 << 20}}}, got)

	clock.Step(podMetricsLife - time.Second)
	_, err = k.InNamespace(t.Context(), "shop")
	require.NoError(t, err)
	assert.Equal(t, 1, asked, "metrics servers do not measure every second")

	clock.Step(time.Second)
	absent = true
	_, err = k.InNamespace(t.Context(), "shop")
	assert.ErrorContains(t, err, "does not serve it")
	clock.Step(podMetricsAbsent - time.Second)
	_, err = k.InNamespace(t.Context(), "shop")
	assert.Error(t, err)
	assert.Equal(t, 2, asked, "a cluster without the API is left alone for a while")
	absent = false
	clock.Step(time.Second)
	_, err = k.InNamespace(t.Context(), "shop")
	assert.NoError(t, err)
}
