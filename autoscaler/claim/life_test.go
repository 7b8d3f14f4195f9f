package claim_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
)

func TestALife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "life", nodes(2))
	k := w.keeper(uncut)
	bought, err := k.Buy(t.Context(), w.order(1))
	require.NoError(t, err)
	require.Len(t, bought, 1)
	c := bought[0]
	assert.Equal(t, w.policy+"-1", c.Name)
	assert.Equal(t, "test: for 3 pods", c.Spec.Reason)
	policy := w.read()
	assert.EqualValues(t, 1, policy.Status.Sequence)
	assert.EqualValues(t, 1, policy.Status.Charged.Nodes)
	assert.Equal(t, "200m", policy.Status.Charged.PricePerHour.String())
	hash, err := policy.TemplateHash()
	require.NoError(t, err)
	assert.Equal(t, hash, c.Spec.TemplateHash)

	w.until(k, "ready", func() bool { return w.ready(1) })
	c = w.claim(c.Name)
	node := w.node(c.Status.NodeName)
	assert.Equal(t, "cloud://"+c.Name, c.Status.ProviderID)
	assert.Equal(t, "shop", node.Labels["team"])
	assert.Equal(t, w.policy, node.Labels[v1alpha1.LabelNodePolicy])
	assert.Equal(t, c.Name, node.Labels[v1alpha1.LabelNodeClaim])
	assert.Equal(t, "m4", node.Labels[corev1.LabelInstanceTypeStable], "what is missing is taken from the offer")
	assert.Equal(t, "amd64", node.Labels[corev1.LabelArchStable], "what the kubelet says is true")
	assert.Equal(t, []corev1.Taint{{Key: "dedicated", Value: "shop", Effect: corev1.TaintEffectNoSchedule}}, node.Spec.Taints)
	assert.Empty(t, w.read().Status.Reservations, "settled")

	c, err = k.Disrupt(t.Context(), c, v1alpha1.ClaimDisruption{Reason: v1alpha1.DisruptDrifted, Message: "another image"})
	require.NoError(t, err)
	assert.Equal(t, v1alpha1.ClaimDisrupted, c.Status.Phase)
	c, err = k.Restore(t.Context(), c, "the image is back")
	require.NoError(t, err)
	assert.Equal(t, v1alpha1.ClaimReady, c.Status.Phase)
	assert.Nil(t, c.Status.Disruption)

	require.NoError(t, k.Delete(t.Context(), c))
	for range 5 {
		w.tick(k)
	}
	require.NotNil(t, w.claim(c.Name), "a node that is not drained stays")
	require.NotNil(t, w.node(node.Name))
	w.cloud.drained[c.Name] = true
	_, err = k.Drained(t.Context(), w.claim(c.Name), claim.DrainedInFull, "every pod has left")
	require.NoError(t, err)
	w.until(k, "gone", func() bool { return w.claim(c.Name) == nil })
	assert.Nil(t, w.node(node.Name))
	assert.Empty(t, w.cloud.machines)
	w.tick(k)
	assert.Zero(t, w.read().Status.Charged.Nodes)
	assert.Empty(t, w.cloud.wrong)
}
