package nodes

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// What a sweep dares not put in order is told by the policies of the provider, and by no others, for as long as it lasts.
func TestWhatIsLeftAloneIsTold(t *testing.T) {
	c := fleetOf(t, "4")
	policy := c.world.policies["general"]
	policy.Spec.Provider.Name = "cloud"
	c.acting(t, interceptor.Funcs{})
	policy = c.world.policies["general"]
	astray := claim.Astray{Provider: "cloud", Message: "11 machines have no claim"}

	c.tell.strays(c, []claim.Astray{{Provider: "other", Message: "lost"}})
	r := c.record(policy, &fleetCount{}, start)
	assert.Equal(t, decision.Unchanged, r.Outcome)
	c.tell.strays(c, []claim.Astray{astray})
	r = c.record(policy, &fleetCount{}, start)
	assert.Equal(t, decision.Held, r.Outcome)
	assert.Equal(t, "Astray", r.Code)
	assert.Contains(t, r.Reason, astray.Message)
	c.setConditions(policy, start)
	assert.True(t, meta.IsStatusConditionTrue(policy.Status.Conditions, conditionAstray))
	c.tell.strays(c, nil)
	c.setConditions(policy, start)
	assert.Nil(t, meta.FindStatusCondition(policy.Status.Conditions, conditionAstray))
}
