package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"

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

// refer takes in an object that pods refer to.
func (s *State) refer(obj any) bool {
	switch obj.(type) {
	case *corev1.PersistentVolumeClaim, *corev1.PersistentVolume, *storagev1.StorageClass, *storagev1.CSINode, *storagev1.CSIDriver,
		*storagev1.CSIStorageCapacity, *storagev1.VolumeAttachment:
		s.referred = s.volumes.Upsert(obj) || s.referred
	case *resourcev1.DeviceClass:
		s.recount = s.devices.Upsert(obj) || s.recount
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
	s.referred, s.recount = true, true
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
	s.claiming[c] = true
	s.referred = s.referred || k.volumes
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
	if s.recount {
		s.recount = false
		for _, c := range s.classes {
			if c.claims != nil {
				c.claims.devices = s.wantsDevices(c.sample)
			} else {
				s.claim(c)
			}
		}
	}
	if s.referred {
		s.referred = false
		users := map[string]int{}
		for c := range s.claiming {
			if c.claims.volumes {
				s.readVolumes(c)
				for _, claim := range c.claims.needs.Unbound {
					users[claim] += c.members
				}
			}
		}
		for c := range s.claiming {
			c.claims.shared = slices.ContainsFunc(c.claims.needs.Unbound, func(claim string) bool { return users[claim] > 1 })
		}
		s.attachStale = true
	}
	s.countAttached()
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
		c.ports = hostPorts(c.sample)
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

// isAttach says whether the dimension counts attached volumes.
func (d *dimensions) isAttach(i int) bool { return strings.HasPrefix(string(d.names[i]), attachPrefix) }

// countAttached says how many more volumes each node and each offer takes. A volume that several pods of a node use counts once,
// which adding requests up would not do, and so it is counted anew when pods or volumes have changed.
func (s *State) countAttached() {
	if len(s.attached) == 0 || !s.attachStale && s.attachedAt == s.generation {
		return
	}
	s.attachStale, s.attachedAt = false, s.generation
	used := map[*site]map[string]map[string]struct{}{}
	enter := func(t *site, driver string, names []string) {
		if used[t] == nil {
			used[t] = map[string]map[string]struct{}{}
		}
		if used[t][driver] == nil {
			used[t][driver] = map[string]struct{}{}
		}
		for _, name := range names {
			used[t][driver][name] = struct{}{}
		}
	}
	for c := range s.claiming {
		for driver, names := range c.claims.needs.Attach {
			for t := range c.sites {
				if _, limited := s.attachLimit(t, driver); limited {
					enter(t, driver, names)
				}
			}
		}
	}
	for _, t := range s.nodes {
		for driver, names := range s.volumes.Attached(t.name) {
			enter(t, driver, names)
		}
		for driver, d := range s.attached {
			free := int64(plenty)
			if limit, limited := s.attachLimit(t, driver); limited {
				free = int64(limit - len(used[t][driver]))
			}
			t.free = t.free.with(d, free)
		}
	}
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
