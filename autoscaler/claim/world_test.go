package claim_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/providertest"
)

func TestMain(m *testing.M) {
	// Tests wait for the API server's disk most of the time.
	flag.Parse()
	_ = flag.Set("test.parallel", "12")
	goleak.VerifyTestMain(m)
}

// world is a policy of its own on a real API server, and a cloud of its own. Nobody in it sees what others have there.
type world struct {
	*testing.T
	kube   client.Client // the test's
	policy string
	cloud  *cloud
	clock  *clocktesting.FakeClock
	config claim.Config
}

func newWorld(t *testing.T, name string, limits *v1alpha1.NodeLimits) *world {
	t.Helper()
	_, kube := providertest.Cluster(t)
	return newWorldOn(t, kube, name, limits)
}

func newWorldOn(t *testing.T, kube client.Client, name string, limits *v1alpha1.NodeLimits) *world {
	t.Helper()
	name = fmt.Sprintf("%s-%x", name, time.Now().UnixNano()&0xffffff)
	w := &world{T: t, kube: kube, policy: name, clock: clocktesting.NewFakeClock(time.Now()), config: claim.DefaultConfig()}
	w.config.ProviderTimeout = model.Duration(10 * time.Second)
	w.cloud = &cloud{world: w, machines: map[string]*machine{}, ever: map[string]bool{}, drained: map[string]bool{}}
	policy := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	policy.Spec.Mode = v1alpha1.Apply
	policy.Spec.Provider.Name = "cloud-" + name
	policy.Spec.Limits = limits
	policy.Spec.Template.Labels = map[string]string{"team": "shop"}
	policy.Spec.Template.Taints = []corev1.Taint{{Key: "dedicated", Value: "shop", Effect: corev1.TaintEffectNoSchedule}}
	require.NoError(t, kube.Create(t.Context(), policy))
	t.Cleanup(func() { w.clean() })
	return w
}

// clean removes what a test has left, past all finalizers.
func (w *world) clean() {
	ctx := context.WithoutCancel(w.Context())
	strip := func(o client.Object) {
		before := o.DeepCopyObject().(client.Object)
		o.SetFinalizers(nil)
		_ = w.kube.Patch(ctx, o, client.MergeFrom(before))
		_ = w.kube.Delete(ctx, o)
	}
	var claims v1alpha1.NodeClaimList
	_ = w.kube.List(ctx, &claims, client.MatchingLabels{v1alpha1.LabelNodePolicy: w.policy})
	for i := range claims.Items {
		strip(&claims.Items[i])
	}
	var nodes corev1.NodeList
	_ = w.kube.List(ctx, &nodes, client.HasLabels{"cloud-test"})
	for i := range nodes.Items {
		if nodes.Items[i].Labels["cloud-test"] == w.policy {
			strip(&nodes.Items[i])
		}
	}
	strip(&v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: w.policy}})
}

// keeper is a process of its own; cut is asked before each call and after each write, and may end it there: a
// process that has ended has no effect any more, and hears of none.
func (w *world) keeper(cut func(what string) error) *claim.Keeper {
	return claim.New(claim.Dependencies{
		Client:    &line{Client: w.kube, world: w, cut: cut},
		Providers: map[string]provider.Provider{"cloud-" + w.policy: &access{cloud: w.cloud, cut: cut}},
		Clock:     w.clock, Logger: slog.New(slog.DiscardHandler), Metrics: claim.NewMetrics(prometheus.NewRegistry()), Config: w.config,
	})
}

func uncut(string) error { return nil }

// errDied is what a process is told that has ended.
var errDied = errors.New("the process has ended")

// line is a process's way to the API server.
type line struct {
	client.Client
	world *world
	cut   func(string) error
}

func (l *line) write(what string, do func() error) error {
	if err := l.cut("before " + what); err != nil {
		return err
	}
	err := do()
	if died := l.cut("after " + what); died != nil {
		return died
	}
	return err
}

