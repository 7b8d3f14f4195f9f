package volume

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	schedulinghelpers "k8s.io/component-helpers/scheduling/corev1"
)

// Reservations are the volumes that the pods of one plan take, so that no volume serves two claims, and pods that share a claim
// go where its volume will be. They hold for the state of the catalog when they were made, and are not safe for concurrent use.
type Reservations struct {
	// volumes by name, with the claim that has each.
	volumes map[string]string
	claims  map[string]*settled
}

// settled is a claim whose first pod has its place.
type settled struct {
	pods   int
	volume string
	// affinity is the chosen volume's, nil for everywhere.
	affinity *corev1.NodeSelector
	// made is true for a volume that is to be made; it will be reachable where the first pod is: in its zone and region.
	made         bool
	zone, region string
}

// Reservations starts a plan.
func (c *Catalog) Reservations() *Reservations {
	return &Reservations{volumes: map[string]string{}, claims: map[string]*settled{}}
}

// Pick is a volume for a claim, empty when one is to be made.
type Pick struct{ Claim, Volume string }

// Fits says which volumes the pod's unbound claims would take on the node, and false with a reason when there are none. It is for pods
// with Unbound claims; it looks at labels alone, so that an offer's node with a name made up will do. Needs.Terms are not looked at.
func (r *Reservations) Fits(n *Needs, node *corev1.Node) ([]Pick, string, bool) {
	for _, claim := range n.Unbound {
		s := r.claims[claim]
		if s == nil {
			continue
		}
		if s.made && (s.zone != zone(node) || s.region != region(node)) || !matches(s.affinity, node) {
			return nil, "claim " + claim + " gets its volume where another pod that uses it goes", false
		}
	}
	var picks []Pick
	for i := range n.Choices {
		choice := &n.Choices[i]
		if r.claims[choice.Claim] != nil {
			continue
		}
		volume, ok := r.choose(choice, node, picks)
		if !ok {
			return nil, "no volume is left that could serve claim " + choice.Claim + " here", false
		}
		picks = append(picks, Pick{Claim: choice.Claim, Volume: volume})
	}
	return picks, "", true
}

// choose takes the smallest free volume that the node can reach; the empty name stands for one to be made.
func (r *Reservations) choose(choice *Choice, node *corev1.Node, picks []Pick) (string, bool) {
	for _, c := range choice.candidates {
		if _, taken := r.volumes[c.volume]; taken || slices.ContainsFunc(picks, func(p Pick) bool { return p.Volume == c.volume }) {
			continue
		}
		if matches(c.affinity, node) {
			return c.volume, true
		}
	}
	p := choice.provision
	return "", p != nil && matches(p.topology, node) && matches(p.capacity, node)
}

// Take reserves what Fits has answered.
func (r *Reservations) Take(n *Needs, node *corev1.Node, picks []Pick) {
	for _, claim := range n.Unbound {
		s := r.claims[claim]
		if s == nil {
			s = &settled{made: true, zone: zone(node), region: region(node)}
			for _, p := range picks {
				if p.Claim != claim || p.Volume == "" {
					continue
				}
				s.made, s.volume = false, p.Volume
				s.affinity = n.affinity(claim, p.Volume)
				r.volumes[p.Volume] = claim
			}
			r.claims[claim] = s
		}
		s.pods++
	}
}

// Release gives back what the pod with these needs had taken. A claim is open again once the last of its pods has left.
func (r *Reservations) Release(n *Needs) {
	for _, claim := range n.Unbound {
		s := r.claims[claim]
		if s == nil {
			continue
		}
		if s.pods--; s.pods > 0 {
			continue
		}
		delete(r.claims, claim)
		delete(r.volumes, s.volume)
	}
}

func (n *Needs) affinity(claim, volume string) *corev1.NodeSelector {
	for i := range n.Choices {
		if n.Choices[i].Claim != claim {
			continue
		}
		for _, c := range n.Choices[i].candidates {
			if c.volume == volume {
				return c.affinity
			}
		}
	}
	return nil
}

func matches(s *corev1.NodeSelector, node *corev1.Node) bool {
	if s == nil {
		return true
	}
	ok, err := schedulinghelpers.MatchNodeSelectorTerms(node, s)
	return ok && err == nil
}

func zone(node *corev1.Node) string {
	if z := node.Labels[corev1.LabelTopologyZone]; z != "" {
		return z
	}
	return node.Labels[corev1.LabelFailureDomainBetaZone]
}

func region(node *corev1.Node) string {
	if r := node.Labels[corev1.LabelTopologyRegion]; r != "" {
		return r
	}
	return node.Labels[corev1.LabelFailureDomainBetaRegion]
}
