package traces

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

const (
	defaultDependencyLookback = 24 * time.Hour
	// callSlack is how far outside of the asked time the callee of a call within it is
	// looked for.
	callSlack = time.Minute
)

// Dependency says how often one service called another.
type Dependency struct {
	Parent    string `json:"parent"`
	Child     string `json:"child"`
	CallCount uint64 `json:"callCount"`
}

// Dependencies returns the calls between services that the caller began within a time
// range, both ends inclusive. They are counted from the stored spans; if the spans of
// calls are more than the configured MaxSpans, they are what the service graph counted
// that is derived at ingest: by when it was stored, and without spans that came late.
func (a *API) Dependencies(ctx context.Context, start, end time.Time) ([]Dependency, error) {
	deps, _, err := a.dependenciesOf(ctx, start, end)
	return deps, err
}

// servicePair is who calls whom.
type servicePair struct{ caller, callee string }

// dependenciesOf says too whether the calls are those of the service graph.
func (a *API) dependenciesOf(ctx context.Context, start, end time.Time) (deps []Dependency, graph bool, err error) {
	var calls map[servicePair]float64
	err = a.querier.run(ctx, func(ctx context.Context) (err error) {
		calls, err = a.querier.calls(ctx, start, end)
		var limit *LimitError
		var budget *columnar.BudgetError
		if a.metrics != nil && (errors.As(err, &limit) || errors.As(err, &budget)) {
			graph = true
			calls, err = a.graphCalls(ctx, start, end)
		}
		return err
	})
	deps = []Dependency{}
	for p, n := range calls {
		if n > 0 {
			deps = append(deps, Dependency{Parent: p.caller, Child: p.callee, CallCount: uint64(math.Round(n))})
		}
	}
	slices.SortFunc(deps, func(a, b Dependency) int {
		return cmp.Or(strings.Compare(a.Parent, b.Parent), strings.Compare(a.Child, b.Child))
	})
	return deps, graph, err
}

// graphCalls are those of the service graph.
func (a *API) graphCalls(ctx context.Context, start, end time.Time) (map[servicePair]float64, error) {
	series, err := a.metrics.Increase(ctx, metricRequests, start, end)
	calls := map[servicePair]float64{}
	for _, s := range series {
		p := servicePair{s.Labels.Get("client"), s.Labels.Get("server")}
		if p.caller != "" && p.caller != clientUser && len(s.Points) == 1 {
			calls[p] += s.Points[0].Value
		}
	}
	return calls, err
}

// callSpan tells a span from all others.
type callSpan struct {
	trace TraceID
	span  SpanID
}

// callGraph is the spans of calls. What it counts as a call is what package spanmetrics
// does at ingest.
type callGraph struct {
	callers map[callSpan]*caller
	callees map[callSpan]callee
	names   map[string]string // of peers, each once
	peer    peerNames         // of the span at hand
}

type caller struct {
	service  string
	peer     string // how it calls whom it calls; empty if it does not say
	database bool   // it calls one: these send no spans
	within   bool   // it began within the asked time
	answered bool
}

type callee struct {
	service string
	caller  callSpan
}

// peerNames is what a caller says about whom it calls, and a callee about its own id.
type peerNames struct {
	service, database, databaseKind, messaging, address string
	// shared means that the span bears its caller's id, as Zipkin's may.
	shared bool
}

// callColumns are those that tell calls.
var callColumns = []string{
	fieldTraceID, fieldSpanID, fieldParentSpanID, fieldKind,
	prefixSpan + "peer.service", prefixSpan + "db.name", prefixSpan + "db.namespace", prefixSpan + "db.system",
	prefixSpan + "db.system.name", prefixSpan + "messaging.system", prefixSpan + "server.address",
	prefixSpan + "net.peer.name", prefixSpan + "zipkin.shared",
}

func (p *peerNames) attribute(key, value string) {
	switch key {
	case "peer.service":
		p.service = value
	case "db.name", "db.namespace":
		p.database = value
	case "db.system", "db.system.name":
		p.databaseKind = value
	case "messaging.system":
		p.messaging = value
	case "server.address", "net.peer.name":
		p.address = value
	case "zipkin.shared":
		p.shared = value == "true"
	}
}

