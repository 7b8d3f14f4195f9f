package sizing

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// idleHeap is the share of a running container's memory that has to be of no use before a pod is replaced for it alone.
const idleHeap = 0.25

const (
	// settled is how old a pod has to be to be replaced for its size alone, unless the policy says otherwise. Were its successor
	// created without the new size, because no webhook answered, it would be replaced again at once.
	settled = time.Hour
	// patience is how long a node may defer a resize before the pod is replaced for it.
	patience = 5 * time.Minute
)

// plan is a step with what it is ordered by.
type plan struct {
	Step
	// harm is how badly the pod needs it: more than 1 for what it lacks, less for what it wastes.
	harm float64
}

// hindrance says why a pod does not get a size that it should have.
type hindrance struct{ code, reason string }

// planner makes steps of sizes.
type planner struct {
	in    *Input
	all   []*container
	undo  map[types.UID]*restored
	plans []plan
	// held are the reasons for which pods keep what they have.
	held []hindrance
}

// steps lists what should be done to single pods: urgent ones first, then what lacks most, then what wastes most.
func (p *planner) steps() []Step {
	for i := range p.in.Pods {
		p.pod(&p.in.Pods[i])
	}
	slices.SortStableFunc(p.plans, func(a, b plan) int {
		if a.Urgent != b.Urgent {
			if a.Urgent {
				return -1
			}
			return 1
		}
		if c := cmp.Compare(b.harm, a.harm); c != 0 {
			return c
		}
		return strings.Compare(a.Pod.Name, b.Pod.Name)
	})
	quotas := p.in.quotas()
	steps := make([]Step, 0, len(p.plans))
	for i := range p.plans {
		if p.admitted(&p.plans[i].Step, quotas) {
			steps = append(steps, p.plans[i].Step)
		}
	}
	return steps
}

// admitted reports whether quotas leave room for a step after those before it, and takes that room. The sizes were made to fit; this is
// for pods that have less than the others of their role.
func (p *planner) admitted(step *Step, quotas []quotaLeft) bool {
	growth := make([]float64, len(quotas))
	for i := range quotas {
		for name, to := range step.Containers {
			spec, _ := findContainer(&step.Pod.Spec, name)
			have, want := spec.Resources.Requests, to.Requests
			if quotas[i].limits {
				have, want = spec.Resources.Limits, to.Limits
			}
			growth[i] += amount(want, quotas[i].resource) - amount(have, quotas[i].resource)
		}
		if growth[i] > quotas[i].left*(1+1e-9) {
			p.held = append(p.held, hindrance{"Quota", fmt.Sprintf("quota %s leaves no room for pod %s", quotas[i].name, step.Pod.Name)})
			return false
		}
	}
	for i := range quotas {
		quotas[i].left -= max(0, growth[i])
	}
	return true
}

// resizable reports whether a pod is one that the API server and its node would resize.
func resizable(pod *corev1.Pod) bool {
	if !lives(pod) || pod.Status.Phase != corev1.PodRunning {
		return false
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return false
	}
	return pod.Spec.OS == nil || pod.Spec.OS.Name != corev1.Windows
}

// supported reports whether the pod's node can resize: it says what its containers have.
func supported(pod *corev1.Pod) bool {
	for i := range pod.Status.ContainerStatuses {
		if s := &pod.Status.ContainerStatuses[i]; s.State.Running != nil {
			return s.Resources != nil
		}
	}
	return true
}

// pod plans what one pod gets.
func (p *planner) pod(pod *Pod) {
	if !resizable(pod.Object) {
		return
	}
	w := &podPlan{planner: p, pod: pod, containers: map[string]corev1.ResourceRequirements{}}
	undo := p.undo[pod.Object.UID]
	for _, c := range p.all {
		if c.role != roleOf(pod) || !c.running() {
			continue
		}
		if spec, _ := findContainer(&pod.Object.Spec, c.spec.Name); spec != nil {
			w.container(c, spec)
		}
	}
	if undo != nil {
		w.undo(undo)
	}
	w.finish()
}

// podPlan is the plan for one pod while it is made.
type podPlan struct {
	*planner
	pod        *Pod
	containers map[string]corev1.ResourceRequirements
	idle       map[string]corev1.ResourceRequirements
	changes    []string
	harm       float64
	urgent     bool
	undone     *restored
}

// container finds out what one container should have instead of what it has.
func (w *podPlan) container(c *container, spec *corev1.Container) {
	to := spec.Resources
	changed := false
	for _, s := range c.sizes {
		if !s.known || (s.resource() != corev1.ResourceCPU && s.resource() != corev1.ResourceMemory) {
			continue
		}
		request, limit, ok := w.size(c, s, spec)
		if !ok {
			continue
		}
		if !changed {
			to, changed = *spec.Resources.DeepCopy(), true
		}
		set(&to.Requests, s.resource(), request)
		if limit > 0 {
			set(&to.Limits, s.resource(), limit)
		}
		w.note(s, amount(spec.Resources.Requests, s.resource()), request)
	}
	if changed {
		w.containers[c.spec.Name] = to
	}
}

