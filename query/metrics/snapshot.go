package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/fileutil"
)

// Snapshot writes a copy of the store to dir, which must not exist yet: the blocks
// by hard links, and what is still in memory as a block of its own. Writes go on
// meanwhile; a batch that was acknowledged before the call is in the copy. The
// copy has the layout of the store's own folder, and Restore takes it.
func (s *Store) Snapshot(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("snapshot of metrics: %s: %w", dir, errors.Join(os.ErrExist, err))
	}
	target := filepath.Join(dir, "tsdb")
	if err := os.MkdirAll(target, 0o750); err != nil {
		return fmt.Errorf("snapshot of metrics: %w", err)
	}
	// The TSDB's own snapshot leaves out what came out of order and is in memory yet.
	if err := s.db.CompactOOOHead(ctx); err != nil {
		return fmt.Errorf("snapshot of metrics: write what came out of order: %w", err)
	}
	// The TSDB's own snapshot cannot be interrupted; what it leaves in an unfinished
	// folder is the caller's to remove.
	if err := s.db.Snapshot(target, true); err != nil {
		return fmt.Errorf("snapshot of metrics: %w", err)
	}
	return nil
}

// Restore copies a snapshot into dir, which must not exist or be empty. All of it
// is read first, which checks the checksum of every chunk; after an error nothing is
// written.
func Restore(ctx context.Context, snapshot, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("restore metrics: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("restore metrics: %s is not empty", dir)
	}
	source := filepath.Join(snapshot, "tsdb")
	if _, err := os.Stat(source); err != nil {
		return fmt.Errorf("restore metrics: %s is no snapshot: %w", snapshot, err)
	}
	if err := verify(ctx, source); err != nil {
		return fmt.Errorf("restore metrics: %s: %w", source, err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("restore metrics: %w", err)
	}
	if err := fileutil.CopyDirs(source, filepath.Join(dir, "tsdb")); err != nil {
		return fmt.Errorf("restore metrics: %w", err)
	}
	return nil
}

// verify reads every chunk of a TSDB's folder that has no write-ahead log.
func verify(ctx context.Context, dir string) (err error) {
	db, err := tsdb.OpenDBReadOnly(dir, "", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	readers, err := db.Blocks()
	if err != nil {
		return err
	}
	for _, r := range readers {
		if err := verifyBlock(ctx, r); err != nil {
			return fmt.Errorf("block %s: %w", r.Meta().ULID, err)
		}
	}
	return nil
}

func verifyBlock(ctx context.Context, r tsdb.BlockReader) (err error) {
	q, err := tsdb.NewBlockChunkQuerier(r, math.MinInt64, math.MaxInt64)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	everything := labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, ".*")
	set := q.Select(ctx, false, nil, everything)
	var it chunks.Iterator
	for set.Next() {
		it = set.At().Iterator(it)
		for it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := it.Err(); err != nil {
			return fmt.Errorf("series %s: %w", set.At().Labels(), err)
		}
	}
	return set.Err()
}
