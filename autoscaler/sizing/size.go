package sizing

import (
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// container is one container of one role, with what the policy says about it.
type container struct {
	role string
	spec *corev1.Container
	// init is true for init containers, sidecars among them; sidecar for those that run beside the others.
	init, sidecar bool
	policy        v1alpha1.ContainerVerticalPolicy
	heap          *Heap
	startup       Startup
	sizes         []*size
	// boost is the CPU request of a created pod, 0 when that is the size.
	boost float64
}

// running reports whether the container runs as long as its pod does, so that its size matters after the start.
func (c *container) running() bool { return !c.init || c.sidecar }

func (c *container) size(r corev1.ResourceName) *size {
	for _, s := range c.sizes {
		if s.key.Resource == r {
			return s
		}
	}
	return nil
}

// size is one resource of one container while the rules work on it. Values are in cores or bytes, 0 where there is none.
type size struct {
	key     Key
	in      *Input
	of      *container
	reading Reading
	// declared and declaredLimit are the manifest's, with the namespace's defaults.
	declared, declaredLimit float64
	// request and requestLimit are in force, the highest over the role's pods, and lowest is the lowest request of one.
	request, requestLimit, lowest float64
	// before is the request that was asked for last, else the one published, else what is in force, else what is declared.
	before float64
	// asked is the request after its own rules, before those for whole pods. The next decision starts from it: were it what those
	// left, a container that is held would lose a part with each decision, to one that keeps asking.
	asked float64
	// value is the request after the rules so far, limit what goes with it.
	value, limit float64
	// known is false while nothing was ever known about the usage: then the manifest stands.
	known bool
	// urgent is true when the value answers a kill for memory.
	urgent bool
	// victims is true when the killed pods are known, so that the others need not hurry. lacking is the least that one of them, or of all
	// where they are not known, has in force; negative when there is none.
	victims bool
	lacking float64
	// held is true when the request is kept at what was in force when more load began to be met with replicas.
	held bool
	// keep forbids to take anything from a running pod, with floor to go below it.
	keep  bool
	floor float64
	// ceiling is the most that a rule let the limit be, ratio the most that it may be of the request; 0 when nothing did.
	ceiling, ratio float64
	verdicts       []decision.SizeVerdict
}

func (s *size) resource() corev1.ResourceName { return s.key.Resource }

// judge lets a rule speak.
func (s *size) judge(rule string, action decision.Action, code string, to float64, reason string) {
	s.verdicts = append(s.verdicts, decision.SizeVerdict{Rule: rule, Action: action, Code: code, From: s.value, To: to, Reason: reason})
	s.value = to
}

func (s *size) pass(rule, code, reason string) { s.judge(rule, decision.Pass, code, s.value, reason) }

func (s *size) change(rule, code string, to float64, reason string) {
	s.judge(rule, decision.Change, code, to, reason)
}

// hold keeps what was published or is in force and ends what the estimate has to say.
func (s *size) hold(rule, code, reason string) { s.judge(rule, decision.Hold, code, s.before, reason) }

// containers lists what is to be sized: by role, and within one in the order of the manifest.
func containers(in *Input) []*container {
	template := withDefaults(in.Template, in.Bounds.Ranges)
	var all []*container
	for _, role := range roles(in) {
		force := inForce(in.Pods, role)
		for i := range template.Spec.InitContainers {
			spec := &template.Spec.InitContainers[i]
			all = append(all, newContainer(in, role, spec, true, force))
		}
		for i := range template.Spec.Containers {
			all = append(all, newContainer(in, role, &template.Spec.Containers[i], false, force))
		}
	}
	return all
}

func newContainer(in *Input, role string, spec *corev1.Container, init bool, force map[string]*corev1.ResourceRequirements) *container {
	c := &container{role: role, spec: spec, init: init, sidecar: init && isSidecar(spec),
		policy: policyFor(in.Policy.Spec.Vertical, spec.Name), startup: in.Startups[spec.Name]}
	if h, ok := in.Heaps[spec.Name]; ok {
		c.heap = heapFor(c.policy.Runtime, h, spec)
	}
	resources := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
	if len(c.policy.Resources) > 0 {
		resources = resources[:0]
		for _, r := range c.policy.Resources {
			resources = append(resources, corev1.ResourceName(r))
		}
		slices.Sort(resources)
		resources = slices.Compact(resources)
	}
	for _, r := range resources {
		c.sizes = append(c.sizes, newSize(in, c, r, force[spec.Name]))
	}
	return c
}

func newSize(in *Input, c *container, r corev1.ResourceName, force *corev1.ResourceRequirements) *size {
	s := &size{key: Key{Role: c.role, Container: c.spec.Name, Resource: r}, in: in, of: c}
	s.declared, s.declaredLimit = amount(c.spec.Resources.Requests, r), amount(c.spec.Resources.Limits, r)
	if s.declared == 0 {
		// That is how the API server defaults it.
		s.declared = s.declaredLimit
	}
	if force != nil {
		s.request, s.requestLimit = amount(force.Requests, r), amount(force.Limits, r)
	}
	if r == corev1.ResourceCPU && in.HoldCPU != "" {
		s.lowest = in.lowest(s.key)
	}
	s.reading = sound(in.Readings[s.key])
	s.floor = s.reading.Floor
	if r == corev1.ResourceMemory {
		s.kills(in.Pods)
	}
	published := in.published(s.key)
	s.before = published
	if s.before == 0 {
		s.before = s.request
	}
	if s.before == 0 {
		s.before = s.declared
	}
	s.value = s.before
	s.known = published > 0 || s.reading.Target > 0 || s.reading.State == decision.Fresh
	s.lacking = -1
	if r == corev1.ResourceMemory && s.recentOOM() {
		s.lack(in.Pods)
	}
	return s
}

// lack finds the least that a killed container has in force. A resize that the node has not carried out is not in force.
func (s *size) lack(pods []Pod) {
	for i := range pods {
		p := &pods[i]
		if roleOf(p) != s.key.Role || !lives(p.Object) || !killedLately(p, s) {
			continue
		}
		spec, _ := findContainer(&p.Object.Spec, s.key.Container)
		if spec == nil {
			continue
		}
		have := amount(spec.Resources.Requests, s.resource())
		if status := containerStatus(p.Object, s.key.Container); status != nil {
			if _, told := status.AllocatedResources[s.resource()]; told {
				have = min(have, amount(status.AllocatedResources, s.resource()))
			}
		}
		if s.lacking < 0 || have < s.lacking {
			s.lacking = have
		}
	}
}

// answers reports whether there is a kill for memory to answer: with a larger request, or with the one that was decided already until the
// killed container has it.
func (s *size) answers() bool {
	return s.resource() == corev1.ResourceMemory && s.recentOOM() &&
		(s.reading.Target > s.before || (s.lacking >= 0 && s.lacking < s.before))
}

// kills finds the newest kill for memory that is known.
func (s *size) kills(pods []Pod) {
	recent := s.in.Now.Add(-oomAnswer)
	for i := range pods {
		if roleOf(&pods[i]) != s.key.Role {
			continue
		}
		if at := lastKill(&pods[i], s.key.Container); !at.IsZero() {
			s.victims = s.victims || at.After(recent)
			s.reading.OOM = later(s.reading.OOM, at)
		}
	}
}

// sound takes out of a reading what no number can be taken from.
func sound(r Reading) Reading {
	if r.State == "" {
		r.State, r.Reason = decision.Missing, "nothing was ever read"
	}
	bad := func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) || v < 0 }
	if bad(r.Target) || bad(r.Floor) || bad(r.Lower) || bad(r.Upper) || bad(r.Usage) {
		return Reading{State: decision.Invalid, Reason: "the estimate is not a number", OOM: r.OOM}
	}
	if r.State == decision.Fresh && r.Target == 0 && r.Samples == 0 {
		r.State, r.Reason = decision.Missing, "no estimate yet"
	}
	if !(r.Confidence >= 0 && r.Confidence <= 1) {
		r.Confidence = 0
	}
	return r
}

