package consolidation

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// Check says whether every pod that is still on the given nodes has a place now, on a node that takes pods, and which has none. It is
// asked before the first taint of a move and before every eviction: the scheduler places pods as it likes, and what it chose for one
// of them may have been the room for another. A move that does not hold any more is rolled back.
//
// nodes are those of the move that are still there; others are nodes that other moves are taking away, whose pods need room as well.
// ready says whether a node takes pods.
func Check(planner cluster.Planner, nodes, others []string, ready func(node string) bool) (holds bool, why string) {
	if planner == nil {
		return false, "nothing can be simulated"
	}
	mine := map[types.NamespacedName]bool{}
	for _, name := range nodes {
		view, known := planner.NodeView(name)
		if !known {
			return false, fmt.Sprintf("the node %s is not known", name)
		}
		for _, pod := range view.Pods {
			mine[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = true
		}
	}
	removal := cluster.Removal{Nodes: append([]string(nil), nodes...)}
	for _, name := range others {
		if _, known := planner.NodeView(name); known {
			removal.Nodes = append(removal.Nodes, name)
		}
	}
	out := planner.Simulate(removal)
	if !out.Feasible {
		return false, fmt.Sprintf("the pod %s has no room elsewhere any more: %s", out.Blocking.NamespacedName, out.Reason)
	}
	for _, m := range out.Moves {
		if mine[m.Pod.NamespacedName] && !ready(m.Node) {
			return false, fmt.Sprintf("the pod %s has room only on %s, which takes no pods", m.Pod.NamespacedName, m.Node)
		}
	}
	return true, ""
}
