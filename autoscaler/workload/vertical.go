package workload

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/actuation"
	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/balance"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/usage"
)

// verticalMemory is what one policy's vertical decisions have in common.
type verticalMemory struct {
	tracker decision.Tracker
	sizing  sizing.Memory
	balance balance.Memory
	// references are what utilizations are percentages of.
	references []v1alpha1.UtilizationReference
	// memoryAt is when the target's use of memory was last looked at.
	memoryAt time.Time
	// sizes are those of the last decision, nil before the first.
	sizes      []sizing.ContainerSize
	sized      int32
	total      int32
	lastResize *metav1.Time
	// since is when the first decision was made.
	since time.Time
	// bounds are what the cluster allowed at boundsAt.
	bounds   sizing.Bounds
	boundsAt time.Time
}

// boundsLife is how long limit ranges, quotas and nodes are not looked at again.
const boundsLife = 5 * time.Second

// sizableTarget is the target of a vertical policy as this round found it.
type sizableTarget struct {
	Sizable
	pods []*corev1.Pod
	err  error
}

// readSizables reads the targets of all vertical policies and has their usage followed. It asks the cache only.
func (c *Controller) readSizables(ctx context.Context, r *round, policies []v1alpha1.WorkloadAutoscaler) {
	if c.deps.Usage == nil {
		return
	}
	r.sizables = map[types.NamespacedName]sizableTarget{}
	var targets []usage.Target
	for i := range policies {
		policy := &policies[i]
		if policy.Spec.Vertical == nil || policy.DeletionTimestamp != nil {
			continue
		}
		var t sizableTarget
		if t.Sizable, t.err = c.deps.Targets.Sizable(ctx, policy.Namespace, policy.Spec.TargetRef); t.err == nil {
			if t.pods, t.err = r.pods.matching(ctx, policy.Namespace, t.Selector); t.err != nil {
				t.err = &targetError{"PodsUnreadable", t.err}
			}
		}
		r.sizables[client.ObjectKeyFromObject(policy)] = t
		if t.err != nil {
			continue
		}
		followed := usage.TargetOf(policy, t.Template, t.pods, c.deps.Actuation.Changed)
		followed.Models = c.deps.Models(policy.Spec.Vertical)
		targets = append(targets, followed)
	}
	if c.deps.MoreUsage != nil {
		targets = append(targets, c.deps.MoreUsage(ctx)...)
	}
	c.deps.Usage.Update(r.tick.Now(), targets)
}

// decideVertical says what the containers of a policy's target should request, and carries it out. Together is how that goes with
// its replicas.
func (c *Controller) decideVertical(ctx context.Context, r *round, policy *v1alpha1.WorkloadAutoscaler, together *balance.Decision, m *memory) decision.Record {
	key := client.ObjectKeyFromObject(policy)
	target, ok := r.sizables[key]
	switch {
	case c.deps.Usage == nil || !ok:
		return c.failedVertical(policy, &targetError{"NotConfigured", fmt.Errorf("this autoscaler sizes nothing")})
	case target.err != nil:
		return c.failedVertical(policy, target.err)
	}
	now := r.tick.Now()
	view, ok := c.deps.Usage.View(usage.PolicyID(policy.Namespace, policy.Name), now)
	if !ok {
		return c.failedVertical(policy, &targetError{"TooManyContainers", fmt.Errorf("the usage of this target is not followed: autoscaler.usage.maxContainers is reached")})
	}
	for i := range view.Pods {
		p := &view.Pods[i]
		if change, ok := c.deps.Actuation.Change(p.Object); ok {
			p.Changed, p.Before, p.RolledBack = change.Time, change.From, change.RollBack
		}
	}
	v := &m.vertical
	if now.Sub(v.boundsAt) >= boundsLife || now.Before(v.boundsAt) {
		bounds, err := c.bounds.bounds(ctx, policy.Namespace, policy.Spec.TargetRef.Kind, target.Template, now)
		if err != nil {
			return c.failedVertical(policy, &targetError{"BoundsUnreadable", err})
		}
		v.bounds, v.boundsAt = bounds, now
	}
	capped(view.Readings, together)
	d := sizing.Decide(sizing.Input{
		Now: now, Policy: policy, Template: target.Template, Replicas: target.Replicas, Pods: view.Pods, Readings: view.Readings,
		Startups: view.Startups, Heaps: view.Heaps, Bounds: v.bounds, Owner: r.owners.otherSizer(policy),
		Brake: c.deps.Actuation.Brake(now), HoldCPU: together.HoldCPU, Memory: &v.sizing,
	})
	v.sizes, v.total = d.Sizes, countLiving(view.Pods)
	record := d.Record
	addBalance(&record, together)
	if policy.Spec.Mode == v1alpha1.Apply {
		record.Pods = c.deps.Actuation.Execute(ctx, actuation.Target{
			Policy: policy, Replicas: target.Replicas, Pods: view.Pods, Sizes: d.Sizes, Template: target.Template,
		}, d.Steps)
		concludeActions(&record, len(d.Steps), v.tracker.Last())
	} else {
		c.stopSizing(policy)
	}
	v.sized = countSized(view.Pods, d.Steps, d.Sizes, tolerance(policy.Spec.Vertical))
	if record.Sized() && accepts(&record, v.tracker.Last()) {
		at := metav1.NewTime(now)
		v.lastResize = &at
		c.deps.Metrics.changes.WithLabelValues(string(record.Outcome)).Inc()
	}
	return record
}

