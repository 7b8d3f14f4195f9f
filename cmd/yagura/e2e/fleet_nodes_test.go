//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	fleetview "github.com/yagura-dev/yagura/autoscaler/fleet"
)

// fleetSize is how many nodes the burst asks for, $YAGURA_E2E_NODES or 100.
func fleetSize(t *testing.T) int {
	t.Helper()
	text := os.Getenv("YAGURA_E2E_NODES")
	if text == "" {
		return 100
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 30 {
		t.Fatalf("YAGURA_E2E_NODES=%s: want a number of at least 30", text)
	}
	return n
}

const nodesNamespace = "burst"

// nodesFleet is what TestFleetNodes runs.
type nodesFleet struct {
	*cluster
	*platform
	client client.Client
	size   int
	dir    string
	// most is the highest number of nodes that was ever seen.
	most int
}

// TestFleetNodes buys a fleet of simulated nodes for a burst of pods, gives back what is not needed any more, and then breaks a
// zone, a node and the template.
func TestFleetNodes(t *testing.T) {
	ctx := t.Context()
	n := startNodesFleet(t, ctx)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a burst of pods gets nodes", n.burst},
		{"nodes that are not needed go", n.consolidates},
		{"every node says why it stays", n.explains},
		{"a broken node is replaced", n.repairs},
		{"another version is rolled out, surge first", n.upgrades},
		{"the limit holds", n.limited},
		{"a broken zone stops repair", n.storm},
		{"everything was recorded", n.recorded},
	} {
		if !t.Run(step.name, step.run) {
			return // Each begins where the one before has ended.
		}
	}
}

func startNodesFleet(t *testing.T, ctx context.Context) *nodesFleet {
	t.Helper()
	dir := t.TempDir()
	c := startCluster(t, ctx, "fleet", 1)
	n := &nodesFleet{cluster: c, size: fleetSize(t), dir: dir}
	n.platform = startPlatform(t, ctx, dir, c.kubeconfig, `
autoscaler:
  providers:
    instances:
      kwok: {kwok: {boot: 1s}}
`)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if n.client, err = client.New(c.rest, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	// What devcluster came with is only there so that the cluster counts as up.
	n.kubectl(t, ctx, "cordon", "fake-0")
	if err := n.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: nodesNamespace}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/nodes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var policy v1alpha1.NodePolicy
	if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(string(text), "SIZE", strconv.Itoa(n.size+n.size/5))), &policy); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the policy is taken", func() error { return n.client.Create(ctx, policy.DeepCopy()) })
	return n
}

// nodes are those that the policy owns.
func (n *nodesFleet) nodes(ctx context.Context) ([]corev1.Node, error) {
	var list corev1.NodeList
	err := n.client.List(ctx, &list, client.MatchingLabels{v1alpha1.LabelNodePolicy: "general"})
	n.most = max(n.most, len(list.Items))
	return list.Items, err
}

func isReady(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// scale sets the replicas of the burst.
func (n *nodesFleet) scale(t *testing.T, ctx context.Context, replicas int) {
	t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "burst", Namespace: nodesNamespace}}
	if err := n.client.Patch(ctx, d, client.RawPatch("application/merge-patch+json", []byte(fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)))); err != nil {
		t.Fatal(err)
	}
}

// allRun is nil once so many pods run and none waits.
func (n *nodesFleet) allRun(ctx context.Context, replicas int) error {
	var d appsv1.Deployment
	if err := n.client.Get(ctx, client.ObjectKey{Namespace: nodesNamespace, Name: "burst"}, &d); err != nil {
		return err
	}
	if d.Status.ReadyReplicas != int32(replicas) || d.Status.Replicas != int32(replicas) {
		nodes, err := n.nodes(ctx)
		return fmt.Errorf("%d of %d pods are ready, on %d nodes (%v)", d.Status.ReadyReplicas, replicas, len(nodes), err)
	}
	return nil
}

