package spanmetrics

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// Config bounds what is derived from spans, and what that costs.
type Config struct {
	// Enabled turns the derivation on. Default true.
	Enabled bool `json:"enabled"`
	// Interval is how often metrics are written. Default 10s.
	Interval model.Duration `json:"interval"`
	// Labels are the labels of a span's stream that its metrics carry, beside
	// service_name. Default cluster, namespace, pod, container, node.
	Labels []string `json:"labels"`
	// Buckets are the upper bounds of the duration histograms, ascending. Default
	// 2ms to 15s, as OpenTelemetry's connector.
	Buckets []model.Duration `json:"buckets"`
	// MaxSeries is the most combinations of labels that operations are counted by,
	// each of which makes a counter and a histogram. The spans of further ones are
	// counted together under otel_metric_overflow="true". Default 5,000.
	MaxSeries int `json:"maxSeries"`
	// MaxEdges is the same for the edges of the service graph. Default 2,000.
	MaxEdges int `json:"maxEdges"`
	// MaxPending is the most spans that wait for the other side of their call; what
	// comes beyond is counted and left out of the graph. Default 50,000.
	MaxPending int `json:"maxPending"`
	// Wait is how long a span waits for the other side of its call. Default 10s.
	Wait model.Duration `json:"wait"`
	// MaxAge is how old a span may be when it comes; older ones are counted nowhere,
	// since they would look like calls of now. Default 15m.
	MaxAge model.Duration `json:"maxAge"`
	// Idle is when a combination of labels without new spans is forgotten. Default 30m.
	Idle model.Duration `json:"idle"`
}

// DefaultConfig returns the defaults that the fields of Config name.
func DefaultConfig() Config {
	c := Config{
		Enabled:    true,
		Interval:   model.Duration(10 * time.Second),
		Labels:     []string{"cluster", "namespace", "pod", "container", "node"},
		MaxSeries:  5000,
		MaxEdges:   2000,
		MaxPending: 50_000,
		Wait:       model.Duration(10 * time.Second),
		MaxAge:     model.Duration(15 * time.Minute),
		Idle:       model.Duration(30 * time.Minute),
	}
	for _, ms := range []int{2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000} {
		c.Buckets = append(c.Buckets, model.Duration(time.Duration(ms)*time.Millisecond))
	}
	return c
}

// maxBuckets bounds the series that one combination of labels makes.
const maxBuckets = 64

// Validate reports every field that makes no sense, by its path.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name string
		v    int64
	}{
		{"interval", int64(c.Interval)}, {"maxSeries", int64(c.MaxSeries)}, {"maxEdges", int64(c.MaxEdges)},
		{"maxPending", int64(c.MaxPending)}, {"wait", int64(c.Wait)}, {"maxAge", int64(c.MaxAge)},
	} {
		if f.v <= 0 {
			errs = append(errs, fmt.Errorf("%s: must be greater than zero, is %d", f.name, f.v))
		}
	}
	if c.Idle < 2*c.Interval {
		errs = append(errs, fmt.Errorf("idle: %s is less than twice the interval", c.Idle))
	}
	if n := len(c.Buckets); n == 0 || n > maxBuckets {
		errs = append(errs, fmt.Errorf("buckets: want 1 to %d, got %d", maxBuckets, n))
	}
	for i, b := range c.Buckets {
		if b <= 0 || i > 0 && b <= c.Buckets[i-1] {
			errs = append(errs, fmt.Errorf("buckets: %s is not above the one before it", b))
		}
	}
	for i, l := range c.Labels {
		if slices.Contains(c.Labels[:i], l) {
			errs = append(errs, fmt.Errorf("labels: %q is there twice", l))
		}
		switch l {
		case labelService, labelName, labelKind, labelStatus, "le", model.MetricNameLabel:
			errs = append(errs, fmt.Errorf("labels: %q is set already", l))
		}
		if !model.LegacyValidation.IsValidLabelName(l) {
			errs = append(errs, fmt.Errorf("labels: %q is no label name", l))
		}
	}
	return errors.Join(errs...)
}
