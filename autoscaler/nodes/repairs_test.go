package nodes

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
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
