package nodes

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/drain"
	"github.com/yagura-dev/yagura/autoscaler/provider/kwok"
	"github.com/yagura-dev/yagura/autoscaler/provider/providertest"
	"github.com/yagura-dev/yagura/autoscaler/provider/registry"
	"github.com/yagura-dev/yagura/autoscaler/workload"
)

// fleetWorld is a policy with a simulated cloud of its own, on a real API server with a real scheduler.
type fleetWorld struct {
	t         *testing.T
	rest      *rest.Config
	client    client.Client
	name      string
	namespace string
	cloud     kwok.Config
	config    func(*Config)
}

func newFleetWorld(t *testing.T) *fleetWorld {
	config, c := providertest.Cluster(t)
	name := "n" + strings.ReplaceAll(time.Now().UTC().Format("150405.000"), ".", "")
	w := &fleetWorld{t: t, rest: config, client: c, name: name, namespace: "nodes-" + name, cloud: kwok.Config{Instances: []kwok.Instance{
		shape("small", 2, "zone-a", "zone-b"), shape("large", 8, "zone-a", "zone-b"),
	}}}
	require.NoError(t, c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}))
	t.Cleanup(w.clear)
	return w
}

func shape(name string, cores int64, zones ...string) kwok.Instance {
	return kwok.Instance{Name: name, Zones: zones, Prices: map[string]float64{"on-demand": 0.04 * float64(cores)}, Resources: corev1.ResourceList{
		corev1.ResourceCPU: *resource.NewQuantity(cores, resource.DecimalSI), corev1.ResourceMemory: *resource.NewQuantity(cores<<32, resource.BinarySI),
		corev1.ResourcePods: *resource.NewQuantity(110, resource.DecimalSI)}}
}

// clear removes everything that the test has made.
func (w *fleetWorld) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if w.t.Failed() {
		w.dump(ctx)
	}
	_ = w.client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}})
	var claims v1alpha1.NodeClaimList
	_ = w.client.List(ctx, &claims)
	for i := range claims.Items {
		if k := &claims.Items[i]; k.Spec.Policy == w.name {
			k.Finalizers = nil
			_ = w.client.Update(ctx, k)
			_ = w.client.Delete(ctx, k)
		}
	}
	var nodes corev1.NodeList
	_ = w.client.List(ctx, &nodes, client.MatchingLabels{v1alpha1.LabelNodePolicy: w.name})
	for i := range nodes.Items {
		_ = w.client.Delete(ctx, &nodes.Items[i])
	}
	policy := &v1alpha1.NodePolicy{}
	if w.client.Get(ctx, client.ObjectKey{Name: w.name}, policy) == nil {
		policy.Finalizers = nil
		_ = w.client.Update(ctx, policy)
		_ = w.client.Delete(ctx, policy)
	}
}

// dump shows what there is, for whoever wonders why a test has failed.
func (w *fleetWorld) dump(ctx context.Context) {
	var claims v1alpha1.NodeClaimList
	_ = w.client.List(ctx, &claims)
	for i := range claims.Items {
		if k := &claims.Items[i]; k.Spec.Policy == w.name {
			w.t.Logf("claim %s (%s): %s %q, node %q, deleted %v, disruption %v", k.Name, k.Spec.Offer.Name, k.Status.Phase, k.Status.Message, k.Status.NodeName, k.DeletionTimestamp, k.Status.Disruption)
		}
	}
	var nodes corev1.NodeList
	_ = w.client.List(ctx, &nodes)
	for i := range nodes.Items {
		if n := &nodes.Items[i]; n.Labels[v1alpha1.LabelNodePolicy] == w.name {
			w.t.Logf("node %s: ready %v, unschedulable %v, taints %v, %v", n.Name, isReady(n), n.Spec.Unschedulable, n.Spec.Taints, n.Status.Conditions)
		}
	}
	var pods corev1.PodList
	_ = w.client.List(ctx, &pods, client.InNamespace(w.namespace))
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Status.Phase == corev1.PodRunning {
			continue
		}
		w.t.Logf("pod %s: %s on %q, %v", p.Name, p.Status.Phase, p.Spec.NodeName, p.Status.Conditions)
	}
}

