package signal

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/utils/clock"
)

// Client asks the query service. It is safe for concurrent use.
type Client struct {
	prometheus, loki *url.URL
	http             *http.Client
	timeout          time.Duration
	slots            chan struct{}
	clock            clock.PassiveClock
	podMetrics       PodMetrics
	parser           parser.Parser
	metrics          *Metrics

	// parsed holds the selectors of the queries that are in use, sightings the newest sample or line that was seen under
	// selectors that have none in reach of an ordinary query.
	parsed    memo[parsedQuery]
	sightings memo[sighting]
}

// Metrics are the client's own metrics.
type Metrics struct {
	queries      *prometheus.CounterVec
	deduplicated prometheus.Counter
	seconds      *prometheus.HistogramVec
}

// NewClient makes a client. The transport may be nil for the default one; so may podMetrics, without which pods that the query service
// does not know stay unknown.
func NewClient(cfg Config, transport http.RoundTripper, podMetrics PodMetrics, c clock.PassiveClock, metrics *Metrics) (*Client, error) {
	prom, loki, err := cfg.endpoints()
	if err != nil {
		return nil, err
	}
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxIdleConnsPerHost = cfg.Concurrency
		transport = own
	}
	return &Client{
		prometheus: prom, loki: loki, http: &http.Client{Transport: transport}, timeout: time.Duration(cfg.Timeout),
		slots: make(chan struct{}, cfg.Concurrency), clock: c, podMetrics: podMetrics, parser: newParser(), metrics: metrics,
	}, nil
}

// NewMetrics registers the client's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	factory := promauto.With(reg)
	return &Metrics{
		queries: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_signal_queries_total", Help: "Queries sent to the query service, by language and result.",
		}, []string{"language", "result"}),
		deduplicated: factory.NewCounter(prometheus.CounterOpts{
			Name: "yagura_autoscaler_signal_deduplicated_total", Help: "Queries not sent because an equal one was sent in the same tick.",
		}),
		seconds: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_signal_query_seconds", Help: "Time that queries took, by language.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"language"}),
	}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// parsedQuery is what is known about the text of a query.
type parsedQuery struct {
	selectors    []string
	logSelectors []logSelector
	err          error
}

// memoLife is how long something unused is remembered.
const memoLife = 10 * time.Minute

// memo remembers what was in use lately. It is safe for concurrent use; its zero value is ready.
type memo[T any] struct {
	mu    sync.Mutex
	items map[string]*memoItem[T]
	swept time.Time
}

type memoItem[T any] struct {
	value T
	used  time.Time
}

func (m *memo[T]) get(key string, now time.Time) (T, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	item, ok := m.items[key]
	if !ok {
		var none T
		return none, false
	}
	item.used = now
	return item.value, true
}

func (m *memo[T]) put(key string, value T, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.items == nil {
		m.items = map[string]*memoItem[T]{}
	}
	m.items[key] = &memoItem[T]{value, now}
	if now.Sub(m.swept) < memoLife/10 {
		return
	}
	m.swept = now
	for key, item := range m.items {
		if now.Sub(item.used) > memoLife {
			delete(m.items, key)
		}
	}
}

func (m *memo[T]) drop(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.items, key)
}

// Tick is a round of questions at one time: each is asked once, however many policies ask it. It is safe for concurrent use.
type Tick struct {
	client *Client
	now    time.Time
	mu     sync.Mutex
	calls  map[string]*call
}

type call struct {
	done   chan struct{}
	answer answer
	err    error
}

// Tick begins a round of questions.
func (c *Client) Tick() *Tick {
	return &Tick{client: c, now: c.clock.Now(), calls: map[string]*call{}}
}

// Now is the time of the tick.
func (t *Tick) Now() time.Time { return t.now }

// ask sends a query unless an equal one was sent in this tick, and returns its answer. Callers must have the same deadline: one
// whose context ends leaves the others with its error.
func (t *Tick) ask(ctx context.Context, language string, base *url.URL, path string, form url.Values, post bool) (answer, error) {
	key := language + path + form.Encode()
	t.mu.Lock()
	c, asked := t.calls[key]
	if !asked {
		c = &call{done: make(chan struct{})}
		t.calls[key] = c
	}
	t.mu.Unlock()
	if asked {
		t.client.metrics.deduplicated.Inc()
		select {
		case <-c.done:
			return c.answer, c.err
		case <-ctx.Done():
			return answer{}, fmt.Errorf("wait for an equal query: %w", context.Cause(ctx))
		}
	}
	started := time.Now()
	c.answer, c.err = t.client.get(ctx, base, path, form, post)
	t.client.metrics.seconds.WithLabelValues(language).Observe(time.Since(started).Seconds())
	result := "success"
	if c.err != nil {
		result = "error"
	}
	t.client.metrics.queries.WithLabelValues(language, result).Inc()
	close(c.done)
	return c.answer, c.err
}

func (t *Tick) askPrometheus(ctx context.Context, query string) (answer, error) {
	return t.ask(ctx, "promql", t.client.prometheus, "api/v1/query", url.Values{"query": {query}}, true)
}

func (t *Tick) askLoki(ctx context.Context, path string, form url.Values) (answer, error) {
	return t.ask(ctx, "logql", t.client.loki, "loki/api/v1/"+path, form, false)
}
