// Package queryservice composes the query service from its rooms: the stores, what
// writes to them and what answers from them, and the server in front.
//
// It imports query and nothing of collector or autoscaler; cmd/yagura-query and
// cmd/yagura import it.
package queryservice

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
	"github.com/yagura-dev/yagura/query/logs"
	"github.com/yagura-dev/yagura/query/metrics"
	"github.com/yagura-dev/yagura/query/server"
	"github.com/yagura-dev/yagura/query/spanmetrics"
	"github.com/yagura-dev/yagura/query/tempo"
	"github.com/yagura-dev/yagura/query/traces"
)

// Config is the query section of the configuration file.
type Config struct {
	// AdminAPI serves POST /api/v1/admin/snapshot, which whoever reaches the port may
	// then call. Default false.
	AdminAPI bool `json:"adminAPI"`

	Server  server.Config   `json:"server"`
	Ingest  ingest.Config   `json:"ingest"`
	Metrics metrics.Config  `json:"metrics"`
	Store   columnar.Config `json:"store"`
	Logs    logs.Config     `json:"logs"`
	Traces  traces.Config   `json:"traces"`
	Tempo   tempo.Config    `json:"tempo"`

	SpanMetrics spanmetrics.Config `json:"spanMetrics"`

	Autoscaler server.AutoscalerConfig `json:"autoscaler"`
}

// DefaultConfig is the configuration of an empty file. Logs and spans are kept for
// 15 days.
func DefaultConfig() Config {
	c := Config{
		Server:      server.DefaultConfig(),
		Ingest:      ingest.DefaultConfig(),
		Metrics:     metrics.DefaultConfig(),
		Store:       columnar.DefaultConfig(),
		Logs:        logs.DefaultConfig(),
		Traces:      traces.DefaultConfig(),
		Tempo:       tempo.DefaultConfig(),
		SpanMetrics: spanmetrics.DefaultConfig(),
		Autoscaler:  server.DefaultAutoscalerConfig(),
	}
	c.Store.Retention.MaxAge = model.Duration(15 * 24 * time.Hour)
	return c
}

// Validate reports every setting that makes no sense, by its path in the file.
func (c Config) Validate() error {
	var errs []error
	for _, section := range []struct {
		name     string
		validate func() error
	}{
		{"server", c.Server.Validate}, {"ingest", c.Ingest.Validate}, {"metrics", c.Metrics.Validate},
		{"store", c.Store.Validate}, {"logs", c.Logs.Validate}, {"traces", c.Traces.Validate},
		{"tempo", c.Tempo.Validate}, {"spanMetrics", c.SpanMetrics.Validate}, {"autoscaler", c.Autoscaler.Validate},
	} {
		if err := section.validate(); err != nil {
			errs = append(errs, fmt.Errorf("query.%s: %w", section.name, err))
		}
	}
	return errors.Join(errs...)
}
