package nodes

import (
	"context"

	"github.com/yagura-dev/yagura/autoscaler/signal"
)

// Signals answer the queries of repair rules and of upgrades. It is safe for concurrent use.
type Signals interface {
	// PromQL and LogQL answer with any number of series.
	PromQL(ctx context.Context, query string) ([]signal.Point, error)
	LogQL(ctx context.Context, query string) ([]signal.Point, error)
}

// QueryService is the query service as Signals.
func QueryService(client *signal.Client) Signals { return queryService{client} }

type queryService struct{ client *signal.Client }

func (q queryService) PromQL(ctx context.Context, query string) ([]signal.Point, error) {
	return q.client.Tick().Vector(ctx, query)
}

func (q queryService) LogQL(ctx context.Context, query string) ([]signal.Point, error) {
	return q.client.Tick().LogVector(ctx, query)
}

// collectorsQuery is when each node's collector has measured last, by its clock.
const collectorsQuery = `max by (node) (timestamp(node_load1))`
