package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// planReport is what is printed. The names of its fields are an interface: scripts read them.
type planReport struct {
	Create        []createdNode  `json:"create"`
	Remove        []string       `json:"remove"`
	Unschedulable []waitingPod   `json:"unschedulable"`
	Cost          planCost       `json:"cost"`
	PlanSeconds   float64        `json:"planSeconds"`
	Removals      []removal      `json:"removals"`
	Stays         []stayingNode  `json:"stays"`
	Placed        []placedPod    `json:"placed"`
	Preempting    []placedPod    `json:"preempting"`
	Ignored       map[string]int `json:"ignored"`

	nodes, pending int
}

type createdNode struct {
	Offer        string              `json:"offer"`
	Zone         string              `json:"zone"`
	CapacityType string              `json:"capacityType"`
	Pods         []string            `json:"pods"`
	Policy       string              `json:"policy,omitempty"`
	Group        string              `json:"group,omitempty"`
	PricePerHour float64             `json:"pricePerHour"`
	Requests     corev1.ResourceList `json:"requests"`
	Allocatable  corev1.ResourceList `json:"allocatable"`
	Reason       string              `json:"reason"`
}

type removal struct {
	Nodes  []string `json:"nodes"`
	Reason string   `json:"reason"`
	Code   string   `json:"code"`
	Why    string   `json:"why"`
	Saving float64  `json:"saving"`
}

