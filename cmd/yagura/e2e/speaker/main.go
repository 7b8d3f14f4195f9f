// Command speaker prints one numbered line after the other to standard output: the
// application whose log lines the end-to-end test follows. It imports only the
// standard library; nothing imports it.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	ticker := time.NewTicker(100 * time.Millisecond)
	for n := 1; ; n++ {
		fmt.Printf("speaker says %d\n", n)
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
	}
}
