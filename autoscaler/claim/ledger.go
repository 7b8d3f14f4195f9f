package claim

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// LimitExceeded means that a purchase would exceed what a policy may own. Nothing was charged.
type LimitExceeded struct {
	Policy string
	// Limit is cpu, memory, nodes or pricePerHour, Owned what is charged already, and Wanted what would be charged in all.
	Limit, Owned, Wanted, Max string
}

func (e *LimitExceeded) Error() string {
	return fmt.Sprintf("NodePolicy %s: %s would be %s of at most %s, %s are charged already", e.Policy, e.Limit, e.Wanted, e.Max, e.Owned)
}

// Charged is what a policy owns: the claims that there are, and reservations whose claims there are not. Claims of other policies are
// left out.
func Charged(policy *v1alpha1.NodePolicy, claims []*v1alpha1.NodeClaim) v1alpha1.NodeCharge {
	var total v1alpha1.NodeCharge
	present := make(map[string]struct{}, len(claims))
	for _, c := range claims {
		if c.Spec.Policy == policy.Name {
			present[c.Name] = struct{}{}
			add(&total, Charge(&c.Spec.Offer))
		}
	}
	for _, r := range policy.Status.Reservations {
		if _, ok := present[r.Claim]; !ok {
			add(&total, r.Charge)
		}
	}
	return total
}

// Charge is what one claim counts against limits: what its offer lets pods request, one node, and its price.
func Charge(offer *v1alpha1.ClaimedOffer) v1alpha1.NodeCharge {
	return v1alpha1.NodeCharge{
		CPU: offer.Allocatable[corev1.ResourceCPU], Memory: offer.Allocatable[corev1.ResourceMemory],
		Nodes: 1, PricePerHour: offer.PricePerHour,
	}
}

// Left is what may still be bought, for the planner. It is never negative.
func Left(policy *v1alpha1.NodePolicy, claims []*v1alpha1.NodeClaim) cluster.Limits {
	var left cluster.Limits
	l := policy.Spec.Limits
	if l == nil {
		return left
	}
	charged := Charged(policy, claims)
	if l.CPU != nil {
		v := max(0, l.CPU.MilliValue()-charged.CPU.MilliValue())
		left.MilliCPU = &v
	}
	if l.Memory != nil {
		v := max(0, l.Memory.Value()-charged.Memory.Value())
		left.Memory = &v
	}
	if l.Nodes != nil {
		v := max(0, int(*l.Nodes)-int(charged.Nodes))
		left.Nodes = &v
	}
	if l.PricePerHour != nil {
		rest := l.PricePerHour.DeepCopy()
		rest.Sub(charged.PricePerHour)
		v := max(0, rest.AsApproximateFloat64())
		left.PricePerHour = &v
	}
	return left
}

func add(total *v1alpha1.NodeCharge, more v1alpha1.NodeCharge) {
	total.CPU.Add(more.CPU)
	total.Memory.Add(more.Memory)
	total.PricePerHour.Add(more.PricePerHour)
	total.Nodes += more.Nodes
}

func subtract(total *v1alpha1.NodeCharge, less v1alpha1.NodeCharge) {
	total.CPU.Sub(less.CPU)
	total.Memory.Sub(less.Memory)
	total.PricePerHour.Sub(less.PricePerHour)
	total.Nodes -= less.Nodes
}

// within holds a total against a policy's limits.
func within(policy *v1alpha1.NodePolicy, owned, wanted v1alpha1.NodeCharge) error {
	l := policy.Spec.Limits
	if l == nil {
		return nil
	}
	if l.Nodes != nil && wanted.Nodes > *l.Nodes {
		return &LimitExceeded{Policy: policy.Name, Limit: "nodes", Owned: strconv.Itoa(int(owned.Nodes)), Wanted: strconv.Itoa(int(wanted.Nodes)), Max: strconv.Itoa(int(*l.Nodes))}
	}
	for _, q := range []struct {
		name          string
		owned, wanted resource.Quantity
		limit         *resource.Quantity
	}{
		{"cpu", owned.CPU, wanted.CPU, l.CPU},
		{"memory", owned.Memory, wanted.Memory, l.Memory},
		{"pricePerHour", owned.PricePerHour, wanted.PricePerHour, l.PricePerHour},
	} {
		if q.limit != nil && q.wanted.Cmp(*q.limit) > 0 {
			return &LimitExceeded{Policy: policy.Name, Limit: q.name, Owned: q.owned.String(), Wanted: q.wanted.String(), Max: q.limit.String()}
		}
	}
	return nil
}

// Price turns money per hour into a quantity, to a millionth and rounded up, so that what is charged is never less than what is paid.
// Prices that are negative or no number become 0.
func Price(perHour float64) resource.Quantity {
	if !(perHour > 0) || math.IsInf(perHour, 0) {
		return resource.Quantity{}
	}
	// What is within a billionth of a millionth is one: 0.1 must not become 0.100001.
	q, err := resource.ParseQuantity(strconv.FormatFloat(math.Ceil(perHour*1e6-1e-3)/1e6, 'f', 6, 64))
	if err != nil {
		return resource.Quantity{}
	}
	return q
}

// name is the deterministic name of a policy's claim.
func name(policy string, sequence int64) string {
	return policy + "-" + strconv.FormatInt(sequence, 10)
}

// sequenceOf is the number in the name of a policy's claim, 0 when it has none.
func sequenceOf(policy, claim string) int64 {
	digits, ok := strings.CutPrefix(claim, policy+"-")
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
