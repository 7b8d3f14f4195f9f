package claim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// Dependencies are what a Keeper works with.
type Dependencies struct {
	// Client reads past any cache. Its scheme knows core/v1, resource.k8s.io/v1 and v1alpha1.
	Client client.Client
	// Providers by name.
	Providers map[string]provider.Provider
	// Release lets go of the pods and volumes of a node whose machine is gone, and says whether it is done. It may be nil.
	Release func(ctx context.Context, node *corev1.Node) (done bool, waits string, err error)
	Clock   clock.PassiveClock
	Logger  *slog.Logger
	Metrics *Metrics
	Config  Config
}

// Keeper carries claims from the intent to the deletion. It is safe for concurrent use, and keeps nothing that must survive it.
type Keeper struct {
	deps Dependencies
	cfg  Config
	log  *slog.Logger

	mu      sync.Mutex
	avoided map[avoidKey]*avoidance
	tries   map[string]*tries // by claim
	boots   map[string]bootTimeout
	told    map[string]bool      // policies, and whether they were told of a refusal
	gone    map[string]time.Time // what Sweep found without its counterpart, and since when
	astray  []Astray             // what it left alone when it asked providers last
	listed  time.Time            // when providers were asked for their machines
}

// tries are calls for one claim that failed in a row, and when it was seen first.
type tries struct {
	failures int
	next     time.Time
	seen     time.Time
	// born is true when this process has made the claim: it needs no other clock to know its age.
	born    bool
	written time.Time
}

// New returns a Keeper.
func New(deps Dependencies) *Keeper {
	return &Keeper{
		deps: deps, cfg: deps.Config, log: deps.Logger,
		avoided: map[avoidKey]*avoidance{}, tries: map[string]*tries{}, boots: map[string]bootTimeout{}, told: map[string]bool{}, gone: map[string]time.Time{},
	}
}

// Result is what came of a Reconcile.
type Result struct {
	// Claim is as it was written last, nil once it is gone.
	Claim *v1alpha1.NodeClaim
	// Step is what was done: Charged, Launched, Registered, Ready, Refused, Deleted…; empty for nothing.
	Step Step
	// After is when to call again although nothing has changed, 0 when that is not needed.
	After time.Duration
	// Message says what is waited for.
	Message string
}

// Step is a step in a claim's life.
type Step string

const (
	StepBought     Step = "Bought"
	StepLaunched   Step = "Launched"
	StepRegistered Step = "Registered"
	StepReady      Step = "Ready"
	StepNotReady   Step = "NotReady"
	StepDisrupted  Step = "Disrupted"
	StepRestored   Step = "Restored"
	StepDraining   Step = "Draining"
	StepDrained    Step = "Drained"
	// StepGivenUp is the deletion of a claim that came to nothing.
	StepGivenUp Step = "GivenUp"
	// StepTerminating is the request to the provider to delete the machine.
	StepTerminating Step = "Terminating"
	// StepGone is the end: no machine, no node, no claim.
	StepGone Step = "Gone"
)

// Reconcile does the next thing for a claim. The node is the claim's (see NodeIndex), nil when there is none; both may be some
// seconds old: what matters is written against the version that was read. An error means that the API server did not do what was
// asked; providers' errors are kept in the claim and retried.
func (k *Keeper) Reconcile(ctx context.Context, claim *v1alpha1.NodeClaim, node *corev1.Node) (Result, error) {
	now := k.deps.Clock.Now()
	claim = claim.DeepCopy()
	k.see(claim, now)
	result, err := k.step(ctx, claim, node, now)
	if apierrors.IsConflict(err) {
		// Somebody else has written the claim meanwhile: the next call sees it.
		return Result{Claim: claim, After: time.Duration(k.cfg.RetryInterval), Message: "the claim has changed meanwhile"}, nil
	}
	if isOf(claim, err) {
		k.forget(claim.Name)
		return Result{Step: StepGone}, nil
	}
	if err != nil {
		return result, fmt.Errorf("claim %s: %w", claim.Name, err)
	}
	if result.Step != "" {
		k.deps.Metrics.steps.WithLabelValues(string(result.Step)).Inc()
		k.log.Info("node claim", "claim", claim.Name, "policy", claim.Spec.Policy, "step", result.Step, "node", claim.Status.NodeName, "message", result.Message)
	}
	if result.Step == StepGone {
		k.forget(claim.Name)
	}
	return result, nil
}

// isOf says whether it is the claim itself that was not found.
func isOf(claim *v1alpha1.NodeClaim, err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Group == v1alpha1.GroupName && details.Kind == "nodeclaims" && details.Name == claim.Name
}