func (l *line) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if err := l.cut(fmt.Sprintf("before get %T", o)); err != nil {
		return err
	}
	return l.Client.Get(ctx, key, o, opts...)
}

func (l *line) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if err := l.cut(fmt.Sprintf("before list %T", list)); err != nil {
		return err
	}
	err := l.Client.List(ctx, list, opts...)
	switch v := list.(type) { // the API server is shared with other tests
	case *v1alpha1.NodeClaimList:
		v.Items = only(v.Items, func(c *v1alpha1.NodeClaim) bool { return c.Spec.Policy == l.world.policy })
	case *v1alpha1.NodePolicyList:
		v.Items = only(v.Items, func(p *v1alpha1.NodePolicy) bool { return p.Name == l.world.policy })
	case *metav1.PartialObjectMetadataList:
		v.Items = only(v.Items, func(p *metav1.PartialObjectMetadata) bool {
			return p.Labels["cloud-test"] == l.world.policy || p.Kind == "NodeClaim" && p.Labels[v1alpha1.LabelNodePolicy] == l.world.policy
		})
	}
	return err
}

func only[T any](items []T, keep func(*T) bool) []T {
	var out []T
	for i := range items {
		if keep(&items[i]) {
			out = append(out, items[i])
		}
	}
	return out
}

func (l *line) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	return l.write(fmt.Sprintf("create %T", o), func() error { return l.Client.Create(ctx, o, opts...) })
}

func (l *line) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return l.write(fmt.Sprintf("delete %T", o), func() error { return l.Client.Delete(ctx, o, opts...) })
}

func (l *line) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	return l.write(fmt.Sprintf("patch %T", o), func() error { return l.Client.Patch(ctx, o, p, opts...) })
}

func (l *line) Status() client.SubResourceWriter { return &statusLine{l.Client.Status(), l} }

type statusLine struct {
	client.SubResourceWriter
	line *line
}

func (l *statusLine) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
	return l.line.write(fmt.Sprintf("patch status of %T", o), func() error { return l.SubResourceWriter.Patch(ctx, o, p, opts...) })
}

// cloud makes machines in memory, and their nodes on the API server. It checks with each call what must never be.
type cloud struct {
	world *world

	mu       sync.Mutex
	machines map[string]*machine // by claim
	ever     map[string]bool     // claims for which there ever was one
	drained  map[string]bool     // claims whose machines the test allows to go
	most     int
	wrong    []string
	// fail is asked before a machine is made, and lose whether the answer is lost on the way.
	fail func(*v1alpha1.NodeClaim) error
	lose func() bool
	hide bool // machines are not listed or found
	dead bool // machines never register
}

type machine struct {
	provider.Machine
	node bool
	// deletions is how often it was asked to go; it goes at the second time.
	deletions int
}

