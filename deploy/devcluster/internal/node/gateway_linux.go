package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// listenerFD is the descriptor by which the gateway gets its listener: the
// first of process.Spec.Files.
const listenerFD = 3

// RunGateway is the gateway process. It is started in a new network namespace,
// which it furnishes with the cluster's switch, and holds a listener that was
// opened in the host's: each connection that it accepts there is carried to the
// given address inside. It returns when ctx is done.
func RunGateway(ctx context.Context, target string) error {
	file := os.NewFile(listenerFD, "listener")
	if file == nil {
		return errors.New("gateway: no listener was handed over")
	}
	listener, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("gateway: use the listener that was handed over: %w", err)
	}
	_ = file.Close()
	if err := setUpSwitch(); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return forward(ctx, listener, target)
}

// forward carries each accepted connection to target until ctx is done.
func forward(ctx context.Context, listener net.Listener, target string) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			// Out of descriptors, for instance: those in use will be freed.
			fmt.Fprintln(os.Stderr, "gateway: accept:", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		connections.Go(func() { carry(ctx, conn, target) })
	}
}

// carry copies both directions of one connection until both have ended.
func carry(ctx context.Context, outside net.Conn, target string) {
	defer outside.Close()
	dialer := net.Dialer{Timeout: 5 * time.Second}
	inside, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return // The caller sees its connection end, as from a stopped server.
	}
	defer inside.Close()
	stop := context.AfterFunc(ctx, func() { _ = outside.Close(); _ = inside.Close() })
	defer stop()
	var both errgroup.Group
	for _, direction := range [][2]net.Conn{{inside, outside}, {outside, inside}} {
		both.Go(func() error {
			to, from := direction[0], direction[1]
			_, err := io.Copy(to, from)
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			return err
		})
	}
	_ = both.Wait()
}
