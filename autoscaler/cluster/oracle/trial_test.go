package oracle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// trial is a case on the lab.
type trial struct {
	*lab
	c     *Case
	nodes []*corev1.Node
	// given are the pods as they were drawn, bound and pending as the API server completes them.
	given   map[types.NamespacedName]*corev1.Pod
	bound   []*corev1.Pod
	pending []*corev1.Pod
	plan    cluster.Plan
	new     []*corev1.Node
	// spent is what all plans have bought so far.
	spent Account
	// serial tells nodes apart that are offered.
	serial int
}

func (l *lab) run(ctx context.Context, c *Case) (verdict, error) {
	r := &trial{lab: l, c: c, given: map[types.NamespacedName]*corev1.Pod{}}
	for _, p := range slices.Concat(c.Bound, c.Pending) {
		r.given[id(p)] = p
	}
	if err := r.prepare(ctx); err != nil {
		return verdict{}, err
	}
	var err error
	if r.plan, err = r.planFor(ctx, r.nodes, r.bound, r.pending); err != nil {
		return verdict{}, err
	}
	if v := r.lawful(); v.deviates() {
		return v, nil
	}
	if r.new, err = r.makeNodes(ctx, c, bought(r.plan, fmt.Sprintf("n%d-new", c.Seed)), c.Storage.Limit); err != nil {
		return verdict{}, err
	}
	v, err := r.free(ctx)
	if err != nil || v.deviates() {
		return v, err
	}
	if v.outcome != agrees || c.Seed%3 == 0 {
		if strict, err := r.strict(ctx); err != nil || strict.outcome != agrees {
			return strict, err
		}
	}
	if v.outcome != agrees && v.outcome != packsOther {
		return v, nil
	}
	for _, check := range []func(context.Context, []cluster.Unschedulable) (verdict, error){r.unschedulable, r.gangless} {
		if none, err := check(ctx, r.plan.Unschedulable); err != nil || none.outcome != agrees {
			return none, err
		}
	}
	return v, nil
}

// prepare makes what there is before the plan.
func (r *trial) prepare(ctx context.Context) (err error) {
	c := r.c
	if err := r.makeVolumes(ctx, c); err != nil {
		return err
	}
	// Pods come before the DaemonSets' pods, which are bound where they left room.
	daemons := c.DaemonSets
	c.DaemonSets = nil
	if r.nodes, err = r.makeNodes(ctx, c, c.Nodes, c.Storage.Limit); err != nil {
		return err
	}
	if r.bound, err = r.complete(ctx, c.Bound); err != nil {
		return err
	}
	if r.pending, err = r.complete(ctx, c.Pending); err != nil {
		return err
	}
	if err := r.restore(ctx); err != nil {
		return err
	}
	for _, d := range daemons {
		if _, err := r.client.AppsV1().DaemonSets(d.Namespace).Create(ctx, d, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	c.DaemonSets = daemons
	return r.awaitAgents(ctx, c, r.nodes)
}

// restore makes bound pods that are not there.
func (r *trial) restore(ctx context.Context) error {
	found, err := r.pods(ctx)
	if err != nil {
		return err
	}
	return each(r.bound, func(p *corev1.Pod) error {
		if found[id(p)] != nil {
			return nil
		}
		return r.create(ctx, r.given[id(p)])
	})
}

// planFor plans and notes what was bought. DaemonSets' pods are told of as far as they found room.
func (r *trial) planFor(ctx context.Context, nodes []*corev1.Node, bound, pending []*corev1.Pod) (cluster.Plan, error) {
	agents, err := r.agents(ctx)
	if err != nil {
		return cluster.Plan{}, err
	}
	agents = slices.DeleteFunc(agents, func(p *corev1.Pod) bool { return p.Spec.NodeName == "" })
	// The API server has put the RuntimeClass' overhead and selector into the pods.
	class := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: Sandboxed}}
	offers := slices.Clone(r.c.Offers)
	for i := range offers {
		if o := &r.c.Offers[i]; o.Stock >= 0 {
			offers[i].Stock = max(0, o.Stock-r.spent.Offers[o.ID()])
		}
	}
	told := *r.c
	told.Offers = offers
	state, err := told.State(r.spent.Left(r.c), nodes, slices.Concat(bound, pending, agents), class)
	if err != nil {
		return cluster.Plan{}, err
	}
	plan := state.Plan(cluster.Options{})
	for i := range plan.Create {
		r.spent.Buy(&plan.Create[i].Offer, 1)
	}
	return plan, nil
}

