package traces_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/yagura-dev/yagura/query/traces"
	"github.com/yagura-dev/yagura/query/traces/jaegerpb/apiv3"
	"github.com/yagura-dev/yagura/query/traces/jaegerpb/storagev2"
)

// newRPC serves the API's gRPC half on a port of this machine.
func newRPC(t testing.TB, s traces.Store, cfg traces.Config) *grpc.ClientConn {
	t.Helper()
	api, err := traces.NewAPI(s, cfg, slog.New(slog.DiscardHandler), nil)
	require.NoError(t, err)
	srv := grpc.NewServer()
	api.RegisterGRPC(srv)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error)
	go func() { ended <- srv.Serve(lis) }()
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		srv.Stop()
		require.NoError(t, <-ended)
	})
	return conn
}

func getV3(t testing.TB, e *echo.Echo, target string) (int, []byte) {
	t.Helper()
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/jaeger/api/v3/"+target, nil))
	return rec.Code, rec.Body.Bytes()
}

// resultV3 is the traces of an answer of api_v3 over HTTP.
func resultV3(t testing.TB, body []byte) ptrace.Traces {
	t.Helper()
	var wrapped struct{ Result json.RawMessage }
	require.NoError(t, json.Unmarshal(body, &wrapped), string(body))
	td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(wrapped.Result)
	require.NoError(t, err, string(body))
	return td
}

// receive reads a stream to its end.
func receive(t testing.TB, stream grpc.ServerStreamingClient[otlp.TracesData], err error) (out []*otlp.TracesData) {
	t.Helper()
	require.NoError(t, err)
	for {
		td, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		out = append(out, td)
	}
}

