package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/actuation"
	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/balance"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/horizontal"
	"github.com/yagura-dev/yagura/autoscaler/signal"
	"github.com/yagura-dev/yagura/autoscaler/usage"
)

// Journal keeps the record. Implementations must not block and be safe for concurrent use.
type Journal interface {
	// Record takes a decision that is worth a record of its own.
	Record(ctx context.Context, record decision.Record, changed bool)
	// Observe takes every evaluation, for what is measured rather than told.
	Observe(record decision.Record)
	// Forget lets go of a policy that is gone.
	Forget(namespace, name string)
}

// Dependencies are what a Controller works with.
type Dependencies struct {
	// Cache reads policies, HorizontalPodAutoscalers and pods. What it returns is not changed.
	Cache client.Reader
	// Status writes the status of policies.
	Status client.StatusClient
	// Events writes events.
	Events  kubernetes.Interface
	Targets *Targets
	Signals *signal.Client
	Journal Journal
	// Usage and Actuation are for vertical policies; without them those fail and say so.
	Usage     *usage.Feeder
	Actuation *actuation.Executor
	// Models makes models as a policy wants them.
	Models func(*v1alpha1.VerticalPolicy) usage.Models
	// MoreUsage names others whose usage is to be followed along, such as VerticalPodAutoscalers; it may be nil.
	MoreUsage func(context.Context) []usage.Target
	// Sizers names who else sizes which targets; it may be nil.
	Sizers func(context.Context) (map[Sized]string, error)
	Clock  clock.WithTicker
	Logger *slog.Logger
	// Instance names this process in events.
	Instance string
	Metrics  *Metrics
}

// Sized names a target that somebody sizes. Group is the API group of its kind.
type Sized struct{ Namespace, Group, Kind, Name string }

// Controller carries policies out. One instance runs at a time, in the process that leads.
type Controller struct {
	cfg    Config
	deps   Dependencies
	events *eventWriter
	bounds boundsReader

	mu       sync.Mutex
	policies map[types.NamespacedName]*memory
	lastTick atomic.Int64 // unix nanoseconds
}

// memory is what one policy's evaluations have in common. Only one evaluation of a policy runs at a time.
type memory struct {
	uid       types.UID
	target    v1alpha1.TargetReference
	history   horizontal.History
	tracker   decision.Tracker
	lastScale *metav1.Time
	vertical  verticalMemory
	written   *v1alpha1.WorkloadAutoscalerStatus
	writtenAt time.Time
	failures  int
}

// NewController makes a controller.
func NewController(cfg Config, deps Dependencies) *Controller {
	return &Controller{
		cfg: cfg, deps: deps, policies: map[types.NamespacedName]*memory{}, bounds: boundsReader{cache: deps.Cache},
		events: newEventWriter(deps.Events.EventsV1(), deps.Instance, deps.Logger, deps.Metrics.events),
	}
}

// LastTick is when the last round of evaluations ended, zero before the first.
func (c *Controller) LastTick() time.Time {
	if ns := c.lastTick.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// Policies is the number of policies that are carried out.
func (c *Controller) Policies() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.policies)
}

