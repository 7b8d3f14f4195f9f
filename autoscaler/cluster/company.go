package cluster

import (
	"cmp"
	"slices"
	"strconv"
)

// company is how pods get on with others on one new node: which of the packer's counts they add to, and which counts must stay at
// or below a bound while they are there. It holds whatever comes first, so that the scheduler may bind the pods in any order.
type company struct {
	adds   []int
	bounds []companyBound
}

type companyBound struct {
	count int
	most  int32
	// self says that the pods add to the count.
	self bool
}

// companyOf is the class's demands on one node, nil when there are none, with a key for it.
func (k *packer) companyOf(c *class) (*company, string) {
	r := &c.relation
	var co company
	bound := func(y *tally, most int32) {
		if y.keyID == hostnameKey {
			co.bounds = append(co.bounds, companyBound{k.slot(y), most, slices.Contains(r.adds, y)})
		}
	}
	for i := range r.spread {
		bound(r.spread[i].tally, r.spread[i].maxSkew)
	}
	for _, y := range r.anti {
		most := int32(0)
		if slices.Contains(r.adds, y) {
			most = 1
		}
		bound(y, most)
	}
	for _, y := range r.adds {
		if y.keyID == hostnameKey && y.live == k.p {
			co.adds = append(co.adds, k.slot(y))
		}
	}
	if len(co.adds)+len(co.bounds) == 0 {
		return nil, ""
	}
	slices.Sort(co.adds)
	slices.SortFunc(co.bounds, func(a, b companyBound) int { return cmp.Or(cmp.Compare(a.count, b.count), cmp.Compare(a.most, b.most)) })
	var key []byte
	for _, a := range co.adds {
		key = strconv.AppendInt(append(key, '+'), int64(a), 10)
	}
	for _, b := range co.bounds {
		key = strconv.AppendInt(append(key, '<'), int64(b.count), 10)
		key = strconv.AppendInt(append(key, '='), int64(b.most), 10)
	}
	return &co, string(key)
}

// slot is the place of a tally among the packer's counts.
func (k *packer) slot(y *tally) int {
	if i := slices.Index(k.slots, y); i >= 0 {
		return i
	}
	k.slots = append(k.slots, y)
	k.table = append(k.table, nodeCount{most: unbounded})
	return len(k.slots) - 1
}

// nodeCount is a count on the node that is being filled, and what bounds it.
type nodeCount struct{ count, most int32 }

const unbounded = int32(1<<31 - 1)

// welcome is how many of up to n pods the node being filled takes beside those that are on it.
func (k *packer) welcome(co *company, n int) int {
	for _, a := range co.adds {
		n = min(n, int(k.table[a].most-k.table[a].count))
	}
	for _, b := range co.bounds {
		if room := int(b.most - k.table[b.count].count); b.self {
			n = min(n, room)
		} else if room < 0 {
			return 0
		}
	}
	return n
}

func (k *packer) join(co *company, n int) {
	for _, a := range co.adds {
		k.table[a].count += int32(n)
		k.touched = append(k.touched, a)
	}
	for _, b := range co.bounds {
		k.table[b.count].most = min(k.table[b.count].most, b.most)
		k.touched = append(k.touched, b.count)
	}
}

// clear makes the table that of an empty node.
func (k *packer) clear() {
	for _, a := range k.touched {
		k.table[a] = nodeCount{most: unbounded}
	}
	k.touched = k.touched[:0]
}

// findSeeds finds the largest group of pods of which a node takes only so many: they force nodes, and every node should start with
// one of them for as long as there are any, or the last of them end up alone on nodes of their own.
func (k *packer) findSeeds() {
	k.seeds, k.forced = nil, 0
	for i := range k.slots {
		pods, most := 0, unbounded
		var group []*bucket
		for _, b := range k.buckets {
			if b.company == nil {
				continue
			}
			for _, bd := range b.company.bounds {
				if bd.count == i && bd.self {
					pods += b.count
					most = min(most, bd.most)
					group = append(group, b)
				}
			}
		}
		if pods == 0 {
			continue
		}
		if nodes := (pods + int(most) - 1) / int(max(most, 1)); nodes > k.forced {
			k.forced, k.seeds, k.perNode = nodes, group, int(max(most, 1))
		}
	}
	slices.SortStableFunc(k.seeds, func(a, b *bucket) int { return cmp.Compare(b.value, a.value) })
}

// seedsLeft is how many nodes the seeds still force.
func (k *packer) seedsLeft() int {
	k.seeds = slices.DeleteFunc(k.seeds, func(b *bucket) bool { return b.count == 0 })
	n := 0
	for _, b := range k.seeds {
		n += b.count
	}
	if n == 0 {
		return 0
	}
	return (n + k.perNode - 1) / k.perNode
}
