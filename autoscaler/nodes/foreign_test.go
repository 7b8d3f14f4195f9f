package nodes

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/karpenter"
)

// What Karpenter says of its machines is the answer to why they stay, with a node or without.
func TestMachinesOfOthersAreExplained(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, kind := range []string{"NodeClaim", "NodePool"} {
		k := schema.GroupVersionKind{Group: "karpenter.sh", Version: "v1", Kind: kind}
		scheme.AddKnownTypeWithName(k, &unstructured.Unstructured{})
		k.Kind += "List"
		scheme.AddKnownTypeWithName(k, &unstructured.UnstructuredList{})
	}
	theirs := func(name, node string, conditions ...any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
			"metadata": map[string]any{"name": name, "labels": map[string]any{"karpenter.sh/nodepool": "default"}},
			"status":   map[string]any{"nodeName": node, "providerID": "cloud://" + name, "conditions": conditions},
		}}
	}
	pool := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": map[string]any{"name": "default"},
		"spec": map[string]any{"disruption": map[string]any{"consolidationPolicy": "WhenEmpty", "consolidateAfter": "5m"}},
	}}
	registered := map[string]any{"type": "Registered", "status": "True"}
	initialized := map[string]any{"type": "Initialized", "status": "True"}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(pool, theirs("default-1", "node-1", registered, initialized), theirs("default-2", "")).Build()

	w := newWorld(time.Second)
	for _, name := range []string{"node-1", "node-2"} {
		w.applyNode(nodeOf(name, ""), false)
	}
	w.settle()
	reader := karpenter.New("karpenter", karpenter.Config{}, karpenter.Dependencies{Client: api})
	fakeClock := testingclock.NewFakeClock(start)
	c := &Controller{
		world: w, queue: &claimQueue{nodes: map[string]string{}}, moves: newMover(), health: newHealthKeeper(), tell: newTeller(), tasks: make(chan func(), 1),
		foreign: foreignBook{pages: map[string]*foreignPage{}}, cfg: Config{OffersInterval: model.Duration(time.Minute), ProviderTimeout: model.Duration(time.Minute)},
		deps: Dependencies{Providers: map[string]provider.Provider{"karpenter": reader}, Clock: clock.WithTicker(fakeClock)},
	}
	c.refreshForeign(t.Context(), start)
	(<-c.tasks)()
	c.background.Wait()

	v, _ := c.snapshot(start)
	nodes := map[string]NodeView{}
	for _, n := range v.Nodes {
		nodes[n.Name] = n
	}
	require.Len(t, nodes, 3)
	assert.Equal(t, "it was made by karpenter for default, not under a policy", nodes["node-1"].Why)
	assert.Equal(t, StayView{Code: "Foreign", Message: "NodePool default consolidates WhenEmpty after 5m"}, nodes["node-1"].Stay)
	assert.Equal(t, "it was there before, and no policy made it", nodes["node-2"].Why)
	assert.Equal(t, "Creating", nodes["cloud://default-2"].Phase)
	assert.Contains(t, nodes["cloud://default-2"].Stay.Message, "waits for its node to register")

	page := c.foreign.pages["karpenter"]
	page.answer(nil, errors.New("no answer"), start)
	assert.NotEmpty(t, page.byNode, "the last answer holds on")
	page.asked = start.Add(maxOfferAge)
	c.refreshForeign(t.Context(), start.Add(maxOfferAge+time.Second))
	assert.Empty(t, page.byNode, "but not for ever")
}