// policy makes the world's policy: only pods that ask for it by name go to its nodes.
func (w *fleetWorld) policy(edit func(*v1alpha1.NodePolicySpec)) {
	w.t.Helper()
	p := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: w.name}, Spec: v1alpha1.NodePolicySpec{
		Mode: v1alpha1.Apply, Provider: v1alpha1.ProviderReference{Name: w.name},
		Template:   v1alpha1.NodeTemplate{Taints: []corev1.Taint{{Key: "test", Value: w.name, Effect: corev1.TaintEffectNoSchedule}}},
		Disruption: v1alpha1.NodeDisruption{Consolidation: v1alpha1.Consolidation{When: v1alpha1.ConsolidateNever}},
	}}
	if edit != nil {
		edit(&p.Spec)
	}
	require.NoError(w.t, w.client.Create(w.t.Context(), p))
}

// deployment makes pods of a size that run on the policy's nodes only.
func (w *fleetWorld) deployment(name string, replicas int32, cpu string) {
	w.t.Helper()
	labels := map[string]string{"app": name}
	require.NoError(w.t, w.client.Create(w.t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				NodeSelector: map[string]string{v1alpha1.LabelNodePolicy: w.name},
				Tolerations:  []corev1.Toleration{{Key: "test", Operator: corev1.TolerationOpExists}},
				Containers: []corev1.Container{{Name: "main", Image: "none", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("64Mi")}}}}}}},
	}))
}

func (w *fleetWorld) scale(name string, replicas int32) {
	w.t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	require.NoError(w.t, w.client.Patch(w.t.Context(), d, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))))
}

// leader is one process that leads.
type leader struct {
	controller *Controller
	journal    *notes
	registry   *prometheus.Registry
	stop       func()
}

// lead starts a leader, which works until the test ends or stop is called. Two may work at once.
func (w *fleetWorld) lead() *leader {
	w.t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(w.t, AddToScheme(scheme))
	transport, err := rest.HTTPClientFor(w.rest)
	require.NoError(w.t, err)
	objects := workload.CachedObjects()
	for o := range objects {
		switch o.(type) {
		case *corev1.Pod, *corev1.Node, *appsv1.Deployment, *appsv1.StatefulSet, *appsv1.DaemonSet, *v1alpha1.WorkloadAutoscaler:
		default:
			delete(objects, o)
		}
	}
	direct, err := client.New(w.rest, client.Options{HTTPClient: transport, Scheme: scheme})
	require.NoError(w.t, err)
	maps.Copy(objects, CachedObjects(direct.RESTMapper()))
	seen, err := cache.New(w.rest, cache.Options{HTTPClient: transport, Scheme: scheme, ByObject: objects})
	require.NoError(w.t, err)
	kube, err := kubernetes.NewForConfigAndClient(w.rest, transport)
	require.NoError(w.t, err)
	logger := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	metrics := prometheus.NewRegistry()
	cloud := w.cloud
	providers, err := registry.Open(registry.Config{CallTimeout: model.Duration(10 * time.Second), Instances: map[string]registry.Instance{w.name: {Kwok: &cloud}}},
		registry.Dependencies{REST: w.rest, Namespace: "kube-system", Clock: clock.RealClock{}, Logger: logger, Metrics: metrics})
	require.NoError(w.t, err)
	cfg := DefaultConfig()
	cfg.Interval, cfg.ConsolidationInterval, cfg.StatusInterval, cfg.SweepInterval = model.Duration(200*time.Millisecond), model.Duration(time.Second), model.Duration(time.Second), model.Duration(2*time.Second)
	if w.config != nil {
		w.config(&cfg)
	}
	claims := claim.DefaultConfig()
	claims.PollInterval, claims.RetryInterval = model.Duration(200*time.Millisecond), model.Duration(200*time.Millisecond)
	drainer := drain.New(drain.Dependencies{Kube: kube, FieldManager: workload.FieldManager, Clock: clock.RealClock{}, Logger: logger, Metrics: drain.NewMetrics(metrics), Config: drain.DefaultConfig()})
	keeper := claim.New(claim.Dependencies{Client: direct, Release: drainer.Release, Providers: providers.Providers(), Clock: clock.RealClock{}, Logger: logger, Metrics: claim.NewMetrics(metrics), Config: claims})
	l := &leader{journal: &notes{}, registry: metrics}
	l.controller, err = New(cfg, Dependencies{Cache: seen, Client: direct, Events: kube, Providers: providers.Providers(), Keeper: keeper, Drainer: drainer,
		Journal: l.journal, Clock: clock.RealClock{}, Logger: logger, Instance: "test", Metrics: NewMetrics(metrics)})
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var group sync.WaitGroup
	group.Go(func() { assert.NoError(w.t, seen.Start(ctx)) })
	group.Go(func() { assert.NoError(w.t, l.controller.Run(ctx)) })
	l.stop = sync.OnceFunc(func() {
		cancel()
		group.Wait()
		providers.Close()
		utilnet.CloseIdleConnectionsFor(transport.Transport)
	})
	w.t.Cleanup(l.stop)
	return l
}