func (k *Keeper) step(ctx context.Context, claim *v1alpha1.NodeClaim, node *corev1.Node, now time.Time) (Result, error) {
	if !claim.DeletionTimestamp.IsZero() {
		return k.terminate(ctx, claim, node, now)
	}
	p := k.deps.Providers[claim.Spec.Provider]
	if p == nil {
		return k.wait(ctx, claim, fmt.Sprintf("there is no provider %q in the configuration", claim.Spec.Provider), now)
	}
	if !isTrue(claim, v1alpha1.ConditionLaunched) {
		return k.launch(ctx, p, claim, now)
	}
	if node == nil {
		return k.await(ctx, p, claim, now)
	}
	if result, err := k.register(ctx, p, claim, node); err != nil || result.After > 0 {
		return result, err
	}
	return k.ready(ctx, claim, node, now)
}

// see notes that the claim is known to this process.
func (k *Keeper) see(claim *v1alpha1.NodeClaim, now time.Time) *tries {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.tries[claim.Name]
	if t == nil {
		t = &tries{seen: now}
		k.tries[claim.Name] = t
	}
	return t
}

func (k *Keeper) forget(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.tries, name)
}

// due says how long a claim's next call to its provider has to wait.
func (k *Keeper) due(name string, now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.tries[name]; t != nil {
		return max(0, t.next.Sub(now))
	}
	return 0
}

// failed counts a call that failed and returns when the next one is due.
func (k *Keeper) failed(p provider.Provider, call, name string, now time.Time) time.Duration {
	k.deps.Metrics.failures.WithLabelValues(p.Name(), call).Inc()
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.tries[name]
	if t == nil {
		t = &tries{seen: now}
		k.tries[name] = t
	}
	wait := backoff(time.Duration(k.cfg.RetryInterval), time.Duration(k.cfg.RetryLimit), t.failures)
	t.failures++
	t.next = now.Add(wait)
	return wait
}

func (k *Keeper) succeeded(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.tries[name]; t != nil {
		t.failures, t.next = 0, time.Time{}
	}
}

// backoff is between half and all of first, doubled for each failure before, and at most limit.
func backoff(first, limit time.Duration, failures int) time.Duration {
	wait := first
	for range min(failures, 32) {
		if wait *= 2; wait >= limit {
			wait = limit
			break
		}
	}
	return wait/2 + rand.N(wait/2+1)
}

// messageInterval bounds how often a claim is written only because a message has changed.
const messageInterval = 30 * time.Second

// wait writes what is waited for, unless that was done a moment ago.
func (k *Keeper) wait(ctx context.Context, claim *v1alpha1.NodeClaim, message string, now time.Time) (Result, error) {
	result := Result{Claim: claim, After: time.Duration(k.cfg.PollInterval), Message: message}
	if claim.Status.Message == message {
		return result, nil
	}
	k.mu.Lock()
	t := k.tries[claim.Name]
	recent := t != nil && !t.written.IsZero() && now.Sub(t.written) < messageInterval
	if t != nil && !recent {
		t.written = now
	}
	k.mu.Unlock()
	if recent {
		return result, nil
	}
	err := k.write(ctx, claim, func(s *v1alpha1.NodeClaimStatus) { s.Message = message })
	return result, err
}

// write changes the status of a claim against the version that was read, and leaves the new version in claim.
func (k *Keeper) write(ctx context.Context, claim *v1alpha1.NodeClaim, edit func(*v1alpha1.NodeClaimStatus)) error {
	before := claim.DeepCopy()
	edit(&claim.Status)
	if err := k.deps.Client.Status().Patch(ctx, claim, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		before.DeepCopyInto(claim)
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}

// giveUp deletes a claim, in the version that was read only.
func (k *Keeper) giveUp(ctx context.Context, claim *v1alpha1.NodeClaim, reason, message string) (Result, error) {
	err := k.deps.Client.Delete(ctx, claim, client.Preconditions{UID: &claim.UID, ResourceVersion: &claim.ResourceVersion})
	if err != nil {
		return Result{Claim: claim}, fmt.Errorf("delete: %w", err)
	}
	k.deps.Metrics.refusals.WithLabelValues(reason).Inc()
	k.log.Warn("node claim given up", "claim", claim.Name, "policy", claim.Spec.Policy, "offer", claim.Spec.Offer.Name, "zone", claim.Spec.Offer.Zone, "reason", reason, "message", message)
	return Result{Claim: claim, Step: StepGivenUp, After: time.Millisecond, Message: message}, nil
}

func setCondition(s *v1alpha1.NodeClaimStatus, kind string, status metav1.ConditionStatus, reason, message string, now time.Time) {
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now)})
}

func isTrue(claim *v1alpha1.NodeClaim, kind string) bool {
	return meta.IsStatusConditionTrue(claim.Status.Conditions, kind)
}

func statusEqual(a, b *v1alpha1.NodeClaimStatus) bool { return apiequality.Semantic.DeepEqual(a, b) }
