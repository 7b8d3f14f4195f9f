package queryservice

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
)

// A snapshot is a folder below <data>/snapshots, named by the UTC time it was asked
// for, with the layout of the data folder: columnar/ and metrics/. It is written
// under a name that ends in .tmp and renamed when it is whole, so that what a crash
// left is not taken for one.
const (
	snapshotsDir   = "snapshots"
	snapshotFormat = "20060102T150405Z"
	unfinished     = ".tmp"

	columnarDir = "columnar"
	metricsDir  = "metrics"
)

// admin serves what changes or copies whole stores.
type admin struct {
	data    string
	rows    *columnar.Store
	samples *metrics.Store
	now     func() time.Time

	mu sync.Mutex // one snapshot at a time: each costs disk
}

// Register adds the routes to the group of the service's own API.
func (a *admin) Register(g *echo.Group) {
	g.POST("/admin/snapshot", func(c echo.Context) error {
		if !a.mu.TryLock() {
			return echo.NewHTTPError(http.StatusConflict, "a snapshot is being taken")
		}
		defer a.mu.Unlock()
		path, err := a.snapshot(c.Request().Context())
		if err != nil {
			return echo.NewHTTPError(http.StatusInternalServerError, err.Error()).SetInternal(err)
		}
		return c.JSON(http.StatusOK, map[string]any{"status": "success", "data": map[string]string{"path": path}})
	})
}

// snapshot copies both stores, mostly by hard links, and returns the folder.
func (a *admin) snapshot(ctx context.Context) (path string, err error) {
	path = filepath.Join(a.data, snapshotsDir, a.now().UTC().Format(snapshotFormat))
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("take a snapshot: %s: %w", path, errors.Join(os.ErrExist, err))
	}
	tmp := path + unfinished
	if err := os.MkdirAll(filepath.Dir(tmp), 0o750); err != nil {
		return "", fmt.Errorf("take a snapshot: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := a.rows.Snapshot(ctx, filepath.Join(tmp, columnarDir)); err != nil {
		return "", fmt.Errorf("take a snapshot: %w", err)
	}
	if err := a.samples.Snapshot(ctx, filepath.Join(tmp, metricsDir)); err != nil {
		return "", fmt.Errorf("take a snapshot: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", fmt.Errorf("take a snapshot: %w", err)
	}
	return path, nil
}

// removeUnfinished clears what a crash left.
func removeUnfinished(data string) error {
	left, err := filepath.Glob(filepath.Join(data, snapshotsDir, "*"+unfinished))
	if err != nil {
		return fmt.Errorf("look for unfinished snapshots: %w", err)
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove an unfinished snapshot: %w", err)
		}
	}
	return nil
}

// Restore makes a data folder of a snapshot. The folder must not exist or be empty,
// and no service may run on it yet. What is damaged in the snapshot is an error, and
// the folder is as it was then. The snapshot stays as it is; files that never change
// are linked where the file system allows it.
func Restore(ctx context.Context, snapshot, data string) (err error) {
	if entries, err := os.ReadDir(data); err == nil && len(entries) > 0 {
		return fmt.Errorf("restore: %s is not empty", data)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("restore: %w", err)
	}
	tmp := filepath.Clean(data) + unfinished
	if _, err := os.Lstat(tmp); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("restore: %s is in the way, perhaps of a try that was interrupted: remove it", tmp)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := columnar.Restore(ctx, filepath.Join(snapshot, columnarDir), filepath.Join(tmp, columnarDir)); err != nil {
		return err
	}
	if err := metrics.Restore(ctx, filepath.Join(snapshot, metricsDir), filepath.Join(tmp, metricsDir)); err != nil {
		return err
	}
	if err := os.Remove(data); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("restore: %w", err)
	}
	if err := os.Rename(tmp, data); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}
