package upgrade

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// Defaults of v1alpha1.NodeUpgrade.
const (
	DefaultMaxSurge = 1
	DefaultSoakTime = 30 * time.Second
	// defaultBootTimeout is that of v1alpha1.NodeRepair.
	defaultBootTimeout = 15 * time.Minute
)

// Decide judges every node of one policy once. It changes the input's Memory and nothing else.
func Decide(in Input) Decision {
	out := Decision{Stays: make(map[string]disruption.Stay)}
	if in.Policy == nil {
		return out
	}
	if in.Memory == nil {
		in.Memory = NewMemory()
	}
	d := &deciding{in: &in, out: &out, spec: in.Policy.Spec.Upgrade, renewing: make(map[string]bool)}
	var invalid error
	d.template, invalid = newTemplate(in.Policy)
	if invalid != nil {
		d.template = &template{NodeTemplate: in.Policy.Spec.Template}
	}
	d.rollout = in.Memory.of(in.Policy.Name, d.template.hash)
	d.survey()
	d.hold(invalid)
	d.order()
	for i := range d.nodes {
		d.judge(&d.nodes[i])
	}
	d.report()
	return out
}

// deciding is a decision in the making.
type deciding struct {
	in       *Input
	out      *Decision
	spec     *v1alpha1.NodeUpgrade
	template *template
	rollout  *rollout
	nodes    []subject
	// renewing are the claims that new nodes are made for, while the new ones are not trusted yet.
	renewing map[string]bool
	// surging are renewals under way, in the zones of busy.
	surging int
	busy    map[string]bool
	// turn is the zone whose nodes may be renewed now.
	turn string
	// total and disrupted are nodes that take pods, and those that do not or will not.
	total, disrupted int
	differing        int
	updated          int
	stop             *hold
	// futile is a difference that another node would have too, failed the newest failure of a new node.
	futile, failed string
}

// subject is a node of the policy.
type subject struct {
	*Node
	differences []Difference
	ready       bool
	// soaked is true once a node has been ready for long enough, or was not made in place of another one.
	soaked bool
	soak   time.Duration
	// replaces is a claim that is still there, and that this node takes the place of.
	replaces string
}

// survey looks at the policy's nodes, and at what is under way.
func (d *deciding) survey() {
	claims := make(map[string]*Node, len(d.in.Nodes))
	for i := range d.in.Nodes {
		n := &d.in.Nodes[i]
		if n.policy() != d.in.Policy.Name || (n.Node == nil && n.Claim == nil) {
			continue
		}
		if n.Claim != nil {
			claims[n.Claim.Name] = n
		}
		d.nodes = append(d.nodes, subject{Node: n})
	}
	soak, boot := d.times()
	d.busy = make(map[string]bool)
	pending := make(map[string]bool)
	for i := range d.nodes {
		s := &d.nodes[i]
		since, ready := s.readySince()
		s.ready, s.soaked = ready, true
		if s.isReplacement() {
			// A time of readiness in the future is of a clock that is ahead: it has just begun.
			s.soak = max(0, min(soak, soak-d.in.Now.Sub(since)))
			if s.soaked = ready && s.soak == 0; !ready {
				s.soak = soak
			}
			d.replacement(s, claims, pending, boot)
		}
		if !s.booting() {
			s.differences = d.template.compare(s.Node)
			d.count(s, pending)
		}
		d.try(s, boot)
	}
	for name := range pending {
		d.surging++
		d.busy[claims[name].zone()] = true
	}
}

func (d *deciding) times() (soak, boot time.Duration) {
	soak, boot = DefaultSoakTime, defaultBootTimeout
	if d.spec != nil && d.spec.SoakTime != nil {
		soak = d.spec.SoakTime.Duration
	}
	if r := d.in.Policy.Spec.Repair; r != nil && r.BootTimeout != nil {
		boot = r.BootTimeout.Duration
	}
	return soak, boot
}

func (s *subject) isReplacement() bool { return s.Claim != nil && len(s.Claim.Spec.Replaces) > 0 }

// replacement counts a renewal as under way as long as the old node is there, or the new one is not trusted yet.
func (d *deciding) replacement(s *subject, claims map[string]*Node, pending map[string]bool, boot time.Duration) {
	if s.leaving() {
		return
	}
	for _, old := range s.Claim.Spec.Replaces {
		if o := claims[old]; o != nil {
			s.replaces = old
			if why := o.Claim.Status.Disruption; why == nil || why.Reason == v1alpha1.DisruptDrifted {
				d.renewing[old], pending[old] = true, true
			}
		}
	}
	if s.replaces == "" && !s.soaked && d.in.Now.Sub(s.created()) < trial+boot && d.template.made(s.Node) {
		pending[s.Claim.Name] = true
	}
}

// count counts the node for budgets and for the progress.
func (d *deciding) count(s *subject, pending map[string]bool) {
	d.total++
	if s.leaving() || !s.ready {
		d.disrupted++
	}
	drifted := s.Claim != nil && s.Claim.Status.Disruption != nil && s.Claim.Status.Disruption.Reason == v1alpha1.DisruptDrifted
	switch {
	case drifted:
		d.differing++
		d.renewing[s.Claim.Name], pending[s.Claim.Name] = true, true
	case s.leaving():
		// It goes for another reason, and is not renewed.
	case len(s.differences) > 0 && s.Claim != nil:
		d.differing++
	case s.Claim != nil && s.replaces == "":
		d.updated++
	}
}

