package nodes

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/drain"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// Journal keeps the record. Implementations must not block and be safe for concurrent use.
type Journal interface {
	// Record takes a decision that is worth a record of its own.
	Record(ctx context.Context, record decision.Record, changed bool)
}

// Dependencies are what a Controller works with.
type Dependencies struct {
	// Cache holds CachedObjects and what the loop over workloads reads, in all namespaces. What it returns is not changed.
	Cache cache.Cache
	// Client reads and writes past the cache. Its mapper knows what the cluster serves.
	Client client.Client
	// Events writes events.
	Events kubernetes.Interface
	// Providers by name.
	Providers map[string]provider.Provider
	Keeper    *claim.Keeper
	Drainer   *drain.Drainer
	// Signals answer the queries of repair rules and upgrades; without it they have no answer.
	Signals Signals
	// Journal may be nil.
	Journal Journal
	// Watching says whether the cache is fed; nil means that it always is.
	Watching *WatchHealth
	// Leading is asked before anything is done that others would see. It is false once the lease may be somebody else's; nil means
	// that only the context tells.
	Leading func() bool
	Clock   clock.WithTicker
	Logger  *slog.Logger
	// Instance names this process in events.
	Instance string
	Metrics  *Metrics
}

// Controller looks after nodes. One instance runs at a time, in the process that leads; a new one is made for every term.
type Controller struct {
	cfg    Config
	deps   Dependencies
	events *eventWriter
	queue  *claimQueue
	inbox  *inbox
	// tasks are what other goroutines want done by the loop.
	tasks chan func()
	// background are goroutines that the loop has started.
	background sync.WaitGroup

	// What follows belongs to the loop.
	world   *world
	batch   batcher
	book    offerBook
	foreign foreignBook
	round   provisioning
	moves   mover
	health  healthKeeper
	ahead   forecaster
	tell    teller

	// looked is when everything was looked at last, looking how long that took.
	looked  time.Time
	looking time.Duration

	lastTick atomic.Int64 // unix nanoseconds
	view     atomic.Pointer[View]
}

// New makes a controller.
func New(cfg Config, deps Dependencies) (*Controller, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("nodes.%w", err)
	}
	c := &Controller{
		cfg: cfg, deps: deps, inbox: newInbox(), tasks: make(chan func(), 1024),
		world: newWorld(time.Duration(cfg.SchedulerGrace)),
		batch: batcher{idle: time.Duration(cfg.BatchIdle), max: time.Duration(cfg.BatchMax)},
		book:  newOfferBook(), foreign: foreignBook{pages: map[string]*foreignPage{}}, moves: newMover(), health: newHealthKeeper(), tell: newTeller(),
	}
	c.events = newEventWriter(deps.Events.EventsV1(), deps.Instance, deps.Logger, deps.Metrics.events)
	c.queue = newClaimQueue(c)
	return c, nil
}

// LastTick is when the loop last looked at everything, zero before the first time.
func (c *Controller) LastTick() time.Time {
	if ns := c.lastTick.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// View is the fleet as it was seen last, false before the first time. It is shared and must not be changed.
func (c *Controller) View() (View, bool) {
	if v := c.view.Load(); v != nil {
		return *v, true
	}
	return View{}, false
}

// Run looks after nodes until the context ends. It returns an error when the cluster cannot be read.
func (c *Controller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer c.background.Wait()
	defer cancel()
	synced, stop, err := c.listen(ctx)
	defer stop()
	if err != nil {
		return err
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), synced...) {
		return nil // the context has ended
	}
	c.background.Go(func() { c.events.run(ctx) })
	c.background.Go(func() { c.queue.run(ctx) })
	c.background.Go(func() { c.sweep(ctx) })
	defer c.deps.Metrics.forget()
	c.loop(ctx)
	return nil
}

// listen has informers feed the inbox.
func (c *Controller) listen(ctx context.Context) (synced []toolscache.InformerSynced, stop func(), err error) {
	var undo []func()
	stop = func() {
		for _, f := range undo {
			f()
		}
	}
	for object, k := range c.fed() {
		informer, err := c.deps.Cache.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, stop, fmt.Errorf("watch %T: %w", object, err)
		}
		registration, err := informer.AddEventHandler(c.inbox.handler(k, fmt.Sprintf("%T %s", object, object.GetObjectKind().GroupVersionKind().Group), relevance(object)))
		if err != nil {
			return nil, stop, fmt.Errorf("watch %T: %w", object, err)
		}
		undo = append(undo, func() { _ = informer.RemoveEventHandler(registration) })
		synced = append(synced, registration.HasSynced)
	}
	return synced, stop, nil
}