// burst: two pods fill a node, so a fleet of n nodes is 2n pods.
func (n *nodesFleet) burst(t *testing.T) {
	ctx := t.Context()
	pods := 2 * n.size
	pod := corev1.PodSpec{
		TerminationGracePeriodSeconds: ptr.To(int64(1)),
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "burst"}},
		}},
	}
	d := deployment("burst", "burst", int32(pods), map[string]string{"app": "burst"}, pod)
	d.Namespace = nodesNamespace
	d.Spec.Template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("900m"), corev1.ResourceMemory: resource.MustParse("1Gi"),
	}
	began := time.Now()
	if err := n.client.Create(ctx, d); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first node is asked for", func() error {
		var claims v1alpha1.NodeClaimList
		if err := n.client.List(ctx, &claims); err != nil {
			return err
		}
		if len(claims.Items) == 0 {
			return fmt.Errorf("no claims")
		}
		t.Logf("%d claims %s after the Deployment came", len(claims.Items), time.Since(began).Round(10*time.Millisecond))
		return nil
	})
	eventuallyWithin(t, 8*time.Minute, "every pod runs", func() error { return n.allRun(ctx, pods) })
	nodes, err := n.nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pods run on %d nodes %s after the Deployment came", pods, len(nodes), time.Since(began).Round(time.Second))
	if len(nodes) < n.size || len(nodes) > n.size*11/10 {
		t.Errorf("%d nodes for %d pods of which two fill a node", len(nodes), pods)
	}
}

// consolidates: three of ten pods stay, scattered over what was there; they fit on three of ten nodes.
func (n *nodesFleet) consolidates(t *testing.T) {
	ctx := t.Context()
	before, err := n.nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pods := 2 * n.size * 3 / 10
	began := time.Now()
	n.scale(t, ctx, pods)
	want := pods/2 + n.size/10
	eventuallyWithin(t, 8*time.Minute, "the nodes go", func() error {
		nodes, err := n.nodes(ctx)
		if err == nil && len(nodes) > want {
			err = fmt.Errorf("%d nodes, want at most %d", len(nodes), want)
		}
		return err
	})
	eventuallyWithin(t, 2*time.Minute, "every pod runs", func() error { return n.allRun(ctx, pods) })
	after, err := n.nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pods on %d nodes, from %d, within %s", pods, len(after), len(before), time.Since(began).Round(time.Second))
}

// view is what the autoscaler says, by way of the query service.
func (n *nodesFleet) view(ctx context.Context) (*fleetview.View, error) {
	body, err := request(ctx, "GET", n.url+"/api/v1/nodes")
	if err != nil {
		return nil, err
	}
	var v fleetview.View
	return &v, json.Unmarshal([]byte(body), &v)
}

func (n *nodesFleet) explains(t *testing.T) {
	ctx := t.Context()
	eventually(t, "every node says why it is there and why it stays", func() error {
		v, err := n.view(ctx)
		if err != nil {
			return err
		}
		nodes, err := n.nodes(ctx)
		if err != nil {
			return err
		}
		if len(v.Nodes) < len(nodes) {
			return fmt.Errorf("%d nodes told of %d", len(v.Nodes), len(nodes))
		}
		for _, node := range v.Nodes {
			if node.Why == "" || node.Stay.Code == "" || node.Stay.Message == "" {
				return fmt.Errorf("node %s says %+v", node.Name, node)
			}
		}
		return nil
	})
	nodes, err := n.nodes(ctx)
	if err != nil || len(nodes) == 0 {
		t.Fatal(err, nodes)
	}
	out := run(t, ctx, "kubectl-yagura", "explain", "node/"+nodes[0].Name, "--kubeconfig", n.kubeconfig, "--query-url", n.url)
	for _, want := range []string{"under policy general", "Why:", "Why it stays:"} {
		if !strings.Contains(out, want) {
			t.Errorf("explain lacks %q:\n%s", want, out)
		}
	}
	t.Log(out)
}

// unplug takes nodes from the simulator: their kubelets fall silent.
func (n *nodesFleet) unplug(t *testing.T, ctx context.Context, nodes ...corev1.Node) {
	t.Helper()
	for i := range nodes {
		patch := []byte(`{"metadata":{"labels":{"devcluster.yagura.dev/power":"off"}}}`)
		if err := n.client.Patch(ctx, &nodes[i], client.RawPatch("application/merge-patch+json", patch)); err != nil {
			t.Fatal(err)
		}
	}
}