// notes is a journal that the test reads.
type notes struct {
	mu      sync.Mutex
	records []decision.Record
}

func (n *notes) Record(_ context.Context, r decision.Record, _ bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records = append(n.records, r)
}

func (n *notes) with(outcome decision.Outcome) []decision.Record {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []decision.Record
	for _, r := range n.records {
		if r.Outcome == outcome {
			out = append(out, r)
		}
	}
	return out
}

func (w *fleetWorld) claims() []v1alpha1.NodeClaim {
	var list v1alpha1.NodeClaimList
	require.NoError(w.t, w.client.List(w.t.Context(), &list))
	var ours []v1alpha1.NodeClaim
	for _, k := range list.Items {
		if k.Spec.Policy == w.name {
			ours = append(ours, k)
		}
	}
	return ours
}

// running is how many pods of the world run.
func (w *fleetWorld) running() int {
	var pods corev1.PodList
	require.NoError(w.t, w.client.List(w.t.Context(), &pods, client.InNamespace(w.namespace)))
	n := 0
	for i := range pods.Items {
		if p := &pods.Items[i]; p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
			n++
		}
	}
	return n
}

func (w *fleetWorld) status() v1alpha1.NodePolicyStatus {
	var p v1alpha1.NodePolicy
	require.NoError(w.t, w.client.Get(w.t.Context(), client.ObjectKey{Name: w.name}, &p))
	return p.Status
}

func (w *fleetWorld) eventually(what string, within time.Duration, holds func() bool) {
	w.t.Helper()
	require.Eventually(w.t, holds, within, 50*time.Millisecond, what)
}

func TestPodsWithoutAPlaceGetNodes(t *testing.T) {
	w := newFleetWorld(t)
	w.policy(nil)
	l := w.lead()
	w.eventually("the provider is known", 20*time.Second, func() bool {
		for _, c := range w.status().Conditions {
			if c.Type == "Ready" && c.Status == metav1.ConditionTrue {
				return true
			}
		}
		return false
	})
	started := time.Now()
	w.deployment("web", 20, "500m")
	w.eventually("nodes are asked for", 20*time.Second, func() bool { return len(w.claims()) > 0 })
	t.Logf("asked for after %s", time.Since(started).Round(time.Millisecond))
	w.eventually("pods run", 30*time.Second, func() bool { return w.running() == 20 })
	t.Logf("all pods run after %s", time.Since(started).Round(time.Millisecond))

	// 20 pods of half a core are 10 cores, and every offer costs the same per core.
	cores := int64(0)
	for _, k := range w.claims() {
		cores += k.Spec.Offer.Allocatable.Cpu().Value()
		assert.Contains(t, k.Spec.Reason, "pod")
	}
	assert.Equal(t, int64(10), cores)
	w.eventually("the policy says so", 10*time.Second, func() bool { s := w.status(); return int(s.ReadyNodes) == len(w.claims()) && s.Outcome == "Unchanged" })
	records := l.journal.with(decision.Provisioned)
	require.NotEmpty(t, records)
	assert.Equal(t, decision.Nodes, records[0].Direction)
	assert.NotEmpty(t, records[0].NodeActions)
	view, ok := l.controller.View()
	require.True(t, ok)
	for _, n := range view.Nodes {
		if n.Policy == w.name {
			assert.NotEmpty(t, n.Stay.Code)
			assert.NotEmpty(t, n.Why)
		}
	}
}

