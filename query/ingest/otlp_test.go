package ingest_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
	"github.com/yagura-dev/yagura/query/traces"
)

const (
	protoType = "application/x-protobuf"
	jsonType  = "application/json"
)

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func zlibbed(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, err := w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func deflated(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	require.NoError(t, err)
	_, err = w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	defer w.Close()
	return w.EncodeAll(b, nil)
}

// logsRequest has n records of one service.
func logsRequest(n int) plogotlp.ExportRequest {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "checkout")
	rl.Resource().Attributes().PutStr("k8s.namespace.name", "shop")
	sl := rl.ScopeLogs().AppendEmpty()
	for i := range n {
		rec := sl.LogRecords().AppendEmpty()
		rec.SetTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(-time.Minute)))
		rec.Body().SetStr(fmt.Sprintf("line %d", i))
	}
	return plogotlp.NewExportRequestFromLogs(ld)
}

func protoOf(t testing.TB, m interface{ MarshalProto() ([]byte, error) }) []byte {
	t.Helper()
	b, err := m.MarshalProto()
	require.NoError(t, err)
	return b
}

// The specification's own examples, over every encoding and compression.
func TestOTLPExamples(t *testing.T) {
	logs := shared(t, "otlp/logs.json")
	req := plogotlp.NewExportRequest()
	require.NoError(t, req.UnmarshalJSON(logs))
	asProto := protoOf(t, req)
	for name, c := range map[string]struct {
		body             []byte
		contentType, enc string
	}{
		"json":              {logs, jsonType, ""},
		"json with charset": {logs, jsonType + "; charset=utf-8", "identity"},
		"json, gzip":        {gzipped(t, logs), jsonType, "gzip"},
		"protobuf":          {asProto, protoType, ""},
		"protobuf, gzip":    {gzipped(t, asProto), protoType, "gzip"},
		"protobuf, zstd":    {zstded(t, asProto), protoType, "zstd"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.post("/v1/logs", c.body, "Content-Type", c.contentType, "Content-Encoding", c.enc)
			require.Equal(t, http.StatusOK, a.code, "%s", a.body)
			require.Equal(t, strings.Split(c.contentType, ";")[0], a.header.Get("Content-Type"))
			rows := r.stored(columnar.Logs)
			require.Len(t, rows, 1)
			require.Equal(t, `{service_name="my.service"}`, rows[0].labels)
			require.Equal(t, "Example log record", rows[0].Line)
			require.Equal(t, int64(1544712660300000000), rows[0].Timestamp)
			f := fields(rows[0].Row)
			require.Equal(t, "5b8efff798038103d269b633813fc60c", f["trace_id"])
			require.Equal(t, "eee19b7ec3c1b174", f["span_id"])
			require.Equal(t, "some string", f["string_attribute"])
			require.Equal(t, "true", f["boolean_attribute"])
			require.Equal(t, "10", f["severity_number"])
			require.Equal(t, "some scope attribute", f["my_scope_attribute"])
			require.JSONEq(t, `["many","values"]`, f["array_attribute"])
		})
	}
	t.Run("event", func(t *testing.T) {
		r := newRig(t)
		a := r.post("/v1/logs", shared(t, "otlp/events.json"), "Content-Type", jsonType)
		require.Equal(t, http.StatusOK, a.code, "%s", a.body)
		rows := r.stored(columnar.Logs)
		require.Len(t, rows, 1)
		require.Equal(t, "browser.page_view", fields(rows[0].Row)["event_name"])
		require.Contains(t, rows[0].Line, `"type":0`)
	})
	t.Run("trace", func(t *testing.T) {
		r := newRig(t)
		a := r.post("/v1/traces", shared(t, "otlp/trace.json"), "Content-Type", jsonType)
		require.Equal(t, http.StatusOK, a.code, "%s", a.body)
		rows := r.stored(columnar.Spans)
		require.Len(t, rows, 1)
		require.Equal(t, `{service_name="my.service"}`, rows[0].labels)
		span, err := traces.SpanFromRow(labels.FromStrings("service_name", "my.service"), rows[0].Row)
		require.NoError(t, err)
		require.Equal(t, "5b8efff798038103d269b633813fc60c", span.TraceID.String())
		require.Equal(t, "I'm a server span", span.Name)
		require.Equal(t, traces.KindServer, span.Kind)
		require.Equal(t, int64(time.Second), span.Duration())
	})
	t.Run("metrics", func(t *testing.T) {
		r := newRig(t)
		a := r.post("/v1/metrics", shared(t, "otlp/metrics.json"), "Content-Type", jsonType)
		require.Equal(t, http.StatusOK, a.code, "%s", a.body)
		resp := pmetricotlp.NewExportResponse()
		require.NoError(t, resp.UnmarshalJSON(a.body))
		// Three of the examples have delta temporality.
		require.Equal(t, int64(3), resp.PartialSuccess().RejectedDataPoints())
		for _, named := range []string{"my.counter", "my.histogram", "my.exponential.histogram"} {
			require.Contains(t, resp.PartialSuccess().ErrorMessage(), named)
		}
		got := r.series()
		require.Equal(t, []float64{10}, got[`{__name__="my_gauge_ratio", job="my.service", my_gauge_attr="some value", service_name="my.service"}`], "%v", got)
		require.Len(t, got, 1)
	})
}

