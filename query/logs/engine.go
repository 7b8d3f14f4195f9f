package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"time"

	"github.com/grafana/dskit/user"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/grafana/loki/v3/pkg/util/validation"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Request is one LogQL query. Start is inclusive; End is exclusive for log
// queries and the last step of metric queries. A zero Step with equal Start and
// End is an instant query.
type Request struct {
	Query      string
	Start, End time.Time
	Step       time.Duration
	// Interval, for log queries, returns at most one line per interval.
	Interval  time.Duration
	Limit     int
	Direction logproto.Direction
}

// Store is what queries need of the columnar store.
type Store interface {
	columnar.Reader
	columnar.Counter
}

// Engine evaluates LogQL on a store within the bounds of its configuration. It is
// safe for concurrent use.
type Engine struct {
	store   Store
	cfg     Config
	logger  *slog.Logger
	slots   chan struct{}
	memory  *semaphore.Weighted // nil without a bound
	metrics *metrics
	plain   bool
}

// NewEngine makes an engine. The configuration must be valid.
func NewEngine(store Store, cfg Config, logger *slog.Logger, reg prometheus.Registerer) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	e := &Engine{
		store: store, cfg: cfg, logger: logger,
		slots:   make(chan struct{}, cfg.MaxConcurrent),
		metrics: newMetrics(reg),
	}
	if cfg.MaxMemory > 0 {
		e.memory = semaphore.NewWeighted(cfg.MaxMemory)
	}
	return e, nil
}

// Exec evaluates a query. Its errors are *LimitError, the parser's and the
// engine's (see package logqlmodel), the store's, or those of ctx.
func (e *Engine) Exec(ctx context.Context, req Request) (logqlmodel.Result, error) {
	start := time.Now()
	res, exec, err := e.exec(ctx, req)
	_, _, outcome := statusOf(err)
	e.metrics.queries.WithLabelValues(outcome).Inc()
	e.metrics.seconds.Observe(time.Since(start).Seconds())
	if exec != nil {
		e.metrics.bytes.Add(float64(exec.bytes.Load()))
		e.metrics.rows.Add(float64(exec.rows.Load()))
	}
	return res, err
}

func (e *Engine) exec(ctx context.Context, req Request) (logqlmodel.Result, *execution, error) {
	expr, err := e.admit(req)
	if err != nil {
		return logqlmodel.Result{}, nil, err
	}
	ctx, done, err := e.begin(ctx)
	if err != nil {
		return logqlmodel.Result{}, nil, err
	}
	defer done()

	params := queryParams{req: req, expr: expr}
	exec := &execution{cfg: e.cfg, memory: memoryLease{budget: e.memory, limit: e.cfg.MaxMemory}}
	defer exec.memory.release()
	defer exec.close()
	q := &querier{store: e.store, exec: exec, plain: e.plain, req: req}
	lim := e.limitsOf(req)
	// The engine's own timeout is out of the way: begin's names the bound it is.
	res, err := e.run(user.InjectOrgID(ctx, "yagura"), q, params, lim)
	if failure := exec.failure(); failure != nil {
		err = failure
	}
	if err != nil {
		return logqlmodel.Result{}, exec, e.explain(ctx, err, lim)
	}
	return res, exec, nil
}

// run keeps a panic of the engine from ending the process: it evaluates
// templates and expressions that people write.
func (e *Engine) run(ctx context.Context, q *querier, params logql.Params, lim limits) (res logqlmodel.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.logger.Error("LogQL engine panicked", "query", params.QueryString(), "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("the LogQL engine failed on this query: %v", p)
		}
	}()
	if q.evaluatesItself(params.GetExpression()) {
		return evalMetrics(ctx, q, params, lim)
	}
	return logql.NewEngine(logql.EngineOpts{}, q, lim, nil).Query(params).Exec(ctx)
}

// begin waits for a slot and starts the clock.
func (e *Engine) begin(ctx context.Context) (context.Context, func(), error) {
	timeout := time.Duration(e.cfg.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, timeoutError(timeout))
	select {
	case e.slots <- struct{}{}:
		return ctx, func() { cancel(); <-e.slots }, nil
	case <-ctx.Done():
		defer cancel()
		return nil, nil, context.Cause(ctx)
	}
}

