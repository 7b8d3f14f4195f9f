package otlp

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	otelattribute "go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/yagura-dev/yagura/collector/queue"
)

// exporters are OpenTelemetry's own for one protocol.
type exporters struct {
	logs    sdklog.Exporter
	traces  sdktrace.SpanExporter
	metrics sdkmetric.Exporter
}

func grpcExporters(t *testing.T, r *Receiver) exporters {
	ctx, address := context.Background(), r.GRPCAddr().String()
	l, err := otlploggrpc.New(ctx, otlploggrpc.WithEndpoint(address), otlploggrpc.WithInsecure(), otlploggrpc.WithCompressor("gzip"))
	require.NoError(t, err)
	s, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(address), otlptracegrpc.WithInsecure())
	require.NoError(t, err)
	m, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(address), otlpmetricgrpc.WithInsecure())
	require.NoError(t, err)
	return exporters{l, s, m}
}

func httpExporters(t *testing.T, r *Receiver) exporters {
	ctx, address := context.Background(), r.HTTPAddr().String()
	l, err := otlploghttp.New(ctx, otlploghttp.WithEndpoint(address), otlploghttp.WithInsecure(), otlploghttp.WithCompression(otlploghttp.GzipCompression))
	require.NoError(t, err)
	s, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(address), otlptracehttp.WithInsecure())
	require.NoError(t, err)
	m, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpoint(address), otlpmetrichttp.WithInsecure())
	require.NoError(t, err)
	return exporters{l, s, m}
}

// TestSDKs sends every signal with the SDK and its exporters into a real queue.
func TestSDKs(t *testing.T) {
	for name, connect := range map[string]func(*testing.T, *Receiver) exporters{"grpc": grpcExporters, "http": httpExporters} {
		t.Run(name, func(t *testing.T) {
			q, err := queue.Open(filepath.Join(t.TempDir(), "queue"), queue.DefaultConfig(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			require.NoError(t, err)
			defer func() { require.NoError(t, q.Close()) }()
			r := receiver(t, config(), nil, q)
			ctx := context.Background()
			out := connect(t, r)
			res := sdkresource.NewSchemaless(otelattribute.String("service.name", "checkout"))

			loggers := sdklog.NewLoggerProvider(sdklog.WithResource(res), sdklog.WithProcessor(sdklog.NewSimpleProcessor(out.logs)))
			var record otellog.Record
			record.SetBody(otelattribute.StringValue("paid"))
			record.SetTimestamp(time.Unix(1_800_000_000, 0))
			loggers.Logger("l").Emit(ctx, record)
			require.NoError(t, loggers.Shutdown(ctx))

			tracers := sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithSyncer(out.traces))
			_, span := tracers.Tracer("t").Start(ctx, "pay")
			span.End()
			require.NoError(t, tracers.Shutdown(ctx))

			meters := sdkmetric.NewMeterProvider(sdkmetric.WithResource(res), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(out.metrics)))
			payments, err := meters.Meter("m").Int64Counter("payments")
			require.NoError(t, err)
			payments.Add(ctx, 3)
			require.NoError(t, meters.Shutdown(ctx))

			for stream, want := range map[queue.Stream]struct {
				text   string
				decode func([]byte) (string, error)
			}{
				queue.Logs:        {`"stringValue":"paid"`, decodeLogs},
				queue.Traces:      {`"name":"pay"`, decodeTraces},
				queue.OTLPMetrics: {`"name":"payments"`, decodeMetrics},
			} {
				record, err := q.Peek(ctx, stream)
				require.NoError(t, err)
				text, err := want.decode(gunzip(t, record.Payload))
				require.NoError(t, err)
				require.Contains(t, text, want.text)
				require.Contains(t, text, `{"key":"k8s.cluster.name","value":{"stringValue":"dev"}}`)
			}
		})
	}
}

// export calls a service as an SDK does.
func export(t *testing.T, r *Receiver, body []byte) error {
	t.Helper()
	connection, err := grpc.NewClient(r.GRPCAddr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer connection.Close()
	var answer frame
	return connection.Invoke(context.Background(), "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
		frame(body), &answer, grpc.ForceCodecV2(frameCodec{}))
}

func TestGRPCRefusals(t *testing.T) {
	s := newSink()
	c := config()
	c.MaxRequestBytes = 1000
	r := receiver(t, c, nil, s)
	require.NoError(t, export(t, r, logs(t, nil)))
	require.NoError(t, export(t, r, nil), "an empty request is fine")
	require.Equal(t, 1, s.len(queue.Logs), "and is not kept")

	refused := func(body []byte) *status.Status {
		err := export(t, r, body)
		require.Error(t, err)
		return status.Convert(err)
	}
	malformed := refused([]byte("\x0a\x04\x12\x02\x10\x07"))
	require.Equal(t, codes.InvalidArgument, malformed.Code())
	require.Contains(t, malformed.Message(), "ScopeLogs.log_records")
	large := refused(make([]byte, 2000))
	require.Equal(t, codes.ResourceExhausted, large.Code())
	require.Contains(t, large.Message(), "larger than max (2000 vs. 1000)")
	require.Eventually(t, func() bool { // gRPC answers before the handler has counted
		return testutil.ToFloat64(r.metrics.refused.WithLabelValues("logs", "too_large")) == 1
	}, 5*time.Second, time.Millisecond)
	require.Empty(t, large.Details(), "without RetryInfo an SDK gives up")

	s.err = queue.ErrFull
	full := refused(logs(t, nil))
	require.Equal(t, codes.ResourceExhausted, full.Code())
	require.Len(t, full.Details(), 1)
	info, ok := full.Details()[0].(*errdetails.RetryInfo)
	require.True(t, ok)
	require.Equal(t, time.Second, info.RetryDelay.AsDuration())
}

func TestGRPCMessageThatNeverArrives(t *testing.T) {
	c := config()
	c.RequestTimeout = 200_000_000 // 200 ms
	r := receiver(t, c, nil, newSink())
	connection, err := grpc.NewClient(r.GRPCAddr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer connection.Close()
	stream, err := connection.NewStream(context.Background(), &grpc.StreamDesc{ClientStreams: true},
		"/opentelemetry.proto.collector.logs.v1.LogsService/Export", grpc.ForceCodecV2(frameCodec{}))
	require.NoError(t, err)
	var answer frame
	require.Equal(t, codes.DeadlineExceeded, status.Code(stream.RecvMsg(&answer)))
	require.Eventually(t, func() bool { return len(r.slots) == 0 }, 5*time.Second, time.Millisecond, "its place is free again")
}
