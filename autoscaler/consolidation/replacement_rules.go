package consolidation

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// capacitySpot is the contract that can be ended by the provider at any time.
const capacitySpot = "spot"

// replacementRule is one reason against a replacement that is feasible.
type replacementRule struct {
	name  string
	judge func(s *search, p *proposal) (refuses bool, code, message string)
}

func replacementRules() []replacementRule {
	return []replacementRule{
		{"likeForLike", likeForLike},
		{"minimumSaving", savesEnough},
		{"evictions", outweighsEvictions},
		{"spot", spotIsFlexible},
		{"buyer", buyerActs},
		{"alone", leavesOthersAlone},
	}
}

// likeForLike never buys what it gives back: the same type under the same contract, in whatever zone. Where several nodes become
// fewer, one that would be bought again can stay.
func likeForLike(s *search, p *proposal) (bool, string, string) {
	removed := map[shape]bool{}
	for _, n := range p.group {
		removed[n.shape()] = true
	}
	for i := range p.out.Create {
		if o := &p.out.Create[i].Offer; removed[shapeOf(o)] {
			return true, "LikeForLike", "the cheapest replacement is another " + o.Name
		}
	}
	return false, "", ""
}

// savesEnough holds the policy's minimum saving.
func savesEnough(s *search, p *proposal) (bool, string, string) {
	price := 0.0
	for _, n := range p.group {
		price += n.price
	}
	if least := price * s.minimumSaving(); p.saving < least || p.saving <= 0 {
		return true, "SavingTooSmall", fmt.Sprintf("%s would save %s of %s an hour, less than %.0f%%", offers(p.out.Create), money(p.saving), money(price), 100*s.minimumSaving())
	}
	return false, "", ""
}

// outweighsEvictions weighs evictions, and the time for which old and new are both paid.
func outweighsEvictions(s *search, p *proposal) (bool, string, string) {
	if p.saving <= p.cost {
		return true, "NotWorthEvictions", fmt.Sprintf("%s would save %s an hour, and moving its pods is worth %s", offers(p.out.Create), money(p.saving), money(p.cost))
	}
	return false, "", ""
}

// spotIsFlexible swaps spot nodes for spot nodes only with many cheaper types to choose from.
func spotIsFlexible(s *search, p *proposal) (bool, string, string) {
	spot, price := false, 0.0
	for _, n := range p.group {
		spot = spot || n.shape().capacityType == capacitySpot
		price += n.price
	}
	if !spot || len(p.group) > 1 && len(p.out.Create) < len(p.group) {
		// Several that become fewer save by number, and do not end on the scarcest type by being swapped again and again.
		return false, "", ""
	}
	for i := range p.out.Create {
		if c := &p.out.Create[i]; c.Offer.CapacityType == capacitySpot {
			if n := cheaperTypes(c, price); n < s.f.config.SpotAlternatives {
				return true, "SpotTooScarce", fmt.Sprintf("only %s cheaper than this spot node, and %d are asked for: it would be swapped again soon",
					count(n, "type of spot node is", "types of spot nodes are"), s.f.config.SpotAlternatives)
			}
		}
	}
	return false, "", ""
}

// cheaperTypes counts instance types below a price among what could be bought instead.
func cheaperTypes(c *cluster.NewNode, price float64) int {
	types := map[string]bool{c.Offer.Name: true}
	for i := range c.Alternatives {
		if o := &c.Alternatives[i]; o.CapacityType == capacitySpot && o.PricePerHour < price {
			types[o.Name] = true
		}
	}
	return len(types)
}

// buyerActs refuses to count on another policy that only recommends.
func buyerActs(s *search, p *proposal) (bool, string, string) {
	if !s.pool.acts() {
		return false, "", ""
	}
	for i := range p.out.Create {
		buyer := p.out.Create[i].Offer.Policy
		if b := s.f.pools[buyer]; buyer != s.pool.policy.Name && (b == nil || !b.acts()) {
			return true, "BuyerDoesNotAct", fmt.Sprintf("the replacement would be bought by the NodePolicy %s, which does not act", buyer)
		}
	}
	return false, "", ""
}

// leavesOthersAlone refuses new nodes that other moves would have to wait for: those of this decision, and those under way.
func leavesOthersAlone(s *search, p *proposal) (bool, string, string) {
	takers := onNewNodes(p.out.Moves)
	for _, name := range s.gone {
		for _, pod := range s.f.byName[name].candidate.Pods {
			if takers[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] {
				return true, "OthersFirst", "pods of " + name + ", which goes already, would need the new node"
			}
		}
	}
	return false, "", ""
}
