// Package logs answers LogQL over the columnar store: Loki's own parser and
// engine above, an iterator over the store's cursor below, and Loki's HTTP API
// around both.
//
// Between engine and store stands the push-down: the part of a query that the
// store can evaluate with exactly the same meaning is handed to it, and the
// engine's pipeline still runs over every row that comes back, so that the store
// can only save work and never change an answer.
//
// It may import query/columnar and libraries; the composition in cmd mounts its
// API. It never writes to the store.
package logs