func TestLimitsHoldWithTwoLeaders(t *testing.T) {
	w := newFleetWorld(t)
	three := int32(3)
	w.policy(func(s *v1alpha1.NodePolicySpec) { s.Limits = &v1alpha1.NodeLimits{Nodes: &three} })
	w.lead()
	w.lead()
	w.deployment("web", 60, "900m")
	most := 0
	w.eventually("as many pods run as limits allow", 40*time.Second, func() bool {
		claims := w.claims()
		most = max(most, len(claims))
		cores := int64(0)
		for _, k := range claims {
			cores += k.Spec.Offer.Allocatable.Cpu().Value()
		}
		return len(claims) == 3 && w.running() == int(cores)
	})
	for range 20 {
		most = max(most, len(w.claims()))
		time.Sleep(100 * time.Millisecond)
	}
	assert.LessOrEqual(t, most, 3)
	s := w.status()
	assert.LessOrEqual(t, s.Charged.Nodes, three)
}

// eager makes consolidation decide at once.
func eager(cfg *Config) {
	cfg.Consolidation.CoolDown, cfg.Consolidation.Hold, cfg.Consolidation.Recheck = metav1.Duration{}, metav1.Duration{}, metav1.Duration{}
}

// saving has the policy give nodes back as soon as they are not needed, all at once.
func saving(s *v1alpha1.NodePolicySpec) {
	s.Disruption = v1alpha1.NodeDisruption{
		Consolidation: v1alpha1.Consolidation{When: v1alpha1.ConsolidateEmptyOrUnderutilized, After: &metav1.Duration{}},
		Budgets:       []v1alpha1.DisruptionBudget{{Nodes: intstr.FromString("100%")}},
	}
}

func TestWhatIsNotNeededIsGivenBack(t *testing.T) {
	w := newFleetWorld(t)
	w.config = eager
	w.policy(saving)
	l := w.lead()
	w.deployment("web", 20, "500m")
	w.eventually("pods run", 40*time.Second, func() bool { return w.running() == 20 })
	w.scale("web", 3)
	// Which nodes go first depends on what the evictions of young pods are held to be worth.
	w.eventually("nodes are given back", 60*time.Second, func() bool { return len(l.journal.with(decision.Consolidated)) > 0 })
	w.eventually("the pods run still", 20*time.Second, func() bool { return w.running() == 3 })
	w.scale("web", 0)
	w.eventually("nothing is left", 60*time.Second, func() bool { return len(w.claims()) == 0 })
	var nodes corev1.NodeList
	require.NoError(t, w.client.List(t.Context(), &nodes, client.MatchingLabels{v1alpha1.LabelNodePolicy: w.name}))
	assert.Empty(t, nodes.Items)
	w.eventually("the ledger is empty", 10*time.Second, func() bool { return w.status().Charged.Nodes == 0 })
}

