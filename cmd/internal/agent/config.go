// Package agent composes the collector from its rooms: sources, the disk queue, and
// what ships from it.
//
// It imports collector and nothing of query or autoscaler; cmd/yagura-collector and
// cmd/yagura import it.
package agent

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/yagura-dev/yagura/collector/host"
	"github.com/yagura-dev/yagura/collector/kube"
	"github.com/yagura-dev/yagura/collector/otlp"
	"github.com/yagura-dev/yagura/collector/podlogs"
	"github.com/yagura-dev/yagura/collector/queue"
	"github.com/yagura-dev/yagura/collector/scrape"
	"github.com/yagura-dev/yagura/collector/ship"
)

// Config is the collector section of the configuration file.
type Config struct {
	// Cluster is the cluster's name: the label cluster on everything that leaves.
	Cluster string `json:"cluster,omitempty"`

	Host    host.Config    `json:"host"`
	Kube    kube.Config    `json:"kube"`
	OTLP    otlp.Config    `json:"otlp"`
	PodLogs podlogs.Config `json:"podLogs"`
	Queue   queue.Config   `json:"queue"`
	Scrape  scrape.Config  `json:"scrape"`
	Ship    ship.Config    `json:"ship"`
}

// DefaultConfig is the configuration of an empty file.
func DefaultConfig() Config {
	return Config{
		Host:    host.DefaultConfig(),
		Kube:    kube.DefaultConfig(),
		OTLP:    otlp.DefaultConfig(),
		PodLogs: podlogs.DefaultConfig(),
		Queue:   queue.DefaultConfig(),
		Scrape:  scrape.DefaultConfig(),
		Ship:    ship.DefaultConfig(),
	}
}

// BelowHostRoot points the collector at a host whose file systems are mounted below
// root, as in a DaemonSet's container.
func (c *Config) BelowHostRoot(root string) {
	c.Host.Proc = filepath.Join(root, "proc")
	c.Host.Sys = filepath.Join(root, "sys")
	c.Host.Cgroup = filepath.Join(root, "sys/fs/cgroup")
	c.Host.Rootfs = root
}

// Validate reports every setting that makes no sense, by its path in the file.
func (c Config) Validate() error {
	var errs []error
	for _, section := range []struct {
		name     string
		validate func() error
	}{
		{"host", c.Host.Validate}, {"kube", c.Kube.Validate}, {"otlp", c.OTLP.Validate}, {"podLogs", c.PodLogs.Validate},
		{"queue", c.Queue.Validate}, {"scrape", c.Scrape.Validate}, {"ship", c.Ship.Validate},
	} {
		if err := section.validate(); err != nil {
			errs = append(errs, fmt.Errorf("collector.%s: %w", section.name, err))
		}
	}
	return errors.Join(errs...)
}
