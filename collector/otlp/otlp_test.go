package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/goleak"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/collector/kube"
	"github.com/yagura-dev/yagura/collector/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink keeps what it is given.
type sink struct {
	mu      sync.Mutex
	records map[queue.Stream][][]byte
	err     error
	block   chan struct{}
}

func newSink() *sink { return &sink{records: make(map[queue.Stream][][]byte)} }

func (s *sink) Append(ctx context.Context, stream queue.Stream, payload []byte) error {
	if s.block != nil {
		select {
		case <-s.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.records[stream] = append(s.records[stream], payload)
	return nil
}

func (s *sink) len(stream queue.Stream) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records[stream])
}

// last returns the newest record of a stream, decompressed.
func (s *sink) last(t testing.TB, stream queue.Stream) []byte {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NotEmpty(t, s.records[stream], stream)
	list := s.records[stream]
	return gunzip(t, list[len(list)-1])
}

func gunzip(t testing.TB, payload []byte) []byte {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(payload))
	require.NoError(t, err)
	content, err := io.ReadAll(reader)
	require.NoError(t, err)
	return content
}

func gzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// pods answers lookups from maps.
type pods struct {
	byUID map[string]kube.Pod
	byIP  map[netip.Addr]kube.Pod
}

func (p pods) PodByUID(uid string) (kube.Pod, bool) { pod, ok := p.byUID[uid]; return pod, ok }

func (p pods) PodByIP(ip netip.Addr) (kube.Pod, bool) { pod, ok := p.byIP[ip]; return pod, ok }

func (p pods) ContainerByID(id string) (kube.Pod, kube.Container, bool) {
	for _, pod := range p.byUID {
		for _, c := range pod.Containers {
			if c.ID == id {
				return pod, c, true
			}
		}
	}
	return kube.Pod{}, kube.Container{}, false
}

var checkout = kube.Pod{
	UID: "u1", Namespace: "shop", Name: "checkout-1", Node: "n1",
	Workload: kube.Workload{Kind: "Deployment", Name: "checkout"}, Containers: []kube.Container{{Name: "app", ID: "c1"}},
}

var loopback = netip.MustParseAddr("127.0.0.1")

func config() Config {
	c := DefaultConfig()
	c.GRPC, c.HTTP = "127.0.0.1:0", "127.0.0.1:0"
	return c
}

// receiver returns a running receiver.
func receiver(t testing.TB, c Config, p Pods, s Sink) *Receiver {
	t.Helper()
	r, err := New(c, "dev", p, s, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	run(t, r)
	return r
}

func run(t testing.TB, r *Receiver) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

// example returns an OTLP/JSON request of the specification's examples.
func example(t testing.TB, name string) []byte {
	t.Helper()
	path := filepath.Join("../../../shared/data/otlp", name)
	content, err := os.ReadFile(path)
	if os.IsNotExist(err) && os.Getenv("CI") != "true" {
		t.Skipf("%s is not here", path)
	}
	require.NoError(t, err)
	return content
}

// post sends a request by HTTP.
func post(t testing.TB, r *Receiver, path, kind, coding string, body []byte) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+r.HTTPAddr().String()+path, bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", kind)
	if coding != "" {
		request.Header.Set("Content-Encoding", coding)
	}
	return do(t, request)
}

func do(t testing.TB, request *http.Request) (*http.Response, []byte) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, answer
}

// logs returns a request of one log record as protobuf.
func logs(t testing.TB, attributes map[string]any) []byte {
	t.Helper()
	data := plog.NewLogs()
	one := data.ResourceLogs().AppendEmpty()
	require.NoError(t, one.Resource().Attributes().FromRaw(attributes))
	one.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("hello")
	content, err := plogotlp.NewExportRequestFromLogs(data).MarshalProto()
	require.NoError(t, err)
	return content
}

