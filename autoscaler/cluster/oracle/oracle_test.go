package oracle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// Outcomes of a case.
const (
	agrees      = "agrees"
	packsOther  = "the scheduler packs otherwise, and planning once more ends it"
	cornered    = "the scheduler packs otherwise, and leaves a pod for which no offer has a place any more"
	byEviction  = "the scheduler evicts pods of lower priority for a pod that no free room would do for"
	otherRoom   = "the scheduler packs otherwise, and room is left on a node that there is for a pod that had none"
	refused     = "DEVIATION: the scheduler refuses a pod on its planned node"
	schedulable = "DEVIATION: the scheduler binds a pod that is called unschedulable"
	endless     = "DEVIATION: planning once more does not end it"
)

// verdict is what became of a case.
type verdict struct {
	outcome, detail string
	// extra is what planning once more has cost, as a share of the first plan.
	extra float64
}

// TestPlansAgainstScheduler runs YAGURA_ORACLE_CASES cases (default 200) from seed YAGURA_ORACLE_SEED (default 1).
func TestPlansAgainstScheduler(t *testing.T) {
	ctx := t.Context()
	l := newLab(ctx, t)
	count, first := number(t, "YAGURA_ORACLE_CASES", 200), uint64(number(t, "YAGURA_ORACLE_SEED", 1))
	t.Logf("%d cases from seed %d: YAGURA_ORACLE_SEED=%d YAGURA_ORACLE_CASES=1 repeats the first", count, first, first)
	outcomes, features := map[string]int{}, map[string]int{}
	var extra, pods float64
	started := time.Now()
	for i := range uint64(count) {
		c := Generate(first + i)
		began := time.Now()
		v, err := l.run(ctx, c)
		if os.Getenv("YAGURA_ORACLE_TRACE") != "" {
			t.Logf("seed %d: %s in %s\n%s", c.Seed, v.outcome, time.Since(began).Round(time.Millisecond), v.detail)
		}
		if err != nil {
			dump(t, c)
			require.NoError(t, err, "seed %d", c.Seed)
		}
		outcomes[v.outcome]++
		extra += v.extra
		pods += float64(len(c.Pending))
		for f := range c.Features {
			features[f]++
		}
		if strings.HasPrefix(v.outcome, "DEVIATION") {
			t.Errorf("seed %d: %s\n%s\nThe case is in %s", c.Seed, v.outcome, v.detail, dump(t, c))
		}
		l.clean(ctx, t)
	}
	t.Logf("%d cases, %.0f pending pods in %s", count, pods, time.Since(started).Round(time.Second))
	for _, o := range sortedFeatures(outcomes) {
		t.Logf("%5d  %s", outcomes[o], o)
	}
	if n := outcomes[packsOther]; n > 0 {
		t.Logf("       which cost %.1f%% more than the first plan on average over these", extra/float64(n)*100)
	}
	for _, f := range sortedFeatures(features) {
		t.Logf("%5d  cases with %s", features[f], f)
	}
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

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
}

