// Package usage keeps the models of every workload that is sized fed with what its containers use, and knows what else sizing needs to
// know about them: roles of pods, starts, heaps, kills for memory and what followed a change.
//
// History is in the metrics store and nowhere else. When a workload is registered, background workers read what it used: first the
// last hours, so that there is an estimate within seconds, then the rest of the policy's history. They read the five-minute
// aggregates that this package sends back as metrics, and the raw series where there are none. From then on a few queries for all pods
// of all workloads together keep the models current, and one query a second looks for kills.
//
// The loop that decides calls Feeder.Update and Feeder.View every second. Neither waits for a query.
//
// The package imports signal, sizing, vertical, decision, api and Kubernetes' types. Package workload and the autoscaler's composition
// import it.
package usage
