package autoscaler

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// TestManyPolicies evaluates many policies, each with a query of its own: 30, or as many as YAGURA_TEST_POLICIES says. A policy at rest
// must cost the API server nothing after its first status.
func TestManyPolicies(t *testing.T) {
	w := newWorld(t)
	policies := 30
	if n, err := strconv.Atoi(os.Getenv("YAGURA_TEST_POLICIES")); err == nil {
		policies = n
	}
	one := int32(1)
	var group errgroup.Group
	group.SetLimit(20)
	for i := range policies {
		name := fmt.Sprintf("web-%d", i)
		query := fmt.Sprintf(`sum(queue{app="%s"})`, name)
		w.signals.set(query, 10)
		group.Go(func() error {
			labels := map[string]string{"app": name}
			d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
				Spec: appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels},
					Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}}}}}
			if err := w.client.Create(t.Context(), d); err != nil {
				return err
			}
			return w.client.Create(t.Context(), w.policy(name, func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.Horizontal.Objectives[0].Query.PromQL = query }))
		})
	}
	require.NoError(t, group.Wait())
	registry := prometheus.NewRegistry()
	a := newAutoscaler(t, Config{Kubeconfig: w.path, Namespaces: []string{w.namespace}, LeaderElection: LeaderElectionConfig{Namespace: w.namespace}, Signal: signalURL(w.url)}, registry)
	w.run(a)
	require.Eventually(t, func() bool {
		var list v1alpha1.WorkloadAutoscalerList
		require.NoError(t, w.client.List(t.Context(), &list, client.InNamespace(w.namespace)))
		settled := 0
		for i := range list.Items {
			if strings.Contains(list.Items[i].Status.Reason, "within the tolerance") {
				settled++
			}
		}
		return settled == policies
	}, 2*time.Minute, 200*time.Millisecond)
	assert.Equal(t, policies, a.State().Policies)

	before, ticks := gathered(t, registry, "yagura_autoscaler_status_patches_total"), gathered(t, registry, "yagura_autoscaler_evaluations_total")
	seconds, rounds := histogram(t, registry, "yagura_autoscaler_tick_seconds")
	w.eventually("some more evaluations", func() bool {
		return gathered(t, registry, "yagura_autoscaler_evaluations_total") >= ticks+float64(10*policies)
	})
	later, more := histogram(t, registry, "yagura_autoscaler_tick_seconds")
	assert.Equal(t, before, gathered(t, registry, "yagura_autoscaler_status_patches_total"), "nothing changed, so nothing is written")
	t.Logf("%d policies: %.1f ms per round of evaluations", policies, 1000*(later-seconds)/(more-rounds))
}

// gathered sums a counter over its labels.
func gathered(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == name {
			for _, metric := range family.GetMetric() {
				sum += metric.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func histogram(t *testing.T, registry *prometheus.Registry, name string) (sum, count float64) {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == name {
			h := family.GetMetric()[0].GetHistogram()
			return h.GetSampleSum(), float64(h.GetSampleCount())
		}
	}
	return 0, 0
}