// fed are the objects that the loop is told of.
func (c *Controller) fed() map[client.Object]kind {
	fed := map[client.Object]kind{
		&corev1.Pod{}: podKind, &corev1.Node{}: nodeKind, &appsv1.DaemonSet{}: daemonSetKind, &v1alpha1.WorkloadAutoscaler{}: autoscalerKind,
		&appsv1.Deployment{}: ownerKind, &appsv1.StatefulSet{}: ownerKind,
	}
	for object := range CachedObjects(c.deps.Client.RESTMapper()) {
		switch object.(type) {
		case *v1alpha1.NodePolicy:
			fed[object] = policyKind
		case *v1alpha1.NodeClaim:
			fed[object] = claimKind
		case *coordinationv1.Lease:
			fed[object] = leaseKind
		case *policyv1.PodDisruptionBudget:
			fed[object] = pdbKind
		case *appsv1.ReplicaSet:
			fed[object] = ownerKind
		default:
			fed[object] = planningKind
		}
	}
	return fed
}

// post has the loop do something. It gives up when the context ends.
func (c *Controller) post(ctx context.Context, task func()) {
	select {
	case c.tasks <- task:
	case <-ctx.Done():
	}
}

// loop is the one goroutine that knows the world and decides.
func (c *Controller) loop(ctx context.Context) {
	ticker := c.deps.Clock.NewTicker(time.Duration(c.cfg.Interval))
	defer ticker.Stop()
	timer := c.deps.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	c.digest()
	c.batch.note(c.deps.Clock.Now())
	c.tick(ctx)
	for ctx.Err() == nil {
		wait := time.Hour
		if due, ok := c.batch.due(); ok {
			wait = max(0, due.Sub(c.deps.Clock.Now()))
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-c.inbox.wake:
		case task := <-c.tasks:
			task()
		case <-timer.C():
		case <-ticker.C():
			c.digest()
			c.tick(ctx)
		}
		c.digest()
		if c.batch.take(c.deps.Clock.Now()) {
			c.provision(ctx)
		}
	}
}

// digest takes in what has happened, and notes what there is to plan.
func (c *Controller) digest() {
	now := c.deps.Clock.Now()
	var changed change
	for _, e := range c.inbox.take() {
		changed |= c.world.apply(e, now)
	}
	changed |= c.world.release(now)
	for more := true; more; {
		select {
		case task := <-c.tasks:
			task()
		default:
			more = false
		}
	}
	c.settle()
	if changed&rules != 0 {
		c.book.stale = true
	}
	if changed&plan != 0 {
		c.batch.note(now)
	}
}

// settle brings the planner's state up to date, and has claims worked on whose world has changed.
func (c *Controller) settle() {
	for _, name := range c.world.settle() {
		c.queue.changed(name, c.world.claims[name], c.world.nodeOfClaim[name])
	}
}

// tick looks at everything that nothing wakes the loop for.
func (c *Controller) tick(ctx context.Context) {
	now := c.deps.Clock.Now()
	c.world.forgetGhosts(now)
	c.refreshOffers(ctx, now)
	c.refreshForeign(ctx, now)
	if c.setDemand(now) {
		c.batch.note(now)
	}
	c.ask(ctx, now)
	if now.Sub(c.looked) >= idleShare*c.looking {
		c.looked = now
		started := time.Now()
		c.move(ctx, now)
		c.report(ctx, now)
		c.looking = time.Since(started)
		c.deps.Metrics.tickSeconds.Observe(c.looking.Seconds())
	}
	c.lastTick.Store(c.deps.Clock.Now().UnixNano())
}

// idleShare is how many times as long as a look at everything has taken nothing is looked at: in a cluster of thousands of nodes the
// loop has to be free for pods that wait.
const idleShare = 5

// leads reports whether this process may act. It is safe for concurrent use.
func (c *Controller) leads() bool { return c.deps.Leading == nil || c.deps.Leading() }

// hold says why nothing may be decided right now, empty when something may.
func (c *Controller) hold() string {
	if !c.leads() {
		return "the lease may be somebody else's by now"
	}
	if c.deps.Watching != nil {
		if what, broken := c.deps.Watching.Broken(time.Duration(c.cfg.MaxStaleness)); broken {
			return "the cluster is not seen as it is: " + what
		}
	}
	return ""
}

// sweep holds claims, reservations and machines against each other.
func (c *Controller) sweep(ctx context.Context) {
	for {
		if c.leads() {
			swept, err := c.deps.Keeper.Sweep(ctx)
			if err != nil && ctx.Err() == nil {
				c.deps.Logger.Warn("cannot sweep node claims", "err", err)
			}
			if err == nil {
				c.post(ctx, func() { c.tell.strays(c, swept.Astray) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-c.deps.Clock.After(time.Duration(c.cfg.SweepInterval)):
		}
	}
}
