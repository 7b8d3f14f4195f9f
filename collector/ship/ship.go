package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/yagura-dev/yagura/collector/queue"
)

// Queue is what ship needs of the disk queue; *queue.Queue is one.
type Queue interface {
	ID() string
	Peek(ctx context.Context, s queue.Stream) (queue.Record, error)
	Ack(s queue.Stream, sequence uint64) error
	Drop(s queue.Stream, sequence uint64, reason string) error
}

// Shipper sends the records of a queue.
type Shipper struct {
	config       Config
	queue        Queue
	log          *slog.Logger
	metrics      *metrics
	clock        clock.Clock
	client       *http.Client
	destinations map[queue.Stream]destination
}

// Option changes how New makes a Shipper.
type Option func(*Shipper)

// WithClock replaces the clock that backoffs are measured by.
func WithClock(c clock.Clock) Option {
	return func(s *Shipper) { s.clock = c }
}

// New returns a Shipper that does nothing before Run. reg may be nil.
func New(config Config, q Queue, log *slog.Logger, reg prometheus.Registerer, options ...Option) (*Shipper, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("ship configuration: %w", err)
	}
	s := &Shipper{
		config: config, queue: q, log: log, clock: clock.RealClock{},
		destinations: map[queue.Stream]destination{},
		client: &http.Client{
			Timeout: time.Duration(config.Timeout),
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
				TLSHandshakeTimeout: 10 * time.Second,
				ForceAttemptHTTP2:   true,
				MaxIdleConnsPerHost: len(queue.Streams()),
				IdleConnTimeout:     90 * time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, o := range options {
		o(s)
	}
	for _, stream := range queue.Streams() {
		d, err := config.destination(stream, "yagura-collector")
		if err != nil {
			return nil, fmt.Errorf("ship configuration: %w", err)
		}
		s.destinations[stream] = d
	}
	var err error
	if s.metrics, err = newMetrics(reg); err != nil {
		return nil, err
	}
	return s, nil
}

// Run sends records until ctx is done. A request that is in flight then is cut
// off; its record stays in the queue and is sent again under its id.
func (s *Shipper) Run(ctx context.Context) error {
	var streams sync.WaitGroup
	errs := make([]error, len(queue.Streams()))
	for i, stream := range queue.Streams() {
		streams.Go(func() { errs[i] = s.runStream(ctx, stream) })
	}
	streams.Wait()
	s.client.CloseIdleConnections()
	return errors.Join(errs...)
}

// attempt is the history of the oldest record of a stream.
type attempt struct {
	sequence  uint64
	failed    int
	suspected time.Time // when the receiver answered with a suspect error first
	logged    time.Time
}

func (s *Shipper) runStream(ctx context.Context, stream queue.Stream) error {
	log := s.log.With("stream", string(stream))
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	var a attempt
	for {
		// Asked for anew before every attempt: it may have become too old to send.
		record, err := s.queue.Peek(ctx, stream)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, queue.ErrClosed):
			return fmt.Errorf("ship %s: %w", stream, err)
		case err != nil:
			log.Error("the queue cannot be read", "err", err)
			a.failed++
			if !s.sleep(ctx, backoff(a.failed, time.Second, time.Minute, random)) {
				return nil
			}
			continue
		}
		if record.Sequence != a.sequence {
			a = attempt{sequence: record.Sequence}
		}
		answer := s.send(ctx, record)
		if ctx.Err() != nil && answer.verdict != accepted {
			return nil
		}
		wait, err := s.settle(log, record, answer, &a, random)
		s.metrics.state.WithLabelValues(string(stream)).Set(float64(a.failed))
		if err != nil {
			if ctx.Err() != nil {
				return nil // the queue was closed in the meantime; the record is sent again
			}
			return fmt.Errorf("ship %s: %w", stream, err)
		}
		if wait > 0 && !s.sleep(ctx, wait) {
			return nil
		}
	}
}

