package autoscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/yagura-dev/yagura/autoscaler/actuation"
	"github.com/yagura-dev/yagura/autoscaler/admission"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/drain"
	"github.com/yagura-dev/yagura/autoscaler/fleet"
	"github.com/yagura-dev/yagura/autoscaler/journal"
	"github.com/yagura-dev/yagura/autoscaler/nodes"
	"github.com/yagura-dev/yagura/autoscaler/signal"
	"github.com/yagura-dev/yagura/autoscaler/usage"
	"github.com/yagura-dev/yagura/autoscaler/vpa"
	"github.com/yagura-dev/yagura/autoscaler/workload"
)

// Autoscaler is one autoscaler process. Make it with New, run it with Run.
type Autoscaler struct {
	cfg      Config
	logger   *slog.Logger
	registry prometheus.Registerer
	clock    clock.WithTickerAndDelayedExecution
	instance string
	metrics  *workload.Metrics
	// These outlive what counts in them.
	signalMetrics    *signal.Metrics
	usageMetrics     *usage.Metrics
	actuationMetrics *actuation.Metrics
	vpaMetrics       *vpa.Metrics
	admissionMetrics *admission.Metrics
	nodesMetrics     *nodes.Metrics
	claimMetrics     *claim.Metrics
	drainMetrics     *drain.Metrics
	leading          prometheus.Gauge
	board            board
	// controller is the one that runs now, nil when none does.
	controller atomic.Pointer[workload.Controller]
	// nodes is the loop over nodes, nil when this process does not lead or leaves nodes alone.
	nodes atomic.Pointer[nodes.Controller]
}

// clientLogs makes Kubernetes' client libraries, which have one logger per process, log where the first autoscaler does.
var clientLogs sync.Once

// New makes an autoscaler. It connects to nothing yet.
func New(cfg Config, logger *slog.Logger, registry prometheus.Registerer) (*Autoscaler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("autoscaler.%w", err)
	}
	// Here and not in Run, since the libraries read it without a lock once they work.
	clientLogs.Do(func() {
		klog.SetSlogLogger(logger.With("component", "client-go"))
		ctrllog.SetLogger(logr.FromSlogHandler(logger.With("component", "controller-runtime").Handler()))
	})
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this instance: %w", err)
	}
	a := &Autoscaler{
		cfg: cfg, logger: logger, registry: registry, clock: clock.RealClock{},
		instance: fmt.Sprintf("%.60s_%s", host, uuid.NewString()[:8]),
		metrics:  workload.NewMetrics(registry), signalMetrics: signal.NewMetrics(registry),
		usageMetrics: usage.NewMetrics(registry), actuationMetrics: actuation.NewMetrics(registry), vpaMetrics: vpa.NewMetrics(registry),
		admissionMetrics: admission.NewMetrics(registry),
		nodesMetrics:     nodes.NewMetrics(registry), claimMetrics: claim.NewMetrics(registry), drainMetrics: drain.NewMetrics(registry),
		leading: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_leading", Help: "1 while this process carries policies out, else 0."}),
	}
	if err := registry.Register(a.leading); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	a.board.set(a.clock.Now(), WaitingForKubeconfig, "not started")
	return a, nil
}

// Instance is the name of this process in the Lease, in events and in records.
func (a *Autoscaler) Instance() string { return a.instance }

// State says what the autoscaler is doing. It is safe for concurrent use.
func (a *Autoscaler) State() State {
	state := a.board.get()
	if c := a.controller.Load(); c != nil {
		state.Policies, state.LastTick = c.Policies(), c.LastTick()
	}
	return state
}

// Handler serves /healthz, /readyz, /state, which is State as JSON, and /api/v1/nodes, which is fleet.View.
func (a *Autoscaler) Handler() http.Handler {
	mux := http.NewServeMux()
	probe := func(check func() error) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if err := check(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintln(w, "ok")
		}
	}
	mux.HandleFunc("GET /healthz", probe(func() error { return a.State().healthy(a.clock.Now()) }))
	mux.HandleFunc("GET /readyz", probe(func() error { return a.State().ready() }))
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a.State())
	})
	mux.HandleFunc("GET /api/v1/nodes", a.serveNodes)
	return mux
}

const (
	firstRetry = 500 * time.Millisecond
	maxRetry   = 5 * time.Second
	// closeTimeout is how long the last records may take to be delivered.
	closeTimeout = 5 * time.Second
)

// Run works until the context ends, and returns nil then. It gives back leadership and delivers what it has recorded before it returns.
func (a *Autoscaler) Run(ctx context.Context) error {
	book, err := a.openJournal(ctx)
	if err != nil {
		return err
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if err := book.Close(last); err != nil {
			a.logger.Warn("not every record was delivered", "err", err)
		}
		a.board.set(a.clock.Now(), Stopped, "")
	}()
	retry := firstRetry
	for ctx.Err() == nil {
		started := a.clock.Now()
		err := a.session(ctx, book)
		if ctx.Err() != nil {
			break
		}
		if a.clock.Since(started) > maxRetry {
			retry = firstRetry // it went well for a while
		}
		a.report(err)
		select {
		case <-ctx.Done():
		case <-a.clock.After(retry):
		}
		retry = min(2*retry, maxRetry)
	}
	return nil
}

// report puts the reason why a session ended on the board, and into the log when it is news.
func (a *Autoscaler) report(err error) {
	phase := WaitingForAPIServer
	if w := (*waitError)(nil); errors.As(err, &w) {
		phase = w.phase
	}
	message := "starting over"
	if err != nil {
		message = err.Error()
	}
	if a.board.set(a.clock.Now(), phase, message) {
		a.logger.Warn("autoscaler waits", "phase", phase, "reason", message)
	}
}

// closingJournal is a journal with an end.
type closingJournal interface {
	workload.Journal
	// Usage takes what containers used in the last five minutes.
	Usage(labels map[string]string, values map[string]float64)
	// Fleet takes the nodes, or nil when nothing is known of them any more.
	Fleet(view *fleet.View)
	Close(ctx context.Context) error
}

func (a *Autoscaler) openJournal(ctx context.Context) (closingJournal, error) {
	if a.cfg.Journal.Endpoint == "" {
		return silence{}, nil
	}
	return journal.New(ctx, a.cfg.Journal, a.instance, a.logger, a.registry)
}

// silence is the journal of an autoscaler that sends nothing.
type silence struct{}

func (silence) Record(context.Context, decision.Record, bool) {}
func (silence) Observe(decision.Record)                       {}
func (silence) Forget(string, string)                         {}
func (silence) Usage(map[string]string, map[string]float64)   {}
func (silence) Fleet(*fleet.View)                             {}
func (silence) Close(context.Context) error                   { return nil }
