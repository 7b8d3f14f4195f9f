package journal

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxBatch is how many items are sent at once.
	maxBatch = 256
	// linger is how long a batch waits for more items: a record should be on the screen while its cause still is.
	linger       = 200 * time.Millisecond
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 5 * time.Second
	// sendTimeout is the longest that one try may take.
	sendTimeout = 10 * time.Second
)

// outbox keeps items until they are delivered, oldest first. The SDK's own batching gives a batch up after a minute without a receiver
// and does not say what it dropped.
type outbox[T any] struct {
	signal   string
	capacity int
	send     func(context.Context, []T) error
	logger   *slog.Logger
	lost     *prometheus.CounterVec

	mu      sync.Mutex
	items   []T
	closed  bool
	wake    chan struct{}
	flushed *sync.Cond
	stop    context.CancelFunc
	done    chan struct{}
}

func newOutbox[T any](signal string, capacity int, send func(context.Context, []T) error, logger *slog.Logger, lost *prometheus.CounterVec) *outbox[T] {
	ctx, stop := context.WithCancel(context.Background())
	o := &outbox[T]{signal: signal, capacity: capacity, send: send, logger: logger, lost: lost,
		wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	o.flushed = sync.NewCond(&o.mu)
	go o.run(ctx)
	return o
}

// add takes an item. It never blocks; an item that finds the outbox full is dropped and counted.
func (o *outbox[T]) add(item T) {
	o.mu.Lock()
	if o.closed || len(o.items) >= o.capacity {
		o.mu.Unlock()
		o.lost.WithLabelValues(o.signal, "full").Inc()
		return
	}
	o.items = append(o.items, item)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run delivers until the context ends.
func (o *outbox[T]) run(ctx context.Context) {
	defer close(o.done)
	backoff := firstBackoff
	for {
		batch := o.head()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-o.wake:
				if !pause(ctx, linger) {
					return
				}
			}
			continue
		}
		sending, cancel := context.WithTimeout(ctx, sendTimeout)
		err := o.send(sending, batch)
		cancel()
		switch {
		case err == nil:
			backoff = firstBackoff
			o.remove(len(batch))
		case ctx.Err() != nil:
			return
		case !retryable(err):
			o.logger.Error("receiver refuses telemetry", "signal", o.signal, "items", len(batch), "err", err)
			o.lost.WithLabelValues(o.signal, "refused").Add(float64(len(batch)))
			o.remove(len(batch))
		default:
			if !pause(ctx, backoff) {
				return
			}
			backoff = min(2*backoff, maxBackoff)
		}
	}
}

func (o *outbox[T]) head() []T {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]T(nil), o.items[:min(len(o.items), maxBatch)]...)
}

func (o *outbox[T]) remove(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.items[:n])
	o.items = o.items[n:]
	if len(o.items) == 0 {
		o.items = nil // let go of the array that the slice was cut from
		o.flushed.Broadcast()
	}
}

// flush waits until everything is delivered or the context ends.
func (o *outbox[T]) flush(ctx context.Context) error {
	release := context.AfterFunc(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.flushed.Broadcast()
	})
	defer release()
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.items) > 0 && ctx.Err() == nil {
		o.flushed.Wait()
	}
	return ctx.Err()
}

// shutdown delivers what it can until the context ends and counts the rest as lost.
func (o *outbox[T]) shutdown(ctx context.Context) error {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return nil
	}
	o.closed = true
	o.mu.Unlock()
	err := o.flush(ctx)
	o.stop()
	<-o.done
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.items); n > 0 {
		o.lost.WithLabelValues(o.signal, "shutdown").Add(float64(n))
	}
	return err
}

// pause waits, and reports whether it did so to the end.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// retryable tells the errors that OTLP says to try again from those that it says to give up on.
func retryable(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.Unimplemented, codes.Internal:
		return false
	}
	return true
}
