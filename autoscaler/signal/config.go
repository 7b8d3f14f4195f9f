package signal

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Config says where signals come from.
type Config struct {
	// URL is the base of a query service that serves Prometheus' API below /prometheus and Loki's below /loki.
	URL string `json:"url"`
	// PrometheusURL is the base of a Prometheus-compatible API (what comes before /api/v1), when it is not below URL.
	PrometheusURL string `json:"prometheusURL,omitempty"`
	// LokiURL is the base of a Loki-compatible API (what comes before /loki/api/v1), when it is not below URL.
	LokiURL string `json:"lokiURL,omitempty"`
	// Timeout is the longest that one query may take.
	Timeout model.Duration `json:"timeout"`
	// Concurrency is how many queries may be under way at once.
	Concurrency int `json:"concurrency"`
}

// DefaultConfig reads from a query service on this machine.
func DefaultConfig() Config {
	return Config{URL: "http://127.0.0.1:9428", Timeout: model.Duration(5 * time.Second), Concurrency: 32}
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	if _, _, err := c.endpoints(); err != nil {
		return err
	}
	if c.Timeout <= 0 {
		return fmt.Errorf("timeout: must be greater than 0")
	}
	if c.Concurrency < 1 {
		return fmt.Errorf("concurrency: must be at least 1")
	}
	return nil
}

// endpoints returns the addresses below which /api/v1 and /loki/api/v1 lie.
func (c Config) endpoints() (prometheus, loki *url.URL, err error) {
	prometheus, err = endpoint("prometheusURL", c.PrometheusURL, c.URL, "/prometheus")
	if err != nil {
		return nil, nil, err
	}
	// Loki's own paths begin with /loki already.
	loki, err = endpoint("lokiURL", c.LokiURL, c.URL, "")
	if err != nil {
		return nil, nil, err
	}
	return prometheus, loki, nil
}

func endpoint(field, own, base, below string) (*url.URL, error) {
	raw := own
	if raw == "" {
		field, raw = "url", strings.TrimSuffix(base, "/")+below
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%s: %q is not an http or https address", field, raw)
	}
	return u, nil
}