func set(list *corev1.ResourceList, r corev1.ResourceName, v float64) {
	if *list == nil {
		*list = corev1.ResourceList{}
	}
	(*list)[r] = quantity(r, v)
}

// size is what one resource of the pod's container should be, false when it stays. Here the running pod is protected.
func (w *podPlan) size(c *container, s *size, spec *corev1.Container) (request, limit float64, ok bool) {
	r := s.resource()
	have, haveLimit := amount(spec.Resources.Requests, r), amount(spec.Resources.Limits, r)
	request, limit = s.value, s.limit
	if haveLimit == 0 {
		// A running pod is given no limit that it did not start with.
		limit = 0
	} else if c.policy.Limits == v1alpha1.LimitFixed {
		limit = haveLimit
		request = min(request, haveLimit)
	} else if limit == 0 {
		// It cannot be removed, so it gives way.
		limit = max(haveLimit, request)
	}
	if request < have {
		switch {
		case s.keep:
			request = have
		case r == corev1.ResourceCPU && c.starting(w.pod.Object, w.in.Now):
			w.hold("StartingUp", fmt.Sprintf("container %s keeps the CPU that it starts with", c.spec.Name))
			return 0, 0, false
		default:
			request = max(request, min(roundUp(r, c.runningFloor(s)), have))
		}
	}
	if s.keep || request == have {
		limit = max(limit, haveLimit)
	}
	limit = w.in.limitWith(s, request, limit, haveLimit)
	if r == corev1.ResourceMemory && !s.keep && haveLimit-s.limit > idleHeap*haveLimit && s.limit > 0 && c.holdsHeap(s.limit) {
		// A new pod starts with another heap, so what this one uses does not bind it.
		w.idleHeap(c, spec, s.value, s.limit)
	}
	urgent := s.urgent && request > have && killedLately(w.pod, s)
	if !urgent && near(request, have, w.in.tolerance()) && near(limit, haveLimit, w.in.tolerance()) {
		return 0, 0, false
	}
	if r == corev1.ResourceMemory && limit < haveLimit && c.holdsHeap(limit) {
		w.hold("HeapRunning", fmt.Sprintf("container %s runs with a heap that cannot shrink (%s)", c.spec.Name, c.heap.Runtime))
		return 0, 0, false
	}
	w.urgent = w.urgent || urgent
	return request, limit, true
}

// limitWith is the limit for a request that is not quite the decided one.
func (in *Input) limitWith(s *size, request, limit, have float64) float64 {
	if have == 0 {
		return 0
	}
	if request != s.value && s.value > 0 && s.limit > 0 && request > s.value {
		limit = max(limit, min(have, roundUp(s.resource(), s.limit*request/s.value)))
	}
	return max(limit, request)
}

// near reports whether a value is the other one or within the tolerance of it.
func near(v, have, tolerance float64) bool {
	return v == have || (have > 0 && math.Abs(v-have) <= tolerance*have)
}

// killedLately reports whether the pod's container is one that a kill was answered for. Where no pod is known to be the one, all are.
func killedLately(p *Pod, s *size) bool {
	return !s.victims || killed(p, s.key.Container, s.in.Now.Add(-oomAnswer))
}

// idleHeap notes what a replaced pod would have less.
func (w *podPlan) idleHeap(c *container, spec *corev1.Container, request, limit float64) {
	to := *spec.Resources.DeepCopy()
	set(&to.Requests, corev1.ResourceMemory, request)
	set(&to.Limits, corev1.ResourceMemory, limit)
	if w.idle == nil {
		w.idle = map[string]corev1.ResourceRequirements{}
	}
	w.idle[c.spec.Name] = to
}

func (w *podPlan) hold(code, reason string) {
	w.held = append(w.held, hindrance{code, fmt.Sprintf("%s of pod %s", reason, w.pod.Object.Name)})
}

// note writes down a change and what the pod suffers without it.
func (w *podPlan) note(s *size, have, to float64) {
	if have == to {
		w.changes = append(w.changes, fmt.Sprintf("%s limit of %s with its request", s.resource(), s.key.Container))
		return
	}
	w.changes = append(w.changes, fmt.Sprintf("%s %s from %s to %s", s.key.Container, s.resource(), text(s.resource(), have), text(s.resource(), to)))
	harm := 0.0
	switch {
	case to < have:
		harm = (have - to) / have
	case have == 0:
		harm = 2
	case s.resource() == corev1.ResourceMemory:
		// Too little memory kills, too little CPU delays.
		harm = 1 + 4*(to/have-1)
	default:
		harm = 1 + (to/have - 1)
	}
	w.harm = max(w.harm, harm)
}

