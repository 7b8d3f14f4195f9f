package vpa

import (
	"context"
	"fmt"
	"sync"
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
	clock  clock.PassiveClock

	mu sync.Mutex
	// unserved is until when the cluster is believed not to serve them.
	unserved time.Time
	informer cache.Informer
}

// NewObjects makes a reader. The cache's scheme must know the types: vpav1.AddToScheme.
func NewObjects(objects cache.Cache, mapper meta.RESTMapper, c clock.PassiveClock) *Objects {
	return &Objects{cache: objects, mapper: mapper, clock: c}
}

// List returns the VerticalPodAutoscalers, none when the cluster does not serve them. They must not be changed. With an error it is
// not known which there are, and so neither who applies sizes to what.
func (o *Objects) List(ctx context.Context) ([]vpav1.VerticalPodAutoscaler, error) {
	informer, err := o.watch(ctx)
	if err != nil || informer == nil {
		return nil, err
	}
	if !informer.HasSynced() {
		return nil, fmt.Errorf("VerticalPodAutoscalers have not been read yet")
	}
	var list vpav1.VerticalPodAutoscalerList
	if err := o.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list VerticalPodAutoscalers: %w", err)
	}
	return list.Items, nil
}

// watch returns the informer, nil when the cluster does not serve VerticalPodAutoscalers.
func (o *Objects) watch(ctx context.Context) (cache.Informer, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.clock.Now()
	if o.informer != nil || now.Before(o.unserved) {
		return o.informer, nil
	}
	kind := vpav1.SchemeGroupVersion.WithKind(kindVPA)
	if _, err := o.mapper.RESTMapping(kind.GroupKind(), kind.Version); err != nil {
		if meta.IsNoMatchError(err) {
			o.unserved = now.Add(unservedLife)
			return nil, nil
		}
		return nil, fmt.Errorf("ask whether the cluster has VerticalPodAutoscalers: %w", err)
	}
	informer, err := o.cache.GetInformer(ctx, &vpav1.VerticalPodAutoscaler{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch VerticalPodAutoscalers: %w", err)
	}
	o.informer = informer
	return informer, nil
}
