package device

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/dynamic-resource-allocation/structured"
)

// searchTime bounds the search for one pod's devices on one node. It is exhaustive, and claims can be written for which it would never
// end; the scheduler gives it ten seconds.
const searchTime = time.Second

// features are those that the scheduler has on by default.
var features = structured.Features{
	AdminAccess:             true,
	ConsumableCapacity:      true,
	DeviceBindingAndStatus:  true,
	DeviceTaints:            true,
	FractionalCapacityRange: true,
	PartitionableDevices:    true,
	PrioritizedList:         true,
}

// Node is a node, or one that might be bought.
type Node struct {
	// Name is unique among all nodes that one Allocator is asked about.
	Name string
	// Node has the labels and the allocatable resources. It may be nil, and its name need not be set.
	Node *corev1.Node
	// Slices are those that the node would publish, until it has published its own. Node names in them are filled in.
	Slices []resourcev1.ResourceSlice
}

func (n Node) object() *corev1.Node {
	if n.Node != nil && n.Node.Name == n.Name {
		return n.Node
	}
	out := &corev1.Node{}
	if n.Node != nil {
		*out = *n.Node
	}
	out.Name = n.Name
	return out
}

// Allocation is the devices of a pod's claims on one node: those that Fits found, for Commit.
type Allocation struct {
	claims []claimed
}

// Empty is true for a pod without claims.
func (a Allocation) Empty() bool { return len(a.claims) == 0 }

type claimed struct {
	// key is that of a claim that exists, empty for one that is still to be made.
	key types.NamespacedName
	// result is what to take, nil when the claim has its devices already.
	result *resourcev1.AllocationResult
}

// Allocator keeps account of devices over one plan: what the claims in the cluster hold, and what the plan has given to others. It is
// not safe for concurrent use, and ends with the first change of the catalog.
type Allocator struct {
	catalog *Catalog
	// taken is nil until the first pod asks for devices, so that plans without such pods copy nothing.
	taken *structured.AllocatedState
	// claims are the existing claims that the plan has changed.
	claims map[types.NamespacedName]*account
	// pods are the commitments by pod, the last one last: pods that do not exist yet may share a name.
	pods map[types.NamespacedName][][]claimed
}

// account is what became of an existing claim in the plan.
type account struct {
	allocation *resourcev1.AllocationResult
	// pods that may use it: those in its status that have not left, and those that came.
	pods int
	// left are those that had reserved it and were released.
	left map[types.UID]bool
}

// Allocator starts a plan.
func (c *Catalog) Allocator() *Allocator {
	return &Allocator{catalog: c, claims: map[types.NamespacedName]*account{}, pods: map[types.NamespacedName][][]claimed{}}
}

// Fits looks for devices on the node for all claims of the pod. The reason is empty when there are any, or none are needed; it is a
// sentence when there are not. An error says that a claim, a class or a slice is broken, so that other nodes will not do either.
func (a *Allocator) Fits(ctx context.Context, pod *corev1.Pod, node Node) (Allocation, string, error) {
	if len(pod.Spec.ResourceClaims) == 0 && len(a.catalog.behind) == 0 {
		return Allocation{}, "", nil
	}
	wants, reason := a.catalog.wants(pod)
	if reason != "" {
		return Allocation{}, reason, nil
	}
	object := node.object()
	if w, ok := a.catalog.extended(pod, object); ok {
		wants = append(wants, w)
	}
	if len(wants) == 0 {
		return Allocation{}, "", nil
	}
	var out Allocation
	var missing []*resourcev1.ResourceClaim
	for i := range wants {
		w := &wants[i]
		out.claims = append(out.claims, claimed{key: w.key})
		allocation, pods := a.current(w, pod)
		if w.key.Name != "" && pods >= resourcev1.ResourceClaimReservedForMaxSize {
			return Allocation{}, fmt.Sprintf("%s is used by %d pods, and can be by no more", w.label, pods), nil
		}
		if allocation == nil {
			missing = append(missing, unallocated(w.claim))
			continue
		}
		ok, err := reachable(allocation, object)
		if err != nil {
			return Allocation{}, "", fmt.Errorf("%s: node selector of its devices: %w", w.label, err)
		}
		if !ok {
			return Allocation{}, w.label + " has its devices on other nodes", nil
		}
	}
	if len(missing) == 0 {
		return out, "", nil
	}
	results, err := a.allocate(ctx, node, object, missing)
	if err != nil || len(results) != len(missing) {
		return Allocation{}, a.explain(wants, err), a.fatal(wants, err)
	}
	next := 0
	for i := range wants {
		if allocation, _ := a.current(&wants[i], pod); allocation == nil {
			out.claims[i].result = &results[next]
			next++
		}
	}
	return out, "", nil
}

// current is what an existing claim holds, and how many pods other than this one use it.
func (a *Allocator) current(w *want, pod *corev1.Pod) (*resourcev1.AllocationResult, int) {
	if acc := a.claims[w.key]; acc != nil && w.key.Name != "" {
		return acc.allocation, acc.pods
	}
	pods := len(w.claim.Status.ReservedFor)
	for i := range w.claim.Status.ReservedFor {
		if pod.UID != "" && w.claim.Status.ReservedFor[i].UID == pod.UID {
			pods--
			break
		}
	}
	return w.claim.Status.Allocation, pods
}

