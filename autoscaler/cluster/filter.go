package cluster

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	schedcorev1 "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// filter is what pods demand of a node whatever pods are there: node selector, required node affinity and tolerations. Many
// classes share one, and what it says of a shape is kept.
type filter struct {
	id          int
	affinity    nodeaffinity.RequiredNodeAffinity
	tolerations []corev1.Toleration
	// volumes say from where the pods' volumes can be reached; all must match.
	volumes []*nodeaffinity.LazyErrorNodeSelector
	// ports are the pods' own, which DaemonSets' pods may take on nodes to come.
	ports []hostPort
	// exact is true when the filter looks at a node's name or hostname, so that what it says of one node of a shape does not
	// hold for the others.
	exact bool
	// keys are the labels it looks at.
	keys []string
	// seen holds the verdict for each shape, by its id: 0 unknown.
	seen []verdict
}

type verdict uint8

const (
	unknown verdict = iota
	passes
	wrongLabels
	tainted
	unreachable
	portTaken
)

// shape is what nodes have in common for filters: taints, and the labels that filters look at.
type shape struct {
	id int
	// node has the shape's labels and taints. Its name means nothing.
	node *corev1.Node
	// ports are those that DaemonSets' pods will take on a node to come. On nodes that there are pods are counted.
	ports []hostPort
}

func newFilter(id int, spec *corev1.PodSpec, volumes []*corev1.NodeSelector) *filter {
	f := &filter{id: id, tolerations: spec.Tolerations, affinity: nodeaffinity.NewRequiredNodeAffinity(spec.NodeSelector, spec.Affinity)}
	for k := range spec.NodeSelector {
		f.look(k)
	}
	if a := spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		f.lookAt(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
	}
	for _, v := range volumes {
		f.volumes = append(f.volumes, nodeaffinity.NewLazyErrorNodeSelector(v))
		f.lookAt(v)
	}
	return f
}

func (f *filter) lookAt(s *corev1.NodeSelector) {
	for _, t := range s.NodeSelectorTerms {
		f.exact = f.exact || len(t.MatchFields) > 0
		for _, r := range t.MatchExpressions {
			f.look(r.Key)
		}
	}
}

func (f *filter) look(key string) {
	if key == corev1.LabelHostname {
		f.exact = true
		return
	}
	f.keys = append(f.keys, key)
}

// on says whether the node's labels and taints allow the pods.
func (f *filter) on(sh *shape, node *corev1.Node) verdict {
	if f.exact {
		return f.judge(node, sh.ports)
	}
	for len(f.seen) <= sh.id {
		f.seen = append(f.seen, unknown)
	}
	if f.seen[sh.id] == unknown {
		f.seen[sh.id] = f.judge(sh.node, sh.ports)
	}
	return f.seen[sh.id]
}

func (f *filter) judge(node *corev1.Node, taken []hostPort) verdict {
	if !f.selects(node) {
		return wrongLabels
	}
	if !f.tolerates(node) {
		return tainted
	}
	for _, v := range f.volumes {
		if ok, err := v.Match(node); !ok || err != nil {
			return unreachable
		}
	}
	if clash(f.ports, taken) {
		return portTaken
	}
	return passes
}

// selects is the scheduler's NodeAffinity. An affinity that cannot be parsed selects nothing.
func (f *filter) selects(node *corev1.Node) bool {
	ok, err := f.affinity.Match(node)
	return ok && err == nil
}

// tolerates is the scheduler's TaintToleration and NodeUnschedulable.
func (f *filter) tolerates(node *corev1.Node) bool {
	if node.Spec.Unschedulable {
		taint := corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
		if !schedcorev1.TolerationsTolerateTaint(klog.Logger{}, f.tolerations, &taint, false) {
			return false
		}
	}
	return f.toleratesTaints(node)
}

// toleratesTaints leaves out spec.unschedulable, as topology spread does.
func (f *filter) toleratesTaints(node *corev1.Node) bool {
	_, untolerated := schedcorev1.FindMatchingUntoleratedTaint(klog.Logger{}, node.Spec.Taints, f.tolerations, func(t *corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
	}, false)
	return !untolerated
}

// filterOf interns the pod's filter.
func (s *State) filterOf(spec *corev1.PodSpec, volumes ...*corev1.NodeSelector) *filter {
	s.enc.reset()
	s.enc.nodeFilter(spec)
	ports := hostPorts(spec)
	s.enc.ports(ports)
	for _, v := range volumes {
		s.enc.nodeTerms(v.NodeSelectorTerms)
	}
	if f, ok := s.filters[string(s.enc.buf)]; ok {
		return f
	}
	f := newFilter(len(s.filters), spec, volumes)
	f.ports = ports
	s.filters[string(s.enc.buf)] = f
	for _, k := range f.keys {
		s.observe(k)
	}
	return f
}

// observe makes a label part of shapes.
func (s *State) observe(key string) {
	if !s.keys[key] {
		s.keys[key] = true
		s.shapesStale = true
	}
}

// shapeOf interns a node's shape: its taints, the ports that are taken on one to come, and those labels that some filter looks at. Labels that nobody looks at, such as a
// machine's number, would make every node a shape of its own.
func (s *State) shapeOf(labels map[string]string, taints []corev1.Taint, unschedulable bool, ports ...hostPort) *shape {
	kept := make(map[string]string, len(labels))
	for k, v := range labels {
		if s.keys[k] {
			kept[k] = v
		}
	}
	e := &s.enc
	e.reset()
	e.labels(kept)
	e.yes(unschedulable)
	for i := range taints {
		e.str(taints[i].Key)
		e.str(taints[i].Value)
		e.str(string(taints[i].Effect))
	}
	e.ports(ports)
	if sh, ok := s.shapes[string(e.buf)]; ok {
		return sh
	}
	sh := &shape{id: s.nextShape, ports: ports, node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: kept},
		Spec: corev1.NodeSpec{Taints: taints, Unschedulable: unschedulable}}}
	s.nextShape++
	s.shapes[string(e.buf)] = sh
	return sh
}

// reshape gives all nodes and offers the shapes that filters can tell apart now.
func (s *State) reshape() {
	if !s.shapesStale {
		return
	}
	s.shapesStale = false
	s.shapes, s.nextShape = map[string]*shape{}, 0
	for _, f := range s.filters {
		f.seen = f.seen[:0]
	}
	for _, n := range s.nodes {
		n.shape = s.shapeOf(n.view.Node.Node.Labels, n.view.Node.Node.Spec.Taints, n.view.Node.Node.Spec.Unschedulable)
	}
	s.offersStale = true
}

func podKey(pod *corev1.Pod) string { return strings.Join([]string{pod.Namespace, pod.Name}, "/") }

func key(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}