// own is the resource that every pod of the case requests.
func (r *trial) own() string { return caseResource + fmt.Sprint(r.c.Seed) }

// lawful says whether the plan is within limits, and has a place for as many of a gang as it needs or for none.
func (r *trial) lawful() verdict {
	if what := r.spent.Exceeds(r.c); what != "" {
		return verdict{outcome: exceeds, detail: what + "\n" + describe(r.plan)}
	}
	placed := 0
	for name := range r.planned(r.plan, bought(r.plan, "new")) {
		if r.given[name].Labels[GangLabel] != "" {
			placed++
		}
	}
	if placed > 0 && placed < r.c.Needs() {
		return verdict{outcome: partial, detail: describe(r.plan)}
	}
	return verdict{outcome: agrees}
}

// planned are the pods that the plan has a place for, with its node.
func (r *trial) planned(plan cluster.Plan, new []*corev1.Node) map[types.NamespacedName]string {
	places := map[types.NamespacedName]string{}
	for _, p := range slices.Concat(plan.Placed, plan.Preempting) {
		places[p.Pod.NamespacedName] = p.Node
	}
	for i, n := range plan.Create {
		for _, p := range n.Pods {
			places[p.NamespacedName] = new[i].Name
		}
	}
	return places
}

// free lets the scheduler choose, and plans again for what it leaves over.
func (r *trial) free(ctx context.Context) (verdict, error) {
	places := r.planned(r.plan, r.new)
	var wanted []types.NamespacedName
	var create []*corev1.Pod
	for _, p := range r.pending {
		if places[id(p)] != "" {
			wanted, create = append(wanted, id(p)), append(create, p)
		}
	}
	for _, p := range create {
		if err := r.create(ctx, r.given[id(p)], r.own()); err != nil {
			return verdict{}, err
		}
	}
	v := verdict{outcome: agrees}
	cost := price(r.plan)
	all := slices.Concat(r.nodes, r.new)
	for round := range 4 {
		found, err := r.settleAll(ctx, wanted, nil)
		if err != nil {
			return v, err
		}
		left, err := r.leftOver(ctx, create, found, &v)
		if err != nil || len(left) == 0 {
			return v, err
		}
		v.outcome = packsOther
		var bound []*corev1.Pod
		for _, q := range found {
			if q.Spec.NodeName != "" {
				bound = append(bound, q)
			}
		}
		again, err := r.planFor(ctx, all, bound, left)
		if err != nil {
			return v, err
		}
		v.detail += describe(again)
		if what := r.spent.Exceeds(r.c); what != "" {
			v.outcome = exceeds
			return v, nil
		}
		if len(again.Unschedulable) > 0 {
			none, err := r.unschedulable(ctx, again.Unschedulable)
			if err == nil && none.outcome == agrees {
				none.outcome = cornered
				if r.c.Features["policy limits"] || r.c.Features["stock"] {
					none.outcome = atLimit
				}
			}
			return none, err
		}
		if len(again.Create)+len(again.Placed)+len(again.Preempting) == 0 || round == 3 {
			v.outcome = endless
			return v, nil
		}
		more, err := r.makeNodes(ctx, r.c, bought(again, fmt.Sprintf("n%d-more-%d", r.c.Seed, round)), r.c.Storage.Limit)
		if err != nil {
			return v, err
		}
		all = slices.Concat(all, more)
		if cost > 0 {
			v.extra += price(again) / cost
		}
	}
	return v, nil
}

// leftOver are the pods that are not bound. One that was evicted is made again, as whoever controls it would.
func (r *trial) leftOver(ctx context.Context, pods []*corev1.Pod, found map[types.NamespacedName]*corev1.Pod, v *verdict) ([]*corev1.Pod, error) {
	var left []*corev1.Pod
	for _, p := range pods {
		q := found[id(p)]
		if q != nil && q.Spec.NodeName != "" {
			continue
		}
		left = append(left, p)
		v.detail += fmt.Sprintf("  %s %s\n", id(p), message(q))
		if q == nil {
			if err := r.create(ctx, r.given[id(p)], r.own()); err != nil {
				return nil, err
			}
		}
	}
	return left, nil
}

