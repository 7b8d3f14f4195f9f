package registry

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// metrics are about calls of providers.
type metrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_provider_calls_total",
			Help: "Calls of node providers, by what came of them: ok, not-found, out-of-capacity, invalid, unsupported, timeout or error.",
		}, []string{"provider", "method", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_provider_call_duration_seconds", Help: "How long calls of node providers took.",
			Buckets: []float64{0.005, 0.02, 0.1, 0.5, 2, 10, 60},
		}, []string{"provider", "method"}),
	}
	if registerer == nil {
		return m, nil
	}
	var err error
	if m.calls, err = register(registerer, m.calls); err != nil {
		return nil, err
	}
	m.seconds, err = register(registerer, m.seconds)
	return m, err
}

// register returns the collector that is registered already when there is one: providers are opened anew for every term of a leader,
// and what was counted stays.
func register[T prometheus.Collector](registerer prometheus.Registerer, c T) (T, error) {
	err := registerer.Register(c)
	if there := (prometheus.AlreadyRegisteredError{}); errors.As(err, &there) {
		if existing, ok := there.ExistingCollector.(T); ok {
			return existing, nil
		}
	}
	return c, err
}

// watched is a provider whose calls are bounded in time, measured and counted.
type watched struct {
	provider.Provider
	metrics *metrics
	timeout time.Duration
}

// watch keeps what a provider can do besides: who asks whether it is a Repairer gets the true answer.
func watch(p provider.Provider, m *metrics, timeout time.Duration) provider.Provider {
	w := &watched{Provider: p, metrics: m, timeout: timeout}
	repairer, repairs := p.(provider.Repairer)
	upgrader, upgrades := p.(provider.ControlPlaneUpgrader)
	switch {
	case repairs && upgrades:
		return struct {
			*watched
			watchedRepairer
			watchedUpgrader
		}{w, watchedRepairer{w, repairer}, watchedUpgrader{w, upgrader}}
	case repairs:
		return struct {
			*watched
			watchedRepairer
		}{w, watchedRepairer{w, repairer}}
	case upgrades:
		return struct {
			*watched
			watchedUpgrader
		}{w, watchedUpgrader{w, upgrader}}
	}
	return w
}

func (w *watched) call(ctx context.Context, method string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	start := time.Now()
	err := do(ctx)
	w.metrics.seconds.WithLabelValues(w.Name(), method).Observe(time.Since(start).Seconds())
	w.metrics.calls.WithLabelValues(w.Name(), method, result(err)).Inc()
	return err
}

func result(err error) string {
	var sold *provider.OutOfCapacity
	var invalid *provider.Invalid
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, provider.ErrNotFound):
		return "not-found"
	case errors.As(err, &sold):
		return "out-of-capacity"
	case errors.As(err, &invalid):
		return "invalid"
	case errors.Is(err, provider.ErrUnsupported):
		return "unsupported"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "error"
}

func (w *watched) Offers(ctx context.Context, policy *v1alpha1.NodePolicy) (offers []cluster.Offer, err error) {
	err = w.call(ctx, "offers", func(ctx context.Context) error {
		offers, err = w.Provider.Offers(ctx, policy)
		return err
	})
	return offers, err
}

func (w *watched) Create(ctx context.Context, claim *v1alpha1.NodeClaim) (m provider.Machine, err error) {
	err = w.call(ctx, "create", func(ctx context.Context) error {
		m, err = w.Provider.Create(ctx, claim)
		return err
	})
	return m, err
}

func (w *watched) Get(ctx context.Context, claim *v1alpha1.NodeClaim) (m provider.Machine, err error) {
	err = w.call(ctx, "get", func(ctx context.Context) error {
		m, err = w.Provider.Get(ctx, claim)
		return err
	})
	return m, err
}

func (w *watched) Delete(ctx context.Context, claim *v1alpha1.NodeClaim) error {
	return w.call(ctx, "delete", func(ctx context.Context) error { return w.Provider.Delete(ctx, claim) })
}

func (w *watched) List(ctx context.Context) (machines []provider.Machine, err error) {
	err = w.call(ctx, "list", func(ctx context.Context) error {
		machines, err = w.Provider.List(ctx)
		return err
	})
	return machines, err
}

type watchedRepairer struct {
	watched  *watched
	repairer provider.Repairer
}

func (r watchedRepairer) Repair(ctx context.Context, claim *v1alpha1.NodeClaim, step v1alpha1.RepairStep) error {
	return r.watched.call(ctx, "repair", func(ctx context.Context) error { return r.repairer.Repair(ctx, claim, step) })
}

type watchedUpgrader struct {
	watched  *watched
	upgrader provider.ControlPlaneUpgrader
}

func (u watchedUpgrader) ControlPlane(ctx context.Context) (wanted, running string, err error) {
	err = u.watched.call(ctx, "control-plane", func(ctx context.Context) error {
		wanted, running, err = u.upgrader.ControlPlane(ctx)
		return err
	})
	return wanted, running, err
}

func (u watchedUpgrader) UpgradeControlPlane(ctx context.Context, version string) error {
	return u.watched.call(ctx, "upgrade-control-plane", func(ctx context.Context) error { return u.upgrader.UpgradeControlPlane(ctx, version) })
}
