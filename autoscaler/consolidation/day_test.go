package consolidation_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// day is a cluster through 24 hours: workloads whose replicas follow the time of day, a scheduler that spreads pods as kube-scheduler
// does by default (the feasible node with the least requested), nodes bought by the planner for pods that fit nowhere, and a
// consolidator that is tried out. Nothing in it is random but by its seed, and nothing but the consolidator differs between runs.
type day struct {
	t         testing.TB
	now       time.Time
	random    *rand.Rand
	state     *cluster.State
	policy    *v1alpha1.NodePolicy
	workloads []*workload
	machines  map[string]*machine
	pods      map[types.NamespacedName]*placed
	pending   []*placed
	underWay  []*change
	serial    int
	// check is asked before every eviction, nil when the consolidator does not.
	check   func(node string) bool
	account account
}

// account is what a day comes to.
type account struct {
	// cost is money for all nodes, bound what could not be gone below, both over the day.
	cost, bound float64
	// evictions are pods moved by the consolidator, homeless those of them that found no room at once.
	evictions, homeless                           int
	removed, replaced, bought, rolledBack, wasted int
	likeForLike                                   int
	waited                                        time.Duration
	peakNodes, peakPods                           int
	planning                                      time.Duration
	decisions, simulations                        int
	slowest                                       time.Duration
}

type workload struct {
	name       string
	milli, mib int64
	low, high  float64
	phase      float64
	pods       []*placed
}

type placed struct {
	pod   *corev1.Pod
	key   types.NamespacedName
	owner *workload
	node  string
	since time.Time
	// evicted is true for the successor of a pod that was evicted.
	evicted bool
}

type machine struct {
	name             string
	node             cluster.Node
	shape            string
	readyAt, created time.Time
	milli, mib       int64
	count            int
	freeMilli        int64
	freeMiB          int64
	grown            bool
}

// change is a replacement whose new nodes are awaited.
type change struct {
	remove  []string
	created []string
}

const (
	bootTime = 2 * time.Minute
	step     = time.Minute
)

// consolidator is what is tried out. It is asked once a step.
type consolidator func(d *day)

// offersOfTheDay are three families of seven sizes: 2, 4 and 8 GiB to the core, at the relations of public on-demand prices. A
// sixteenth of the CPU and an eighth of the memory are the system's.
func offersOfTheDay() (all []cluster.Offer) {
	for _, family := range []struct {
		name  string
		gib   int64
		price float64
	}{{"c", 2, 0.0446}, {"m", 4, 0.0504}, {"r", 8, 0.0662}} {
		for _, cores := range []int64{1, 2, 4, 8, 16, 32, 48} {
			o := offer(fmt.Sprintf("%s-%d", family.name, cores), cores, family.price*float64(cores))
			o.Allocatable = corev1.ResourceList{
				corev1.ResourceCPU:    *resource.NewMilliQuantity(cores*940, resource.DecimalSI),
				corev1.ResourceMemory: *resource.NewQuantity(cores*family.gib*896<<20, resource.BinarySI),
				corev1.ResourcePods:   *resource.NewQuantity(110, resource.DecimalSI),
			}
			all = append(all, o)
		}
	}
	return all
}

func newDay(t testing.TB, seed uint64, workloads int, after time.Duration) *day {
	d := &day{
		t: t, now: noon.Add(-12 * time.Hour), random: rand.New(rand.NewPCG(seed, 7)), state: cluster.NewState(),
		machines: map[string]*machine{}, pods: map[types.NamespacedName]*placed{},
	}
	d.policy = &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "general"}}
	d.policy.Spec.Mode = v1alpha1.Apply
	d.policy.Spec.Disruption.Consolidation.After = &metav1.Duration{Duration: after}
	d.state.SetOffers(offersOfTheDay())
	d.state.SetPolicies([]cluster.Policy{{Name: "general"}})
	millis := []int64{100, 200, 250, 400, 500, 750, 1000, 1500, 2000}
	perCore := []int64{1024, 2048, 3072, 4096, 6144}
	for i := range workloads {
		milli := millis[d.random.IntN(len(millis))]
		low := 1 + 4*d.random.Float64()
		d.workloads = append(d.workloads, &workload{
			name: fmt.Sprintf("w%03d", i), milli: milli, mib: milli * perCore[d.random.IntN(len(perCore))] / 1000,
			low: low, high: low * (2 + 3*d.random.Float64()), phase: 14 + 3*d.random.NormFloat64(),
		})
	}
	return d
}

// replicas is what an autoscaler would ask for: a daily wave, and some noise that lasts for ten minutes.
func (w *workload) replicas(now time.Time, seed uint64) int {
	hour := float64(now.Hour()) + float64(now.Minute())/60
	wave := (1 + math.Cos((hour-w.phase)/12*math.Pi)) / 2
	slot := uint64(now.Unix() / 600)
	noise := rand.New(rand.NewPCG(slot, seed^hash(w.name))).NormFloat64() * 0.04
	return max(1, int(math.Round((w.low+(w.high-w.low)*wave)*(1+noise))))
}