// settleAll makes pods that were left over anew until that changes nothing any more. The scheduler does not take every change that
// matters for one (of a namespace selector's pods, for instance) and would look at them again after five minutes; and what it last
// said of a pod may be older than others' binding. Places are those that pods are offered, if they are.
func (r *trial) settleAll(ctx context.Context, wanted []types.NamespacedName, places map[types.NamespacedName]string) (map[types.NamespacedName]*corev1.Pod, error) {
	before := ""
	for range len(wanted) + 4 {
		found, err := r.settle(ctx, wanted)
		if err != nil {
			return nil, err
		}
		var left []types.NamespacedName
		for _, w := range wanted {
			// One that was evicted for another is made again by whoever controls it; where each has its place that ends.
			if p := found[w]; p == nil && places != nil || p != nil && p.Spec.NodeName == "" {
				left = append(left, w)
			}
		}
		now := standing(found, wanted)
		if len(left) == 0 || now == before {
			return found, nil
		}
		before = now
		if err := r.remake(ctx, left, places); err != nil {
			return nil, err
		}
	}
	return r.settle(ctx, wanted)
}

// remake deletes pods and makes them again.
func (r *trial) remake(ctx context.Context, pods []types.NamespacedName, places map[types.NamespacedName]string) error {
	for _, w := range pods {
		if err := r.delete(ctx, w); err != nil {
			return err
		}
	}
	if err := r.freed(ctx); err != nil {
		return err
	}
	for _, w := range pods {
		extended := []string{r.own()}
		if places != nil {
			extended = append(extended, pinResource+places[w])
		}
		if err := r.create(ctx, r.given[w], extended...); err != nil {
			return err
		}
	}
	return nil
}

func (r *trial) delete(ctx context.Context, pod types.NamespacedName) error {
	err := r.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, *metav1.NewDeleteOptions(0))
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// freed waits until the devices of pods that are gone are claimed no more.
func (r *trial) freed(ctx context.Context) error {
	if len(r.c.Devices) == 0 {
		return nil
	}
	return wait(ctx, "devices of pods that are gone to be free", func() (bool, error) {
		found, err := r.pods(ctx)
		if err != nil {
			return false, err
		}
		alive := map[types.UID]bool{}
		for _, p := range found {
			alive[p.UID] = true
		}
		for _, namespace := range []string{NamespaceA, NamespaceB} {
			claims, err := r.client.ResourceV1().ResourceClaims(namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return false, err
			}
			for i := range claims.Items {
				if owner := metav1.GetControllerOf(&claims.Items[i]); owner != nil && !alive[owner.UID] {
					return false, nil
				}
			}
		}
		return true, nil
	})
}

func price(plan cluster.Plan) float64 {
	sum := 0.0
	for _, n := range plan.Create {
		sum += n.Offer.PricePerHour
	}
	return sum
}

// strict offers each pod its planned node alone.
func (r *trial) strict(ctx context.Context) (verdict, error) {
	if err := r.withdraw(ctx); err != nil {
		return verdict{}, err
	}
	places := r.planned(r.plan, r.new)
	var wanted []types.NamespacedName
	for _, p := range r.pending {
		if node := places[id(p)]; node != "" {
			wanted = append(wanted, id(p))
			if err := r.create(ctx, r.given[id(p)], r.own(), pinResource+node); err != nil {
				return verdict{}, err
			}
		}
	}
	found, err := r.settleAll(ctx, wanted, places)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{outcome: agrees}
	for _, w := range wanted {
		if p := found[w]; p == nil || p.Spec.NodeName == "" {
			v.outcome = refused
			v.detail += fmt.Sprintf("  %s, planned on %s, %s\n", w, places[w], message(p))
		}
	}
	if v.outcome != agrees {
		v.detail += describe(r.plan)
	}
	return v, nil
}

// withdraw takes all pods but the bound ones back.
func (r *trial) withdraw(ctx context.Context) error {
	if err := each(r.pending, func(p *corev1.Pod) error { return r.delete(ctx, id(p)) }); err != nil {
		return err
	}
	if err := r.freed(ctx); err != nil {
		return err
	}
	time.Sleep(30 * time.Millisecond) // for the scheduler to hear of it
	return r.restore(ctx)
}

func describe(plan cluster.Plan) string {
	var b strings.Builder
	for i, n := range plan.Create {
		fmt.Fprintf(&b, "  buys %d: %s %s %s for %v\n", i, n.Offer.Name, n.Offer.Zone, n.Offer.CapacityType, n.Pods)
	}
	for _, p := range plan.Placed {
		fmt.Fprintf(&b, "  places %s on %s\n", p.Pod.NamespacedName, p.Node)
	}
	for _, p := range plan.Preempting {
		fmt.Fprintf(&b, "  makes room for %s on %s\n", p.Pod.NamespacedName, p.Node)
	}
	for _, u := range plan.Unschedulable {
		fmt.Fprintf(&b, "  has no place for %s: %v\n", u.Pod.NamespacedName, u.Reasons)
	}
	return b.String()
}
