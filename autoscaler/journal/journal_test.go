package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is an OTLP receiver that keeps what it gets.
type receiver struct {
	plogotlp.UnimplementedGRPCServer
	address string
	server  *grpc.Server

	mu      sync.Mutex
	refuse  error
	bodies  []string
	traces  map[string]bool // trace ids of log entries
	spans   map[string]bool // trace ids of spans
	gauges  map[string]float64
	service string
}

type traceReceiver struct {
	ptraceotlp.UnimplementedGRPCServer
	*receiver
}
type metricReceiver struct {
	pmetricotlp.UnimplementedGRPCServer
	*receiver
}

func (r *receiver) Export(_ context.Context, request plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return plogotlp.NewExportResponse(), r.refuse
	}
	for _, resource := range request.Logs().ResourceLogs().All() {
		name, _ := resource.Resource().Attributes().Get("service.name")
		r.service = name.Str()
		for _, scope := range resource.ScopeLogs().All() {
			for _, entry := range scope.LogRecords().All() {
				r.bodies = append(r.bodies, entry.Body().Str())
				r.traces[entry.TraceID().String()] = true
			}
		}
	}
	return plogotlp.NewExportResponse(), nil
}

func (r *traceReceiver) Export(_ context.Context, request ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range request.Traces().ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				r.spans[span.TraceID().String()] = true
			}
		}
	}
	return ptraceotlp.NewExportResponse(), nil
}

func (r *metricReceiver) Export(_ context.Context, request pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.gauges)
	for _, resource := range request.Metrics().ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, metric := range scope.Metrics().All() {
				for _, point := range metric.Gauge().DataPoints().All() {
					key := metric.Name()
					for _, label := range []string{"target_namespace", "autoscaler", "objective", "target_container", "policy", "phase", "target_zone", "capacity_type"} {
						if v, ok := point.Attributes().Get(label); ok && v.Str() != "" {
							key += " " + v.Str()
						}
					}
					r.gauges[key] = point.DoubleValue() + float64(point.IntValue())
				}
			}
		}
	}
	return pmetricotlp.NewExportResponse(), nil
}

// listen starts the receiver, at the same address every time.
func (r *receiver) listen(t *testing.T) {
	if r.address == "" {
		r.address = "127.0.0.1:0"
		r.traces, r.spans, r.gauges = map[string]bool{}, map[string]bool{}, map[string]float64{}
	}
	listener, err := net.Listen("tcp", r.address)
	require.NoError(t, err)
	r.address = listener.Addr().String()
	r.server = grpc.NewServer()
	plogotlp.RegisterGRPCServer(r.server, r)
	ptraceotlp.RegisterGRPCServer(r.server, &traceReceiver{receiver: r})
	pmetricotlp.RegisterGRPCServer(r.server, &metricReceiver{receiver: r})
	go func() { _ = r.server.Serve(listener) }()
	t.Cleanup(r.server.Stop)
}

func (r *receiver) count() int { r.mu.Lock(); defer r.mu.Unlock(); return len(r.bodies) }

func open(t *testing.T, address string, capacity int) (*Journal, *prometheus.Registry) {
	registry := prometheus.NewRegistry()
	cfg := Config{Endpoint: address, MetricsInterval: model.Duration(time.Hour), Capacity: capacity}
	j, err := New(t.Context(), cfg, "test", slog.New(slog.DiscardHandler), registry)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 100*time.Millisecond)
		defer cancel()
		_ = j.Close(ctx)
	})
	return j, registry
}

func record(i int) decision.Record {
	value, age := 83.5, 0.8
	return decision.Record{Namespace: "shop", Name: "checkout", Time: time.Unix(int64(i), 0).UTC(), Outcome: decision.Held, Reason: fmt.Sprintf("reason %d", i),
		CurrentReplicas: 3, DesiredReplicas: 4, RecommendedReplicas: 5, MinReplicas: 2, MaxReplicas: 40,
		Objectives: []decision.Objective{{Name: "cpu", Value: &value, Target: 70, AgeSeconds: &age, State: decision.Fresh}}}
}