type stayingNode struct {
	Node   string `json:"node"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

type waitingPod struct {
	Pod     string   `json:"pod"`
	Reasons []string `json:"reasons"`
}

type placedPod struct {
	Pod  string `json:"pod"`
	Node string `json:"node"`
}

type planCost struct {
	Before     float64 `json:"before"`
	After      float64 `json:"after"`
	LowerBound float64 `json:"lowerBound"`
	Bound      string  `json:"bound,omitempty"`
}

// newPlanReport makes lists in a steady order, and never null.
func newPlanReport(f *fleet, p *fleetPlan) *planReport {
	r := &planReport{
		Create: []createdNode{}, Remove: append([]string{}, p.removed...), Unschedulable: []waitingPod{}, Removals: []removal{},
		Stays: []stayingNode{}, Placed: placements(p.Placed), Preempting: placements(p.Preempting), Ignored: f.ignored,
		Cost:        planCost{p.Cost.Before, p.Cost.After, p.Cost.LowerBound, p.Cost.Bound},
		PlanSeconds: p.took.Seconds(), nodes: len(f.objects.nodes),
	}
	for _, n := range p.Create {
		policy := n.Offer.Policy
		r.Create = append(r.Create, createdNode{
			Offer: n.Offer.Name, Zone: n.Offer.Zone, CapacityType: n.Offer.CapacityType, Pods: podNames(n.Pods), Policy: policy,
			Group: n.Offer.Group, PricePerHour: n.Offer.PricePerHour, Requests: n.Requests, Allocatable: n.Offer.Allocatable, Reason: n.Reason,
		})
	}
	for _, u := range p.Unschedulable {
		reasons := []string{}
		for _, reason := range u.Reasons {
			reasons = append(reasons, reason.Message)
		}
		r.Unschedulable = append(r.Unschedulable, waitingPod{u.Pod.String(), reasons})
	}
	for _, m := range p.moves {
		r.Removals = append(r.Removals, removal{m.Remove, string(m.Reason), m.Code, m.Message, m.Saving})
	}
	for _, name := range slices.Sorted(maps.Keys(p.stays)) {
		if !slices.Contains(r.Remove, name) {
			r.Stays = append(r.Stays, stayingNode{name, p.stays[name].Code, p.stays[name].Message})
		}
	}
	for _, pod := range f.objects.pods {
		if pod.Spec.NodeName == "" {
			r.pending++
		}
	}
	return r
}

func placements(of []cluster.Placement) []placedPod {
	placed := make([]placedPod, 0, len(of))
	for _, p := range of {
		placed = append(placed, placedPod{p.Pod.NamespacedName.String(), p.Node})
	}
	return placed
}

func podNames(refs []cluster.PodRef) []string {
	names := make([]string, 0, len(refs))
	for _, ref := range refs {
		names = append(names, ref.NamespacedName.String())
	}
	return names
}

// shownPods bounds how many names a line of text has.
const shownPods = 4

// writeText is for people: what is bought is put together by offer and reason.
func (r *planReport) writeText(w io.Writer) {
	fmt.Fprintf(w, "%s, %s pending: %s to buy, %s to remove, %s on nodes that there are, %s without a place\n",
		amountWord(r.nodes, "node"), amountWord(r.pending, "pod"), amountWord(len(r.Create), "node"), amountWord(len(r.Remove), "node"),
		amountWord(len(r.Placed), "pod"), amountWord(len(r.Unschedulable), "pod"))
	fmt.Fprintf(w, "Cost per hour: %s now, %s afterwards; %s\n", price(r.Cost.Before), price(r.Cost.After), r.distance())
	r.writeCreate(w)
	r.writeRemovals(w)
	r.writePlaced(w, "On nodes that there are", r.Placed)
	r.writePlaced(w, "On nodes where the scheduler makes room by preemption", r.Preempting)
	r.writeUnschedulable(w)
	r.writeStays(w)
	if len(r.Ignored) > 0 {
		fmt.Fprint(w, "\nNot looked at\n")
		for _, kind := range slices.Sorted(maps.Keys(r.Ignored)) {
			fmt.Fprintf(w, "  %d %s\n", r.Ignored[kind], kind)
		}
	}
}

// distance is how far the plan may be from the best one.
func (r *planReport) distance() string {
	bound := r.Cost.LowerBound
	by := ""
	if r.Cost.Bound != "" {
		by = " (" + r.Cost.Bound + ")"
	}
	switch {
	case bound <= 0:
		return "nothing need cost anything"
	case r.Cost.After <= bound*(1+1e-9):
		return fmt.Sprintf("no plan is below %s%s, so none is better", price(bound), by)
	}
	return fmt.Sprintf("no plan is below %s%s, so this one is at most %.1f%% above the best", price(bound), by, (r.Cost.After/bound-1)*100)
}

func (r *planReport) writeCreate(w io.Writer) {
	if len(r.Create) == 0 {
		return
	}
	type key struct{ offer, zone, capacity, policy string }
	groups := map[key][]createdNode{}
	var order []key
	for _, n := range r.Create {
		k := key{n.Offer, n.Zone, n.CapacityType, n.Policy}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], n)
	}
	slices.SortStableFunc(order, func(a, b key) int {
		return cmp.Or(cmp.Compare(len(groups[b]), len(groups[a])), cmp.Compare(a.offer, b.offer), cmp.Compare(a.zone, b.zone), cmp.Compare(a.capacity, b.capacity))
	})
	fmt.Fprint(w, "\nBuy\n")
	for _, k := range order {
		nodes := groups[k]
		var pods []string
		cost := 0.0
		for _, n := range nodes {
			pods = append(pods, n.Pods...)
			cost += n.PricePerHour
		}
		fmt.Fprintf(w, "  %d x %s", len(nodes), k.offer)
		for _, part := range []string{k.zone, k.capacity} {
			if part != "" {
				fmt.Fprintf(w, ", %s", part)
			}
		}
		if k.policy != "" {
			fmt.Fprintf(w, ", under %s", k.policy)
		}
		fmt.Fprintf(w, ": %s an hour, %s (%s)\n", price(cost), amountWord(len(pods), "pod"), some(pods))
		fmt.Fprintf(w, "      %s%s\n", used(nodes), more(len(nodes)))
		fmt.Fprintf(w, "      %s\n", nodes[0].Reason)
	}
}

func more(nodes int) string {
	if nodes == 1 {
		return ""
	}
	return " over all; the first:"
}

// used is the share of what is bought that is requested.
func used(nodes []createdNode) string {
	var parts []string
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods} {
		var requested, there float64
		for _, n := range nodes {
			q, a := n.Requests[name], n.Allocatable[name]
			if name == corev1.ResourcePods && q.IsZero() {
				requested += float64(len(n.Pods))
			}
			requested += q.AsApproximateFloat64()
			there += a.AsApproximateFloat64()
		}
		if there > 0 {
			parts = append(parts, fmt.Sprintf("%s %.0f%%", name, requested/there*100))
		}
	}
	return "requested of it: " + strings.Join(parts, ", ")
}

func (r *planReport) writeRemovals(w io.Writer) {
	if len(r.Removals) == 0 {
		return
	}
	fmt.Fprint(w, "\nRemove\n")
	for _, m := range r.Removals {
		fmt.Fprintf(w, "  %s: saves %s an hour\n      %s\n", strings.Join(m.Nodes, ", "), price(m.Saving), m.Why)
	}
}

func (r *planReport) writePlaced(w io.Writer, title string, placed []placedPod) {
	if len(placed) == 0 {
		return
	}
	byNode := map[string][]string{}
	for _, p := range placed {
		byNode[p.Node] = append(byNode[p.Node], p.Pod)
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, node := range slices.Sorted(maps.Keys(byNode)) {
		fmt.Fprintf(w, "  %s: %s (%s)\n", node, amountWord(len(byNode[node]), "pod"), some(byNode[node]))
	}
}

func (r *planReport) writeUnschedulable(w io.Writer) {
	if len(r.Unschedulable) == 0 {
		return
	}
	// Pods of one workload share their reasons.
	byReasons := map[string][]string{}
	var order []string
	for _, u := range r.Unschedulable {
		k := strings.Join(u.Reasons, "\n      ")
		if byReasons[k] == nil {
			order = append(order, k)
		}
		byReasons[k] = append(byReasons[k], u.Pod)
	}
	fmt.Fprint(w, "\nWithout a place\n")
	for _, k := range order {
		fmt.Fprintf(w, "  %s\n      %s\n", some(byReasons[k]), cmp.Or(k, "no reason was found"))
	}
}

func (r *planReport) writeStays(w io.Writer) {
	if len(r.Stays) == 0 {
		return
	}
	byReason := map[string][]string{}
	for _, s := range r.Stays {
		byReason[s.Reason] = append(byReason[s.Reason], s.Node)
	}
	fmt.Fprint(w, "\nStay\n")
	reasons := slices.SortedFunc(maps.Keys(byReason), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(byReason[b]), len(byReason[a])), cmp.Compare(byReason[a][0], byReason[b][0]))
	})
	for _, reason := range reasons {
		fmt.Fprintf(w, "  %s: %s\n", some(byReason[reason]), reason)
	}
}

func some(names []string) string {
	if len(names) <= shownPods {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shownPods], ", "), len(names)-shownPods)
}

func amountWord(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func price(v float64) string { return fmt.Sprintf("%.4f", v) }