func (c *cloud) violated(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// access is a process's way to the cloud.
type access struct {
	*cloud
	cut func(string) error
}

func (a *access) Name() string { return "cloud-" + a.world.policy }
func (a *access) Capabilities() provider.Capabilities {
	return provider.Capabilities{Named: true}
}
func (a *access) Offers(context.Context, *v1alpha1.NodePolicy) ([]cluster.Offer, error) {
	return nil, nil
}

func (a *access) Create(ctx context.Context, c *v1alpha1.NodeClaim) (provider.Machine, error) {
	if err := a.cut("before provider create"); err != nil {
		return provider.Machine{}, err
	}
	m, err := a.make(c)
	if died := a.cut("after provider create"); died != nil {
		return provider.Machine{}, died
	}
	return m, err
}

func (a *access) make(c *v1alpha1.NodeClaim) (provider.Machine, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.machines[c.Name]; m != nil {
		return m.Machine, nil
	}
	if a.fail != nil {
		if err := a.fail(c); err != nil {
			return provider.Machine{}, err
		}
	}
	if a.ever[c.Name] {
		a.violated("a second machine was made for claim %s", c.Name)
	}
	m := &machine{Machine: provider.Machine{ID: "cloud://" + c.Name, Claim: c.Name, State: provider.Running, NodeName: "node-" + c.Name}}
	a.machines[c.Name], a.ever[c.Name] = m, true
	a.most = max(a.most, len(a.machines))
	if a.lose != nil && a.lose() {
		return provider.Machine{}, errors.New("the connection was reset")
	}
	return m.Machine, nil
}

func (a *access) Get(ctx context.Context, c *v1alpha1.NodeClaim) (provider.Machine, error) {
	if err := a.cut("before provider get"); err != nil {
		return provider.Machine{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.machines[c.Name]; m != nil && !a.hide {
		return m.Machine, nil
	}
	return provider.Machine{}, provider.ErrNotFound
}

func (a *access) Delete(ctx context.Context, c *v1alpha1.NodeClaim) error {
	if err := a.cut("before provider delete"); err != nil {
		return err
	}
	err := a.remove(c)
	if died := a.cut("after provider delete"); died != nil {
		return died
	}
	return err
}

func (a *access) remove(c *v1alpha1.NodeClaim) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.machines[c.Name]
	if m == nil {
		return provider.ErrNotFound
	}
	if m.node && !a.drained[c.Name] {
		a.violated("the machine of claim %s was deleted before its node was drained", c.Name)
	}
	m.State = provider.Deleting
	if m.deletions++; m.deletions > 1 {
		delete(a.machines, c.Name)
	}
	return nil
}

func (a *access) List(context.Context) ([]provider.Machine, error) {
	if err := a.cut("before provider list"); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []provider.Machine
	for _, m := range a.machines {
		if !a.hide {
			out = append(out, m.Machine)
		}
	}
	return out, nil
}

// boot has machines register their nodes, and makes the nodes ready.
func (c *cloud) boot() {
	c.mu.Lock()
	var fresh []*machine
	for _, m := range c.machines {
		if !m.node && m.State == provider.Running && !c.dead {
			m.node = true
			fresh = append(fresh, m)
		}
	}
	c.mu.Unlock()
	for _, m := range fresh {
		c.world.register(m.NodeName, m.ID)
	}
}

// register is what a kubelet does.
func (w *world) register(name, id string) {
	w.Helper()
	ctx := w.Context()
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"cloud-test": w.policy, corev1.LabelArchStable: "amd64"}},
		Spec: corev1.NodeSpec{ProviderID: id, Taints: []corev1.Taint{
			{Key: v1alpha1.TaintUnregistered, Effect: corev1.TaintEffectNoExecute}, {Key: "starting", Effect: corev1.TaintEffectNoSchedule},
		}},
	}
	require.NoError(w, w.kube.Create(ctx, n))
	w.edit(name, func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: v1alpha1.TaintUnregistered, Effect: corev1.TaintEffectNoExecute}}
	})
	w.status(name, corev1.ConditionTrue)
}

func (w *world) edit(name string, change func(*corev1.Node)) {
	w.Helper()
	var n corev1.Node
	require.NoError(w, w.kube.Get(w.Context(), client.ObjectKey{Name: name}, &n))
	before := n.DeepCopy()
	change(&n)
	require.NoError(w, w.kube.Patch(w.Context(), &n, client.MergeFrom(before)))
}

func (w *world) status(name string, ready corev1.ConditionStatus) {
	w.Helper()
	var n corev1.Node
	require.NoError(w, w.kube.Get(w.Context(), client.ObjectKey{Name: name}, &n))
	before := n.DeepCopy()
	n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110")}
	n.Status.Capacity = n.Status.Allocatable
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, Reason: "Test", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}}
	require.NoError(w, w.kube.Status().Patch(w.Context(), &n, client.MergeFrom(before)))
}

// node is as the API server has it; nil when there is none.
func (w *world) node(name string) *corev1.Node {
	w.Helper()
	var n corev1.Node
	err := w.kube.Get(w.Context(), client.ObjectKey{Name: name}, &n)
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(w, err)
	return &n
}