// stopSizing lets go of what is remembered about pods that are not sized, or not any more.
func (c *Controller) stopSizing(policy *v1alpha1.WorkloadAutoscaler) {
	if c.deps.Actuation != nil {
		c.deps.Actuation.Forget(policy.Namespace, policy.Name)
	}
}

// quietTime is how long it is no news that nothing is known yet: usage is read in the background when a policy or a leader begins.
const quietTime = 10 * time.Second

// quiet reports whether a record is not worth telling, since it is about the time in which the first usage is being read.
func (m *verticalMemory) quiet(record *decision.Record) bool {
	if m.since.IsZero() {
		m.since = record.Time
	}
	early := strings.HasPrefix(record.Code, "Signal") || record.Code == "OwnedElsewhere" && unknownOwner(record.Reason)
	return m.tracker.Last() == nil && record.Outcome == decision.Held && early && record.Time.Sub(m.since) < quietTime
}

// addBalance says in a record how sizes go with replicas.
func addBalance(record *decision.Record, together *balance.Decision) {
	if together.Reason == "" {
		return
	}
	v := decision.Verdict{Rule: "growth", Action: decision.Pass, Code: together.Code, Reason: fmt.Sprintf("more load is met with %s: %s", lower(together.Growth), together.Reason)}
	if together.Growth == "" {
		v.Reason = together.Reason
	}
	record.Verdicts = append(record.Verdicts, v)
	for _, move := range together.Moves {
		record.Verdicts = append(record.Verdicts, decision.Verdict{Rule: "reference", Action: decision.Change, Code: move.Code,
			Reason: fmt.Sprintf("100%% of objective %s means another request: %s", move.Objective, move.Reason)})
	}
}

func lower(g v1alpha1.Growth) string { return strings.ToLower(string(g)) }

// asked reports whether an action has only been asked for: what comes of it is not known yet.
func asked(a *decision.PodAction) bool {
	return a.Result == decision.Pending && (a.Code == "Queued" || a.Code == "Sent")
}

// concludeActions brings a record, which supposes that every step succeeds, in line with what came of them. The actions on the
// steps come first in it; those after them are the ends of earlier ones. Before is the record before it, nil when there is none.
func concludeActions(record *decision.Record, steps int, before *decision.Record) {
	if steps == 0 || !record.Sized() {
		return
	}
	var done, replaced int
	var worst, waiting *decision.PodAction
	for i := range record.Pods[:min(steps, len(record.Pods))] {
		a := &record.Pods[i]
		switch {
		case asked(a):
			waiting = a
		case a.Result == decision.Done || a.Result == decision.Pending:
			done++
			if a.Method != decision.InPlace {
				replaced++
			}
		case worst == nil || gravity(a.Result) > gravity(worst.Result):
			worst = a
		}
	}
	wanted := afterColon(record.Reason)
	switch {
	case done > 0:
		if replaced == done && record.Outcome == decision.Resized {
			record.Outcome = decision.Recreated
		}
		if done < steps {
			record.Reason = fmt.Sprintf("%s %d of %d pods: %s", outcomeWords[record.Outcome], done, steps, wanted)
		}
		if worst != nil {
			record.Reason += fmt.Sprintf("; not pod %s: %s", worst.Pod, worst.Reason)
		}
	case worst != nil:
		record.Outcome = decision.Held
		if worst.Result == decision.Refused {
			record.Outcome = decision.Failed
		}
		record.Code = cmp.Or(worst.Code, string(worst.Result))
		record.Reason = fmt.Sprintf("%s: pod %s: %s; wanted: %s", record.Outcome, worst.Pod, worst.Reason, wanted)
	case waiting != nil:
		// Nothing has changed yet. What was told before still holds, or else it would come and go with every try.
		record.Outcome, record.Code = decision.Held, waiting.Code
		record.Reason = fmt.Sprintf("Held: pod %s: %s; wanted: %s", waiting.Pod, waiting.Reason, wanted)
		if before != nil && before.Outcome == decision.Held {
			record.Code, record.Reason = before.Code, before.Reason
		}
	}
}

