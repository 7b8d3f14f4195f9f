// Command eater holds memory: as much as it is told, and after a while another amount. It is the application whose size the
// end-to-end test follows. It imports only the standard library; nothing imports it.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const page = 4096

func main() {
	hold := flag.Int("hold", 16, "MiB to hold")
	then := flag.Int("then", 0, "MiB to hold later, 0 for no change")
	after := flag.Duration("after", 10*time.Second, "when later is")
	flag.Parse()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	held := fill(nil, *hold)
	later := time.After(*after)
	for {
		fmt.Printf("eater holds %d MiB\n", len(held))
		select {
		case <-later:
			held = fill(held, *then)
		case <-time.After(time.Second):
		case <-stop:
			return
		}
	}
}

// fill holds a mebibyte after the other, and writes to each of its pages, or the kernel would not count them.
func fill(held [][]byte, mebibytes int) [][]byte {
	for len(held) < mebibytes {
		more := make([]byte, 1<<20)
		for i := 0; i < len(more); i += page {
			more[i] = 1
		}
		held = append(held, more)
	}
	return held
}
