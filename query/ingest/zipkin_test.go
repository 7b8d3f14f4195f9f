package ingest_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
	"github.com/yagura-dev/yagura/query/traces"
)

const zipkinPath = "/api/v2/spans"

func storedSpan(t testing.TB, r *rig) (traces.Span, string) {
	t.Helper()
	rows := r.stored(columnar.Spans)
	require.Len(t, rows, 1)
	s, err := traces.SpanFromRow(labels.EmptyLabels(), rows[0].Row)
	require.NoError(t, err)
	return s, rows[0].labels
}

func attributes(as []traces.Attribute) map[string]string {
	out := map[string]string{}
	for _, a := range as {
		out[a.Key] = a.Text
	}
	return out
}

func TestZipkin(t *testing.T) {
	at := time.Now().Truncate(time.Millisecond)
	us := fmt.Sprint(at.UnixMicro())
	body := []byte(`[{
		"traceId": "5af7183fb1d4cf5f", "parentId": "6b221d5bc9e6496c", "id": "352bff9a74ca9ad2", "kind": "CLIENT", "name": "get /api",
		"timestamp": ` + us + `, "duration": 1431, "debug": true, "shared": true,
		"localEndpoint": {"serviceName": "backend", "ipv4": "192.168.99.1", "port": 3306},
		"remoteEndpoint": {"serviceName": "bank", "ipv6": "2001:db8::1", "port": 58648},
		"annotations": [{"timestamp": ` + us + `, "value": "ws"}, {"timestamp": ` + us + `, "value": "retry|{\"n\":2,\"why\":\"slow\",\"last\":true,\"all\":[1]}|3"}],
		"tags": {"http.method": "GET", "error": "no route", "k8s.namespace.name": "prod", "w3c.tracestate": "a=b", "otel.library.name": "brave"}}]`)
	for name, header := range map[string][]string{
		"json": {"Content-Type", "application/json"}, "json, charset": {"Content-Type", "application/json; charset=utf-8"}, "no content type": nil,
		"gzip": {"Content-Encoding", "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			sent := body
			if name == "gzip" {
				sent = gzipped(t, body)
			}
			for range 2 {
				a := r.post(zipkinPath, sent, append([]string{"Yagura-Batch", "z/traces/1"}, header...)...)
				require.Equal(t, http.StatusAccepted, a.code, "%s", a.body)
				require.Empty(t, a.body)
			}
			s, stream := storedSpan(t, r)
			require.Equal(t, `{namespace="prod", service_name="backend"}`, stream)
			require.Equal(t, "00000000000000005af7183fb1d4cf5f", s.TraceID.String())
			require.Equal(t, "352bff9a74ca9ad2", s.SpanID.String())
			require.Equal(t, "6b221d5bc9e6496c", s.ParentSpanID.String())
			require.Equal(t, "get /api", s.Name)
			require.Equal(t, traces.KindClient, s.Kind)
			require.Equal(t, at.UnixNano(), s.Start)
			require.EqualValues(t, 1_431_000, s.Duration())
			require.Equal(t, traces.StatusError, s.StatusCode)
			require.Equal(t, "no route", s.StatusMessage)
			require.Equal(t, "a=b", s.TraceState)
			require.Equal(t, "brave", s.ScopeName)
			require.Equal(t, map[string]string{"service.name": "backend", "k8s.namespace.name": "prod"}, attributes(s.ResourceAttributes))
			require.Equal(t, map[string]string{
				"http.method": "GET", "error": "no route", "net.host.ip": "192.168.99.1", "net.host.port": "3306",
				"peer.service": "bank", "net.peer.ip": "2001:db8::1", "net.peer.port": "58648", "zipkin.shared": "true", "zipkin.debug": "true",
			}, attributes(s.Attributes))
			require.Len(t, s.Events, 2)
			require.Equal(t, traces.Event{Time: at.UnixNano(), Name: "ws"}, s.Events[0])
			require.Equal(t, "retry", s.Events[1].Name)
			require.EqualValues(t, 3, s.Events[1].DroppedAttributes)
			require.Equal(t, map[string]string{"n": "2", "why": "slow", "last": "true", "all": "[1]"}, attributes(s.Events[1].Attributes))
		})
	}
}

func TestZipkinKindsAndStatus(t *testing.T) {
	for more, want := range map[string]struct {
		kind   traces.Kind
		status traces.StatusCode
		text   string
		left   map[string]string
	}{
		`"kind": "SERVER"`:                       {kind: traces.KindServer},
		`"kind": "producer"`:                     {kind: traces.KindProducer},
		`"kind": "CONSUMER"`:                     {kind: traces.KindConsumer},
		`"kind": null`:                           {},
		`"tags": {"span.kind": "internal"}`:      {kind: traces.KindInternal},
		`"tags": {"error": ""}`:                  {status: traces.StatusError},
		`"tags": {"error": "true"}`:              {status: traces.StatusError},
		`"tags": {"error": "false"}`:             {left: map[string]string{"error": "false"}},
		`"tags": {"otel.status_code": "OK"}`:     {status: traces.StatusOK},
		`"tags": {"otel.status_code": "broken"}`: {left: map[string]string{"otel.status_code": "broken"}},
		`"tags": {"otel.status_code": "ERROR", "otel.status_description": "lost"}`: {status: traces.StatusError, text: "lost"},
	} {
		t.Run(more, func(t *testing.T) {
			r := newRig(t)
			a := r.post(zipkinPath, []byte(`[{"traceId": "1", "id": "2", "timestamp": 1000, `+more+`}]`))
			require.Equal(t, http.StatusAccepted, a.code, "%s", a.body)
			s, stream := storedSpan(t, r)
			require.Equal(t, `{service_name="unknown_service"}`, stream)
			require.Equal(t, want.kind, s.Kind)
			require.Equal(t, want.status, s.StatusCode)
			require.Equal(t, want.text, s.StatusMessage)
			if want.left == nil {
				want.left = map[string]string{}
			}
			require.Equal(t, want.left, attributes(s.Attributes))
		})
	}
}