// undo takes the pod's last change back where it did harm, unless it gets more than it had by now.
func (w *podPlan) undo(u *restored) {
	for name, back := range u.containers {
		to, ok := w.containers[name]
		if !ok {
			spec, _ := findContainer(&w.pod.Object.Spec, name)
			to = *spec.Resources.DeepCopy()
		}
		spec, _ := findContainer(&w.pod.Object.Spec, name)
		for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			was, is := amount(back.Requests, r), amount(spec.Resources.Requests, r)
			if was == is || (was > is && amount(to.Requests, r) > was) {
				continue
			}
			setBoth(&to, r, back)
		}
		w.containers[name] = to
	}
	w.undone = u
}

// finish turns what was found into a step.
func (w *podPlan) finish() {
	vertical, object := w.in.Policy.Spec.Vertical, w.pod.Object
	recreate := vertical.Apply == v1alpha1.ApplyInPlaceOrRecreate
	step := Step{Pod: object, InPlace: true, Recreate: recreate, Urgent: w.urgent || w.undone != nil, RollBack: w.undone != nil}
	switch {
	case len(w.containers) > 0:
		step.Containers = w.containers
		step.Reason = strings.Join(w.changes, ", ")
		if w.undone != nil {
			step.Reason = "taken back: " + w.undone.reason
		}
	case len(w.idle) > 0 && recreate:
		step.Containers, step.InPlace, w.harm = w.idle, false, idleHeap
		step.Reason = "a heap that a running container cannot give back"
	default:
		var deferred bool
		step.Containers, step.Reason, deferred = w.pending()
		switch {
		case deferred:
			w.hold("Deferred", step.Reason+": the size")
			return
		case len(step.Containers) > 0 && !recreate:
			w.hold("NotCarriedOut", step.Reason+": the size")
			return
		}
		step.Urgent, w.harm = w.urgent, 1
	}
	if len(step.Containers) == 0 {
		return
	}
	next := resized(&object.Spec, step.Containers)
	step.PodResources = w.in.podResources(object, next)
	if step.PodResources != nil {
		next.Resources = step.PodResources
	}
	if step.InPlace && (!supported(object) || !keepsClass(&object.Spec, next, step.Containers)) {
		step.InPlace = false
		if !recreate {
			w.hold("NotInPlace", "the QoS class would change or the node cannot resize, and replacing is not allowed: the size")
			return
		}
	}
	if w.undone == nil && len(w.containers) > 0 && unchanged(&object.Spec, step.Containers) {
		return
	}
	if age := w.in.minAge(); !step.InPlace && !step.Urgent && w.in.Now.Sub(object.CreationTimestamp.Time) < age {
		w.hold("YoungPod", "a pod younger than "+short(age)+" is not replaced for its size: the size")
		return
	}
	w.plans = append(w.plans, plan{step, w.harm})
}

// minAge is how old a pod has to be to be replaced for its size alone.
func (in *Input) minAge() time.Duration {
	if r := in.Policy.Spec.Vertical.Recreate; r != nil && r.MinAge != nil {
		return r.MinAge.Duration
	}
	return settled
}

// unchanged reports whether containers have what a step would give them.
func unchanged(spec *corev1.PodSpec, containers map[string]corev1.ResourceRequirements) bool {
	for name, to := range containers {
		c, _ := findContainer(spec, name)
		if c == nil || !equality.Semantic.DeepEqual(c.Resources, to) {
			return false
		}
	}
	return true
}

// pending are the containers whose spec the node has not carried out and will not soon, and what it says; deferred is true when it may
// soon. After a kill for memory that is not waited for.
func (w *podPlan) pending() (waiting map[string]corev1.ResourceRequirements, reason string, deferred bool) {
	at := slices.IndexFunc(w.pod.Object.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodResizePending })
	if at < 0 {
		return nil, "", false
	}
	condition := &w.pod.Object.Status.Conditions[at]
	soon := condition.Reason != corev1.PodReasonInfeasible && w.in.Now.Sub(condition.LastTransitionTime.Time) < patience
	waiting = map[string]corev1.ResourceRequirements{}
	for _, c := range w.all {
		if c.role != roleOf(w.pod) || !c.running() {
			continue
		}
		spec, _ := findContainer(&w.pod.Object.Spec, c.spec.Name)
		status := containerStatus(w.pod.Object, c.spec.Name)
		if spec == nil || status == nil || len(c.sizes) == 0 || c.policy.Mode == v1alpha1.ContainerOff {
			continue
		}
		memory := c.movable(corev1.ResourceMemory)
		urgent := memory != nil && memory.urgent && killedLately(w.pod, memory)
		for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if a, ok := status.AllocatedResources[r]; ok && a.Cmp(spec.Resources.Requests[r]) != 0 {
				if soon && !urgent {
					deferred = true
					continue
				}
				waiting[c.spec.Name] = *spec.Resources.DeepCopy()
				w.urgent = w.urgent || urgent && r == corev1.ResourceMemory
			}
		}
	}
	return waiting, strings.TrimSuffix(fmt.Sprintf("node %s has not carried out the resize (%s): %s",
		w.pod.Object.Spec.NodeName, condition.Reason, condition.Message), ": "), deferred && len(waiting) == 0
}
