package filelock_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/filelock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSecondWaitsForTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "lock")
	release, err := filelock.Acquire(context.Background(), path, func() { t.Error("nobody holds it") })
	require.NoError(t, err)

	waiting := make(chan struct{})
	got := make(chan func(), 1)
	go func() {
		second, err := filelock.Acquire(context.Background(), path, func() { close(waiting) })
		if err != nil {
			t.Error(err)
		}
		got <- second
	}()
	<-waiting
	select {
	case <-got:
		t.Fatal("two hold the lock")
	default:
	}
	release()
	(<-got)()
}

func TestGivesUpWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	release, err := filelock.Acquire(context.Background(), path, nil)
	require.NoError(t, err)
	defer release()
	ctx, cancel := context.WithCancel(context.Background())
	_, err = filelock.Acquire(ctx, path, cancel)
	require.ErrorIs(t, err, context.Canceled)
}