// admit parses the request and checks it against the bounds that need no data.
func (e *Engine) admit(req Request) (syntax.Expr, error) {
	if n := len(req.Query); n > e.cfg.MaxQueryText {
		return nil, &LimitError{Limit: "maxQueryText", Detail: fmt.Sprintf("its text has %d bytes, more than %d", n, e.cfg.MaxQueryText)}
	}
	if limit, length := time.Duration(e.cfg.MaxQueryRange), req.End.Sub(req.Start); limit > 0 && length > limit {
		return nil, &LimitError{Limit: "maxQueryRange", Detail: fmt.Sprintf("its range is %s, longer than %s", length, limit)}
	}
	expr, err := parse(req.Query)
	if err != nil {
		return nil, err
	}
	instant := req.Step == 0 && req.Start.Equal(req.End)
	if err := checkTemplates(expr); err != nil {
		return nil, err
	}
	if _, ok := expr.(syntax.SampleExpr); ok {
		return expr, correctApproxTopK(expr, instant)
	}
	if instant {
		return nil, logqlmodel.ErrUnsupportedSyntaxForInstantQuery
	}
	if limit := e.cfg.MaxLines; limit > 0 && req.Limit > limit {
		return nil, &LimitError{Limit: "maxLines", Detail: fmt.Sprintf("max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", req.Limit, limit)}
	}
	return expr, nil
}

// queryParams are the engine's parameters for a request. The engine's own type
// parses the text once more, which costs more than many a query.
type queryParams struct {
	logql.LiteralParams // what a request does not have
	req                 Request
	expr                syntax.Expr
}

func (p queryParams) QueryString() string           { return p.req.Query }
func (p queryParams) Start() time.Time              { return p.req.Start }
func (p queryParams) End() time.Time                { return p.req.End }
func (p queryParams) Step() time.Duration           { return p.req.Step }
func (p queryParams) Interval() time.Duration       { return p.req.Interval }
func (p queryParams) Limit() uint32                 { return uint32(p.req.Limit) }
func (p queryParams) Direction() logproto.Direction { return p.req.Direction }
func (p queryParams) GetExpression() syntax.Expr    { return p.expr }

// explain replaces an error by the bound that caused it.
func (e *Engine) explain(ctx context.Context, err error, lim limits) error {
	var limit *LimitError
	if cause := context.Cause(ctx); errors.As(cause, &limit) {
		return cause
	}
	var series *logqlmodel.LimitError
	if errors.As(err, &series) {
		return &LimitError{Limit: lim.seriesBound, Detail: err.Error()}
	}
	return err
}

// limits implements logql.Limits for one query.
type limits struct {
	maxSeries   int
	seriesBound string // the field of Config that maxSeries comes from
}

// limitsOf turns the bound on points into one on series, since the engine checks
// those while it evaluates.
func (e *Engine) limitsOf(req Request) limits {
	steps := int64(1)
	if req.Step > 0 {
		steps += int64(req.End.Sub(req.Start) / req.Step)
	}
	if bySteps := max(1, int64(e.cfg.MaxPoints)/steps); bySteps < int64(e.cfg.MaxSeries) {
		return limits{maxSeries: int(bySteps), seriesBound: "maxPoints"}
	}
	return limits{maxSeries: e.cfg.MaxSeries, seriesBound: "maxSeries"}
}

func (l limits) MaxQuerySeries(context.Context, string) int                        { return l.maxSeries }
func (l limits) MaxQueryRange(context.Context, string) time.Duration               { return 0 }
func (l limits) QueryTimeout(context.Context, string) time.Duration                { return math.MaxInt64 }
func (l limits) EnableMultiVariantQueries(string) bool                             { return false }
func (l limits) MaxScanTaskParallelism(string) int                                 { return 0 }
func (l limits) DebugEngineTasks(string) bool                                      { return false }
func (l limits) DebugEngineStreams(string) bool                                    { return false }
func (l limits) BlockedQueries(context.Context, string) []*validation.BlockedQuery { return nil }
