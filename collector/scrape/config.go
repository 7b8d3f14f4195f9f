package scrape

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/file"
)

// Config says what is scraped.
type Config struct {
	// Interval and Timeout apply to the entries of Configs that have none.
	Interval model.Duration `json:"interval,omitempty"`
	Timeout  model.Duration `json:"timeout,omitempty"`
	// MaxBodyBytes and MaxSamples bound one scrape of the entries of Configs that
	// have no body_size_limit and sample_limit; 0 means no limit.
	MaxBodyBytes units.Base2Bytes `json:"maxBodyBytes,omitempty"`
	MaxSamples   uint             `json:"maxSamples,omitempty"`
	// FileRefresh is the longest time until a file of file_sd_configs is noticed
	// that appears in a folder that did not exist, whatever longer refresh_interval
	// an entry has.
	FileRefresh model.Duration `json:"fileRefresh,omitempty"`
	// Configs is a list as under scrape_configs in Prometheus' configuration, with
	// static_configs and file_sd_configs only.
	Configs []json.RawMessage `json:"configs,omitempty"`
}

// DefaultConfig returns the configuration without targets.
func DefaultConfig() Config {
	return Config{
		Interval:     model.Duration(15 * time.Second),
		Timeout:      model.Duration(10 * time.Second),
		MaxBodyBytes: 64 << 20,
		MaxSamples:   200_000,
		FileRefresh:  model.Duration(5 * time.Second),
	}
}

// Validate says which field is wrong.
func (c Config) Validate() error {
	_, err := c.load()
	return err
}

// discoveries are the kinds of discovery that may be used.
var discoveries = []string{"file_sd_configs", "static_configs"}

// errDiscovery says what to use instead.
var errDiscovery = errors.New("this kind of discovery is not supported here, use static_configs or file_sd_configs")

// load parses the configuration with Prometheus' own rules.
func (c Config) load() (*config.Config, error) {
	for _, duration := range []struct {
		field string
		value model.Duration
	}{{"interval", c.Interval}, {"timeout", c.Timeout}, {"fileRefresh", c.FileRefresh}} {
		if duration.value <= 0 {
			return nil, fmt.Errorf("%s: %s is not positive", duration.field, duration.value)
		}
	}
	entries, err := c.entries()
	if err != nil {
		return nil, err
	}
	// One entry at a time, so that an error can say which it is about.
	for i, entry := range entries {
		if _, err := c.parse([]map[string]json.RawMessage{entry}); err != nil {
			return nil, fmt.Errorf("configs[%d]: %w", i, err)
		}
	}
	loaded, err := c.parse(entries)
	if err != nil {
		return nil, fmt.Errorf("configs: %w", err)
	}
	for _, entry := range loaded.ScrapeConfigs {
		for _, discovery := range entry.ServiceDiscoveryConfigs {
			if files, ok := discovery.(*file.SDConfig); ok {
				files.RefreshInterval = min(files.RefreshInterval, c.FileRefresh)
			}
		}
	}
	return loaded, nil
}

// entries returns the list, refusing the kinds of discovery that are not built in
// by their names.
func (c Config) entries() ([]map[string]json.RawMessage, error) {
	entries := make([]map[string]json.RawMessage, len(c.Configs))
	for i, raw := range c.Configs {
		if err := json.Unmarshal(raw, &entries[i]); err != nil {
			return nil, fmt.Errorf("configs[%d]: is not a scrape configuration: %w", i, err)
		}
	}
	for i, entry := range entries {
		for _, field := range slices.Sorted(maps.Keys(entry)) {
			if strings.HasSuffix(field, "_sd_configs") && !slices.Contains(discoveries, field) {
				return nil, fmt.Errorf("configs[%d].%s: %w", i, field, errDiscovery)
			}
		}
	}
	return entries, nil
}

// parse hands a whole configuration to Prometheus; JSON is YAML.
func (c Config) parse(entries []map[string]json.RawMessage) (*config.Config, error) {
	global := map[string]any{"scrape_interval": c.Interval.String(), "scrape_timeout": min(c.Timeout, c.Interval).String()}
	if c.MaxBodyBytes > 0 {
		global["body_size_limit"] = fmt.Sprintf("%dB", int64(c.MaxBodyBytes))
	}
	if c.MaxSamples > 0 {
		global["sample_limit"] = c.MaxSamples
	}
	text, err := json.Marshal(map[string]any{"global": global, "scrape_configs": entries})
	if err != nil {
		return nil, fmt.Errorf("encode the scrape configuration: %w", err)
	}
	return config.Load(string(text), slog.New(slog.DiscardHandler))
}
