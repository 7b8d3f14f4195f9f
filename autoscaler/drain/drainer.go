package drain

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// Dependencies are what a Drainer works with.
type Dependencies struct {
	// Kube reads and writes past any cache.
	Kube kubernetes.Interface
	// FieldManager is the name under which it writes.
	FieldManager string
	Clock        clock.PassiveClock
	Logger       *slog.Logger
	Metrics      *Metrics
	Config       Config
}

// Drainer drains nodes. It is safe for concurrent use; calls for the same node are not to overlap.
type Drainer struct {
	deps Dependencies
	cfg  Config

	mu    sync.Mutex
	nodes map[string]*memory
}

// memory is what is remembered about a node that is being drained.
type memory struct {
	pods map[types.UID]*attempt
	// begun is true once a pod was asked to leave.
	begun bool
	// empty is when the node was first seen without pods.
	empty time.Time
	used  time.Time
}

// attempt is the last that was tried with a pod.
type attempt struct {
	failures int
	next     time.Time
	code     string
	message  string
	evicted  bool
}

// memoryLimit is how long a node is remembered that nobody drains any more.
const memoryLimit = time.Hour

// New returns a Drainer.
func New(deps Dependencies) *Drainer {
	return &Drainer{deps: deps, cfg: deps.Config, nodes: map[string]*memory{}}
}

// Plan is what a drain may do.
type Plan struct {
	// Reason is why the node is taken away. A node that is taken away for its price (Empty, Underutilized) is drained only while
	// nothing at all stands against it, and never by force.
	Reason v1alpha1.DisruptionReason
	// Places say where each pod has room. A pod without one is not evicted.
	Places []cluster.Placement
	// Turn are the pods that may be asked to leave in this call; nil means all of them.
	Turn map[types.NamespacedName]bool
	// Since is when the drain was decided, and GracePeriod how long the pods may hold it up after that (the policy's
	// terminationGracePeriod). Nil means without end.
	Since       time.Time
	GracePeriod *time.Duration
	// Dead says that the node answers nobody: its pods cannot be asked to leave. They are let go by Release once the machine is
	// certainly off.
	Dead bool
}

// deadline is when the drain ends by force, zero for never.
func (p *Plan) deadline() time.Time {
	if p.GracePeriod == nil || p.Since.IsZero() || p.voluntary() {
		return time.Time{}
	}
	return p.Since.Add(*p.GracePeriod)
}

func (p *Plan) voluntary() bool {
	return p.Reason == v1alpha1.DisruptEmpty || p.Reason == v1alpha1.DisruptUnderutilized
}

// Progress is how far a drain has come.
type Progress struct {
	// Done is true once the machine may be given back. Forced says that pods may have been left, Dead that they were not asked.
	Done, Forced, Dead bool
	// Left is how many pods have to leave still, and Leaving how many of them are on their way.
	Left, Leaving int
	// Code is what is in the way, a stable word; empty when everything goes its way. Message says it for people.
	Code, Message string
	// Pods are those that are left, at most 50.
	Pods []PodProgress
}

// PodProgress is a pod that is left.
type PodProgress struct {
	Pod types.NamespacedName
	// Code is Leaving, Evicted, Surging, or what is in the way: NoPlace, PodDisruptionBudget, SeveralBudgets, DoNotDisrupt, Job,
	// NoController, LastReplica, RollingOut, Refused, Order…
	Code, Message string
}

// maxProgress bounds Progress.Pods.
const maxProgress = 50

// Drain does the next things to empty a node and returns at once. The node must be cordoned. It is called again every second or so
// until the answer is Done; an error means that the API server could not be asked.
func (d *Drainer) Drain(ctx context.Context, node *corev1.Node, plan Plan) (Progress, error) {
	now := d.deps.Clock.Now()
	live, err := d.deps.Kube.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && node.UID != "" && live.UID != node.UID {
		d.forget(node.Name)
		return Progress{Done: true, Message: "the node is gone"}, nil
	}
	if err != nil {
		return Progress{}, fmt.Errorf("drain: read node %s: %w", node.Name, err)
	}
	if !cordoned(live) {
		return Progress{Code: "NotCordoned", Message: "the node is open to pods: somebody has taken the taint off"}, nil
	}
	pods, err := d.pods(ctx, node.Name)
	if err != nil {
		return Progress{}, err
	}
	m := d.memory(node.Name, now)
	s := &session{d: d, node: live, plan: &plan, memory: m, now: now, owners: map[types.UID]*owner{}}
	s.classify(pods)
	switch {
	case plan.Dead:
		return Progress{Done: true, Dead: true, Left: len(s.pods), Code: "Unreachable", Message: "the node answers nobody; its pods are let go once the machine is off"}, nil
	case len(s.pods) == 0:
		return s.detached(), nil
	case s.over():
		d.forget(node.Name)
		return Progress{Done: true, Forced: true, Left: len(s.pods), Code: "Forced", Message: fmt.Sprintf("%d pods are left although their time is over", len(s.pods)), Pods: s.progress()}, nil
	}
	s.run(ctx)
	return s.report(), ctx.Err()
}

// pods are those of a node, as they are now.
func (d *Drainer) pods(ctx context.Context, node string) ([]corev1.Pod, error) {
	list, err := d.deps.Kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String(),
	})
	if err != nil {
		return nil, fmt.Errorf("drain: list the pods of node %s: %w", node, err)
	}
	return list.Items, nil
}

// memory is what is remembered about a node. Those that nobody drains any more are forgotten on the way.
func (d *Drainer) memory(node string, now time.Time) *memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, m := range d.nodes {
		if now.Sub(m.used) > memoryLimit {
			delete(d.nodes, name)
		}
	}
	m := d.nodes[node]
	if m == nil {
		m = &memory{pods: map[types.UID]*attempt{}}
		d.nodes[node] = m
	}
	m.used = now
	return m
}

func (d *Drainer) forget(node string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.nodes, node)
}
