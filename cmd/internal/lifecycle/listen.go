package lifecycle

import (
	"context"
	"fmt"
	"net"
)

// Listen listens on the address that a flag gave. "off" listens nowhere and returns
// nil, where the flag allows it.
func Listen(ctx context.Context, flag, addr string) (net.Listener, error) {
	if addr == "off" {
		return nil, nil
	}
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, addr, err)
	}
	return lis, nil
}
