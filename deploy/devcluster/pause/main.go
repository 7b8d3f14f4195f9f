// Command pause is the first process of every pod: it holds the pod's
// namespaces open, ends when asked to, and reaps processes that lose their
// parent where a pod shares one process namespace.
//
// It imports the standard library only and is imported by nothing: devcluster
// embeds its source and packs the binary as the image of pod sandboxes.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

// reap waits for every child that has ended; one SIGCHLD may stand for several.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid <= 0 {
			return
		}
	}
}
