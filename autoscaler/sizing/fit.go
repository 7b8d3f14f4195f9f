package sizing

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// roleContainers are the containers of one role's pods, in the order of the manifest, init containers first. They are judged as a
// whole: what is scheduled and admitted is a pod.
type roleContainers struct {
	in   *Input
	list []*container
}

// value is a container's part in its pod's requests: what was decided, or what the manifest has where nothing was.
func (c *container) value(r corev1.ResourceName) float64 {
	if s := c.size(r); s != nil && s.known {
		return s.value
	}
	if q := amount(c.spec.Resources.Requests, r); q > 0 {
		return q
	}
	return amount(c.spec.Resources.Limits, r)
}

func (c *container) limitValue(r corev1.ResourceName) float64 {
	if s := c.size(r); s != nil && s.known {
		return s.limit
	}
	return amount(c.spec.Resources.Limits, r)
}

// movable returns the size that the rules may change, nil when the container's part stands.
func (c *container) movable(r corev1.ResourceName) *size {
	if s := c.size(r); s != nil && s.known {
		return s
	}
	return nil
}

// sums adds up what a pod asks for while it runs, apart into what may change and what stands.
func (p *roleContainers) sums(r corev1.ResourceName, value func(*container, corev1.ResourceName) float64) (movable, fixed float64) {
	for _, c := range p.list {
		switch {
		case !c.running():
		case c.movable(r) != nil:
			movable += value(c, r)
		default:
			fixed += value(c, r)
		}
	}
	return movable, fixed
}

