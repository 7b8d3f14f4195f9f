// Package scrape pulls metrics from targets that expose them to Prometheus, with
// Prometheus' own scraper, and hands each scrape to the disk queue.
//
// Targets are given as Prometheus' scrape_configs with static_configs and
// file_sd_configs. Everything that Prometheus adds comes along: up and the other
// series about the scrape itself, and stale markers when a series or a target
// disappears.
//
// It imports Prometheus' scrape, discovery and config packages, collector/queue
// and collector/sample for the way out. The commands import it.
package scrape