func hash(text string) (h uint64) {
	for _, c := range text {
		h = h*31 + uint64(c)
	}
	return h
}

// live goes through 24 hours, after two in which the fleet comes into being.
func (d *day) live(consolidate consolidator, seed uint64) account {
	start := d.now
	for d.now.Before(start.Add(26 * time.Hour)) {
		d.state.SetTime(d.now)
		d.becomeReady()
		d.scale(seed)
		d.schedule()
		d.provision()
		if d.now.Sub(start) >= 2*time.Hour {
			consolidate(d)
			d.schedule()
			d.charge()
		} else {
			d.account = account{}
		}
		d.now = d.now.Add(step)
	}
	return d.account
}

func (d *day) scale(seed uint64) {
	for _, w := range d.workloads {
		want := w.replicas(d.now, seed)
		for len(w.pods) < want {
			d.add(w, false)
		}
		for len(w.pods) > want {
			// A ReplicaSet takes the pods that wait first, and else one that has no reason to be preferred.
			i := slices.IndexFunc(w.pods, func(p *placed) bool { return p.node == "" })
			if i < 0 {
				i = d.random.IntN(len(w.pods))
			}
			d.remove(w.pods[i])
		}
	}
}

func (d *day) add(w *workload, evicted bool) {
	d.serial++
	p := pod(fmt.Sprintf("%s-%06d", w.name, d.serial), w.milli)
	p.Spec.Containers[0].Resources.Requests[corev1.ResourceMemory] = *resource.NewQuantity(w.mib<<20, resource.BinarySI)
	p.OwnerReferences[0].Name, p.OwnerReferences[0].UID = w.name, types.UID(w.name)
	start := metav1.NewTime(d.now)
	p.Status.StartTime, p.Status.Conditions[0].LastTransitionTime = &start, start
	pl := &placed{pod: p, key: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, owner: w, since: d.now, evicted: evicted}
	w.pods = append(w.pods, pl)
	d.pods[pl.key] = pl
	d.pending = append(d.pending, pl)
	if err := d.state.Upsert(p); err != nil {
		d.t.Fatal(err)
	}
}

func (d *day) remove(p *placed) {
	p.owner.pods = slices.DeleteFunc(p.owner.pods, func(o *placed) bool { return o == p })
	delete(d.pods, p.key)
	if p.node == "" {
		d.pending = slices.DeleteFunc(d.pending, func(o *placed) bool { return o == p })
	} else {
		m := d.machines[p.node]
		m.freeMilli, m.freeMiB, m.count = m.freeMilli+p.owner.milli, m.freeMiB+p.owner.mib, m.count-1
	}
	d.state.Delete(p.pod)
}

// schedule binds what fits, the largest first, each to the ready node of which the least is requested.
func (d *day) schedule() {
	nodes := slices.SortedFunc(maps.Values(d.machines), func(a, b *machine) int { return cmp.Compare(a.name, b.name) })
	slices.SortStableFunc(d.pending, func(a, b *placed) int { return cmp.Compare(b.owner.milli+b.owner.mib, a.owner.milli+a.owner.mib) })
	var left []*placed
	for _, p := range d.pending {
		var best *machine
		score := -1.0
		for _, m := range nodes {
			if m.node.Expected || m.node.Leaving || m.freeMilli < p.owner.milli || m.freeMiB < p.owner.mib || m.count >= 110 {
				continue
			}
			if s := float64(m.freeMilli)/float64(m.milli) + float64(m.freeMiB)/float64(m.mib); s > score {
				best, score = m, s
			}
		}
		if best == nil {
			left = append(left, p)
			continue
		}
		p.node = best.name
		best.freeMilli, best.freeMiB, best.count = best.freeMilli-p.owner.milli, best.freeMiB-p.owner.mib, best.count+1
		d.state.Bind(p.key, best.name)
		d.account.waited += d.now.Sub(p.since)
	}
	d.pending = left
}

// provision buys what the planner says for pods without a place.
func (d *day) provision() {
	if len(d.pending) == 0 {
		return
	}
	plan := d.state.Plan(cluster.Options{SkipBound: true})
	for i := range plan.Create {
		d.buy(&plan.Create[i].Offer, true)
		d.account.bought++
	}
	if len(plan.Unschedulable) > 0 {
		d.t.Fatalf("%v", plan.Unschedulable[0])
	}
}

func (d *day) buy(o *cluster.Offer, grown bool) string {
	d.serial++
	name := fmt.Sprintf("node-%06d", d.serial)
	labels := maps.Clone(o.Labels)
	labels[corev1.LabelHostname] = name
	n := cluster.Node{
		Node:         &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Status: corev1.NodeStatus{Allocatable: o.Allocatable}},
		PricePerHour: o.PricePerHour, Policy: "general", Claim: name, Expected: true,
	}
	cpu, memory := o.Allocatable[corev1.ResourceCPU], o.Allocatable[corev1.ResourceMemory]
	m := &machine{name: name, node: n, shape: o.Name, readyAt: d.now.Add(bootTime), created: d.now, milli: cpu.MilliValue(), mib: memory.Value() >> 20, grown: grown}
	m.freeMilli, m.freeMiB = m.milli, m.mib
	d.machines[name] = m
	d.state.SetNode(n)
	return name
}

