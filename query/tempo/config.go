package tempo

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Config bounds what TraceQL queries may cost. A bound of zero is no bound, except
// where a field says otherwise.
type Config struct {
	// DefaultTraces is how many traces a search returns that does not say, and MaxTraces
	// how many it may ask for. Both must be positive.
	DefaultTraces int `json:"defaultTraces"`
	MaxTraces     int `json:"maxTraces"`
	// DefaultSpans is how many spans of each spanset a search returns that does not say,
	// and MaxSpansPerSpanset how many it may ask for. Both must be positive.
	DefaultSpans       int `json:"defaultSpansPerSpanset"`
	MaxSpansPerSpanset int `json:"maxSpansPerSpanset"`
	// MaxCandidates is how many traces one query may look into that needs whole traces,
	// and MaxSpans how many spans it may hold in memory at once. Both must be positive.
	MaxCandidates int `json:"maxCandidates"`
	MaxSpans      int `json:"maxSpans"`
	// MaxQueryBytes, MaxQueryRows and MaxStreams bound what the store decodes for each
	// of the steps of a query: uncompressed bytes, rows, and matched streams.
	MaxQueryBytes int64 `json:"maxQueryBytes"`
	MaxQueryRows  int64 `json:"maxQueryRows"`
	MaxStreams    int64 `json:"maxStreams"`
	// MaxSeries bounds the series of a metrics query, MaxSamples the samples of all of
	// them, and MaxPoints the samples of each. All must be positive.
	MaxSeries  int `json:"maxSeries"`
	MaxSamples int `json:"maxSamples"`
	MaxPoints  int `json:"maxPoints"`
	// MaxExemplars is how many exemplars a metrics query may ask for.
	MaxExemplars int `json:"maxExemplars"`
	// Lookback is how far a search or a list of tags without start goes back, and
	// MetricsLookback how far a metrics query does. Both must be positive.
	Lookback        model.Duration `json:"lookback"`
	MetricsLookback model.Duration `json:"metricsLookback"`
	// TraceSpread is how far from a span that a query has found the other spans of its
	// trace are looked for, in both directions; it must be positive. Looking up a trace
	// by its id has no such bound.
	TraceSpread model.Duration `json:"traceSpread"`
	// MaxTags is how many names or values of tags are listed, and MaxTagRows how many of
	// the newest spans are looked at for lists that have no index: tags of events and
	// links, and lists filtered by a query. Both must be positive.
	MaxTags    int   `json:"maxTags"`
	MaxTagRows int64 `json:"maxTagRows"`
	// MaxConcurrent is how many queries run at once; others wait within their timeout.
	// It must be positive.
	MaxConcurrent int `json:"maxConcurrent"`
	// Timeout ends a query; it must be positive.
	Timeout model.Duration `json:"timeout"`
}

// DefaultConfig fits one machine.
func DefaultConfig() Config {
	return Config{
		DefaultTraces:      20,
		MaxTraces:          1500,
		DefaultSpans:       3,
		MaxSpansPerSpanset: 1000,
		MaxCandidates:      200_000,
		MaxSpans:           200_000,
		MaxQueryBytes:      128 << 30,
		MaxStreams:         1_000_000,
		MaxSeries:          10_000,
		MaxSamples:         5_000_000,
		MaxPoints:          11_000,
		MaxExemplars:       100,
		Lookback:           model.Duration(48 * time.Hour),
		MetricsLookback:    model.Duration(time.Hour),
		TraceSpread:        model.Duration(time.Hour),
		MaxTags:            10_000,
		MaxTagRows:         100_000,
		MaxConcurrent:      16,
		Timeout:            model.Duration(time.Minute),
	}
}

// Validate names the field that cannot be.
func (c Config) Validate() error {
	for _, f := range []struct {
		name     string
		value    int64
		positive bool
	}{
		{"defaultTraces", int64(c.DefaultTraces), true},
		{"maxTraces", int64(c.MaxTraces), true},
		{"defaultSpansPerSpanset", int64(c.DefaultSpans), true},
		{"maxSpansPerSpanset", int64(c.MaxSpansPerSpanset), true},
		{"maxCandidates", int64(c.MaxCandidates), true},
		{"maxSpans", int64(c.MaxSpans), true},
		{"maxQueryBytes", c.MaxQueryBytes, false},
		{"maxQueryRows", c.MaxQueryRows, false},
		{"maxStreams", c.MaxStreams, false},
		{"maxSeries", int64(c.MaxSeries), true},
		{"maxSamples", int64(c.MaxSamples), true},
		{"maxPoints", int64(c.MaxPoints), true},
		{"maxExemplars", int64(c.MaxExemplars), false},
		{"lookback", int64(c.Lookback), true},
		{"metricsLookback", int64(c.MetricsLookback), true},
		{"traceSpread", int64(c.TraceSpread), true},
		{"maxTags", int64(c.MaxTags), true},
		{"maxTagRows", c.MaxTagRows, true},
		{"maxConcurrent", int64(c.MaxConcurrent), true},
		{"timeout", int64(c.Timeout), true},
	} {
		if f.value < 0 || f.positive && f.value == 0 {
			return fmt.Errorf("%s: %d is too small", f.name, f.value)
		}
	}
	if c.DefaultTraces > c.MaxTraces {
		return fmt.Errorf("defaultTraces: %d is above maxTraces (%d)", c.DefaultTraces, c.MaxTraces)
	}
	if c.DefaultSpans > c.MaxSpansPerSpanset {
		return fmt.Errorf("defaultSpansPerSpanset: %d is above maxSpansPerSpanset (%d)", c.DefaultSpans, c.MaxSpansPerSpanset)
	}
	return nil
}
