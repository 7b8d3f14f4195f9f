package traces

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traces/jaegerpb/apiv3"
	"github.com/yagura-dev/yagura/query/traces/jaegerpb/storagev2"
)

// RegisterGRPC adds Jaeger's query service (api_v3) and the reading half of its
// remote storage (storage v2) to a server. The writing half is OTLP's TraceService,
// which package ingest serves.
func (a *API) RegisterGRPC(s grpc.ServiceRegistrar) {
	apiv3.RegisterQueryServiceServer(s, &queryServer{api: a})
	storage := &storageServer{api: a}
	storagev2.RegisterTraceReaderServer(s, storage)
	storagev2.RegisterDependencyReaderServer(s, storage)
	storagev2.RegisterCapabilitiesServer(s, storage)
}

// rpcError is what a client is told of an error.
func (a *API) rpcError(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err // the transport's own
	}
	code := codes.Internal
	var limit *LimitError
	var bad badRequest
	switch {
	case errors.Is(err, ErrNotFound):
		code = codes.NotFound
	case errors.As(err, &limit) && limit.Limit == "timeout":
		code = codes.DeadlineExceeded
	case errors.As(err, &limit):
		code = codes.ResourceExhausted
	case errors.As(err, &bad):
		code = codes.InvalidArgument
	case errors.Is(err, ErrNoMetrics):
		code = codes.Unimplemented
	case errors.Is(err, columnar.ErrClosed):
		code = codes.Unavailable
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	default:
		a.logger.Error("traces call failed", "err", err)
	}
	return status.Error(code, err.Error())
}

// sendTraces sends each trace as a message of its own.
func (a *API) sendTraces(stream grpc.ServerStreamingServer[otlp.TracesData], traces []Trace) error {
	for _, t := range traces {
		td, err := t.OTLP()
		if err != nil {
			return a.rpcError(err)
		}
		msg, err := tracesData(td)
		if err != nil {
			return a.rpcError(err)
		}
		if err := stream.Send(msg); err != nil {
			return err
		}
	}
	return nil
}

func tracesData(td ptrace.Traces) (*otlp.TracesData, error) {
	b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	if err != nil {
		return nil, fmt.Errorf("encode traces: %w", err)
	}
	msg := &otlp.TracesData{}
	if err := proto.Unmarshal(b, msg); err != nil {
		return nil, fmt.Errorf("encode traces: %w", err)
	}
	return msg, nil
}

// timeOf takes an unset time, and the zero time that Jaeger sends for one, for none.
func timeOf(t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, badRequest{fmt.Errorf("time: %w", err)}
	}
	return t.AsTime(), nil
}

func boundsOf(start, end *timestamppb.Timestamp) (from, to time.Time, err error) {
	if from, err = timeOf(start); err != nil {
		return from, to, err
	}
	to, err = timeOf(end)
	return from, to, err
}

func durationOf(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if err := d.CheckValid(); err != nil {
		return 0, badRequest{fmt.Errorf("duration: %w", err)}
	}
	return d.AsDuration(), nil
}

// searchQuery is what the two protocols' queries have in common.
type searchQuery interface {
	proto.Message
	GetServiceName() string
	GetOperationName() string
	GetStartTimeMin() *timestamppb.Timestamp
	GetStartTimeMax() *timestamppb.Timestamp
	GetDurationMin() *durationpb.Duration
	GetDurationMax() *durationpb.Duration
	GetSearchDepth() int32
}

// searchOf refuses what it does not know: a search without one of its conditions
// would find too much.
func searchOf(q searchQuery, tags map[string]string) (s Search, err error) {
	if len(q.ProtoReflect().GetUnknown()) > 0 {
		return s, badRequest{errors.New("the query has fields that are not supported: structured filters or pagination")}
	}
	s = Search{Service: q.GetServiceName(), Operation: q.GetOperationName(), Tags: tags, Limit: int(q.GetSearchDepth())}
	if s.Limit == 0 {
		s.Limit = defaultSearchDepth
	}
	if s.Start, s.End, err = boundsOf(q.GetStartTimeMin(), q.GetStartTimeMax()); err != nil {
		return s, err
	}
	if s.MinDuration, err = durationOf(q.GetDurationMin()); err != nil {
		return s, err
	}
	if s.MaxDuration, err = durationOf(q.GetDurationMax()); err != nil {
		return s, err
	}
	return s, s.checkV3()
}

