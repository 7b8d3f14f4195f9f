package vpa

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// Change says how a field fared that could not be carried over as it was.
type Change string

const (
	// Changed is a field, or a default, that works in another way now.
	Changed Change = "Changed"
	// Dropped is a field without a counterpart.
	Dropped Change = "Dropped"
	// Todo is something left to be done by hand before the policy may apply anything.
	Todo Change = "Todo"
)

// Note is about one field of what was migrated.
type Note struct {
	// Kind is that of the object that has the field: VerticalPodAutoscaler or HorizontalPodAutoscaler.
	Kind string `json:"kind"`
	// Field is its path, such as spec.updatePolicy.evictionRequirements.
	Field  string `json:"field"`
	Change Change `json:"change"`
	// Text is a sentence for the one who migrates.
	Text string `json:"text"`
}

// String is the note in one line.
func (n Note) String() string { return fmt.Sprintf("%s: %s %s: %s", n.Change, n.Kind, n.Field, n.Text) }

const (
	kindVPA = "VerticalPodAutoscaler"
	kindHPA = "HorizontalPodAutoscaler"
)

// Migrate makes a policy of a VerticalPodAutoscaler and, unless it is nil, of the HorizontalPodAutoscaler of the same target. The
// policy has the name of the first, and mode Recommend, so that both may exist until it is trusted. The notes tell of everything
// that it does in another way, in the order of the fields. An error names the field for which there can be no policy.
func Migrate(v *vpav1.VerticalPodAutoscaler, h *autoscalingv2.HorizontalPodAutoscaler) (v1alpha1.WorkloadAutoscaler, []Note, error) {
	m := migration{}
	m.policy.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion().String(), Kind: "WorkloadAutoscaler"}
	m.policy.Spec.Mode = v1alpha1.Recommend
	if err := m.vertical(v); err != nil {
		return v1alpha1.WorkloadAutoscaler{}, nil, fmt.Errorf("%s %s/%s: %w", kindVPA, v.Namespace, v.Name, err)
	}
	if h != nil {
		if err := m.horizontal(h); err != nil {
			return v1alpha1.WorkloadAutoscaler{}, nil, fmt.Errorf("%s %s/%s: %w", kindHPA, h.Namespace, h.Name, err)
		}
	}
	return m.policy, m.notes, nil
}

// migration is a policy in the making.
type migration struct {
	policy v1alpha1.WorkloadAutoscaler
	notes  []Note
}

func (m *migration) note(kind, field string, change Change, format string, a ...any) {
	m.notes = append(m.notes, Note{Kind: kind, Field: field, Change: change, Text: fmt.Sprintf(format, a...)})
}

func (m *migration) vertical(v *vpav1.VerticalPodAutoscaler) error {
	m.metadata(v)
	target, err := m.target(v.Spec.TargetRef)
	if err != nil {
		return fmt.Errorf("spec.targetRef%w", err)
	}
	m.policy.Spec.TargetRef = target
	m.policy.Spec.Vertical = &v1alpha1.VerticalPolicy{Model: v1alpha1.ModelAuto}
	if err := m.update(v.Spec.UpdatePolicy); err != nil {
		return fmt.Errorf("spec.updatePolicy.%w", err)
	}
	if err := m.resources(v.Spec.ResourcePolicy); err != nil {
		return fmt.Errorf("spec.resourcePolicy.%w", err)
	}
	for i, r := range v.Spec.Recommenders {
		if r != nil {
			m.note(kindVPA, fmt.Sprintf("spec.recommenders[%d]", i), Dropped, "recommender %s is not asked any more; a policy is estimated by its own model", r.Name)
		}
	}
	if err := m.podBoost(v.Spec.StartupBoost); err != nil {
		return fmt.Errorf("spec.startupBoost.%w", err)
	}
	m.note(kindVPA, "spec", Changed, "sizes are estimated by model Auto, which chooses per container; spec.vertical.model VPA gives those of the VerticalPodAutoscaler")
	m.note(kindVPA, "spec", Changed, "there is no floor of 25m and 250Mi for a pod; give a container minAllowed where it needs one")
	m.note(kindVPA, "metadata.name", Todo, "while the VerticalPodAutoscaler applies sizes, the policy will not: delete it, or set its updateMode to Off, before the policy gets mode Apply")
	return nil
}

