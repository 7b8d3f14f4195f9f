package oracle

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// TestPreferencesKeepNobodyOff plans each case with the pods' preferences and without them: what pods merely wish for must not leave one
// more without a place, nor cost anything.
func TestPreferencesKeepNobodyOff(t *testing.T) {
	for seed := range uint64(400) {
		c := Generate(seed)
		plan := func(as func(*corev1.Pod) *corev1.Pod) cluster.Plan {
			var pods []*corev1.Pod
			for _, p := range c.Bound {
				pods = append(pods, Completed(p))
			}
			for _, p := range c.Pending {
				pods = append(pods, Completed(as(p)))
			}
			state, err := c.State(c.Policy, c.Nodes, pods)
			require.NoError(t, err, "seed %d", seed)
			return state.Plan(cluster.Options{})
		}
		with := plan(func(p *corev1.Pod) *corev1.Pod { return p })
		without := plan(WithoutPreferences)
		require.Len(t, with.Unschedulable, len(without.Unschedulable), "seed %d", seed)
		require.InDelta(t, without.Cost.After, with.Cost.After, 1e-9, "seed %d", seed)
		require.LessOrEqual(t, with.Cost.LowerBound, with.Cost.After+1e-9, "seed %d", seed)
	}
}
