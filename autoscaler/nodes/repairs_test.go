package nodes

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/repair"
)

// The drain before a reboot is within the budget, also beside another leader that has begun one that no watch has shown yet.
func TestADrainBeforeARebootHoldsTheBudgetBesideAnotherLeader(t *testing.T) {
	for name, test := range map[string]struct{ other, drains bool }{"alone": {false, true}, "beside another leader": {true, false}} {
		t.Run(name, func(t *testing.T) {
			c := fleetOf(t, "4", "4", "4")
			policy := c.world.policies["general"]
			policy.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromInt32(1)}}
			kube, _ := c.acting(t, interceptor.Funcs{})
			if test.other {
				k := live(t, kube, "general-b")
				k.Status.Disruption = &v1alpha1.ClaimDisruption{Reason: v1alpha1.DisruptUnhealthy, At: metav1.NewTime(start)}
				require.NoError(t, kube.Status().Update(t.Context(), k))
			}
			c.health.last.Actions = []repair.Action{{Node: "a", Claim: "general-a", Policy: "general", Step: v1alpha1.RepairReboot, Drain: true, Rule: "disk", Message: "it is sick"}}
			c.repair(t.Context(), start)
			k := live(t, kube, "general-a")
			assert.Equal(t, test.drains, k.Status.Disruption != nil)
			assert.Equal(t, test.drains, len(k.Status.Repairs) == 1, "a step that was not taken does not count")
			assert.Equal(t, test.drains, disrupted(c.nodeNow(t, "a")))
		})
	}
}

// What is decided about a sick node is done in mode Apply only, and a node that answers nobody goes without a drain.
func TestRepairsAreMadeAsTheModeSays(t *testing.T) {
	for name, test := range map[string]struct {
		mode   v1alpha1.Mode
		acts   bool
		told   decision.Outcome
		reason string
	}{
		"apply":     {v1alpha1.Apply, true, decision.Repaired, "it is silent"},
		"recommend": {v1alpha1.Recommend, false, decision.Recommended, "it is silent"},
		"observe":   {v1alpha1.Observe, false, decision.Observed, "nothing is planned"},
	} {
		t.Run(name, func(t *testing.T) {
			c := fleetOf(t, "4", "4")
			c.world.policies["general"].Spec.Mode = test.mode
			for _, k := range c.world.claims {
				k.Finalizers = []string{v1alpha1.NodeClaimFinalizer}
			}
			kube, _ := c.acting(t, interceptor.Funcs{})
			c.health.last.Actions = []repair.Action{{Node: "a", Claim: "general-a", Policy: "general", Step: v1alpha1.RepairReplace, Way: repair.Force, Rule: "silence", Message: "it is silent"}}
			c.repair(t.Context(), start)
			k := live(t, kube, "general-a")
			assert.Equal(t, test.acts, k.DeletionTimestamp != nil)
			assert.Equal(t, test.acts, drained(k))
			assert.Equal(t, test.acts, len(k.Status.Repairs) == 1)
			assert.Nil(t, live(t, kube, "general-b").DeletionTimestamp)
			r := c.record(c.world.policies["general"], &fleetCount{}, start)
			assert.Equal(t, test.told, r.Outcome)
			assert.Contains(t, r.Reason, test.reason)
		})
	}
}

// Whoever may lead no more, or has not seen the cluster for a while, takes no node away and goes on with no drain.
func TestNothingIsDoneInAWorldThatIsNotTrusted(t *testing.T) {
	c := fleetOf(t, "4", "4", "4")
	c.leave(t, "b", v1alpha1.DisruptDrifted)
	writes := 0
	kube, _ := c.acting(t, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, k client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			writes++
			return k.SubResource(sub).Patch(ctx, o, p, opts...)
		},
		Delete: func(ctx context.Context, k client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			writes++
			return k.Delete(ctx, o, opts...)
		},
	})
	leads := false
	c.deps.Leading = func() bool { return leads }
	c.health.last.Actions = []repair.Action{{Node: "a", Claim: "general-a", Policy: "general", Step: v1alpha1.RepairReplace, Way: repair.Force}}
	c.move(t.Context(), start)
	c.finish()
	assert.Zero(t, writes)
	assert.False(t, disrupted(c.nodeNow(t, "b")))
	assert.Nil(t, live(t, kube, "general-a").DeletionTimestamp)

	leads = true
	c.carryOn(t.Context(), start)
	c.finish()
	assert.Positive(t, writes, "it goes on once the world is trusted again")
}
