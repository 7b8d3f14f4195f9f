package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"k8s.io/utils/clock"

	"github.com/yagura-dev/yagura/collector/queue"
)

// Sink takes requests; *queue.Queue is one. It returns nil only when the record
// survives a crash of the process.
type Sink interface {
	Append(ctx context.Context, s queue.Stream, payload []byte) error
}

// Receiver receives OTLP.
type Receiver struct {
	config  Config
	cluster string
	pods    Pods
	sink    Sink
	clock   clock.WithTicker
	log     *slog.Logger
	metrics *metrics
	senders *senders
	signals []*signal
	slots   chan struct{} // one for each request in memory

	grpcListener, httpListener net.Listener
	grpcServer                 *grpc.Server
	httpServer                 *http.Server
}

// New returns a Receiver that listens already, so that a port that is taken is an
// error at once; Run answers. A Receiver that is not run must be closed. cluster
// is added to every resource that names no cluster; pods may be nil.
func New(config Config, cluster string, pods Pods, sink Sink, log *slog.Logger, registerer prometheus.Registerer) (*Receiver, error) {
	return newReceiver(config, cluster, pods, sink, log, registerer, clock.RealClock{})
}

func newReceiver(config Config, cluster string, pods Pods, sink Sink, log *slog.Logger, registerer prometheus.Registerer, c clock.WithTicker) (*Receiver, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	own, err := newMetrics(registerer)
	if err != nil {
		return nil, err
	}
	r := &Receiver{
		config: config, cluster: cluster, pods: pods, sink: sink, clock: c, log: log, metrics: own,
		senders: newSenders(config.MaxSenders),
		signals: newSignals(),
		slots:   make(chan struct{}, config.MaxConcurrentRequests),
	}
	if r.grpcListener, err = listen("grpc", config.GRPC, config.MaxConnections); err != nil {
		return nil, err
	}
	if r.httpListener, err = listen("http", config.HTTP, config.MaxConnections); err != nil {
		r.Close()
		return nil, err
	}
	r.grpcServer = r.newGRPCServer()
	r.httpServer = r.newHTTPServer()
	return r, nil
}

func listen(field, address string, most int) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return netutil.LimitListener(listener, most), nil
}

// GRPCAddr returns the address that gRPC is received at; nil when it is off.
func (r *Receiver) GRPCAddr() net.Addr { return address(r.grpcListener) }

// HTTPAddr returns the address that HTTP is received at; nil when it is off.
func (r *Receiver) HTTPAddr() net.Addr { return address(r.httpListener) }

func address(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Close stops listening, for a Receiver that is not run.
func (r *Receiver) Close() {
	for _, l := range []net.Listener{r.grpcListener, r.httpListener} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// Run answers until ctx is done, lets the requests that have begun come to an
// end, and returns nil then.
func (r *Receiver) Run(ctx context.Context) error {
	defer r.Close()
	group, ctx := errgroup.WithContext(ctx)
	if r.grpcListener != nil {
		group.Go(func() error {
			if err := r.grpcServer.Serve(r.grpcListener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				return fmt.Errorf("receive OTLP by gRPC: %w", err)
			}
			return nil
		})
	}
	if r.httpListener != nil {
		group.Go(func() error {
			if err := r.httpServer.Serve(r.httpListener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("receive OTLP by HTTP: %w", err)
			}
			return nil
		})
	}
	group.Go(func() error {
		r.heartbeats(ctx)
		r.shutdown()
		return nil
	})
	return group.Wait()
}

// shutdown lets running requests finish within the request timeout.
func (r *Receiver) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.config.RequestTimeout))
	defer cancel()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.grpcServer.GracefulStop()
	}()
	if err := r.httpServer.Shutdown(ctx); err != nil {
		_ = r.httpServer.Close()
	}
	select {
	case <-stopped:
	case <-ctx.Done():
		r.grpcServer.Stop()
		<-stopped
	}
}

