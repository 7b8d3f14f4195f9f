package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/storage/ephemeral"

	"github.com/yagura-dev/yagura/autoscaler/cluster/volume"
)

// claims is what pods of a class ask for by way of other objects: volumes, devices, the rest of a gang. Most classes have none.
type claims struct {
	gang gangID
	// volumes is true if the pods have volumes that matter. Needs is what they ask for, since the objects were last read.
	volumes bool
	needs   volume.Needs
	// shared is true if a claim without a volume is one of several pods'.
	shared bool
	// devices is true if the pods claim devices, or resources that devices may stand behind.
	devices bool
	// filter and request are the class's without its volumes.
	filter  *filter
	request vector
}

// attachPrefix begins the names of the resources that count attached volumes, by driver. No node reports them under these names.
const attachPrefix = "attachable-volumes.cluster/"

// plenty is the room for volumes of a driver on a node without a known limit.
const plenty = 1 << 30

// references is what classes refer to, and which of them have to be read again before the next plan.
type references struct {
	// all are the classes that refer to anything, byClaim those with a volume claim of that name.
	all map[*class]bool
	// unbound are those that have a claim without a volume.
	unbound map[*class]bool
	byClaim map[types.NamespacedName]map[*class]bool
	// changed are to be read again, and open is true when those are that could not tell yet where their volumes will be. devices is
	// true when it may be others that want devices.
	changed       map[*class]bool
	open, devices bool
}

func newReferences() references {
	return references{all: map[*class]bool{}, unbound: map[*class]bool{}, byClaim: map[types.NamespacedName]map[*class]bool{}, changed: map[*class]bool{}}
}

func (r *references) add(c *class) {
	r.all[c], r.changed[c] = true, true
	for _, key := range volumeClaims(c.sample) {
		if r.byClaim[key] == nil {
			r.byClaim[key] = map[*class]bool{}
		}
		r.byClaim[key][c] = true
	}
}

func (r *references) drop(c *class) {
	if !r.all[c] {
		return
	}
	delete(r.all, c)
	delete(r.changed, c)
	delete(r.unbound, c)
	for _, key := range volumeClaims(c.sample) {
		delete(r.byClaim[key], c)
		if len(r.byClaim[key]) == 0 {
			delete(r.byClaim, key)
		}
	}
}

// touch marks what the object matters for.
func (s *State) touch(obj any) {
	switch o := obj.(type) {
	case *storagev1.CSINode:
		s.recount(o.Name)
	case *storagev1.VolumeAttachment:
		s.recount(o.Spec.NodeName)
	default:
		s.references.touch(obj)
	}
}

// touch marks the classes for which the object matters. A claim or a bound volume matters to its pods; anything else to those that
// wait for a volume.
func (r *references) touch(obj any) {
	var key types.NamespacedName
	switch o := obj.(type) {
	case *corev1.PersistentVolumeClaim:
		key = types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	case *corev1.PersistentVolume:
		if ref := o.Spec.ClaimRef; ref != nil {
			key = types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
		}
		r.open = true
	default:
		r.open = true
	}
	for c := range r.byClaim[key] {
		r.changed[c] = true
	}
}

// volumeClaims are the names of the pod's claims.
func volumeClaims(pod *corev1.Pod) []types.NamespacedName {
	var out []types.NamespacedName
	for i := range pod.Spec.Volumes {
		switch v := &pod.Spec.Volumes[i]; {
		case v.PersistentVolumeClaim != nil:
			out = append(out, types.NamespacedName{Namespace: pod.Namespace, Name: v.PersistentVolumeClaim.ClaimName})
		case v.Ephemeral != nil:
			out = append(out, types.NamespacedName{Namespace: pod.Namespace, Name: ephemeral.VolumeClaimName(pod, v)})
		}
	}
	return out
}

// refer takes in an object that pods refer to.
func (s *State) refer(obj any) bool {
	switch obj.(type) {
	case *corev1.PersistentVolumeClaim, *corev1.PersistentVolume, *storagev1.StorageClass, *storagev1.CSINode, *storagev1.CSIDriver,
		*storagev1.CSIStorageCapacity, *storagev1.VolumeAttachment:
		if s.volumes.Upsert(obj) {
			s.touch(obj)
		}
	case *resourcev1.DeviceClass:
		s.references.devices = s.devices.Upsert(obj) || s.references.devices
	case *resourcev1.ResourceClaim, *resourcev1.ResourceClaimTemplate, *resourcev1.ResourceSlice, *resourcev1.DeviceTaintRule:
		s.devices.Upsert(obj)
	default:
		return s.gangs.upsert(obj)
	}
	return true
}

