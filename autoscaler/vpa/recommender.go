package vpa

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldManager is who writes status, as the API server records it.
const fieldManager = "yagura-autoscaler"

// ErrTarget is the error of a Source, wrapped in a reason, when a target cannot be read for what it is: it does not exist or is of a
// kind whose pods are unknown. It is told in a condition; other errors are the source's own.
var ErrTarget = errors.New("the target cannot be used")

// Source knows what the containers of a VerticalPodAutoscaler's target use. Implementations must be safe for concurrent use and
// must not change the object.
type Source interface {
	Usage(ctx context.Context, v *vpav1.VerticalPodAutoscaler) (Usage, error)
}

// Lister lists VerticalPodAutoscalers; Objects is one.
type Lister interface {
	List(ctx context.Context) ([]vpav1.VerticalPodAutoscaler, error)
}

// Dependencies are what a Recommender works with.
type Dependencies struct {
	Objects Lister
	Source  Source
	// Status writes the status of VerticalPodAutoscalers.
	Status  client.StatusClient
	Clock   clock.WithTicker
	Logger  *slog.Logger
	Metrics *Metrics
}

// Metrics are the recommender's own metrics.
type Metrics struct {
	objects *prometheus.GaugeVec
	writes  *prometheus.CounterVec
	refused *prometheus.CounterVec
}

// NewMetrics registers the recommender's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		objects: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_vpa_objects", Help: "VerticalPodAutoscalers, by whether they ask for recommendations of this recommender."}, []string{"recommender"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_vpa_status_writes_total", Help: "Writes of a VerticalPodAutoscaler's status, by result."}, []string{"result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_vpa_refused_total", Help: "Times that a VerticalPodAutoscaler was not recommended for, by reason."}, []string{"reason"}),
	}
	reg.MustRegister(m.objects, m.writes, m.refused)
	return m
}

// Recommender writes the status of the VerticalPodAutoscalers that ask for it by name, and of no others. One instance runs at a
// time, in the process that leads.
type Recommender struct {
	cfg  Config
	deps Dependencies
}

// NewRecommender makes a recommender.
func NewRecommender(cfg Config, deps Dependencies) *Recommender {
	return &Recommender{cfg: cfg, deps: deps}
}

// eager is how often those are looked at that have no recommendation yet, or one without their history.
const eager = 5 * time.Second

// Run recommends at every interval until the context ends, and sooner for those that wait for their first recommendation.
func (r *Recommender) Run(ctx context.Context) {
	if r.cfg.Recommender == "" {
		return
	}
	interval := time.Duration(r.cfg.Interval)
	ticker := r.deps.Clock.NewTicker(min(interval, eager))
	defer ticker.Stop()
	defer r.deps.Metrics.objects.Reset()
	var last time.Time
	for {
		now := r.deps.Clock.Now()
		which := waiting
		if now.Sub(last) >= interval {
			last, which = now, everyone
		}
		if err := r.round(ctx, which); err != nil && ctx.Err() == nil {
			r.deps.Logger.Error("cannot recommend for VerticalPodAutoscalers", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

// Tick recommends once for each VerticalPodAutoscaler that asks for it.
func (r *Recommender) Tick(ctx context.Context) error { return r.round(ctx, everyone) }

func everyone(*vpav1.VerticalPodAutoscaler) bool { return true }

// waiting says whether a VerticalPodAutoscaler has no recommendation that rests on its history.
func waiting(v *vpav1.VerticalPodAutoscaler) bool {
	return v.Status.Recommendation == nil || slices.ContainsFunc(v.Status.Conditions, func(c vpav1.VerticalPodAutoscalerCondition) bool {
		return c.Type == vpav1.FetchingHistory && c.Status == corev1.ConditionTrue
	})
}

// round recommends for those of ours that are chosen.
func (r *Recommender) round(ctx context.Context, which func(*vpav1.VerticalPodAutoscaler) bool) error {
	list, err := r.deps.Objects.List(ctx)
	if err != nil {
		return err
	}
	ours, others := 0, 0
	var failures []error
	for i := range list {
		v := &list[i]
		if !r.cfg.Selects(v) || v.DeletionTimestamp != nil {
			others++
			continue
		}
		ours++
		if !which(v) {
			continue
		}
		if err := r.one(ctx, v); err != nil {
			failures = append(failures, fmt.Errorf("%s/%s: %w", v.Namespace, v.Name, err))
		}
	}
	r.deps.Metrics.objects.WithLabelValues("this").Set(float64(ours))
	r.deps.Metrics.objects.WithLabelValues("other").Set(float64(others))
	return errors.Join(failures...)
}

// one brings the status of one VerticalPodAutoscaler up to date.
func (r *Recommender) one(ctx context.Context, v *vpav1.VerticalPodAutoscaler) error {
	next, err := r.status(ctx, v)
	if err != nil {
		r.deps.Metrics.refused.WithLabelValues("UsageUnknown").Inc()
		return err
	}
	if same(v.Status, next) {
		return nil
	}
	changed := v.DeepCopy()
	changed.Status = next
	// The lock makes the API server refuse the write if the object names somebody else by now.
	patch := client.MergeFromWithOptions(v.DeepCopy(), client.MergeFromWithOptimisticLock{})
	err = r.deps.Status.Status().Patch(ctx, changed, patch, client.FieldOwner(fieldManager))
	switch {
	case err == nil:
		r.deps.Metrics.writes.WithLabelValues("written").Inc()
		return nil
	case apierrors.IsConflict(err) || apierrors.IsNotFound(err):
		// It has changed since it was read; the next round sees it as it is.
		r.deps.Metrics.writes.WithLabelValues("conflict").Inc()
		return nil
	}
	r.deps.Metrics.writes.WithLabelValues("failed").Inc()
	return fmt.Errorf("write status: %w", err)
}

// status is what the status should be. An error leaves it as it is: an outage takes no recommendation away.
func (r *Recommender) status(ctx context.Context, v *vpav1.VerticalPodAutoscaler) (vpav1.VerticalPodAutoscalerStatus, error) {
	now := r.deps.Clock.Now()
	if err := check(v); err != nil {
		r.deps.Metrics.refused.WithLabelValues(ReasonInvalidSpec).Inc()
		return refuse(v, ReasonInvalidSpec, err.Error(), now), nil
	}
	usage, err := r.deps.Source.Usage(ctx, v)
	switch {
	case errors.Is(err, ErrTarget):
		r.deps.Metrics.refused.WithLabelValues(ReasonTargetUnknown).Inc()
		return refuse(v, ReasonTargetUnknown, err.Error(), now), nil
	case err != nil:
		return vpav1.VerticalPodAutoscalerStatus{}, fmt.Errorf("read usage: %w", err)
	}
	return recommend(v, usage, now), nil
}
