package vpa

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// defaultUtilization is what a HorizontalPodAutoscaler without metrics aims at, in percent of CPU.
const defaultUtilization = int32(80)

// horizontal adds what a HorizontalPodAutoscaler does. Errors begin with the field's path.
func (m *migration) horizontal(h *autoscalingv2.HorizontalPodAutoscaler) error {
	target := m.policy.Spec.TargetRef
	ref := h.Spec.ScaleTargetRef
	if h.Namespace != m.policy.Namespace || ref.Kind != target.Kind || ref.Name != target.Name ||
		schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group != schema.FromAPIVersionAndKind(target.APIVersion, target.Kind).Group {
		return fmt.Errorf("spec.scaleTargetRef: it scales %s %s/%s, and not %s %s/%s", ref.Kind, h.Namespace, ref.Name, target.Kind, m.policy.Namespace, target.Name)
	}
	policy := &v1alpha1.HorizontalPolicy{Min: 1, Max: h.Spec.MaxReplicas}
	if h.Spec.MinReplicas != nil {
		policy.Min = *h.Spec.MinReplicas
		if policy.Min < 1 {
			policy.Min = 1
			m.note(kindHPA, "spec.minReplicas", Changed, "there is one replica at least")
		}
	}
	if policy.Max < policy.Min {
		return fmt.Errorf("spec.maxReplicas: %d is below the least, %d", policy.Max, policy.Min)
	}
	if len(h.Spec.Metrics) == 0 {
		utilization := defaultUtilization
		policy.Objectives = append(policy.Objectives, v1alpha1.Objective{Name: "cpu", Resource: &v1alpha1.ResourceObjective{Name: v1alpha1.CPU, Utilization: &utilization}})
	}
	for i := range h.Spec.Metrics {
		if objective, ok := m.objective(fmt.Sprintf("spec.metrics[%d]", i), &h.Spec.Metrics[i]); ok {
			objective.Name = unused(policy.Objectives, objective.Name)
			policy.Objectives = append(policy.Objectives, objective)
		}
	}
	if len(policy.Objectives) == 0 {
		m.note(kindHPA, "spec.metrics", Todo, "none could be carried over, so the policy has no horizontal part: the HorizontalPodAutoscaler may stay, or objectives with queries take its place")
		return nil
	}
	policy.Behavior = behavior(h.Spec.Behavior)
	m.policy.Spec.Horizontal = policy
	m.references(policy)
	m.note(kindHPA, "metadata.name", Todo, "while the HorizontalPodAutoscaler exists, the policy sets no replicas: delete it before the policy gets mode Apply")
	return nil
}

// references tells about what percentages are of.
func (m *migration) references(policy *v1alpha1.HorizontalPolicy) {
	for _, o := range policy.Objectives {
		if o.Resource != nil && o.Resource.Utilization != nil {
			m.note(kindHPA, "spec.metrics", Changed, "percentages are of what the pods request when the policy begins, as status.vertical.references says; a resize does not change the number of replicas")
			return
		}
	}
}

// objective carries a metric over. It reports false when that is impossible, and notes why.
func (m *migration) objective(field string, metric *autoscalingv2.MetricSpec) (v1alpha1.Objective, bool) {
	var (
		name      corev1.ResourceName
		target    autoscalingv2.MetricTarget
		container string
	)
	switch {
	case metric.Type == autoscalingv2.ResourceMetricSourceType && metric.Resource != nil:
		name, target = metric.Resource.Name, metric.Resource.Target
	case metric.Type == autoscalingv2.ContainerResourceMetricSourceType && metric.ContainerResource != nil:
		name, target, container = metric.ContainerResource.Name, metric.ContainerResource.Target, metric.ContainerResource.Container
	default:
		m.note(kindHPA, field, Todo, "%s has to be written as a query: add an objective with promql or logql, else the number of replicas follows fewer signals than before", metricName(metric))
		return v1alpha1.Objective{}, false
	}
	if name != corev1.ResourceCPU && name != corev1.ResourceMemory {
		m.note(kindHPA, field, Todo, "of resources, only cpu and memory can be objectives; %s has to be written as a query", name)
		return v1alpha1.Objective{}, false
	}
	o := v1alpha1.Objective{Name: string(name), Resource: &v1alpha1.ResourceObjective{Name: v1alpha1.ResourceName(name), Container: container}}
	switch {
	case target.AverageUtilization != nil:
		utilization := *target.AverageUtilization
		o.Resource.Utilization = &utilization
	case target.AverageValue != nil:
		value := target.AverageValue.DeepCopy()
		o.Resource.AverageValue = &value
	default:
		m.note(kindHPA, field+".target", Todo, "it has neither averageUtilization nor averageValue")
		return v1alpha1.Objective{}, false
	}
	return o, true
}

func metricName(metric *autoscalingv2.MetricSpec) string {
	name := ""
	switch {
	case metric.Pods != nil:
		name = metric.Pods.Metric.Name
	case metric.Object != nil:
		name = fmt.Sprintf("%s of %s %s", metric.Object.Metric.Name, metric.Object.DescribedObject.Kind, metric.Object.DescribedObject.Name)
	case metric.External != nil:
		name = metric.External.Metric.Name
	}
	return fmt.Sprintf("the metric %s of type %s", name, metric.Type)
}

// unused is a name that no objective has.
func unused(objectives []v1alpha1.Objective, name string) string {
	candidate := name
	for n := 2; ; n++ {
		taken := false
		for _, o := range objectives {
			taken = taken || o.Name == candidate
		}
		if !taken {
			return candidate
		}
		candidate = fmt.Sprintf("%s-%d", name, n)
	}
}

// behavior is that of a HorizontalPodAutoscaler, whose fields a policy has as they are.
func behavior(b *autoscalingv2.HorizontalPodAutoscalerBehavior) *v1alpha1.Behavior {
	if b == nil {
		return nil
	}
	return &v1alpha1.Behavior{ScaleUp: scalingRules(b.ScaleUp), ScaleDown: scalingRules(b.ScaleDown)}
}

func scalingRules(r *autoscalingv2.HPAScalingRules) *v1alpha1.ScalingRules {
	if r == nil {
		return nil
	}
	r = r.DeepCopy()
	rules := &v1alpha1.ScalingRules{StabilizationWindowSeconds: r.StabilizationWindowSeconds, Tolerance: r.Tolerance}
	if r.SelectPolicy != nil {
		choose := v1alpha1.PolicySelect(*r.SelectPolicy)
		rules.SelectPolicy = &choose
	}
	for _, p := range r.Policies {
		rules.Policies = append(rules.Policies, v1alpha1.ScalingPolicy{Type: v1alpha1.PolicyType(p.Type), Value: p.Value, PeriodSeconds: p.PeriodSeconds})
	}
	return rules
}