// postProcessor begins the names of annotations that are instructions for the recommender.
const postProcessor = "vpa-post-processor.kubernetes.io/"

func (m *migration) metadata(v *vpav1.VerticalPodAutoscaler) {
	m.policy.Name, m.policy.Namespace = v.Name, v.Namespace
	for key, value := range v.Labels {
		metav1.SetMetaDataLabel(&m.policy.ObjectMeta, key, value)
	}
	var processed []string
	for key, value := range v.Annotations {
		switch {
		case strings.HasPrefix(key, postProcessor):
			processed = append(processed, key)
		case key != corev1.LastAppliedConfigAnnotation:
			metav1.SetMetaDataAnnotation(&m.policy.ObjectMeta, key, value)
		}
	}
	slices.Sort(processed)
	for _, key := range processed {
		m.note(kindVPA, "metadata.annotations["+key+"]", Dropped, "sizes are not rounded to whole CPUs")
	}
	if len(v.OwnerReferences) > 0 {
		m.note(kindVPA, "metadata.ownerReferences", Dropped, "what owns the VerticalPodAutoscaler would have to own the policy, too, for it to be deleted with it")
	}
	if len(v.Finalizers) > 0 {
		m.note(kindVPA, "metadata.finalizers", Dropped, "finalizers belong to whoever set them")
	}
}

// wellKnown are the kinds that a vertical policy takes, with their groups and versions.
var wellKnown = map[string]schema.GroupVersion{
	"Deployment": {Group: "apps", Version: "v1"}, "StatefulSet": {Group: "apps", Version: "v1"},
	"DaemonSet": {Group: "apps", Version: "v1"}, "ReplicaSet": {Group: "apps", Version: "v1"},
	"Job": {Group: "batch", Version: "v1"}, "CronJob": {Group: "batch", Version: "v1"},
}

// target carries a reference over. Errors continue the path of the reference.
func (m *migration) target(ref *autoscalingv1.CrossVersionObjectReference) (v1alpha1.TargetReference, error) {
	if ref == nil {
		return v1alpha1.TargetReference{}, errors.New(": must be set")
	}
	if ref.Name == "" {
		return v1alpha1.TargetReference{}, errors.New(".name: must be set")
	}
	known, ok := wellKnown[ref.Kind]
	if given := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind); !ok || ref.APIVersion != "" && given.Group != known.Group {
		return v1alpha1.TargetReference{}, fmt.Errorf(".kind: a vertical policy takes no %s of %q", ref.Kind, ref.APIVersion)
	}
	if ref.APIVersion != known.String() {
		m.note(kindVPA, "spec.targetRef.apiVersion", Changed, "it is %s instead of %q", known, ref.APIVersion)
	}
	return v1alpha1.TargetReference{APIVersion: known.String(), Kind: ref.Kind, Name: ref.Name}, nil
}

