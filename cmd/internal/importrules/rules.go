package main

import "github.com/OpenPeeDeeP/depguard/v2"

const (
	module = "github.com/yagura-dev/yagura"

	composes  = "cmd composes rooms; rooms do not know it"
	separate  = "the three rooms never import each other: they share public protocols"
	embedding = "only query/server serves the interface"
	small     = "the node agent stays small"
	beside    = "what is read, done and told is put together by the loop and the composition, and does not know of each other"
	inward    = "the planner knows of nobody, decisions know the planner, and only the loop and the composition know all of them"
	pure      = "decision logic is pure: values and a clock in, values with reasons out"
	foresight = "a forecast is numbers and times in, a number with its reason out"
	coding    = "the line codec is pure: bytes in, bytes out"
	store     = "the block store knows no other room, no query language, no HTTP and no wire format"
	language  = "a query language is pure: text in, values out; how spans are found is the engine's business"
)

// rules say which files must not import what, and why. A prefix forbids everything
// below it, too; one that ends in $ is exact.
var rules = depguard.LinterSettings{
	"collector": rule([]string{"**/collector/**", "!**/cmd/**"}, map[string]string{
		module + "/cmd":        composes,
		module + "/query":      separate,
		module + "/autoscaler": separate,
		module + "/ui":         embedding,

		"github.com/grafana/loki/v3":              small,
		"github.com/prometheus/prometheus/web":    small,
		"github.com/prometheus/prometheus/promql": small,
		"github.com/prometheus/prometheus/tsdb$":  small,
	}),
	"autoscaler": rule([]string{"**/autoscaler/**", "!**/cmd/**", "!$test"}, map[string]string{
		module + "/cmd":       composes,
		module + "/query":     separate,
		module + "/collector": separate,
		module + "/ui":        embedding,

		"github.com/grafana/loki/v3/pkg/logql$": "Loki's engine belongs to the query service",
		"k8s.io/apiserver":                      "its etcd version clashes with Loki's",
	}),
	"pure-decisions": rule([]string{"**/autoscaler/horizontal/**", "**/autoscaler/decision/**", "**/autoscaler/vertical/**",
		"**/autoscaler/sizing/**", "**/autoscaler/balance/**", "**/autoscaler/replay/**", "**/autoscaler/export/**",
		"**/autoscaler/cluster/**", "**/autoscaler/disruption/**", "**/autoscaler/consolidation/**", "**/autoscaler/repair/**",
		"**/autoscaler/upgrade/**", "**/autoscaler/forecast/**", "!$test"}, map[string]string{
		"net/http":                         pure,
		"k8s.io/client-go":                 pure,
		"sigs.k8s.io/controller-runtime":   pure,
		module + "/autoscaler/signal":      pure,
		module + "/autoscaler/workload":    pure,
		"github.com/prometheus/prometheus": pure,
	}),
	"autoscaler-parts": rule([]string{"**/autoscaler/usage/**", "**/autoscaler/actuation/**", "**/autoscaler/admission/**",
		"**/autoscaler/vpa/**", "**/autoscaler/journal/**", "**/autoscaler/signal/**", "!$test"}, map[string]string{
		module + "/autoscaler/workload":  beside,
		module + "/autoscaler/actuation": beside,
		module + "/autoscaler/admission": beside,
		module + "/autoscaler/usage":     beside,
		module + "/autoscaler/vpa":       beside,
		module + "/autoscaler/journal":   beside,
	}),
	"planner": rule([]string{"**/autoscaler/cluster/**", "!$test"}, map[string]string{
		module + "/autoscaler/disruption":    inward,
		module + "/autoscaler/consolidation": inward,
		module + "/autoscaler/repair":        inward,
		module + "/autoscaler/upgrade":       inward,
		module + "/autoscaler/provider":      inward,
		module + "/autoscaler/claim":         inward,
		module + "/autoscaler/drain":         inward,
		module + "/autoscaler/nodes":         inward,
	}),
	"node-decisions": rule([]string{"**/autoscaler/disruption/**", "**/autoscaler/consolidation/**", "**/autoscaler/repair/**", "**/autoscaler/upgrade/**", "!$test"}, map[string]string{
		module + "/autoscaler/provider": inward,
		module + "/autoscaler/claim":    inward,
		module + "/autoscaler/drain":    inward,
		module + "/autoscaler/nodes":    inward,
	}),
	"node-parts": rule([]string{"**/autoscaler/provider/**", "**/autoscaler/claim/**", "**/autoscaler/drain/**", "!$test"}, map[string]string{
		module + "/autoscaler/workload":      inward,
		module + "/autoscaler/nodes":         inward,
		module + "/autoscaler/consolidation": inward,
		module + "/autoscaler/repair":        inward,
		module + "/autoscaler/upgrade":       inward,
		module + "/autoscaler/journal":       beside,
	}),
	"forecast": rule([]string{"**/autoscaler/forecast/**", "!$test"}, map[string]string{
		module:   foresight,
		"k8s.io": foresight,
	}),
	// Its recommender is the yardstick of tests; what runs is our own.
	"vpa-peer": rule([]string{"**/autoscaler/**", "!$test"}, map[string]string{
		"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender": "the VerticalPodAutoscaler's recommender is a peer in tests only",
	}),
	"query": rule([]string{"**/query/**", "!**/cmd/**"}, map[string]string{
		module + "/cmd":        composes,
		module + "/collector":  separate,
		module + "/autoscaler": separate,
	}),
	"interface": rule([]string{"**/query/**", "!**/query/server/**", "!**/cmd/**"}, map[string]string{
		module + "/ui": embedding,
	}),
	"columnar": except(rule([]string{"**/query/columnar/*.go", "!$test"}, map[string]string{
		module:                     store,
		"github.com/grafana/loki":  store,
		"github.com/labstack/echo": store,
		"go.opentelemetry.io":      store,
		"net/http":                 store,
		"github.com/prometheus/prometheus/promql": store,
	}), module+"/query/columnar/shred"),
	"shred": rule([]string{"**/query/columnar/shred/*.go", "!$test"}, map[string]string{
		module:       coding,
		"github.com": coding,
		"os":         coding,
		"net":        coding,
	}),
	"traceql": rule([]string{"**/query/traceql/**", "!$test"}, map[string]string{
		module:                     language,
		"net/http":                 language,
		"go.opentelemetry.io":      language,
		"github.com/labstack/echo": language,
	}),
}

func rule(files []string, deny map[string]string) *depguard.List {
	return &depguard.List{ListMode: "Lax", Files: files, Deny: deny}
}

// except allows imports although a shorter prefix of them is forbidden.
func except(l *depguard.List, allow ...string) *depguard.List {
	l.Allow = allow
	return l
}
