package metrics

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Config bounds the store: how long and how much it keeps, what it admits, and
// what one query may cost.
type Config struct {
	// Retention is the age at which blocks are deleted. Default 15d.
	Retention model.Duration `json:"retention"`
	// RetentionBytes bounds the folder: while blocks, write-ahead logs and head
	// chunks together are larger, the oldest blocks are deleted. 0 means no bound.
	// The last two to three hours are not yet in a block and always stay; their
	// size follows from the rate of arrival and MaxSeries. Default 8 GiB.
	RetentionBytes int64 `json:"retentionBytes"`
	// MinFreeBytes is the free space that must remain on the file system; below it
	// every batch is refused with columnar.ErrFull. Default 256 MiB.
	MinFreeBytes int64 `json:"minFreeBytes"`
	// OutOfOrderWindow is how far behind the newest sample a sample may be. It
	// should not be less than the age a sender's queue can reach. Default 12h.
	OutOfOrderWindow model.Duration `json:"outOfOrderWindow"`
	// MaxFutureTime is how far ahead of the clock a sample may be. One sample far in
	// the future would make the present "too old", hence the bound. Default 10m.
	MaxFutureTime model.Duration `json:"maxFutureTime"`

	// MaxSeries bounds the series in memory; samples of further series are refused.
	// Default 2,000,000.
	MaxSeries int64 `json:"maxSeries"`
	// MaxLabels is the most labels of one series, the metric name included.
	// Default 64.
	MaxLabels int `json:"maxLabels"`
	// MaxLabelNameBytes bounds a label name. Default 1024.
	MaxLabelNameBytes int `json:"maxLabelNameBytes"`
	// MaxLabelValueBytes bounds a label value. Default 4096.
	MaxLabelValueBytes int `json:"maxLabelValueBytes"`
	// MaxExemplars is the size of the ring that holds the newest exemplars, in
	// memory. 0 stores none. Default 100,000.
	MaxExemplars int64 `json:"maxExemplars"`
	// MaxMetadata is the most metric families whose type, help and unit are kept in
	// memory. Default 50,000.
	MaxMetadata int `json:"maxMetadata"`
	// MaxBatchStreams is the most (collector, stream) pairs whose last sequence is
	// remembered; beyond it the one that was silent longest is forgotten. Forgetting
	// is safe, because storing a batch again changes nothing. Default 20,000.
	MaxBatchStreams int `json:"maxBatchStreams"`

	// LookbackDelta is how long a sample stands for its series in an instant query.
	// Default 5m.
	LookbackDelta model.Duration `json:"lookbackDelta"`
	// QueryTimeout ends a query. Default 2m.
	QueryTimeout model.Duration `json:"queryTimeout"`
	// QueryMaxSamples is the most samples one query may hold in memory (16 bytes and
	// more each). Default 50,000,000.
	QueryMaxSamples int `json:"queryMaxSamples"`
	// QueryConcurrency is the most queries evaluated at once; others wait.
	// Default 20.
	QueryConcurrency int `json:"queryConcurrency"`
}

// DefaultConfig returns the defaults that the fields of Config name.
func DefaultConfig() Config {
	return Config{
		Retention:          model.Duration(15 * 24 * time.Hour),
		RetentionBytes:     8 << 30,
		MinFreeBytes:       256 << 20,
		OutOfOrderWindow:   model.Duration(12 * time.Hour),
		MaxFutureTime:      model.Duration(10 * time.Minute),
		MaxSeries:          2_000_000,
		MaxLabels:          64,
		MaxLabelNameBytes:  1024,
		MaxLabelValueBytes: 4096,
		MaxExemplars:       100_000,
		MaxMetadata:        50_000,
		MaxBatchStreams:    20_000,
		LookbackDelta:      model.Duration(5 * time.Minute),
		QueryTimeout:       model.Duration(2 * time.Minute),
		QueryMaxSamples:    50_000_000,
		QueryConcurrency:   20,
	}
}

// Validate reports every field that makes no sense, by its path.
func (c Config) Validate() error {
	var errs []error
	positive := func(field string, v int64) {
		if v <= 0 {
			errs = append(errs, fmt.Errorf("%s: must be greater than zero, is %d", field, v))
		}
	}
	notNegative := func(field string, v int64) {
		if v < 0 {
			errs = append(errs, fmt.Errorf("%s: must not be negative, is %d", field, v))
		}
	}
	positive("retention", int64(c.Retention))
	notNegative("retentionBytes", c.RetentionBytes)
	notNegative("minFreeBytes", c.MinFreeBytes)
	positive("outOfOrderWindow", int64(c.OutOfOrderWindow))
	notNegative("maxFutureTime", int64(c.MaxFutureTime))
	positive("maxSeries", c.MaxSeries)
	positive("maxLabels", int64(c.MaxLabels))
	positive("maxLabelNameBytes", int64(c.MaxLabelNameBytes))
	positive("maxLabelValueBytes", int64(c.MaxLabelValueBytes))
	notNegative("maxExemplars", c.MaxExemplars)
	positive("maxMetadata", int64(c.MaxMetadata))
	positive("maxBatchStreams", int64(c.MaxBatchStreams))
	positive("lookbackDelta", int64(c.LookbackDelta))
	positive("queryTimeout", int64(c.QueryTimeout))
	positive("queryMaxSamples", int64(c.QueryMaxSamples))
	positive("queryConcurrency", int64(c.QueryConcurrency))
	if c.OutOfOrderWindow > c.Retention {
		errs = append(errs, fmt.Errorf("outOfOrderWindow: %s is longer than retention %s", c.OutOfOrderWindow, c.Retention))
	}
	return errors.Join(errs...)
}