// update carries the update policy over. Errors begin with the field's name in it.
func (m *migration) update(u *vpav1.PodUpdatePolicy) error {
	const path = "spec.updatePolicy."
	if u == nil {
		u = &vpav1.PodUpdatePolicy{}
	}
	mode := modeOf(u)
	apply, ok := map[vpav1.UpdateMode]v1alpha1.VerticalApply{
		vpav1.UpdateModeOff: v1alpha1.ApplyOff, vpav1.UpdateModeInitial: v1alpha1.ApplyOnCreate,
		vpav1.UpdateModeInPlace: v1alpha1.ApplyInPlace, vpav1.UpdateModeInPlaceOrRecreate: v1alpha1.ApplyInPlaceOrRecreate,
		vpav1.UpdateModeRecreate: v1alpha1.ApplyInPlaceOrRecreate,
		//lint:ignore SA1019 It is deprecated, and in most manifests that there are.
		vpav1.UpdateModeAuto: v1alpha1.ApplyInPlaceOrRecreate,
	}[mode]
	if !ok {
		return fmt.Errorf("updateMode: there is no mode %s", mode)
	}
	m.policy.Spec.Vertical.Apply = apply
	if apply == v1alpha1.ApplyInPlaceOrRecreate && mode != vpav1.UpdateModeInPlaceOrRecreate {
		m.note(kindVPA, path+"updateMode", Changed, "%s evicts pods; now a pod is resized in place where its node can, and evicted else", mode)
	}
	if apply == v1alpha1.ApplyInPlaceOrRecreate {
		m.replicas(u.MinReplicas)
	} else if u.MinReplicas != nil {
		m.note(kindVPA, path+"minReplicas", Dropped, "no pod is evicted with %s", apply)
	}
	for i, r := range u.EvictionRequirements {
		if r != nil {
			m.note(kindVPA, fmt.Sprintf("%sevictionRequirements[%d]", path, i), Dropped,
				"pods are replaced for any difference beyond spec.vertical.tolerance, not only when %s for %s; a resize in place comes first", r.ChangeRequirement, names(r.Resources))
		}
	}
	if u.EvictAfterOOMSeconds != nil {
		m.note(kindVPA, path+"evictAfterOOMSeconds", Dropped, "a kill for memory is answered at once, however long the pod ran")
	}
	return nil
}

// replicas carries over how few pods a target may have for one of them to be evicted.
func (m *migration) replicas(least *int32) {
	const field = "spec.updatePolicy.minReplicas"
	recreate := &v1alpha1.RecreatePolicy{SingleReplica: v1alpha1.SingleSurge}
	m.policy.Spec.Vertical.Recreate = recreate
	switch {
	case least == nil:
		m.note(kindVPA, field, Changed, "by default the pod of a target with a single one was never evicted; now the target is rolled out so that the new pod is ready first; spec.vertical.recreate.singleReplica Never keeps it as it was")
	case *least >= 2:
		recreate.SingleReplica = v1alpha1.SingleNever
		if *least > 2 {
			m.note(kindVPA, field, Changed, "a target with 2 to %d pods has them replaced now, one at a time and as its PodDisruptionBudget allows", *least-1)
		}
	default:
		m.note(kindVPA, field, Changed, "a single pod is not evicted any more: the target is rolled out so that the new pod is ready first")
	}
}

// resources carries the rules for containers over. Errors begin with the field's name in the resource policy.
func (m *migration) resources(p *vpav1.PodResourcePolicy) error {
	if p == nil {
		return nil
	}
	rules := &m.policy.Spec.Vertical.Containers
	for i := range p.ContainerPolicies {
		c := &p.ContainerPolicies[i]
		field := fmt.Sprintf("containerPolicies[%d]", i)
		if slices.ContainsFunc(*rules, func(r v1alpha1.ContainerVerticalPolicy) bool { return r.Name == c.ContainerName }) {
			m.note(kindVPA, "spec.resourcePolicy."+field, Dropped, "container %s has a policy before this one, which counts", c.ContainerName)
			continue
		}
		rule, err := m.container(field, c)
		if err != nil {
			return fmt.Errorf("%s.%w", field, err)
		}
		*rules = append(*rules, rule)
	}
	if n := len(*rules); n > maxRules {
		return fmt.Errorf("containerPolicies: there are %d, a policy takes %d", n, maxRules)
	}
	return nil
}

// maxRules is how many rules for containers a policy may have.
const maxRules = 32