// refusal is why a request was not accepted, in the terms of both protocols.
type refusal struct {
	reason string // of the metric
	code   codes.Code
	status int
	retry  bool // the sender should try again
	err    error
}

// Error implements error.
func (r *refusal) Error() string { return r.err.Error() }

// Unwrap returns the cause.
func (r *refusal) Unwrap() error { return r.err }

func invalid(err error) *refusal {
	return &refusal{reason: "invalid", code: codes.InvalidArgument, status: http.StatusBadRequest, err: err}
}

func (r *Receiver) tooLarge() *refusal {
	return &refusal{
		reason: "too_large", code: codes.ResourceExhausted, status: http.StatusRequestEntityTooLarge,
		err: fmt.Errorf("the request is larger than %s (collector.otlp.maxRequestBytes)", r.config.MaxRequestBytes),
	}
}

func busy(err error) *refusal {
	return &refusal{reason: "busy", code: codes.ResourceExhausted, status: http.StatusTooManyRequests, retry: true, err: err}
}

// errBusy says that too many requests are in memory.
var errBusy = errors.New("too many requests at once (collector.otlp.maxConcurrentRequests), try again later")

// acquire waits for room in memory. Call the returned function to give it back.
func (r *Receiver) acquire(ctx context.Context) (func(), *refusal) {
	select { // without a timer when there is room
	case r.slots <- struct{}{}:
		return func() { <-r.slots }, nil
	default:
	}
	timer := r.clock.NewTimer(time.Duration(r.config.RequestTimeout))
	defer timer.Stop()
	select {
	case r.slots <- struct{}{}:
		return func() { <-r.slots }, nil
	case <-timer.C():
		return nil, busy(errBusy)
	case <-ctx.Done():
		return nil, busy(ctx.Err())
	}
}

// accept takes one request, uncompressed protobuf, to the queue.
func (r *Receiver) accept(ctx context.Context, s *signal, body []byte, peer netip.Addr) *refusal {
	r.metrics.bytes.WithLabelValues(s.name).Add(float64(len(body)))
	var heard []sender
	out, resources, err := rewrite(make([]byte, 0, len(body)+len(body)/8), body, s.schema, func(known resource) []attribute {
		added := r.attributes(known, peer)
		heard = append(heard, senderOf(known, added))
		return added
	})
	if err != nil {
		return invalid(err)
	}
	if resources == 0 {
		return nil // there is nothing to keep
	}
	payload, err := compress(out)
	if err != nil {
		return &refusal{reason: "error", code: codes.Internal, status: http.StatusInternalServerError, err: err}
	}
	if err := r.sink.Append(ctx, s.stream, payload); err != nil {
		return refusedByQueue(err)
	}
	r.senders.hear(heard)
	return nil
}

// refusedByQueue says what the queue's error means to the sender.
func refusedByQueue(err error) *refusal {
	switch {
	case errors.Is(err, queue.ErrFull):
		return &refusal{
			reason: "queue_full", code: codes.ResourceExhausted, status: http.StatusTooManyRequests, retry: true,
			err: errors.New("the queue is full, try again later"),
		}
	case errors.Is(err, queue.ErrTooLarge):
		return &refusal{
			reason: "too_large", code: codes.ResourceExhausted, status: http.StatusRequestEntityTooLarge, err: err,
		}
	}
	return &refusal{
		reason: "queue_error", code: codes.Unavailable, status: http.StatusServiceUnavailable, retry: true,
		err: fmt.Errorf("queue the request: %w", err),
	}
}

// count counts a request by how it ended.
func (r *Receiver) count(s *signal, protocol string, refused *refusal) {
	r.metrics.requests.WithLabelValues(s.name, protocol).Inc()
	if refused == nil {
		return
	}
	r.metrics.refused.WithLabelValues(s.name, refused.reason).Inc()
	r.log.Debug("request refused", "signal", s.name, "protocol", protocol, "reason", refused.reason, "err", refused.err)
}