func (l *lab) run(ctx context.Context, c *Case) (verdict, error) {
	r := &trial{lab: l, c: c, given: map[types.NamespacedName]*corev1.Pod{}}
	for _, p := range slices.Concat(c.Bound, c.Pending) {
		r.given[id(p)] = p
	}
	if err := r.prepare(ctx); err != nil {
		return verdict{}, err
	}
	state, err := r.state(r.nodes, nil, r.bound, r.pending)
	if err != nil {
		return verdict{}, err
	}
	r.plan = state.Plan(cluster.Options{})
	if r.new, err = r.makeNodes(ctx, c, bought(r.plan, fmt.Sprintf("n%d-new", c.Seed)), c.Storage.Limit); err != nil {
		return verdict{}, err
	}
	v, err := r.free(ctx)
	if err != nil {
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
	if none, err := r.unschedulable(ctx, r.plan.Unschedulable); err != nil || none.outcome != agrees {
		return none, err
	}
	return v, nil
}

// prepare makes what there is before the plan.
func (r *trial) prepare(ctx context.Context) (err error) {
	c := r.c
	if err := r.makeVolumes(ctx, c); err != nil {
		return err
	}
	if r.nodes, err = r.makeNodes(ctx, c, c.Nodes, c.Storage.Limit); err != nil {
		return err
	}
	if r.bound, err = r.complete(ctx, c.Bound); err != nil {
		return err
	}
	if r.pending, err = r.complete(ctx, c.Pending); err != nil {
		return err
	}
	return r.restore(ctx)
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

// state is what the planner is told. Nodes of the plan are priced by it.
func (r *trial) state(nodes, new []*corev1.Node, bound, pending []*corev1.Pod) (*cluster.State, error) {
	s := cluster.NewState()
	s.SetTime(time.Now())
	// The API server has put the RuntimeClass' overhead and selector into the pods.
	objects := []any{&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: Sandboxed}}}
	for _, c := range priorityClasses() {
		objects = append(objects, c)
	}
	for name, team := range map[string]string{NamespaceA: "a", NamespaceB: "b"} {
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": team, corev1.LabelMetadataName: name}}})
	}
	for _, v := range r.c.Storage.Volumes {
		objects = append(objects, v)
	}
	for _, v := range r.c.Storage.Claims {
		objects = append(objects, v)
	}
	for _, n := range slices.Concat(nodes, new) {
		s.SetNode(cluster.Node{Node: n})
		if r.c.Storage.Limit > 0 {
			objects = append(objects, csiNode(n.Name, r.c.Storage.Limit))
		}
	}
	for _, p := range slices.Concat(bound, pending) {
		objects = append(objects, p)
	}
	for _, o := range objects {
		if err := s.Upsert(o); err != nil && !errors.Is(err, cluster.ErrUnknownKind) {
			return nil, err
		}
	}
	offers := slices.Clone(r.c.Offers)
	for i := range offers {
		if r.c.Storage.Limit > 0 {
			offers[i].AttachLimits = map[string]int32{Driver: r.c.Storage.Limit}
		}
	}
	s.SetOffers(offers)
	return s, nil
}

