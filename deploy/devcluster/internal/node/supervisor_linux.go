package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// restartDelay is the pause before a service that has ended is started again.
const restartDelay = time.Second

// supervisor starts processes and, as the first process of a node, waits for
// every process of the node that has lost its parent.
//
// One goroutine waits for all of them, so that none is waited for twice; hence
// processes are started without os/exec, which waits by itself.
type supervisor struct {
	mu      sync.Mutex
	waiting map[int]chan int // Exit codes by process id.
	closed  bool
}

func newSupervisor() *supervisor { return &supervisor{waiting: map[int]chan int{}} }

// reap waits for processes for ever.
func (s *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch err {
		case nil:
		case syscall.EINTR:
			continue
		default:
			time.Sleep(50 * time.Millisecond) // There are no children at present.
			continue
		}
		s.mu.Lock()
		if done, mine := s.waiting[pid]; mine {
			code := status.ExitStatus()
			if status.Signaled() {
				code = 128 + int(status.Signal())
			}
			done <- code
			delete(s.waiting, pid)
		}
		s.mu.Unlock()
	}
}

// start starts a program whose output goes to a log of its own, and returns
// where its exit code will come.
func (s *supervisor) start(svc service) (<-chan int, error) {
	path := filepath.Join(insideLog, hostLogName(svc.name))
	rotate(path)
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", svc.name, err)
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", svc.name, err)
	}
	defer null.Close()

	// The lock keeps reap from meeting the process before it is known.
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("start %s: the node is stopping", svc.name)
	}
	process, err := os.StartProcess(svc.path, append([]string{svc.path}, svc.args...), &os.ProcAttr{
		Files: []*os.File{null, log, log}, Env: os.Environ(), Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", svc.name, err)
	}
	done := make(chan int, 1)
	s.waiting[process.Pid] = done
	_ = process.Release()
	return done, nil
}

// hostLogName is the file of a service's output in the cluster's log folder.
func hostLogName(service string) string {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "node"
	}
	return hostname + "-" + service + ".log"
}

// rotate puts a large log aside.
func rotate(path string) {
	const most = 16 << 20
	if info, err := os.Stat(path); err == nil && info.Size() > most {
		_ = os.Rename(path, path+".1") // Failing that, it grows further.
	}
}

// run runs a program to its end and returns its exit code.
func (s *supervisor) run(svc service) (int, error) {
	done, err := s.start(svc)
	if err != nil {
		return 0, err
	}
	return <-done, nil
}

// keep runs a service again whenever it ends, until ctx is done.
func (s *supervisor) keep(ctx context.Context, svc service) {
	for ctx.Err() == nil {
		code, err := s.run(svc)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		} else {
			fmt.Fprintf(os.Stderr, "%s has ended with status %d; starting it again\n", svc.name, code)
		}
		select {
		case <-ctx.Done():
		case <-time.After(restartDelay):
		}
	}
}

// terminateAll asks every process of the node to end and waits for them, at
// most the given time. What is left dies with the first process.
func (s *supervisor) terminateAll(patience time.Duration) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	deadline := time.Now().Add(patience)
	_ = syscall.Kill(-1, syscall.SIGTERM)
	for time.Now().Before(deadline) && !alone() {
		time.Sleep(50 * time.Millisecond)
	}
}

// alone says whether no other process is left in this process namespace.
func alone() bool {
	processes, err := filepath.Glob("/proc/[0-9]*")
	return err == nil && len(processes) <= 1
}