func (p *roleContainers) resources() []corev1.ResourceName {
	var all []corev1.ResourceName
	for _, c := range p.list {
		for _, s := range c.sizes {
			if s.known {
				all = append(all, s.resource())
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// fit bounds the pods of a role by the namespace's limit ranges for pods and by the nodes that there are or could be.
func (p *roleContainers) fit() {
	for _, r := range p.resources() {
		eachRange(p.in.Bounds.Ranges, corev1.LimitTypePod, func(item *corev1.LimitRangeItem) { p.withinRange(r, item) })
	}
	p.boosts(p.node())
}

// withinRange keeps a pod's requests and limits within a limit range for pods.
func (p *roleContainers) withinRange(r corev1.ResourceName, item *corev1.LimitRangeItem) {
	const rule = "podRange"
	if most := amount(item.Max, r); most > 0 {
		reason := fmt.Sprintf("the namespace allows a pod %s at most", text(r, most))
		p.shrink(r, most, rule, "PodRangeMaximum", reason)
		p.squeeze(r, most, rule, "PodRangeMaximum", reason)
	}
	least := amount(item.Min, r)
	movable, fixed := p.sums(r, (*container).value)
	if least == 0 || movable == 0 || movable+fixed >= least {
		return
	}
	for _, c := range p.list {
		if s := c.movable(r); s != nil && c.running() {
			s.change(rule, "PodRangeMinimum", roundUp(r, s.value*(least-fixed)/movable),
				fmt.Sprintf("the namespace wants a pod to request %s at least", text(r, least)))
			s.settle()
		}
	}
}

// shrink brings what a pod requests down to a bound: containers that run together by the same share, and init containers one by one.
func (p *roleContainers) shrink(r corev1.ResourceName, bound float64, rule, code, reason string) {
	movable, fixed := p.sums(r, (*container).value)
	if movable+fixed > bound*(1+1e-9) {
		share := (bound - fixed) / movable
		for _, c := range p.list {
			s := c.movable(r)
			switch {
			case s == nil || !c.running():
			case share <= 0:
				s.judge(rule, decision.Hold, code, min(s.value, max(s.before, least(r))), reason+", which other containers take up")
			default:
				to := max(least(r), roundDown(r, s.value*share))
				s.change(rule, code, to, reason+s.wanted(to))
			}
			if s != nil {
				s.settle()
			}
		}
	}
	beside := 0.0
	for _, c := range p.list {
		if c.sidecar {
			beside += c.value(r)
		}
		if s := c.movable(r); s != nil && !c.running() && s.value > bound-beside {
			s.change(rule, code, max(least(r), roundDown(r, bound-beside)), reason)
			s.settle()
		}
	}
}

// cut is a limit whose sum is brought down to a bound: requests stay as far as they fit, what is above them is cut by the same share.
func cut(limit, request, limits, requests, bound float64) float64 {
	if requests >= bound || limits <= requests {
		return limit * bound / limits
	}
	return request + (limit-request)*(bound-requests)/(limits-requests)
}

// squeeze brings a pod's limits down to a bound.
func (p *roleContainers) squeeze(r corev1.ResourceName, bound float64, rule, code, reason string) {
	movable, fixed := p.sums(r, (*container).limitValue)
	if movable == 0 || movable+fixed <= bound*(1+1e-9) || bound <= fixed {
		return
	}
	requests := 0.0
	for _, c := range p.list {
		if s := c.movable(r); s != nil && c.running() && s.limit > 0 {
			requests += s.value
		}
	}
	for _, c := range p.list {
		if s := c.movable(r); s != nil && c.running() && s.limit > 0 {
			to := cut(s.limit, s.value, movable, requests, bound-fixed)
			s.cap(max(least(r), roundDown(r, to)), rule, code, reason)
		}
	}
}

// cap bounds a limit, and the request with it.
func (s *size) cap(limit float64, rule, code, reason string) {
	s.lowerCeiling(limit)
	s.change(rule, code, min(s.value, limit), reason+" of limits")
	s.settle()
}

// node keeps a pod schedulable: on the largest node that there is, or on the largest that could be had. It returns that node, nil when
// none is known.
func (p *roleContainers) node() corev1.ResourceList {
	bounds := &p.in.Bounds
	best, name := bounds.LargestNode, "the largest node"
	if bounds.NodeName != "" {
		name += ", " + bounds.NodeName + ","
	}
	if len(best) == 0 || p.room(bounds.LargestOffer) > p.room(best) {
		best, name = bounds.LargestOffer, "the largest node to be had"
	}
	if len(best) == 0 {
		return nil
	}
	for _, r := range p.resources() {
		room, known := best[r]
		if !known && r != corev1.ResourceCPU && r != corev1.ResourceMemory && !isHugePages(r) {
			// Not every node says how much storage it has; every one says what it has of the others.
			continue
		}
		has := amount(corev1.ResourceList{r: room}, r)
		p.shrink(r, (has-p.overhead(r))/p.surplus(r), "node", "LargestNode", fmt.Sprintf("%s has %s for a pod", name, text(r, has)))
	}
	return best
}

// room is how much of what a pod asks for a node has, of the resource of which it has the least; 0 when there is no node.
func (p *roleContainers) room(node corev1.ResourceList) float64 {
	if len(node) == 0 {
		return 0
	}
	least := 1.0
	for _, r := range p.resources() {
		movable, fixed := p.sums(r, (*container).value)
		if sum := (movable+fixed)*p.surplus(r) + p.overhead(r); sum > 0 {
			if _, ok := node[r]; ok {
				least = min(least, amount(node, r)/sum)
			}
		}
	}
	return least
}

func (p *roleContainers) overhead(r corev1.ResourceName) float64 {
	return amount(p.in.Template.Spec.Overhead, r)
}

// surplus is how much more a pod requests as a whole than its containers do together, as a factor of at least 1.
func (p *roleContainers) surplus(r corev1.ResourceName) float64 {
	own := p.in.Template.Spec.Resources
	if own == nil {
		return 1
	}
	declared := declaredSum(&p.in.Template.Spec, r)
	if whole := amount(own.Requests, r); whole > declared && declared > 0 {
		return whole / declared
	}
	return 1
}

// quota is what a namespace has left of one resource.
type quotaLeft struct {
	name     string
	resource corev1.ResourceName
	limits   bool
	left     float64
}

// quotas lists what the namespace's quotas leave to pods such as the target's.
func (in *Input) quotas() []quotaLeft {
	var all []quotaLeft
	for _, q := range in.Bounds.Quotas {
		if !quotaMatches(q, &in.Template.Spec) {
			continue
		}
		hard := q.Status.Hard
		if len(hard) == 0 {
			hard = q.Spec.Hard
		}
		for name := range hard {
			r, limits := strings.CutPrefix(string(name), "limits.")
			r = strings.TrimPrefix(r, "requests.")
			left := amountAs(hard, name, corev1.ResourceName(r)) - amountAs(q.Status.Used, name, corev1.ResourceName(r))
			all = append(all, quotaLeft{q.Name, corev1.ResourceName(r), limits, max(0, left)})
		}
	}
	slices.SortFunc(all, func(a, b quotaLeft) int {
		return strings.Compare(a.name+string(a.resource), b.name+string(b.resource))
	})
	return all
}

// amountAs reads a resource that stands under another name.
func amountAs(list corev1.ResourceList, name, r corev1.ResourceName) float64 {
	q, ok := list[name]
	if !ok {
		return 0
	}
	return amount(corev1.ResourceList{r: q}, r)
}

// quotaMatches reports whether a quota counts pods of this kind. A scope that is not known counts, to be on the safe side.
func quotaMatches(q *corev1.ResourceQuota, spec *corev1.PodSpec) bool {
	terminating := spec.ActiveDeadlineSeconds != nil
	for _, scope := range q.Spec.Scopes {
		switch {
		case scope == corev1.ResourceQuotaScopeTerminating && !terminating,
			scope == corev1.ResourceQuotaScopeNotTerminating && terminating,
			scope == corev1.ResourceQuotaScopeBestEffort:
			return false
		}
	}
	if q.Spec.ScopeSelector == nil {
		return true
	}
	for _, e := range q.Spec.ScopeSelector.MatchExpressions {
		if e.ScopeName != corev1.ResourceQuotaScopePriorityClass {
			continue
		}
		in := slices.Contains(e.Values, spec.PriorityClassName)
		switch e.Operator {
		case corev1.ScopeSelectorOpIn:
			if !in {
				return false
			}
		case corev1.ScopeSelectorOpNotIn:
			if in {
				return false
			}
		case corev1.ScopeSelectorOpExists:
			if spec.PriorityClassName == "" {
				return false
			}
		case corev1.ScopeSelectorOpDoesNotExist:
			if spec.PriorityClassName != "" {
				return false
			}
		}
	}
	return true
}

// fitQuotas keeps the growth of all pods together within what quotas leave, each container getting the same share of what it wants
// more. What others give back does not count before they have.
func fitQuotas(in *Input, all []*container) {
	for _, q := range in.quotas() {
		growth, urgent := 0.0, 0.0
		for i := range in.Pods {
			g, u := podGrowth(&in.Pods[i], all, q)
			growth, urgent = growth+g, urgent+u
		}
		if growth <= q.left*(1+1e-9) || growth == 0 {
			continue
		}
		// What answers kills comes first; the rest gets what that leaves.
		first, rest := 1.0, 0.0
		if urgent > q.left {
			first = q.left / urgent
		} else {
			rest = (q.left - urgent) / (growth - urgent)
		}
		kind := "requests"
		if q.limits {
			kind = "limits"
		}
		reason := fmt.Sprintf("quota %s leaves %s of %s to all pods, which want %s more", q.name, text(q.resource, q.left), kind, text(q.resource, growth))
		for _, c := range all {
			s := c.movable(q.resource)
			share := rest
			if s != nil && s.urgent {
				share = first
			}
			switch {
			case s == nil || !c.running() || share == 1:
			case q.limits && s.limit > s.requestLimit && s.requestLimit > 0:
				s.cap(max(s.requestLimit, roundDown(q.resource, s.requestLimit+(s.limit-s.requestLimit)*share)), "quota", "Quota", reason)
			case !q.limits && s.value > s.request:
				s.change("quota", "Quota", max(s.request, least(q.resource), roundDown(q.resource, s.request+(s.value-s.request)*share)), reason)
				s.settle()
			}
		}
	}
}

// podGrowth is how much more of a quota's resource a pod would take, and how much of that answers a kill for memory.
func podGrowth(p *Pod, all []*container, q quotaLeft) (growth, urgent float64) {
	if !lives(p.Object) {
		return 0, 0
	}
	for _, c := range all {
		s := c.movable(q.resource)
		if c.role != roleOf(p) || !c.running() || s == nil {
			continue
		}
		spec, _ := findContainer(&p.Object.Spec, c.spec.Name)
		if spec == nil {
			continue
		}
		more := max(0, s.value-amount(spec.Resources.Requests, q.resource))
		if q.limits {
			more = max(0, s.limit-amount(spec.Resources.Limits, q.resource))
		}
		growth += more
		if s.urgent {
			urgent += more
		}
	}
	return growth, urgent
}
