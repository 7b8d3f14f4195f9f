package disruption

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// Annotations by which others' tools know what ours means, so that nobody has to annotate anew who comes from them.
const (
	// KarpenterDoNotDisrupt on a pod or a node keeps the node.
	KarpenterDoNotDisrupt = "karpenter.sh/do-not-disrupt"
	// SafeToEvict on a pod is cluster-autoscaler's: "false" keeps the node, "true" lifts what the owner can lift.
	SafeToEvict = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	// SafeToEvictVolumes on a pod is cluster-autoscaler's: names of local volumes, separated by commas, that may be lost.
	SafeToEvictVolumes = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
	// ScaleDownDisabled on a node is cluster-autoscaler's: "true" keeps the node.
	ScaleDownDisabled = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
)

// doNotDisrupt is the owner's will that the pod stays.
func doNotDisrupt(s *subject) (PodVerdict, bool) {
	if key, ok := refuses(s.pod.Annotations); ok {
		return blocks("DoNotDisrupt", "is annotated %s: %q", key, s.pod.Annotations[key])
	}
	if s.pod.Annotations[SafeToEvict] == "false" {
		return blocks("DoNotDisrupt", `is annotated %s: "false"`, SafeToEvict)
	}
	return PodVerdict{}, false
}

// refuses finds the annotation by which a pod or node wants to be left alone. Any value but "false" counts: a typing error must not
// cost a pod.
func refuses(annotations map[string]string) (key string, ok bool) {
	for _, key := range []string{v1alpha1.AnnotationDoNotDisrupt, KarpenterDoNotDisrupt} {
		if value, set := annotations[key]; set && value != "false" {
			return key, true
		}
	}
	return "", false
}

// NodeRefuses is the annotation by which a node itself asks to stay, false when it does not.
func NodeRefuses(node *corev1.Node) (key string, ok bool) {
	if key, ok = refuses(node.Annotations); ok {
		return key, true
	}
	return ScaleDownDisabled, node.Annotations[ScaleDownDisabled] == "true"
}

// safeToEvict is the owner's consent. It lifts what rules after this one would say on the owner's behalf, and never a budget.
func safeToEvict(s *subject) (PodVerdict, bool) {
	if s.pod.Annotations[SafeToEvict] != "true" {
		return PodVerdict{}, false
	}
	v, _ := lastReplica(s) // which a second replica should precede all the same
	v.Fate, v.Code, v.Message = Moves, "SafeToEvict", "is annotated "+SafeToEvict+`: "true"`
	return v, true
}

// lostVolumes are names of volumes whose data stays behind on the node: emptyDirs on disk and paths of the node. Those that the pod's
// annotations declare safe are left out, and so are emptyDirs in memory, which hold nothing that should outlive the process.
func lostVolumes(pod *corev1.Pod) (names []string) {
	if pod.Annotations[SafeToEvict] == "true" {
		return nil
	}
	safe := map[string]bool{}
	for name := range strings.SplitSeq(pod.Annotations[SafeToEvictVolumes], ",") {
		safe[strings.TrimSpace(name)] = true
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		local := v.HostPath != nil || v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumDefault
		if local && !safe[v.Name] {
			names = append(names, v.Name)
		}
	}
	return names
}
