package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/labstack/echo/v4"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
	"github.com/yagura-dev/yagura/query/metrics"
)

// discard takes rows and forgets them: the store has benchmarks of its own.
type discard struct{}

func (discard) Append(context.Context, columnar.Batch) (bool, error) { return false, nil }

func benchHandler(b *testing.B) http.Handler {
	mc := metrics.DefaultConfig()
	mc.MinFreeBytes = 0
	samples, err := metrics.Open(b.TempDir(), metrics.Options{Config: mc})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, samples.Close()) })
	g, err := ingest.New(ingest.Options{Config: ingest.DefaultConfig(), Samples: samples, Rows: discard{}})
	require.NoError(b, err)
	e := echo.New()
	g.Register(e.Group(""))
	return e
}

func benchPost(b *testing.B, h http.Handler, path string, body []byte, header ...string) {
	b.Helper()
	req := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	if rec.Code/100 != 2 {
		b.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

// BenchmarkOTLPLogs is decoding, mapping and limits of 1,000 records of 10
// resources; the figure is records.
func BenchmarkOTLPLogs(b *testing.B) {
	ld := plog.NewLogs()
	for r := range 10 {
		rl := ld.ResourceLogs().AppendEmpty()
		a := rl.Resource().Attributes()
		a.PutStr("service.name", fmt.Sprint("service-", r))
		a.PutStr("k8s.namespace.name", "shop")
		a.PutStr("k8s.pod.name", fmt.Sprint("pod-", r))
		a.PutStr("host.arch", "amd64")
		sl := rl.ScopeLogs().AppendEmpty()
		for i := range 100 {
			rec := sl.LogRecords().AppendEmpty()
			rec.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
			rec.Body().SetStr(fmt.Sprintf("GET /api/v1/orders/%d took 12ms and returned 200 to 10.1.2.3", i))
			rec.SetSeverityText("INFO")
			rec.SetTraceID(pcommon.TraceID{byte(i)})
			rec.Attributes().PutStr("http.request.method", "GET")
			rec.Attributes().PutInt("http.response.status_code", 200)
		}
	}
	body := protoOf(b, plogotlp.NewExportRequestFromLogs(ld))
	h := benchHandler(b)
	b.ReportAllocs()
	for b.Loop() {
		benchPost(b, h, "/v1/logs", body, "Content-Type", protoType)
	}
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkLokiPush is decoding, limits and discovery of pushes of 1 MiB of real
// lines with two ids each; the figure is bytes of lines.
func BenchmarkLokiPush(b *testing.B) {
	var entries []push.Entry
	size := 0
	for size < 1<<20 {
		for _, file := range []string{"agent-logfmt.txt", "kubernetes.txt", "kafka.txt", "vault.txt"} {
			for line := range strings.Lines(string(shared(b, "logs/"+file))) {
				line = strings.TrimSuffix(line, "\n")
				size += len(line)
				entries = append(entries, push.Entry{Timestamp: time.Now(), Line: line, StructuredMetadata: push.LabelsAdapter{
					{Name: "trace_id", Value: fmt.Sprintf("%032x", size)}, {Name: "span_id", Value: fmt.Sprintf("%016x", size)},
				}})
			}
		}
	}
	var streams []push.Stream
	for i := range 20 {
		n := len(entries) / 20
		streams = append(streams, push.Stream{Labels: fmt.Sprintf(`{app="shop", namespace="prod", pod="shop-%d"}`, i), Entries: entries[i*n : (i+1)*n]})
	}
	body := lokiProto(b, streams...)
	h := benchHandler(b)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		benchPost(b, h, pushPath, body)
	}
	b.ReportMetric(float64(len(entries)*b.N)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkRemoteWriteV2 is 5,000 samples of 5,000 series into the real TSDB.
func BenchmarkRemoteWriteV2(b *testing.B) {
	const series = 5000
	req := &writev2.Request{Symbols: []string{"", "__name__", "container_cpu_usage_seconds_total", "namespace", "shop", "pod"}}
	for i := range series {
		req.Symbols = append(req.Symbols, fmt.Sprint("pod-", i))
		req.Timeseries = append(req.Timeseries, writev2.TimeSeries{
			LabelsRefs: []uint32{1, 2, 3, 4, 5, uint32(len(req.Symbols) - 1)},
			Samples:    []writev2.Sample{{}},
			Metadata:   writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER},
		})
	}
	h := benchHandler(b)
	at := time.Now().Add(-time.Hour).UnixMilli()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		b.StopTimer()
		at += 10
		for i := range req.Timeseries {
			req.Timeseries[i].Samples[0] = writev2.Sample{Timestamp: at, Value: float64(n + i)}
		}
		body := packed(b, req)
		n++
		b.StartTimer()
		benchPost(b, h, writePath, body, "Content-Type", typeV2, "Yagura-Batch", fmt.Sprint("bench/metrics/", n))
	}
	b.ReportMetric(float64(series*b.N)/b.Elapsed().Seconds(), "samples/s")
}

// BenchmarkOTLPMetrics is 1,000 counters of 10 resources into the real TSDB.
func BenchmarkOTLPMetrics(b *testing.B) {
	h := benchHandler(b)
	at := time.Now().Add(-time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		at = at.Add(10 * time.Millisecond)
		md := pmetric.NewMetrics()
		for r := range 10 {
			rm := md.ResourceMetrics().AppendEmpty()
			rm.Resource().Attributes().PutStr("service.name", fmt.Sprint("service-", r))
			rm.Resource().Attributes().PutStr("k8s.pod.name", fmt.Sprint("pod-", r))
			m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
			m.SetName("http.server.request.count")
			sum := m.SetEmptySum()
			sum.SetIsMonotonic(true)
			sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			for i := range 100 {
				dp := sum.DataPoints().AppendEmpty()
				dp.SetTimestamp(pcommon.NewTimestampFromTime(at))
				dp.SetIntValue(int64(i))
				dp.Attributes().PutStr("http.route", fmt.Sprint("/r/", i))
			}
		}
		body := protoOf(b, pmetricotlp.NewExportRequestFromMetrics(md))
		b.StartTimer()
		benchPost(b, h, "/v1/metrics", body, "Content-Type", protoType)
	}
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "points/s")
}