// try finds new nodes that fail, and differences that the next node would have too.
func (d *deciding) try(s *subject, boot time.Duration) {
	if s.Claim == nil || !d.template.made(s.Node) {
		return
	}
	fresh := s.isReplacement() && d.in.Now.Sub(s.created()) < trial+boot
	if why := failure(d.in, s.Node, boot); fresh && why != "" {
		d.rollout.fails(s.Claim.Name, d.in.Now)
		d.failed = s.name() + ": " + why
	}
	for _, x := range s.differences {
		if x.Code == "Version" || x.Code == "Image" {
			d.futile = fmt.Sprintf("node %s was made from this very template, and %s: another one would be no better", s.name(), x.Message)
		}
	}
	// Requirements are no part of the template: they have become others since.
	at := slices.IndexFunc(s.differences, func(x Difference) bool { return x.Code != "Requirements" })
	if fresh && at >= 0 && !s.leaving() {
		d.rollout.fails(s.Claim.Name, d.in.Now)
		d.failed = s.name() + ": it was made in place of another node, and " + s.differences[at].Message
	}
}

// hold finds what stops the renewal of all further nodes.
func (d *deciding) hold(invalid error) {
	if d.spec == nil || d.differing == 0 && d.surging == 0 && !d.spec.ControlPlane {
		return
	}
	if invalid != nil {
		d.stop = holds("InvalidPolicy", "the policy cannot be understood: %v", invalid)
		return
	}
	for _, find := range []func() *hold{d.outsideWindows, d.pausedByQuery, d.failing, d.futility} {
		if d.stop = find(); d.stop != nil {
			return
		}
	}
	d.out.ControlPlane, d.stop = d.controlPlane()
}

func (d *deciding) outsideWindows() *hold {
	open, why, err := disruption.InWindow(d.spec.Windows, d.in.Now)
	switch {
	case err != nil:
		return holds("InvalidWindow", "the windows cannot be read: %v", err)
	case !open:
		return holds("Window", "%s", why)
	}
	return nil
}

// pausedByQuery stops for a query that is above 0, and for one that has no answer: who asked for a brake wants to know that it is free.
func (d *deciding) pausedByQuery() *hold {
	for i := range d.spec.PauseOn {
		name := d.spec.PauseOn[i].Name
		if why := d.in.Pauses[name].pauses(); why != "" {
			return holds("PauseOn", "%s %s", name, why)
		}
	}
	return nil
}

func (d *deciding) failing() *hold {
	if names := d.rollout.recent(d.in.Now); len(names) >= maxFailed {
		text := fmt.Sprintf("%d new nodes have failed within %s (%s)", len(names), span(trial), strings.Join(names[:min(len(names), 5)], ", "))
		if d.failed != "" {
			text += "; " + d.failed
		}
		return holds("NewNodesFail", "%s", text)
	}
	return nil
}

func (d *deciding) futility() *hold {
	if d.futile == "" {
		return nil
	}
	return holds("Futile", "%s", d.futile)
}

// order puts nodes into the order in which they are renewed: sick ones first, then zone by zone, the oldest first. The zone whose turn it
// is has a renewal under way; else it is the first one with a node that could be renewed.
func (d *deciding) order() {
	slices.SortFunc(d.nodes, func(a, b subject) int {
		if (a.Unhealthy != "") != (b.Unhealthy != "") {
			if a.Unhealthy != "" {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.zone(), b.zone()), a.created().Compare(b.created()), cmp.Compare(a.name(), b.name()))
	})
	first, found := "", false
	for zone := range d.busy {
		if !found || zone < first {
			first, found = zone, true
		}
	}
	for i := range d.nodes {
		if s := &d.nodes[i]; !found && s.Unhealthy == "" && d.renewable(s) {
			first, found = s.zone(), true
		}
	}
	d.turn = first
}

// report says how far it has come.
func (d *deciding) report() {
	if d.spec == nil || d.differing == 0 && d.surging == 0 {
		// Nothing is to be done: the next rollout has a pace of its own.
		d.rollout.working, d.rollout.done, d.rollout.last, d.rollout.updated = 0, 0, time.Time{}, -1
		return
	}
	d.rollout.pace(d.in.Now, d.updated, d.stop == nil)
	started := metav1.NewTime(d.in.Now)
	if s := d.in.Policy.Status.Upgrade; s != nil && s.Started != nil {
		started = *s.Started
	}
	status := &v1alpha1.UpgradeStatus{Total: int32(d.updated + d.differing), Updated: int32(d.updated), Started: &started}
	if d.stop != nil {
		d.out.Paused, status.Paused = d.stop.code, d.stop.message
	}
	if need, ok := d.rollout.needs(d.differing); ok && (d.stop == nil || d.stop.code == "Window") {
		if at, err := disruption.AfterOpen(d.spec.Windows, d.in.Now, need); err == nil && !at.IsZero() {
			status.EstimatedCompletion = &metav1.Time{Time: at}
		}
	}
	d.out.Status = status
}

// surge is how many nodes may be renewed at a time.
func (d *deciding) surge() (int, error) {
	if d.spec.MaxSurge == nil {
		return DefaultMaxSurge, nil
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(d.spec.MaxSurge, d.total, true)
	if err != nil {
		return 0, fmt.Errorf("maxSurge: %w", err)
	}
	return max(n, 1), nil
}

// span is a duration for people: whole seconds.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	if d < time.Minute || d%time.Minute != 0 {
		return d.String()
	}
	return strings.TrimSuffix(d.String(), "0s")
}