// unrefer forgets an object that pods refer to.
func (s *State) unrefer(obj any) {
	if s.gangs.remove(obj) {
		return
	}
	s.volumes.Delete(obj)
	s.devices.Delete(obj)
	s.touch(obj)
	s.references.devices = true
}

// claim finds what a new class asks for, and keeps those that ask for anything.
func (s *State) claim(c *class) {
	k := claims{gang: gangOf(c.sample), devices: s.wantsDevices(c.sample)}
	for i := range c.sample.Spec.Volumes {
		v := &c.sample.Spec.Volumes[i]
		k.volumes = k.volumes || v.PersistentVolumeClaim != nil || v.Ephemeral != nil || v.GCEPersistentDisk != nil || v.AWSElasticBlockStore != nil ||
			v.AzureDisk != nil || v.Cinder != nil || v.ISCSI != nil || v.RBD != nil || v.PortworxVolume != nil
	}
	if !k.volumes && !k.devices && k.gang == (gangID{}) {
		return
	}
	k.filter, k.request = c.filter, c.request
	c.claims = &k
	s.references.add(c)
}

// wantsDevices is true for pods that only a device allocator can answer for.
func (s *State) wantsDevices(pod *corev1.Pod) bool {
	if len(pod.Spec.ResourceClaims) > 0 {
		return true
	}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			for name, q := range containers[i].Resources.Requests {
				if !q.IsZero() && s.devices.Backs(name) {
					return true
				}
			}
		}
	}
	return false
}

// readClaims brings the classes up to date with what they refer to, before a plan.
func (s *State) readClaims() {
	r := &s.references
	if r.devices {
		r.devices = false
		for _, c := range s.classes {
			if c.claims != nil {
				c.claims.devices = s.wantsDevices(c.sample)
			} else {
				s.claim(c)
			}
		}
	}
	if r.open {
		r.open = false
		for c := range r.all {
			if k := c.claims; k.volumes && (len(k.needs.Unbound) > 0 || k.needs.Unschedulable != "") {
				r.changed[c] = true
			}
		}
	}
	if len(r.changed) == 0 {
		return
	}
	for c := range r.changed {
		if c.claims.volumes {
			s.readVolumes(c)
			if c.claims.shared = false; len(c.claims.needs.Unbound) > 0 {
				r.unbound[c] = true
			} else {
				delete(r.unbound, c)
			}
			for t := range c.sites {
				t.attachStale = true
			}
		}
	}
	clear(r.changed)
	users := map[string]int{}
	for c := range r.unbound {
		for _, claim := range c.claims.needs.Unbound {
			users[claim] += c.members
		}
	}
	for c := range r.unbound {
		c.claims.shared = slices.ContainsFunc(c.claims.needs.Unbound, func(claim string) bool { return users[claim] > 1 })
	}
}

// readVolumes puts the class's volumes into its filter, its request and its ports.
func (s *State) readVolumes(c *class) {
	k := c.claims
	k.needs = s.volumes.Needs(c.sample)
	c.filter, c.request = k.filter, k.request
	if len(k.needs.Terms) > 0 {
		c.filter = s.filterOf(&c.sample.Spec, k.needs.Terms...)
	}
	if len(k.needs.Attach) > 0 {
		c.request = k.request.clone()
		for _, driver := range slices.Sorted(maps.Keys(k.needs.Attach)) {
			d := s.attachDimension(driver)
			for len(c.request) <= d {
				c.request = append(c.request, 0)
			}
			c.request[d] = int64(len(k.needs.Attach[driver]))
		}
	}
	if len(k.needs.Disks) > 0 {
		c.ports = hostPorts(&c.sample.Spec)
		for _, disk := range k.needs.Disks {
			c.ports = append(c.ports, diskPort(disk))
		}
	}
}

// A disk that must not be on a node twice is kept like a port of the node: readers are port 0 of it, writers all of it.
const (
	diskProtocol = "disk:"
	readers      = "readers"
)

