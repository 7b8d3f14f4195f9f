package ports_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/ports"
)

func TestChoose(t *testing.T) {
	chosen, err := ports.Choose(20)
	require.NoError(t, err)
	require.Len(t, chosen, 20)
	seen := map[int]bool{}
	for _, port := range chosen {
		require.False(t, seen[port], "port %d twice", port)
		seen[port] = true
		require.GreaterOrEqual(t, port, 20000)
		require.Less(t, port, 30000, "node ports and outgoing ports are others'")
		require.True(t, ports.Available(port))
	}
}

func TestChooseAvoidsTaken(t *testing.T) {
	// All but three are taken.
	var taken []int
	for port := 20000; port < 29997; port++ {
		taken = append(taken, port)
	}
	_, err := ports.Choose(4, taken...)
	require.ErrorContains(t, err, "no free port")
	none, err := ports.Choose(0, taken...)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestAvailable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	require.False(t, ports.Available(port))
	require.NoError(t, listener.Close())
	require.True(t, ports.Available(port))
}