func (n *nodesFleet) plug(t *testing.T, ctx context.Context, nodes ...corev1.Node) {
	t.Helper()
	for i := range nodes {
		patch := []byte(`{"metadata":{"labels":{"devcluster.yagura.dev/power":"on"}}}`)
		if err := n.client.Patch(ctx, &nodes[i], client.RawPatch("application/merge-patch+json", patch)); err != nil {
			t.Fatal(err)
		}
	}
}

func (n *nodesFleet) policy(ctx context.Context) (*v1alpha1.NodePolicy, error) {
	var policy v1alpha1.NodePolicy
	return &policy, n.client.Get(ctx, client.ObjectKey{Name: "general"}, &policy)
}

func (n *nodesFleet) stopped(ctx context.Context, want metav1.ConditionStatus) error {
	policy, err := n.policy(ctx)
	if err != nil {
		return err
	}
	c := meta.FindStatusCondition(policy.Status.Conditions, "RepairStopped")
	if c == nil || c.Status != want {
		return fmt.Errorf("the condition RepairStopped is %+v, want %s; %d of %d nodes are unhealthy", c, want, policy.Status.UnhealthyNodes, policy.Status.Nodes)
	}
	return nil
}

// storm: a third of the nodes fall silent at once, which no node is to blame for.
func (n *nodesFleet) storm(t *testing.T) {
	ctx := t.Context()
	nodes, err := n.nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var zone []corev1.Node
	names := map[string]bool{}
	for _, node := range nodes {
		if node.Labels[corev1.LabelTopologyZone] == "devcluster-b" {
			zone = append(zone, node)
			names[node.Name] = true
		}
	}
	if len(zone) < 3 {
		t.Fatalf("%d nodes in the zone", len(zone))
	}
	n.unplug(t, ctx, zone...)
	eventuallyWithin(t, 4*time.Minute, "repair stops", func() error { return n.stopped(ctx, metav1.ConditionTrue) })
	throughout(t, 15*time.Second, "no node of the zone is taken away", func() error {
		now, err := n.nodes(ctx)
		if err != nil {
			return err
		}
		there := map[string]bool{}
		for _, node := range now {
			there[node.Name] = true
		}
		for name := range names {
			if !there[name] {
				return fmt.Errorf("%s was taken away", name)
			}
		}
		return nil
	})
	n.plug(t, ctx, zone...)
	eventuallyWithin(t, 3*time.Minute, "the zone comes back", func() error {
		policy, err := n.policy(ctx)
		if err == nil && policy.Status.UnhealthyNodes != 0 {
			err = fmt.Errorf("%d nodes are unhealthy", policy.Status.UnhealthyNodes)
		}
		return err
	})
}

func (n *nodesFleet) repairs(t *testing.T) {
	ctx := t.Context()
	nodes, err := n.nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(nodes, func(node corev1.Node) bool { return isReady(&node) })
	if i < 0 {
		t.Fatal("no node is ready")
	}
	sick := nodes[i]
	n.unplug(t, ctx, sick)
	eventuallyWithin(t, 4*time.Minute, "the node is replaced", func() error {
		var node corev1.Node
		err := n.client.Get(ctx, client.ObjectKey{Name: sick.Name}, &node)
		if err == nil {
			return fmt.Errorf("%s is still there: %+v", sick.Name, node.Spec.Taints)
		}
		return client.IgnoreNotFound(err)
	})
	eventuallyWithin(t, 2*time.Minute, "every pod runs", func() error { return n.allRun(ctx, 2*n.size*3/10) })
}