func diskPort(d volume.Disk) hostPort {
	p := hostPort{port: -1, protocol: corev1.Protocol(diskProtocol + d.Name), ip: anyIP}
	if d.ReadOnly {
		p.ip = readers
	}
	return p
}

// attachDimension is where volumes of the driver are counted.
func (s *State) attachDimension(driver string) int {
	d := s.dims.of(corev1.ResourceName(attachPrefix + driver))
	if _, known := s.attached[driver]; !known {
		s.attached[driver] = d
		s.attachStale = true
	}
	return d
}

// unpriced is true for what most nodes have more than enough of, at no price: room for volumes, and resources that devices stand behind.
func (s *State) unpriced(i int) bool { return s.dims.isAttach(i) || s.devices.Backs(s.dims.names[i]) }

// isAttach says whether the dimension counts attached volumes.
func (d *dimensions) isAttach(i int) bool { return strings.HasPrefix(string(d.names[i]), attachPrefix) }

// countAttached says how many more volumes each node and each offer takes. A volume that several pods of a node use counts once,
// which adding requests up would not do, and so nodes whose pods or volumes have changed are counted anew.
func (s *State) countAttached() {
	if len(s.attached) == 0 {
		return
	}
	for _, t := range s.nodes {
		if s.attachStale || t.attachStale {
			t.attachStale = false
			s.countAttachedTo(t)
		}
	}
	if s.attachStale {
		s.stock = nil // what they have room for changes
		for _, v := range s.varieties {
			for driver, d := range s.attached {
				free := int64(plenty)
				if limit, limited := v.offer.AttachLimits[driver]; limited {
					free = int64(limit)
				}
				v.free, v.capacity = v.free.with(d, free), v.capacity.with(d, free)
			}
		}
	}
	s.attachStale = false
}

func (s *State) countAttachedTo(t *site) {
	for driver, d := range s.attached {
		limit, limited := s.attachLimit(t, driver)
		if !limited {
			t.free = t.free.with(d, plenty)
			continue
		}
		used := map[string]struct{}{}
		for c := range t.counts {
			if c.claims != nil {
				for _, name := range c.claims.needs.Attach[driver] {
					used[name] = struct{}{}
				}
			}
		}
		for _, name := range s.volumes.Attached(t.name)[driver] {
			used[name] = struct{}{}
		}
		t.free = t.free.with(d, int64(limit-len(used)))
	}
}

// recount has the node's volumes counted anew.
func (s *State) recount(node string) {
	if t := s.nodes[node]; t != nil {
		t.attachStale = true
	}
}

func (s *State) attachLimit(t *site, driver string) (int, bool) {
	if limit, ok := s.volumes.AttachLimit(t.name, driver); ok {
		return limit, true
	}
	limit, ok := t.view.AttachLimits[driver]
	return int(limit), ok
}

// with is the vector with n in the place, which may have grown.
func (free vector) with(i int, n int64) vector {
	for len(free) <= i {
		free = append(free, 0)
	}
	free[i] = n
	return free
}

// singly is true if the pods have to be placed one at a time, because each changes what is left for the next: of volumes, or devices.
func (c *class) singly() bool {
	k := c.claims
	return k != nil && (k.devices || k.shared || len(k.needs.Choices) > 0 || len(k.needs.Exclusive) > 0)
}

// held says why the batch waits whatever nodes there are, false when it does not.
func (p *planning) held(b *batch) (Reason, bool) {
	c := b.class
	if gates := c.sample.Spec.SchedulingGates; len(gates) > 0 {
		return Reason{Code: reasonGate, Message: fmt.Sprintf("the pod waits for its scheduling gate %s", gates[0].Name)}, true
	}
	if c.claims == nil {
		return Reason{}, false
	}
	if why := c.claims.needs.Unschedulable; why != "" {
		return Reason{Code: reasonVolume, Message: why}, true
	}
	if _, why := p.s.gangs.needs(c.claims.gang); why != "" {
		return Reason{Code: reasonGang, Message: why}, true
	}
	if why, ok := p.left[c.claims.gang]; ok {
		return Reason{Code: reasonGang, Message: why}, true
	}
	return Reason{}, false
}
