package nodes

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kind is what an event is about.
type kind uint8

const (
	podKind kind = iota
	nodeKind
	policyKind
	claimKind
	leaseKind
	pdbKind
	autoscalerKind
	ownerKind
	// planningKind is everything that only the planner reads: volumes, classes, devices, namespaces.
	planningKind
	daemonSetKind
)

// eventKey identifies an object among all that are watched.
type eventKey struct {
	kind kind
	// gvk tells the kinds of planningKind and ownerKind apart.
	gvk  string
	name types.NamespacedName
}

// event is the newest that is known of an object.
type event struct {
	key     eventKey
	object  client.Object
	deleted bool
}

// inbox keeps what informers tell until the loop takes it: of each object only the newest, so that its size is bounded by that of the
// cluster and a slow round does not have to catch up with history. It is safe for concurrent use.
type inbox struct {
	// wake holds a token while there is something to take.
	wake chan struct{}

	mu      sync.Mutex
	pending map[eventKey]int
	events  []event
}

func newInbox() *inbox {
	return &inbox{wake: make(chan struct{}, 1), pending: map[eventKey]int{}}
}

func (b *inbox) put(e event) {
	b.mu.Lock()
	if i, ok := b.pending[e.key]; ok {
		b.events[i] = e
	} else {
		b.pending[e.key] = len(b.events)
		b.events = append(b.events, e)
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take returns everything that has come, in the order in which the objects were first told of.
func (b *inbox) take() []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := b.events
	b.events = nil
	clear(b.pending)
	return events
}

// handler feeds the inbox with what one informer tells. Relevant may leave out updates that change nothing; nil takes all.
func (b *inbox) handler(k kind, gvk string, relevant func(before, after client.Object) bool) toolscache.ResourceEventHandler {
	put := func(o any, deleted bool) {
		if lost, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
			o = lost.Obj
		}
		if object, ok := o.(client.Object); ok {
			b.put(event{key: eventKey{k, gvk, client.ObjectKeyFromObject(object)}, object: object, deleted: deleted})
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { put(o, false) },
		UpdateFunc: func(before, after any) {
			if relevant != nil {
				x, ok := before.(client.Object)
				y, also := after.(client.Object)
				if ok && also && !relevant(x, y) {
					return
				}
			}
			put(after, false)
		},
		DeleteFunc: func(o any) { put(o, true) },
	}
}
