package columnar

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// makeDir creates a folder and those above it, and syncs the folders that got a new
// entry: a synced file survives a crash of the machine only if the way to it does.
func makeDir(dir string, sync func(dir string) error) error {
	_, err := os.Stat(dir)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("create folder: %w", err)
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeDir(above, sync); err != nil {
			return err
		}
	}
	// A folder that somebody else created meanwhile may not be synced by them.
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create folder: %w", err)
	}
	return sync(above)
}
