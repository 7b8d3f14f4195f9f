package workload

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// keepPlacement carries over what decides where a pod may run: what it asks of nodes and of other pods, the volumes and devices that
// must come along, and its priority.
func keepPlacement(from, to *corev1.PodSpec) {
	to.NodeSelector, to.Affinity, to.Tolerations = from.NodeSelector, slimAffinity(from.Affinity), slimTolerations(from.Tolerations)
	to.TopologySpreadConstraints, to.HostNetwork, to.Volumes = from.TopologySpreadConstraints, from.HostNetwork, slimVolumes(from.Volumes)
	to.RuntimeClassName, to.SchedulerName = from.RuntimeClassName, from.SchedulerName
	to.PriorityClassName, to.Priority, to.PreemptionPolicy = from.PriorityClassName, from.Priority, from.PreemptionPolicy
	to.SchedulingGates, to.ResourceClaims, to.SchedulingGroup = from.SchedulingGates, from.ResourceClaims, from.SchedulingGroup
}

// slimAffinity drops what is empty: manifests often carry blocks without content.
func slimAffinity(a *corev1.Affinity) *corev1.Affinity {
	if a == nil || a.NodeAffinity == nil && a.PodAffinity == nil && a.PodAntiAffinity == nil {
		return nil
	}
	return a
}

// The API server adds these two to nearly every pod.
const defaultTolerationSeconds = 300

var defaultTolerations = func() []corev1.Toleration {
	seconds := int64(defaultTolerationSeconds)
	return []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
		{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
	}
}()

// slimTolerations makes pods share the tolerations that all of them have, which would otherwise be a good part of what a pod takes.
func slimTolerations(tolerations []corev1.Toleration) []corev1.Toleration {
	if len(tolerations) != len(defaultTolerations) {
		return tolerations
	}
	for i := range tolerations {
		t, d := &tolerations[i], &defaultTolerations[i]
		if t.Key != d.Key || t.Operator != d.Operator || t.Value != "" || t.Effect != d.Effect || t.TolerationSeconds == nil || *t.TolerationSeconds != defaultTolerationSeconds {
			return tolerations
		}
	}
	return slices.Clip(defaultTolerations)
}

// slimVolumes drops the kinds that neither bind a pod to a node nor are lost with it.
func slimVolumes(volumes []corev1.Volume) []corev1.Volume {
	var kept []corev1.Volume
	for i := range volumes {
		if v := &volumes[i]; v.Projected == nil && v.ConfigMap == nil && v.Secret == nil && v.DownwardAPI == nil && v.Image == nil && v.CSI == nil {
			kept = append(kept, *v)
		}
	}
	return kept
}

// hostPorts are the ports that only one pod of a node can have.
func hostPorts(ports []corev1.ContainerPort) []corev1.ContainerPort {
	var kept []corev1.ContainerPort
	for _, p := range ports {
		if p.HostPort != 0 {
			kept = append(kept, p)
		}
	}
	return kept
}
