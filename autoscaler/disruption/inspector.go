package disruption

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// Inspector judges pods and nodes against one World. What it needs of the world for that is prepared once; it is made anew when the
// world has changed. It is not safe for concurrent use.
type Inspector struct {
	now      time.Time
	guards   map[string][]guard
	replicas func(owner string) int
	rules    []podRule
}

// NewInspector prepares the world.
func NewInspector(world World) *Inspector {
	replicas := world.Replicas
	if replicas == nil {
		replicas = func(string) int { return 0 }
	}
	return &Inspector{now: world.Now, guards: guards(world.PDBs), replicas: replicas, rules: podRules()}
}

// NodeVerdict is what there is on a node, as far as taking it away is concerned.
type NodeVerdict struct {
	// Evict are pods that must find another place. A node without any is empty.
	Evict []*corev1.Pod
	// Surge are those of Evict that need a second replica first.
	Surge []*corev1.Pod
	// Blocker is the first pod that keeps the node, nil when none does, and Blocked why. Blocks that do not pass come before
	// those that do.
	Blocker *corev1.Pod
	Blocked PodVerdict
	// Weight is what moving Evict is worth, in evictions of a pod about which nothing is special.
	Weight float64
}

// Node judges every pod of a node.
func (in *Inspector) Node(view *cluster.NodeView) NodeVerdict {
	var v NodeVerdict
	for _, pod := range view.Pods {
		p := in.Pod(pod)
		switch p.Fate {
		case Goes:
			continue
		case Blocks:
			if v.Blocker == nil || v.Blocked.Passing && !p.Passing {
				v.Blocker, v.Blocked = pod, p
			}
		}
		v.Evict = append(v.Evict, pod)
		if p.Surge {
			v.Surge = append(v.Surge, pod)
		}
		v.Weight += in.weigh(pod, p)
	}
	return v
}
