package columnar

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"k8s.io/utils/clock"
)

// FsyncMode says when the write-ahead log reaches the disk itself rather than
// the kernel's page cache. Either way an acknowledged batch survives a crash of
// the process; the mode decides about a crash of the machine.
type FsyncMode string

// The fsync modes.
const (
	// FsyncInterval syncs at least every Config.FsyncInterval.
	FsyncInterval FsyncMode = "interval"
	// FsyncAlways syncs before each acknowledgement; concurrent batches share one.
	FsyncAlways FsyncMode = "always"
)

// Config is what a user may set. The zero value of each field means its default.
type Config struct {
	// Fsync is "interval" (default) or "always".
	Fsync FsyncMode `json:"fsync,omitempty"`
	// FsyncInterval bounds what a crash of the machine can lose in mode interval.
	FsyncInterval model.Duration `json:"fsyncInterval,omitempty"`
	// MemTableBytes is how much uncompressed data is gathered before it is written
	// as a part. Twice as much can be in memory: one table fills while one is written.
	MemTableBytes int64 `json:"memTableBytes,omitempty"`
	// FlushAge bounds how long a slow trickle stays in the write-ahead log only.
	FlushAge model.Duration `json:"flushAge,omitempty"`
	// FlushIdle writes the memory table once nothing has arrived for so long.
	FlushIdle model.Duration `json:"flushIdle,omitempty"`
	// BlockBytes is the uncompressed size at which a block is closed. A bigger block
	// compresses better and costs more to open for a few rows.
	BlockBytes int `json:"blockBytes,omitempty"`
	// MaxPartBytes is the compressed size above which parts are merged no more.
	MaxPartBytes int64 `json:"maxPartBytes,omitempty"`
	// MergeShare is the share of one core, from 0.01 to 1, that merges and the
	// rewrites for deletion and retention may take. Whatever it is, one runs at a time.
	MergeShare float64 `json:"mergeShare,omitempty"`
	// MaxBytes bounds the data folder. Retention keeps it below by dropping the oldest
	// parts; when that does not help, Append answers ErrFull. 0 is unbounded.
	MaxBytes int64 `json:"maxBytes,omitempty"`
	// Retention says what is dropped by itself.
	Retention Retention `json:"retention,omitzero"`
	// DeletionDelay is how long the rows of a deletion stay on disk at least, so that
	// it can be canceled. Negative means not at all.
	DeletionDelay model.Duration `json:"deletionDelay,omitempty"`
	// MinFreeDisk is the free space of the file system that is never used up.
	// Negative means none is kept.
	MinFreeDisk int64 `json:"minFreeDisk,omitempty"`
	// MaxBatchBytes bounds one batch, uncompressed.
	MaxBatchBytes int64 `json:"maxBatchBytes,omitempty"`
	// MaxStreams bounds the distinct streams of the store, since each costs memory.
	MaxStreams int `json:"maxStreams,omitempty"`
	// QueryMemoryBytes is what the decoded blocks of one query may hold. A query
	// over more decodes blocks repeatedly instead of holding them.
	QueryMemoryBytes int64 `json:"queryMemoryBytes,omitempty"`
	// IndexCacheBytes bounds the memory for what was read of the parts' indexes.
	IndexCacheBytes int64 `json:"indexCacheBytes,omitempty"`
	// QueryWorkers is how many goroutines one query may decode blocks with. 0 is
	// GOMAXPROCS.
	QueryWorkers int `json:"queryWorkers,omitempty"`
	// DedupeMaxAge is how long a sender that went silent is remembered.
	DedupeMaxAge model.Duration `json:"dedupeMaxAge,omitempty"`
	// DedupeMaxSenders bounds the (collector, stream) pairs that are remembered; the
	// longest silent one is forgotten first.
	DedupeMaxSenders int `json:"dedupeMaxSenders,omitempty"`
}