func TestOTLPRefusesWhatItCannotRead(t *testing.T) {
	good := protoOf(t, logsRequest(1))
	bomb := gzipped(t, make([]byte, 4<<20))
	small := func(o *ingest.Options) {
		o.Config.MaxBodyBytes, o.Config.MaxDecodedBytes, o.Config.MaxElements = 1<<20, 2<<20, 1000
	}
	for name, c := range map[string]struct {
		body   []byte
		header []string
		code   int
		text   string
		reason string
	}{
		"not protobuf":         {[]byte("hello, world"), nil, 400, "protobuf", "undecodable"},
		"cut off":              {good[:len(good)-3], nil, 400, "protobuf", "undecodable"},
		"not JSON":             {[]byte(`{"resourceLogs": [`), []string{"Content-Type", jsonType}, 400, "JSON", "undecodable"},
		"JSON of another type": {[]byte(`{"resourceLogs": 7}`), []string{"Content-Type", jsonType}, 400, "JSON", "undecodable"},
		"empty JSON":           {nil, []string{"Content-Type", jsonType}, 400, "JSON", "undecodable"},
		"not gzip":             {good, []string{"Content-Encoding", "gzip"}, 400, "gzip", "undecodable"},
		"gzip cut off":         {gzipped(t, good)[:20], []string{"Content-Encoding", "gzip"}, 400, "read", "undecodable"},
		"not zstd":             {good, []string{"Content-Encoding", "zstd"}, 400, "", "undecodable"},
		"content type":         {good, []string{"Content-Type", "text/plain"}, 415, "text/plain", "unsupported_media_type"},
		"no content type":      {good, []string{"Content-Type", ""}, 415, "content type", "unsupported_media_type"},
		"content encoding":     {good, []string{"Content-Encoding", "br"}, 415, `"br"`, "unsupported_media_type"},
		"batch id":             {good, []string{"Yagura-Batch", "nonsense"}, 400, "Yagura-Batch", "bad_batch_id"},
		"too large":            {make([]byte, 1<<20+1), nil, 413, "maxBodyBytes", "too_large"},
		"bomb":                 {bomb, []string{"Content-Encoding", "gzip"}, 413, "larger than 2097152", "too_large"},
		"not deflate":          {good, []string{"Content-Encoding", "deflate"}, 400, "", "undecodable"},
		"deflate cut off":      {deflated(t, good)[:20], []string{"Content-Encoding", "deflate"}, 400, "read", "undecodable"},
		"deflate bomb":         {deflated(t, make([]byte, 4<<20)), []string{"Content-Encoding", "deflate"}, 413, "larger than 2097152", "too_large"},
		"zlib bomb":            {zlibbed(t, make([]byte, 4<<20)), []string{"Content-Encoding", "deflate"}, 413, "larger than 2097152", "too_large"},
		"zstd bomb":            {zstded(t, make([]byte, 4<<20)), []string{"Content-Encoding", "zstd"}, 413, "", "too_large"},
		"many records":         {protoOf(t, logsRequest(2000)), nil, 413, "maxElements", "too_large"},
		"many records, JSON":   {[]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[` + strings.Repeat("{},", 3000) + `{}]}]}]}`), []string{"Content-Type", jsonType}, 413, "maxElements", "too_large"},
		"nested too deeply":    {nestedBody(20000), nil, 400, "deeply", "undecodable"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, small)
			header := append([]string{"Content-Type", protoType}, c.header...)
			a := r.post("/v1/logs", c.body, header...)
			require.Equal(t, c.code, a.code, "%s", a.body)
			var st spb.Status
			if a.header.Get("Content-Type") == jsonType {
				require.NoError(t, protojson.Unmarshal(a.body, &st))
			} else {
				require.Equal(t, protoType, a.header.Get("Content-Type"))
				require.NoError(t, proto.Unmarshal(a.body, &st))
			}
			require.Equal(t, int32(codes.InvalidArgument), st.Code)
			require.Contains(t, st.Message, c.text)
			require.Empty(t, a.header.Get("Retry-After"))
			require.Equal(t, 1.0, r.counter("yagura_ingest_rejected_requests_total", "signal", "logs", "reason", c.reason))
			require.Empty(t, r.stored(columnar.Logs))

			// Nothing else is lost: the next request is stored.
			require.Equal(t, http.StatusOK, r.post("/v1/logs", good, "Content-Type", protoType).code)
			require.Len(t, r.stored(columnar.Logs), 1)
		})
	}
}

// nestedBody is a log record whose body nests arrays to the given depth.
func nestedBody(depth int) []byte {
	wrap := func(field byte, inner []byte) []byte {
		out := []byte{field<<3 | 2}
		for n := len(inner); ; n >>= 7 {
			if n < 128 {
				out = append(out, byte(n))
				break
			}
			out = append(out, byte(n)|128)
		}
		return append(out, inner...)
	}
	var b []byte
	for range depth {
		b = wrap(5, wrap(1, b))
	}
	for _, field := range []byte{5, 2, 2, 1} { // body, log_records, scope_logs, resource_logs
		b = wrap(field, b)
	}
	return b
}

func TestModerateNestingIsFine(t *testing.T) {
	r := newRig(t)
	a := r.post("/v1/logs", nestedBody(50), "Content-Type", protoType)
	require.Equal(t, http.StatusOK, a.code, "%s", a.body)
	rows := r.stored(columnar.Logs)
	require.Len(t, rows, 1)
	require.True(t, strings.HasPrefix(rows[0].Line, strings.Repeat("[", 50)), rows[0].Line)
}

func TestOTLPRefusesSingleRows(t *testing.T) {
	limits := func(o *ingest.Options) {
		o.Config.MaxLineBytes, o.Config.MaxFields, o.Config.MaxRowBytes = 100, 3, 1000
		o.Config.MaxFieldNameBytes, o.Config.MaxLabelValueBytes = 50, 200
		o.Config.MaxStreamsPerTenant = 2
	}
	good := func(ld plog.Logs, service string) plog.LogRecord {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("service.name", service)
		rec := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		rec.Body().SetStr("fine")
		return rec
	}
	for name, c := range map[string]struct {
		bad    func(ld plog.Logs)
		reason string
		text   string
	}{
		"line": {func(ld plog.Logs) { good(ld, "a").Body().SetStr(strings.Repeat("x", 101)) }, "line_too_long", "maxLineBytes"},
		"fields": {func(ld plog.Logs) {
			r := good(ld, "a").Attributes()
			for i := range 4 {
				r.PutInt(fmt.Sprint("a", i), 1)
			}
		}, "too_many_fields", "maxFields"},
		"field name": {func(ld plog.Logs) { good(ld, "a").Attributes().PutInt(strings.Repeat("n", 51), 1) }, "field_name_too_long", "maxFieldNameBytes"},
		"row":        {func(ld plog.Logs) { good(ld, "a").Attributes().PutStr("v", strings.Repeat("n", 1000)) }, "row_too_large", "maxRowBytes"},
		"future": {func(ld plog.Logs) {
			good(ld, "a").SetTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(time.Hour)))
		}, "too_far_in_future", "ahead of the clock"},
		"time":      {func(ld plog.Logs) { good(ld, "a").SetTimestamp(1 << 63) }, "invalid_timestamp", "9223372036854775808"},
		"label":     {func(ld plog.Logs) { good(ld, strings.Repeat("s", 201)) }, "label_too_long", "maxLabelValueBytes"},
		"not UTF-8": {func(ld plog.Logs) { good(ld, "\xff\xfe") }, "invalid_labels", "UTF-8"},
		"streams":   {func(ld plog.Logs) { good(ld, "a"); good(ld, "c") }, "too_many_streams", "maxStreamsPerTenant"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, limits)
			ld := plog.NewLogs()
			good(ld, "first")
			c.bad(ld)
			a := r.post("/v1/logs", protoOf(t, plogotlp.NewExportRequestFromLogs(ld)), "Content-Type", protoType)
			require.Equal(t, http.StatusOK, a.code, "%s", a.body)
			resp := plogotlp.NewExportResponse()
			require.NoError(t, resp.UnmarshalProto(a.body))
			require.Equal(t, int64(1), resp.PartialSuccess().RejectedLogRecords())
			require.Contains(t, resp.PartialSuccess().ErrorMessage(), c.text)
			require.Equal(t, 1.0, r.counter("yagura_ingest_refused_total", "signal", "logs", "reason", c.reason))
			require.Len(t, r.stored(columnar.Logs), ld.LogRecordCount()-1)
		})
	}
}

func TestSpansWithoutIDsAreRefused(t *testing.T) {
	td := ptrace.NewTraces()
	spans := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	spans.AppendEmpty().SetName("nameless")
	ok := spans.AppendEmpty()
	ok.SetTraceID(pcommon.TraceID{1})
	ok.SetSpanID(pcommon.SpanID{1})
	ok.SetStartTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	r := newRig(t)
	a := r.post("/v1/traces", protoOf(t, ptraceotlp.NewExportRequestFromTraces(td)), "Content-Type", protoType)
	require.Equal(t, http.StatusOK, a.code)
	resp := ptraceotlp.NewExportResponse()
	require.NoError(t, resp.UnmarshalProto(a.body))
	require.Equal(t, int64(1), resp.PartialSuccess().RejectedSpans())
	require.Contains(t, resp.PartialSuccess().ErrorMessage(), "nameless")
	require.Len(t, r.stored(columnar.Spans), 1)
}

func TestRepeatedRequestsAreStoredOnce(t *testing.T) {
	r := newRig(t)
	body := protoOf(t, logsRequest(3))
	for range 3 {
		a := r.post("/v1/logs", body, "Content-Type", protoType, "Yagura-Batch", "c1/logs/1")
		require.Equal(t, http.StatusOK, a.code)
	}
	require.Len(t, r.stored(columnar.Logs), 3)
	require.Equal(t, 2.0, r.counter("yagura_ingest_duplicate_batches_total", "signal", "logs"))
	require.Equal(t, 3.0, r.counter("yagura_ingest_accepted_total", "signal", "logs"))

	metric := protoOf(t, pmetricotlp.NewExportRequestFromMetrics(gauge("m", time.Now(), 1)))
	for range 3 {
		a := r.post("/v1/metrics", metric, "Content-Type", protoType, "Yagura-Batch", "c1/otlp-metrics/1")
		require.Equal(t, http.StatusOK, a.code)
	}
	require.Equal(t, 2.0, r.counter("yagura_ingest_duplicate_batches_total", "signal", "metrics"))
	require.Equal(t, 1.0, r.counter("yagura_ingest_accepted_total", "signal", "metrics"))
}

// failing is a store that refuses everything.
type failing struct{ err error }

func (f failing) Append(context.Context, columnar.Batch) (bool, error) { return false, f.err }

func TestStoreErrorsTellWhetherToComeAgain(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		code  int
		grpc  codes.Code
		retry bool
	}{
		"full":      {fmt.Errorf("x: %w", columnar.ErrFull), 503, codes.ResourceExhausted, true},
		"closed":    {columnar.ErrClosed, 503, codes.Unavailable, true},
		"too large": {columnar.ErrTooLarge, 413, codes.InvalidArgument, false},
		"broken":    {errors.New("input/output error"), 503, codes.Unavailable, true},
		"canceled":  {context.Canceled, 503, codes.Unavailable, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *ingest.Options) { o.Rows = failing{c.err} })
			a := r.post("/v1/logs", protoOf(t, logsRequest(1)), "Content-Type", protoType)
			require.Equal(t, c.code, a.code)
			var st spb.Status
			require.NoError(t, proto.Unmarshal(a.body, &st))
			require.Equal(t, int32(c.grpc), st.Code)
			require.Equal(t, c.retry, a.header.Get("Retry-After") != "")
			if c.retry {
				var info errdetails.RetryInfo
				require.Len(t, st.Details, 1)
				require.NoError(t, st.Details[0].UnmarshalTo(&info))
				require.Positive(t, info.RetryDelay.AsDuration())
			}
			require.Zero(t, r.counter("yagura_ingest_accepted_total"))
		})
	}
}

func TestOverloadTellsToComeAgain(t *testing.T) {
	r := newRig(t, func(o *ingest.Options) {
		o.Config.MaxBodyBytes, o.Config.MaxDecodedBytes, o.Config.MaxElements = 1<<20, 1<<20, 4000
		o.Config.MaxInFlightBytes = 2<<20 + 4000*256
	})
	// Requests that are still being read hold most of the budget: 1 MiB each.
	ended := make(chan int)
	hold := func() *io.PipeWriter {
		body, w := io.Pipe()
		t.Cleanup(func() { w.Close() }) // or a failure would leave the server waiting
		go func() {
			code := -1
			req, err := http.NewRequest(http.MethodPost, r.url+"/v1/logs", body)
			if err == nil {
				req.Header.Set("Content-Type", protoType)
				if resp, err := r.client.Do(req); err == nil {
					resp.Body.Close()
					code = resp.StatusCode
				}
			}
			ended <- code
		}()
		_, err := w.Write(make([]byte, 700<<10))
		require.NoError(t, err)
		return w
	}
	slow := []*io.PipeWriter{hold(), hold()}
	require.Eventually(t, func() bool { return r.counter("yagura_ingest_in_flight_bytes") >= 2<<20 }, 20*time.Second, time.Millisecond)
	a := r.post("/v1/logs", protoOf(t, logsRequest(1900)), "Content-Type", protoType)
	require.Equal(t, http.StatusServiceUnavailable, a.code)
	require.NotEmpty(t, a.header.Get("Retry-After"))
	for _, w := range slow {
		require.NoError(t, w.Close())
		require.Equal(t, http.StatusBadRequest, <-ended, "zeros are no protobuf")
	}
	require.Equal(t, 1.0, r.counter("yagura_ingest_rejected_requests_total", "reason", "overloaded"))
	a = r.post("/v1/logs", protoOf(t, logsRequest(1900)), "Content-Type", protoType)
	require.Equal(t, http.StatusOK, a.code, "the budget was given back")
}

func TestTenantRate(t *testing.T) {
	now := time.Now()
	r := newRig(t, func(o *ingest.Options) {
		o.Config.TenantBytesPerSecond, o.Config.TenantBurstBytes = 1, o.Config.MaxDecodedBytes/4
		o.Config.MaxLineBytes, o.Config.MaxRowBytes = 16<<20, 16<<20
		o.Now = func() time.Time { return now }
	})
	big := logsRequest(1)
	big.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().SetStr(strings.Repeat("x", 8<<20-100))
	require.Equal(t, http.StatusOK, r.post("/v1/logs", protoOf(t, big), "Content-Type", protoType).code)
	a := r.post("/v1/logs", protoOf(t, logsRequest(20)), "Content-Type", protoType)
	require.Equal(t, http.StatusTooManyRequests, a.code)
	require.NotEmpty(t, a.header.Get("Retry-After"))

	other := logsRequest(20)
	other.Logs().ResourceLogs().At(0).Resource().Attributes().PutStr("k8s.namespace.name", "other")
	require.Equal(t, http.StatusOK, r.post("/v1/logs", protoOf(t, other), "Content-Type", protoType).code, "another tenant's turn is its own")
	now = now.Add(time.Hour)
	require.Equal(t, http.StatusOK, r.post("/v1/logs", protoOf(t, logsRequest(20)), "Content-Type", protoType).code)
}

func gauge(name string, at time.Time, v float64) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "checkout")
	m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName(name)
	dp := m.SetEmptyGauge().DataPoints().AppendEmpty()
	dp.SetDoubleValue(v)
	dp.SetTimestamp(pcommon.NewTimestampFromTime(at))
	return md
}

func TestOTLPMetrics(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	require.NoError(t, rm.Resource().Attributes().FromRaw(map[string]any{
		"service.name": "checkout", "service.namespace": "team", "service.instance.id": "i1",
		"k8s.cluster.name": "east", "k8s.namespace.name": "shop", "k8s.pod.name": "checkout-1", "k8s.container.name": "main",
		"k8s.node.name": "n1", "host.arch": "amd64",
	}))
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	add := func(name, unit string) pmetric.Metric {
		m := ms.AppendEmpty()
		m.SetName(name)
		m.SetUnit(unit)
		m.SetDescription("about " + name)
		return m
	}
	at := pcommon.NewTimestampFromTime(now)

	counter := add("http.server.requests", "1").SetEmptySum()
	counter.SetIsMonotonic(true)
	counter.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	dp := counter.DataPoints().AppendEmpty()
	dp.SetIntValue(7)
	dp.SetTimestamp(at)
	dp.Attributes().PutStr("namespace", "of the point")
	ex := dp.Exemplars().AppendEmpty()
	ex.SetDoubleValue(1)
	ex.SetTimestamp(at)
	ex.SetTraceID(pcommon.TraceID{1})

	hist := add("latency", "s").SetEmptyHistogram()
	hist.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	h := hist.DataPoints().AppendEmpty()
	h.SetTimestamp(at)
	h.ExplicitBounds().FromRaw([]float64{1})
	h.BucketCounts().FromRaw([]uint64{2, 3})
	h.SetCount(5)
	h.SetSum(9)

	exp := add("size", "By").SetEmptyExponentialHistogram()
	exp.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	e := exp.DataPoints().AppendEmpty()
	e.SetTimestamp(at)
	e.SetScale(12) // finer than the TSDB stores
	e.SetCount(4)
	e.SetSum(8)
	e.Positive().BucketCounts().FromRaw([]uint64{1, 3})

	delta := add("delta.metric", "").SetEmptySum()
	delta.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	for range 3 {
		delta.DataPoints().AppendEmpty().SetTimestamp(at)
	}
	old := add("old", "").SetEmptyGauge().DataPoints()
	old.AppendEmpty().SetTimestamp(1) // 1970
	add("empty", "")

	r := newRig(t)
	a := r.post("/v1/metrics", protoOf(t, pmetricotlp.NewExportRequestFromMetrics(md)), "Content-Type", protoType)
	require.Equal(t, http.StatusOK, a.code, "%s", a.body)
	resp := pmetricotlp.NewExportResponse()
	require.NoError(t, resp.UnmarshalProto(a.body))
	require.Equal(t, int64(5), resp.PartialSuccess().RejectedDataPoints(), resp.PartialSuccess().ErrorMessage())
	for _, named := range []string{"delta.metric", "old", "empty"} {
		require.Contains(t, resp.PartialSuccess().ErrorMessage(), named)
	}
	require.Equal(t, 3.0, r.counter("yagura_ingest_refused_total", "reason", "not_cumulative", "cluster", "east", "namespace", "shop"))

	const six = `cluster="east", container="main", %sinstance="i1", job="team/checkout", %snamespace="shop", node="n1", pod="checkout-1", %sservice_name="checkout"`
	series := func(name, exported, le, service string) string {
		return fmt.Sprintf(`{__name__="`+name+`", `+six+service+`}`, exported, le, "")
	}
	got := r.series()
	require.Equal(t, map[string][]float64{
		series("http_server_requests_total", `exported_namespace="of the point", `, "", ""): {7},
		series("latency_seconds_bucket", "", `le="1", `, ""):                                {2},
		series("latency_seconds_bucket", "", `le="+Inf", `, ""):                             {5},
		series("latency_seconds_sum", "", "", ""):                                           {9},
		series("latency_seconds_count", "", "", ""):                                         {5},
		series("size_bytes", "", "", ""):                                                    {4},
		series("target_info", `host_arch="amd64", `, "", ""):                                {1},
	}, got)
}

// One point from 1970 beside one of today must not make target_info fill the time
// between them.
func TestOldPointDoesNotCauseMillionsOfSamples(t *testing.T) {
	md := gauge("m", time.Now(), 1)
	rm := md.ResourceMetrics().At(0)
	rm.Resource().Attributes().PutStr("service.instance.id", "i")
	rm.Resource().Attributes().PutStr("host.name", "h")
	m := rm.ScopeMetrics().At(0).Metrics().At(0)
	m.Gauge().DataPoints().AppendEmpty().SetTimestamp(1)
	m.Gauge().DataPoints().AppendEmpty().SetTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(-11 * time.Hour)))
	r := newRig(t)
	a := r.post("/v1/metrics", protoOf(t, pmetricotlp.NewExportRequestFromMetrics(md)), "Content-Type", protoType)
	require.Equal(t, http.StatusOK, a.code)
	info := r.series(labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, "target_info"))
	require.Len(t, info, 1)
	for _, samples := range info {
		require.Less(t, len(samples), 300)
		require.Greater(t, len(samples), 200, "eleven hours, every two and a half minutes")
	}
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	require.NoError(t, ingest.DefaultConfig().Validate())
	c := ingest.DefaultConfig()
	c.MaxFields, c.MaxFutureTime, c.MaxInFlightBytes, c.TenantBytesPerSecond, c.TenantBurstBytes = 0, model.Duration(-1), 1, 5, 1
	for _, field := range []string{"maxFields", "maxFutureTime", "maxInFlightBytes", "tenantBurstBytes"} {
		require.ErrorContains(t, c.Validate(), field)
	}
}
