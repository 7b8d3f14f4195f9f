package karpenter

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// release is the one whose definitions objects are held against.
const release = "sigs.k8s.io/karpenter@v1.14.1"

// definitions are Karpenter's real CustomResourceDefinitions, from its module.
func definitions(t *testing.T) [][]byte {
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", release)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	var module struct{ Dir string }
	if err != nil || json.Unmarshal(out, &module) != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("download %s: %v", release, err)
		}
		t.Skipf("SKIPPED: %s cannot be downloaded: %v", release, err)
	}
	var texts [][]byte
	for _, name := range []string{"karpenter.sh_nodeclaims.yaml", "karpenter.sh_nodepools.yaml"} {
		text, err := os.ReadFile(filepath.Join(module.Dir, "pkg", "apis", "crds", name))
		require.NoError(t, err)
		texts = append(texts, text)
	}
	return texts
}

const pool = `
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: POOL}
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.test, kind: TestNodeClass, name: default}
      requirements: [{key: kubernetes.io/arch, operator: In, values: [amd64]}]
  disruption:
    consolidationPolicy: WhenEmptyOrUnderutilized
    consolidateAfter: 5m
    budgets: [{nodes: 10%}, {nodes: "0", schedule: "@daily", duration: 10m}]
`

const claim = `
apiVersion: karpenter.sh/v1
kind: NodeClaim
metadata:
  name: POOL-a
  labels:
    karpenter.sh/nodepool: POOL
    karpenter.sh/capacity-type: spot
    node.kubernetes.io/instance-type: m5.large
    topology.kubernetes.io/zone: zone-a
  annotations: {karpenter.sh/do-not-disrupt: "true"}
spec:
  nodeClassRef: {group: karpenter.test, kind: TestNodeClass, name: default}
  requirements: [{key: kubernetes.io/arch, operator: In, values: [amd64]}]
`

const status = `
nodeName: node-a
providerID: aws:///zone-a/i-1
imageID: ami-1
allocatable: {cpu: 1930m, memory: 6903Mi, pods: "29"}
capacity: {cpu: "2", memory: 8Gi, pods: "29"}
conditions:
- {type: Launched, status: "True", reason: Launched, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}
- {type: Registered, status: "True", reason: Registered, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}
- {type: Initialized, status: "True", reason: Initialized, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}
- {type: Drifted, status: "True", reason: NodePoolDrifted, message: the requirements have changed, lastTransitionTime: "2026-01-01T00:00:00Z"}
`

// world is a Karpenter's objects on a real API server, without Karpenter.
func world(t *testing.T) (client.Client, string) {
	_, c := providertest.Cluster(t)
	providertest.Install(t, c, definitions(t)...)
	require.NoError(t, wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		p := New("karpenter", Config{}, Dependencies{Client: c})
		a, errA := p.list(ctx, claims)
		b, errB := p.list(ctx, pools)
		return errA == nil && errB == nil && a != nil && b != nil, nil
	}))
	name := "pool-" + strings.ReplaceAll(time.Now().UTC().Format("150405.000000"), ".", "")
	for _, text := range []string{pool, claim} {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(strings.ReplaceAll(text, "POOL", name)), &object.Object))
		require.NoError(t, c.Create(t.Context(), object))
		t.Cleanup(func() { require.NoError(t, c.Delete(context.Background(), object)) })
		if object.GetKind() == "NodeClaim" {
			var fields map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(status), &fields))
			object.Object["status"] = fields
			require.NoError(t, c.Status().Update(t.Context(), object))
		}
	}
	return c, name
}

func TestConformance(t *testing.T) {
	c, name := world(t)
	providertest.Suite(t, func(*testing.T) providertest.Fixture {
		return providertest.Fixture{
			Provider: New("karpenter", Config{}, Dependencies{Client: c}),
			Policy:   &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}},
			Count: func(t *testing.T) int {
				list := &unstructured.UnstructuredList{}
				list.SetGroupVersionKind(claims)
				require.NoError(t, c.List(t.Context(), list))
				return len(list.Items)
			},
		}
	})
}

func TestMachinesAreExplained(t *testing.T) {
	c, name := world(t)
	p := New("karpenter", Config{}, Dependencies{Client: c})
	machines, err := p.List(t.Context())
	require.NoError(t, err)
	require.Len(t, machines, 1)
	m := machines[0]
	assert.Equal(t, provider.Running, m.State)
	assert.Equal(t, []string{"aws:///zone-a/i-1", name, "node-a", "ami-1", ""}, []string{m.ID, m.Group, m.NodeName, m.Image, m.Claim})
	for _, want := range []string{
		"it has drifted from its pool: the requirements have changed", "it stays because of its annotation karpenter.sh/do-not-disrupt",
		"NodePool " + name + " consolidates WhenEmptyOrUnderutilized after 5m, at most 10%, 0 (@daily) at a time",
	} {
		assert.Contains(t, m.Message, want)
	}

	policy := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
	offers, err := p.Offers(t.Context(), policy)
	require.NoError(t, err)
	require.Len(t, offers, 1)
	assert.Equal(t, []string{"m5.large", name, "zone-a", "spot"}, []string{offers[0].Name, offers[0].Group, offers[0].Zone, offers[0].CapacityType})
	assert.False(t, offers[0].Available)
	policy.Spec.Provider.Groups = []string{"another"}
	offers, err = p.Offers(t.Context(), policy)
	require.NoError(t, err)
	assert.Empty(t, offers)
}

func TestStates(t *testing.T) {
	deleted := &unstructured.Unstructured{Object: map[string]any{}}
	now := metav1.Now()
	deleted.SetDeletionTimestamp(&now)
	there := &unstructured.Unstructured{Object: map[string]any{}}
	for name, c := range map[string]struct {
		claim      *unstructured.Unstructured
		conditions map[string]condition
		want       provider.MachineState
		says       string
	}{
		"new":        {there, nil, provider.Creating, "waits for its node to register"},
		"not made":   {there, map[string]condition{"Launched": {"False", "InsufficientCapacity", "no m5 left"}}, provider.Broken, "could not launch it: no m5 left"},
		"registered": {there, map[string]condition{"Registered": {status: "True"}}, provider.Running, "waits for its node to be ready"},
		"leaving": {deleted, map[string]condition{"Registered": {status: "True"}, "DisruptionReason": {"True", "Underutilized", ""}},
			provider.Deleting, "takes it away; because of its disruption: Underutilized"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, state(c.claim, c.conditions))
			assert.Contains(t, explain(c.claim, c.conditions, ""), c.says)
		})
	}
}

// TestWithoutKarpenter: a cluster that has never seen it has no machines of it.
func TestWithoutKarpenter(t *testing.T) {
	without := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
		return &meta.NoKindMatchError{GroupKind: claims.GroupKind()}
	}}).Build()
	p := New("karpenter", Config{}, Dependencies{Client: without})
	machines, err := p.List(t.Context())
	require.NoError(t, err)
	assert.Empty(t, machines)
}
