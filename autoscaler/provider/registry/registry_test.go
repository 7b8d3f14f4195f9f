package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/clusterapi"
	"github.com/yagura-dev/yagura/autoscaler/provider/external"
	"github.com/yagura-dev/yagura/autoscaler/provider/gke"
	"github.com/yagura-dev/yagura/autoscaler/provider/karpenter"
	"github.com/yagura-dev/yagura/autoscaler/provider/kwok"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpen(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Instances = map[string]Instance{
		"simulated": {Kwok: &kwok.Config{}},
		"metal":     {External: &external.Config{Address: "127.0.0.1:1"}},
		"capi":      {ClusterAPI: &clusterapi.Config{Namespace: "default", Cluster: "main"}},
		"karpenter": {Karpenter: &karpenter.Config{}},
	}
	require.NoError(t, cfg.Validate())
	r, err := Open(cfg, Dependencies{
		REST: &rest.Config{Host: "http://127.0.0.1:1"}, Namespace: "kube-system", Clock: clock.RealClock{},
		Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	require.NoError(t, err, "nobody is asked yet")
	defer r.Close()
	require.Len(t, r.Providers(), 4)
	for name, p := range r.Providers() {
		assert.Equal(t, name, p.Name())
		_, repairs := p.(provider.Repairer)
		assert.Equal(t, name == "simulated", repairs, name)
		_, upgrades := p.(provider.ControlPlaneUpgrader)
		assert.Equal(t, name == "capi", upgrades, name)
		_, err := p.List(t.Context())
		assert.Error(t, err, "there is nobody to ask")
	}
}

func TestNothingIsOpenedByDefault(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	r, err := Open(DefaultConfig(), Dependencies{})
	require.NoError(t, err)
	assert.Empty(t, r.Providers())
	r.Close()
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Instances = map[string]Instance{"simulated": {Kwok: &kwok.Config{Catalog: "missing.json"}}}
	_, err := Open(cfg, Dependencies{REST: &rest.Config{Host: "http://127.0.0.1:1"}, Clock: clock.RealClock{}, Logger: slog.New(slog.DiscardHandler)})
	assert.ErrorContains(t, err, "open provider simulated")
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"callTimeout": func(c *Config) { c.CallTimeout = 0 },
		"instances.a: exactly one kind of provider must be set, and 0 are": func(c *Config) { c.Instances = map[string]Instance{"a": {}} },
		"and 2 are": func(c *Config) {
			c.Instances = map[string]Instance{"a": {Kwok: &kwok.Config{}, Karpenter: &karpenter.Config{}}}
		},
		"instances.A: the name":         func(c *Config) { c.Instances = map[string]Instance{"A": {Kwok: &kwok.Config{}}} },
		"instances.a.kwok.boot":         func(c *Config) { c.Instances = map[string]Instance{"a": {Kwok: &kwok.Config{Boot: -1}}} },
		"instances.a.external.address":  func(c *Config) { c.Instances = map[string]Instance{"a": {External: &external.Config{}}} },
		"instances.a.clusterapi.namesp": func(c *Config) { c.Instances = map[string]Instance{"a": {ClusterAPI: &clusterapi.Config{}}} },
		"instances.a.gke.project":       func(c *Config) { c.Instances = map[string]Instance{"a": {GKE: &gke.Config{}}} },
	} {
		c := DefaultConfig()
		change(&c)
		assert.ErrorContains(t, c.Validate(), want)
	}
}

// slow answers what it is told to, and never before its context ends when it is told nothing.
type slow struct{ err error }

func (slow) Name() string                        { return "slow" }
func (slow) Capabilities() provider.Capabilities { return provider.Capabilities{} }
func (s slow) answer(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	<-ctx.Done()
	return fmt.Errorf("wait: %w", ctx.Err())
}
func (s slow) Offers(ctx context.Context, _ *v1alpha1.NodePolicy) ([]cluster.Offer, error) {
	return nil, s.answer(ctx)
}
func (s slow) Create(ctx context.Context, _ *v1alpha1.NodeClaim) (provider.Machine, error) {
	return provider.Machine{}, s.answer(ctx)
}
func (s slow) Get(ctx context.Context, _ *v1alpha1.NodeClaim) (provider.Machine, error) {
	return provider.Machine{}, s.answer(ctx)
}
func (s slow) Delete(ctx context.Context, _ *v1alpha1.NodeClaim) error { return s.answer(ctx) }
func (s slow) List(ctx context.Context) ([]provider.Machine, error)    { return nil, s.answer(ctx) }

func TestCallsAreBoundedAndCounted(t *testing.T) {
	m, err := newMetrics(nil)
	require.NoError(t, err)
	_, err = watch(slow{}, m, time.Millisecond).List(t.Context())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	for _, e := range []error{provider.ErrNotFound, &provider.OutOfCapacity{Err: errors.New("x")}, &provider.Invalid{Err: errors.New("x")}, provider.ErrUnsupported, errors.New("x")} {
		_, err := watch(slow{err: e}, m, time.Minute).Create(t.Context(), nil)
		require.ErrorIs(t, err, e)
	}
	assert.NoError(t, testutil.CollectAndCompare(m.calls, strings.NewReader(`
# HELP yagura_autoscaler_provider_calls_total Calls of node providers, by what came of them: ok, not-found, out-of-capacity, invalid, unsupported, timeout or error.
# TYPE yagura_autoscaler_provider_calls_total counter
yagura_autoscaler_provider_calls_total{method="create",provider="slow",result="error"} 1
yagura_autoscaler_provider_calls_total{method="create",provider="slow",result="invalid"} 1
yagura_autoscaler_provider_calls_total{method="create",provider="slow",result="not-found"} 1
yagura_autoscaler_provider_calls_total{method="create",provider="slow",result="out-of-capacity"} 1
yagura_autoscaler_provider_calls_total{method="create",provider="slow",result="unsupported"} 1
yagura_autoscaler_provider_calls_total{method="list",provider="slow",result="timeout"} 1
`)))
}
