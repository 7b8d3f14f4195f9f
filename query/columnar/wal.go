package columnar

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// wal is the segment that is being written. Only the committer writes and
// rotates; sync may run beside it.
type wal struct {
	dir     string
	log     *slog.Logger
	segment uint64 // number of the open segment
	file    atomic.Pointer[os.File]
	size    int64 // bytes of whole groups; everything behind is garbage
	total   atomic.Int64
	// written is how far the log goes, and synced how much of that survives a crash
	// of the machine. The segments before are synced as a whole.
	written, synced atomic.Pointer[walMark]
	torn            bool // the last write failed and its bytes are still in the file
	dirty           atomic.Bool
}

// walMark is a place in the log.
type walMark struct {
	segment uint64
	size    int64
}

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016d.wal", number))
}

// segments lists the numbers of the segment files in a folder, ascending.
func segments(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list write-ahead segments: %w", err)
	}
	var out []uint64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".wal")
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			continue
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out, nil
}

// open starts a new segment and closes the one before, which must be whole and is
// synced first. After an error the one before is still the open segment.
func (w *wal) open(number uint64) error {
	if err := w.mend(); err != nil {
		return err
	}
	old := w.file.Load()
	if old != nil {
		if err := old.Sync(); err != nil {
			return fmt.Errorf("sync the write-ahead segment that ends: %w", err)
		}
	}
	path := segmentPath(w.dir, number)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("create write-ahead segment: %w", err)
	}
	if _, err := f.WriteAt(walFileMagic, 0); err != nil {
		return errors.Join(fmt.Errorf("write header of %s: %w", path, err), f.Close(), os.Remove(path))
	}
	if err := syncDir(w.dir); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	w.file.Store(f)
	w.segment, w.size, w.torn = number, walFileHeader, false
	w.total.Add(walFileHeader)
	w.written.Store(&walMark{number, walFileHeader})
	w.dirty.Store(true)
	if old != nil {
		if err := old.Close(); err != nil { // all of it is synced
			w.log.Warn("cannot close a write-ahead segment", "file", old.Name(), "err", err)
		}
	}
	return nil
}

// mend cuts off what a failed write left behind. Left in place it would be
// replayed after a restart although its sender was told that it is not stored.
func (w *wal) mend() error {
	if !w.torn {
		return nil
	}
	if err := w.file.Load().Truncate(w.size); err != nil {
		return fmt.Errorf("cut off a failed write: %w", err)
	}
	w.torn = false
	return nil
}

// write appends whole records. After an error nothing of them is in the segment,
// or the segment refuses every write until the rest of the failed one is cut off.
func (w *wal) write(records []byte, sync bool) error {
	if err := w.mend(); err != nil {
		return err
	}
	if w.file.Load() == nil { // the disk was full when the store was opened
		if err := w.open(w.segment + 1); err != nil {
			return err
		}
	}
	f := w.file.Load()
	_, err := f.WriteAt(records, w.size)
	if err == nil && sync {
		err = f.Sync()
	}
	if err != nil {
		w.torn = true
		return errors.Join(fmt.Errorf("write to write-ahead log: %w", err), w.mend())
	}
	w.size += int64(len(records))
	w.total.Add(int64(len(records)))
	w.written.Store(&walMark{w.segment, w.size})
	if sync {
		w.synced.Store(w.written.Load())
	} else {
		w.dirty.Store(true)
	}
	return nil
}

// sync makes everything written so far survive a crash of the machine, and
// reports whether there was anything to do.
func (w *wal) sync() (bool, error) {
	if !w.dirty.Swap(false) {
		return false, nil
	}
	written, f := w.written.Load(), w.file.Load()
	if f == nil {
		return false, nil
	}
	err := f.Sync()
	if errors.Is(err, fs.ErrClosed) {
		return false, nil // rotated in between, which syncs
	}
	if err != nil {
		w.dirty.Store(true)
		return true, fmt.Errorf("sync write-ahead log: %w", err)
	}
	w.synced.Store(written)
	return true, nil
}

// remove deletes the segments up to and including last.
func (w *wal) remove(last uint64) error {
	numbers, err := segments(w.dir)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if n > last {
			break
		}
		path := segmentPath(w.dir, n)
		info, statErr := os.Stat(path)
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove write-ahead segment: %w", err)
		}
		if statErr == nil {
			w.total.Add(-info.Size())
		}
	}
	return syncDir(w.dir)
}

func (w *wal) close() error {
	f := w.file.Swap(nil)
	if f == nil {
		return nil
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("close write-ahead log: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder to sync it: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}
