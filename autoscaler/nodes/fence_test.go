package nodes

import (
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

func TestABudgetHoldsBesideAnotherLeader(t *testing.T) {
	scheme := runtime.NewScheme()
	require.NoError(t, AddToScheme(scheme))
	policy := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "general"}}
	policy.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromInt32(1)}}
	mine, other := claimOf("general-1", v1alpha1.ClaimReady), claimOf("general-2", v1alpha1.ClaimReady)
	w := newWorld(time.Second)
	w.policies[policy.Name] = policy
	for _, k := range []*v1alpha1.NodeClaim{mine, other} {
		k.Spec.Policy, k.ResourceVersion = policy.Name, "1"
		k.Status.NodeName = "node-" + k.Name
		node := nodeOf(k.Status.NodeName, k.Name)
		node.Labels[v1alpha1.LabelNodePolicy] = policy.Name
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		w.applyNode(node, false)
		w.applyClaim(k.DeepCopy(), false)
	}
	w.settle()
	noted := func(k *v1alpha1.NodeClaim) *v1alpha1.NodeClaim {
		k = k.DeepCopy()
		k.ResourceVersion = "2"
		k.Status.Disruption = &v1alpha1.ClaimDisruption{Reason: v1alpha1.DisruptUnderutilized, At: metav1.NewTime(start)}
		return k
	}
	move := &disruption.Move{Policy: policy.Name, Reason: v1alpha1.DisruptUnderutilized, Remove: []string{mine.Status.NodeName}}
	controller := func(live ...client.Object) *Controller {
		return &Controller{world: w, queue: &claimQueue{nodes: map[string]string{}}, deps: Dependencies{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(live...).Build()}}
	}
	assert.Empty(t, controller(noted(mine), other).crowded(t.Context(), policy, move, start), "the move itself is within the budget")
	assert.Contains(t, controller(noted(mine), noted(other)).crowded(t.Context(), policy, move, start), "at the same time")
}

func TestOffersOfAProviderThatDoesNotAnswerAreForgotten(t *testing.T) {
	w := newWorld(time.Second)
	policy := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "general", Generation: 1}}
	w.policies[policy.Name] = policy
	c := &Controller{world: w, book: newOfferBook(), cfg: Config{OffersInterval: model.Duration(time.Minute)}}
	page := &offerPage{asked: start, answered: start, asking: true, generation: 1, raw: []cluster.Offer{{Name: "small"}}}
	c.book.pages[policy.Name] = page
	c.refreshOffers(t.Context(), start.Add(maxOfferAge))
	assert.NotEmpty(t, page.raw)
	assert.False(t, c.book.stale)
	c.refreshOffers(t.Context(), start.Add(maxOfferAge+time.Second))
	assert.Empty(t, page.raw)
	assert.True(t, c.book.stale)
}
