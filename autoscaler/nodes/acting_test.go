package nodes

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/drain"
)

// acting lets a loop over a world without an API server write: to one in memory that has the same nodes, claims and policies. Time
// stands still unless the test moves it.
func (c *Controller) acting(t *testing.T, wrap interceptor.Funcs) (client.Client, *clocktesting.FakeClock) {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, AddToScheme(scheme))
	var objects []client.Object
	var nodes []runtime.Object
	for _, k := range c.world.claims {
		objects = append(objects, k.DeepCopy())
	}
	for _, p := range c.world.policies {
		objects = append(objects, p.DeepCopy())
	}
	for _, n := range c.world.nodes {
		objects = append(objects, n.DeepCopy())
		nodes = append(nodes, n.DeepCopy())
	}
	kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.NodeClaim{}, &v1alpha1.NodePolicy{}).WithInterceptorFuncs(wrap).Build()
	var policies v1alpha1.NodePolicyList
	require.NoError(t, kube.List(t.Context(), &policies))
	for i := range policies.Items {
		c.world.policies[policies.Items[i].Name] = &policies.Items[i]
	}
	clock := clocktesting.NewFakeClock(start)
	logger, metrics := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	writer := kubefake.NewSimpleClientset(nodes...)
	c.deps.Client, c.deps.Events, c.deps.Clock, c.deps.Logger = kube, writer, clock, logger
	c.deps.Drainer = drain.New(drain.Dependencies{Kube: writer, Clock: clock, Logger: logger, Metrics: drain.NewMetrics(metrics), Config: drain.DefaultConfig()})
	c.deps.Keeper = claim.New(claim.Dependencies{Client: kube, Providers: c.deps.Providers, Clock: clock, Logger: logger, Metrics: claim.NewMetrics(metrics), Config: claim.DefaultConfig()})
	c.events = newEventWriter(writer.EventsV1(), "test", logger, c.deps.Metrics.events)
	c.queue, c.tasks = &claimQueue{c: c, nodes: map[string]string{}}, make(chan func(), 1024) // no worker keeps claims here
	t.Cleanup(c.background.Wait)
	return kube, clock
}

// finish waits for what the loop has begun in the background, and has the loop take in what came of it.
func (c *Controller) finish() {
	c.background.Wait()
	for {
		select {
		case task := <-c.tasks:
			task()
		default:
			return
		}
	}
}

// live is a claim as the API server has it.
func live(t *testing.T, kube client.Client, name string) *v1alpha1.NodeClaim {
	t.Helper()
	var k v1alpha1.NodeClaim
	require.NoError(t, kube.Get(t.Context(), client.ObjectKey{Name: name}, &k))
	return &k
}

// nodeNow is a node as the API server has it.
func (c *Controller) nodeNow(t *testing.T, name string) *corev1.Node {
	t.Helper()
	n, err := c.deps.Events.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return n
}

// after is a moment of the test.
func after(d time.Duration) time.Time { return start.Add(d) }