// published is the request that was asked for last, or what the policy's status has of it.
func (in *Input) published(key Key) float64 {
	if a, ok := in.Memory.asked[key]; ok {
		return a.value
	}
	status := in.Policy.Status.Vertical
	if status == nil {
		return 0
	}
	for i := range status.Containers {
		if c := &status.Containers[i]; c.Name == key.Container && c.Role == key.Role {
			return amount(c.Target, key.Resource)
		}
	}
	return 0
}

// policyFor returns the rule for a container: its own, else the one for all, else the defaults.
func policyFor(p *v1alpha1.VerticalPolicy, name string) v1alpha1.ContainerVerticalPolicy {
	rule := v1alpha1.ContainerVerticalPolicy{Name: name}
	for i := range p.Containers {
		if p.Containers[i].Name == name {
			rule = p.Containers[i]
			break
		}
		if p.Containers[i].Name == "*" {
			rule = p.Containers[i]
		}
	}
	if rule.Mode == "" {
		rule.Mode = v1alpha1.ContainerAuto
	}
	if rule.Limits == "" {
		rule.Limits = v1alpha1.LimitKeepRatio
	}
	if rule.Runtime == "" {
		rule.Runtime = v1alpha1.RuntimeAuto
	}
	return rule
}

// roles lists the roles that there are, of pods and of readings.
func roles(in *Input) []string {
	seen := map[string]bool{}
	for i := range in.Pods {
		seen[roleOf(&in.Pods[i])] = true
	}
	for key := range in.Readings {
		seen[key.Role] = true
	}
	if len(seen) == 0 {
		return []string{DefaultRole}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func roleOf(p *Pod) string {
	if p.Role == "" {
		return DefaultRole
	}
	return p.Role
}

// inForce is what each container has, the highest over the role's pods. Pods that are going or gone do not count.
func inForce(pods []Pod, role string) map[string]*corev1.ResourceRequirements {
	highest := map[string]*corev1.ResourceRequirements{}
	for i := range pods {
		if roleOf(&pods[i]) != role || !lives(pods[i].Object) {
			continue
		}
		for _, list := range [][]corev1.Container{pods[i].Object.Spec.InitContainers, pods[i].Object.Spec.Containers} {
			for j := range list {
				h := highest[list[j].Name]
				if h == nil {
					h = &corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
					highest[list[j].Name] = h
				}
				raise(h.Requests, list[j].Resources.Requests)
				raise(h.Limits, list[j].Resources.Limits)
			}
		}
	}
	return highest
}

// lowest is the least that a pod requests of what a key names, 0 when none does.
func (in *Input) lowest(key Key) float64 {
	lowest := 0.0
	for i := range in.Pods {
		if roleOf(&in.Pods[i]) != key.Role || !lives(in.Pods[i].Object) {
			continue
		}
		if c, _ := findContainer(&in.Pods[i].Object.Spec, key.Container); c != nil {
			if v := amount(c.Resources.Requests, key.Resource); lowest == 0 || v < lowest {
				lowest = v
			}
		}
	}
	return lowest
}

func raise(list, with corev1.ResourceList) {
	for name, q := range with {
		if have, ok := list[name]; !ok || q.Cmp(have) > 0 {
			list[name] = q
		}
	}
}

func lives(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

func isSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// findContainer finds a container by its name; init is true when it is an init container.
func findContainer(spec *corev1.PodSpec, name string) (c *corev1.Container, init bool) {
	for i := range spec.Containers {
		if spec.Containers[i].Name == name {
			return &spec.Containers[i], false
		}
	}
	for i := range spec.InitContainers {
		if spec.InitContainers[i].Name == name {
			return &spec.InitContainers[i], true
		}
	}
	return nil, false
}

// tolerance is the policy's, as a fraction.
func (in *Input) tolerance() float64 {
	if t := in.Policy.Spec.Vertical.Tolerance; t != nil {
		return max(0, t.AsApproximateFloat64())
	}
	return 0.1
}

// window is how long after a change its effects count; 0 switches rollbacks off.
func (in *Input) window() time.Duration {
	if r := in.Policy.Spec.Vertical.Rollback; r != nil && r.Window != nil {
		return r.Window.Duration
	}
	return 10 * time.Minute
}

func lower(s decision.State) string { return strings.ToLower(string(s)) }
