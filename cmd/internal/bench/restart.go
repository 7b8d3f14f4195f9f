package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	stopTimeout  = 5 * time.Minute
	readyTimeout = 5 * time.Minute
	readyPause   = 5 * time.Millisecond
)

// probes are the paths that are asked for until a target is up again. None of them is
// one of the questions, and none reads what those read: their first answers are to be
// cold. Each answers only once the store is open.
var probes = map[api]string{
	apiLoki:       "/loki/api/v1/labels",
	apiLogsQL:     "/health",
	apiJaeger:     "/api/dependencies?endTs=1000&lookback=1", // of a time long ago
	apiTempo:      "/api/search/tags",
	apiPrometheus: "/api/v1/status/buildinfo",
}

// restart stops a target, starts it with its command and returns how long it took
// from then until it first answered.
func (r *runner) restart(ctx context.Context, t *Target, at endpoint) (time.Duration, error) {
	if err := stop(ctx, t.PID); err != nil {
		return 0, fmt.Errorf("stop process %d: %w", t.PID, err)
	}
	r.client.close()
	if r.cfg.DropCaches {
		if err := dropCaches(); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	out, err := exec.CommandContext(ctx, "sh", "-c", t.Start).Output()
	if err != nil {
		return 0, fmt.Errorf("run %q: %w", t.Start, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if t.PID, err = strconv.Atoi(lines[len(lines)-1]); err != nil {
		return 0, fmt.Errorf("run %q: want the new process id as the last line, got %q", t.Start, lines[len(lines)-1])
	}
	for {
		_, _, err := r.client.get(ctx, at.url+probes[at.api], nil)
		if err == nil {
			return time.Since(began), nil
		}
		if time.Since(began) > readyTimeout {
			return 0, fmt.Errorf("not ready after %s: %w", readyTimeout, err)
		}
		if err := sleep(ctx, readyPause); err != nil {
			return 0, err
		}
	}
}

// stop asks a process to end and waits until it has.
func stop(ctx context.Context, pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	for deadline := time.Now().Add(stopTimeout); time.Now().Before(deadline); {
		if ended(p) {
			return nil
		}
		if err := sleep(ctx, readyPause); err != nil {
			return err
		}
	}
	return errors.New("it does not end")
}

// ended reports whether a process is gone, or only waits for its parent to notice.
func ended(p *os.Process) bool {
	if p.Signal(syscall.Signal(0)) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
	if err != nil {
		return false
	}
	_, state, _ := cutLast(string(stat), ") ")
	// The state is the first thread's; while others are left, the process still holds its files and ports.
	fields := strings.Fields(state)
	return len(fields) > threadsField && fields[0] == "Z" && fields[threadsField] == "1"
}

// threadsField is where the number of threads stands in /proc/PID/stat, counted from the state on; see proc_pid_stat(5).
const threadsField = 17