func TestRecordsArriveAsLogSpanAndGauges(t *testing.T) {
	r := &receiver{}
	r.listen(t)
	j, _ := open(t, r.address, 100)
	j.Record(t.Context(), record(1), true)
	j.Observe(record(1))
	j.Observe(decision.Record{Namespace: "shop", Name: "gone"})
	j.Forget("shop", "gone")
	require.NoError(t, j.Close(t.Context()))

	require.Len(t, r.bodies, 1)
	assert.Equal(t, ServiceName, r.service)
	var got decision.Record
	require.NoError(t, json.Unmarshal([]byte(r.bodies[0]), &got))
	assert.Equal(t, record(1).Reason, got.Reason)
	assert.Equal(t, r.spans, r.traces, "the log entry is within its span")
	assert.Equal(t, map[string]float64{
		"yagura_autoscaler_replicas_current shop checkout": 3, "yagura_autoscaler_replicas_desired shop checkout": 4,
		"yagura_autoscaler_replicas_recommended shop checkout": 5, "yagura_autoscaler_replicas_min shop checkout": 2, "yagura_autoscaler_replicas_max shop checkout": 40,
		"yagura_autoscaler_objective_value shop checkout cpu": 83.5, "yagura_autoscaler_objective_target shop checkout cpu": 70,
		"yagura_autoscaler_objective_age_seconds shop checkout cpu": 0.8,
	}, r.gauges)
}

func TestNothingIsLostWhileTheReceiverIsAway(t *testing.T) {
	r := &receiver{}
	r.listen(t)
	j, registry := open(t, r.address, 1000)
	j.Record(t.Context(), record(0), true)
	// What was received but not acknowledged would be sent again.
	require.NoError(t, j.logs.ForceFlush(t.Context()))
	require.Equal(t, 1, r.count())
	r.server.Stop()
	for i := 1; i <= 500; i++ {
		j.Record(t.Context(), record(i), true)
	}
	r.listen(t)
	require.Eventually(t, func() bool { return r.count() == 501 }, 30*time.Second, 20*time.Millisecond)
	for i, body := range r.bodies {
		assert.Contains(t, body, fmt.Sprintf(`"reason %d"`, i), "in order")
	}
	assert.Zero(t, testutil.CollectAndCount(registry, "yagura_autoscaler_journal_lost_total"))
}

func TestWhatDoesNotFitIsCounted(t *testing.T) {
	j, registry := open(t, "127.0.0.1:1", 10)
	for i := range 15 {
		j.Record(t.Context(), record(i), true)
	}
	assert.Equal(t, 5.0, lost(t, registry, "logs", "full"))
	assert.Equal(t, 5.0, lost(t, registry, "spans", "full"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	assert.Error(t, j.Close(ctx))
	assert.Equal(t, 10.0, lost(t, registry, "logs", "shutdown"))
}

func TestWhatIsRefusedIsCountedAndNotRepeated(t *testing.T) {
	r := &receiver{refuse: status.Error(codes.InvalidArgument, "no")}
	r.listen(t)
	j, registry := open(t, r.address, 10)
	j.Record(t.Context(), record(1), true)
	require.Eventually(t, func() bool { return lost(t, registry, "logs", "refused") == 1 }, 10*time.Second, 10*time.Millisecond)
	r.mu.Lock()
	r.refuse = nil
	r.mu.Unlock()
	j.Record(t.Context(), record(2), true)
	require.Eventually(t, func() bool { return r.count() == 1 }, 10*time.Second, 10*time.Millisecond)
}

func lost(t *testing.T, registry *prometheus.Registry, signal, reason string) float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range metric.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["signal"] == signal && labels["reason"] == reason {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}
