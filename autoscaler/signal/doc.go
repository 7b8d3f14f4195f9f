// Package signal is the autoscaler's only door to the query service.
//
// It asks over HTTP, in the public protocols: the Prometheus query API and the Loki query API, of our own query service or of any
// other. Every answer carries its freshness: the age of the newest sample or line under each selector of the query, not of the
// evaluated value, because a query engine goes on answering from old samples for minutes after a signal has died. For CPU
// and memory, pods that the query service knows nothing about are looked up in metrics.k8s.io.
//
// Questions are put within a Tick: equal ones are asked once, and no more than a set number at a time. Histories are read by range
// queries, outside of ticks.
//
// The package imports Prometheus' PromQL parser and, of Yagura, the decision package's states only. It does not import Loki's
// LogQL engine, which would link some 800 packages for the sake of finding braces.
package signal
