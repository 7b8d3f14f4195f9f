package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestNothingIsBoughtForAPortThatADaemonSetTakes would buy a node each time a plan is made: the DaemonSet's pod is there first.
func TestNothingIsBoughtForAPortThatADaemonSetTakes(t *testing.T) {
	exporter := func(change func(*corev1.PodSpec)) *appsv1.DaemonSet {
		d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "exporter"}}
		d.Spec.Template.Spec = pod("exporter", "100m", "64Mi", hostPortOf(9100)).Spec
		change(&d.Spec.Template.Spec)
		return d
	}
	for name, tc := range map[string]struct {
		daemons *appsv1.DaemonSet
		port    int32
		buys    int
	}{
		"the same port":             {exporter(func(*corev1.PodSpec) {}), 9100, 0},
		"another port":              {exporter(func(*corev1.PodSpec) {}), 9101, 1},
		"a DaemonSet of other ones": {exporter(func(p *corev1.PodSpec) { p.NodeSelector = map[string]string{"disk": "ssd"} }), 9100, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewState()
			s.SetOffers([]Offer{offer("m", "a", "4", "8Gi", 1)})
			expected := node("coming", "a", "4", "8Gi", 1)
			expected.Expected = true
			s.SetNode(expected)
			upsert(t, s, tc.daemons, pod("first", "3", "1Gi", hostPortOf(tc.port)), pod("second", "3", "1Gi", hostPortOf(tc.port)))
			for range 2 { // the second plan starts from what the first has kept
				plan := s.Plan(Options{})
				require.Len(t, plan.Create, tc.buys)
				require.Len(t, plan.Placed, tc.buys, "on the node that is being made")
				if tc.buys == 0 {
					require.Len(t, plan.Unschedulable, 2)
					require.Equal(t, reasonHostPort, plan.Unschedulable[0].Reasons[0].Code)
				}
				s.SetOffers(s.offers)
			}
		})
	}
}
