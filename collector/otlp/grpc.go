package otlp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // SDKs compress with it
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// frame is a gRPC message that is not decoded.
type frame []byte

// frameCodec hands messages through as they are.
type frameCodec struct{}

var _ encoding.CodecV2 = frameCodec{}

// Name implements encoding.CodecV2. Clients name their protobuf codec like this.
func (frameCodec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(frame)
	if !ok {
		return nil, fmt.Errorf("send a %T as a frame", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(f)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("receive a frame as %T", v)
	}
	*f = data.Materialize()
	return nil
}

// maxStreams bounds the requests on one connection that wait for their turn; each
// holds no more than what flow control lets through before it is read.
const maxStreams = 128

func (r *Receiver) newGRPCServer() *grpc.Server {
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(frameCodec{}),
		grpc.MaxRecvMsgSize(int(r.config.MaxRequestBytes)),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(time.Duration(r.config.RequestTimeout)),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		// Exporters ping idle connections more often than the default allows.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	for _, s := range r.signals {
		// On the wire a unary call is a stream of one message. Taking it as a stream
		// leaves the message unread until there is room for it in memory.
		server.RegisterService(&grpc.ServiceDesc{
			ServiceName: s.service,
			Streams: []grpc.StreamDesc{{
				StreamName:    "Export",
				ClientStreams: true,
				ServerStreams: true,
				Handler: func(_ any, stream grpc.ServerStream) error {
					refused := r.receive(stream, s)
					r.count(s, "grpc", refused)
					if refused != nil {
						return r.status(refused)
					}
					return stream.SendMsg(frame(nil)) // an empty response: all was accepted
				},
			}},
		}, nil)
	}
	return server
}

func (r *Receiver) receive(stream grpc.ServerStream, s *signal) *refusal {
	ctx, cancel := context.WithTimeout(stream.Context(), time.Duration(r.config.RequestTimeout))
	defer cancel()
	release, refused := r.acquire(ctx)
	if refused != nil {
		return refused
	}
	defer release()
	body, err := r.receiveFrame(stream)
	switch code := status.Code(err); {
	case err == nil:
	case code == codes.ResourceExhausted:
		return r.tooLarge() // the client has gRPC's own message, which names the limit too
	case errors.Is(err, errLate):
		return &refusal{
			reason: "timeout", code: codes.DeadlineExceeded, retry: true,
			err: fmt.Errorf("the request did not arrive within %s", r.config.RequestTimeout),
		}
	default:
		return invalid(fmt.Errorf("receive the request: %w", err))
	}
	return r.accept(ctx, s, body, peerOf(ctx))
}

// errLate says that a message did not arrive in time.
var errLate = errors.New("late")

// receiveFrame reads the message, but no longer than the request timeout:
// returning from the handler ends the stream, and with it the read.
func (r *Receiver) receiveFrame(stream grpc.ServerStream) (frame, error) {
	type result struct {
		body frame
		err  error
	}
	received := make(chan result, 1)
	go func() {
		var body frame
		err := stream.RecvMsg(&body)
		received <- result{body: body, err: err}
	}()
	timer := r.clock.NewTimer(time.Duration(r.config.RequestTimeout))
	defer timer.Stop()
	select {
	case got := <-received:
		return got.body, got.err
	case <-timer.C():
		return nil, errLate
	}
}

func peerOf(ctx context.Context) netip.Addr {
	if p, ok := peer.FromContext(ctx); ok {
		if address, ok := p.Addr.(*net.TCPAddr); ok {
			return address.AddrPort().Addr().Unmap()
		}
	}
	return netip.Addr{}
}

// status is a refusal in gRPC's terms. RESOURCE_EXHAUSTED is retried by SDKs only
// when it says when.
func (r *Receiver) status(refused *refusal) error {
	s := status.New(refused.code, refused.Error())
	if refused.retry {
		info := &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Duration(r.config.RetryAfter))}
		if detailed, err := s.WithDetails(info); err == nil {
			s = detailed
		}
	}
	return s.Err()
}
