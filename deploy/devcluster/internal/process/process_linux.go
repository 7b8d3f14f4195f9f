package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// bootID distinguishes start times, which count from boot, across reboots.
var bootID = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
})

// errEnded means that a process is a zombie, or less.
var errEnded = errors.New("process has ended")

// startTime returns the boot and the clock tick at which a process started, or
// an error when there is no such process or it is a zombie.
func startTime(pid int) (string, error) {
	started, err := readStartTime(pid)
	if errors.Is(err, errEnded) {
		// A program may call exec in a thread that is not its first: that thread then
		// replaces the first one, and whoever was just looking at the first saw it
		// end. Who looks again sees the thread that took its place.
		started, err = readStartTime(pid)
	}
	return started, err
}

func readStartTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	return parseStat(stat)
}

// parseStat reads state (field 3), number of threads (field 20) and start time
// (field 22) from the content of /proc/PID/stat. The command name in field 2 may
// hold spaces and parentheses, so fields are counted from its last parenthesis.
//
// The state is that of the first thread, which is a zombie as soon as it has
// ended itself, whether or not others run: during an exec in another thread, or
// while a killed program's threads end one after the other. The process has ended
// when no other thread is left; before that it holds its files and ports.
func parseStat(stat []byte) (string, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return "", fmt.Errorf("malformed process status %q", stat)
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("malformed process status %q", stat)
	}
	threads, err := strconv.Atoi(fields[17])
	if err != nil {
		return "", fmt.Errorf("malformed process status %q", stat)
	}
	if state := fields[0]; (state == "Z" || state == "X") && threads <= 1 {
		return "", fmt.Errorf("%w (state %s)", errEnded, state)
	}
	return bootID() + "/" + fields[19], nil
}

// startIn starts cmd in the given network namespace.
func startIn(netns string, cmd *exec.Cmd) error {
	if netns == "" {
		return cmd.Start()
	}
	result := make(chan error, 1)
	go func() {
		// A forked process inherits the namespaces of the thread that forks. The
		// thread is left locked, so that it ends with this goroutine instead of
		// running others inside the namespace.
		runtime.LockOSThread()
		result <- func() error {
			file, err := os.Open(netns)
			if err != nil {
				return fmt.Errorf("open network namespace: %w", err)
			}
			defer file.Close()
			if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter network namespace %s: %w", netns, err)
			}
			return cmd.Start()
		}()
	}()
	return <-result
}