func chunkIDs(t testing.TB, chunks []*otlp.TracesData) (ids []string) {
	t.Helper()
	for _, c := range chunks {
		of := map[string]bool{}
		for _, rs := range c.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				for _, sp := range ss.GetSpans() {
					of[hex.EncodeToString(sp.GetTraceId())] = true
				}
			}
		}
		require.Len(t, of, 1, "a chunk is one trace")
		for id := range of {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (q fixtureQuery) overV3(t testing.TB, e *echo.Echo) (ids []string) {
	form := url.Values{
		"query.serviceName":    {q.Query.ServiceName},
		"query.operation_name": {q.Query.OperationName}, // both spellings are taken
		"query.startTimeMin":   {q.Query.StartTimeMin.Format(time.RFC3339Nano)},
		"query.startTimeMax":   {q.Query.StartTimeMax.Format(time.RFC3339Nano)},
		"query.searchDepth":    {strconv.Itoa(q.Query.NumTraces)},
		"query.durationMin":    {q.Query.DurationMin.String()},
		"query.durationMax":    {q.Query.DurationMax.String()},
	}
	if len(q.Query.Tags) > 0 {
		b, err := json.Marshal(q.texts())
		require.NoError(t, err)
		form.Set("query.attributes", string(b))
	}
	code, body := getV3(t, e, "traces?"+form.Encode())
	if code == http.StatusNotFound {
		return nil
	}
	require.Equal(t, http.StatusOK, code, string(body))
	for _, s := range allSpans(resultV3(t, body)) {
		ids = append(ids, s.TraceID.String())
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (q fixtureQuery) texts() map[string]string {
	out := map[string]string{}
	for k, v := range q.Query.Tags {
		out[k] = fmt.Sprint(v)
	}
	return out
}

func (q fixtureQuery) overV3RPC(t testing.TB, c apiv3.QueryServiceClient) []string {
	stream, err := c.FindTraces(t.Context(), &apiv3.FindTracesRequest{Query: &apiv3.TraceQueryParameters{
		ServiceName: q.Query.ServiceName, OperationName: q.Query.OperationName, Attributes: q.texts(),
		StartTimeMin: timestamppb.New(q.Query.StartTimeMin), StartTimeMax: timestamppb.New(q.Query.StartTimeMax),
		DurationMin: durationpb.New(q.Query.DurationMin), DurationMax: durationpb.New(q.Query.DurationMax),
		SearchDepth: int32(q.Query.NumTraces),
	}})
	return chunkIDs(t, receive(t, stream, err))
}

func (q fixtureQuery) overStorage(t testing.TB, c storagev2.TraceReaderClient) (ids []string) {
	query := &storagev2.TraceQueryParameters{
		ServiceName: q.Query.ServiceName, OperationName: q.Query.OperationName,
		StartTimeMin: timestamppb.New(q.Query.StartTimeMin), StartTimeMax: timestamppb.New(q.Query.StartTimeMax),
		DurationMin: durationpb.New(q.Query.DurationMin), DurationMax: durationpb.New(q.Query.DurationMax),
		SearchDepth: int32(q.Query.NumTraces),
	}
	for k, v := range q.Query.Tags {
		any := &storagev2.AnyValue{}
		switch v := v.(type) {
		case string:
			any.Value = &storagev2.AnyValue_StringValue{StringValue: v}
		case bool:
			any.Value = &storagev2.AnyValue_BoolValue{BoolValue: v}
		case float64:
			any.Value = &storagev2.AnyValue_DoubleValue{DoubleValue: v}
		}
		query.Attributes = append(query.Attributes, &storagev2.KeyValue{Key: k, Value: any})
	}
	found, err := c.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: query})
	require.NoError(t, err)
	req := &storagev2.GetTracesRequest{}
	for _, f := range found.GetTraceIds() {
		ids = append(ids, hex.EncodeToString(f.GetTraceId()))
		req.Query = append(req.Query, &storagev2.GetTraceParams{TraceId: f.GetTraceId()})
	}
	slices.Sort(ids)
	stream, err := c.FindTraces(t.Context(), &storagev2.FindTracesRequest{Query: query})
	require.Equal(t, ids, chunkIDs(t, receive(t, stream, err)))
	stream, err = c.GetTraces(t.Context(), req)
	require.Equal(t, ids, chunkIDs(t, receive(t, stream, err)))
	return ids
}

func TestAPIv3(t *testing.T) {
	store := demo(t)
	e := newServer(t, store, traces.DefaultConfig())
	for target, want := range map[string]string{
		"services":                   `{"services":["cart","gateway"]}`,
		"operations?service=gateway": `{"operations":[{"name":"GET /","spanKind":"server"}]}`,
		"operations?service=gateway&spanKind=client": `{"operations":[]}`,
		"operations?service=cart":                    `{"operations":[{"name":"load cart","spanKind":"internal"}]}`,
	} {
		code, body := getV3(t, e, target)
		require.Equal(t, http.StatusOK, code, target)
		require.JSONEq(t, want, string(body), target)
	}
	code, body := getV3(t, e, "traces/"+traceID(3)+"?startTime="+now.UTC().Format(time.RFC3339Nano))
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, string(body), `"traceId":"`+traceID(3)+`"`, "ids are hexadecimal, as in OTLP's JSON")
	require.Len(t, allSpans(resultV3(t, body)), 2)

	window := "query.startTimeMin=" + now.UTC().Format(time.RFC3339Nano) + "&query.startTimeMax=" + now.Add(time.Minute).UTC().Format(time.RFC3339Nano)
	code, body = getV3(t, e, "traces?query.searchDepth=2&"+window) // of any service
	require.Equal(t, http.StatusOK, code)
	require.Len(t, allSpans(resultV3(t, body)), 4)

	for target, c := range map[string]struct {
		code int
		want string
	}{
		"traces/" + traceID(77):                                      {404, "trace not found"},
		"traces/xyz":                                                 {400, "trace_id"},
		"traces/1?startTime=now":                                     {400, "startTime"},
		"traces/1?raw_traces=x":                                      {400, "rawTraces"},
		"traces?query.serviceName=a":                                 {400, "required"},
		"traces?query.serviceName=nobody&" + window:                  {404, "No traces found"},
		"traces?query.searchDepth=x&" + window:                       {400, "query.searchDepth"},
		"traces?query.searchDepth=0&" + window:                       {400, "query.searchDepth"},
		"traces?query.searchDepth=2000&" + window:                    {400, "maxTraces"},
		"traces?query.durationMin=7&" + window:                       {400, "query.durationMin"},
		"traces?query.durationMin=7s&query.durationMax=1s&" + window: {400, "query.durationMax"},
		"traces?query.attributes=x&" + window:                        {400, "query.attributes"},
		"traces?query.filter=x&" + window:                            {400, "query.filter"},
		"traces?query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2025-01-01T00:00:00Z": {400, "before"},
		"operations":               {400, "service"},
		"dependencies?endTime=now": {400, "endTime"},
	} {
		code, body := getV3(t, e, target)
		require.Equal(t, c.code, code, target)
		var failed struct {
			Error struct {
				HTTPCode int
				Message  string
			}
		}
		require.NoError(t, json.Unmarshal(body, &failed), target)
		require.Equal(t, c.code, failed.Error.HTTPCode)
		require.Contains(t, failed.Error.Message, c.want, target)
	}
}

