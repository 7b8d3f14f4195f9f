package node

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen returns a listener on a free port.
func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	return listener
}

func dial(t *testing.T, address net.Addr) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTCP("tcp", nil, address.(*net.TCPAddr))
	require.NoError(t, err)
	return conn
}

// startForward forwards a new listener to target until the test ends.
func startForward(t *testing.T, target string) net.Addr {
	t.Helper()
	listener := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- forward(ctx, listener, target) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return listener.Addr()
}

// An answer may come after its question has ended, as with kubectl exec.
func TestForwardCarriesBothDirectionsToTheirEnds(t *testing.T) {
	server := listen(t)
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				question, _ := io.ReadAll(conn)
				_, _ = conn.Write(append([]byte("you said "), question...))
			}()
		}
	}()
	address := startForward(t, server.Addr().String())
	for _, question := range []string{"", "hello", string(make([]byte, 1<<20))} {
		conn := dial(t, address)
		_, err := io.WriteString(conn, question)
		require.NoError(t, err)
		require.NoError(t, conn.CloseWrite())
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, "you said "+question, string(answer))
		require.NoError(t, conn.Close())
	}
}

func TestForwardToNobodyEndsTheConnection(t *testing.T) {
	server := listen(t)
	target := server.Addr().String()
	require.NoError(t, server.Close())
	conn := dial(t, startForward(t, target))
	defer conn.Close()
	_, err := io.ReadAll(conn)
	if err != nil {
		require.ErrorContains(t, err, "reset")
	}
}

func TestForwardStopsWithOpenConnections(t *testing.T) {
	server := listen(t)
	defer server.Close()
	conn := dial(t, startForward(t, server.Addr().String()))
	t.Cleanup(func() { _ = conn.Close() })
	_, err := io.WriteString(conn, "hello")
	require.NoError(t, err)
	// The cleanup of startForward fails or hangs unless forward returns.
}
