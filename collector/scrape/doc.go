// Package scrape pulls metrics from Prometheus targets: those given by static
// configuration or listed in files. It is Prometheus' own scrape manager with a
// storage of ours behind it that puts each scrape into the disk queue.
//
// It imports collector/queue and collector/sample, and Prometheus' scrape and
// discovery packages; cmd composes it.
package scrape
