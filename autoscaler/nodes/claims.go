package nodes

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
)

// claimQueue has claims worked on: every provider has a queue and workers of its own, so that a slow one keeps nobody else waiting. A
// claim is worked on by one worker at a time.
type claimQueue struct {
	c *Controller

	mu     sync.Mutex
	ctx    context.Context // nil before run
	queues map[string]workqueue.TypedRateLimitingInterface[string]
	nodes  map[string]string // node by claim
	group  sync.WaitGroup
}

func newClaimQueue(c *Controller) *claimQueue {
	return &claimQueue{c: c, queues: map[string]workqueue.TypedRateLimitingInterface[string]{}, nodes: map[string]string{}}
}

// run works until the context ends and nothing is under way any more.
func (q *claimQueue) run(ctx context.Context) {
	q.mu.Lock()
	q.ctx = ctx
	for _, queue := range q.queues {
		q.start(queue)
	}
	q.mu.Unlock()
	<-ctx.Done()
	q.mu.Lock()
	for _, queue := range q.queues {
		queue.ShutDown()
	}
	q.queues = nil
	q.mu.Unlock()
	q.group.Wait()
}

// start starts the workers of a queue. The caller holds the lock.
func (q *claimQueue) start(queue workqueue.TypedRateLimitingInterface[string]) {
	for range q.c.cfg.Workers {
		q.group.Go(func() {
			for {
				name, closed := queue.Get()
				if closed {
					return
				}
				q.work(q.ctx, queue, name)
				queue.Done(name)
			}
		})
	}
}

// changed has a claim worked on because it, or its node, is not what it was. The claim is nil once it is gone.
func (q *claimQueue) changed(name string, claim *v1alpha1.NodeClaim, node string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if claim == nil {
		delete(q.nodes, name)
		return
	}
	if node == "" {
		delete(q.nodes, name)
	} else {
		q.nodes[name] = node
	}
	if q.queues == nil {
		return // everything ends
	}
	queue := q.queues[claim.Spec.Provider]
	if queue == nil {
		queue = workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](200*time.Millisecond, 30*time.Second),
			workqueue.TypedRateLimitingQueueConfig[string]{Clock: q.c.deps.Clock})
		q.queues[claim.Spec.Provider] = queue
		if q.ctx != nil {
			q.start(queue)
		}
	}
	queue.Add(name)
}

// work does the next thing for a claim.
func (q *claimQueue) work(ctx context.Context, queue workqueue.TypedRateLimitingInterface[string], name string) {
	c := q.c
	if !c.leads() {
		queue.AddAfter(name, time.Second)
		return
	}
	var object v1alpha1.NodeClaim
	if err := c.deps.Cache.Get(ctx, client.ObjectKey{Name: name}, &object); err != nil {
		if !apierrors.IsNotFound(err) {
			queue.AddRateLimited(name)
		}
		return // the watch tells when it comes
	}
	q.mu.Lock()
	nodeName := q.nodes[name]
	q.mu.Unlock()
	var node *corev1.Node
	if nodeName != "" {
		node = &corev1.Node{}
		if err := c.deps.Cache.Get(ctx, client.ObjectKey{Name: nodeName}, node); err != nil {
			node = nil
		}
	}
	started := c.deps.Clock.Now()
	result, err := c.deps.Keeper.Reconcile(ctx, &object, node)
	c.deps.Metrics.claimSeconds.WithLabelValues(object.Spec.Provider).Observe(c.deps.Clock.Since(started).Seconds())
	if err != nil {
		if ctx.Err() == nil {
			c.deps.Logger.Warn("cannot work on a node claim", "claim", name, "err", err)
			queue.AddRateLimited(name)
		}
		return
	}
	queue.Forget(name)
	if result.After > 0 {
		queue.AddAfter(name, result.After)
	}
	if result.Step != "" {
		c.post(ctx, func() { c.stepped(&object, result) })
	}
}

// stepped tells of a step in a claim's life.
func (c *Controller) stepped(before *v1alpha1.NodeClaim, result claim.Result) {
	if result.Claim != nil && c.world.claims[result.Claim.Name] != nil {
		c.world.applyClaim(result.Claim, false)
	}
	message := result.Message
	if message == "" {
		message = string(result.Step)
	}
	kind := corev1.EventTypeNormal
	if result.Step == claim.StepGivenUp {
		kind = corev1.EventTypeWarning
		c.batch.note(c.deps.Clock.Now()) // what it was bought for has no place again
	}
	c.events.add(regardingClaim(before), kind, "Node"+string(result.Step), message)
}
