package queue

import (
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
)

// Fsync says when records are forced from the operating system to the disk. In
// both modes a record that was accepted survives a kill of the process; the mode
// is about the machine losing power.
type Fsync string

const (
	// FsyncInterval forces them at least every FsyncInterval.
	FsyncInterval Fsync = "interval"
	// FsyncAlways forces each before Append returns; appends that wait at the same
	// time share one call. If the disk refuses, that is logged and counted, and the
	// record is still delivered.
	FsyncAlways Fsync = "always"
)

// Config bounds a queue. The zero value of a field is invalid; start from
// DefaultConfig.
type Config struct {
	// MaxBytes bounds the segment files of all streams together.
	MaxBytes units.Base2Bytes `json:"maxBytes"`
	// MaxAge is the age at which a record that was not acknowledged is dropped. It
	// should equal the out-of-order window of the receiver, which refuses older
	// samples anyway.
	MaxAge model.Duration `json:"maxAge"`
	// SegmentBytes is the size at which a new segment file is begun. Disk space is
	// freed by whole segments.
	SegmentBytes units.Base2Bytes `json:"segmentBytes"`
	// Fsync is "interval" or "always".
	Fsync Fsync `json:"fsync"`
	// FsyncInterval is the longest time that a record is not yet forced to disk.
	FsyncInterval model.Duration `json:"fsyncInterval"`
}

// DefaultConfig returns 1 GiB, 12 hours, and a forced write every 100 ms.
func DefaultConfig() Config {
	return Config{
		MaxBytes:      1 << 30,
		MaxAge:        model.Duration(12 * time.Hour),
		SegmentBytes:  16 << 20,
		Fsync:         FsyncInterval,
		FsyncInterval: model.Duration(100 * time.Millisecond),
	}
}

// Validate returns every field that makes no sense, by its name.
func (c Config) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.SegmentBytes < 64<<10 || c.SegmentBytes > 1<<30 {
		add("segmentBytes: %s is not between 64KiB and 1GiB", c.SegmentBytes)
	} else if c.MaxBytes < 16*c.SegmentBytes {
		// Below this the shares that streams keep for each other (see budget) are
		// smaller than the segments by which space is freed.
		add("maxBytes: %s is less than 16 segments of %s (segmentBytes)", c.MaxBytes, c.SegmentBytes)
	}
	if c.MaxAge <= 0 {
		add("maxAge: %s is not positive", c.MaxAge)
	}
	if c.Fsync != FsyncInterval && c.Fsync != FsyncAlways {
		add("fsync: %q is neither %q nor %q", c.Fsync, FsyncInterval, FsyncAlways)
	}
	if interval := time.Duration(c.FsyncInterval); interval < time.Millisecond || interval > time.Minute {
		add("fsyncInterval: %s is not between 1ms and 1m", c.FsyncInterval)
	}
	return errors.Join(errs...)
}
