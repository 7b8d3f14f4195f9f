package autoscaler

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/yagura-dev/yagura/autoscaler/actuation"
	"github.com/yagura-dev/yagura/autoscaler/admission"
	"github.com/yagura-dev/yagura/autoscaler/usage"
	"github.com/yagura-dev/yagura/autoscaler/vpa"
	"github.com/yagura-dev/yagura/autoscaler/workload"
)

// waitError is why a session could not begin: what is waited for, and the reason.
type waitError struct {
	phase Phase
	err   error
}

func (e *waitError) Error() string { return e.err.Error() }
func (e *waitError) Unwrap() error { return e.err }

const (
	// dialTimeout is how long the API server may take to answer the first question.
	dialTimeout = 5 * time.Second
	// syncTimeout is how long the first reading of the cluster may take before the session is begun anew.
	syncTimeout = time.Minute
	// watchKubeconfig is how often the kubeconfig is looked at for changes.
	watchKubeconfig = 2 * time.Second
)

var (
	errKubeconfigChanged = errors.New("the kubeconfig has changed")
	errLostLeadership    = errors.New("leadership was lost")
)

// session is one connection to one cluster, from its beginning until leadership is lost, the kubeconfig changes or the context ends.
func (a *Autoscaler) session(ctx context.Context, book closingJournal) error {
	config, print, err := a.restConfig()
	if err != nil {
		return &waitError{WaitingForKubeconfig, err}
	}
	k, err := connect(config, a.clock)
	if err != nil {
		return &waitError{WaitingForAPIServer, err}
	}
	defer k.close()
	if err := k.greet(ctx); err != nil {
		return &waitError{WaitingForAPIServer, fmt.Errorf("the API server at %s: %w", config.Host, err)}
	}
	if err := a.ensureDefinitions(ctx, k); err != nil {
		return &waitError{WaitingForDefinitions, err}
	}
	if err := k.open(a); err != nil {
		return &waitError{WaitingForAPIServer, err}
	}

	ctx, cancel := context.WithCancelCause(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel(nil)
	if a.cfg.Kubeconfig != "" {
		group.Go(func() { a.watchKubeconfig(ctx, print, cancel) })
	}
	a.board.set(a.clock.Now(), Syncing, "reading the cluster")
	group.Go(func() {
		if err := k.cache.Start(ctx); err != nil {
			cancel(fmt.Errorf("cache: %w", err))
		}
	})
	if err := k.sync(ctx); err != nil {
		return &waitError{Syncing, err}
	}
	if a.cfg.Admission.Listen != "" {
		// A review asks nobody anything, so what it needs to know is found out beside it.
		group.Go(func() { k.vpas.Run(ctx) })
		webhook, err := a.newWebhook(k)
		if err != nil {
			return &waitError{Syncing, err}
		}
		// Every replica answers, whoever leads: pods are created at any time. One that cannot listen still decides.
		group.Go(func() {
			for ctx.Err() == nil {
				if err := webhook.Run(ctx); err != nil && ctx.Err() == nil {
					a.logger.Error("admission webhook is down, pods are created as their manifests say", "err", err)
				}
				select {
				case <-ctx.Done():
				case <-a.clock.After(maxRetry):
				}
			}
		})
	}
	if err := a.lead(ctx, k, book); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// newWebhook makes the webhook that gives created pods their sizes.
func (a *Autoscaler) newWebhook(k *cluster) (*admission.Server, error) {
	others := &vpas{cfg: a.cfg.VPA, objects: knownVPAs{k.vpas}}
	return admission.New(a.cfg.Admission, admission.Dependencies{
		Reader: k.cache, Kube: k.kube, Namespace: a.leaseNamespace(), Only: a.cfg.Namespaces,
		Leading: func() bool { return a.controller.Load() != nil }, Owner: others.owner,
		Clock: a.clock, Logger: a.logger, Metrics: a.admissionMetrics,
	})
}

// restConfig reads the kubeconfig, with a fingerprint by which changes are noticed.
func (a *Autoscaler) restConfig() (*rest.Config, [sha256.Size]byte, error) {
	var print [sha256.Size]byte
	var config *rest.Config
	var err error
	if a.cfg.Kubeconfig == "" {
		config, err = rest.InClusterConfig()
	} else {
		var text []byte
		if text, err = os.ReadFile(a.cfg.Kubeconfig); err == nil {
			print = sha256.Sum256(text)
			// By path rather than by content, so that relative names of certificates in it are found.
			config, err = clientcmd.BuildConfigFromFlags("", a.cfg.Kubeconfig)
		}
	}
	if err != nil {
		return nil, print, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.UserAgent = workload.FieldManager
	// The API server has its own fairness; a limit here would only hide how it fares.
	config.QPS, config.Burst = -1, -1
	return config, print, nil
}

// watchKubeconfig ends the session when the kubeconfig becomes another one: a cluster that was made anew has other certificates.
func (a *Autoscaler) watchKubeconfig(ctx context.Context, print [sha256.Size]byte, cancel context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.clock.After(watchKubeconfig):
		}
		text, err := os.ReadFile(a.cfg.Kubeconfig)
		if err == nil && sha256.Sum256(text) != print {
			cancel(errKubeconfigChanged)
			return
		}
	}
}

// lead takes part in leader election, and carries policies out while it leads. It returns when leadership is lost or the context ends.
func (a *Autoscaler) lead(ctx context.Context, k *cluster, book closingJournal) error {
	election := a.cfg.LeaderElection
	lockHTTP := *k.http
	lockHTTP.Timeout = time.Duration(election.RenewDeadline) / 2
	lockClient, err := kubernetes.NewForConfigAndClient(k.config, &lockHTTP)
	if err != nil {
		return fmt.Errorf("make client for the lease: %w", err)
	}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, a.leaseNamespace(), election.Name,
		lockClient.CoreV1(), lockClient.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: a.instance})
	if err != nil {
		return fmt.Errorf("make lease: %w", err)
	}
	held := &fence{Interface: lock, clock: a.clock, deadline: time.Duration(election.RenewDeadline)}
	started := make(chan context.Context, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: held, ReleaseOnCancel: true, Name: election.Name,
		LeaseDuration: time.Duration(election.LeaseDuration), RenewDeadline: time.Duration(election.RenewDeadline), RetryPeriod: time.Duration(election.RetryPeriod),
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { started <- ctx },
			OnStoppedLeading: func() {},
			OnNewLeader: func(identity string) {
				if identity != a.instance {
					a.board.set(a.clock.Now(), Standby, "led by "+identity)
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("make leader election: %w", err)
	}
	// The lease is given back only when nothing works any more, or the next leader and this one would act at once. So the
	// election must not see the end of the context before the work does.
	electing, resign := context.WithCancel(context.WithoutCancel(ctx))
	resigned := make(chan struct{})
	a.board.set(a.clock.Now(), Standby, "waiting for the lease")
	go func() {
		defer close(resigned)
		elector.Run(electing)
	}()
	defer func() {
		resign()
		<-resigned
	}()
	select {
	case <-ctx.Done():
		return nil
	case <-resigned:
		return errLostLeadership
	case leading := <-started:
		working, stop := context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(leading, stop)()
		a.work(working, k, book, held)
		if ctx.Err() != nil {
			return nil
		}
		return errLostLeadership
	}
}

// work carries policies out until the context ends.
func (a *Autoscaler) work(ctx context.Context, k *cluster, book closingJournal, held *fence) {
	feeder := usage.New(a.cfg.Usage, usage.Dependencies{
		Signals: k.signals, Models: newModel, Sink: book, Clock: a.clock, Logger: a.logger, Metrics: a.usageMetrics,
	})
	executor := actuation.New(a.cfg.Actuation, actuation.Dependencies{
		Kube: k.kube, Clock: a.clock, Logger: a.logger, Metrics: a.actuationMetrics, FieldManager: workload.FieldManager,
	})
	// Nobody leads before nothing is under way here any more.
	defer executor.Wait()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		if err := feeder.Run(ctx); err != nil && ctx.Err() == nil {
			a.logger.Error("usage is not measured any more", "err", err)
		}
	})
	others := &vpas{cfg: a.cfg.VPA, objects: k.vpas, cache: k.cache, targets: k.targets, feeder: feeder, clock: a.clock}
	recommender := vpa.NewRecommender(a.cfg.VPA, vpa.Dependencies{
		Objects: k.vpas, Source: others, Status: k.client, Clock: a.clock, Logger: a.logger, Metrics: a.vpaMetrics,
	})
	group.Go(func() { recommender.Run(ctx) })
	if a.cfg.looksAfterNodes() {
		group.Go(func() { a.lookAfterNodes(ctx, k, book, held) })
	}
	controller := workload.NewController(a.cfg.Workload, workload.Dependencies{
		Cache: k.cache, Status: k.client, Events: k.kube, Targets: k.targets, Signals: k.signals, Journal: book,
		Clock: a.clock, Logger: a.logger, Instance: a.instance, Metrics: a.metrics, Usage: feeder, Actuation: executor, Models: modelsOf,
		MoreUsage: others.follow, Sizers: others.sizers,
	})
	a.controller.Store(controller)
	defer a.controller.Store(nil)
	a.leading.Set(1)
	defer a.leading.Set(0)
	a.board.set(a.clock.Now(), Leading, "")
	a.logger.Info("leading", "instance", a.instance)
	defer a.logger.Info("not leading any more", "instance", a.instance)
	controller.Run(ctx)
}

func (a *Autoscaler) leaseNamespace() string {
	if a.cfg.LeaderElection.Namespace != "" {
		return a.cfg.LeaderElection.Namespace
	}
	if text, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace"); err == nil {
		if namespace := strings.TrimSpace(string(text)); namespace != "" {
			return namespace
		}
	}
	return "kube-system"
}
