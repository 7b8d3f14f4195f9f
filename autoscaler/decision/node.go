package decision

// Nodes decisions are about the nodes of a NodePolicy, which is their target.
const Nodes Direction = "Nodes"

// Outcomes of decisions about nodes; Unchanged, Held, Recommended, Observed and Failed mean what they mean elsewhere.
const (
	// Provisioned means that nodes were asked for.
	Provisioned Outcome = "Provisioned"
	// Consolidated means that nodes are being given back, or swapped for cheaper ones.
	Consolidated Outcome = "Consolidated"
	// Repaired means that something is being done about a sick node.
	Repaired Outcome = "Repaired"
	// Renewed means that nodes that differ from their policy are being replaced.
	Renewed Outcome = "Renewed"
)

// NodeAction is one thing done, or recommended, to one node.
type NodeAction struct {
	// Action is Create, Cordon, Drain, Delete, RestartAgent, Reboot, Replace or Uncordon.
	Action string `json:"action"`
	// Node is empty for one that is not there yet, Claim for one that is not ours.
	Node         string  `json:"node,omitempty"`
	Claim        string  `json:"claim,omitempty"`
	Offer        string  `json:"offer,omitempty"`
	Zone         string  `json:"zone,omitempty"`
	CapacityType string  `json:"capacityType,omitempty"`
	PricePerHour float64 `json:"pricePerHour,omitempty"`
	// Pods are those that a node is made for, or that leave it; at most 50 of PodCount.
	Pods     []string `json:"pods,omitempty"`
	PodCount int      `json:"podCount,omitempty"`
	Code     string   `json:"code"`
	Reason   string   `json:"reason"`
}

// NodeCost is money per hour, of all nodes of all policies.
type NodeCost struct {
	Before     float64 `json:"before"`
	After      float64 `json:"after"`
	LowerBound float64 `json:"lowerBound"`
}

// PodWithoutNode is a pod that no node may be bought for.
type PodWithoutNode struct {
	Pod     string   `json:"pod"`
	Reasons []string `json:"reasons"`
}

// sameNodes reports whether two records do the same to the same nodes and leave the same pods without one. Costs and texts follow from
// that, or change without anything being decided.
func sameNodes(a, b *Record) bool {
	if len(a.NodeActions) != len(b.NodeActions) || len(a.WithoutNode) != len(b.WithoutNode) || a.WithoutNodeCount != b.WithoutNodeCount {
		return false
	}
	for i := range a.NodeActions {
		x, y := &a.NodeActions[i], &b.NodeActions[i]
		if x.Action != y.Action || x.Node != y.Node || x.Claim != y.Claim || x.Offer != y.Offer || x.Zone != y.Zone || x.CapacityType != y.CapacityType ||
			x.Code != y.Code || x.PodCount != y.PodCount {
			return false
		}
	}
	for i := range a.WithoutNode {
		if a.WithoutNode[i].Pod != b.WithoutNode[i].Pod {
			return false
		}
	}
	return true
}