// settle takes the record out of the queue, or returns how long to wait before the
// next attempt.
func (s *Shipper) settle(log *slog.Logger, record queue.Record, answer answer, a *attempt, random *rand.Rand) (time.Duration, error) {
	stream, now := record.Stream, s.clock.Now()
	if answer.verdict == suspect {
		if a.suspected.IsZero() {
			a.suspected = now
		} else if now.Sub(a.suspected) >= time.Duration(s.config.GiveUpAfter) {
			answer.verdict = refused
		}
	}
	switch answer.verdict {
	case accepted:
		if a.failed > 0 {
			log.Info("records are accepted again", "failed_attempts", a.failed)
		}
		a.failed = 0
		s.metrics.bytes.WithLabelValues(string(stream)).Add(float64(len(record.Payload)))
		s.metrics.lastSuccess.WithLabelValues(string(stream)).Set(float64(now.UnixMilli()) / 1000)
		if r := answer.rejection; r.items > 0 || r.message != "" {
			s.metrics.rejected.WithLabelValues(string(stream)).Add(float64(max(0, r.items)))
			log.Warn("the receiver left out a part of a batch", "batch", s.batchID(record), "items", r.items, "message", r.message)
		}
		return 0, s.queue.Ack(stream, record.Sequence)
	case refused:
		reason := "http_" + strconv.Itoa(answer.status)
		a.failed = 0
		s.metrics.dropped.WithLabelValues(string(stream), reason).Inc()
		log.Error("a batch is dropped because the receiver refuses it for good",
			"batch", s.batchID(record), "bytes", len(record.Payload), "status", answer.status, "answer", answer.text)
		return 0, s.queue.Drop(stream, record.Sequence, reason)
	}

	a.failed++
	low := time.Duration(s.config.MinBackoff)
	high := time.Duration(s.config.MaxBackoff)
	if answer.verdict == misconfigured {
		low, high = max(low, misconfiguredBackoff), max(high, 12*misconfiguredBackoff)
	}
	wait := max(backoff(a.failed, low, high, random), answer.retryAfter)
	const logEvery = 30 * time.Second
	if a.logged.IsZero() || now.Sub(a.logged) >= logEvery {
		a.logged = now
		level := slog.LevelWarn
		if answer.verdict == misconfigured {
			level = slog.LevelError
		}
		log.Log(context.Background(), level, "a batch is not accepted yet; it stays in the queue",
			"batch", s.batchID(record), "url", s.destinations[stream].url, "status", answer.status, "answer", answer.text,
			"err", answer.err, "verdict", answer.verdict.String(), "attempts", a.failed, "wait", wait.String())
	}
	return wait, nil
}

// answer is the outcome of one request.
type answer struct {
	verdict    verdict
	status     int    // 0 without an answer
	text       string // the beginning of an answer that was not accepted
	retryAfter time.Duration
	rejection  rejection
	err        error // of the network
}

func (s *Shipper) batchID(r queue.Record) string {
	return fmt.Sprintf("%s/%s/%d", s.queue.ID(), r.Stream, r.Sequence)
}

// send makes one request.
func (s *Shipper) send(ctx context.Context, record queue.Record) answer {
	d := s.destinations[record.Stream]
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(record.Payload))
	if err != nil {
		return answer{verdict: misconfigured, err: err}
	}
	request.Header = d.header.Clone()
	if host := d.header.Get("Host"); host != "" {
		request.Host = host
	}
	request.Header.Set(batchHeader, s.batchID(record))
	start := s.clock.Now()
	response, err := s.client.Do(request)
	if err != nil {
		s.metrics.requests.WithLabelValues(string(record.Stream), "error").Inc()
		return answer{verdict: repeat, err: err}
	}
	defer response.Body.Close()
	// Whether the body can be read to its end does not matter: the status decided.
	const bodyLimit = 1 << 20
	body, _ := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	s.metrics.duration.WithLabelValues(string(record.Stream)).Observe(s.clock.Since(start).Seconds())
	s.metrics.requests.WithLabelValues(string(record.Stream), strconv.Itoa(response.StatusCode)).Inc()

	a := answer{verdict: judge(response.StatusCode), status: response.StatusCode}
	if a.verdict == accepted {
		a.rejection = partialSuccess(record.Stream, body)
		return a
	}
	const excerpt = 512
	a.text = string(bytes.TrimSpace(body[:min(len(body), excerpt)]))
	a.retryAfter = retryAfter(response.Header, s.clock.Now())
	return a
}

// sleep waits and says whether ctx is still not done.
func (s *Shipper) sleep(ctx context.Context, d time.Duration) bool {
	timer := s.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}