func TestASickNodeIsReplaced(t *testing.T) {
	w := newFleetWorld(t)
	w.policy(func(s *v1alpha1.NodePolicySpec) {
		zero, all := metav1.Duration{Duration: time.Second}, int32(100)
		s.Repair = &v1alpha1.NodeRepair{MaxUnhealthy: &all, Ladder: []v1alpha1.RepairStep{v1alpha1.RepairReplace}, Rules: []v1alpha1.RepairRule{{Name: "disk", For: zero,
			Condition: &v1alpha1.UnhealthyCondition{Type: "DiskBroken", Statuses: []corev1.ConditionStatus{corev1.ConditionTrue}}}}}
		s.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromInt32(1)}}
	})
	l := w.lead()
	w.deployment("web", 3, "500m")
	w.eventually("pods run", 40*time.Second, func() bool { return w.running() == 3 })
	w.eventually("the node is ready", 20*time.Second, func() bool { return w.claims()[0].Status.Phase == v1alpha1.ClaimReady })
	sick := w.claims()[0]
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: sick.Status.NodeName}}
	patch := fmt.Appendf(nil, `{"status":{"conditions":[{"type":"DiskBroken","status":"True","reason":"Test","message":"it makes noises","lastTransitionTime":%q}]}}`, time.Now().UTC().Format(time.RFC3339))
	require.NoError(t, w.client.Status().Patch(t.Context(), node, client.RawPatch("application/strategic-merge-patch+json", patch)))
	least := 3
	w.eventually("another node has taken its place", 90*time.Second, func() bool {
		least = min(least, w.running())
		claims := w.claims()
		return len(claims) == 1 && claims[0].Name != sick.Name && w.running() == 3
	})
	assert.Equal(t, []string{sick.Name}, w.claims()[0].Spec.Replaces)
	assert.NotEmpty(t, l.journal.with(decision.Repaired))
	t.Logf("of 3 pods %d ran at least", least)
}

func TestALeaderChangesInTheMiddleOfARenewal(t *testing.T) {
	w := newFleetWorld(t)
	w.cloud.Boot = model.Duration(3 * time.Second)
	w.policy(func(s *v1alpha1.NodePolicySpec) { s.Upgrade = &v1alpha1.NodeUpgrade{SoakTime: &metav1.Duration{}} })
	first := w.lead()
	w.deployment("web", 3, "500m")
	w.eventually("pods run", 40*time.Second, func() bool { return w.running() == 3 })
	w.eventually("the node is ready", 20*time.Second, func() bool { return w.claims()[0].Status.Phase == v1alpha1.ClaimReady })
	old := w.claims()[0]
	policy := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: w.name}}
	require.NoError(t, w.client.Patch(t.Context(), policy, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"template":{"labels":{"generation":"2"}}}}`))))
	w.eventually("a replacement is on its way", 60*time.Second, func() bool {
		return slices.ContainsFunc(w.claims(), func(k v1alpha1.NodeClaim) bool { return slices.Equal(k.Spec.Replaces, []string{old.Name}) })
	})
	first.stop()
	most := len(w.claims())
	w.lead()
	w.eventually("the next leader ends it", 60*time.Second, func() bool {
		claims := w.claims()
		most = max(most, len(claims))
		return len(claims) == 1 && claims[0].Name != old.Name && w.running() == 3
	})
	assert.Equal(t, "2", w.claims()[0].Spec.Labels["generation"])
	assert.LessOrEqual(t, most, 2, "nothing is bought twice")
}

func TestACordonThatBelongsToNoMoveIsTakenBack(t *testing.T) {
	w := newFleetWorld(t)
	w.policy(func(*v1alpha1.NodePolicySpec) {})
	w.lead()
	w.deployment("web", 1, "500m")
	w.eventually("the node is ready", 60*time.Second, func() bool {
		claims := w.claims()
		return len(claims) == 1 && claims[0].Status.Phase == v1alpha1.ClaimReady && w.running() == 1
	})
	key := client.ObjectKey{Name: w.claims()[0].Status.NodeName}
	var node corev1.Node
	require.NoError(t, w.client.Get(t.Context(), key, &node))
	before := node.DeepCopy()
	node.Spec.Unschedulable = true
	node.Annotations[v1alpha1.AnnotationCordoned] = "true"
	node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: v1alpha1.TaintDisrupted, Value: "Drifted", Effect: corev1.TaintEffectNoSchedule})
	require.NoError(t, w.client.Patch(t.Context(), &node, client.MergeFrom(before)))
	w.eventually("the node takes pods again", 20*time.Second, func() bool {
		var live corev1.Node
		require.NoError(t, w.client.Get(t.Context(), key, &live))
		return !live.Spec.Unschedulable && !disrupted(&live)
	})
}
