package ingest_test

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/yagura-dev/yagura/query/traces"
	"github.com/yagura-dev/yagura/query/traces/jaegerpb/storagev2"
)

// TestOneServerIsJaegersStorage writes and reads over one connection, as a Jaeger
// does whose storage this is.
func TestOneServerIsJaegersStorage(t *testing.T) {
	r := newRig(t)
	api, err := traces.NewAPI(r.rows, traces.DefaultConfig(), slog.New(slog.DiscardHandler), nil)
	require.NoError(t, err)
	srv := r.NewGRPCServer()
	api.RegisterGRPC(srv)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.GracefulStop()
		require.NoError(t, <-done)
	})
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })

	ctx := context.Background()
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "shop")
	span := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetTraceID([16]byte{1})
	span.SetSpanID([8]byte{2})
	span.SetName("place order")
	_, err = ptraceotlp.NewGRPCClient(conn).Export(ctx, ptraceotlp.NewExportRequestFromTraces(td))
	require.NoError(t, err)

	reader := storagev2.NewTraceReaderClient(conn)
	services, err := reader.GetServices(ctx, &storagev2.GetServicesRequest{})
	require.NoError(t, err)
	require.Equal(t, []string{"shop"}, services.GetServices())
	id := span.TraceID()
	stream, err := reader.GetTraces(ctx, &storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{{TraceId: id[:]}}})
	require.NoError(t, err)
	got, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, "place order", got.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetName())
}
