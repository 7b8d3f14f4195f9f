package decision

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// provisioning is a decision about one node to buy and one pod for which none can be bought.
func provisioning(tick int) *Record {
	return &Record{Name: "general", Direction: Nodes, Time: start.Add(time.Duration(tick) * time.Second), Outcome: Provisioned, Code: "PodsPending",
		NodeActions: []NodeAction{{Action: "Create", Claim: "general-1", Offer: "m5.large", Zone: "a", CapacityType: "spot", PricePerHour: 0.1, Code: "PodsPending",
			Reason: "for 3 pods", Pods: []string{"shop/web-0"}, PodCount: 3}},
		NodeCost:    &NodeCost{Before: float64(tick), After: float64(tick) + 1, LowerBound: float64(tick)},
		WithoutNode: []PodWithoutNode{{Pod: "shop/huge", Reasons: []string{"too large"}}}, WithoutNodeCount: 1}
}

func TestWhatMakesANodeDecisionAnother(t *testing.T) {
	tests := map[string]struct {
		alter func(*Record)
		want  bool
	}{
		"another cost":                {func(*Record) {}, false},
		"other words":                 {func(r *Record) { r.NodeActions[0].Reason, r.WithoutNode[0].Reasons = "other", nil }, false},
		"another price of the offer":  {func(r *Record) { r.NodeActions[0].PricePerHour = 9 }, false},
		"another offer":               {func(r *Record) { r.NodeActions[0].Offer = "m5.xlarge" }, true},
		"another zone":                {func(r *Record) { r.NodeActions[0].Zone = "b" }, true},
		"another claim":               {func(r *Record) { r.NodeActions[0].Claim = "general-2" }, true},
		"another action":              {func(r *Record) { r.NodeActions[0].Action = "Drain" }, true},
		"another cause":               {func(r *Record) { r.NodeActions[0].Code = "Headroom" }, true},
		"more pods for it":            {func(r *Record) { r.NodeActions[0].PodCount = 4 }, true},
		"nothing to do any more":      {func(r *Record) { r.NodeActions = nil }, true},
		"another pod without a node":  {func(r *Record) { r.WithoutNode[0].Pod = "shop/other" }, true},
		"more pods without a node":    {func(r *Record) { r.WithoutNodeCount = 2 }, true},
		"a node for all pods at last": {func(r *Record) { r.WithoutNode, r.WithoutNodeCount = nil, 0 }, true},
		"another number of our nodes": {func(r *Record) { r.CurrentReplicas = 7 }, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var tracker Tracker
			tracker.Observe(provisioning(0))
			r := provisioning(1)
			tc.alter(r)
			assert.Equal(t, tc.want, tracker.Observe(r).Different)
		})
	}
}