// Run evaluates at every interval until the context ends. A round that takes longer than the interval delays the next one; rounds
// never overlap and missed ones are not made up for.
func (c *Controller) Run(ctx context.Context) {
	var events sync.WaitGroup
	events.Go(func() { c.events.run(ctx) })
	defer events.Wait()
	// Whoever leads next measures these policies; two would contradict each other.
	defer c.forget(nil)
	interval := time.Duration(c.cfg.Interval)
	ticker := c.deps.Clock.NewTicker(interval)
	defer ticker.Stop()
	for {
		started := c.deps.Clock.Now()
		if err := c.Tick(ctx); err != nil && ctx.Err() == nil {
			c.deps.Logger.Error("cannot evaluate policies", "err", err)
		}
		took := c.deps.Clock.Since(started)
		c.deps.Metrics.tickSeconds.Observe(took.Seconds())
		if missed := int64(took / interval); missed > 0 {
			c.deps.Metrics.missed.Add(float64(missed))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

// round is what the evaluations of one tick share.
type round struct {
	tick   *signal.Tick
	owners owners
	pods   *podIndex
	// sizables are the targets of vertical policies.
	sizables map[types.NamespacedName]sizableTarget
}

// Tick evaluates every policy once.
func (c *Controller) Tick(ctx context.Context) error {
	var policies v1alpha1.WorkloadAutoscalerList
	if err := c.deps.Cache.List(ctx, &policies, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list policies: %w", err)
	}
	var hpas autoscalingv2.HorizontalPodAutoscalerList
	if err := c.deps.Cache.List(ctx, &hpas, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list horizontal pod autoscalers: %w", err)
	}
	r := &round{tick: c.deps.Signals.Tick(), owners: newOwners(hpas.Items, policies.Items), pods: newPodIndex(c.deps.Cache)}
	if c.deps.Sizers != nil {
		r.owners.sizedBy(c.deps.Sizers(ctx))
	}
	for i := range policies.Items {
		// The items are copies as far as this pointer. What was decided for another target means nothing for this one.
		if p := &policies.Items[i]; p.Status.Vertical != nil && !p.Status.Vertical.About(p.Spec.TargetRef) {
			p.Status.Vertical = nil
		}
	}
	c.readSizables(ctx, r, policies.Items)
	var group errgroup.Group
	group.SetLimit(c.cfg.Workers)
	present := make(map[types.NamespacedName]struct{}, len(policies.Items))
	for i := range policies.Items {
		policy := &policies.Items[i]
		if policy.DeletionTimestamp != nil {
			continue
		}
		key := client.ObjectKeyFromObject(policy)
		present[key] = struct{}{}
		m := c.remember(key, policy)
		group.Go(func() error {
			c.evaluate(ctx, r, policy, m)
			return nil
		})
	}
	_ = group.Wait()
	c.forget(present)
	c.deps.Metrics.policies.Set(float64(len(present)))
	c.lastTick.Store(c.deps.Clock.Now().UnixNano())
	return nil
}

// remember returns the memory of a policy. A policy of the same name that was created anew, or given another target, starts afresh.
func (c *Controller) remember(key types.NamespacedName, policy *v1alpha1.WorkloadAutoscaler) *memory {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.policies[key]
	if m == nil || m.uid != policy.UID || m.target != policy.Spec.TargetRef {
		m = &memory{uid: policy.UID, target: policy.Spec.TargetRef}
		c.policies[key] = m
	}
	return m
}

func (c *Controller) forget(present map[types.NamespacedName]struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.policies {
		if _, ok := present[key]; !ok {
			delete(c.policies, key)
			c.deps.Journal.Forget(key.Namespace, key.Name)
			if c.deps.Actuation != nil {
				c.deps.Actuation.Forget(key.Namespace, key.Name)
			}
		}
	}
}

// evaluate carries one policy out once. What containers request goes first, since a utilization means nothing without it.
func (c *Controller) evaluate(ctx context.Context, r *round, policy *v1alpha1.WorkloadAutoscaler, m *memory) {
	acted := false
	scaled := c.readScaled(ctx, r, policy)
	var together balance.Decision
	if target, ok := r.sizables[client.ObjectKeyFromObject(policy)]; ok && target.err == nil && policy.Spec.Horizontal != nil && scaled.err == nil {
		together = c.balance(ctx, r, policy, &target, scaled.target.Replicas, scaled.signals, m)
		m.vertical.references = together.Status
	}
	if policy.Spec.Vertical == nil {
		c.stopSizing(policy)
		m.vertical = verticalMemory{}
	} else if record := c.decideVertical(ctx, r, policy, &together, m); !m.vertical.quiet(&record) {
		c.publish(ctx, policy, &m.vertical.tracker, record)
		acted = record.Sized()
	}
	if policy.Spec.Horizontal != nil {
		record := c.decide(ctx, r, policy, &scaled, together.References, m)
		c.publish(ctx, policy, &m.tracker, record)
		acted = acted || record.Scaled()
	}
	if ctx.Err() != nil {
		if !acted {
			return
		}
		ctx = context.WithoutCancel(ctx)
	}
	c.writeStatus(ctx, policy, m)
}

// publish tells of a decision.
func (c *Controller) publish(ctx context.Context, policy *v1alpha1.WorkloadAutoscaler, tracker *decision.Tracker, record decision.Record) {
	if ctx.Err() != nil {
		if !record.Scaled() && !record.Sized() {
			return // what was read while everything shuts down is not worth telling
		}
		// But what was done is, and no successor can tell of it.
		ctx = context.WithoutCancel(ctx)
	}
	c.deps.Metrics.evaluations.WithLabelValues(string(record.Outcome)).Inc()
	before := tracker.Last()
	novelty := tracker.Observe(&record)
	c.deps.Journal.Observe(record)
	if novelty.Recorded {
		c.deps.Journal.Record(ctx, record, novelty.Different)
		c.deps.Metrics.records.Inc()
	}
	if novelty.Different {
		// By other names than the record's: this process' own log may be collected under the same service name, and who asks for
		// records must not get each decision twice.
		c.deps.Logger.Info("decision", "policy", record.Namespace+"/"+record.Name, "about", cmp.Or(string(record.Direction), "Horizontal"),
			"result", record.Outcome, "current", record.CurrentReplicas, "desired", record.DesiredReplicas, "because", record.Reason)
	}
	if reason := eventReason(&record, before, novelty); reason != "" {
		c.events.add(policy, reason, &record)
	}
}

// maxMoves is how often a decision is made anew in one tick because the target was changed under it.
const maxMoves = 3

// scaledTarget is the target of a horizontal policy with its signals, as they were read for this evaluation.
type scaledTarget struct {
	target  Target
	pods    []*corev1.Pod
	signals []horizontal.Signal
	err     error
}

// readScaled reads what a decision on replicas needs, nothing when the policy has no part about them.
func (c *Controller) readScaled(ctx context.Context, r *round, policy *v1alpha1.WorkloadAutoscaler) (s scaledTarget) {
	if policy.Spec.Horizontal == nil {
		return s
	}
	if s.target, s.err = c.deps.Targets.Get(ctx, policy.Namespace, policy.Spec.TargetRef); s.err != nil {
		return s
	}
	if s.pods, s.err = r.pods.matching(ctx, policy.Namespace, s.target.Selector); s.err != nil {
		s.err = &targetError{"PodsUnreadable", s.err}
		return s
	}
	s.signals = readSignals(ctx, r.tick, policy, s.pods)
	return s
}

// decide makes a decision on replicas and carries it out. References are what utilizations are percentages of.
func (c *Controller) decide(ctx context.Context, r *round, policy *v1alpha1.WorkloadAutoscaler, scaled *scaledTarget, references map[string]int64, m *memory) decision.Record {
	if scaled.err != nil {
		return c.failed(policy, scaled.err)
	}
	in := horizontal.Input{
		Now: r.tick.Now(), Policy: policy, Current: scaled.target.Replicas, Existing: scaled.target.Existing, Pods: scaled.pods,
		Signals: scaled.signals, References: references, Owner: r.owners.other(policy), History: &m.history,
		Readiness: horizontal.Readiness{
			CPUInitializationPeriod: time.Duration(c.cfg.CPUInitializationPeriod), InitialReadinessDelay: time.Duration(c.cfg.InitialReadinessDelay),
		},
	}
	var err error
	for range maxMoves {
		record := horizontal.Decide(in)
		if !record.Scaled() {
			return record
		}
		err = c.deps.Targets.Scale(ctx, policy.Namespace, policy.Spec.TargetRef, record.CurrentReplicas, record.DesiredReplicas)
		if moved := (*movedError)(nil); errors.As(err, &moved) {
			// The cache was behind, or somebody else set the replicas just now: decide for what there really is.
			in.Current = moved.replicas
			continue
		}
		if errorCode(err) == "ScaleConflict" {
			continue
		}
		return c.scaled(record, err, m)
	}
	return c.scaled(horizontal.Decide(in), err, m)
}

// scaled finishes the record of a change that was tried.
func (c *Controller) scaled(record decision.Record, err error, m *memory) decision.Record {
	if err == nil {
		m.history.Scale(record.Time, record.CurrentReplicas, record.DesiredReplicas)
		at := metav1.NewTime(record.Time)
		m.lastScale = &at
		c.deps.Metrics.changes.WithLabelValues(string(record.Outcome)).Inc()
		return record
	}
	record.Outcome, record.Code = decision.Failed, errorCode(err)
	record.Reason = fmt.Sprintf("Failed to go from %d to %d: %v; will be tried again", record.CurrentReplicas, record.DesiredReplicas, err)
	return record
}

// failed is the record of an evaluation that could not even read its target.
func (c *Controller) failed(policy *v1alpha1.WorkloadAutoscaler, err error) decision.Record {
	replicas := policy.Status.CurrentReplicas
	var smallest, largest int32
	if h := policy.Spec.Horizontal; h != nil {
		smallest, largest = h.Min, h.Max
	}
	return decision.Record{
		Namespace: policy.Namespace, Name: policy.Name, Mode: string(policy.Spec.Mode), Time: c.deps.Clock.Now(),
		Target:  decision.Target{APIVersion: policy.Spec.TargetRef.APIVersion, Kind: policy.Spec.TargetRef.Kind, Name: policy.Spec.TargetRef.Name},
		Outcome: decision.Failed, Code: errorCode(err), Reason: fmt.Sprintf("Failed: %v", err),
		CurrentReplicas: replicas, RecommendedReplicas: replicas, DesiredReplicas: replicas,
		MinReplicas: smallest, MaxReplicas: largest,
		Objectives: []decision.Objective{}, Verdicts: []decision.Verdict{},
	}
}
