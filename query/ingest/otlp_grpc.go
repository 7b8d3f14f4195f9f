package ingest

import (
	"context"
	"runtime/debug"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcencoding "google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // accepts gzip'ed requests
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// NewGRPCServer returns a gRPC server with OTLP's three services. The caller may
// register others, listens and serves, and stops it with GracefulStop.
//
// Messages are handed to the handlers as bytes, so that they take the same path
// as those that come over HTTP: a limit on nesting before they are decoded, and
// InvalidArgument for what cannot be.
func (g *Ingester) NewGRPCServer(opts ...grpc.ServerOption) *grpc.Server {
	opts = append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(rawCodec{grpcencoding.GetCodecV2("proto")}),
		grpc.MaxRecvMsgSize(int(g.cfg.MaxDecodedBytes)),
		grpc.MaxConcurrentStreams(maxConcurrentCalls),
		grpc.ChainUnaryInterceptor(g.recoverRPC),
		grpc.ChainStreamInterceptor(g.recoverStream),
	}, opts...)
	s := grpc.NewServer(opts...)
	for _, signal := range otlpSignals {
		s.RegisterService(g.serviceDesc(signal), g)
	}
	return s
}

// maxConcurrentCalls bounds the messages that one connection has on the way; gRPC
// holds them in memory before a handler sees them.
const maxConcurrentCalls = 32

// rawMessage is a message that is still encoded.
type rawMessage []byte

// rawCodec passes OTLP's messages through as bytes, and those of other services to
// the codec that gRPC has for them.
type rawCodec struct{ others grpcencoding.CodecV2 }

func (rawCodec) Name() string { return "proto" }

func (c rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(rawMessage)
	if !ok {
		return c.others.Marshal(v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (c rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*rawMessage)
	if !ok {
		return c.others.Unmarshal(data, v)
	}
	*b = data.Materialize()
	return nil
}

func (g *Ingester) serviceDesc(s otlpSignal) *grpc.ServiceDesc {
	method := "/" + s.service + "/Export"
	handler := func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		var body rawMessage
		if err := decode(&body); err != nil {
			return nil, err
		}
		handle := func(ctx context.Context, req any) (any, error) {
			resp, err := g.exportRPC(ctx, s, req.(rawMessage))
			if r := g.finish(protocolOTLPGRPC, s.name, err); r != nil {
				return nil, r.status().Err()
			}
			return resp, nil
		}
		if intercept == nil {
			return handle(ctx, body)
		}
		return intercept(ctx, body, &grpc.UnaryServerInfo{Server: g, FullMethod: method}, handle)
	}
	return &grpc.ServiceDesc{
		ServiceName: s.service,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: handler}},
	}
}

func (g *Ingester) exportRPC(ctx context.Context, s otlpSignal, body rawMessage) (rawMessage, error) {
	var header string
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		if v := md.Get(strings.ToLower(BatchHeader)); len(v) > 0 {
			header = v[0]
		}
	}
	id, err := ParseBatchID(header)
	if err != nil {
		return nil, badBatchID(err)
	}
	l := g.newLease()
	defer l.release()
	if err := l.cover(int64(len(body))); err != nil {
		return nil, err
	}
	g.telemetry.bytes.WithLabelValues(protocolOTLPGRPC, s.name).Add(float64(len(body)))
	resp, err := s.take(g, ctx, id, body, encodingProto, l)
	if err != nil {
		return nil, err
	}
	return resp.MarshalProto()
}

// recoverRPC keeps a bug that one message meets from ending the process.
func (g *Ingester) recoverRPC(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = g.panicked(info.FullMethod, p)
		}
	}()
	return handler(ctx, req)
}

// recoverStream is recoverRPC for calls that stream.
func (g *Ingester) recoverStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = g.panicked(info.FullMethod, p)
		}
	}()
	return handler(srv, stream)
}

func (g *Ingester) panicked(method string, p any) error {
	g.telemetry.rejected.WithLabelValues(protocolOTLPGRPC, "", "panic").Inc()
	g.logger.Error("panic in a gRPC handler", "method", method, "panic", p, "stack", string(debug.Stack()))
	return status.Error(codes.Internal, "internal error")
}
