package device

import (
	"cmp"
	"iter"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"
)

// compiledExpressions is how many CEL expressions are kept compiled. A cluster has a handful of classes and claim templates.
const compiledExpressions = 256

// Catalog is what is known of devices: claims, templates of claims, classes, slices and taint rules. It keeps the objects it is given
// and never changes them. It is not safe for concurrent use.
type Catalog struct {
	claims    map[types.NamespacedName]*resourcev1.ResourceClaim
	templates map[types.NamespacedName]*resourcev1.ResourceClaimTemplate
	classes   map[string]*resourcev1.DeviceClass
	rules     map[string]*resourcev1.DeviceTaintRule
	slices    sliceIndex
	// behind is the class that stands behind an extended resource.
	behind map[corev1.ResourceName]*resourcev1.DeviceClass
	// taken is what the claims' allocations hold.
	taken structured.AllocatedState
	cel   *cel.Cache
}

// NewCatalog returns a catalog that knows of nothing.
func NewCatalog() *Catalog {
	return &Catalog{
		claims:    map[types.NamespacedName]*resourcev1.ResourceClaim{},
		templates: map[types.NamespacedName]*resourcev1.ResourceClaimTemplate{},
		classes:   map[string]*resourcev1.DeviceClass{},
		rules:     map[string]*resourcev1.DeviceTaintRule{},
		slices:    newSliceIndex(),
		behind:    map[corev1.ResourceName]*resourcev1.DeviceClass{},
		taken:     nothingTaken(),
		cel:       cel.NewCache(compiledExpressions, cel.Features{EnableConsumableCapacity: true}),
	}
}

// Upsert takes in a ResourceClaim, ResourceClaimTemplate, DeviceClass, ResourceSlice or DeviceTaintRule. It answers whether an answer
// may be another than before; false for an object that is no concern of devices, or is known already. Allocators that were started
// before must not be asked any more.
func (c *Catalog) Upsert(obj any) bool {
	switch o := obj.(type) {
	case *resourcev1.ResourceClaim:
		key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
		old := c.claims[key]
		if old != nil {
			if known(old.ResourceVersion, o.ResourceVersion) {
				return false
			}
			give(&c.taken, old.Status.Allocation)
		}
		c.claims[key] = o
		take(&c.taken, o.Status.Allocation)
	case *resourcev1.ResourceClaimTemplate:
		c.templates[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = o
	case *resourcev1.DeviceClass:
		c.classes[o.Name] = o
		c.index()
	case *resourcev1.ResourceSlice:
		if old := c.slices.byName[o.Name]; old != nil && known(old.ResourceVersion, o.ResourceVersion) {
			return false
		}
		c.slices.add(o)
	case *resourcev1.DeviceTaintRule:
		c.rules[o.Name] = o
		c.slices.forgetTaints()
	default:
		return false
	}
	return true
}

func known(old, now string) bool { return now != "" && old == now }

// Delete forgets an object. Objects that it never knew of do no harm.
func (c *Catalog) Delete(obj any) {
	switch o := obj.(type) {
	case *resourcev1.ResourceClaim:
		key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
		if old := c.claims[key]; old != nil {
			give(&c.taken, old.Status.Allocation)
			delete(c.claims, key)
		}
	case *resourcev1.ResourceClaimTemplate:
		delete(c.templates, types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
	case *resourcev1.DeviceClass:
		delete(c.classes, o.Name)
		c.index()
	case *resourcev1.ResourceSlice:
		c.slices.remove(o.Name)
	case *resourcev1.DeviceTaintRule:
		delete(c.rules, o.Name)
		c.slices.forgetTaints()
	}
}

// index finds the class behind each extended resource anew. Of several that name one resource the newest counts, then the first by name.
func (c *Catalog) index() {
	clear(c.behind)
	classes := make([]*resourcev1.DeviceClass, 0, len(c.classes))
	for _, class := range c.classes {
		classes = append(classes, class)
	}
	slices.SortFunc(classes, func(a, b *resourcev1.DeviceClass) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, class := range classes {
		c.behind[corev1.ResourceName(resourcev1.ResourceDeviceClassPrefix+class.Name)] = class
		if class.Spec.ExtendedResourceName == nil {
			continue
		}
		name := corev1.ResourceName(*class.Spec.ExtendedResourceName)
		if c.behind[name] == nil {
			c.behind[name] = class
		}
	}
}

// Backs is true if devices can stand behind a resource that pods request by name. Such a request does not count against a node whose
// allocatable has none of the resource: there Allocator.Fits answers for it.
func (c *Catalog) Backs(resource corev1.ResourceName) bool { return c.behind[resource] != nil }

// List and Get are for Kubernetes' allocator.
func (c *Catalog) List() ([]*resourcev1.DeviceClass, error) {
	out := make([]*resourcev1.DeviceClass, 0, len(c.classes))
	for _, class := range c.classes {
		out = append(out, class)
	}
	return out, nil
}

// Get is the class of that name, or an error for which apierrors.IsNotFound is true.
func (c *Catalog) Get(name string) (*resourcev1.DeviceClass, error) {
	class := c.classes[name]
	if class == nil {
		return nil, apierrors.NewNotFound(resourcev1.Resource("deviceclasses"), name)
	}
	return class, nil
}

func nothingTaken() structured.AllocatedState {
	return structured.AllocatedState{
		AllocatedDevices:         sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity:       structured.NewConsumedCapacityCollection(),
	}
}

func clone(s *structured.AllocatedState) structured.AllocatedState {
	return structured.AllocatedState{
		AllocatedDevices:         s.AllocatedDevices.Clone(),
		AllocatedSharedDeviceIDs: s.AllocatedSharedDeviceIDs.Clone(),
		AggregatedCapacity:       s.AggregatedCapacity.Clone(),
	}
}

// take enters what an allocation holds.
func take(s *structured.AllocatedState, allocation *resourcev1.AllocationResult) {
	for r := range held(allocation) {
		id := structured.MakeDeviceID(r.Driver, r.Pool, r.Device)
		if r.ShareID == nil {
			s.AllocatedDevices.Insert(id)
			continue
		}
		s.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, r.ShareID))
		if r.ConsumedCapacity != nil {
			s.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, r.ConsumedCapacity))
		}
	}
}

// give takes out what take entered.
func give(s *structured.AllocatedState, allocation *resourcev1.AllocationResult) {
	for r := range held(allocation) {
		id := structured.MakeDeviceID(r.Driver, r.Pool, r.Device)
		if r.ShareID == nil {
			s.AllocatedDevices.Delete(id)
			continue
		}
		s.AllocatedSharedDeviceIDs.Delete(structured.MakeSharedDeviceID(id, r.ShareID))
		if r.ConsumedCapacity != nil {
			s.AggregatedCapacity.Remove(structured.NewDeviceConsumedCapacity(id, r.ConsumedCapacity))
		}
	}
}

// held are the devices of an allocation that nobody else can have. Admin access holds none: it looks on.
func held(allocation *resourcev1.AllocationResult) iter.Seq[*resourcev1.DeviceRequestAllocationResult] {
	return func(yield func(*resourcev1.DeviceRequestAllocationResult) bool) {
		if allocation == nil {
			return
		}
		for i := range allocation.Devices.Results {
			if r := &allocation.Devices.Results[i]; !ptr.Deref(r.AdminAccess, false) && !yield(r) {
				return
			}
		}
	}
}