// resourceOf returns the attributes of the first resource of a logs request.
func resourceOf(t testing.TB, content []byte) map[string]any {
	t.Helper()
	request := plogotlp.NewExportRequest()
	require.NoError(t, request.UnmarshalProto(content))
	require.Positive(t, request.Logs().ResourceLogs().Len())
	return request.Logs().ResourceLogs().At(0).Resource().Attributes().AsRaw()
}

func TestExamplesOfTheSpecificationArrive(t *testing.T) {
	s := newSink()
	r := receiver(t, config(), nil, s)
	for name, want := range map[string]struct {
		path   string
		stream queue.Stream
		decode func([]byte) (string, error)
	}{
		"logs.json":    {"/v1/logs", queue.Logs, decodeLogs},
		"events.json":  {"/v1/logs", queue.Logs, decodeLogs},
		"trace.json":   {"/v1/traces", queue.Traces, decodeTraces},
		"metrics.json": {"/v1/metrics", queue.OTLPMetrics, decodeMetrics},
	} {
		t.Run(name, func(t *testing.T) {
			content := example(t, name)
			response, answer := post(t, r, want.path, typeJSON, "", content)
			require.Equal(t, http.StatusOK, response.StatusCode, string(answer))
			require.Equal(t, typeJSON, response.Header.Get("Content-Type"))
			require.Equal(t, "{}", string(answer))

			stored := s.last(t, want.stream)
			text, err := want.decode(stored)
			require.NoError(t, err)
			require.Contains(t, text, `"k8s.cluster.name"`)
			for _, signal := range r.signals {
				if signal.path == want.path {
					original, err := signal.fromJSON(content)
					require.NoError(t, err)
					plain, err := want.decode(original)
					require.NoError(t, err)
					require.Equal(t, plain, strings.Replace(text, `,{"key":"k8s.cluster.name","value":{"stringValue":"dev"}}`, "", 1),
						"nothing but the attribute was added")
				}
			}
		})
	}
}

func decodeLogs(content []byte) (string, error) {
	request := plogotlp.NewExportRequest()
	return decode(&request, content)
}

func decodeTraces(content []byte) (string, error) {
	request := ptraceotlp.NewExportRequest()
	return decode(&request, content)
}

func decodeMetrics(content []byte) (string, error) {
	request := pmetricotlp.NewExportRequest()
	return decode(&request, content)
}

func decode(request interface {
	UnmarshalProto([]byte) error
	MarshalJSON() ([]byte, error)
}, content []byte) (string, error) {
	if err := request.UnmarshalProto(content); err != nil {
		return "", err
	}
	text, err := request.MarshalJSON()
	return string(text), err
}

func TestEveryCodingArrivesUnchanged(t *testing.T) {
	s := newSink()
	r := receiver(t, config(), nil, s)
	body := logs(t, map[string]any{"k8s.cluster.name": "theirs"})
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	require.NoError(t, err)
	defer encoder.Close()
	for coding, content := range map[string][]byte{
		"": body, "identity": body, "gzip": gzipped(t, body), "zstd": encoder.EncodeAll(body, nil),
	} {
		response, answer := post(t, r, "/v1/logs", typeProtobuf+"; charset=x", coding, content)
		require.Equal(t, http.StatusOK, response.StatusCode, "%s: %s", coding, answer)
		require.Equal(t, typeProtobuf, response.Header.Get("Content-Type"))
		require.Empty(t, answer)
		require.Equal(t, body, s.last(t, queue.Logs), coding)
	}
}

