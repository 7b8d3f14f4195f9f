// Package ports finds free TCP ports on loopback.
//
// It imports nothing of devcluster; cluster imports it.
package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below the ranges that operating systems use for outgoing
// connections (Linux from 32768, macOS from 49152) and outside of Kubernetes'
// node ports (30000–32767), so that nobody is given one by chance while the
// cluster is down.
const (
	first = 20000
	last  = 29999
)

// Available says whether a TCP port of 127.0.0.1 can be listened on.
func Available(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = listener.Close()
	return true
}

// Choose returns n different available ports, none of them in taken.
func Choose(n int, taken ...int) ([]int, error) {
	used := make(map[int]bool, n+len(taken))
	for _, port := range taken {
		used[port] = true
	}
	chosen := make([]int, 0, n)
	// Random order, so that two clusters that start at once rarely try the same.
	for _, offset := range rand.Perm(last - first + 1) {
		if len(chosen) == n {
			return chosen, nil
		}
		port := first + offset
		if !used[port] && Available(port) {
			used[port] = true
			chosen = append(chosen, port)
		}
	}
	if len(chosen) == n {
		return chosen, nil
	}
	return nil, fmt.Errorf("choose ports: %w", errors.New("no free port between 20000 and 29999"))
}
