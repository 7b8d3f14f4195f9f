package nodes

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// world is the cluster as the loop knows it. Only the loop touches it.
type world struct {
	state *cluster.State
	// grace is how long the scheduler may take to judge a pod.
	grace time.Duration

	nodes    map[string]*corev1.Node
	claims   map[string]*v1alpha1.NodeClaim
	policies map[string]*v1alpha1.NodePolicy
	pdbs     map[types.NamespacedName]*policyv1.PodDisruptionBudget
	leases   map[string]time.Time

	pods        map[types.NamespacedName]podNote
	podsOfOwner map[types.UID]int
	// unjudged are pods that the scheduler has not looked at yet, with the time at which they are planned for nevertheless.
	unjudged map[types.NamespacedName]waiting
	pending  map[types.NamespacedName]*corev1.Pod

	owners      map[eventKey]owner
	ownersByUID map[types.UID]eventKey
	scaled      map[types.NamespacedName]*v1alpha1.WorkloadAutoscaler
	targets     map[targetKey]*target

	// nodeOfClaim and claimOfNode are each other's inverse.
	nodeOfClaim map[string]string
	claimOfNode map[string]string
	// byProvider and byLabel find nodes by spec.providerID and by the claim that they carry, claimByID claims by their machine.
	byProvider, byLabel, claimByID map[string]string
	// planned are the names under which claims without a node stand in the state.
	planned map[string]bool
	offers  map[cluster.OfferID]*cluster.Offer
	// bought are claims that were made a moment ago and that the cache need not show yet.
	bought map[string]time.Time
	// dirty are nodes that the state must be told of anew.
	dirtyNodes, dirtyClaims map[string]bool
}

// podNote is what is remembered of a pod that the state has.
type podNote struct {
	uid    types.UID
	owner  types.UID
	active bool
}

// waiting is a pod and when its wait ends.
type waiting struct {
	pod   *corev1.Pod
	until time.Time
}

// owner is the controller of pods.
type owner struct {
	uid, parent types.UID
	ready       int
}

// targetKey names a target of a WorkloadAutoscaler.
type targetKey struct {
	kind string
	name types.NamespacedName
}

// target is a workload that makes pods.
type target struct {
	uid      types.UID
	replicas int32
	template *corev1.PodTemplateSpec
	// made are volumes whose claims are made together with each pod.
	made []string
}

func newWorld(grace time.Duration) *world {
	return &world{
		state: cluster.NewState(), grace: grace,
		nodes: map[string]*corev1.Node{}, claims: map[string]*v1alpha1.NodeClaim{}, policies: map[string]*v1alpha1.NodePolicy{},
		pdbs: map[types.NamespacedName]*policyv1.PodDisruptionBudget{}, leases: map[string]time.Time{},
		pods: map[types.NamespacedName]podNote{}, podsOfOwner: map[types.UID]int{}, unjudged: map[types.NamespacedName]waiting{},
		pending: map[types.NamespacedName]*corev1.Pod{}, owners: map[eventKey]owner{}, ownersByUID: map[types.UID]eventKey{},
		scaled: map[types.NamespacedName]*v1alpha1.WorkloadAutoscaler{}, targets: map[targetKey]*target{},
		nodeOfClaim: map[string]string{}, claimOfNode: map[string]string{}, byProvider: map[string]string{}, byLabel: map[string]string{}, claimByID: map[string]string{}, planned: map[string]bool{},
		offers: map[cluster.OfferID]*cluster.Offer{}, bought: map[string]time.Time{}, dirtyNodes: map[string]bool{}, dirtyClaims: map[string]bool{},
	}
}

// change is what an event means for what has to be done.
type change uint8

const (
	// plan means that pods may have to be planned for.
	plan change = 1 << iota
	// look means that moves, claims or statuses may have to be looked at.
	look
	// rules means that offers have to be chosen anew.
	rules
)

// apply takes one event in.
func (w *world) apply(e event, now time.Time) change {
	switch o := e.object.(type) {
	case *corev1.Pod:
		return w.applyPod(o, e.deleted, now)
	case *corev1.Node:
		return w.applyNode(o, e.deleted)
	case *v1alpha1.NodeClaim:
		return w.applyClaim(o, e.deleted)
	case *v1alpha1.NodePolicy:
		if e.deleted {
			delete(w.policies, o.Name)
		} else if !w.setPolicy(o) {
			return 0
		}
		return plan | look | rules
	case *coordinationv1.Lease:
		if e.deleted {
			delete(w.leases, o.Name)
		} else if o.Spec.RenewTime != nil {
			w.leases[o.Name] = o.Spec.RenewTime.Time
		}
		return 0
	case *policyv1.PodDisruptionBudget:
		if e.deleted {
			delete(w.pdbs, client.ObjectKeyFromObject(o))
		} else {
			w.pdbs[client.ObjectKeyFromObject(o)] = o
		}
		return 0
	case *v1alpha1.WorkloadAutoscaler:
		if e.deleted {
			delete(w.scaled, client.ObjectKeyFromObject(o))
		} else {
			w.scaled[client.ObjectKeyFromObject(o)] = o
		}
		return look
	case *appsv1.Deployment:
		w.applyOwner(e, owner{uid: o.UID, ready: int(o.Status.AvailableReplicas)})
		w.applyTarget("Deployment", o, o.Spec.Replicas, &o.Spec.Template, e.deleted)
		return look
	case *appsv1.StatefulSet:
		w.applyOwner(e, owner{uid: o.UID, ready: int(o.Status.ReadyReplicas)})
		w.applyTarget("StatefulSet", o, o.Spec.Replicas, &o.Spec.Template, e.deleted)
		if t := w.targets[targetKey{"StatefulSet", client.ObjectKeyFromObject(o)}]; t != nil {
			for i := range o.Spec.VolumeClaimTemplates {
				t.made = append(t.made, o.Spec.VolumeClaimTemplates[i].Name)
			}
		}
		return look
	case *appsv1.ReplicaSet:
		w.applyOwner(e, owner{uid: o.UID, parent: controllerUID(o), ready: int(o.Status.ReadyReplicas)})
		return 0
	}
	// The rest is the planner's. A kind that it does not look at changes nothing.
	if e.deleted {
		w.state.Delete(e.object)
	} else if err := w.state.Upsert(e.object); err != nil {
		return 0
	}
	return plan
}

