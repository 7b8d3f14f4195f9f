package spanmetrics_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/spanmetrics"
	"github.com/yagura-dev/yagura/query/traces"
)

func client(service string, trace, id byte) span {
	return span{service: service, name: "call", trace: trace, id: id, kind: traces.KindClient, duration: 30 * time.Millisecond}
}

func server(service string, trace, id, parent byte) span {
	return span{service: service, name: "serve", trace: trace, id: id, parent: parent, kind: traces.KindServer, duration: 20 * time.Millisecond}
}

func with(s span, key, value string) span {
	s.attributes = map[string]string{key: value}
	return s
}

// edges are the calls counted so far.
func (r *rig) edges() map[string]float64 {
	out := map[string]float64{}
	for ls, vs := range r.values("traces_service_graph_request_total") {
		out[ls] = vs[len(vs)-1]
	}
	return out
}

func TestServiceGraph(t *testing.T) {
	failed := server("b", 1, 3, 2)
	failed.failed = true
	producer := span{service: "a", trace: 1, id: 2, kind: traces.KindProducer}
	consumer := span{service: "b", trace: 1, id: 3, parent: 2, kind: traces.KindConsumer}
	for name, c := range map[string]struct {
		batches [][]span
		edges   map[string]float64
		failed  float64
		clients float64 // unpaired
		servers float64
	}{
		"in one batch":    {batches: [][]span{{client("a", 1, 2), server("b", 1, 3, 2)}}, edges: map[string]float64{`{client="a", server="b"}`: 1}},
		"caller first":    {batches: [][]span{{client("a", 1, 2)}, {server("b", 1, 3, 2)}}, edges: map[string]float64{`{client="a", server="b"}`: 1}},
		"callee first":    {batches: [][]span{{server("b", 1, 3, 2)}, {client("a", 1, 2)}}, edges: map[string]float64{`{client="a", server="b"}`: 1}},
		"failed":          {batches: [][]span{{client("a", 1, 2), failed}}, edges: map[string]float64{`{client="a", server="b"}`: 1}, failed: 1},
		"a shared id":     {batches: [][]span{{client("a", 1, 2), with(server("b", 1, 2, 0), "zipkin.shared", "true")}}, edges: map[string]float64{`{client="a", server="b"}`: 1}},
		"other trace":     {batches: [][]span{{client("a", 1, 2), server("b", 2, 3, 2)}}, clients: 1, servers: 1},
		"internal spans":  {batches: [][]span{{{service: "a", trace: 1, id: 2, kind: traces.KindInternal}}}},
		"two in a row":    {batches: [][]span{{client("a", 1, 2), server("b", 1, 3, 2), client("b", 1, 4), server("c", 1, 5, 4)}}, edges: map[string]float64{`{client="a", server="b"}`: 1, `{client="b", server="c"}`: 1}},
		"the same twice":  {batches: [][]span{{client("a", 1, 2), client("a", 1, 2), server("b", 1, 3, 2)}}, edges: map[string]float64{`{client="a", server="b"}`: 1}, clients: 1},
		"users":           {batches: [][]span{{server("b", 1, 3, 0)}}, edges: map[string]float64{`{client="user", connection_type="virtual_node", server="b"}`: 1}},
		"database":        {batches: [][]span{{with(client("a", 1, 2), "db.system", "redis")}}, edges: map[string]float64{`{client="a", connection_type="database", server="redis"}`: 1}},
		"named database":  {batches: [][]span{{with(client("a", 1, 2), "db.namespace", "orders")}}, edges: map[string]float64{`{client="a", connection_type="database", server="orders"}`: 1}},
		"silent peer":     {batches: [][]span{{with(client("a", 1, 2), "peer.service", "bank")}}, edges: map[string]float64{`{client="a", connection_type="virtual_node", server="bank"}`: 1}},
		"talking peer":    {batches: [][]span{{with(client("a", 1, 2), "peer.service", "bank"), server("b", 1, 3, 2)}}, edges: map[string]float64{`{client="a", server="b"}`: 1}},
		"messages":        {batches: [][]span{{producer, consumer}}, edges: map[string]float64{`{client="a", connection_type="messaging_system", server="b"}`: 1}},
		"silent messages": {batches: [][]span{{with(producer, "messaging.system", "kafka")}}, edges: map[string]float64{`{client="a", connection_type="messaging_system", server="kafka"}`: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for _, b := range c.batches {
				r.store(b...)
				r.clock.Step(time.Second)
			}
			r.pass(20 * time.Second)
			if c.edges == nil {
				c.edges = map[string]float64{}
			}
			require.Equal(t, c.edges, r.edges())
			sum := 0.0
			for _, vs := range r.values("traces_service_graph_request_failed_total") {
				sum += vs[len(vs)-1]
			}
			require.Equal(t, c.failed, sum)
			require.Equal(t, c.clients, r.own("yagura_spanmetrics_unpaired_spans_total", "side", "client"))
			require.Equal(t, c.servers, r.own("yagura_spanmetrics_unpaired_spans_total", "side", "server"))
			require.Zero(t, r.own("yagura_spanmetrics_pending_spans"))
		})
	}
}

func TestBothSidesOfACallAreTimed(t *testing.T) {
	r := newRig(t)
	r.store(server("b", 1, 3, 2), client("a", 1, 2))
	r.pass(time.Second)
	for name, want := range map[string]float64{"server": 0.02, "client": 0.03} {
		for _, vs := range r.values("traces_service_graph_request_" + name + "_seconds_sum") {
			require.InDelta(t, want, vs[len(vs)-1], 1e-9)
		}
		require.Len(t, r.values("traces_service_graph_request_"+name+"_seconds_bucket", "le", "0.05"), 1)
	}
}

func TestWaitingSpansAreBounded(t *testing.T) {
	r := newRig(t, func(c *spanmetrics.Config) { c.MaxPending = 10 })
	for i := range byte(30) {
		r.store(client("a", i+1, 1))
	}
	require.EqualValues(t, 20, r.own("yagura_spanmetrics_dropped_spans_total"))
	for i := range byte(30) {
		r.store(server("b", i+1, 2, 1))
	}
	// The first ten find their callers, and make room for the callees of others.
	r.pass(time.Second)
	require.Equal(t, map[string]float64{`{client="a", server="b"}`: 10}, r.edges())
	require.EqualValues(t, 10, r.own("yagura_spanmetrics_pending_spans"))
	r.pass(time.Minute)
	require.Zero(t, r.own("yagura_spanmetrics_pending_spans"))
	require.EqualValues(t, 10, r.own("yagura_spanmetrics_unpaired_spans_total"))
}