func (n *nodesFleet) upgrades(t *testing.T) {
	ctx := t.Context()
	before, err := n.nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const version = "v1.37.9"
	policy := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "general"}}
	if err := n.client.Patch(ctx, policy, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"template":{"version":"`+version+`"}}}`))); err != nil {
		t.Fatal(err)
	}
	began, least := time.Now(), int32(1<<30)
	var d appsv1.Deployment
	eventuallyWithin(t, 10*time.Minute, "every node has the version", func() error {
		if err := n.client.Get(ctx, client.ObjectKey{Namespace: nodesNamespace, Name: "burst"}, &d); err != nil {
			return err
		}
		least = min(least, d.Status.ReadyReplicas)
		nodes, err := n.nodes(ctx)
		if err != nil {
			return err
		}
		versions := map[string]int{}
		for _, node := range nodes {
			versions[node.Status.NodeInfo.KubeletVersion]++
		}
		if len(versions) != 1 || versions[version] == 0 {
			policy, err := n.policy(ctx)
			return fmt.Errorf("versions are %v; %+v (%v)", versions, policy.Status.Upgrade, err)
		}
		return nil
	})
	t.Logf("%d nodes renewed in %s; at least %d of %d pods were ready all the time", len(before), time.Since(began).Round(time.Second), least, 2*n.size*3/10)
	eventuallyWithin(t, 2*time.Minute, "every pod runs", func() error { return n.allRun(ctx, 2*n.size*3/10) })
}

// limited: more pods than the limit has room for. What is over waits, with the reason.
func (n *nodesFleet) limited(t *testing.T) {
	ctx := t.Context()
	d := deployment("more", "more", int32(3*n.size), map[string]string{"app": "more"}, corev1.PodSpec{TerminationGracePeriodSeconds: ptr.To(int64(1))})
	d.Namespace = nodesNamespace
	d.Spec.Template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("900m")}
	if err := n.client.Create(ctx, d); err != nil {
		t.Fatal(err)
	}
	limit := n.size + n.size/5
	eventuallyWithin(t, 6*time.Minute, "the limit is reached", func() error {
		nodes, err := n.nodes(ctx)
		if err == nil && len(nodes) != limit {
			err = fmt.Errorf("%d nodes, want %d", len(nodes), limit)
		}
		return err
	})
	throughout(t, 10*time.Second, "the limit holds", func() error {
		var claims v1alpha1.NodeClaimList
		if err := n.client.List(ctx, &claims); err != nil {
			return err
		}
		if len(claims.Items) > limit {
			return fmt.Errorf("%d claims, and the limit is %d", len(claims.Items), limit)
		}
		return nil
	})
	eventually(t, "a pod that waits says why", func() error {
		v, err := n.view(ctx)
		if err != nil {
			return err
		}
		for _, pod := range v.Pending {
			if strings.Contains(strings.ToLower(strings.Join(pod.Reasons, " ")), "limit") {
				return nil
			}
		}
		return fmt.Errorf("%d pods wait: %+v", v.PendingCount, v.Pending[:min(len(v.Pending), 2)])
	})
	if n.most > limit {
		t.Errorf("%d nodes were there at a time, and the limit is %d", n.most, limit)
	}
}

// recorded holds what the run has told in its records, and writes it into $YAGURA_E2E_RECORD, for the documentation.
func (n *nodesFleet) recorded(t *testing.T) {
	ctx := t.Context()
	counts := map[string]int{}
	streams, err := n.logQL(ctx, `{service_name="yagura-autoscaler"} | json | direction="Nodes"`, 5000)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, s := range streams {
		for _, value := range s.Values {
			var r struct {
				Outcome, Reason string
				Time            time.Time
			}
			if err := json.Unmarshal([]byte(value[1]), &r); err != nil {
				t.Fatal(err)
			}
			counts[r.Outcome]++
			lines = append(lines, fmt.Sprintf("%s %s: %s", r.Time.Format(time.RFC3339), r.Outcome, r.Reason))
		}
	}
	slices.Sort(lines)
	for _, outcome := range []string{"Provisioned", "Consolidated", "Repaired", "Renewed"} {
		if counts[outcome] == 0 {
			t.Errorf("no record of outcome %s: %v", outcome, slices.Sorted(maps.Keys(counts)))
		}
	}
	if dir := os.Getenv("YAGURA_E2E_RECORD"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "nodes.txt"), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("records: %v", counts)
}