func (m *migration) container(field string, c *vpav1.ContainerResourcePolicy) (v1alpha1.ContainerVerticalPolicy, error) {
	path := "spec.resourcePolicy." + field + "."
	rule := v1alpha1.ContainerVerticalPolicy{Name: c.ContainerName, MinAllowed: c.MinAllowed.DeepCopy(), MaxAllowed: c.MaxAllowed.DeepCopy()}
	if c.ContainerName == "" {
		return rule, errors.New("containerName: must be set")
	}
	if c.Mode != nil {
		rule.Mode = v1alpha1.ContainerMode(*c.Mode)
		if rule.Mode != v1alpha1.ContainerAuto && rule.Mode != v1alpha1.ContainerOff {
			return rule, fmt.Errorf("mode: there is no mode %s", *c.Mode)
		}
	}
	if err := m.controlled(path, c, &rule); err != nil {
		return rule, err
	}
	if c.OOMBumpUpRatio != nil || c.OOMMinBumpUp != nil {
		m.note(kindVPA, path+"oomBumpUpRatio", Dropped, "how far a request is raised after a kill for memory is the model's to say; minAllowed is a floor")
	}
	m.window(path, c)
	if c.StartupBoost != nil {
		boost, err := m.boost(path+"startupBoost", c.StartupBoost.CPU)
		if err != nil {
			return rule, fmt.Errorf("startupBoost.%w", err)
		}
		m.setBoost(&rule, boost, path+"startupBoost")
	}
	return rule, nil
}

// controlled carries over what of a container is sized.
func (m *migration) controlled(path string, c *vpav1.ContainerResourcePolicy, rule *v1alpha1.ContainerVerticalPolicy) error {
	if c.ControlledResources != nil {
		for _, name := range *c.ControlledResources {
			if name != corev1.ResourceCPU && name != corev1.ResourceMemory {
				m.note(kindVPA, path+"controlledResources", Dropped, "%s is sized by no VerticalPodAutoscaler", name)
				continue
			}
			if size := v1alpha1.SizedResource(name); !slices.Contains(rule.Resources, size) {
				rule.Resources = append(rule.Resources, size)
			}
		}
		if len(rule.Resources) == 0 && rule.Mode != v1alpha1.ContainerOff {
			rule.Mode = v1alpha1.ContainerOff
			m.note(kindVPA, path+"controlledResources", Changed, "with nothing to size, the container has mode Off")
		}
	}
	for name, list := range map[string]corev1.ResourceList{"minAllowed": c.MinAllowed, "maxAllowed": c.MaxAllowed} {
		for resource, quantity := range list {
			if quantity.Sign() < 0 {
				return fmt.Errorf("%s.%s: must not be negative", name, resource)
			}
		}
	}
	if c.ControlledValues == nil {
		return nil
	}
	switch *c.ControlledValues {
	case vpav1.ContainerControlledValuesRequestsAndLimits:
		rule.Limits = v1alpha1.LimitKeepRatio
	case vpav1.ContainerControlledValuesRequestsOnly:
		rule.Limits = v1alpha1.LimitFixed
	default:
		return fmt.Errorf("controlledValues: there is no value %s", *c.ControlledValues)
	}
	return nil
}

// The shortest and the longest history that a policy takes.
const (
	minHistory = time.Hour
	maxHistory = 2160 * time.Hour
)

// window makes the history as long as the longest window over which memory is aggregated, where one is given.
func (m *migration) window(path string, c *vpav1.ContainerResourcePolicy) {
	if c.MemoryAggregationIntervalSeconds == nil && c.MemoryAggregationIntervalCount == nil {
		return
	}
	seconds, count := 24*time.Hour.Seconds(), 8.0
	if c.MemoryAggregationIntervalSeconds != nil {
		seconds = float64(*c.MemoryAggregationIntervalSeconds)
	}
	if c.MemoryAggregationIntervalCount != nil {
		count = float64(*c.MemoryAggregationIntervalCount)
	}
	window := time.Duration(min(max(seconds*count, minHistory.Seconds()), maxHistory.Seconds())) * time.Second
	policy := m.policy.Spec.Vertical
	if policy.History == nil || policy.History.Duration < window {
		policy.History = &metav1.Duration{Duration: window}
	}
	m.note(kindVPA, path+"memoryAggregationInterval", Changed, "the history of all containers is %s long; the length of a single interval is the model's to say", policy.History.Duration)
}