func TestBadRequestsAreRefusedForGood(t *testing.T) {
	s := newSink()
	c := config()
	c.MaxRequestBytes = 1000
	r := receiver(t, c, nil, s)
	good := logs(t, nil)
	deep := strings.Repeat(`{"arrayValue":{"values":[`, 200) + strings.Repeat(`]}}`, 200)
	for name, test := range map[string]struct {
		kind, coding string
		body         []byte
		status       int
		message      string
	}{
		"cut off":            {typeProtobuf, "", good[:len(good)-3], 400, "ResourceLogs is cut off"},
		"wrong type":         {typeProtobuf, "", []byte("\x0a\x04\x12\x02\x10\x07"), 400, "ResourceLogs.scope_logs: ScopeLogs.log_records has wire type 0 instead of 2"},
		"short trace id":     {typeProtobuf, "", []byte("\x0a\x07\x12\x05\x12\x03\x4a\x01\x41"), 400, "LogRecord.trace_id has 1 bytes instead of 16"},
		"not json":           {typeJSON, "", []byte("resourceLogs"), 400, "parse the request as OTLP/JSON"},
		"nested too deeply":  {typeJSON, "", []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":` + deep + `}]}]}]}`), 413, "larger"},
		"not gzip":           {typeProtobuf, "gzip", good, 400, "gzip header"},
		"broken gzip":        {typeProtobuf, "gzip", gzipped(t, good)[:20], 400, "read the body"},
		"unknown coding":     {typeProtobuf, "br", good, 415, `"br"`},
		"unknown type":       {"text/plain", "", good, 415, `content type "text/plain"`},
		"no type":            {"", "", good, 415, "content type"},
		"too large":          {typeProtobuf, "", make([]byte, 1001), 413, "maxRequestBytes"},
		"too large unzipped": {typeProtobuf, "gzip", gzipped(t, make([]byte, 100_000)), 413, "1000B (collector.otlp.maxRequestBytes)"},
	} {
		t.Run(name, func(t *testing.T) {
			response, answer := post(t, r, "/v1/logs", test.kind, test.coding, test.body)
			require.Equal(t, test.status, response.StatusCode, string(answer))
			require.Empty(t, response.Header.Get("Retry-After"), "never tried again")
			var status spb.Status
			if test.kind == typeProtobuf {
				require.Equal(t, typeProtobuf, response.Header.Get("Content-Type"))
				require.NoError(t, proto.Unmarshal(answer, &status))
			} else {
				require.Equal(t, typeJSON, response.Header.Get("Content-Type"))
				require.NoError(t, protojson.Unmarshal(answer, &status))
			}
			require.Contains(t, status.Message, test.message)
		})
	}
	response, answer := do(t, httptestRequest(t, r, http.MethodGet, "/v1/traces"))
	require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
	require.Equal(t, http.MethodPost, response.Header.Get("Allow"))
	require.Contains(t, string(answer), "use POST")
	response, _ = do(t, httptestRequest(t, r, http.MethodPost, "/v1/profiles"))
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	require.Zero(t, s.len(queue.Logs))
	require.Positive(t, testutil.ToFloat64(r.metrics.refused.WithLabelValues("logs", "invalid")))

	response, _ = post(t, r, "/v1/logs", typeProtobuf, "", good)
	require.Equal(t, http.StatusOK, response.StatusCode, "and it goes on")
}

func httptestRequest(t *testing.T, r *Receiver, method, path string) *http.Request {
	request, err := http.NewRequest(method, "http://"+r.HTTPAddr().String()+path, nil)
	require.NoError(t, err)
	return request
}

func TestDeeplyNestedValuesAreRefused(t *testing.T) {
	r := receiver(t, config(), nil, newSink())
	deep := strings.Repeat(`{"arrayValue":{"values":[`, 2000) + strings.Repeat(`]}}`, 2000)
	response, answer := post(t, r, "/v1/logs", typeJSON, "", []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":`+deep+`}]}]}]}`))
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	require.Contains(t, string(answer), "nest deeper than 100 levels")
}

func TestQueueThatTakesNothing(t *testing.T) {
	s := newSink()
	r := receiver(t, config(), nil, s)
	for _, test := range []struct {
		err    error
		status int
		code   codes.Code
		retry  string
	}{
		{queue.ErrFull, http.StatusTooManyRequests, codes.ResourceExhausted, "1"},
		{queue.ErrTooLarge, http.StatusRequestEntityTooLarge, codes.ResourceExhausted, ""},
		{queue.ErrClosed, http.StatusServiceUnavailable, codes.Unavailable, "1"},
		{errors.New("disk on fire"), http.StatusServiceUnavailable, codes.Unavailable, "1"},
	} {
		s.err = test.err
		response, answer := post(t, r, "/v1/logs", typeProtobuf, "", logs(t, nil))
		require.Equal(t, test.status, response.StatusCode, string(answer))
		require.Equal(t, test.retry, response.Header.Get("Retry-After"))
		var status spb.Status
		require.NoError(t, proto.Unmarshal(answer, &status))
		require.EqualValues(t, test.code, status.Code)
	}
	list, _ := r.senders.take()
	require.Empty(t, list, "who was refused was not heard")
}

func TestTooManyRequestsAtOnceWaitAndAreThenRefused(t *testing.T) {
	s := newSink()
	s.block = make(chan struct{})
	c := config()
	c.MaxConcurrentRequests = 1
	clock := clocktesting.NewFakeClock(time.Unix(1_800_000_000, 0))
	r, err := newReceiver(c, "", nil, s, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), clock)
	require.NoError(t, err)
	run(t, r)
	first := make(chan int, 1)
	body := logs(t, nil)
	send := func() int {
		request, _ := http.NewRequest(http.MethodPost, "/v1/logs", bytes.NewReader(body))
		request.Header.Set("Content-Type", typeProtobuf)
		recorder := httptest.NewRecorder()
		r.Handler().ServeHTTP(recorder, request)
		return recorder.Code
	}
	go func() { first <- send() }()
	require.Eventually(t, func() bool { return len(r.slots) == 1 }, 5*time.Second, time.Millisecond)
	second := make(chan int, 1)
	go func() { second <- send() }()
	for len(second) == 0 {
		clock.Step(time.Second) // until the second's wait is over
		time.Sleep(time.Millisecond)
	}
	require.Equal(t, http.StatusTooManyRequests, <-second)
	close(s.block)
	require.Equal(t, http.StatusOK, <-first)
}

func TestOriginsAreAllowedOnlyWhenConfigured(t *testing.T) {
	request := func(r *Receiver, method, origin string) http.Header {
		req := httptestRequest(t, r, method, "/v1/logs")
		req.Header.Set("Origin", origin)
		response, _ := do(t, req)
		return response.Header
	}
	closed := receiver(t, config(), nil, newSink())
	require.Empty(t, request(closed, http.MethodOptions, "https://shop.example").Get("Access-Control-Allow-Origin"))
	c := config()
	c.AllowedOrigins = []string{"https://shop.example"}
	open := receiver(t, c, nil, newSink())
	require.Equal(t, "https://shop.example", request(open, http.MethodOptions, "https://shop.example").Get("Access-Control-Allow-Origin"))
	require.Empty(t, request(open, http.MethodOptions, "https://other.example").Get("Access-Control-Allow-Origin"))
}

func TestPortThatIsTakenIsAnError(t *testing.T) {
	r := receiver(t, config(), nil, newSink())
	c := config()
	c.HTTP = r.HTTPAddr().String()
	_, err := New(c, "", nil, newSink(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.ErrorContains(t, err, "http: listen tcp")
}

func TestValidateNamesTheField(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"grpc: ":                         func(c *Config) { c.GRPC = "nonsense" },
		"maxRequestBytes: 0 is less":     func(c *Config) { c.MaxRequestBytes = 0 },
		"maxSenders: -1 is less":         func(c *Config) { c.MaxSenders = -1 },
		"retryAfter: 0s is not":          func(c *Config) { c.RetryAfter = 0 },
		"allowedOrigins[0]: \"example\"": func(c *Config) { c.AllowedOrigins = []string{"example"} },
	} {
		c := DefaultConfig()
		change(&c)
		require.ErrorContains(t, c.Validate(), want)
	}
	require.NoError(t, DefaultConfig().Validate())
}