// setPolicy takes a policy unless a newer version of it is known: the answer to a write may overtake the watch.
func (w *world) setPolicy(p *v1alpha1.NodePolicy) bool {
	if known := w.policies[p.Name]; known != nil && known.UID == p.UID && newer(known, p) {
		return false
	}
	w.policies[p.Name] = p
	return true
}

// newer reports whether a is of a later version than b. Versions are numbers that grow, as Kubernetes promises since 1.35; when
// they are not numbers nothing is known.
func newer(a, b metav1.Object) bool {
	x, err1 := strconv.ParseUint(a.GetResourceVersion(), 10, 64)
	y, err2 := strconv.ParseUint(b.GetResourceVersion(), 10, 64)
	return err1 == nil && err2 == nil && x > y
}

func controllerUID(o metav1.Object) types.UID {
	if c := metav1.GetControllerOfNoCopy(o); c != nil {
		return c.UID
	}
	return ""
}

func (w *world) applyOwner(e event, o owner) {
	if known, ok := w.owners[e.key]; ok && known.uid != o.uid {
		delete(w.ownersByUID, known.uid)
	}
	if e.deleted {
		delete(w.owners, e.key)
		delete(w.ownersByUID, o.uid)
		return
	}
	w.owners[e.key] = o
	w.ownersByUID[o.uid] = e.key
}

func (w *world) applyTarget(kind string, o client.Object, replicas *int32, template *corev1.PodTemplateSpec, deleted bool) {
	key := targetKey{kind, client.ObjectKeyFromObject(o)}
	if deleted {
		delete(w.targets, key)
		return
	}
	wanted := int32(1)
	if replicas != nil {
		wanted = *replicas
	}
	w.targets[key] = &target{uid: o.GetUID(), replicas: wanted, template: template}
}

// ready is how many replicas of an owner are ready, 0 when that is not known.
func (w *world) ready(uid string) int {
	return w.owners[w.ownersByUID[types.UID(uid)]].ready
}

// applyPod takes a pod in. One that the scheduler has not judged yet is kept back for a moment: mostly there is room for it.
func (w *world) applyPod(pod *corev1.Pod, deleted bool, now time.Time) change {
	key := client.ObjectKeyFromObject(pod)
	_, wasPending := w.pending[key]
	gone := deleted || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	w.countPod(key, pod, gone)
	if gone {
		delete(w.pending, key)
		delete(w.unjudged, key)
		w.state.Delete(pod)
		return look
	}
	if pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil {
		w.pending[key] = pod
		if _, judged := judgment(pod); !judged {
			if wait, ok := w.unjudged[key]; !ok {
				w.unjudged[key] = waiting{pod, now.Add(w.grace)}
				return 0
			} else if now.Before(wait.until) {
				w.unjudged[key] = waiting{pod, wait.until}
				return 0
			}
		}
	} else {
		delete(w.pending, key)
	}
	delete(w.unjudged, key)
	if pod.Spec.NodeName == "" && pod.DeletionTimestamp != nil {
		w.state.Delete(pod) // it will never run
		return look
	}
	// A pod that cannot be encoded is the planner's to explain, and Upsert keeps it.
	_ = w.state.Upsert(pod)
	if pod.Spec.NodeName == "" {
		return plan
	}
	if wasPending {
		return look
	}
	return 0
}

// judgment is what the scheduler said of a pod that has no node, false while it has said nothing.
func judgment(pod *corev1.Pod) (reason string, judged bool) {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason, true
		}
	}
	return "", false
}

// release hands over pods that the scheduler has had enough time for.
func (w *world) release(now time.Time) change {
	var changed change
	for key, wait := range w.unjudged {
		if now.Before(wait.until) {
			continue
		}
		delete(w.unjudged, key)
		_ = w.state.Upsert(wait.pod)
		changed |= plan
	}
	return changed
}

// foresee does something with the pods in mind that the scheduler has not judged yet: they are about to take room, mostly in place of
// pods that were evicted a moment ago.
func (w *world) foresee(do func()) {
	for _, wait := range w.unjudged {
		_ = w.state.Upsert(wait.pod)
	}
	do()
	for _, wait := range w.unjudged {
		w.state.Delete(wait.pod)
	}
}

func (w *world) countPod(key types.NamespacedName, pod *corev1.Pod, gone bool) {
	before, known := w.pods[key]
	if known && before.active {
		if w.podsOfOwner[before.owner]--; w.podsOfOwner[before.owner] == 0 {
			delete(w.podsOfOwner, before.owner)
		}
	}
	if gone {
		delete(w.pods, key)
		return
	}
	note := podNote{uid: pod.UID, owner: controllerUID(pod)}
	note.active = note.owner != "" && pod.DeletionTimestamp == nil
	if note.active {
		w.podsOfOwner[note.owner]++
	}
	w.pods[key] = note
}
