package volume

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	storagehelpers "k8s.io/component-helpers/storage/volume"
)

// Catalog is what is known of storage: claims, volumes, classes, drivers, their capacities, limits and attachments. It keeps the
// objects it is given and never changes them. It is not safe for concurrent use.
type Catalog struct {
	claims  map[types.NamespacedName]*corev1.PersistentVolumeClaim
	volumes map[string]*corev1.PersistentVolume
	classes map[string]*storagev1.StorageClass
	drivers map[string]*storagev1.CSIDriver
	nodes   map[string]*storagev1.CSINode

	// free are the volumes that a claim without one might take, by class: those that are nobody's, and those that wait for a claim
	// by name. Bound ones, the great majority, are never looked at when a claim looks for a volume.
	free map[string]map[string]*corev1.PersistentVolume
	// capacities by class.
	capacities map[string]map[types.NamespacedName]*storagev1.CSIStorageCapacity
	// attachments by node.
	attachments map[string]map[string]*storagev1.VolumeAttachment
	attachedTo  map[string]string
}

// NewCatalog returns a catalog that knows of nothing.
func NewCatalog() *Catalog {
	return &Catalog{
		claims:      map[types.NamespacedName]*corev1.PersistentVolumeClaim{},
		volumes:     map[string]*corev1.PersistentVolume{},
		classes:     map[string]*storagev1.StorageClass{},
		drivers:     map[string]*storagev1.CSIDriver{},
		nodes:       map[string]*storagev1.CSINode{},
		free:        map[string]map[string]*corev1.PersistentVolume{},
		capacities:  map[string]map[types.NamespacedName]*storagev1.CSIStorageCapacity{},
		attachments: map[string]map[string]*storagev1.VolumeAttachment{},
		attachedTo:  map[string]string{},
	}
}

// Upsert takes in a PersistentVolumeClaim, PersistentVolume, StorageClass, CSIDriver, CSINode, CSIStorageCapacity or VolumeAttachment.
// It answers whether an answer may be another than before; false for an object that is no concern of storage, or is known already.
func (c *Catalog) Upsert(obj any) bool {
	switch o := obj.(type) {
	case *corev1.PersistentVolumeClaim:
		key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
		old := c.claims[key]
		c.claims[key] = o
		return old == nil || changed(old.ResourceVersion, o.ResourceVersion)
	case *corev1.PersistentVolume:
		old := c.volumes[o.Name]
		if old != nil {
			c.unlist(old)
		}
		c.volumes[o.Name] = o
		c.list(o)
		return old == nil || changed(old.ResourceVersion, o.ResourceVersion)
	case *storagev1.StorageClass:
		old := c.classes[o.Name]
		c.classes[o.Name] = o
		return old == nil || changed(old.ResourceVersion, o.ResourceVersion)
	case *storagev1.CSIDriver:
		old := c.drivers[o.Name]
		c.drivers[o.Name] = o
		return old == nil || changed(old.ResourceVersion, o.ResourceVersion)
	case *storagev1.CSINode:
		old := c.nodes[o.Name]
		c.nodes[o.Name] = o
		return old == nil || changed(old.ResourceVersion, o.ResourceVersion)
	case *storagev1.CSIStorageCapacity:
		// The class of a capacity is immutable, so its place never changes.
		key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
		of := c.capacities[o.StorageClassName]
		if of == nil {
			of = map[types.NamespacedName]*storagev1.CSIStorageCapacity{}
			c.capacities[o.StorageClassName] = of
		}
		old := of[key]
		of[key] = o
		return old == nil || changed(old.ResourceVersion, o.ResourceVersion)
	case *storagev1.VolumeAttachment:
		c.detach(o.Name)
		on := c.attachments[o.Spec.NodeName]
		if on == nil {
			on = map[string]*storagev1.VolumeAttachment{}
			c.attachments[o.Spec.NodeName] = on
		}
		on[o.Name] = o
		c.attachedTo[o.Name] = o.Spec.NodeName
		return true
	}
	return false
}

// changed is true unless both versions are known and equal.
func changed(old, now string) bool { return now == "" || old != now }

// Delete forgets an object. Objects that it never knew of do no harm.
func (c *Catalog) Delete(obj any) {
	switch o := obj.(type) {
	case *corev1.PersistentVolumeClaim:
		delete(c.claims, types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
	case *corev1.PersistentVolume:
		if old := c.volumes[o.Name]; old != nil {
			c.unlist(old)
		}
		delete(c.volumes, o.Name)
	case *storagev1.StorageClass:
		delete(c.classes, o.Name)
	case *storagev1.CSIDriver:
		delete(c.drivers, o.Name)
	case *storagev1.CSINode:
		delete(c.nodes, o.Name)
	case *storagev1.CSIStorageCapacity:
		of := c.capacities[o.StorageClassName]
		delete(of, types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
		if len(of) == 0 {
			delete(c.capacities, o.StorageClassName)
		}
	case *storagev1.VolumeAttachment:
		c.detach(o.Name)
	}
}

func (c *Catalog) detach(name string) {
	node, ok := c.attachedTo[name]
	if !ok {
		return
	}
	delete(c.attachedTo, name)
	delete(c.attachments[node], name)
	if len(c.attachments[node]) == 0 {
		delete(c.attachments, node)
	}
}

// list enters a volume among the free ones if a claim might still take it.
func (c *Catalog) list(v *corev1.PersistentVolume) {
	if v.DeletionTimestamp != nil {
		return
	}
	// A volume that names its claim waits for it in any phase. Once the claim is bound nobody looks for a volume for it, so those of
	// bound volumes are left out.
	if v.Spec.ClaimRef == nil && v.Status.Phase != corev1.VolumeAvailable || v.Spec.ClaimRef != nil && v.Status.Phase == corev1.VolumeBound {
		return
	}
	class := storagehelpers.GetPersistentVolumeClass(v)
	of := c.free[class]
	if of == nil {
		of = map[string]*corev1.PersistentVolume{}
		c.free[class] = of
	}
	of[v.Name] = v
}

func (c *Catalog) unlist(v *corev1.PersistentVolume) {
	class := storagehelpers.GetPersistentVolumeClass(v)
	delete(c.free[class], v.Name)
	if len(c.free[class]) == 0 {
		delete(c.free, class)
	}
}