// accepts reports whether something was accepted that was not when the record before it was made, nil when there is none.
func accepts(record, before *decision.Record) bool {
	known := map[[2]string]bool{}
	if before != nil {
		for i := range before.Pods {
			if a := &before.Pods[i]; !asked(a) && (a.Result == decision.Done || a.Result == decision.Pending) {
				known[[2]string{a.Pod, string(a.Method)}] = true
			}
		}
	}
	for i := range record.Pods {
		if a := &record.Pods[i]; !asked(a) && (a.Result == decision.Done || a.Result == decision.Pending) && !known[[2]string{a.Pod, string(a.Method)}] {
			return true
		}
	}
	return false
}

// outcomeWords begin the sentences about what was done.
var outcomeWords = map[decision.Outcome]string{
	decision.Resized: "Resized", decision.Recreated: "Recreated", decision.RolledBack: "Rolled back",
}

func gravity(r decision.Result) int {
	switch r {
	case decision.Refused:
		return 4
	case decision.Infeasible:
		return 3
	case decision.Blocked:
		return 2
	}
	return 1
}

// countSized is how many pods request what they should, or nearly so.
func countSized(pods []sizing.Pod, steps []sizing.Step, sizes []sizing.ContainerSize, tolerance float64) int32 {
	waiting := make(map[types.UID]struct{}, len(steps))
	for i := range steps {
		waiting[steps[i].Pod.UID] = struct{}{}
	}
	var sized int32
	for i := range pods {
		if !lives(pods[i].Object) {
			continue
		}
		if _, waits := waiting[pods[i].Object.UID]; !waits && fits(&pods[i], sizes, tolerance) {
			sized++
		}
	}
	return sized
}

// lives reports whether a pod may still be given another size: those of a Job that have ended are kept for a while.
func lives(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

func countLiving(pods []sizing.Pod) (n int32) {
	for i := range pods {
		if lives(pods[i].Object) {
			n++
		}
	}
	return n
}

// fits reports whether a pod requests what it should, or nearly so.
func fits(pod *sizing.Pod, sizes []sizing.ContainerSize, tolerance float64) bool {
	for i := range sizes {
		size := &sizes[i]
		if size.Role != cmp.Or(pod.Role, sizing.DefaultRole) {
			continue
		}
		for j := range pod.Object.Spec.Containers {
			if c := &pod.Object.Spec.Containers[j]; c.Name == size.Container && !near(c.Resources.Requests, size.Requests, tolerance) {
				return false
			}
		}
		for j := range pod.Object.Spec.InitContainers {
			// An init container that has done its work has no size any more.
			c := &pod.Object.Spec.InitContainers[j]
			if sidecar := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways; sidecar && c.Name == size.Container &&
				!near(c.Resources.Requests, size.Requests, tolerance) {
				return false
			}
		}
	}
	return true
}

// near reports whether requests are what they should be, or differ by no more than a fraction of themselves.
func near(have, want corev1.ResourceList, tolerance float64) bool {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} { // what a running pod can be given
		w, ok := want[name]
		if !ok {
			continue
		}
		h := have[name]
		if difference := w.AsApproximateFloat64() - h.AsApproximateFloat64(); math.Abs(difference) > tolerance*h.AsApproximateFloat64() {
			return false
		}
	}
	return true
}

// defaultTolerance is what a policy tolerates that does not say.
const defaultTolerance = 0.1

func tolerance(policy *v1alpha1.VerticalPolicy) float64 {
	if policy.Tolerance == nil {
		return defaultTolerance
	}
	return policy.Tolerance.AsApproximateFloat64()
}

// failedVertical is the record of a vertical evaluation that could not even read its target.
func (c *Controller) failedVertical(policy *v1alpha1.WorkloadAutoscaler, err error) decision.Record {
	record := c.failed(policy, err)
	record.Direction, record.MinReplicas, record.MaxReplicas = decision.Vertical, 0, 0
	return record
}

// afterColon is a reason without the words before its first colon, which name the outcome.
func afterColon(reason string) string {
	for i := range len(reason) - 1 {
		if reason[i] == ':' {
			return reason[i+2:]
		}
	}
	return reason
}
