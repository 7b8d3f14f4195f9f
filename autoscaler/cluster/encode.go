package cluster

import (
	"encoding/binary"
	"sort"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// encoder writes what scheduling depends on as bytes, so that pods with equal bytes are interchangeable. Every field has its
// length before it: two different values never have the same bytes, and comparing the bytes is the check for equality.
type encoder struct {
	buf  []byte
	keys []string
}

func (e *encoder) reset() { e.buf = e.buf[:0] }

func (e *encoder) int(n int64)  { e.buf = binary.AppendVarint(e.buf, n) }
func (e *encoder) count(n int)  { e.buf = binary.AppendUvarint(e.buf, uint64(n)) }
func (e *encoder) str(s string) { e.count(len(s)); e.buf = append(e.buf, s...) }
func (e *encoder) tag(t byte)   { e.buf = append(e.buf, t) }
func (e *encoder) yes(b bool) {
	if b {
		e.tag(1)
	} else {
		e.tag(0)
	}
}
func (e *encoder) strs(s []string) {
	e.count(len(s))
	for _, v := range s {
		e.str(v)
	}
}

func (e *encoder) labels(m map[string]string) {
	e.keys = e.keys[:0]
	for k := range m {
		e.keys = append(e.keys, k)
	}
	sort.Strings(e.keys)
	e.count(len(e.keys))
	for _, k := range e.keys {
		e.str(k)
		e.str(m[k])
	}
}

func (e *encoder) resources(list corev1.ResourceList) {
	e.keys = e.keys[:0]
	for k := range list {
		e.keys = append(e.keys, string(k))
	}
	if len(e.keys) > 1 {
		sort.Strings(e.keys)
	}
	e.count(len(e.keys))
	for _, k := range e.keys {
		q := list[corev1.ResourceName(k)]
		e.str(k)
		e.int(q.MilliValue())
		e.int(q.Value())
	}
}

func (e *encoder) selector(s *metav1.LabelSelector) {
	if s == nil {
		e.tag(0)
		return
	}
	e.tag(1)
	e.labels(s.MatchLabels)
	e.count(len(s.MatchExpressions))
	for _, r := range s.MatchExpressions {
		e.str(r.Key)
		e.str(string(r.Operator))
		e.strs(r.Values)
	}
}

func (e *encoder) nodeRequirements(rs []corev1.NodeSelectorRequirement) {
	e.count(len(rs))
	for _, r := range rs {
		e.str(r.Key)
		e.str(string(r.Operator))
		e.strs(r.Values)
	}
}

func (e *encoder) nodeTerms(terms []corev1.NodeSelectorTerm) {
	e.count(len(terms))
	for i := range terms {
		e.nodeRequirements(terms[i].MatchExpressions)
		e.nodeRequirements(terms[i].MatchFields)
	}
}

func (e *encoder) podTerm(t *corev1.PodAffinityTerm) {
	e.str(t.TopologyKey)
	e.strs(t.Namespaces)
	e.selector(t.LabelSelector)
	e.selector(t.NamespaceSelector)
	e.strs(t.MatchLabelKeys)
	e.strs(t.MismatchLabelKeys)
}

func (e *encoder) podTerms(terms []corev1.PodAffinityTerm) {
	e.count(len(terms))
	for i := range terms {
		e.podTerm(&terms[i])
	}
}

func (e *encoder) tolerations(ts []corev1.Toleration) {
	e.count(len(ts))
	for i := range ts {
		e.str(ts[i].Key)
		e.str(string(ts[i].Operator))
		e.str(ts[i].Value)
		e.str(string(ts[i].Effect))
	}
}

// nodeFilter is what a pod demands of a node whatever pods are there.
func (e *encoder) nodeFilter(spec *corev1.PodSpec) {
	e.labels(spec.NodeSelector)
	if a := spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		e.tag(1)
		e.nodeTerms(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms)
	} else {
		e.tag(0)
	}
	e.tolerations(spec.Tolerations)
}

func (e *encoder) ports(ports []hostPort) {
	e.count(len(ports))
	for _, p := range ports {
		e.int(int64(p.port))
		e.str(string(p.protocol))
		e.str(p.ip)
	}
}

func (e *encoder) containers(cs []corev1.Container) {
	e.count(len(cs))
	for i := range cs {
		c := &cs[i]
		e.yes(c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways)
		e.resources(c.Resources.Requests)
		for j := range c.Ports {
			if p := &c.Ports[j]; p.HostPort != 0 {
				e.tag('p')
				e.int(int64(p.HostPort))
				e.str(string(p.Protocol))
				e.str(p.HostIP)
			}
		}
		e.tag('.')
	}
}

func (e *encoder) statuses(cs []corev1.ContainerStatus) {
	for i := range cs {
		if c := &cs[i]; c.AllocatedResources != nil || c.Resources != nil {
			e.tag('s')
			e.str(c.Name)
			e.resources(c.AllocatedResources)
			if c.Resources != nil {
				e.resources(c.Resources.Requests)
			}
		}
	}
	e.tag('.')
}

