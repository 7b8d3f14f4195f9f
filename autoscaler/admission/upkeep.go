package admission

import (
	"context"
	"errors"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
)

const (
	// tick is how often it is looked whether something is due.
	tick = time.Second
	// callTimeout is how long one call of the API server may take.
	callTimeout = 5 * time.Second
)

// upkeep is what a server does beside reviews: certificates, registration, and looking whether pods come sized. It belongs to one goroutine.
type upkeep struct {
	server       *Server
	keys         *keeper
	registration registration

	due     time.Time
	watch   watch
	leading bool
	// applied is true when this process was the last that it knows of to write the registration.
	applied bool
	// known is true when the API server calls the webhook and trusts what it serves, as far as was read.
	known bool
}

func (u *upkeep) run(ctx context.Context) {
	ticker := u.server.deps.Clock.NewTicker(tick)
	defer ticker.Stop()
	defer u.end(ctx)
	for {
		u.step(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

// step does what is due. A process that begins to lead does not wait for its turn, nor does one without a certificate.
func (u *upkeep) step(ctx context.Context) {
	now, leading := u.server.deps.Clock.Now(), u.server.deps.Leading()
	if now.Before(u.due) && leading == u.leading && u.keys.current.Load() != nil {
		return
	}
	u.due, u.leading = now.Add(time.Duration(u.server.cfg.Interval)), leading
	u.do(ctx, taskCertificates, u.keys.refresh)
	if ring := u.keys.current.Load(); ring != nil {
		u.server.deps.Metrics.expiry.Set(float64(ring.serving.Leaf.NotAfter.Unix()))
	}
	if !u.do(ctx, taskRegistration, u.register) {
		u.known = false
	}
	u.do(ctx, taskWatch, u.look)
	up := 0.0
	if u.known && u.watch.answered {
		up = 1
	}
	u.server.deps.Metrics.up.Set(up)
}

// do carries out one task and reports whether it succeeded.
func (u *upkeep) do(ctx context.Context, task string, work func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := work(ctx)
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		u.server.deps.Metrics.failures.WithLabelValues(task).Inc()
		u.server.deps.Logger.Warn("admission webhook", "task", task, "err", err)
	}
	return err == nil
}

// register brings the registration up to date in the leader, and reads it in the others.
func (u *upkeep) register(ctx context.Context) error {
	u.known = false
	bundle := u.keys.bundle()
	if bundle == nil {
		return errNoCertificate
	}
	find := u.registration.read
	if u.leading {
		find = func(ctx context.Context) (*admissionregistrationv1.MutatingWebhookConfiguration, error) {
			return u.registration.apply(ctx, bundle)
		}
	}
	config, err := find(ctx)
	if err != nil || config == nil {
		return err
	}
	u.applied = u.leading
	for i := range config.Webhooks {
		if w := &config.Webhooks[i]; w.Name == webhookName {
			u.known = u.keys.acceptedBy(w.ClientConfig.CABundle, u.server.deps.Clock.Now())
			u.watch.registered(config.CreationTimestamp.Time, u.server.deps.Clock.Now(), u.known)
		}
	}
	return nil
}

// look finds pods that came without their sizes.
func (u *upkeep) look(ctx context.Context) error {
	missed, err := u.watch.look(ctx, u.server.deps.Clock.Now(), u.server.reviewer, u.registration)
	if u.leading && len(missed) > 0 {
		u.server.deps.Metrics.missed.Add(float64(len(missed)))
		u.server.deps.Logger.Warn("pods were created without their sizes: the API server did not call the admission webhook", "pods", len(missed), "first", missed[0])
	}
	return err
}

// end removes a registration that nobody will serve under any more. One with a Service stays: other replicas serve it, or will, and a
// Service without replicas refuses calls at once.
func (u *upkeep) end(ctx context.Context) {
	if !u.applied || !u.registration.leftOver() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := u.registration.remove(ctx); err != nil {
		u.server.deps.Logger.Warn("admission webhook stays registered", "err", err)
	}
}
