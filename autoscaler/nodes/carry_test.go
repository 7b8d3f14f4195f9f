package nodes

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// A leader that dies between noting a renewal and buying what takes the node's place leaves a node that must not be drained: however
// little time the policy gives its pods, they have nowhere to go.
func TestARenewalForWhichNothingWasBoughtIsTakenBack(t *testing.T) {
	c := fleetOf(t, "4", "2")
	c.world.policies["general"].Spec.Disruption.TerminationGracePeriod = &metav1.Duration{Duration: time.Minute}
	c.run(t, "web-1", "a", 1, "3")
	noted := c.leave(t, "a", v1alpha1.DisruptDrifted).DeepCopy()
	noted.ResourceVersion, noted.Status.Phase = "7", v1alpha1.ClaimDisrupted
	c.world.apply(event{object: noted}, start)
	c.world.settle()
	kube, _ := c.acting(t, interceptor.Funcs{})
	assert.NoError(t, c.deps.Drainer.Cordon(t.Context(), c.world.nodes["a"], v1alpha1.DisruptDrifted))

	c.carryOn(t.Context(), after(purchaseTime))
	c.finish()
	k := live(t, kube, "general-a")
	assert.NotNil(t, k.Status.Disruption, "another leader may be buying still")
	assert.Equal(t, v1alpha1.ClaimDisrupted, k.Status.Phase)

	c.carryOn(t.Context(), after(purchaseTime+time.Second))
	c.finish()
	k = live(t, kube, "general-a")
	assert.Nil(t, k.Status.Disruption)
	assert.Equal(t, v1alpha1.ClaimReady, k.Status.Phase)
	assert.False(t, disrupted(c.nodeNow(t, "a")))
	assert.False(t, c.nodeNow(t, "a").Spec.Unschedulable)
}

// Where its pods have room anyhow nothing had to be bought, and the next leader goes on.
func TestARenewalThatNeedsNothingGoesOnUnderTheNextLeader(t *testing.T) {
	c := fleetOf(t, "4", "4")
	c.run(t, "web-1", "a", 1, "3")
	noted := c.leave(t, "a", v1alpha1.DisruptDrifted).DeepCopy()
	noted.ResourceVersion, noted.Status.Phase = "7", v1alpha1.ClaimDisrupted
	c.world.apply(event{object: noted}, start)
	c.world.settle()
	c.acting(t, interceptor.Funcs{})
	c.carryOn(t.Context(), after(time.Second))
	assert.Equal(t, v1alpha1.ClaimDraining, c.world.claims["general-a"].Status.Phase)
	c.finish()
}

// Drains that wait for room do not keep those from beginning that have some, however many wait.
func TestManyDrainsWithoutRoomDoNotStarveOthers(t *testing.T) {
	cores := make([]string, maxStarts+2)
	for i := range cores {
		cores[i] = "16"
	}
	cores[maxStarts] = "4"
	c := fleetOf(t, cores...)
	var prepared []*v1alpha1.NodeClaim
	for i := range maxStarts + 1 {
		name := string(rune('a' + i))
		cpu := "12"
		if i == maxStarts {
			cpu = "1"
		}
		c.run(t, "web-"+name, name, i+1, cpu)
		noted := c.leave(t, name, v1alpha1.DisruptDrifted).DeepCopy()
		noted.ResourceVersion, noted.Status.Phase = "7", v1alpha1.ClaimDisrupted
		c.world.apply(event{object: noted}, start)
		prepared = append(prepared, noted)
	}
	c.run(t, "large", string(rune('a'+maxStarts+1)), maxStarts+2, "8")
	c.world.settle()
	c.acting(t, interceptor.Funcs{})
	begun := map[string]bool{}
	for i := range 2 {
		starting, _ := c.begun(t.Context(), nil, slices.Clone(prepared), cluster.Outcome{Feasible: true}, after(time.Duration(i)*time.Second))
		for _, k := range starting {
			begun[k.Name] = true
		}
	}
	assert.Equal(t, map[string]bool{prepared[maxStarts].Name: true}, begun)
}