// pod writes all that decides where a pod may go and what it takes there. What is left out (images, probes, its name and node)
// does not.
func (e *encoder) pod(pod *corev1.Pod) {
	spec := &pod.Spec
	e.str(pod.Namespace)
	e.labels(pod.Labels)
	e.yes(pod.DeletionTimestamp != nil)
	e.nodeFilter(spec)
	e.containers(spec.Containers)
	e.containers(spec.InitContainers)
	e.resources(spec.Overhead)
	if spec.Resources != nil {
		e.resources(spec.Resources.Requests)
	}
	e.tag('.')
	e.status(pod)
	e.priority(spec)
	if a := spec.Affinity; a != nil {
		if a.PodAffinity != nil {
			e.tag('a')
			e.podTerms(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		}
		if a.PodAntiAffinity != nil {
			e.tag('x')
			e.podTerms(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		}
	}
	e.tag('.')
	e.spread(spec.TopologySpreadConstraints)
	e.volumes(pod)
	e.count(len(spec.SchedulingGates))
	if g := spec.SchedulingGroup; g != nil && g.PodGroupName != nil {
		e.tag('g')
		e.str(*g.PodGroupName)
	}
	e.str(pod.Annotations[volcanoAnnotation])
	e.str(pod.Annotations[volcanoOldAnnotation])
}

func (e *encoder) status(pod *corev1.Pod) {
	e.tag('.')
	if st := &pod.Status; len(st.ContainerStatuses)+len(st.InitContainerStatuses) > 0 || st.AllocatedResources != nil || st.Resources != nil {
		e.statuses(st.ContainerStatuses)
		e.statuses(st.InitContainerStatuses)
		e.resources(st.AllocatedResources)
		if st.Resources != nil {
			e.resources(st.Resources.Requests)
		}
		for i := range st.Conditions {
			if c := &st.Conditions[i]; c.Type == corev1.PodResizePending {
				e.str(c.Reason)
			}
		}
		if len(st.ContainerStatuses) > 0 {
			// Statuses are found by the containers' names.
			for i := range pod.Spec.Containers {
				e.str(pod.Spec.Containers[i].Name)
			}
			for i := range pod.Spec.InitContainers {
				e.str(pod.Spec.InitContainers[i].Name)
			}
		}
	}
	// The scheduler makes room there.
	e.str(pod.Status.NominatedNodeName)
}

func (e *encoder) priority(spec *corev1.PodSpec) {
	if spec.Priority != nil {
		e.tag('p')
		e.int(int64(*spec.Priority))
	}
	e.tag('.')
	e.str(spec.PriorityClassName)
	if spec.PreemptionPolicy != nil {
		e.str(string(*spec.PreemptionPolicy))
	} else {
		e.str("")
	}
	if spec.RuntimeClassName != nil {
		e.tag('r')
		e.str(*spec.RuntimeClassName)
	}
}

func (e *encoder) spread(cs []corev1.TopologySpreadConstraint) {
	for i := range cs {
		c := &cs[i]
		if c.WhenUnsatisfiable != corev1.DoNotSchedule {
			continue
		}
		e.tag('t')
		e.str(c.TopologyKey)
		e.int(int64(c.MaxSkew))
		e.int(int64(ptr.Deref(c.MinDomains, 1)))
		e.str(string(ptr.Deref(c.NodeAffinityPolicy, corev1.NodeInclusionPolicyHonor)))
		e.str(string(ptr.Deref(c.NodeTaintsPolicy, corev1.NodeInclusionPolicyIgnore)))
		e.strs(c.MatchLabelKeys)
		e.selector(c.LabelSelector)
	}
	e.tag('.')
}

// volumes writes what names a pod's own storage and devices: pods that share neither are never merged.
func (e *encoder) volumes(pod *corev1.Pod) {
	spec := &pod.Spec
	for i := range spec.Volumes {
		v := &spec.Volumes[i]
		switch {
		case v.PersistentVolumeClaim != nil:
			e.tag('v')
			e.str(v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			// Its claim is named after the pod.
			e.tag('e')
			e.str(pod.Name)
			e.str(v.Name)
		case v.CSI != nil, v.GCEPersistentDisk != nil, v.AWSElasticBlockStore != nil, v.AzureDisk != nil, v.Cinder != nil,
			v.ISCSI != nil, v.RBD != nil, v.PortworxVolume != nil, v.VsphereVolume != nil:
			e.tag('w')
			e.str(v.String())
		}
	}
	e.tag('.')
	if len(spec.ResourceClaims) > 0 {
		// Those made from one template are alike.
		e.tag('d')
		for i := range spec.ResourceClaims {
			e.str(ptr.Deref(spec.ResourceClaims[i].ResourceClaimName, ""))
			e.str(ptr.Deref(spec.ResourceClaims[i].ResourceClaimTemplateName, ""))
		}
	}
	e.tag('.')
}
