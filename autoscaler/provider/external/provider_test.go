package external

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/external/externalgrpc"
	"github.com/yagura-dev/yagura/autoscaler/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cloud is a server of the protocol whose groups are in memory. Instances come when it is told to.
type cloud struct {
	externalgrpc.UnimplementedCloudProviderServer

	mu         sync.Mutex
	groups     map[string]*pool
	serial     int
	loseAnswer bool
	loseCall   bool
	late       bool // a lost call takes effect after all, at the next settle
	pending    []func()
	plain      bool // answers failures without a code, as most servers do
	unlisted   bool // lists no instances for once
	calls      map[string]int
	gate       *mortal // decides about changes of groups, when there is one
}

// change makes a change unless who asks for it is dead by then. The caller holds mu.
func (c *cloud) change(do func() error) error {
	if c.gate == nil {
		return do()
	}
	effect, heard := c.gate.pass()
	err := dead()
	if effect {
		err = do()
	}
	if !heard {
		return dead()
	}
	return err
}

type pool struct {
	min, max, size int
	soldOut        bool
	instances      map[string]externalgrpc.InstanceStatus_InstanceState
	placeholders   map[string]bool
	errors         map[string]*externalgrpc.InstanceErrorInfo
}

func newCloud() *cloud {
	c := &cloud{groups: map[string]*pool{}, calls: map[string]int{}}
	for i := range 3 {
		c.groups[fmt.Sprintf("pool-%d", i)] = &pool{
			max: 10, instances: map[string]externalgrpc.InstanceStatus_InstanceState{},
			placeholders: map[string]bool{}, errors: map[string]*externalgrpc.InstanceErrorInfo{},
		}
	}
	return c
}

func (c *cloud) pool(id string) (*pool, error) {
	p := c.groups[id]
	if p == nil {
		return nil, status.Errorf(codes.NotFound, "no group %s", id)
	}
	return p, nil
}

func (c *cloud) NodeGroups(context.Context, *externalgrpc.NodeGroupsRequest) (*externalgrpc.NodeGroupsResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &externalgrpc.NodeGroupsResponse{}
	for id, p := range c.groups {
		out.NodeGroups = append(out.NodeGroups, &externalgrpc.NodeGroup{Id: id, MinSize: int32(p.min), MaxSize: int32(p.max)})
	}
	return out, nil
}

func (c *cloud) Refresh(context.Context, *externalgrpc.RefreshRequest) (*externalgrpc.RefreshResponse, error) {
	return &externalgrpc.RefreshResponse{}, nil
}

func (c *cloud) NodeGroupTargetSize(_ context.Context, r *externalgrpc.NodeGroupTargetSizeRequest) (*externalgrpc.NodeGroupTargetSizeResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.pool(r.Id)
	if err != nil {
		return nil, err
	}
	return &externalgrpc.NodeGroupTargetSizeResponse{TargetSize: int32(p.size)}, nil
}

func (c *cloud) NodeGroupIncreaseSize(_ context.Context, r *externalgrpc.NodeGroupIncreaseSizeRequest) (*externalgrpc.NodeGroupIncreaseSizeResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &externalgrpc.NodeGroupIncreaseSizeResponse{}, c.change(func() error {
		c.calls["increase"]++
		p, err := c.pool(r.Id)
		if err != nil {
			return err
		}
		if c.loseCall {
			c.loseCall = false
			if c.late {
				c.pending = append(c.pending, func() { p.size++ })
			}
			return status.Error(codes.Unavailable, "the line was cut")
		}
		if p.soldOut || p.size+int(r.Delta) > p.max {
			if c.plain {
				return fmt.Errorf("no more machines")
			}
			return status.Error(codes.ResourceExhausted, "no more machines")
		}
		p.size += int(r.Delta)
		if c.loseAnswer {
			c.loseAnswer = false
			return status.Error(codes.Unavailable, "the line was cut")
		}
		return nil
	})
}

func (c *cloud) NodeGroupDecreaseTargetSize(_ context.Context, r *externalgrpc.NodeGroupDecreaseTargetSizeRequest) (*externalgrpc.NodeGroupDecreaseTargetSizeResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &externalgrpc.NodeGroupDecreaseTargetSizeResponse{}, c.change(func() error {
		p, err := c.pool(r.Id)
		if err != nil {
			return err
		}
		if p.size+int(r.Delta) < len(p.instances) {
			return fmt.Errorf("would delete machines that there are")
		}
		p.size += int(r.Delta)
		return nil
	})
}

func (c *cloud) NodeGroupDeleteNodes(_ context.Context, r *externalgrpc.NodeGroupDeleteNodesRequest) (*externalgrpc.NodeGroupDeleteNodesResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &externalgrpc.NodeGroupDeleteNodesResponse{}, c.change(func() error {
		p, err := c.pool(r.Id)
		if err != nil {
			return err
		}
		for _, n := range r.Nodes {
			if state, ok := p.instances[n.ProviderID]; !ok || state == externalgrpc.InstanceStatus_instanceDeleting {
				return fmt.Errorf("%s is not in %s", n.ProviderID, r.Id)
			}
			p.instances[n.ProviderID] = externalgrpc.InstanceStatus_instanceDeleting
			p.size--
		}
		return nil
	})
}

func (c *cloud) NodeGroupNodes(_ context.Context, r *externalgrpc.NodeGroupNodesRequest) (*externalgrpc.NodeGroupNodesResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.pool(r.Id)
	if err != nil {
		return nil, err
	}
	out := &externalgrpc.NodeGroupNodesResponse{}
	if c.unlisted {
		return out, nil
	}
	for id, state := range p.instances {
		out.Instances = append(out.Instances, &externalgrpc.Instance{Id: id, Status: &externalgrpc.InstanceStatus{InstanceState: state, ErrorInfo: p.errors[id]}})
	}
	return out, nil
}

func (c *cloud) NodeGroupTemplateNodeInfo(_ context.Context, r *externalgrpc.NodeGroupTemplateNodeInfoRequest) (*externalgrpc.NodeGroupTemplateNodeInfoResponse, error) {
	node := corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "template", Labels: map[string]string{
			corev1.LabelHostname: "template", corev1.LabelInstanceTypeStable: "m1", corev1.LabelTopologyZone: "a",
			"eks.amazonaws.com/capacityType": "SPOT",
		}},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}, {Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{Capacity: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110"),
		}},
	}
	text, err := node.Marshal()
	return &externalgrpc.NodeGroupTemplateNodeInfoResponse{NodeBytes: text}, err
}

// settle brings machines that were asked for, and lets those go that are deleted.
func (c *cloud) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.pending {
		f()
	}
	c.pending = nil
	for _, id := range []string{"pool-0", "pool-1", "pool-2"} {
		p := c.groups[id]
		running := 0
		for name, state := range p.instances {
			switch {
			case state == externalgrpc.InstanceStatus_instanceDeleting, p.placeholders[name]:
				delete(p.instances, name)
				delete(p.placeholders, name)
			default:
				p.instances[name] = externalgrpc.InstanceStatus_instanceRunning
				running++
			}
		}
		for ; running < p.size; running++ {
			c.serial++
			// Not in the order in which they were asked for.
			p.instances[fmt.Sprintf("cloud://%02d", 97*c.serial%100)] = externalgrpc.InstanceStatus_instanceCreating
		}
	}
}

func (c *cloud) machines() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, p := range c.groups {
		n += p.size
	}
	return n
}

func (c *cloud) serve(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	externalgrpc.RegisterCloudProviderServer(server, c)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return listener.Addr().String()
}

// world is a cloud and those who buy there.
type world struct {
	*cloud
	client  client.Client
	clock   *clocktesting.FakeClock
	address string
	policy  *v1alpha1.NodePolicy
}

func newWorld(t *testing.T) *world {
	c := newCloud()
	return &world{
		cloud: c, address: c.serve(t), clock: clocktesting.NewFakeClock(time.Now()),
		client: fake.NewClientBuilder().WithObjects(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}}).Build(),
		policy: &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: v1alpha1.NodePolicySpec{Provider: v1alpha1.ProviderReference{Name: "metal"}}},
	}
}

func (w *world) open(t *testing.T) *Provider {
	p, err := New("metal", Config{Address: w.address}, Dependencies{
		Client: w.client, Namespace: "kube-system", Clock: w.clock, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// pass lets time pass, longer than answers may be late.
func (w *world) pass(*testing.T) {
	w.settle()
	w.clock.Step(2 * time.Minute)
}

func (w *world) fixture(t *testing.T) providertest.Fixture {
	p := w.open(t)
	return providertest.Fixture{
		Provider:    p,
		Policy:      w.policy,
		Again:       func(t *testing.T) provider.Provider { return w.open(t) },
		Count:       func(*testing.T) int { return w.machines() },
		Settle:      w.pass,
		LoseAnswer:  func(*testing.T) { w.mu.Lock(); w.loseAnswer = true; w.mu.Unlock() },
		LoseRequest: func(*testing.T) { w.mu.Lock(); w.loseCall = true; w.mu.Unlock() },
		SellOut:     func(_ *testing.T, o cluster.Offer) { w.mu.Lock(); w.groups[o.Group].soldOut = true; w.mu.Unlock() },
		Vanish: func(_ *testing.T, claim *v1alpha1.NodeClaim) {
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.groups[claim.Spec.Offer.Group].instances, claim.Status.ProviderID)
		},
		Resize: func(_ *testing.T, o cluster.Offer) { w.mu.Lock(); w.groups[o.Group].size++; w.mu.Unlock() },
	}
}

func TestConformance(t *testing.T) {
	providertest.Suite(t, func(t *testing.T) providertest.Fixture { return newWorld(t).fixture(t) })
}

func (w *world) claim(t *testing.T, p *Provider, name string) *v1alpha1.NodeClaim {
	offers, err := p.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	i := slices.IndexFunc(offers, func(o cluster.Offer) bool { return o.Group == "pool-0" })
	return providertest.Claim(name, "metal", w.policy, offers[i])
}

func TestOffersAreGroups(t *testing.T) {
	w := newWorld(t)
	w.groups["pool-1"].size = 10
	p := w.open(t)
	offers, err := p.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	require.Len(t, offers, 3)
	o := offers[0]
	assert.Equal(t, cluster.OfferID{Name: "m1", Group: "pool-0", Zone: "a", CapacityType: "spot", Policy: "web"}, o.ID())
	assert.Equal(t, 10, o.Stock)
	assert.InDelta(t, 4*0.03+16*0.004, o.PricePerHour, 1e-9, "the server tells no prices")
	require.Len(t, o.Taints, 1, "that a node has just started says nothing of the next one")
	assert.Equal(t, "gpu", o.Taints[0].Key)
	assert.False(t, offers[1].Available)

	w.policy.Spec.Provider.Groups = []string{"pool-2"}
	offers, err = p.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	require.Len(t, offers, 1)
	assert.Equal(t, "pool-2", offers[0].Group)
}

// TestLateEffect is a purchase whose line was cut, that was given up, and that took effect after the next one was made: the surplus
// machine is listed as an orphan, and given back as one.
func TestLateEffect(t *testing.T) {
	w := newWorld(t)
	p := w.open(t)
	w.loseCall, w.late = true, true
	claim := w.claim(t, p, "web-1")
	_, err := p.Create(t.Context(), claim)
	require.ErrorIs(t, err, errInDoubt)
	_, err = p.Create(t.Context(), claim)
	require.ErrorIs(t, err, errInDoubt, "nothing is bought while an answer may be late")
	_, err = p.Create(t.Context(), w.claim(t, p, "web-2"))
	require.ErrorIs(t, err, errInDoubt)
	_, err = p.Get(t.Context(), claim)
	assert.ErrorIs(t, err, errInDoubt, "it may be there")
	assert.ErrorIs(t, p.Delete(t.Context(), claim), errInDoubt)

	w.clock.Step(2 * time.Minute)
	_, err = p.Create(t.Context(), claim)
	require.NoError(t, err)
	assert.Equal(t, 1, w.machines())
	w.pass(t) // and now the first one comes through
	w.pass(t)
	require.Equal(t, 2, w.machines())

	machines, err := p.List(t.Context())
	require.NoError(t, err)
	require.Len(t, machines, 2)
	var orphan string
	for _, m := range machines {
		if m.Claim != claim.Name {
			orphan = m.Claim
		}
	}
	require.NotEmpty(t, orphan)
	// The controller knows of an orphan what the list says.
	lost := &v1alpha1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: orphan}}
	for range 5 {
		if err = p.Delete(t.Context(), lost); err != nil {
			break
		}
		w.pass(t)
	}
	assert.ErrorIs(t, err, provider.ErrNotFound)
	assert.Equal(t, 1, w.machines())
	_, err = p.Get(t.Context(), claim)
	assert.NoError(t, err)
}

// TestLateEffectIsUsed is the same, but somebody needs a machine meanwhile.
func TestLateEffectIsUsed(t *testing.T) {
	w := newWorld(t)
	p := w.open(t)
	w.loseCall, w.late = true, true
	_, err := p.Create(t.Context(), w.claim(t, p, "web-1"))
	require.ErrorIs(t, err, errInDoubt)
	w.clock.Step(2 * time.Minute)
	_, err = p.Get(t.Context(), w.claim(t, p, "web-1"))
	require.ErrorIs(t, err, provider.ErrNotFound)
	w.pass(t)
	require.Equal(t, 1, w.machines())
	_, err = p.Create(t.Context(), w.claim(t, p, "web-2"))
	require.NoError(t, err)
	assert.Equal(t, 1, w.machines())
	assert.Equal(t, 1, w.calls["increase"])
}

// TestFailureWithoutACode is a server that says Unknown to everything, as those do that return plain errors.
func TestFailureWithoutACode(t *testing.T) {
	w := newWorld(t)
	w.plain = true
	w.groups["pool-0"].soldOut = true
	p := w.open(t)
	_, err := p.Create(t.Context(), w.claim(t, p, "web-1"))
	var sold *provider.OutOfCapacity
	require.ErrorAs(t, err, &sold)
	w.groups["pool-0"].soldOut = false
	_, err = p.Create(t.Context(), w.claim(t, p, "web-2"))
	require.NoError(t, err, "nothing is in doubt")
	assert.Equal(t, 1, w.machines())
}

// TestOneWrongList: a list that lacks everything once takes no machine from its claim, and makes no other's machine ours.
func TestOneWrongList(t *testing.T) {
	w := newWorld(t)
	w.groups["pool-0"].size = 1
	w.settle()
	w.settle()
	p := w.open(t)
	_, err := p.List(t.Context())
	require.NoError(t, err)
	claim := w.claim(t, p, "web-1")
	_, err = p.Create(t.Context(), claim)
	require.NoError(t, err)
	w.settle()
	w.settle()
	w.clock.Step(10 * time.Second)
	m, err := p.Get(t.Context(), claim)
	require.NoError(t, err)
	require.NotEmpty(t, m.ID)

	w.unlisted = true
	w.clock.Step(10 * time.Second)
	again, err := p.Get(t.Context(), claim)
	require.NoError(t, err)
	assert.Equal(t, m.ID, again.ID)
	_, err = p.Create(t.Context(), w.claim(t, p, "web-2"))
	require.NoError(t, err)
	w.unlisted = false
	w.clock.Step(10 * time.Second)
	again, err = p.Get(t.Context(), claim)
	require.NoError(t, err)
	assert.Equal(t, m.ID, again.ID)
	second, err := p.Get(t.Context(), w.claim(t, p, "web-2"))
	require.NoError(t, err)
	assert.Empty(t, second.ID, "the machine that was there before is still somebody else's")
}