// podBoost gives the boost of a pod to every rule without one of its own, and to all other containers.
func (m *migration) podBoost(s *vpav1.StartupBoost) error {
	if s == nil {
		return nil
	}
	boost, err := m.boost("spec.startupBoost", s.CPU)
	if err != nil || boost == nil {
		return err
	}
	rules := &m.policy.Spec.Vertical.Containers
	others := false
	for i := range *rules {
		rule := &(*rules)[i]
		others = others || rule.Name == vpav1.DefaultContainerResourcePolicy
		if rule.Startup == nil {
			m.setBoost(rule, boost.DeepCopy(), "spec.startupBoost")
		}
	}
	if others {
		return nil
	}
	if len(*rules) == maxRules {
		m.note(kindVPA, "spec.startupBoost", Dropped, "there is no room for a rule for the containers that have none")
		return nil
	}
	*rules = append(*rules, v1alpha1.ContainerVerticalPolicy{Name: vpav1.DefaultContainerResourcePolicy, Startup: boost})
	return nil
}

func (m *migration) setBoost(rule *v1alpha1.ContainerVerticalPolicy, boost *v1alpha1.StartupBoost, field string) {
	if boost != nil && rule.Mode == v1alpha1.ContainerOff {
		m.note(kindVPA, field, Dropped, "container %s has mode Off, and so is left alone while it starts, too", rule.Name)
		return
	}
	rule.Startup = boost
}

// boost carries a boost over. Errors begin with the field's name in the startup boost.
func (m *migration) boost(field string, g *vpav1.GenericStartupBoost) (*v1alpha1.StartupBoost, error) {
	if g == nil {
		return nil, nil
	}
	// The default is that a boost ends when the pod is ready. Without a duration, a policy measures it.
	boost := &v1alpha1.StartupBoost{Duration: &metav1.Duration{}}
	if g.DurationSeconds != nil {
		boost.Duration.Duration = time.Duration(*g.DurationSeconds) * time.Second
		if boost.Duration.Duration < 0 || boost.Duration.Duration > time.Hour {
			boost.Duration.Duration = min(max(boost.Duration.Duration, 0), time.Hour)
			m.note(kindVPA, field+".cpu.durationSeconds", Changed, "it is %s, the nearest that a policy takes", boost.Duration.Duration)
		}
	}
	switch {
	case g.Type == vpav1.FactorStartupBoostType && g.Factor != nil && *g.Factor >= 1:
		boost.Factor = resource.NewQuantity(int64(*g.Factor), resource.DecimalSI)
	case g.Type == vpav1.FactorStartupBoostType:
		return nil, errors.New("cpu.factor: must be at least 1")
	case g.Type == vpav1.QuantityStartupBoostType && g.Quantity != nil && g.Quantity.Sign() > 0:
		quantity := g.Quantity.DeepCopy()
		boost.CPU = &quantity
		m.note(kindVPA, field+".cpu.quantity", Todo, "the VerticalPodAutoscaler adds %s to what it recommends, spec.vertical.containers[].startup.cpu is the whole request while starting: add the two, or set a factor", quantity.String())
	case g.Type == vpav1.QuantityStartupBoostType:
		return nil, errors.New("cpu.quantity: must be above 0")
	default:
		return nil, fmt.Errorf("cpu.type: there is no type %q", g.Type)
	}
	return boost, nil
}

// modeOf is an update policy's mode, with its default.
func modeOf(u *vpav1.PodUpdatePolicy) vpav1.UpdateMode {
	if u == nil || u.UpdateMode == nil || *u.UpdateMode == "" {
		return vpav1.UpdateModeRecreate
	}
	return *u.UpdateMode
}

func names(resources []corev1.ResourceName) string {
	words := make([]string, len(resources))
	for i, r := range resources {
		words[i] = string(r)
	}
	return strings.Join(words, ", ")
}
