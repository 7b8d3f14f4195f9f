package logs

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Config bounds what LogQL queries may cost. A bound of zero is no bound, except
// where a field says otherwise.
type Config struct {
	// MaxLines is the largest limit that a log query may ask for.
	MaxLines int `json:"maxLines"`
	// MaxQueryRange is the longest distance between start and end.
	MaxQueryRange model.Duration `json:"maxQueryRange"`
	// MaxQueryText is the longest query text in bytes; it must be positive.
	MaxQueryText int `json:"maxQueryText"`
	// MaxQueryBytes, MaxQueryRows and MaxStreams bound what the store decodes for
	// one query: uncompressed bytes, rows, and matched streams.
	MaxQueryBytes int64 `json:"maxQueryBytes"`
	MaxQueryRows  int64 `json:"maxQueryRows"`
	MaxStreams    int64 `json:"maxStreams"`
	// MaxSeries is how many series a metric query may return; it must be positive.
	MaxSeries int `json:"maxSeries"`
	// MaxPoints is how many points (series times steps) a metric query may return;
	// it must be positive.
	MaxPoints int `json:"maxPoints"`
	// MaxInnerSeries is how many series a metric query may hold before it
	// aggregates them; it must be positive.
	MaxInnerSeries int `json:"maxInnerSeries"`
	// MaxWindowSamples is how many samples a metric query may hold for one window
	// ([5m]) when its windows overlap or its aggregation needs all of them at once.
	// Each takes about 32 bytes. Functions that count lines or bytes hold none.
	MaxWindowSamples int `json:"maxWindowSamples"`
	// MaxWindowReads is how many samples the overlapping windows of a metric query may
	// go through, all steps together: each sample counts once for every window that it
	// is in, and 16 times for quantiles behind line_format. Functions that count lines or
	// bytes go through none.
	MaxWindowReads int64 `json:"maxWindowReads"`
	// MaxAnswerBytes bounds the lines and labels of one log query's answer, which is
	// held in memory.
	MaxAnswerBytes int64 `json:"maxAnswerBytes"`
	// MaxMemory bounds what all queries that run hold together, in bytes: the samples of
	// their windows, their series, and their answers while they are put together. A query
	// that finds it taken is refused with the status 503.
	MaxMemory int64 `json:"maxMemory"`
	// MaxConcurrent is how many queries run at once; others wait within their
	// timeout. It must be positive.
	MaxConcurrent int `json:"maxConcurrent"`
	// Timeout ends a query; it must be positive.
	Timeout model.Duration `json:"timeout"`
	// MaxPatternLines is how many lines patterns are mined from; of more, a sample over
	// the whole range. It must be positive.
	MaxPatternLines int `json:"maxPatternLines"`
	// MaxTails is how many live tails may be open at once.
	MaxTails int `json:"maxTails"`
	// TailBufferLines and TailBufferBytes bound what waits for one tail; lines beyond
	// are dropped for it, and it is told. They must be positive.
	TailBufferLines int   `json:"tailBufferLines"`
	TailBufferBytes int64 `json:"tailBufferBytes"`
	// TailDuration ends a tail; clients come again. It must be positive.
	TailDuration model.Duration `json:"tailDuration"`
}

// DefaultConfig fits one machine.
func DefaultConfig() Config {
	return Config{
		MaxLines:         5000,
		MaxQueryRange:    model.Duration(721 * time.Hour), // a month of 30 days, and the hour that makes asking for one easy
		MaxQueryText:     64 << 10,
		MaxQueryBytes:    128 << 30,
		MaxQueryRows:     0,
		MaxStreams:       1_000_000,
		MaxSeries:        100_000,
		MaxPoints:        20_000_000,
		MaxInnerSeries:   500_000,
		MaxWindowSamples: 20_000_000,
		MaxWindowReads:   4_000_000_000,
		MaxAnswerBytes:   256 << 20,
		MaxMemory:        1 << 30,
		MaxConcurrent:    16,
		Timeout:          model.Duration(time.Minute),
		MaxPatternLines:  100_000,
		MaxTails:         20,
		TailBufferLines:  10_000,
		TailBufferBytes:  4 << 20,
		TailDuration:     model.Duration(time.Hour),
	}
}

// Validate names the field that cannot be.
func (c Config) Validate() error {
	for _, f := range []struct {
		name     string
		value    int64
		positive bool
	}{
		{"maxLines", int64(c.MaxLines), false},
		{"maxQueryRange", int64(c.MaxQueryRange), false},
		{"maxQueryText", int64(c.MaxQueryText), true},
		{"maxQueryBytes", c.MaxQueryBytes, false},
		{"maxQueryRows", c.MaxQueryRows, false},
		{"maxStreams", c.MaxStreams, false},
		{"maxSeries", int64(c.MaxSeries), true},
		{"maxPoints", int64(c.MaxPoints), true},
		{"maxInnerSeries", int64(c.MaxInnerSeries), true},
		{"maxWindowSamples", int64(c.MaxWindowSamples), false},
		{"maxWindowReads", c.MaxWindowReads, false},
		{"maxAnswerBytes", c.MaxAnswerBytes, false},
		{"maxMemory", c.MaxMemory, false},
		{"maxConcurrent", int64(c.MaxConcurrent), true},
		{"timeout", int64(c.Timeout), true},
		{"maxPatternLines", int64(c.MaxPatternLines), true},
		{"maxTails", int64(c.MaxTails), false},
		{"tailBufferLines", int64(c.TailBufferLines), true},
		{"tailBufferBytes", c.TailBufferBytes, true},
		{"tailDuration", int64(c.TailDuration), true},
	} {
		if f.value < 0 || f.positive && f.value == 0 {
			return fmt.Errorf("%s: %d is too small", f.name, f.value)
		}
	}
	return nil
}
