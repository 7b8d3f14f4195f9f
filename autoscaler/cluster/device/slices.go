package device

import (
	"cmp"
	"slices"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/utils/ptr"
)

// pool names a pool of devices.
type pool struct{ driver, name string }

func poolOf(s *resourcev1.ResourceSlice) pool {
	return pool{driver: s.Spec.Driver, name: s.Spec.Pool.Name}
}

// sliceIndex finds the slices that a node's allocator needs: its own, those that are not bound to a node by name, and whatever else
// belongs to their pools, without which the allocator could not tell whether a pool is complete.
type sliceIndex struct {
	byName map[string]*resourcev1.ResourceSlice
	byNode map[string]map[string]struct{}
	shared map[string]struct{}
	byPool map[pool]map[string]struct{}
	// tainted are slices with the rules' taints, made when asked for.
	tainted map[string]*resourcev1.ResourceSlice
}

func newSliceIndex() sliceIndex {
	return sliceIndex{
		byName:  map[string]*resourcev1.ResourceSlice{},
		byNode:  map[string]map[string]struct{}{},
		shared:  map[string]struct{}{},
		byPool:  map[pool]map[string]struct{}{},
		tainted: map[string]*resourcev1.ResourceSlice{},
	}
}

func (x *sliceIndex) add(s *resourcev1.ResourceSlice) {
	x.remove(s.Name)
	x.byName[s.Name] = s
	enter(x.byPool, poolOf(s), s.Name)
	if node := ptr.Deref(s.Spec.NodeName, ""); node != "" {
		enter(x.byNode, node, s.Name)
	} else {
		x.shared[s.Name] = struct{}{}
	}
}

func (x *sliceIndex) remove(name string) {
	s := x.byName[name]
	if s == nil {
		return
	}
	delete(x.byName, name)
	delete(x.shared, name)
	delete(x.tainted, name)
	leave(x.byPool, poolOf(s), name)
	leave(x.byNode, ptr.Deref(s.Spec.NodeName, ""), name)
}

func (x *sliceIndex) forgetTaints() { clear(x.tainted) }

func enter[K comparable](m map[K]map[string]struct{}, key K, name string) {
	if m[key] == nil {
		m[key] = map[string]struct{}{}
	}
	m[key][name] = struct{}{}
}

func leave[K comparable](m map[K]map[string]struct{}, key K, name string) {
	delete(m[key], name)
	if len(m[key]) == 0 {
		delete(m, key)
	}
}

// slicesFor are those that matter for a node, in the order of their names.
func (c *Catalog) slicesFor(node Node) []*resourcev1.ResourceSlice {
	own := c.slices.byNode[node.Name]
	names := map[string]struct{}{}
	addPools := func(of map[string]struct{}) {
		for name := range of {
			for other := range c.slices.byPool[poolOf(c.slices.byName[name])] {
				names[other] = struct{}{}
			}
		}
	}
	addPools(own)
	addPools(c.slices.shared)
	out := make([]*resourcev1.ResourceSlice, 0, len(names)+len(node.Slices))
	for name := range names {
		out = append(out, c.taint(c.slices.byName[name]))
	}
	slices.SortFunc(out, func(a, b *resourcev1.ResourceSlice) int { return cmp.Compare(a.Name, b.Name) })
	if len(own) > 0 {
		return out // the node's drivers have spoken
	}
	for i := range node.Slices {
		out = append(out, applyRules(expected(&node.Slices[i], node.Name), c.rules))
	}
	return out
}

// expected is the slice that a node's driver will publish. Its pool gets a name of its own, for two nodes from one offer have two
// pools; no claim can see a pool's name.
func expected(template *resourcev1.ResourceSlice, node string) *resourcev1.ResourceSlice {
	s := template.DeepCopy()
	s.Name = template.Name + "@" + node
	if ptr.Deref(s.Spec.AllNodes, false) || s.Spec.NodeSelector != nil {
		return s // reachable from elsewhere as well, and hence one pool whatever is bought
	}
	s.Spec.Pool.Name = template.Spec.Pool.Name + "@" + node
	if !ptr.Deref(s.Spec.PerDeviceNodeSelection, false) {
		s.Spec.NodeName = &node
		return s
	}
	for i := range s.Spec.Devices {
		d := &s.Spec.Devices[i]
		if d.NodeSelector == nil && !ptr.Deref(d.AllNodes, false) {
			d.NodeName = &node
		}
	}
	return s
}

func (c *Catalog) taint(s *resourcev1.ResourceSlice) *resourcev1.ResourceSlice {
	if len(c.rules) == 0 {
		return s
	}
	if c.slices.tainted[s.Name] == nil {
		c.slices.tainted[s.Name] = applyRules(s, c.rules)
	}
	return c.slices.tainted[s.Name]
}

// applyRules adds the taints of the rules that select devices of the slice, on a copy where there are any.
func applyRules(s *resourcev1.ResourceSlice, rules map[string]*resourcev1.DeviceTaintRule) *resourcev1.ResourceSlice {
	out := s
	for _, rule := range rules {
		selector := rule.Spec.DeviceSelector
		if selector == nil || !allows(selector.Driver, s.Spec.Driver) || !allows(selector.Pool, s.Spec.Pool.Name) {
			continue
		}
		for i := range s.Spec.Devices {
			if !allows(selector.Device, s.Spec.Devices[i].Name) {
				continue
			}
			if out == s {
				out = s.DeepCopy()
			}
			out.Spec.Devices[i].Taints = append(out.Spec.Devices[i].Taints, rule.Spec.Taint)
		}
	}
	return out
}

func allows(want *string, is string) bool { return want == nil || *want == is }
