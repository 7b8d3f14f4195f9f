package shop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// drainTimeout bounds how long a replica whose pod is gone may finish requests.
const drainTimeout = 5 * time.Second

// Replica stands for one ready pod: an HTTP server on loopback with a pod's worth
// of workers and an OpenTelemetry SDK that carries the pod's name. The nodes of a
// fleet are simulated and run nothing, so the shop runs here and its capacity
// follows the pods there.
type Replica struct {
	Pod     Pod
	service Service
	url     string
	server  *http.Server
	client  *http.Client
	tel     *telemetry
	workers chan struct{}
	waiting atomic.Int64
	busy    atomic.Int64 // nanoseconds of worker time so far
	pick    func(service string) (*Replica, bool)
}

func newReplica(ctx context.Context, s Service, pod Pod, tel *telemetry, pick func(string) (*Replica, bool)) (*Replica, error) {
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", pod.Name, err)
	}
	r := &Replica{
		Pod: pod, service: s, url: "http://" + lis.Addr().String(), tel: tel, pick: pick,
		workers: make(chan struct{}, s.Workers),
	}
	r.client = &http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport,
		otelhttp.WithTracerProvider(tel.tracers), otelhttp.WithMeterProvider(tel.meters), otelhttp.WithPropagators(propagator))}
	mux := http.NewServeMux()
	for _, e := range s.Endpoints {
		route := e.Method + " " + e.Path
		if e.Path == "/" {
			route += "{$}"
		}
		mux.Handle(route, otelhttp.NewHandler(r.handle(e), e.Method+" "+e.Path,
			otelhttp.WithTracerProvider(tel.tracers), otelhttp.WithMeterProvider(tel.meters), otelhttp.WithPropagators(propagator)))
	}
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := r.server.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("replica stopped serving", "pod", pod.Name, "error", err)
		}
	}()
	return r, nil
}

func (r *Replica) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	return errors.Join(r.server.Shutdown(ctx), r.tel.shutdown(ctx))
}

// load is what the balancer compares: requests served or waiting.
func (r *Replica) load() int { return len(r.workers) + int(r.waiting.Load()) }

func (r *Replica) handle(e Endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		ctx := req.Context()
		start := time.Now()
		attrs := []any{slog.String("http.route", e.Path), slog.String("http.request.method", e.Method)}

		r.tel.inFlight.Add(ctx, 1)
		defer r.tel.inFlight.Add(ctx, -1)
		if !r.enter(ctx) {
			r.tel.refused.Add(ctx, 1)
			r.tel.logger.WarnContext(ctx, "refused: too many requests are waiting", attrs...)
			http.Error(w, "overloaded", http.StatusServiceUnavailable)
			return
		}
		r.work(ctx, e.Work)
		<-r.workers

		if e.FailEvery > 0 && rand.IntN(e.FailEvery) == 0 {
			trace.SpanFromContext(ctx).SetStatus(codes.Error, "card processor said no")
			r.tel.logger.ErrorContext(ctx, "card processor said no", append(attrs, slog.Int("http.response.status_code", http.StatusBadGateway))...)
			http.Error(w, "card processor said no", http.StatusBadGateway)
			return
		}
		for _, c := range e.Calls {
			if c.OneIn > 1 && rand.IntN(c.OneIn) != 0 {
				continue
			}
			if err := r.call(ctx, c); err != nil {
				r.tel.logger.ErrorContext(ctx, "call failed: "+err.Error(), append(attrs, slog.String("peer.service", c.Service))...)
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
		}
		r.tel.logger.InfoContext(ctx, "served "+e.Method+" "+e.Path,
			append(attrs, slog.Duration("duration", time.Since(start)))...)
		w.WriteHeader(http.StatusNoContent)
	}
}

// enter waits for a worker, unless too many wait already.
func (r *Replica) enter(ctx context.Context) bool {
	select {
	case r.workers <- struct{}{}:
		return true
	default:
	}
	if r.waiting.Add(1) > int64(r.service.Waiting) {
		r.waiting.Add(-1)
		return false
	}
	defer r.waiting.Add(-1)
	select {
	case r.workers <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// work holds the worker. It sleeps: what matters is the worker's time, and this
// machine's processors are busy with the rest of the platform.
func (r *Replica) work(ctx context.Context, mean time.Duration) {
	d := time.Duration(float64(mean) * (0.8 + 0.4*rand.Float64()))
	timer := time.NewTimer(d)
	defer timer.Stop()
	start := time.Now()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	r.busy.Add(int64(time.Since(start)))
}

func (r *Replica) call(ctx context.Context, c Call) error {
	to, ok := r.pick(c.Service)
	if !ok {
		return fmt.Errorf("%s has no ready replica", c.Service)
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, to.url+c.Path, nil)
	if err != nil {
		return fmt.Errorf("call %s: %w", c.Service, err)
	}
	trace.SpanFromContext(ctx).AddEvent("call", trace.WithAttributes(attribute.String("peer.service", c.Service)))
	res, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("call %s: %w", c.Service, err)
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s answered %s", c.Service, res.Status)
	}
	return nil
}