// DefaultConfig is sized for a store that stays below 100 MiB of memory.
func DefaultConfig() Config {
	return Config{
		Fsync:            FsyncInterval,
		FsyncInterval:    model.Duration(100 * time.Millisecond),
		MemTableBytes:    16 << 20,
		FlushAge:         model.Duration(10 * time.Minute),
		FlushIdle:        model.Duration(10 * time.Second),
		BlockBytes:       1 << 20,
		MaxPartBytes:     512 << 20,
		MergeShare:       1,
		DeletionDelay:    model.Duration(5 * time.Minute),
		MinFreeDisk:      256 << 20,
		MaxBatchBytes:    32 << 20,
		MaxStreams:       200_000,
		QueryMemoryBytes: 32 << 20,
		IndexCacheBytes:  8 << 20,
		DedupeMaxAge:     model.Duration(7 * 24 * time.Hour),
		DedupeMaxSenders: 20_000,
	}
}

// withDefaults fills what was left at zero.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	setDefault(&c.Fsync, d.Fsync)
	setDefault(&c.FsyncInterval, d.FsyncInterval)
	setDefault(&c.MemTableBytes, d.MemTableBytes)
	setDefault(&c.FlushAge, d.FlushAge)
	setDefault(&c.FlushIdle, d.FlushIdle)
	setDefault(&c.BlockBytes, d.BlockBytes)
	setDefault(&c.MaxPartBytes, d.MaxPartBytes)
	setDefault(&c.MinFreeDisk, d.MinFreeDisk)
	setDefault(&c.MaxBatchBytes, d.MaxBatchBytes)
	setDefault(&c.MaxStreams, d.MaxStreams)
	setDefault(&c.MergeShare, d.MergeShare)
	setDefault(&c.DeletionDelay, d.DeletionDelay)
	setDefault(&c.QueryMemoryBytes, d.QueryMemoryBytes)
	setDefault(&c.IndexCacheBytes, d.IndexCacheBytes)
	setDefault(&c.DedupeMaxAge, d.DedupeMaxAge)
	setDefault(&c.DedupeMaxSenders, d.DedupeMaxSenders)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate names the first field that makes no sense.
func (c Config) Validate() error {
	c = c.withDefaults()
	if c.Fsync != FsyncInterval && c.Fsync != FsyncAlways {
		return fmt.Errorf("fsync: %q is neither %q nor %q", c.Fsync, FsyncInterval, FsyncAlways)
	}
	for _, f := range []struct {
		name     string
		value    int64
		low, top int64
	}{
		{"fsyncInterval", int64(c.FsyncInterval), int64(time.Millisecond), int64(time.Minute)},
		{"memTableBytes", c.MemTableBytes, 64 << 10, 1 << 30},
		{"flushAge", int64(c.FlushAge), int64(time.Second), int64(24 * time.Hour)},
		{"flushIdle", int64(c.FlushIdle), int64(time.Second), int64(24 * time.Hour)},
		{"blockBytes", int64(c.BlockBytes), 4 << 10, maxBlockBytes / 4},
		{"maxPartBytes", c.MaxPartBytes, 1 << 20, 64 << 30},
		{"maxBytes", c.MaxBytes, 0, 1 << 60},
		{"maxBatchBytes", c.MaxBatchBytes, 64 << 10, maxRecordBytes},
		{"maxStreams", int64(c.MaxStreams), 1, 1 << 31},
		{"queryMemoryBytes", c.QueryMemoryBytes, 64 << 10, 1 << 40},
		{"indexCacheBytes", c.IndexCacheBytes, 64 << 10, 1 << 40},
		{"queryWorkers", int64(c.QueryWorkers), 0, 1024},
		{"dedupeMaxAge", int64(c.DedupeMaxAge), int64(time.Minute), int64(366 * 24 * time.Hour)},
		{"dedupeMaxSenders", int64(c.DedupeMaxSenders), 1, 10_000_000},
	} {
		if f.value < f.low || f.value > f.top {
			return fmt.Errorf("%s: %d is outside [%d, %d]", f.name, f.value, f.low, f.top)
		}
	}
	if !(c.MergeShare >= 0.01 && c.MergeShare <= 1) {
		return fmt.Errorf("mergeShare: %g is outside [0.01, 1]", c.MergeShare)
	}
	return c.Retention.validate()
}

// Options is what Open takes beside the folder.
type Options struct {
	Config
	// Logger is slog.Default() when nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means that they are not exported.
	Registerer prometheus.Registerer
	// Clock is the real one when nil.
	Clock clock.WithTicker
}
