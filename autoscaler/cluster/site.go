package cluster

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// site is where pods can be: a node that there is or is expected, or one that a plan would buy.
type site struct {
	// index tells sites apart; it stands for the hostname in topologies.
	index int32
	name  string
	// node has the labels and taints that filters look at.
	node  *corev1.Node
	shape *shape
	// domains are the site's by topology key.
	domains []int32
	// free is what is allocatable less what the pods request. It may be negative.
	free  vector
	ports map[hostPort]int
	// closed sites take no pods: leaving, or removed in a simulation.
	closed bool
	// absent sites are gone in a simulation, and their pods with them.
	absent bool
	// members are the pods bound here; counts has them by class.
	members []*member
	counts  map[*class]int
	// daemons is what DaemonSets' pods will take on an expected node.
	daemons vector

	// attachStale is true when its volumes are to be counted anew.
	attachStale bool

	view   NodeView
	sorted bool

	// planned is what a plan puts here, in order.
	planned []placed
	// parts is the length that planned will have.
	parts int
	// variety is what would be bought, nil for a node.
	variety *variety
	// spare is what it would have free as another variety, 0 in spareAt when that is not known.
	spare   vector
	spareAt int
}

// placed is n pods of a batch that a plan puts on a site.
type placed struct {
	batch *batch
	n     int
}

func (t *site) bound(m *member, s *State) {
	m.site, m.parked = t, ""
	m.slot = len(t.members)
	t.members = append(t.members, m)
	t.counts[m.class]++
	m.class.sites[t]++
	t.occupy(m.class, 1)
	t.tell(s, m.class, 1)
	t.changed(s)
}

func (t *site) unbound(m *member, s *State) {
	last := len(t.members) - 1
	t.members[m.slot] = t.members[last]
	t.members[m.slot].slot = m.slot
	t.members[last] = nil
	t.members = t.members[:last]
	if t.counts[m.class]--; t.counts[m.class] == 0 {
		delete(t.counts, m.class)
		delete(m.class.sites, t)
	} else {
		m.class.sites[t]--
	}
	t.occupy(m.class, -1)
	t.tell(s, m.class, -1)
	m.site = nil
	t.changed(s)
}

// tell keeps the counts that hold up to date.
func (t *site) tell(s *State, c *class, n int) {
	for _, list := range [2][]*tally{c.relation.adds, c.relation.carries} {
		for _, y := range list {
			if y.holds(s) {
				y.add(s, t, n)
			}
		}
	}
}

func (t *site) changed(s *State) {
	t.sorted, t.attachStale = false, true
	t.view.LastPodChange = s.now
	s.generation++
}

// occupy takes room for n pods of the class, or gives it back when n is negative.
func (t *site) occupy(c *class, n int) {
	t.free = t.free.take(c.request, n)
	t.spareAt = 0
	t.takePorts(c.ports, n)
}

func (t *site) pods() []*corev1.Pod {
	if !t.sorted {
		t.view.Pods = make([]*corev1.Pod, 0, len(t.members))
		for _, m := range t.members {
			t.view.Pods = append(t.view.Pods, m.pod)
		}
		slices.SortFunc(t.view.Pods, func(a, b *corev1.Pod) int {
			if d := strings.Compare(a.Namespace, b.Namespace); d != 0 {
				return d
			}
			return strings.Compare(a.Name, b.Name)
		})
		t.sorted = true
	}
	return t.view.Pods
}
