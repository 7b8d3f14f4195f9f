// Package shop is the demo's application: real HTTP services, instrumented with
// the OpenTelemetry SDK, whose replicas follow the ready pods of their Deployments
// in a cluster of simulated nodes. Too few pods, and requests wait and fail; enough,
// and they don't: scaling visibly helps.
//
// It imports only libraries; the demo command imports it.
package shop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/kubernetes"
)

// Config says where the shop lives.
type Config struct {
	Namespace string               // of the Deployments
	Client    kubernetes.Interface // watches their pods
	OTLP      string               // host:port of an OTLP gRPC receiver
	Logger    *slog.Logger
}

// Shop is the running application.
type Shop struct {
	cfg      Config
	services map[string]*deployment
}

// deployment is one service and its replicas, by pod name.
type deployment struct {
	spec  Service
	conn  *grpc.ClientConn
	muted atomic.Bool

	mu       sync.Mutex
	replicas map[string]*Replica
}

// New connects to the OTLP receiver (lazily: it need not be there yet).
func New(cfg Config) (*Shop, error) {
	s := &Shop{cfg: cfg, services: map[string]*deployment{}}
	for _, spec := range Catalogue() {
		d := &deployment{spec: spec, replicas: map[string]*Replica{}}
		conn, err := grpc.NewClient(cfg.OTLP,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithUnaryInterceptor(d.cut))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("connect to %s: %w", cfg.OTLP, err), s.close())
		}
		d.conn = conn
		s.services[spec.Name] = d
	}
	return s, nil
}

func (s *Shop) close() error {
	var errs []error
	for _, d := range s.services {
		errs = append(errs, d.conn.Close())
	}
	return errors.Join(errs...)
}

// Run serves until ctx is done, and then drains every replica.
func (s *Shop) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { s.reportCPU(ctx) })
	err := s.followPods(ctx)
	cancel()
	wg.Wait()

	var drains sync.WaitGroup
	for _, d := range s.services {
		d.mu.Lock()
		for name, r := range d.replicas {
			delete(d.replicas, name)
			drains.Go(func() { s.drain(r) })
		}
		d.mu.Unlock()
	}
	drains.Wait()
	return errors.Join(err, s.close())
}

func (s *Shop) drain(r *Replica) {
	if err := r.stop(context.Background()); err != nil {
		s.cfg.Logger.Debug("replica did not drain cleanly", "pod", r.Pod.Name, "error", err)
	}
}

// Pick chooses the replica of a service that has the least to do, and false when
// the service has none.
func (s *Shop) Pick(service string) (*Replica, bool) {
	d, ok := s.services[service]
	if !ok {
		return nil, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var best *Replica
	for _, r := range d.replicas { // map order breaks ties at random
		if best == nil || r.load() < best.load() {
			best = r
		}
	}
	return best, best != nil
}

// URL is the base of the replica's server.
func (r *Replica) URL() string { return r.url }

// Replicas is how many replicas each service has now.
func (s *Shop) Replicas() map[string]int {
	out := make(map[string]int, len(s.services))
	for name, d := range s.services {
		d.mu.Lock()
		out[name] = len(d.replicas)
		d.mu.Unlock()
	}
	return out
}

// Mute cuts (or restores) the telemetry of one service while it goes on serving:
// what a broken SDK or an unreachable collector looks like from outside.
func (s *Shop) Mute(service string, muted bool) error {
	d, ok := s.services[service]
	if !ok {
		return fmt.Errorf("there is no service %q", service)
	}
	d.muted.Store(muted)
	return nil
}

// cut fails the exports of a muted service in a way that SDKs do not retry, so that
// nothing of the silence arrives later.
func (d *deployment) cut(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if d.muted.Load() {
		return status.Error(codes.FailedPrecondition, "the telemetry of this service is cut")
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}
