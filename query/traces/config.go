package traces

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Config bounds what trace queries may cost. A bound of zero is no bound, except
// where a field says otherwise.
type Config struct {
	// DefaultTraces is how many traces a search returns that does not say, and
	// MaxTraces how many it may ask for. Both must be positive.
	DefaultTraces int `json:"defaultTraces"`
	MaxTraces     int `json:"maxTraces"`
	// MaxSpans is how many spans one answer may hold, and of how many spans of calls the
	// dependencies are counted at most; it must be positive.
	MaxSpans int `json:"maxSpans"`
	// MaxQueryBytes, MaxQueryRows and MaxStreams bound what the store decodes for
	// one query: uncompressed bytes, rows, and matched streams.
	MaxQueryBytes int64 `json:"maxQueryBytes"`
	MaxQueryRows  int64 `json:"maxQueryRows"`
	MaxStreams    int64 `json:"maxStreams"`
	// Lookback is how far a search without start goes back; it must be positive.
	Lookback model.Duration `json:"lookback"`
	// OperationsLookback is how far the list of a service's operations goes back,
	// and MaxOperations how long it may be. Both must be positive.
	OperationsLookback model.Duration `json:"operationsLookback"`
	MaxOperations      int            `json:"maxOperations"`
	// MaxConcurrent is how many queries run at once; others wait within their
	// timeout. It must be positive.
	MaxConcurrent int `json:"maxConcurrent"`
	// Timeout ends a query; it must be positive.
	Timeout model.Duration `json:"timeout"`
}

// DefaultConfig fits one machine.
func DefaultConfig() Config {
	return Config{
		DefaultTraces:      20,
		MaxTraces:          1500,
		MaxSpans:           200_000,
		MaxQueryBytes:      128 << 30,
		MaxStreams:         1_000_000,
		Lookback:           model.Duration(48 * time.Hour),
		OperationsLookback: model.Duration(24 * time.Hour),
		MaxOperations:      10_000,
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
		{"maxSpans", int64(c.MaxSpans), true},
		{"maxQueryBytes", c.MaxQueryBytes, false},
		{"maxQueryRows", c.MaxQueryRows, false},
		{"maxStreams", c.MaxStreams, false},
		{"lookback", int64(c.Lookback), true},
		{"operationsLookback", int64(c.OperationsLookback), true},
		{"maxOperations", int64(c.MaxOperations), true},
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
	return nil
}
