package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

const (
	caseLabel = "oracle.example.com/case"
	// A pod of a case requests one of caseResource, which only the case's nodes have. A pod that is to go to one node requests
	// one of the node's own. Neither a selector nor a taint would do: topology spread looks at both.
	caseResource = "case.example.com/"
	pinResource  = "pin.example.com/"
	// calm is how long nothing must happen before pods that the scheduler has refused are made anew, so that it looks at them again.
	calm = 300 * time.Millisecond
	// makingRoom is calm while the scheduler has evicted pods for one that waits: it tries again after one second at first, then two.
	makingRoom = 4 * time.Second
	// patience bounds every wait.
	patience = 3 * time.Minute
)

// lab is an API server with the real scheduler, on which cases run one after the other.
type lab struct {
	client kubernetes.Interface
}

func newLab(ctx context.Context, t *testing.T) *lab {
	t.Helper()
	path := os.Getenv("YAGURA_TEST_KUBECONFIG")
	if path == "" {
		const message = "no Kubernetes to test on: start one with `bin/devcluster up --nodes 0` and set YAGURA_TEST_KUBECONFIG to the path that `bin/devcluster kubeconfig` prints"
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	require.NoError(t, err)
	config.QPS = -1
	config.ContentType, config.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	l := &lab{client: client}
	foreign, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "!" + caseLabel})
	require.NoError(t, err)
	require.Empty(t, foreign.Items, "the cluster has nodes of its own, which topology spread counts: start one with `bin/devcluster up --nodes 0`")
	l.furnish(ctx, t)
	return l
}

// furnish makes what cases share.
func (l *lab) furnish(ctx context.Context, t *testing.T) {
	t.Helper()
	exists := func(_ any, err error) {
		t.Helper()
		if err != nil && !apierrors.IsAlreadyExists(err) {
			require.NoError(t, err)
		}
	}
	create := metav1.CreateOptions{}
	for _, n := range Namespaces() {
		exists(l.client.CoreV1().Namespaces().Create(ctx, n, create))
		require.Eventually(t, func() bool {
			_, err := l.client.CoreV1().ServiceAccounts(n.Name).Get(ctx, "default", metav1.GetOptions{})
			return err == nil
		}, patience, 20*time.Millisecond, "the service account of %s", n.Name)
	}
	for _, c := range PriorityClasses() {
		exists(l.client.SchedulingV1().PriorityClasses().Create(ctx, c, create))
	}
	exists(l.client.NodeV1().RuntimeClasses().Create(ctx, SandboxedClass(), create))
	class, templates := DeviceClass()
	exists(l.client.ResourceV1().DeviceClasses().Create(ctx, class, create))
	for _, template := range templates {
		exists(l.client.ResourceV1().ResourceClaimTemplates(template.Namespace).Create(ctx, template, create))
	}
	l.clean(ctx, t)
}

