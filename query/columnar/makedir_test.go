package columnar

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each folder that gets an entry is synced, from the top to the bottom, and only
// those.
func TestMakeDir(t *testing.T) {
	root := t.TempDir()
	var synced []string
	record := func(dir string) error {
		synced = append(synced, dir)
		return nil
	}
	store := filepath.Join(root, "data", "store")
	require.NoError(t, makeDir(filepath.Join(store, "wal"), record))
	require.Equal(t, []string{root, filepath.Join(root, "data"), store}, synced)
	require.NoError(t, makeDir(filepath.Join(store, "parts"), record))
	require.Equal(t, store, synced[len(synced)-1])
	require.Len(t, synced, 4)
	require.NoError(t, makeDir(filepath.Join(store, "parts"), record))
	require.Len(t, synced, 4)

	failed := errors.New("no sync")
	require.ErrorIs(t, makeDir(filepath.Join(store, "more"), func(string) error { return failed }), failed)
	file := filepath.Join(root, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	require.Error(t, makeDir(filepath.Join(file, "below"), record))
}
