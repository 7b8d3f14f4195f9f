package usage

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// defaultHistory is how far back usage counts when a policy does not say.
const defaultHistory = 192 * time.Hour

// ID names who wants estimates: a WorkloadAutoscaler or a VerticalPodAutoscaler.
type ID struct{ Kind, Namespace, Name string }

func (id ID) String() string { return id.Kind + " " + id.Namespace + "/" + id.Name }

// PolicyID is the ID of a policy.
func PolicyID(namespace, name string) ID { return ID{"WorkloadAutoscaler", namespace, name} }

// Workload is whose pods are measured. Everything that is known about usage belongs to it; those who want estimates share that.
type Workload struct{ Namespace, Kind, Name string }

// Pod is a pod of a workload.
type Pod struct {
	// Object belongs to the cache and must not be changed.
	Object *corev1.Pod
	// Changed is when we last gave it another size, zero when we did not.
	Changed time.Time
	// Before is what the containers had that were changed then, by name; nil when that is not known.
	Before map[string]corev1.ResourceRequirements
}

// Models makes a model that counts usage as far back as history.
type Models func(model v1alpha1.EstimationModel, resource vertical.Resource, history time.Duration) (vertical.Model, error)

// Target is one registration: who wants estimates, about which workload, and how they are made.
type Target struct {
	ID       ID
	Workload Workload
	Model    v1alpha1.EstimationModel
	// Models makes the target's models; nil for the feeder's own.
	Models Models
	// History is how far back usage counts.
	History time.Duration
	// Resources are what is estimated of a container; nil means CPU and memory.
	Resources func(container string) []corev1.ResourceName
	// Starts says of which containers starts are measured; nil means of none.
	Starts func(container string) bool
	// Roles is true when pods that behave differently get estimates of their own.
	Roles bool
	// KnownRoles is true when the workload's pods were told apart before, as the policy's status says. It makes up for what was
	// forgotten with the process: roles that are there need not prove themselves again.
	KnownRoles bool
	// Health is what must not get worse after a change, nil when nothing is asked.
	Health *v1alpha1.HealthQuery
	// Template is the pods' template, nil when it is unknown.
	Template *corev1.PodTemplateSpec
	// Published are the requests that are published for the workload's containers. Nothing of them shrinks by part of what there is to
	// know.
	Published map[sizing.Key]float64
	// Pods are the workload's pods, those that ended lately among them.
	Pods []Pod
}

// TargetOf is the target of a policy that has spec.vertical. Changed says when a pod was last given another size, the zero time when it
// was not, and what its changed containers had before; it may be nil.
func TargetOf(policy *v1alpha1.WorkloadAutoscaler, template *corev1.PodTemplateSpec, pods []*corev1.Pod,
	changed func(*corev1.Pod) (time.Time, map[string]corev1.ResourceRequirements)) Target {
	v := policy.Spec.Vertical
	t := Target{
		ID: PolicyID(policy.Namespace, policy.Name), Workload: Workload{policy.Namespace, policy.Spec.TargetRef.Kind, policy.Spec.TargetRef.Name},
		Model: cmp.Or(v.Model, v1alpha1.ModelAuto), History: defaultHistory, Roles: true, Template: template, Pods: make([]Pod, len(pods)),
		Resources: func(container string) []corev1.ResourceName { return resourcesOf(v, container) },
		Starts:    func(container string) bool { rule := ruleFor(v, container); return rule != nil && rule.Startup != nil },
	}
	if v.History != nil && v.History.Duration > 0 {
		t.History = v.History.Duration
	}
	if v.Rollback != nil {
		t.Health = v.Rollback.Health
	}
	if s := policy.Status.Vertical; s != nil {
		t.KnownRoles = slices.ContainsFunc(s.Containers, func(c v1alpha1.ContainerSizeStatus) bool { return c.Role != sizing.DefaultRole })
		t.Published = published(s)
	}
	for i, pod := range pods {
		t.Pods[i] = Pod{Object: pod}
		if changed != nil {
			t.Pods[i].Changed, t.Pods[i].Before = changed(pod)
		}
	}
	return t
}

func published(s *v1alpha1.VerticalStatus) map[sizing.Key]float64 {
	requests := map[sizing.Key]float64{}
	for i := range s.Containers {
		c := &s.Containers[i]
		for name, q := range c.Target {
			requests[sizing.Key{Role: c.Role, Container: c.Name, Resource: name}] = asFloat(q)
		}
	}
	return requests
}

// ruleFor is the rule of a container, nil when it has none.
func ruleFor(v *v1alpha1.VerticalPolicy, container string) *v1alpha1.ContainerVerticalPolicy {
	var all *v1alpha1.ContainerVerticalPolicy
	for i := range v.Containers {
		switch c := &v.Containers[i]; c.Name {
		case container:
			return c
		case "*":
			all = c
		}
	}
	return all
}

// ordinary is what is sized unless a rule says otherwise.
var ordinary = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

func resourcesOf(v *v1alpha1.VerticalPolicy, container string) []corev1.ResourceName {
	rule := ruleFor(v, container)
	switch {
	case rule == nil:
		return ordinary
	case rule.Mode == v1alpha1.ContainerOff:
		return nil
	case len(rule.Resources) == 0:
		return ordinary
	}
	names := make([]corev1.ResourceName, len(rule.Resources))
	for i, r := range rule.Resources {
		names[i] = corev1.ResourceName(r)
	}
	return names
}