// makeVolumes creates the case's volumes and waits until they are bound to their claims.
func (l *lab) makeVolumes(ctx context.Context, c *Case) error {
	s := &c.Storage
	for i, v := range s.Volumes {
		v.Labels = map[string]string{caseLabel: fmt.Sprint(c.Seed)}
		if _, err := l.client.CoreV1().PersistentVolumes().Create(ctx, v, metav1.CreateOptions{}); err != nil {
			return err
		}
		claims := l.client.CoreV1().PersistentVolumeClaims(s.Claims[i].Namespace)
		if _, err := claims.Create(ctx, s.Claims[i], metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	for i := range s.Claims {
		for {
			claim, err := l.client.CoreV1().PersistentVolumeClaims(s.Claims[i].Namespace).Get(ctx, s.Claims[i].Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			volume, err := l.client.CoreV1().PersistentVolumes().Get(ctx, s.Volumes[i].Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if claim.Status.Phase == corev1.ClaimBound && volume.Status.Phase == corev1.VolumeBound {
				s.Claims[i], s.Volumes[i] = claim, volume
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

// clean deletes everything that cases make, and waits until it is gone.
func (l *lab) clean(ctx context.Context, t *testing.T) {
	t.Helper()
	now, all := *metav1.NewDeleteOptions(0), metav1.ListOptions{}
	ours := metav1.ListOptions{LabelSelector: caseLabel}
	orphan := metav1.DeletePropagationOrphan
	require.NoError(t, l.client.AppsV1().DaemonSets(NamespaceAgents).DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &orphan}, all))
	for _, n := range Namespaces() {
		require.NoError(t, l.client.CoreV1().Pods(n.Name).DeleteCollection(ctx, now, all))
		require.NoError(t, l.client.CoreV1().PersistentVolumeClaims(n.Name).DeleteCollection(ctx, now, all))
	}
	require.NoError(t, l.client.CoreV1().PersistentVolumes().DeleteCollection(ctx, now, ours))
	require.NoError(t, l.client.StorageV1().CSINodes().DeleteCollection(ctx, now, ours))
	require.NoError(t, l.client.CoreV1().Nodes().DeleteCollection(ctx, now, ours))
	require.NoError(t, l.client.ResourceV1().ResourceSlices().DeleteCollection(ctx, now, ours))
	require.NoError(t, wait(ctx, "pods, DaemonSets and claims of devices to be gone", func() (bool, error) { return l.empty(ctx) }))
}

// empty says whether nothing is left that another case would meet. A DaemonSet that is going may have made a pod meanwhile.
func (l *lab) empty(ctx context.Context) (bool, error) {
	left, err := l.client.AppsV1().DaemonSets(NamespaceAgents).List(ctx, metav1.ListOptions{})
	if err != nil || len(left.Items) > 0 {
		return false, err
	}
	for _, n := range Namespaces() {
		pods, err := l.client.CoreV1().Pods(n.Name).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		if len(pods.Items) > 0 {
			return false, l.client.CoreV1().Pods(n.Name).DeleteCollection(ctx, *metav1.NewDeleteOptions(0), metav1.ListOptions{})
		}
		claims, err := l.client.ResourceV1().ResourceClaims(n.Name).List(ctx, metav1.ListOptions{})
		if err != nil || len(claims.Items) > 0 {
			return false, err
		}
	}
	return true, nil
}

// wait asks until it is so. Patience is for machines that are busy: nothing is concluded from how long something takes.
func wait(ctx context.Context, what string, so func() (bool, error)) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(15 * time.Millisecond) {
		if done, err := so(); err != nil || done {
			return err
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("waited %s for %s", patience, what)
		}
	}
}

// each does it for all at once.
func each[T any](all []T, do func(T) error) error {
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, one := range all {
		group.Go(func() { errs[i] = do(one) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// makeNodes creates nodes that are ready, and returns them as they are then.
func (l *lab) makeNodes(ctx context.Context, c *Case, nodes []*corev1.Node, limit int32) ([]*corev1.Node, error) {
	made := make([]*corev1.Node, len(nodes))
	index := map[*corev1.Node]int{}
	for i, n := range nodes {
		index[n] = i
	}
	err := each(nodes, func(wanted *corev1.Node) error {
		n := wanted.DeepCopy()
		n.Labels[caseLabel] = fmt.Sprint(c.Seed)
		if limit > 0 {
			csi := CSINode(n.Name, limit)
			csi.Labels = map[string]string{caseLabel: fmt.Sprint(c.Seed)}
			if _, err := l.client.StorageV1().CSINodes().Create(ctx, csi, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		if slice := c.Slice(n.Labels[corev1.LabelInstanceTypeStable], n.Name); slice != nil {
			slice.Labels = map[string]string{caseLabel: fmt.Sprint(c.Seed)}
			if _, err := l.client.ResourceV1().ResourceSlices().Create(ctx, slice, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		if _, err := l.client.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{}); err != nil {
			return err
		}
		status := n.Status.DeepCopy()
		thousand := resource.MustParse("1000")
		for _, list := range []corev1.ResourceList{status.Allocatable, status.Capacity} {
			list[corev1.ResourceName(caseResource+fmt.Sprint(c.Seed))] = thousand
			list[corev1.ResourceName(pinResource+n.Name)] = thousand
		}
		status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}}
		// Controllers write to new nodes, too: patches cannot conflict with theirs.
		patch, err := json.Marshal(map[string]any{"status": status})
		if err != nil {
			return err
		}
		if _, err = l.client.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
			return err
		}
		// Admission puts the taint of a node that is not ready on every new one.
		taints := wanted.Spec.Taints
		if wanted.Spec.Unschedulable {
			taints = append(slices.Clone(taints), corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
		}
		if patch, err = json.Marshal(map[string]any{"spec": map[string]any{"taints": taints}}); err != nil {
			return err
		}
		created, err := l.client.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		made[index[wanted]] = created
		return err
	})
	if err != nil || len(nodes) == 0 {
		return made, err
	}
	time.Sleep(40 * time.Millisecond) // for the scheduler to hear of them: a pod that comes first waits for a second
	return made, l.awaitAgents(ctx, c, made)
}

// awaitAgents waits until DaemonSets have their pods on the nodes, as far as these have room.
func (l *lab) awaitAgents(ctx context.Context, c *Case, nodes []*corev1.Node) error {
	wanted := map[string]bool{}
	for _, d := range c.DaemonSets {
		for _, n := range nodes {
			if RunsOn(d, n) {
				wanted[d.Name+" "+n.Name] = true
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return wait(ctx, "the pods of DaemonSets", func() (bool, error) {
		agents, err := l.agents(ctx)
		if err != nil {
			return false, err
		}
		n := 0
		for _, p := range agents {
			if owner := metav1.GetControllerOf(p); owner != nil && wanted[owner.Name+" "+destined(p)] && judged(p) {
				n++
			}
		}
		return n == len(wanted), nil
	})
}

// destined is the node for which a DaemonSet has made the pod.
func destined(p *corev1.Pod) string {
	if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			for _, f := range term.MatchFields {
				return f.Values[0]
			}
		}
	}
	return p.Spec.NodeName
}

// agents are the pods of DaemonSets.
func (l *lab) agents(ctx context.Context) ([]*corev1.Pod, error) {
	list, err := l.client.CoreV1().Pods(NamespaceAgents).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var agents []*corev1.Pod
	for i := range list.Items {
		agents = append(agents, &list.Items[i])
	}
	return agents, nil
}

// create makes a pod that requests more of the resources named.
func (l *lab) create(ctx context.Context, pod *corev1.Pod, extended ...string) error {
	p := pod.DeepCopy()
	one := resource.MustParse("1")
	r := &p.Spec.Containers[0].Resources
	if r.Requests == nil {
		r.Requests = corev1.ResourceList{}
	}
	if r.Limits == nil {
		r.Limits = corev1.ResourceList{}
	}
	for _, name := range extended {
		r.Requests[corev1.ResourceName(name)], r.Limits[corev1.ResourceName(name)] = one, one
	}
	_, err := l.client.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
	return err
}

// complete returns pods as the API server would have them.
func (l *lab) complete(ctx context.Context, pods []*corev1.Pod) ([]*corev1.Pod, error) {
	completed := make([]*corev1.Pod, len(pods))
	index := map[*corev1.Pod]int{}
	for i, p := range pods {
		index[p] = i
	}
	err := each(pods, func(p *corev1.Pod) error {
		answer, err := l.client.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return fmt.Errorf("pod %s: %w", p.Name, err)
		}
		completed[index[p]] = answer
		return nil
	})
	return completed, err
}

// pods are those that there are.
func (l *lab) pods(ctx context.Context) (map[types.NamespacedName]*corev1.Pod, error) {
	found := map[types.NamespacedName]*corev1.Pod{}
	for _, ns := range []string{NamespaceA, NamespaceB} {
		list, err := l.client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			p := &list.Items[i]
			found[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}] = p
		}
	}
	return found, nil
}

// settle waits until all pods are bound, or the scheduler has said of each other one that it has no place for it now and nothing more
// happens. It returns what there is then.
func (l *lab) settle(ctx context.Context, wanted []types.NamespacedName) (found map[types.NamespacedName]*corev1.Pod, err error) {
	last, since := "", time.Now()
	err = wait(ctx, "the scheduler to look at all pods", func() (bool, error) {
		found, err = l.pods(ctx)
		if err != nil {
			return false, err
		}
		state, looked, bound, calm := standing(found, wanted), true, true, calm
		for _, id := range wanted {
			p := found[id]
			bound = bound && p != nil && p.Spec.NodeName != ""
			looked = looked && judged(p)
			if p != nil && p.Spec.NodeName == "" && p.Status.NominatedNodeName != "" {
				calm = makingRoom
			}
		}
		if state != last {
			last, since = state, time.Now()
		}
		return bound || looked && time.Since(since) > calm, nil
	})
	return found, err
}

// standing tells states of a cluster apart by which pods there are and where those wanted are.
func standing(found map[types.NamespacedName]*corev1.Pod, wanted []types.NamespacedName) string {
	var b strings.Builder
	for _, id := range wanted {
		if p := found[id]; p != nil && p.Spec.NodeName != "" {
			fmt.Fprintf(&b, "%s %s\n", id, p.Spec.NodeName)
		}
	}
	fmt.Fprintf(&b, "%d", len(found))
	return b.String()
}

// judged waits until the scheduler has said of every pod that it cannot be scheduled, or has bound it.
func (l *lab) judged(ctx context.Context, wanted []types.NamespacedName) (found map[types.NamespacedName]*corev1.Pod, err error) {
	err = wait(ctx, "the scheduler to look at all pods", func() (bool, error) {
		if found, err = l.pods(ctx); err != nil {
			return false, err
		}
		return !slices.ContainsFunc(wanted, func(id types.NamespacedName) bool { return !judged(found[id]) }), nil
	})
	return found, err
}

func judged(p *corev1.Pod) bool {
	if p == nil || p.Spec.NodeName != "" {
		return true
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return true
		}
	}
	return false
}

func message(p *corev1.Pod) string {
	if p == nil {
		return "is gone"
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Reason + ": " + c.Message
		}
	}
	return "was not looked at"
}

func id(p *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}

// bought are the nodes of a plan, by their names.
func bought(plan cluster.Plan, prefix string) []*corev1.Node {
	var nodes []*corev1.Node
	for i := range plan.Create {
		nodes = append(nodes, NodeOf(&plan.Create[i].Offer, fmt.Sprintf("%s-%d", prefix, i)))
	}
	return nodes
}

func sortedFeatures(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }
