package clusterapi

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// line is the way to the API server. It loses answers when it is told to.
type line struct {
	http.RoundTripper
	loseAnswer, loseRequest atomic.Bool
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	buys := r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/machinedeployments/")
	if buys && l.loseRequest.CompareAndSwap(true, false) {
		return nil, context.DeadlineExceeded
	}
	answer, err := l.RoundTripper.RoundTrip(r)
	if buys && err == nil && l.loseAnswer.CompareAndSwap(true, false) {
		_ = answer.Body.Close()
		return nil, context.DeadlineExceeded
	}
	return answer, err
}

// world is a namespace with a cluster's groups on a real API server.
type world struct {
	t         *testing.T
	client    client.Client // the test's own
	wire      *line
	through   client.Client // the provider's, over wire
	clock     *clocktesting.FakePassiveClock
	namespace string
	group     string
	policy    *v1alpha1.NodePolicy
}

var installed atomic.Bool

func newWorld(t *testing.T) *world {
	config, c := providertest.Cluster(t, clusterv1.AddToScheme)
	if !installed.Load() {
		providertest.Install(t, c, definitions(t)...)
		require.NoError(t, wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
			return c.List(ctx, &clusterv1.MachineList{}) == nil && c.List(ctx, &clusterv1.MachinePoolList{}) == nil &&
				c.List(ctx, &clusterv1.MachineDeploymentList{}) == nil && c.List(ctx, &clusterv1.ClusterList{}) == nil, nil
		}))
		installed.Store(true)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "clusterapi-test-"}}
	require.NoError(t, c.Create(t.Context(), namespace))
	w := &world{
		t: t, client: c, wire: &line{}, clock: clocktesting.NewFakePassiveClock(time.Now()), namespace: namespace.Name,
		policy: &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "web"}},
	}
	transport, err := rest.HTTPClientFor(rest.CopyConfig(config))
	require.NoError(t, err)
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	w.wire.RoundTripper = transport.Transport
	w.through, err = client.New(config, client.Options{Scheme: c.Scheme(), Mapper: c.RESTMapper(), HTTPClient: &http.Client{Transport: w.wire}})
	require.NoError(t, err)
	w.create(w.deployment("workers"))
	w.group = "MachineDeployment/" + w.namespace + "/workers"
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended by now
		var machines clusterv1.MachineList
		require.NoError(t, c.List(ctx, &machines, client.InNamespace(w.namespace)))
		for i := range machines.Items {
			machines.Items[i].Finalizers = nil
			require.NoError(t, client.IgnoreNotFound(c.Update(ctx, &machines.Items[i])))
		}
		require.NoError(t, c.Delete(ctx, namespace))
	})
	return w
}

func (w *world) template() clusterv1.MachineTemplateSpec {
	return clusterv1.MachineTemplateSpec{
		ObjectMeta: clusterv1.ObjectMeta{Labels: map[string]string{"node.cluster.x-k8s.io/team": "shop", "private": "yes"}},
		Spec: clusterv1.MachineSpec{
			ClusterName: "main", Version: "v1.36.0", FailureDomain: "zone-a",
			Bootstrap:         clusterv1.Bootstrap{DataSecretName: ptr.To("boot")},
			InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: "infrastructure.cluster.x-k8s.io", Kind: "RackMachineTemplate", Name: "big"},
		},
	}
}

func (w *world) deployment(name string) *clusterv1.MachineDeployment {
	d := &clusterv1.MachineDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Annotations: map[string]string{
			clusterv1.AutoscalerMinSizeAnnotation: "0", clusterv1.AutoscalerMaxSizeAnnotation: "5",
			capacityCPU: "4", capacityMemory: "16Gi", capacityLabels: "node.kubernetes.io/instance-type=big", capacityTaints: "gpu=:NoSchedule",
			capacityDrivers: "rack.csi=8",
		}},
		Spec: clusterv1.MachineDeploymentSpec{
			ClusterName: "main", Replicas: ptr.To[int32](0),
			Selector: metav1.LabelSelector{MatchLabels: map[string]string{clusterv1.MachineDeploymentNameLabel: name}},
			Template: w.template(),
		},
	}
	d.Spec.Rollout.Strategy.Type = clusterv1.OnDeleteMachineDeploymentStrategyType
	d.Spec.Template.Labels[clusterv1.MachineDeploymentNameLabel] = name
	return d
}

func (w *world) create(object client.Object) {
	w.t.Helper()
	require.NoError(w.t, w.client.Create(w.t.Context(), object))
}

func (w *world) open(*testing.T) *Provider {
	return New("clusterapi", Config{Namespace: w.namespace, Cluster: "main"}, Dependencies{
		Management: w.through, Workload: w.through, Clock: w.clock, Logger: slog.New(slog.DiscardHandler),
	})
}

func (w *world) settle(t *testing.T) {
	t.Helper()
	for range 2 {
		require.NoError(t, reconcile(t.Context(), w.client, w.namespace))
	}
	w.clock.SetTime(w.clock.Now().Add(time.Minute))
}

func (w *world) read(t *testing.T) *clusterv1.MachineDeployment {
	d := &clusterv1.MachineDeployment{}
	require.NoError(t, w.client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "workers"}, d))
	return d
}

func (w *world) update(t *testing.T, change func(*clusterv1.MachineDeployment)) {
	d := w.read(t)
	change(d)
	require.NoError(t, w.client.Update(t.Context(), d))
}

func (w *world) fixture(t *testing.T) providertest.Fixture {
	return providertest.Fixture{
		Provider:    w.open(t),
		Policy:      w.policy,
		Again:       func(t *testing.T) provider.Provider { return w.open(t) },
		Count:       func(t *testing.T) int { return int(*w.read(t).Spec.Replicas) },
		Settle:      w.settle,
		LoseAnswer:  func(*testing.T) { w.wire.loseAnswer.Store(true) },
		LoseRequest: func(*testing.T) { w.wire.loseRequest.Store(true) },
		SellOut: func(t *testing.T, _ cluster.Offer) {
			w.update(t, func(d *clusterv1.MachineDeployment) { d.Annotations[clusterv1.AutoscalerMaxSizeAnnotation] = "0" })
		},
		Vanish: func(t *testing.T, claim *v1alpha1.NodeClaim) {
			m := w.machine(t, claim.Status.ProviderID)
			require.NoError(t, w.client.Delete(t.Context(), m))
		},
		Resize: func(t *testing.T, _ cluster.Offer) {
			w.update(t, func(d *clusterv1.MachineDeployment) { *d.Spec.Replicas++ })
		},
	}
}

func (w *world) machine(t *testing.T, id string) *clusterv1.Machine {
	var machines clusterv1.MachineList
	require.NoError(t, w.client.List(t.Context(), &machines, client.InNamespace(w.namespace)))
	i := slices.IndexFunc(machines.Items, func(m clusterv1.Machine) bool { return m.Spec.ProviderID == id })
	require.GreaterOrEqual(t, i, 0, "no machine %s", id)
	return &machines.Items[i]
}

func TestConformance(t *testing.T) {
	providertest.Suite(t, func(t *testing.T) providertest.Fixture { return newWorld(t).fixture(t) })
}

func TestOffersFromZero(t *testing.T) {
	w := newWorld(t)
	other := w.deployment("of-another-cluster")
	other.Spec.ClusterName, other.Spec.Template.Spec.ClusterName = "other", "other"
	w.create(other)
	manual := w.deployment("by-hand")
	delete(manual.Annotations, clusterv1.AutoscalerMaxSizeAnnotation)
	w.create(manual)
	wrong := w.deployment("wrong")
	wrong.Annotations[clusterv1.AutoscalerMaxSizeAnnotation] = "many"
	w.create(wrong)
	p := w.open(t)
	offers, err := p.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	require.Len(t, offers, 1)
	o := offers[0]
	assert.Equal(t, cluster.OfferID{Name: "big", Group: w.group, Zone: "zone-a", CapacityType: "on-demand", Policy: "web"}, o.ID())
	assert.Equal(t, 5, o.Stock)
	assert.Equal(t, "shop", o.Labels["node.cluster.x-k8s.io/team"])
	assert.NotContains(t, o.Labels, "private", "Cluster API does not bring it to nodes")
	assert.Equal(t, []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}, o.Taints)
	assert.Equal(t, map[string]int32{"rack.csi": 8}, o.AttachLimits)
	assert.Equal(t, "110", o.Allocatable.Pods().String())
	assert.InDelta(t, 4*0.03+16*0.004, o.PricePerHour, 1e-9)

	w.update(t, func(d *clusterv1.MachineDeployment) { d.Annotations[priceAnnotation] = "0.7" })
	offers, err = p.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	assert.InDelta(t, 0.7, offers[0].PricePerHour, 1e-9)

	// Without annotations the infrastructure's template says it.
	w.create(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "RackMachineTemplate",
		"metadata": map[string]any{"namespace": w.namespace, "name": "big"},
		"status": map[string]any{"capacity": map[string]any{"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"},
			"nodeInfo": map[string]any{"architecture": "arm64"}},
	}})
	w.update(t, func(d *clusterv1.MachineDeployment) {
		delete(d.Annotations, capacityCPU)
		delete(d.Annotations, capacityMemory)
	})
	offers, err = p.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	require.Len(t, offers, 1)
	assert.Equal(t, "8", offers[0].Allocatable.Cpu().String())
	assert.Equal(t, resource.MustParse("1"), offers[0].Allocatable["nvidia.com/gpu"])
	assert.Equal(t, "arm64", offers[0].Labels[corev1.LabelArchStable])

	w.policy.Spec.Provider.Groups = []string{"MachineDeployment/elsewhere/workers"}
	offers, err = p.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	assert.Empty(t, offers)
}

// TestExampleNode: a group about which nobody says anything is known by the node of one of its machines.
func TestExampleNode(t *testing.T) {
	w := newWorld(t)
	w.update(t, func(d *clusterv1.MachineDeployment) {
		*d.Spec.Replicas = 1
		delete(d.Annotations, capacityCPU)
		delete(d.Annotations, capacityMemory)
	})
	w.settle(t)
	p := w.open(t)
	offers, err := p.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	assert.Empty(t, offers)
	machines, err := p.List(t.Context())
	require.NoError(t, err)
	require.Len(t, machines, 1)
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "example-", Labels: map[string]string{corev1.LabelInstanceTypeStable: "seen"}},
		Spec:       corev1.NodeSpec{ProviderID: machines[0].ID},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("3"), corev1.ResourceMemory: resource.MustParse("7Gi"), corev1.ResourcePods: resource.MustParse("20"),
		}},
	}
	w.create(node)
	t.Cleanup(func() { _ = w.client.Delete(context.Background(), node) })
	offers, err = p.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	require.Len(t, offers, 1)
	assert.Equal(t, "seen", offers[0].Name)
	assert.Equal(t, "20", offers[0].Allocatable.Pods().String())
}

func (w *world) claim(name string) *v1alpha1.NodeClaim {
	return providertest.Claim(name, "clusterapi", w.policy, cluster.Offer{Name: "big", Group: w.group, Zone: "zone-a", CapacityType: "on-demand"})
}

// TestTheRightMachineGoes: of several machines the one that a claim was bought as is deleted.
func TestTheRightMachineGoes(t *testing.T) {
	w := newWorld(t)
	p := w.open(t)
	ids := map[string]string{}
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		_, err := p.Create(t.Context(), w.claim(name))
		require.NoError(t, err)
		w.settle(t)
		m, err := p.Get(t.Context(), w.claim(name))
		require.NoError(t, err)
		require.NotEmpty(t, m.ID)
		require.NotEmpty(t, m.NodeName)
		ids[name] = m.ID
	}
	require.NoError(t, p.Delete(t.Context(), w.claim("web-2")))
	assert.Contains(t, w.machine(t, ids["web-2"]).Annotations, clusterv1.DeleteMachineAnnotation)
	assert.Equal(t, int32(2), *w.read(t).Spec.Replicas)
	require.NoError(t, p.Delete(t.Context(), w.claim("web-2")))
	assert.Equal(t, int32(2), *w.read(t).Spec.Replicas, "asked twice, it is taken off once")
	w.settle(t)
	require.ErrorIs(t, p.Delete(t.Context(), w.claim("web-2")), provider.ErrNotFound)
	for _, name := range []string{"web-1", "web-3"} {
		m, err := p.Get(t.Context(), w.claim(name))
		require.NoError(t, err)
		assert.Equal(t, ids[name], m.ID)
	}
}

// TestRemediation: a machine that a MachineHealthCheck replaces is not its claim's any more, and the one that comes in its place is
// given back with the claim.
func TestRemediation(t *testing.T) {
	w := newWorld(t)
	p := w.open(t)
	claim := w.claim("web-1")
	_, err := p.Create(t.Context(), claim)
	require.NoError(t, err)
	w.settle(t)
	m, err := p.Get(t.Context(), claim)
	require.NoError(t, err)
	machine := w.machine(t, m.ID)
	machine.Status.Conditions = append(machine.Status.Conditions, metav1.Condition{
		Type: clusterv1.MachineOwnerRemediatedCondition, Status: metav1.ConditionFalse, Reason: "Waiting", Message: "node silent", LastTransitionTime: metav1.Now(),
	})
	require.NoError(t, w.client.Status().Update(t.Context(), machine))
	m, err = p.Get(t.Context(), claim)
	require.NoError(t, err)
	assert.Contains(t, m.Message, "MachineHealthCheck")

	require.NoError(t, w.client.Delete(t.Context(), machine))
	m, err = p.Get(t.Context(), claim)
	require.NoError(t, err)
	assert.Equal(t, provider.Deleting, m.State)
	w.settle(t)
	w.settle(t)
	_, err = p.Get(t.Context(), claim)
	require.ErrorIs(t, err, provider.ErrNotFound)
	for range 5 {
		if err = p.Delete(t.Context(), claim); err != nil {
			break
		}
		w.settle(t)
	}
	require.ErrorIs(t, err, provider.ErrNotFound)
	assert.Zero(t, *w.read(t).Spec.Replicas)
	w.settle(t)
	machines, err := p.List(t.Context())
	require.NoError(t, err)
	assert.Empty(t, machines)
}

func TestVersions(t *testing.T) {
	w := newWorld(t)
	p := w.open(t)
	old, fresh, back := w.claim("web-1"), w.claim("web-2"), w.claim("web-3")
	_, err := p.Create(t.Context(), old)
	require.NoError(t, err)
	w.settle(t)
	fresh.Spec.Version, back.Spec.Version = "v1.37.0", "v1.35.0"
	_, err = p.Create(t.Context(), fresh)
	require.NoError(t, err)
	w.settle(t)
	m, err := p.Get(t.Context(), fresh)
	require.NoError(t, err)
	assert.Equal(t, "v1.37.0", m.Version)
	m, err = p.Get(t.Context(), old)
	require.NoError(t, err)
	assert.Equal(t, "v1.36.0", m.Version, "machines that there are stay as they are")
	var invalid *provider.Invalid
	_, err = p.Create(t.Context(), back)
	require.ErrorAs(t, err, &invalid)
	w.update(t, func(d *clusterv1.MachineDeployment) {
		d.Spec.Rollout.Strategy.Type = clusterv1.RollingUpdateMachineDeploymentStrategyType
	})
	back.Spec.Version = "v1.38.0"
	_, err = p.Create(t.Context(), back)
	require.ErrorAs(t, err, &invalid, "it would replace all machines at once")
	assert.Equal(t, "v1.37.0", w.read(t).Spec.Template.Spec.Version)
	assert.Equal(t, int32(2), *w.read(t).Spec.Replicas)
}

func TestMinimumAndPause(t *testing.T) {
	w := newWorld(t)
	p := w.open(t)
	claim := w.claim("web-1")
	_, err := p.Create(t.Context(), claim)
	require.NoError(t, err)
	w.settle(t)
	w.update(t, func(d *clusterv1.MachineDeployment) { d.Annotations[clusterv1.AutoscalerMinSizeAnnotation] = "1" })
	assert.ErrorContains(t, p.Delete(t.Context(), claim), "minimum")
	assert.Equal(t, int32(1), *w.read(t).Spec.Replicas)
	w.update(t, func(d *clusterv1.MachineDeployment) { d.Annotations[clusterv1.PausedAnnotation] = "" })
	var sold *provider.OutOfCapacity
	_, err = p.Create(t.Context(), w.claim("web-2"))
	assert.ErrorAs(t, err, &sold)
	w.update(t, func(d *clusterv1.MachineDeployment) { d.Annotations[ledgerAnnotation] = "{" })
	_, err = p.Create(t.Context(), w.claim("web-1"))
	assert.ErrorContains(t, err, ledgerAnnotation, "what cannot be read is not taken for empty")
}

func TestMachinePool(t *testing.T) {
	w := newWorld(t)
	w.create(&clusterv1.MachinePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "pool", Annotations: w.deployment("x").Annotations},
		Spec:       clusterv1.MachinePoolSpec{ClusterName: "main", Replicas: ptr.To[int32](0), Template: w.template()},
	})
	p := w.open(t)
	w.group = "MachinePool/" + w.namespace + "/pool"
	w.policy.Spec.Provider.Groups = []string{w.group}
	offers, err := p.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	require.Len(t, offers, 1)
	claim := w.claim("web-1")
	_, err = p.Create(t.Context(), claim)
	require.NoError(t, err)
	w.settle(t)
	m, err := p.Get(t.Context(), claim)
	require.NoError(t, err)
	assert.NotEmpty(t, m.ID)
	require.NoError(t, p.Delete(t.Context(), claim))
	w.settle(t)
	assert.ErrorIs(t, p.Delete(t.Context(), claim), provider.ErrNotFound)
}

func TestControlPlane(t *testing.T) {
	w := newWorld(t)
	p := w.open(t)
	_, _, err := p.ControlPlane(t.Context())
	require.Error(t, err)
	w.create(&clusterv1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "main"},
		Spec: clusterv1.ClusterSpec{
			ControlPlaneRef:   clusterv1.ContractVersionedObjectReference{APIGroup: "controlplane.cluster.x-k8s.io", Kind: "RackControlPlane", Name: "plane"},
			InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: "infrastructure.cluster.x-k8s.io", Kind: "RackCluster", Name: "rack"},
		},
	})
	w.create(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "controlplane.cluster.x-k8s.io/v1beta1", "kind": "RackControlPlane",
		"metadata": map[string]any{"namespace": w.namespace, "name": "plane"},
		"spec":     map[string]any{"version": "v1.36.0", "replicas": int64(3)},
		"status":   map[string]any{"version": "v1.36.0"},
	}})
	wanted, running, err := p.ControlPlane(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"v1.36.0", "v1.36.0"}, []string{wanted, running})
	require.NoError(t, p.UpgradeControlPlane(t.Context(), "v1.37.1"))
	require.NoError(t, p.UpgradeControlPlane(t.Context(), "v1.37.1"))
	wanted, running, err = p.ControlPlane(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"v1.37.1", "v1.36.0"}, []string{wanted, running})
	var invalid *provider.Invalid
	assert.ErrorAs(t, p.UpgradeControlPlane(t.Context(), "v1.36.0"), &invalid)
	assert.ErrorAs(t, p.UpgradeControlPlane(t.Context(), "latest"), &invalid)
}

func TestValidate(t *testing.T) {
	assert.NoError(t, Config{Namespace: "a", Cluster: "b"}.Validate())
	for want, c := range map[string]Config{
		"namespace":   {Cluster: "b"},
		"cluster":     {Namespace: "a"},
		"settle":      {Namespace: "a", Cluster: "b", Settle: -1},
		"cpuPrice":    {Namespace: "a", Cluster: "b", CPUPrice: -1},
		"memoryPrice": {Namespace: "a", Cluster: "b", MemoryPrice: -1},
		"prices.x":    {Namespace: "a", Cluster: "b", Prices: map[string]float64{"x": -1}},
	} {
		assert.ErrorContains(t, c.Validate(), want)
	}
}
