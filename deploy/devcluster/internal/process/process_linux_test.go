package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// headless is set for this program when it shall go on without its first thread.
const headless = "PROCESS_TEST_HEADLESS"

// The first thread runs what initializes a package, and no other does.
func init() {
	if os.Getenv(headless) == "" {
		return
	}
	go func() {
		time.Sleep(10 * time.Minute) // Until it is killed.
		os.Exit(1)
	}()
	_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0) // Ends the thread only.
}

// A program whose first thread has ended is a zombie by its state and runs
// nevertheless. An exec in another thread makes every program so for a moment.
func TestProgramWithoutItsFirstThreadIsAlive(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	table := NewTable(t.TempDir())
	record, err := table.Start(Spec{Name: "a", Path: self, Env: []string{headless + "=1"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, table.Stop(context.Background(), "a", 0)) })
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", record.PID))
		return err == nil && strings.Contains(string(stat), ") Z ")
	}, time.Minute, time.Millisecond)

	require.True(t, record.Alive())
	looks := 0
	require.NoError(t, table.WaitFor(context.Background(), []string{"a"}, func(context.Context) (bool, error) {
		looks++
		return looks > 2, errors.New("not yet")
	}))
	require.NoError(t, table.Stop(context.Background(), "a", 0))
	require.False(t, record.Alive())
}

func TestParseStat(t *testing.T) {
	threads := func(n string) string { return strings.Repeat(" 0", 16) + " " + n + " 0 4242 0 0" }
	rest := threads("1")
	tests := map[string]struct {
		stat, want, err string
	}{
		"plain":                {stat: "7 (etcd) S" + rest, want: "/4242"},
		"name with brackets":   {stat: "7 (a) Z (b) c) R" + rest, want: "/4242"},
		"zombie":               {stat: "7 (etcd) Z" + rest, err: "has ended"},
		"dead":                 {stat: "7 (etcd) X" + rest, err: "has ended"},
		"gone while looked at": {stat: "7 (etcd) Z" + threads("0"), err: "has ended"},
		"first thread ended":   {stat: "7 (etcd) Z" + threads("2"), want: "/4242"},
		"threads no number":    {stat: "7 (etcd) S" + threads("x"), err: "malformed"},
		"too few fields":       {stat: "7 (etcd) S 1 2", err: "malformed"},
		"no name":              {stat: "7", err: "malformed"},
		"nothing":              {stat: "", err: "malformed"},
		"name without fields":  {stat: "7 (etcd)", err: "malformed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(test.stat))
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.True(t, strings.HasSuffix(got, test.want), got)
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (etcd) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 8 0 4242 0 0"))
	f.Add([]byte("7 (a) Z (b) Z 1"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		if got, err := parseStat(stat); err == nil && !strings.Contains(got, "/") {
			t.Fatalf("%q gave %q", stat, got)
		}
	})
}
