package journal

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/fleet"
)

func TestTheFleetIsCounted(t *testing.T) {
	nodes := []fleet.NodeView{
		{Name: "a", Policy: "p", Phase: "Ready", Zone: "z", CapacityType: "spot", PricePerHour: 0.25},
		{Name: "b", Policy: "p", Phase: "Ready", Zone: "z", CapacityType: "spot", PricePerHour: 0.5},
		{Name: "c", PricePerHour: 1},
	}
	for name, tt := range map[string]struct {
		views []*fleet.View
		want  map[string]float64
	}{
		"the newest view counts": {
			views: []*fleet.View{{LowerBound: 9}, {LowerBound: 1.5, PendingCount: 7, Nodes: nodes}},
			want: map[string]float64{
				"yagura_autoscaler_fleet_nodes p Ready z spot": 2, "yagura_autoscaler_fleet_nodes": 1,
				"yagura_autoscaler_fleet_cost_per_hour p": 0.75, "yagura_autoscaler_fleet_cost_per_hour": 1,
				"yagura_autoscaler_fleet_cost_lower_bound": 1.5, "yagura_autoscaler_fleet_pods_pending": 7,
			},
		},
		"who leads no more says nothing": {views: []*fleet.View{{LowerBound: 9}, nil}, want: map[string]float64{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &receiver{}
			r.listen(t)
			j, _ := open(t, r.address, 100)
			for _, view := range tt.views {
				j.Fleet(view)
			}
			require.NoError(t, j.Close(t.Context()))
			assert.Equal(t, tt.want, r.gauges)
		})
	}
}
