// Package fleet is what GET /api/v1/nodes answers: the nodes as the leader sees them, why each is there and why it stays.
//
// It holds values only and imports nothing of Yagura; the loop over nodes fills them, and whoever shows nodes reads them.
package fleet

import "time"

// View is what GET /api/v1/nodes answers: the fleet as the leader sees it now. Fields are added to it and never change their meaning.
type View struct {
	// Time is when it was made.
	Time time.Time `json:"time"`
	// Cost is money per hour over all nodes, LowerBound the price that no set of nodes for the same pods can be below,
	// the nodes included that there were already. It is 0 while it is not known for the fleet of that cost.
	Cost       float64 `json:"cost"`
	LowerBound float64 `json:"lowerBound"`
	// PlanSeconds is how long the newest plan took.
	PlanSeconds float64      `json:"planSeconds"`
	Policies    []PolicyView `json:"policies"`
	Nodes       []NodeView   `json:"nodes"`
	// Moves are planned or under way.
	Moves []MoveView `json:"moves"`
	// Pending are pods without a node: at most 500 of PendingCount.
	Pending      []PodView `json:"pending"`
	PendingCount int       `json:"pendingCount"`
}

// PolicyView is one NodePolicy.
type PolicyView struct {
	Name     string `json:"name"`
	Mode     string `json:"mode"`
	Provider string `json:"provider"`
	Nodes    int    `json:"nodes"`
	Ready    int    `json:"ready"`
	// Unhealthy nodes have a repair rule that applies to them.
	Unhealthy int     `json:"unhealthy"`
	Cost      float64 `json:"cost"`
	// Outcome and Reason are the last decision's.
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
	// Upgrade is nil when nothing is renewed.
	Upgrade *UpgradeView `json:"upgrade,omitempty"`
}

// UpgradeView is how far the renewal of nodes has come.
type UpgradeView struct {
	Total               int        `json:"total"`
	Updated             int        `json:"updated"`
	EstimatedCompletion *time.Time `json:"estimatedCompletion,omitempty"`
	Paused              string     `json:"paused,omitempty"`
}

// NodeView is one node, or one that is being made (Name is its claim's then).
type NodeView struct {
	Name         string    `json:"name"`
	Claim        string    `json:"claim,omitempty"`
	Policy       string    `json:"policy,omitempty"`
	Offer        string    `json:"offer,omitempty"`
	Zone         string    `json:"zone,omitempty"`
	CapacityType string    `json:"capacityType,omitempty"`
	PricePerHour float64   `json:"pricePerHour"`
	Phase        string    `json:"phase"`
	Ready        bool      `json:"ready"`
	Created      time.Time `json:"created"`
	Version      string    `json:"version,omitempty"`
	// Pods is how many there are, DaemonSets' aside.
	Pods int `json:"pods"`
	// Requested and Allocatable are cores and bytes.
	Requested   Resources `json:"requested"`
	Allocatable Resources `json:"allocatable"`
	// Why is its reason to be: what it was bought for.
	Why string `json:"why"`
	// Stay is its reason to stay, or what is about to happen to it; Code a stable word for it.
	Stay StayView `json:"stay"`
}

// StayView is why a node stays.
type StayView struct {
	Code     string        `json:"code"`
	Message  string        `json:"message"`
	Verdicts []VerdictView `json:"verdicts,omitempty"`
}

// VerdictView is what one rule said about a node.
type VerdictView struct {
	Rule    string `json:"rule"`
	Stays   bool   `json:"stays"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Resources are cores and bytes.
type Resources struct {
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
}

// MoveView is a move that is planned or under way.
type MoveView struct {
	Policy  string   `json:"policy"`
	Reason  string   `json:"reason"`
	Remove  []string `json:"remove"`
	Create  []string `json:"create"`
	Pods    int      `json:"pods"`
	Saving  float64  `json:"saving"`
	Step    string   `json:"step"`
	Message string   `json:"message"`
}

// PodView is a pod without a node.
type PodView struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Node is the one that it is going to, empty when there is none.
	Node    string   `json:"node,omitempty"`
	Reasons []string `json:"reasons,omitempty"`
}