func TestRemoteStorage(t *testing.T) {
	conn := newRPC(t, demo(t), traces.DefaultConfig())
	reader := storagev2.NewTraceReaderClient(conn)
	services, err := reader.GetServices(t.Context(), &storagev2.GetServicesRequest{})
	require.NoError(t, err)
	require.Equal(t, []string{"cart", "gateway"}, services.GetServices())
	ops, err := reader.GetOperations(t.Context(), &storagev2.GetOperationsRequest{Service: "gateway"})
	require.NoError(t, err)
	require.Len(t, ops.GetOperations(), 1)
	require.Equal(t, "GET /", ops.GetOperations()[0].GetName())
	require.Equal(t, "server", ops.GetOperations()[0].GetSpanKind())
	caps, err := storagev2.NewCapabilitiesClient(conn).GetCapabilities(t.Context(), &storagev2.GetCapabilitiesRequest{})
	require.NoError(t, err)
	require.True(t, caps.GetSearch().GetWithoutServiceName())

	id, err := hex.DecodeString(traceID(3))
	require.NoError(t, err)
	missing := make([]byte, 16)
	missing[0] = 1
	zero := timestamppb.New(time.Time{}) // how Jaeger says that it has no bound
	stream, err := reader.GetTraces(t.Context(), &storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{
		{TraceId: id, StartTime: zero, EndTime: zero}, {TraceId: missing, StartTime: zero, EndTime: zero},
	}})
	require.Equal(t, []string{traceID(3)}, chunkIDs(t, receive(t, stream, err)))
	stream, err = reader.GetTraces(t.Context(), &storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{
		{TraceId: id, StartTime: timestamppb.New(now.Add(time.Minute))},
	}})
	require.Empty(t, receive(t, stream, err))

	query := apiv3.NewQueryServiceClient(conn)
	stream, err = query.GetTrace(t.Context(), &apiv3.GetTraceRequest{TraceId: traceID(3)})
	require.Equal(t, []string{traceID(3)}, chunkIDs(t, receive(t, stream, err)))
	ops3, err := query.GetOperations(t.Context(), &apiv3.GetOperationsRequest{Service: "cart"})
	require.NoError(t, err)
	require.Equal(t, "internal", ops3.GetOperations()[0].GetSpanKind())

	failure := func(stream grpc.ServerStreamingClient[otlp.TracesData], err error) codes.Code {
		t.Helper()
		if err == nil {
			_, err = stream.Recv()
		}
		return status.Code(err)
	}
	require.Equal(t, codes.NotFound, failure(query.GetTrace(t.Context(), &apiv3.GetTraceRequest{TraceId: "77"})))
	require.Equal(t, codes.InvalidArgument, failure(query.GetTrace(t.Context(), &apiv3.GetTraceRequest{TraceId: "x"})))
	require.Equal(t, codes.InvalidArgument, failure(query.FindTraces(t.Context(), &apiv3.FindTracesRequest{})))
	require.Equal(t, codes.InvalidArgument, failure(reader.FindTraces(t.Context(), &storagev2.FindTracesRequest{})))
	require.Equal(t, codes.InvalidArgument, failure(reader.GetTraces(t.Context(), &storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{{TraceId: []byte("x")}}})))
	search := &storagev2.TraceQueryParameters{StartTimeMin: timestamppb.New(now), StartTimeMax: timestamppb.New(now.Add(time.Hour)), SearchDepth: 2000}
	require.Equal(t, codes.ResourceExhausted, failure(reader.FindTraces(t.Context(), &storagev2.FindTracesRequest{Query: search})))
	search.SearchDepth = 1
	search.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), nil))
	require.Equal(t, codes.InvalidArgument, failure(reader.FindTraces(t.Context(), &storagev2.FindTracesRequest{Query: search})), "a filter is not passed over")
	_, err = storagev2.NewDependencyReaderClient(conn).GetDependencies(t.Context(), &storagev2.GetDependenciesRequest{})
	require.NoError(t, err)
}

func FuzzSearchParamsV3(f *testing.F) {
	f.Add("query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2026-01-02T00:00:00Z&query.attributes=%7B%22a%22:%22b%22%7D&query.durationMin=1s")
	f.Add("query.search_depth=-1")
	store := openStore(f)
	e := newServer(f, store, traces.DefaultConfig())
	f.Fuzz(func(t *testing.T, query string) {
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/jaeger/api/v3/traces", RawQuery: query}})
		if rec.Code != http.StatusNotFound && rec.Code != http.StatusBadRequest || !strings.HasPrefix(rec.Body.String(), `{"error"`) {
			t.Errorf("%d: %s", rec.Code, rec.Body)
		}
	})
}