// own is the resource that every pod of the case requests.
func (r *trial) own() string { return caseResource + fmt.Sprint(r.c.Seed) }

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
	all := r.new
	for round := range 4 {
		found, err := r.settleTwice(ctx, wanted, nil)
		if err != nil {
			return v, err
		}
		var left []*corev1.Pod
		for _, p := range create {
			if q := found[id(p)]; q == nil || q.Spec.NodeName == "" {
				left = append(left, p)
				v.detail += fmt.Sprintf("  %s %s\n", id(p), message(q))
			}
		}
		if len(left) == 0 {
			return v, nil
		}
		for _, p := range left {
			if found[id(p)] != nil {
				continue
			}
			if err := r.create(ctx, r.given[id(p)], r.own()); err != nil { // it was evicted, and whoever controls it makes another one
				return v, err
			}
		}
		v.outcome = packsOther
		var bound []*corev1.Pod
		for _, q := range found {
			if q.Spec.NodeName != "" {
				bound = append(bound, q)
			}
		}
		state, err := r.state(r.nodes, all, bound, left)
		if err != nil {
			return v, err
		}
		again := state.Plan(cluster.Options{})
		v.detail += describe(again)
		if len(again.Unschedulable) > 0 {
			none, err := r.unschedulable(ctx, again.Unschedulable)
			if err == nil && none.outcome == agrees {
				none.outcome = cornered
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

// settleTwice makes pods that were left over anew once: the scheduler does not take every change that matters for one (of a namespace
// selector's pods, for instance), and would look at them again after five minutes. Places are those that pods are offered, if they are.
func (r *trial) settleTwice(ctx context.Context, wanted []types.NamespacedName, places map[types.NamespacedName]string) (map[types.NamespacedName]*corev1.Pod, error) {
	found, err := r.settle(ctx, wanted)
	if err != nil {
		return nil, err
	}
	again := false
	for _, w := range wanted {
		p := found[w]
		if p == nil || p.Spec.NodeName != "" {
			continue
		}
		if err := r.client.CoreV1().Pods(w.Namespace).Delete(ctx, w.Name, *metav1.NewDeleteOptions(0)); err != nil {
			return nil, err
		}
		extended := []string{r.own()}
		if places != nil {
			extended = append(extended, pinResource+places[w])
		}
		if err := r.create(ctx, r.given[w], extended...); err != nil {
			return nil, err
		}
		again = true
	}
	if !again {
		return found, nil
	}
	if _, err = r.judged(ctx, wanted); err != nil {
		return nil, err
	}
	return r.settle(ctx, wanted)
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
	found, err := r.settleTwice(ctx, wanted, places)
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
	now := *metav1.NewDeleteOptions(0)
	if err := each(r.pending, func(p *corev1.Pod) error {
		err := r.client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, now)
		if err != nil && strings.Contains(err.Error(), "not found") {
			return nil
		}
		return err
	}); err != nil {
		return err
	}
	time.Sleep(30 * time.Millisecond) // for the scheduler to hear of it
	return r.restore(ctx)
}

// unschedulable offers pods that have no place a node of each offer, and takes those away again.
func (r *trial) unschedulable(ctx context.Context, pods []cluster.Unschedulable) (verdict, error) {
	if len(pods) == 0 {
		return verdict{outcome: agrees}, nil
	}
	before, err := r.pods(ctx)
	if err != nil {
		return verdict{}, err
	}
	var nodes []*corev1.Node
	for i := range r.c.Offers {
		if o := &r.c.Offers[i]; o.Available {
			nodes = append(nodes, NodeOf(o, fmt.Sprintf("n%d-offer-%d", r.c.Seed, i)))
		}
	}
	if _, err := r.makeNodes(ctx, r.c, nodes, r.c.Storage.Limit); err != nil {
		return verdict{}, err
	}
	var wanted []types.NamespacedName
	now := *metav1.NewDeleteOptions(0)
	for _, u := range pods {
		name := u.Pod.NamespacedName
		if before[name] != nil { // what it was told about the nodes before is of no interest
			if err := r.client.CoreV1().Pods(name.Namespace).Delete(ctx, name.Name, now); err != nil {
				return verdict{}, err
			}
		}
		if err := r.create(ctx, r.given[name], r.own()); err != nil {
			return verdict{}, err
		}
		wanted = append(wanted, name)
	}
	found, err := r.judged(ctx, wanted)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{outcome: agrees}
	for i, w := range wanted {
		if p := found[w]; p != nil && (p.Spec.NodeName != "" || p.Status.NominatedNodeName != "") {
			v.outcome = schedulable
			v.detail += fmt.Sprintf("  %s goes to %s%s, and was called unschedulable: %v\n", w, p.Spec.NodeName, p.Status.NominatedNodeName, pods[i].Reasons)
		}
	}
	if v.outcome != agrees {
		v.detail += describe(r.plan)
		if evicted(before, found, wanted) {
			v.outcome = byEviction
		} else if r.elsewhere(found) && !slices.ContainsFunc(wanted, func(w types.NamespacedName) bool {
			return found[w] != nil && strings.Contains(found[w].Spec.NodeName, "-offer-")
		}) {
			v.outcome = otherRoom
		}
	}
	return v, each(nodes, func(n *corev1.Node) error { return r.client.CoreV1().Nodes().Delete(ctx, n.Name, now) })
}

// elsewhere says whether a pod is on another node than planned.
func (r *trial) elsewhere(found map[types.NamespacedName]*corev1.Pod) bool {
	for name, node := range r.planned(r.plan, r.new) {
		if p := found[name]; p != nil && p.Spec.NodeName != node {
			return true
		}
	}
	return false
}

// evicted says whether pods were evicted, or are about to be.
func evicted(before, after map[types.NamespacedName]*corev1.Pod, wanted []types.NamespacedName) bool {
	for name, p := range before {
		if p.Spec.NodeName != "" && after[name] == nil {
			return true
		}
	}
	return slices.ContainsFunc(wanted, func(w types.NamespacedName) bool { return after[w] != nil && after[w].Status.NominatedNodeName != "" })
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

// dump writes a case down.
func dump(t *testing.T, c *Case) string {
	t.Helper()
	text, err := yaml.Marshal(c)
	require.NoError(t, err)
	path := filepath.Join(os.TempDir(), fmt.Sprintf("yagura-oracle-%d.yaml", c.Seed))
	require.NoError(t, os.WriteFile(path, text, 0o644))
	return path
}
