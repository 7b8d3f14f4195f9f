package process_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a run that fails.
const patience = time.Minute

// shell returns a spec that runs a shell script.
func shell(name, script string) process.Spec {
	return process.Spec{Name: name, Path: "/bin/sh", Args: []string{"-c", script}}
}

// newTable returns a table whose programs are killed when the test ends.
func newTable(t *testing.T) (process.Table, string) {
	t.Helper()
	dir := t.TempDir()
	table := process.NewTable(dir)
	t.Cleanup(func() {
		records, err := table.List()
		require.NoError(t, err)
		for _, record := range records {
			require.NoError(t, table.Stop(context.Background(), record.Name, 0))
		}
	})
	return table, dir
}

func TestStartRecordsAndLogs(t *testing.T) {
	table, _ := newTable(t)
	spec := shell("a", "echo said; echo complained >&2; echo $COLOUR; exec sleep 600")
	spec.Env = []string{"COLOUR=red"}
	record, err := table.Start(spec)
	require.NoError(t, err)
	require.True(t, record.Alive())

	got, found, err := table.Get("a")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, record, got)
	require.Eventually(t, func() bool {
		log, err := os.ReadFile(table.LogFile("a"))
		return err == nil && string(log) == "said\ncomplained\nred\n"
	}, patience, 10*time.Millisecond)
}

func TestEnsure(t *testing.T) {
	table, _ := newTable(t)
	ctx := context.Background()
	spec := shell("a", "exec sleep 600")

	started, err := table.Ensure(ctx, spec)
	require.NoError(t, err)
	require.True(t, started, "nothing ran")
	first, _, _ := table.Get("a")

	started, err = table.Ensure(ctx, spec)
	require.NoError(t, err)
	require.False(t, started, "it runs")

	spec.Args = []string{"-c", "exec sleep 601"}
	started, err = table.Ensure(ctx, spec)
	require.NoError(t, err)
	require.True(t, started, "it ran with other arguments")
	require.False(t, first.Alive(), "the former process must have ended")
}

func TestStopAsksThenKills(t *testing.T) {
	tests := map[string]struct {
		script string
		grace  time.Duration
		log    string
	}{
		"ends when asked":    {"trap 'echo asked; exit' TERM; echo up; while :; do sleep 0.01; done", patience, "up\nasked\n"},
		"ignores the asking": {"trap '' TERM; echo up; while :; do sleep 0.01; done", 50 * time.Millisecond, "up\n"},
		"no grace":           {"trap 'echo asked; exit' TERM; echo up; while :; do sleep 0.01; done", 0, "up\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			table, _ := newTable(t)
			record, err := table.Start(shell("a", test.script))
			require.NoError(t, err)
			require.Eventually(t, func() bool { // The trap must be set.
				log, _ := os.ReadFile(table.LogFile("a"))
				return string(log) == "up\n"
			}, patience, 5*time.Millisecond)

			require.NoError(t, table.Stop(context.Background(), "a", test.grace))
			require.False(t, record.Alive())
			_, found, err := table.Get("a")
			require.NoError(t, err)
			require.False(t, found, "a stopped program is forgotten")
			log, err := os.ReadFile(table.LogFile("a"))
			require.NoError(t, err)
			require.Equal(t, test.log, string(log))
			require.NoError(t, table.Stop(context.Background(), "a", test.grace), "stopping twice is no error")
		})
	}
}

func TestReusedIDIsNotOurs(t *testing.T) {
	table, dir := newTable(t)
	record, err := table.Start(shell("other", "exec sleep 600"))
	require.NoError(t, err)

	// What is recorded as "a" had the same id, but started at another time.
	former := record
	former.Name, former.StartTime = "a", "earlier"
	data, err := json.Marshal(former)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run", "a.json"), data, 0o600))

	got, found, err := table.Get("a")
	require.NoError(t, err)
	require.True(t, found)
	require.False(t, got.Alive())
	require.NoError(t, table.Stop(context.Background(), "a", 0))
	require.True(t, record.Alive(), "the process that has the id now must not be touched")
}

func TestDeadProcessIsNotAlive(t *testing.T) {
	table, _ := newTable(t)
	started, err := table.Start(shell("a", "exec sleep 600"))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(started.PID, syscall.SIGKILL))
	require.Eventually(t, func() bool {
		record, found, err := table.Get("a")
		return err == nil && found && !record.Alive()
	}, patience, 10*time.Millisecond)
}

func TestWaitForTellsWhyAProgramDied(t *testing.T) {
	table, dir := newTable(t)
	_, err := table.Start(shell("a", "until [ -e hungry ]; do sleep 0.01; done; echo out of biscuits; exit 3"))
	require.NoError(t, err)
	err = table.WaitFor(context.Background(), []string{"a"}, func(context.Context) (bool, error) {
		return false, os.WriteFile(filepath.Join(dir, "hungry"), nil, 0o600)
	})
	require.ErrorContains(t, err, "a has ended")
	require.ErrorContains(t, err, "out of biscuits")
}

func TestWaitForTellsWhatIsMissing(t *testing.T) {
	table, _ := newTable(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	looks := 0
	err := table.WaitFor(ctx, nil, func(context.Context) (bool, error) {
		if looks++; looks == 3 {
			cancel()
		}
		return false, os.ErrNotExist
	})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestLargeLogIsPutAside(t *testing.T) {
	table, _ := newTable(t)
	require.NoError(t, os.MkdirAll(filepath.Dir(table.LogFile("a")), 0o700))
	require.NoError(t, os.WriteFile(table.LogFile("a"), make([]byte, 17<<20), 0o600))
	_, err := table.Start(shell("a", "echo new; exec sleep 600"))
	require.NoError(t, err)
	require.FileExists(t, table.LogFile("a")+".1")
	require.Eventually(t, func() bool {
		log, err := os.ReadFile(table.LogFile("a"))
		return err == nil && string(log) == "new\n"
	}, patience, 10*time.Millisecond)
}

func TestStartOfMissingProgramFails(t *testing.T) {
	table, _ := newTable(t)
	_, err := table.Start(process.Spec{Name: "a", Path: filepath.Join(t.TempDir(), "missing")})
	require.ErrorContains(t, err, "start a")
	_, found, err := table.Get("a")
	require.NoError(t, err)
	require.False(t, found)
}