func TestBrokenInstance(t *testing.T) {
	w := newWorld(t)
	p := w.open(t)
	claim := w.claim(t, p, "web-1")
	_, err := p.Create(t.Context(), claim)
	require.NoError(t, err)
	w.settle()
	for id := range w.groups["pool-0"].instances {
		w.groups["pool-0"].errors[id] = &externalgrpc.InstanceErrorInfo{ErrorCode: "QUOTA", ErrorMessage: "no more addresses", InstanceErrorClass: 1}
	}
	w.clock.Step(10 * time.Second)
	m, err := p.Get(t.Context(), claim)
	require.NoError(t, err)
	assert.Equal(t, provider.Broken, m.State)
	assert.Equal(t, "QUOTA: no more addresses", m.Message)
}

// TestPromisedInstance is a cloud that lists a machine under an ID of its own until it is there.
func TestPromisedInstance(t *testing.T) {
	w := newWorld(t)
	p := w.open(t)
	claim := w.claim(t, p, "web-1")
	_, err := p.Create(t.Context(), claim)
	require.NoError(t, err)
	pool := w.groups["pool-0"]
	pool.instances["cloud://promise"] = externalgrpc.InstanceStatus_instanceCreating
	pool.placeholders["cloud://promise"] = true
	w.clock.Step(10 * time.Second)
	m, err := p.Get(t.Context(), claim)
	require.NoError(t, err)
	assert.Empty(t, m.ID)
	w.pass(t)
	w.pass(t)
	m, err = p.Get(t.Context(), claim)
	require.NoError(t, err)
	assert.NotEmpty(t, m.ID)
	assert.NotEqual(t, "cloud://promise", m.ID)
	assert.Equal(t, 1, w.machines())
}

// TestTakenAwayAndReplaced: a group that replaces what its cloud took away leaves nothing behind when the claim is given back.
func TestTakenAwayAndReplaced(t *testing.T) {
	w := newWorld(t)
	f := w.fixture(t)
	p := w.open(t)
	claim := w.claim(t, p, "web-1")
	_, err := p.Create(t.Context(), claim)
	require.NoError(t, err)
	w.pass(t)
	w.pass(t)
	m, err := p.Get(t.Context(), claim)
	require.NoError(t, err)
	claim.Status.ProviderID = m.ID
	f.Vanish(t, claim)
	w.clock.Step(10 * time.Second)
	_, err = p.Get(t.Context(), claim)
	require.NoError(t, err, "a list may be wrong once")
	w.pass(t)
	_, err = p.Get(t.Context(), claim)
	require.ErrorIs(t, err, provider.ErrNotFound)
	w.pass(t)
	_, err = p.Get(t.Context(), claim)
	require.ErrorIs(t, err, provider.ErrNotFound, "what came in its place is not the machine of the claim's node")
	for range 5 {
		if err = p.Delete(t.Context(), claim); err != nil {
			break
		}
		w.pass(t)
	}
	assert.ErrorIs(t, err, provider.ErrNotFound)
	assert.Zero(t, w.machines())
}

func TestUnknownGroup(t *testing.T) {
	w := newWorld(t)
	p := w.open(t)
	claim := w.claim(t, p, "web-1")
	claim.Spec.Offer.Group = "pool-9"
	_, err := p.Create(t.Context(), claim)
	var invalid *provider.Invalid
	assert.ErrorAs(t, err, &invalid)
}

func TestValidate(t *testing.T) {
	assert.NoError(t, Config{Address: "127.0.0.1:80"}.Validate())
	assert.NoError(t, Config{Address: "cloud:80", TLS: TLSConfig{CA: "ca.pem"}}.Validate())
	assert.NoError(t, Config{Address: "cloud:80", Insecure: true}.Validate())
	for want, c := range map[string]Config{
		"address":         {},
		"tls: must":       {Address: "cloud:80"},
		"tls: cert":       {Address: "cloud:80", TLS: TLSConfig{Cert: "a"}},
		"refreshInterval": {Address: "[::1]:80", RefreshInterval: -1},
		"settle":          {Address: "[::1]:80", Settle: -1},
		"prices.a":        {Address: "[::1]:80", Prices: map[string]float64{"a": -1}},
		"cpuPrice":        {Address: "[::1]:80", CPUPrice: -1},
		"memoryPrice":     {Address: "[::1]:80", MemoryPrice: -1},
	} {
		assert.ErrorContains(t, c.Validate(), want)
	}
}
