package disruption

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Fate is what becomes of a pod when its node is taken away.
type Fate string

const (
	// Moves: the pod is evicted and another one takes its place elsewhere.
	Moves Fate = "Moves"
	// Goes: the pod needs no other place. It belongs to the node, has finished, or is being deleted already.
	Goes Fate = "Goes"
	// Blocks: the pod keeps the node.
	Blocks Fate = "Blocks"
)

// PodVerdict is what one rule said about a pod, the reason with it.
type PodVerdict struct {
	Rule string
	Fate Fate
	// Code is a stable word for Message, Message one clause for people that follows the pod's name.
	Code, Message string
	// Passing is true for a block that ends by itself, such as a budget that is used up just now.
	Passing bool
	// Surge is true when the workload has a single ready replica: a second one must be ready before this one is evicted.
	Surge bool
	// Outage is true when that cannot be done, since the controller makes pods by their names (StatefulSets): the workload is
	// without a ready pod for a while.
	Outage bool
}

// podRule is one reason for a pod's fate. It says nothing when the rule does not apply.
type podRule struct {
	name  string
	judge func(s *subject) (PodVerdict, bool)
}

// podRules in order; the first that applies decides. Rules on pods that never move come first, then those that only the pod's owner
// can lift, then the owner's consent, and last what consent lifts.
func podRules() []podRule {
	return []podRule{
		{"finished", finished},
		{"static", static},
		{"daemonSet", daemonSet},
		{"terminating", terminating},
		{"doNotDisrupt", doNotDisrupt},
		{"budgetCount", budgetCount},
		{"budget", budget},
		{"safeToEvict", safeToEvict},
		{"job", job},
		{"controller", controlled},
		{"lastReplica", lastReplica},
	}
}

// subject is the pod that rules look at.
type subject struct {
	pod   *corev1.Pod
	world *Inspector
	owner *metav1.OwnerReference
	// budgets are looked up once, by whichever rule comes first.
	looked     bool
	budgets    []*policyv1.PodDisruptionBudget
	unreadable error
}

// Pod judges a pod: the first rule that applies decides, and a pod to which none applies moves.
func (in *Inspector) Pod(pod *corev1.Pod) PodVerdict {
	s := &subject{pod: pod, world: in, owner: metav1.GetControllerOfNoCopy(pod)}
	for _, rule := range in.rules {
		if v, applies := rule.judge(s); applies {
			v.Rule = rule.name
			return v
		}
	}
	return PodVerdict{Rule: "default", Fate: Moves, Code: "Movable", Message: "can be evicted"}
}

// Blocker is what keeps the pod where it is, false when nothing does. Judging many pods is cheaper through an Inspector.
func Blocker(pod *corev1.Pod, world World) (PodVerdict, bool) {
	v := NewInspector(world).Pod(pod)
	return v, v.Fate == Blocks
}

func goes(code, message string) (PodVerdict, bool) {
	return PodVerdict{Fate: Goes, Code: code, Message: message}, true
}

func blocks(code, format string, args ...any) (PodVerdict, bool) {
	return PodVerdict{Fate: Blocks, Code: code, Message: fmt.Sprintf(format, args...)}, true
}

func blocksNow(code, format string, args ...any) (PodVerdict, bool) {
	return PodVerdict{Fate: Blocks, Code: code, Message: fmt.Sprintf(format, args...), Passing: true}, true
}