func (w *world) nodes() []*corev1.Node {
	w.Helper()
	var list corev1.NodeList
	require.NoError(w, w.kube.List(w.Context(), &list, client.MatchingLabels{"cloud-test": w.policy}))
	var out []*corev1.Node
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out
}

func (w *world) claims() []*v1alpha1.NodeClaim {
	w.Helper()
	var list v1alpha1.NodeClaimList
	require.NoError(w, w.kube.List(w.Context(), &list, client.MatchingLabels{v1alpha1.LabelNodePolicy: w.policy}))
	var out []*v1alpha1.NodeClaim
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out
}

// claim is as the API server has it; nil when there is none.
func (w *world) claim(name string) *v1alpha1.NodeClaim {
	w.Helper()
	var c v1alpha1.NodeClaim
	err := w.kube.Get(w.Context(), client.ObjectKey{Name: name}, &c)
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(w, err)
	return &c
}

// read is the policy, nil when it is gone.
func (w *world) read() *v1alpha1.NodePolicy {
	w.Helper()
	var p v1alpha1.NodePolicy
	err := w.kube.Get(w.Context(), client.ObjectKey{Name: w.policy}, &p)
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(w, err)
	return &p
}

func offer() cluster.Offer {
	return cluster.Offer{
		Name: "m4", Zone: "a", CapacityType: "on-demand", PricePerHour: 0.2, Available: true, Stock: -1,
		Labels: map[string]string{corev1.LabelTopologyZone: "a", corev1.LabelInstanceTypeStable: "m4", corev1.LabelArchStable: "arm64"},
		Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110"),
		},
	}
}

func (w *world) order(n int, replaces ...string) claim.Order {
	o := claim.Order{Policy: w.read(), Replaces: replaces, Reason: "test", Known: map[string]struct{}{}}
	for _, c := range w.claims() {
		o.Known[c.Name] = struct{}{}
	}
	for range n {
		o.Nodes = append(o.Nodes, cluster.NewNode{Offer: offer(), Reason: "for 3 pods"})
	}
	return o
}

// tick is one turn of the loop over nodes.
func (w *world) tick(k *claim.Keeper) {
	w.Helper()
	w.cloud.boot()
	index := claim.NewNodeIndex(w.nodes())
	for _, c := range w.claims() {
		_, err := k.Reconcile(w.Context(), c, index.Find(c))
		w.alive(err)
	}
	_, err := k.Sweep(w.Context())
	w.alive(err)
	w.clock.Step(3 * time.Second)
}

// alive accepts no error but that of a process that has ended.
func (w *world) alive(err error) {
	w.Helper()
	if !errors.Is(err, errDied) {
		require.NoError(w, err)
	}
}

func (w *world) until(k *claim.Keeper, what string, holds func() bool) {
	w.Helper()
	for range 400 {
		if holds() {
			return
		}
		w.tick(k)
	}
	require.FailNow(w, "never: "+what, "%s", w.state())
}

// state is for people who look at a failure.
func (w *world) state() string {
	w.Helper()
	var state strings.Builder
	for _, c := range w.claims() {
		fmt.Fprintf(&state, "\n%s %s %q deleted %v:", c.Name, c.Status.Phase, c.Status.Message, c.DeletionTimestamp)
		for _, condition := range c.Status.Conditions {
			fmt.Fprintf(&state, " %s=%s(%s)", condition.Type, condition.Status, condition.Reason)
		}
	}
	if p := w.read(); p != nil {
		fmt.Fprintf(&state, "\npolicy: sequence %d, reservations %v, deleted %v", p.Status.Sequence, p.Status.Reservations, p.DeletionTimestamp)
	}
	return state.String()
}

func (w *world) ready(n int) bool {
	w.Helper()
	for _, c := range w.claims() {
		if c.Status.Phase == v1alpha1.ClaimReady {
			n--
		}
	}
	return n <= 0
}

func nodes(n int32) *v1alpha1.NodeLimits { return &v1alpha1.NodeLimits{Nodes: ptr.To(n)} }
