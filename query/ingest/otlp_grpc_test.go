package ingest_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
)

func dial(t *testing.T, r *rig, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := r.NewGRPCServer()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.GracefulStop()
		require.NoError(t, <-done)
	})
	conn, err := grpc.NewClient(lis.Addr().String(), append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

func TestOTLPOverGRPC(t *testing.T) {
	r := newRig(t)
	conn := dial(t, r)
	ctx := metadata.AppendToOutgoingContext(context.Background(), "yagura-batch", "c1/logs/1")
	logs := plogotlp.NewGRPCClient(conn)
	for _, opts := range [][]grpc.CallOption{nil, {grpc.UseCompressor("gzip")}} {
		resp, err := logs.Export(ctx, logsRequest(2), opts...)
		require.NoError(t, err)
		require.Zero(t, resp.PartialSuccess().RejectedLogRecords())
	}
	require.Len(t, r.stored(columnar.Logs), 2, "the repeat was not stored again")

	td := ptrace.NewTraces()
	span := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetTraceID([16]byte{1})
	span.SetSpanID([8]byte{1})
	_, err := ptraceotlp.NewGRPCClient(conn).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(td))
	require.NoError(t, err)
	require.Len(t, r.stored(columnar.Spans), 1)

	resp, err := pmetricotlp.NewGRPCClient(conn).Export(context.Background(), pmetricotlp.NewExportRequestFromMetrics(gauge("g", time.Now().Add(-20*time.Hour), 3)))
	require.NoError(t, err)
	require.Zero(t, resp.PartialSuccess().RejectedDataPoints())
	require.Len(t, r.series(), 1)
}

// rawBytes sends what it is given.
type rawBytes struct{}

func (rawBytes) Name() string { return "proto" }
func (rawBytes) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (rawBytes) Unmarshal(mem.BufferSlice, any) error { return nil }

var _ encoding.CodecV2 = rawBytes{}

func TestGRPCStatusCodes(t *testing.T) {
	const method = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
	call := func(t *testing.T, r *rig, body []byte, md ...string) *status.Status {
		conn := dial(t, r)
		ctx := metadata.AppendToOutgoingContext(context.Background(), md...)
		err := conn.Invoke(ctx, method, body, new([]byte), grpc.ForceCodecV2(rawBytes{}))
		require.Error(t, err)
		return status.Convert(err)
	}
	good := protoOf(t, logsRequest(1))
	t.Run("undecodable", func(t *testing.T) {
		st := call(t, newRig(t), []byte("hello"))
		require.Equal(t, codes.InvalidArgument, st.Code(), st.Message())
	})
	t.Run("nested", func(t *testing.T) {
		st := call(t, newRig(t), nestedBody(20000))
		require.Equal(t, codes.InvalidArgument, st.Code())
		require.Contains(t, st.Message(), "deeply")
	})
	t.Run("batch id", func(t *testing.T) {
		st := call(t, newRig(t), good, "yagura-batch", "x")
		require.Equal(t, codes.InvalidArgument, st.Code())
		require.Contains(t, st.Message(), "Yagura-Batch")
	})
	t.Run("full", func(t *testing.T) {
		st := call(t, newRig(t, func(o *ingest.Options) { o.Rows = failing{columnar.ErrFull} }), good)
		require.Equal(t, codes.ResourceExhausted, st.Code())
		require.Len(t, st.Details(), 1)
		require.IsType(t, &errdetails.RetryInfo{}, st.Details()[0])
	})
	t.Run("too large", func(t *testing.T) {
		st := call(t, newRig(t, func(o *ingest.Options) {
			o.Config.MaxBodyBytes, o.Config.MaxDecodedBytes = 1024, 1024
		}), make([]byte, 5000))
		require.Equal(t, codes.ResourceExhausted, st.Code(), "gRPC's own code for a message beyond the limit")
		require.Empty(t, st.Details(), "without RetryInfo: it must not be sent again")
	})
}
