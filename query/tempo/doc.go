// Package tempo answers TraceQL on the block store, and serves Grafana Tempo's HTTP
// API for it: traces by id, search, tags and their values, metrics of spans.
//
// A query runs in two steps. First the store finds candidates: from the query's filters
// come predicates on single spans of which one must hold in every trace that the query
// can select (plan.go), and the store applies them to its rows. Then the spans of the
// candidates' traces are read, only the columns that the query mentions, and
// query/traceql evaluates the query exactly. Where a query asks only for properties of
// single spans, a candidate is decided from its own row, and metrics need no second
// step at all.
//
// It imports query/columnar for the store's contracts, query/traces for what a span's
// row holds, and query/traceql; cmd imports it.
package tempo
