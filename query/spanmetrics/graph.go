package spanmetrics

import (
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/yagura-dev/yagura/query/traces"
)

// The kinds of edges, as OpenTelemetry's connector and Tempo name them. Plain calls
// have none.
const (
	connectionMessaging = "messaging_system"
	connectionDatabase  = "database"
	connectionVirtual   = "virtual_node"

	// clientUser is the caller of what nobody in the trace called.
	clientUser = "user"
)

// graph finds the calls between services: the span of the caller and the span of
// the callee that has it as its parent. It is guarded by the generator's lock.
type graph struct {
	cfg     Config
	seconds *bounds
	metrics *telemetry

	pending        map[callKey]*half
	oldest, newest *half // of the pending ones, by arrival

	edges    map[edgeKey]*edge
	overflow *edge
}

// callKey is a call: its trace and the caller's span.
type callKey struct{ trace, span string }

// half is one side of a call.
type half struct {
	key      callKey
	caller   bool
	service  string
	peer     string // how the caller calls the callee
	kind     string // of the edge
	duration int64
	failed   bool
	at       int64 // Unix milliseconds

	older, newer *half
}

type edgeKey struct{ client, server, kind string }

// edge counts the calls from one service to another.
type edge struct {
	labels         []labels.Label
	total, failed  uint64
	client, server *histogram
	refs           [2]storage.SeriesRef // total, failed
	used           int64                // Unix milliseconds
	written        bool
}

func newGraph(cfg Config, seconds *bounds, m *telemetry) *graph {
	return &graph{cfg: cfg, seconds: seconds, metrics: m, pending: map[callKey]*half{}, edges: map[edgeKey]*edge{}}
}

// peers is what a caller's span says about whom it calls.
type peers struct {
	service, database, databaseKind, messaging, address string
	// shared means that the span bears its caller's id, as Zipkin's may.
	shared bool
}

func (p *peers) attribute(key, value string) {
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

// database is the name of the database that is called, if one is.
func (p *peers) databaseName() (string, bool) {
	if p.databaseKind == "" && p.database == "" {
		return "", false
	}
	return labelValue(firstOf(p.service, p.database, p.address, p.databaseKind)), true
}

func firstOf(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return ""
}

// observe takes in a span. Databases send no spans, so a call of one is complete
// with the caller's side.
func (g *graph) observe(service string, o *traces.Outline, p *peers, now int64) {
	h := half{service: service, duration: o.Duration, failed: o.Status == traces.StatusError, at: now}
	switch o.Kind {
	case traces.KindClient:
		h.caller, h.peer = true, labelValue(firstOf(p.service, p.address))
		if name, ok := p.databaseName(); ok {
			h.kind, h.key = connectionDatabase, callKey{o.TraceID, o.SpanID}
			g.count(edgeKey{service, name, connectionDatabase}, &h, &h, now)
			return
		}
	case traces.KindProducer:
		h.caller, h.peer, h.kind = true, labelValue(firstOf(p.service, p.messaging)), connectionMessaging
	case traces.KindConsumer:
		h.kind = connectionMessaging
	case traces.KindServer:
		if o.ParentSpanID == "" && !p.shared {
			h.key = callKey{o.TraceID, o.SpanID}
			g.count(edgeKey{clientUser, service, connectionVirtual}, &h, &h, now)
			return
		}
	default:
		return
	}
	h.key = callKey{o.TraceID, o.SpanID}
	if !h.caller && !p.shared {
		h.key.span = o.ParentSpanID
	}
	if h.key.span == "" || h.key.trace == "" {
		return
	}
	g.pair(&h, now)
}

func (g *graph) pair(h *half, now int64) {
	if other := g.pending[h.key]; other != nil && other.caller != h.caller {
		client, server := h, other
		if other.caller {
			client, server = other, h
		}
		g.count(edgeKey{client.service, server.service, client.kind}, client, server, now)
		g.forget(other)
		return
	} else if other != nil {
		g.metrics.unpaired.WithLabelValues(side(h.caller)).Inc() // the same side twice
		return
	}
	if len(g.pending) >= g.cfg.MaxPending {
		g.expire(now)
	}
	if len(g.pending) >= g.cfg.MaxPending {
		g.metrics.dropped.Inc()
		return
	}
	g.remember(h)
}

func (g *graph) remember(h *half) {
	kept := *h
	kept.key = callKey{strings.Clone(h.key.trace), strings.Clone(h.key.span)}
	kept.service, kept.peer = strings.Clone(h.service), strings.Clone(h.peer)
	g.pending[kept.key] = &kept
	if kept.older = g.newest; kept.older != nil {
		kept.older.newer = &kept
	} else {
		g.oldest = &kept
	}
	g.newest = &kept
}

func (g *graph) forget(h *half) {
	delete(g.pending, h.key)
	if h.older != nil {
		h.older.newer = h.newer
	} else {
		g.oldest = h.newer
	}
	if h.newer != nil {
		h.newer.older = h.older
	} else {
		g.newest = h.older
	}
}

func side(caller bool) string {
	if caller {
		return "client"
	}
	return "server"
}

// expire gives up on what has waited long enough. A caller that names its peer
// called something that sends no spans.
func (g *graph) expire(now int64) {
	limit := now - time.Duration(g.cfg.Wait).Milliseconds()
	for g.oldest != nil && g.oldest.at <= limit {
		h := g.oldest
		g.forget(h)
		if h.caller && h.peer != "" {
			kind := connectionVirtual
			if h.kind != "" {
				kind = h.kind
			}
			g.count(edgeKey{h.service, h.peer, kind}, h, h, now)
			continue
		}
		g.metrics.unpaired.WithLabelValues(side(h.caller)).Inc()
	}
}

// count adds one call. Where one side is not known both are the same.
func (g *graph) count(key edgeKey, client, server *half, now int64) {
	e := g.edges[key]
	switch {
	case e != nil:
	case len(g.edges) >= g.cfg.MaxEdges:
		g.metrics.overflowCalls.Inc()
		if g.overflow == nil {
			g.overflow = g.newEdge([]labels.Label{{Name: labelOverflow, Value: "true"}})
		}
		e = g.overflow
	default:
		key = edgeKey{strings.Clone(key.client), strings.Clone(key.server), key.kind}
		ls := []labels.Label{{Name: "client", Value: key.client}, {Name: "server", Value: key.server}}
		if key.kind != "" {
			ls = append(ls, labels.Label{Name: "connection_type", Value: key.kind})
		}
		e = g.newEdge(ls)
		g.edges[key] = e
	}
	e.total++
	if client.failed || server.failed {
		e.failed++
	}
	ex := newExample(client.key.trace, client.key.span, now)
	g.seconds.observe(e.client, time.Duration(client.duration), ex)
	g.seconds.observe(e.server, time.Duration(server.duration), ex)
	e.used = now
}

func (g *graph) newEdge(ls []labels.Label) *edge {
	return &edge{labels: ls, client: g.seconds.newHistogram(), server: g.seconds.newHistogram()}
}
