package vpa

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// unservedLife is how long a cluster that does not serve VerticalPodAutoscalers is not asked again.
const unservedLife = 10 * time.Second

// Objects reads the VerticalPodAutoscalers of a cluster, if it has any: from a cache whose informer begins when the cluster serves
// them. It is safe for concurrent use.
type Objects struct {
	cache  cache.Cache
	mapper meta.RESTMapper
	clock  clock.Clock

	// looking is held while the cluster is asked; known is what came of it, nil before the first answer.
	looking sync.Mutex
	known   atomic.Pointer[answer]
}

// answer is what is known about whether the cluster serves VerticalPodAutoscalers.
type answer struct {
	// informer is nil when it does not, or when err says that it is not known.
	informer cache.Informer
	err      error
	// until is how long that is believed; an informer stays.
	until time.Time
}

// NewObjects makes a reader. The cache's scheme must know the types: vpav1.AddToScheme.
func NewObjects(objects cache.Cache, mapper meta.RESTMapper, c clock.Clock) *Objects {
	return &Objects{cache: objects, mapper: mapper, clock: c}
}

// List returns the VerticalPodAutoscalers, none when the cluster does not serve them. They must not be changed. With an error it is
// not known which there are, and so neither who applies sizes to what.
func (o *Objects) List(ctx context.Context) ([]vpav1.VerticalPodAutoscaler, error) {
	return o.list(ctx, o.look(ctx))
}

// Known returns what List does by what is known already. It asks the cluster nothing and waits for nobody, so it is an error when
// neither Run nor List has looked yet.
func (o *Objects) Known(ctx context.Context) ([]vpav1.VerticalPodAutoscaler, error) {
	a := o.known.Load()
	if a == nil {
		return nil, fmt.Errorf("whether the cluster has VerticalPodAutoscalers is not known yet")
	}
	return o.list(ctx, *a)
}

// Run looks every few seconds whether the cluster serves VerticalPodAutoscalers by now, until the context ends.
func (o *Objects) Run(ctx context.Context) {
	for {
		o.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-o.clock.After(unservedLife):
		}
	}
}

func (o *Objects) list(ctx context.Context, a answer) ([]vpav1.VerticalPodAutoscaler, error) {
	if a.err != nil || a.informer == nil {
		return nil, a.err
	}
	if !a.informer.HasSynced() {
		return nil, fmt.Errorf("VerticalPodAutoscalers have not been read yet")
	}
	var list vpav1.VerticalPodAutoscalerList
	if err := o.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list VerticalPodAutoscalers: %w", err)
	}
	return list.Items, nil
}

// look finds out whether the cluster serves VerticalPodAutoscalers, unless that is known.
func (o *Objects) look(ctx context.Context) answer {
	o.looking.Lock()
	defer o.looking.Unlock()
	now := o.clock.Now()
	if a := o.known.Load(); a != nil && (a.informer != nil || now.Before(a.until)) {
		return *a
	}
	a := o.ask(ctx)
	if a.err == nil {
		a.until = now.Add(unservedLife)
	}
	if ctx.Err() == nil {
		o.known.Store(&a)
	}
	return a
}

func (o *Objects) ask(ctx context.Context) answer {
	kind := vpav1.SchemeGroupVersion.WithKind(kindVPA)
	if _, err := o.mapper.RESTMapping(kind.GroupKind(), kind.Version); meta.IsNoMatchError(err) {
		return answer{}
	} else if err != nil {
		return answer{err: fmt.Errorf("ask whether the cluster has VerticalPodAutoscalers: %w", err)}
	}
	informer, err := o.cache.GetInformer(ctx, &vpav1.VerticalPodAutoscaler{}, cache.BlockUntilSynced(false))
	if err != nil {
		return answer{err: fmt.Errorf("watch VerticalPodAutoscalers: %w", err)}
	}
	return answer{informer: informer}
}