func (a *Allocator) allocate(ctx context.Context, node Node, object *corev1.Node, claims []*resourcev1.ResourceClaim) ([]resourcev1.AllocationResult, error) {
	reachable := a.catalog.slicesFor(node)
	if len(reachable) == 0 {
		return nil, nil // by far the most nodes
	}
	allocator, err := structured.NewAllocator(ctx, features, *a.state(), a.catalog, reachable, a.catalog.cel)
	if err != nil {
		return nil, fmt.Errorf("set up the device allocator: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	return allocator.Allocate(ctx, object, claims)
}

func (a *Allocator) state() *structured.AllocatedState {
	if a.taken == nil {
		s := clone(&a.catalog.taken)
		a.taken = &s
	}
	return a.taken
}

func (a *Allocator) explain(wants []want, err error) string {
	label := wants[0].label
	if len(wants) > 1 {
		label = "the pod's claims"
	}
	switch {
	case err == nil:
		return "no free devices for " + label
	case errors.Is(err, context.DeadlineExceeded):
		return "no devices for " + label + " were found in the time for the search"
	case errors.Is(err, structured.ErrFailedAllocationOnNode):
		return fmt.Sprintf("no devices for %s: %v", label, err)
	}
	return ""
}

// fatal is the error if it is one that other nodes would meet as well.
func (a *Allocator) fatal(wants []want, err error) error {
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, structured.ErrFailedAllocationOnNode) {
		return nil
	}
	return fmt.Errorf("find devices for %s: %w", wants[0].label, err)
}

// Commit gives the pod what Fits has found for it on the node. Nothing else may have been committed or released in between.
func (a *Allocator) Commit(pod *corev1.Pod, _ Node, allocation Allocation) {
	if allocation.Empty() {
		return
	}
	for _, c := range allocation.claims {
		if c.result != nil {
			take(a.state(), c.result)
		}
		if c.key.Name == "" {
			continue
		}
		acc := a.account(c.key)
		if c.result != nil {
			acc.allocation = c.result
		}
		acc.pods++
	}
	key := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	a.pods[key] = append(a.pods[key], allocation.claims)
}

// Release takes back the pod's last Commit. A pod without one, which has its devices in the cluster, leaves them: claims that were
// made for it are free, and so are those that nobody else uses. It can then be asked for with Fits as if it were made anew.
func (a *Allocator) Release(pod *corev1.Pod) {
	key := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	commits := a.pods[key]
	if len(commits) == 0 {
		a.evict(pod)
		return
	}
	a.undo(key, len(commits)-1)
}

// Undo takes back one Commit of the pod, whichever came after it. One that was taken back before does no harm.
func (a *Allocator) Undo(pod *corev1.Pod, allocation Allocation) {
	if allocation.Empty() {
		return
	}
	key := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	for i, claims := range a.pods[key] {
		if &claims[0] == &allocation.claims[0] {
			a.undo(key, i)
			return
		}
	}
}

func (a *Allocator) undo(key types.NamespacedName, i int) {
	undone := a.pods[key][i]
	if a.pods[key] = slices.Delete(a.pods[key], i, i+1); len(a.pods[key]) == 0 {
		delete(a.pods, key)
	}
	for _, c := range undone {
		if c.key.Name == "" {
			give(a.state(), c.result)
			continue
		}
		a.leave(c.key)
	}
}

// leave takes one pod off a claim, and the claim's devices once there is none.
func (a *Allocator) leave(key types.NamespacedName) {
	acc := a.account(key)
	if acc.pods--; acc.pods <= 0 {
		acc.pods = 0
		give(a.state(), acc.allocation)
		acc.allocation = nil
	}
}

// evict is Release for a pod of the cluster.
func (a *Allocator) evict(pod *corev1.Pod) {
	names := make([]string, 0, len(pod.Spec.ResourceClaims)+1)
	for i := range pod.Spec.ResourceClaims {
		if ref := &pod.Spec.ResourceClaims[i]; ref.ResourceClaimName != nil {
			names = append(names, *ref.ResourceClaimName)
		}
	}
	for i := range pod.Status.ResourceClaimStatuses {
		if name := pod.Status.ResourceClaimStatuses[i].ResourceClaimName; name != nil {
			names = append(names, *name)
		}
	}
	if s := pod.Status.ExtendedResourceClaimStatus; s != nil {
		names = append(names, s.ResourceClaimName)
	}
	for _, name := range names {
		key := types.NamespacedName{Namespace: pod.Namespace, Name: name}
		claim := a.catalog.claims[key]
		if claim == nil {
			continue
		}
		for i := range claim.Status.ReservedFor {
			if claim.Status.ReservedFor[i].UID != pod.UID {
				continue
			}
			if acc := a.account(key); !acc.left[pod.UID] {
				if acc.left == nil {
					acc.left = map[types.UID]bool{}
				}
				acc.left[pod.UID] = true
				a.leave(key)
			}
		}
	}
}

func (a *Allocator) account(key types.NamespacedName) *account {
	acc := a.claims[key]
	if acc == nil {
		acc = &account{}
		if claim := a.catalog.claims[key]; claim != nil {
			acc.allocation, acc.pods = claim.Status.Allocation, len(claim.Status.ReservedFor)
		}
		a.claims[key] = acc
	}
	return acc
}

// unallocated is the claim as the allocator wants it.
func unallocated(claim *resourcev1.ResourceClaim) *resourcev1.ResourceClaim {
	if claim.Status.Allocation == nil {
		return claim
	}
	out := *claim
	out.Status = resourcev1.ResourceClaimStatus{}
	return &out
}

func reachable(allocation *resourcev1.AllocationResult, node *corev1.Node) (bool, error) {
	if allocation.NodeSelector == nil {
		return true, nil
	}
	selector, err := nodeaffinity.NewNodeSelector(allocation.NodeSelector)
	if err != nil {
		return false, err
	}
	return selector.Match(node), nil
}