// calls counts the calls that began in [start, end] from stored spans.
func (q *Querier) calls(ctx context.Context, start, end time.Time) (map[servicePair]float64, error) {
	g := callGraph{callers: map[callSpan]*caller{}, callees: map[callSpan]callee{}, names: map[string]string{}}
	query := columnar.Query{
		Table: columnar.Spans, From: unixNano(start.Add(-callSlack)), To: unixNano(end.Add(callSlack)),
		Columns: columnar.Columns{Fields: callColumns},
		Fields:  []columnar.FieldPredicate{{Name: fieldKind, Op: columnar.FieldMatches, Text: "client|server|producer|consumer"}},
	}
	from, to := unixNano(start), unixNano(end)
	_, err := q.scan(ctx, query, func(l labels.Labels, ts int64, fields []columnar.Field) (bool, error) {
		g.peer = peerNames{}
		o := OutlineOf(columnar.Row{Timestamp: ts, Fields: fields}, g.peer.attribute)
		g.observe(serviceOf(l), &o, ts >= from && ts <= to)
		if n := len(g.callers) + len(g.callees); n > q.cfg.MaxSpans {
			return false, &LimitError{Limit: "maxSpans", Detail: fmt.Sprintf("its time has more than %d spans of calls; shorten it", q.cfg.MaxSpans)}
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return g.count(), nil
}

func (g *callGraph) observe(service string, o *Outline, within bool) {
	var own, parent callSpan
	if decodeHex(own.trace[:], o.TraceID) != nil || decodeHex(own.span[:], o.SpanID) != nil {
		return
	}
	p := &g.peer
	switch o.Kind {
	case KindClient:
		c := &caller{service: service, within: within, peer: cmp.Or(p.service, p.address)}
		if p.databaseKind != "" || p.database != "" {
			c.database, c.peer = true, cmp.Or(p.service, p.database, p.address, p.databaseKind)
		}
		g.add(own, c)
	case KindProducer:
		g.add(own, &caller{service: service, within: within, peer: cmp.Or(p.service, p.messaging)})
	case KindServer, KindConsumer:
		parent = own
		if !p.shared && decodeHex(parent.span[:], o.ParentSpanID) != nil {
			return // nobody in the trace called it
		}
		g.callees[own] = callee{service: service, caller: parent}
	}
}

func (g *callGraph) add(own callSpan, c *caller) {
	name, known := g.names[c.peer]
	if !known {
		name = strings.Clone(c.peer)
		g.names[name] = name
	}
	c.peer = name
	g.callers[own] = c
}

// count adds up: a call for each callee of a caller, and for each caller without one that
// names whom it called.
func (g *callGraph) count() map[servicePair]float64 {
	calls := map[servicePair]float64{}
	for _, e := range g.callees {
		if r := g.callers[e.caller]; r != nil && !r.database {
			r.answered = true
			if r.within {
				calls[servicePair{r.service, e.service}]++
			}
		}
	}
	for _, r := range g.callers {
		if r.within && !r.answered && r.peer != "" {
			calls[servicePair{r.service, r.peer}]++
		}
	}
	return calls
}

func (a *API) dependencies(ctx context.Context, _ echo.Context, form url.Values) (any, error) {
	end, err := millisParam(form, "endTs", a.querier.now())
	if err != nil {
		return nil, err
	}
	lookback, err := millisDuration(form, "lookback", defaultDependencyLookback)
	if err != nil {
		return nil, err
	}
	deps, graph, err := a.dependenciesOf(ctx, end.Add(-lookback), end)
	if service := form.Get("service"); service != "" {
		deps = slices.DeleteFunc(deps, func(d Dependency) bool { return d.Parent != service && d.Child != service })
	}
	ans := list(deps)
	if graph {
		ans.Errors = []answerError{{Msg: fmt.Sprintf(
			"the time has more than maxSpans (%d) spans of calls, so that they are what was counted at ingest: spans that came late are not among them", a.cfg.MaxSpans)}}
	}
	return ans, err
}
