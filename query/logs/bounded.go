package logs

import (
	"context"
	"fmt"
	"time"

	"github.com/yagura-dev/yagura/query/columnar"
)

// bounded answers a question about [start, end] that is no LogQL query, within the
// bounds that queries have, and counts it among them.
func (e *Engine) bounded(ctx context.Context, start, end time.Time, ask func(context.Context) error) (err error) {
	began := time.Now()
	defer func() {
		_, _, outcome := statusOf(err)
		e.metrics.queries.WithLabelValues(outcome).Inc()
		e.metrics.seconds.Observe(time.Since(began).Seconds())
	}()
	if limit, length := time.Duration(e.cfg.MaxQueryRange), end.Sub(start); limit > 0 && length > limit {
		return &LimitError{Limit: "maxQueryRange", Detail: fmt.Sprintf("its range is %s, longer than %s", length, limit)}
	}
	ctx, done, err := e.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	exec := &execution{cfg: e.cfg}
	if err := ask(ctx); err != nil {
		return e.explain(ctx, exec.fail(err), limits{})
	}
	return nil
}

// budget is what the store may spend on one query.
func (c Config) budget() columnar.Budget {
	return columnar.Budget{MaxBytes: c.MaxQueryBytes, MaxRows: c.MaxQueryRows, MaxStreams: c.MaxStreams}
}
