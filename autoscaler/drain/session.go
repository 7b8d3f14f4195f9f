package drain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// session is one call of Drain.
type session struct {
	d      *Drainer
	node   *corev1.Node
	plan   *Plan
	memory *memory
	now    time.Time
	// pods are those that have to leave, in the order in which they are asked.
	pods   []*leaver
	places map[types.NamespacedName]string
	owners map[types.UID]*owner
}

// leaver is a pod that has to leave.
type leaver struct {
	*corev1.Pod
	verdict disruption.PodVerdict
	try     *attempt
	// code and message say where it stands after this call.
	code, message string
}

func (l *leaver) name() types.NamespacedName {
	return types.NamespacedName{Namespace: l.Namespace, Name: l.Name}
}

func (l *leaver) at(code, format string, args ...any) {
	l.code, l.message = code, fmt.Sprintf(format, args...)
}

// critical is the priority from which on pods keep a cluster going: they leave when the others have left.
const critical = 2000000000

func (l *leaver) critical() bool { return l.Spec.Priority != nil && *l.Spec.Priority >= critical }

// classify finds the pods that have to leave. Those of the node itself stay, and finished ones are over.
func (s *session) classify(pods []corev1.Pod) {
	s.places = make(map[types.NamespacedName]string, len(s.plan.Places))
	for _, p := range s.plan.Places {
		s.places[p.Pod.NamespacedName] = p.Node
	}
	inspector := disruption.NewInspector(disruption.World{Now: s.now})
	present := map[types.UID]struct{}{}
	for i := range pods {
		pod := &pods[i]
		v := inspector.Pod(pod)
		if v.Fate == disruption.Goes && (v.Code != "Terminating" || ownedByNode(pod)) {
			continue
		}
		present[pod.UID] = struct{}{}
		try := s.memory.pods[pod.UID]
		if try == nil {
			try = &attempt{}
			s.memory.pods[pod.UID] = try
		}
		s.pods = append(s.pods, &leaver{Pod: pod, verdict: v, try: try})
	}
	for uid := range s.memory.pods {
		if _, ok := present[uid]; !ok {
			delete(s.memory.pods, uid)
		}
	}
	// Whatever has the lowest priority leaves first, so that it is not in the way where more important pods go.
	slices.SortStableFunc(s.pods, func(a, b *leaver) int {
		return cmp.Or(cmp.Compare(priority(a.Pod), priority(b.Pod)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

func priority(pod *corev1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}

func ownedByNode(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.OwnerReferences, func(r metav1.OwnerReference) bool {
		return r.Controller != nil && *r.Controller && (r.Kind == "DaemonSet" || r.Kind == "Node")
	})
}

// grace is what a pod is given to end.
func grace(pod *corev1.Pod) time.Duration {
	if s := pod.Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return 30 * time.Second
}

// lateness is how long after the deadline a pod that was told to end is still waited for.
const lateness = 10 * time.Second

// over says whether the time of the drain is over.
func (s *session) over() bool {
	deadline := s.plan.deadline()
	return !deadline.IsZero() && s.now.After(deadline.Add(lateness))
}

// run asks pods to leave.
func (s *session) run(ctx context.Context) {
	waiting := s.waiting()
	forced := slices.DeleteFunc(slices.Clone(waiting), func(l *leaver) bool { return !s.mustEnd(l) })
	for _, l := range forced {
		s.end(ctx, l)
	}
	waiting = slices.DeleteFunc(waiting, func(l *leaver) bool { return slices.Contains(forced, l) })
	stopped := 0
	for _, l := range waiting {
		if s.standsAgainst(l) {
			stopped++
		}
	}
	// A node that is taken away for its price is not emptied by half: as long as nothing was done, everything must be possible.
	if s.plan.voluntary() && !s.memory.begun && (stopped > 0 || !s.rehearse(ctx, waiting)) {
		for _, l := range waiting {
			if l.code == "" {
				l.at("Held", "it could leave, but others cannot")
			}
		}
		return
	}
	others := slices.ContainsFunc(s.pods, func(l *leaver) bool { return !l.critical() })
	asked := 0
	for _, l := range waiting {
		switch {
		case l.code != "":
		case l.critical() && others:
			l.at("Order", "it keeps the cluster going and leaves when the others have left")
		case s.now.Before(l.try.next):
			l.at(l.try.code, "%s", l.try.message)
		case s.plan.Turn != nil && !s.plan.Turn[l.name()]:
			l.at("Order", "others leave before it does")
		case asked >= s.d.cfg.Evictions:
			l.at("Order", "%d pods at a time are asked to leave", s.d.cfg.Evictions)
		case ctx.Err() != nil:
			l.at("Order", "there was no time to ask it")
		default:
			asked++
			s.ask(ctx, l)
		}
	}
}

// waiting are the pods that are not on their way.
func (s *session) waiting() []*leaver {
	var out []*leaver
	for _, l := range s.pods {
		if l.DeletionTimestamp == nil {
			out = append(out, l)
			continue
		}
		l.at("Leaving", "it has until %s to end", l.DeletionTimestamp.UTC().Format(time.RFC3339))
		if s.mustEnd(l) && l.DeletionTimestamp.After(s.plan.deadline()) {
			out = append(out, l)
		}
	}
	return out
}

// standsAgainst looks at what needs no asking.
func (s *session) standsAgainst(l *leaver) bool {
	if l.verdict.Fate == disruption.Blocks {
		l.at(l.verdict.Code, "it %s", l.verdict.Message)
		s.count(l)
		return true
	}
	if s.places[l.name()] == "" {
		l.at("NoPlace", "no other node has room for it")
		s.count(l)
		return true
	}
	return false
}

// count counts what is in the way of a pod, once.
func (s *session) count(l *leaver) {
	if l.try.code != l.code {
		l.try.code, l.try.message = l.code, l.message
		s.d.deps.Metrics.refusals.WithLabelValues(string(s.plan.Reason), l.code).Inc()
	}
}

// detached waits until the volumes of a node without pods are detached.
func (s *session) detached() Progress {
	if s.memory.empty.IsZero() {
		s.memory.empty = s.now
	}
	if n := len(s.node.Status.VolumesAttached); n > 0 && s.now.Sub(s.memory.empty) < time.Duration(s.d.cfg.DetachTimeout) {
		deadline := s.plan.deadline()
		if deadline.IsZero() || s.now.Before(deadline) {
			return Progress{Code: "Volumes", Message: fmt.Sprintf("%d volumes are still attached, such as %s", n, s.node.Status.VolumesAttached[0].Name)}
		}
	}
	s.d.forget(s.node.Name)
	return Progress{Done: true, Message: "every pod has left"}
}

// report sums up where the pods stand.
func (s *session) report() Progress {
	p := Progress{Left: len(s.pods), Pods: s.progress()}
	for _, l := range s.pods {
		switch l.code {
		case "Leaving", "Evicted", "Ended", "Surging", "Gone":
			p.Leaving++
		case "Held", "Order":
		default:
			if p.Code == "" || p.Code == "LastReplica" { // which passes once the others are somewhere else
				p.Code, p.Message = l.code, fmt.Sprintf("pod %s/%s: %s", l.Namespace, l.Name, l.message)
			}
		}
	}
	if p.Message == "" {
		p.Message = fmt.Sprintf("%d pods are left, %d of them on their way", p.Left, p.Leaving)
	}
	return p
}

func (s *session) progress() []PodProgress {
	var out []PodProgress
	for _, l := range s.pods[:min(len(s.pods), maxProgress)] {
		out = append(out, PodProgress{Pod: l.name(), Code: l.code, Message: l.message})
	}
	return out
}