// becomeReady makes ready what has booted, and carries out what waited for it.
func (d *day) becomeReady() {
	for _, m := range d.machines {
		if m.node.Expected && !d.now.Before(m.readyAt) {
			m.node.Expected = false
			d.state.SetNode(m.node)
		}
	}
	kept := d.underWay[:0]
	for _, c := range d.underWay {
		if slices.ContainsFunc(c.created, func(name string) bool { return d.machines[name].node.Expected }) {
			kept = append(kept, c)
			continue
		}
		d.drain(c.remove)
	}
	d.underWay = kept
}

// carryOut does what a move says: cordon, buy, wait, evict, delete.
func (d *day) carryOut(remove []string, create []cluster.NewNode) {
	for _, name := range remove {
		m := d.machines[name]
		m.node.Leaving = true
		d.state.SetNode(m.node)
		for i := range create {
			if create[i].Offer.Name == m.shape {
				d.account.likeForLike++
			}
		}
	}
	if len(create) == 0 {
		d.account.removed += len(remove)
		d.drain(remove)
		return
	}
	d.account.replaced += len(remove)
	c := &change{remove: remove}
	for i := range create {
		c.created = append(c.created, d.buy(&create[i].Offer, false))
	}
	d.underWay = append(d.underWay, c)
}

// drain evicts pod by pod, the largest first, and lets the scheduler place each before the next.
func (d *day) drain(nodes []string) {
	for _, name := range nodes {
		pods := slices.DeleteFunc(slices.Collect(maps.Values(d.pods)), func(p *placed) bool { return p.node != name })
		slices.SortFunc(pods, func(a, b *placed) int {
			return cmp.Or(cmp.Compare(b.owner.milli+b.owner.mib, a.owner.milli+a.owner.mib), cmp.Compare(a.key.Name, b.key.Name))
		})
		if !d.empty(name, pods) {
			continue
		}
		d.state.DeleteNode(name)
		delete(d.machines, name)
	}
}

// empty is false when the move was rolled back.
func (d *day) empty(name string, pods []*placed) bool {
	for i, p := range pods {
		if d.check != nil && !d.check(name) {
			d.account.rolledBack++
			d.account.wasted += i
			m := d.machines[name]
			m.node.Leaving = false
			d.state.SetNode(m.node)
			return false
		}
		d.remove(p)
		d.add(p.owner, true)
		d.account.evictions++
		before := len(d.pending)
		d.schedule()
		if len(d.pending) == before {
			d.account.homeless++
		}
	}
	return true
}

// charge adds a step's cost, and its bound: what the requests would cost at the cheapest price of each resource, whichever is more.
func (d *day) charge() {
	price, milli, mib := 0.0, int64(0), int64(0)
	for _, m := range d.machines {
		price += m.node.PricePerHour
	}
	for _, p := range d.pods {
		milli, mib = milli+p.owner.milli, mib+p.owner.mib
	}
	d.account.cost += price * step.Hours()
	d.account.bound += bound(milli, mib) * step.Hours()
	d.account.peakNodes = max(d.account.peakNodes, len(d.machines))
	d.account.peakPods = max(d.account.peakPods, len(d.pods))
}

// bound is the volume bound over two resources: no fleet costs less than y·milli + z·mib for prices y, z at which every offer is worth
// at most what it costs. The best of them lies where two offers are tight, or on an axis.
func bound(milli, mib int64) (best float64) {
	type line struct{ a, b, p float64 }
	var lines []line
	for _, o := range offersOfTheDay() {
		cpu, memory := o.Allocatable[corev1.ResourceCPU], o.Allocatable[corev1.ResourceMemory]
		lines = append(lines, line{float64(cpu.MilliValue()), float64(memory.Value() >> 20), o.PricePerHour})
	}
	try := func(y, z float64) {
		for _, l := range lines {
			if y < 0 || z < 0 || l.a*y+l.b*z > l.p*(1+1e-9) {
				return
			}
		}
		best = max(best, y*float64(milli)+z*float64(mib))
	}
	for i, l := range lines {
		try(l.p/l.a, 0)
		try(0, l.p/l.b)
		for _, m := range lines[:i] {
			if det := l.a*m.b - l.b*m.a; math.Abs(det) > 1e-9 {
				try((l.p*m.b-l.b*m.p)/det, (l.a*m.p-l.p*m.a)/det)
			}
		}
	}
	return best
}

func (d *day) candidates() (all []disruption.Candidate) {
	for _, name := range d.state.Nodes() {
		view, _ := d.state.NodeView(name)
		all = append(all, disruption.Candidate{NodeView: view, Ready: !view.Expected, Created: d.machines[name].created})
	}
	return all
}