// queryServer is api_v3.
type queryServer struct {
	apiv3.UnimplementedQueryServiceServer
	api *API
}

func (s *queryServer) GetTrace(req *apiv3.GetTraceRequest, stream grpc.ServerStreamingServer[otlp.TracesData]) error {
	id, err := traceIDParam("trace_id", req.GetTraceId())
	if err != nil {
		return s.api.rpcError(err)
	}
	start, end, err := boundsOf(req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return s.api.rpcError(err)
	}
	t, err := s.api.querier.Trace(stream.Context(), id, start, end)
	if err != nil {
		return s.api.rpcError(err)
	}
	return s.api.sendTraces(stream, []Trace{t})
}

func (s *queryServer) FindTraces(req *apiv3.FindTracesRequest, stream grpc.ServerStreamingServer[otlp.TracesData]) error {
	if req.GetQuery() == nil {
		return s.api.rpcError(badRequest{errors.New("missing query")})
	}
	search, err := searchOf(req.GetQuery(), req.GetQuery().GetAttributes())
	if err != nil {
		return s.api.rpcError(err)
	}
	traces, err := s.api.querier.Search(stream.Context(), search)
	if err != nil {
		return s.api.rpcError(err)
	}
	return s.api.sendTraces(stream, traces)
}

func (s *queryServer) GetServices(ctx context.Context, _ *apiv3.GetServicesRequest) (*apiv3.GetServicesResponse, error) {
	names, err := s.api.querier.Services(ctx)
	return &apiv3.GetServicesResponse{Services: names}, s.api.rpcError(err)
}

func (s *queryServer) GetOperations(ctx context.Context, req *apiv3.GetOperationsRequest) (*apiv3.GetOperationsResponse, error) {
	ops, err := s.api.operationsOf(ctx, req.GetService(), req.GetSpanKind())
	out := &apiv3.GetOperationsResponse{}
	for _, op := range ops {
		out.Operations = append(out.Operations, &apiv3.Operation{Name: op.Name, SpanKind: kindV3(op.Kind)})
	}
	return out, s.api.rpcError(err)
}

func (s *queryServer) GetDependencies(ctx context.Context, req *apiv3.GetDependenciesRequest) (*apiv3.DependenciesResponse, error) {
	deps, err := s.api.dependenciesBetween(ctx, req.GetStartTime(), req.GetEndTime())
	out := &apiv3.DependenciesResponse{}
	for _, d := range deps {
		out.Dependencies = append(out.Dependencies, &apiv3.Dependency{Parent: d.Parent, Child: d.Child, CallCount: d.CallCount})
	}
	return out, s.api.rpcError(err)
}

func (a *API) dependenciesBetween(ctx context.Context, start, end *timestamppb.Timestamp) ([]Dependency, error) {
	from, to, err := boundsOf(start, end)
	if err != nil {
		return nil, err
	}
	from, to = a.dependencyBounds(from, to)
	return a.Dependencies(ctx, from, to)
}

// storageServer is the remote storage.
type storageServer struct {
	storagev2.UnimplementedTraceReaderServer
	storagev2.UnimplementedDependencyReaderServer
	storagev2.UnimplementedCapabilitiesServer
	api *API
}

func (s *storageServer) GetCapabilities(context.Context, *storagev2.GetCapabilitiesRequest) (*storagev2.GetCapabilitiesResponse, error) {
	return &storagev2.GetCapabilitiesResponse{Search: &storagev2.SearchCapabilities{WithoutServiceName: true, SameSpanConjunction: true}}, nil
}

// GetTraces looks up the traces that are asked for within the same times together.
// Those that do not exist are left out.
func (s *storageServer) GetTraces(req *storagev2.GetTracesRequest, stream grpc.ServerStreamingServer[otlp.TracesData]) error {
	if len(req.GetQuery()) > s.api.cfg.MaxTraces {
		return s.api.rpcError(&LimitError{Limit: "maxTraces", Detail: fmt.Sprintf("it asks for %d traces, more than %d", len(req.GetQuery()), s.api.cfg.MaxTraces)})
	}
	type bounds struct{ start, end time.Time }
	ids := map[bounds][]TraceID{}
	for _, q := range req.GetQuery() {
		if len(q.GetTraceId()) != len(TraceID{}) {
			return s.api.rpcError(badRequest{fmt.Errorf("a trace id has %d bytes, not %d", len(q.GetTraceId()), len(TraceID{}))})
		}
		start, end, err := boundsOf(q.GetStartTime(), q.GetEndTime())
		if err != nil {
			return s.api.rpcError(err)
		}
		b := bounds{start, end}
		ids[b] = append(ids[b], TraceID(q.GetTraceId()))
	}
	for b, ids := range ids {
		traces, err := s.api.querier.Traces(stream.Context(), ids, b.start, b.end)
		if err != nil {
			return s.api.rpcError(err)
		}
		if err := s.api.sendTraces(stream, traces); err != nil {
			return err
		}
	}
	return nil
}

