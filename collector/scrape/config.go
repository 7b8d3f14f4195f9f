package scrape

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/file"
	"sigs.k8s.io/yaml"
)

// Config is what to scrape, in Prometheus' own words.
type Config struct {
	// Configs is a list as under scrape_configs in prometheus.yml. Targets come from
	// static_configs and file_sd_configs. The interval is 15s and the timeout 10s
	// unless a job says otherwise.
	Configs []json.RawMessage `json:"configs,omitempty"`
}

// DefaultConfig scrapes nothing.
func DefaultConfig() Config { return Config{} }

// Validate reports what Prometheus' own parser says, and names the job whose targets
// would come from anywhere else than its configuration.
func (c Config) Validate() error {
	_, err := c.load(slog.New(slog.DiscardHandler))
	return err
}

// defaults stand in front of the jobs: Prometheus' own default of one minute is for
// servers that keep months, not for signals that scale.
const defaults = "global: {scrape_interval: 15s, scrape_timeout: 10s}\n"

func (c Config) load(logger *slog.Logger) (*config.Config, error) {
	jobs := c.Configs
	if jobs == nil {
		jobs = []json.RawMessage{}
	}
	text, err := yaml.Marshal(map[string]any{"scrape_configs": jobs})
	if err != nil {
		return nil, fmt.Errorf("configs: %w", err)
	}
	cfg, err := config.Load(defaults+string(text), logger)
	if err != nil {
		return nil, fmt.Errorf("configs: %w", err)
	}
	for _, job := range cfg.ScrapeConfigs {
		for _, sd := range job.ServiceDiscoveryConfigs {
			switch sd.(type) {
			case discovery.StaticConfig, *file.SDConfig:
			default:
				return nil, fmt.Errorf("configs: job %q: %s_sd_configs: only static_configs and file_sd_configs are served", job.JobName, sd.Name())
			}
		}
	}
	return cfg, nil
}
