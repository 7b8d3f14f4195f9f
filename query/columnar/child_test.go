package columnar_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// Tests that need a process of their own (to kill it, or to bound its memory)
// run the test binary again with childEnv naming what it shall do.
const childEnv = "YAGURA_COLUMNAR_CHILD"

var children = map[string]func(args []string) error{
	"big-ingest": bigIngest,
	"big-verify": bigVerify,
	"crash":      crashChild,
	"streams":    manyStreams,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		child, ok := children[name]
		if !ok {
			fmt.Fprintln(os.Stderr, "unknown child", name)
			os.Exit(2)
		}
		if err := child(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func childCommand(name string, env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), childEnv+"="+name), env...)
	return cmd
}

// runChild runs a child to its end and decodes what it prints.
func runChild(t testing.TB, name string, env []string, result any, args ...string) {
	t.Helper()
	cmd := childCommand(name, env, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), errs.String())
	require.NoError(t, json.Unmarshal(out.Bytes(), result), out.String())
}

// peakMemory is the most memory the process ever had resident, in bytes, or 0
// where the system does not tell.
func peakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		return 0
	}
	kb, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return kb << 10
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