func (s *storageServer) GetServices(ctx context.Context, _ *storagev2.GetServicesRequest) (*storagev2.GetServicesResponse, error) {
	names, err := s.api.querier.Services(ctx)
	return &storagev2.GetServicesResponse{Services: names}, s.api.rpcError(err)
}

func (s *storageServer) GetOperations(ctx context.Context, req *storagev2.GetOperationsRequest) (*storagev2.GetOperationsResponse, error) {
	ops, err := s.api.operationsOf(ctx, req.GetService(), req.GetSpanKind())
	out := &storagev2.GetOperationsResponse{}
	for _, op := range ops {
		j := toJaegerOperation(op)
		out.Operations = append(out.Operations, &storagev2.Operation{Name: j.Name, SpanKind: j.SpanKind})
	}
	return out, s.api.rpcError(err)
}

func (s *storageServer) FindTraces(req *storagev2.FindTracesRequest, stream grpc.ServerStreamingServer[otlp.TracesData]) error {
	search, err := storageSearch(req.GetQuery())
	if err != nil {
		return s.api.rpcError(err)
	}
	traces, err := s.api.querier.Search(stream.Context(), search)
	if err != nil {
		return s.api.rpcError(err)
	}
	return s.api.sendTraces(stream, traces)
}

func (s *storageServer) FindTraceIDs(ctx context.Context, req *storagev2.FindTraceIDsRequest) (*storagev2.FindTraceIDsResponse, error) {
	search, err := storageSearch(req.GetQuery())
	if err != nil {
		return nil, s.api.rpcError(err)
	}
	found, err := s.api.querier.FindIDs(ctx, search)
	out := &storagev2.FindTraceIDsResponse{}
	for _, f := range found {
		// Without times: Jaeger would look for the trace's spans only between them.
		out.TraceIds = append(out.TraceIds, &storagev2.FoundTraceID{TraceId: f.ID[:]})
	}
	return out, s.api.rpcError(err)
}

func (s *storageServer) GetDependencies(ctx context.Context, req *storagev2.GetDependenciesRequest) (*storagev2.GetDependenciesResponse, error) {
	deps, err := s.api.dependenciesBetween(ctx, req.GetStartTime(), req.GetEndTime())
	out := &storagev2.GetDependenciesResponse{}
	for _, d := range deps {
		out.Dependencies = append(out.Dependencies, &storagev2.Dependency{Parent: d.Parent, Child: d.Child, CallCount: d.CallCount, Source: "yagura"})
	}
	return out, s.api.rpcError(err)
}

func storageSearch(q *storagev2.TraceQueryParameters) (Search, error) {
	if q == nil {
		return Search{}, badRequest{errors.New("missing query")}
	}
	tags := make(map[string]string, len(q.GetAttributes()))
	for _, kv := range q.GetAttributes() {
		text, err := anyText(kv.GetValue())
		if err != nil {
			return Search{}, badRequest{fmt.Errorf("attribute %s: %w", kv.GetKey(), err)}
		}
		tags[kv.GetKey()] = text
	}
	return searchOf(q, tags)
}

// anyText is a value as text, which is how values compare in a search.
func anyText(v *storagev2.AnyValue) (string, error) {
	switch v := v.GetValue().(type) {
	case *storagev2.AnyValue_StringValue:
		return v.StringValue, nil
	case *storagev2.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue), nil
	case *storagev2.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10), nil
	case *storagev2.AnyValue_DoubleValue:
		// A number without a fraction may be an integer's value.
		if f := v.DoubleValue; f == math.Trunc(f) && math.Abs(f) <= maxSafeInteger {
			return strconv.FormatInt(int64(f), 10), nil
		}
		return formatFloat(v.DoubleValue), nil
	case *storagev2.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(v.BytesValue), nil
	}
	return "", errors.New("only plain values can be searched for")
}