func TestZipkinSpansWithoutAStart(t *testing.T) {
	now := time.Now()
	r := newRig(t, func(o *ingest.Options) { o.Now = func() time.Time { return now } })
	r.post(zipkinPath, []byte(`[{"traceId": "1", "id": "2", "annotations": [{"timestamp": 2000, "value": "sr"}, {"timestamp": 1000, "value": "cs"}]}]`))
	s, _ := storedSpan(t, r)
	require.EqualValues(t, 1_000_000, s.Start)
	require.Equal(t, map[string]string{"otel.zipkin.absentField.startTime": "true"}, attributes(s.Attributes))

	r = newRig(t, func(o *ingest.Options) { o.Now = func() time.Time { return now } })
	r.post(zipkinPath, []byte(`[{"traceId": "1", "id": "2"}]`))
	s, _ = storedSpan(t, r)
	require.Equal(t, now.UnixNano(), s.Start)
}

func TestZipkinRefusals(t *testing.T) {
	span := func(fields string) []byte { return []byte(`[{` + fields + `}]`) }
	for name, c := range map[string]struct {
		body   []byte
		header []string
		code   int
		text   string
	}{
		"not JSON":           {[]byte(`[{`), nil, 400, "decode Zipkin"},
		"no array":           {[]byte(`{}`), nil, 400, "decode Zipkin"},
		"trailing":           {[]byte(`[] []`), nil, 400, "after the JSON array"},
		"tag is a number":    {span(`"traceId": "1", "id": "1", "tags": {"a": 1}`), nil, 400, "decode Zipkin"},
		"no trace id":        {span(`"id": "1"`), nil, 400, "traceId"},
		"zero trace id":      {span(`"traceId": "0", "id": "1"`), nil, 400, "no trace id"},
		"long trace id":      {span(`"traceId": "123456789012345678901234567890123", "id": "1"`), nil, 400, "traceId"},
		"id of words":        {span(`"traceId": "1", "id": "mine"`), nil, 400, "hexadecimal"},
		"parent of words":    {span(`"traceId": "1", "id": "1", "parentId": "x"`), nil, 400, "parentId"},
		"time overflows":     {span(`"traceId": "1", "id": "1", "timestamp": 18446744073709551615`), nil, 400, "out of range"},
		"time in the future": {span(`"traceId": "1", "id": "1", "timestamp": 7446744073709551`), nil, 400, "ahead of the clock"},
		"protobuf":           {nil, []string{"Content-Type", "application/x-protobuf"}, 415, "application/json"},
		"encoding":           {nil, []string{"Content-Encoding", "br"}, 415, "br"},
		"batch id":           {nil, []string{"Yagura-Batch", "x"}, 400, "Yagura-Batch"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.post(zipkinPath, c.body, c.header...)
			require.Equal(t, c.code, a.code, "%s", a.body)
			require.Contains(t, string(a.body), c.text)
			require.Empty(t, r.stored(columnar.Spans))
		})
	}
	t.Run("some", func(t *testing.T) {
		r := newRig(t)
		a := r.post(zipkinPath, []byte(`[{"traceId": "1", "id": "x"}, {"traceId": "1", "id": "2"}]`))
		require.Equal(t, http.StatusAccepted, a.code)
		require.Contains(t, string(a.body), "hexadecimal")
		require.Len(t, r.stored(columnar.Spans), 1)
	})
	t.Run("empty", func(t *testing.T) {
		require.Equal(t, http.StatusAccepted, newRig(t).post(zipkinPath, []byte(`[]`)).code)
	})
	t.Run("full", func(t *testing.T) {
		r := newRig(t, func(o *ingest.Options) { o.Rows = failing{columnar.ErrFull} })
		a := r.post(zipkinPath, []byte(`[{"traceId": "1", "id": "2"}]`))
		require.Equal(t, http.StatusServiceUnavailable, a.code)
		require.Equal(t, "30", a.header.Get("Retry-After"))
	})
}

func FuzzZipkin(f *testing.F) {
	h, rows := fuzzRig(f)
	f.Add([]byte(`[{"traceId": "5af7183fb1d4cf5f", "id": "352bff9a74ca9ad2", "kind": "CLIENT", "timestamp": 1, "duration": 2, "shared": true,
		"localEndpoint": {"serviceName": "a", "port": 1}, "annotations": [{"timestamp": 1, "value": "a|{\"b\":null}|1"}], "tags": {"error": "x"}}]`))
	f.Add([]byte(`[null, {"traceId": null}]`))
	f.Add([]byte(`null`))
	f.Add([]byte(`[{"traceId":"1","id":"1","timestamp":9223372036854775,"duration":18446744073709551615}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		check(t, h, rows, zipkinPath, body)
	})
}
