package cluster

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestPodsWithoutAPlaceAreToldWhichOthersKeepThemOut(t *testing.T) {
	for name, test := range map[string]struct {
		pod  *corev1.Pod
		code string
	}{
		"nothing to be near":           {pod("p", "1", "1Gi", nearTo(corev1.LabelTopologyZone, "app", "nobody")), reasonAffinity},
		"what it is near is elsewhere": {pod("p", "1", "1Gi", nearTo(corev1.LabelTopologyZone, "app", "far")), reasonAffinity},
		"others must not be near":      {pod("p", "1", "1Gi", apartFrom(corev1.LabelTopologyZone, "app", "web")), reasonAnti},
		"it must not be near others":   {pod("p", "1", "1Gi", labelled("app", "shunned")), reasonAnti},
		"one more breaks the balance":  {pod("p", "1", "1Gi", labelled("app", "web"), spreadOver(corev1.LabelTopologyZone, 1, "app", "web")), reasonSpread},
		"no such topology":             {pod("p", "1", "1Gi", spreadOver("example.com/rack", 1, "app", "web")), reasonSpread},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewState()
			// Both nodes are full, and only zone a can be bought in.
			s.SetNode(node("n1", "a", "1", "8Gi", 1))
			s.SetNode(node("n2", "b", "1", "8Gi", 1))
			upsert(t, s, pod("web", "1", "1Gi", onNode("n1"), labelled("app", "web"), apartFrom(corev1.LabelTopologyZone, "app", "shunned")),
				pod("far", "1", "1Gi", onNode("n2"), labelled("app", "far")), test.pod)
			s.SetOffers([]Offer{offer("o", "a", "4", "8Gi", 1)})
			plan := s.Plan(Options{})
			if len(plan.Unschedulable) != 1 {
				t.Fatalf("%+v", plan)
			}
			u := plan.Unschedulable[0]
			if u.Pod.Name != "p" || len(u.Reasons) != 1 || u.Reasons[0].Code != test.code || u.Reasons[0].Offers != 1 || u.Reasons[0].Message == "" {
				t.Errorf("%+v", u)
			}
		})
	}
}
