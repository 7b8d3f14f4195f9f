package ingest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/snappy"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
)

const pushPath = "/loki/api/v1/push"

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func lokiProto(t testing.TB, streams ...push.Stream) []byte {
	t.Helper()
	b, err := (&push.PushRequest{Streams: streams}).Marshal()
	require.NoError(t, err)
	return snappy.Encode(nil, b)
}

func TestLokiPush(t *testing.T) {
	at := time.Now().Truncate(time.Second)
	ns := fmt.Sprint(at.UnixNano())
	asJSON := []byte(`{"streams": [{"stream": {"app": "shop", "namespace": "prod"}, "values": [["` + ns + `", "hello", {"trace.id": "abc"}], ["` + ns + `", "two"]]}]}`)
	asProto := lokiProto(t, push.Stream{Labels: `{app="shop", namespace="prod"}`, Entries: []push.Entry{
		{Timestamp: at, Line: "hello", StructuredMetadata: push.LabelsAdapter{{Name: "trace.id", Value: "abc"}}},
		{Timestamp: at, Line: "two"},
	}})
	for name, c := range map[string]struct {
		body   []byte
		header []string
	}{
		"json":                     {asJSON, []string{"Content-Type", "application/json"}},
		"json, gzip":               {gzipped(t, asJSON), []string{"Content-Type", "application/json; charset=utf-8", "Content-Encoding", "gzip"}},
		"json, zlib":               {zlibbed(t, asJSON), []string{"Content-Type", "application/json", "Content-Encoding", "deflate"}},
		"json, deflate":            {deflated(t, asJSON), []string{"Content-Type", "application/json", "Content-Encoding", "deflate"}},
		"protobuf":                 {asProto, []string{"Content-Type", "application/x-protobuf"}},
		"protobuf, encoding named": {asProto, []string{"Content-Type", "application/x-protobuf", "Content-Encoding", "snappy"}},
		"no content type":          {asProto, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			header := append([]string{"Yagura-Batch", "promtail/logs/1", "X-Scope-OrgID", "anyone"}, c.header...)
			for range 2 {
				a := r.post(pushPath, c.body, header...)
				require.Equal(t, http.StatusNoContent, a.code, "%s", a.body)
			}
			rows := r.stored(columnar.Logs)
			require.Len(t, rows, 2)
			for _, row := range rows {
				require.Equal(t, `{app="shop", namespace="prod"}`, row.labels, "labels stay as they were sent")
				require.Equal(t, at.UnixNano(), row.Timestamp)
				if row.Line == "hello" {
					require.Equal(t, map[string]string{"trace_id": "abc"}, fields(row.Row))
				}
			}
		})
	}
}

func TestLokiPushRefusesWhatItCannotRead(t *testing.T) {
	value := func(v string) []byte { return []byte(`{"streams": [{"stream": {"a": "b"}, "values": [` + v + `]}]}`) }
	for name, c := range map[string]struct {
		body  []byte
		ctype string
		code  int
		text  string
	}{
		"not JSON":               {[]byte(`{"streams"`), jsonType, 400, "EOF"},
		"empty":                  {nil, jsonType, 400, "EOF"},
		"trailing":               {[]byte(`{"streams": []} x`), jsonType, 400, "after the JSON object"},
		"timestamp is a number":  {value(`[1, "x"]`), jsonType, 400, "timestamp 1"},
		"timestamp is no number": {value(`["now", "x"]`), jsonType, 400, `timestamp "now"`},
		"timestamp overflows":    {value(`["99999999999999999999", "x"]`), jsonType, 400, "timestamp"},
		"line is a number":       {value(`["1", 2]`), jsonType, 400, "line 2"},
		"line is null":           {value(`["1", null]`), jsonType, 400, "line null"},
		"one part":               {value(`["1"]`), jsonType, 400, "1 parts"},
		"four parts":             {value(`["1", "x", {}, 4]`), jsonType, 400, "4 parts"},
		"metadata is a number":   {value(`["1", "x", {"a": 1}]`), jsonType, 400, "structured metadata"},
		"label is a number":      {[]byte(`{"streams": [{"stream": {"a": 1}, "values": []}]}`), jsonType, 400, "stream"},
		"labels do not parse":    {lokiProto(t, push.Stream{Labels: `{app=`}), protoType, 400, "streams[0]"},
		"not snappy":             {[]byte("x\x00\x01"), protoType, 400, "snappy"},
		"not protobuf":           {snappy.Encode(nil, []byte{0xff, 0xff}), protoType, 400, "decode push"},
		"content type":           {[]byte("x"), "text/plain", 415, "text/plain"},
		"malformed content type": {[]byte("x"), "a/b/c;;", 415, "a/b/c"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.post(pushPath, c.body, "Content-Type", c.ctype)
			require.Equal(t, c.code, a.code, "%s", a.body)
			require.Contains(t, string(a.body), c.text)
			require.Empty(t, r.stored(columnar.Logs))
		})
	}
}

func TestLokiPushPartly(t *testing.T) {
	at := time.Now()
	entry := func(line string) []push.Entry { return []push.Entry{{Timestamp: at, Line: line}} }
	for name, c := range map[string]struct {
		bad    []push.Stream
		code   int
		reason string
	}{
		"no labels":   {[]push.Stream{{Labels: `{}`, Entries: entry("x")}}, 400, "invalid_labels"},
		"line":        {[]push.Stream{{Labels: `{a="b"}`, Entries: entry(strings.Repeat("x", 200))}}, 400, "line_too_long"},
		"year 1":      {[]push.Stream{{Labels: `{a="b"}`, Entries: []push.Entry{{Line: "x"}}}}, 400, "invalid_timestamp"},
		"year 9999":   {[]push.Stream{{Labels: `{a="b"}`, Entries: []push.Entry{{Line: "x", Timestamp: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}}}}, 400, "invalid_timestamp"},
		"label names": {[]push.Stream{{Labels: `{"a.b"="c"}`, Entries: entry("x")}}, 400, "invalid_labels"},
		"streams":     {[]push.Stream{{Labels: `{a="b"}`, Entries: entry("one")}, {Labels: `{a="c"}`, Entries: entry("x")}}, 400, "too_many_streams"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *ingest.Options) { o.Config.MaxLineBytes, o.Config.MaxStreamsPerTenant = 100, 2 })
			streams := append([]push.Stream{{Labels: `{good="yes"}`, Entries: entry("fine")}}, c.bad...)
			a := r.post(pushPath, lokiProto(t, streams...))
			require.Equal(t, c.code, a.code, "%s", a.body)
			require.Equal(t, 1.0, r.counter("yagura_ingest_refused_total", "signal", "logs", "reason", c.reason))
			require.Len(t, r.stored(columnar.Logs), len(streams)-1)
		})
	}
	t.Run("nothing but new streams", func(t *testing.T) {
		r := newRig(t, func(o *ingest.Options) { o.Config.MaxStreams = 1 })
		require.Equal(t, 204, r.post(pushPath, lokiProto(t, push.Stream{Labels: `{a="1"}`, Entries: entry("x")})).code)
		require.Equal(t, 429, r.post(pushPath, lokiProto(t, push.Stream{Labels: `{a="2"}`, Entries: entry("x")})).code)
		require.Equal(t, 204, r.post(pushPath, lokiProto(t, push.Stream{Labels: `{a="1"}`, Entries: entry("y")})).code, "known streams go on")
	})
}

func TestLokiPushWhenTheStoreIsFull(t *testing.T) {
	r := newRig(t, func(o *ingest.Options) { o.Rows = failing{columnar.ErrFull} })
	a := r.post(pushPath, lokiProto(t, push.Stream{Labels: `{a="1"}`, Entries: []push.Entry{{Timestamp: time.Now(), Line: "x"}}}))
	require.Equal(t, http.StatusServiceUnavailable, a.code)
	require.NotEmpty(t, a.header.Get("Retry-After"))
}

func lokiSeed() push.Stream {
	return push.Stream{Labels: `{app="shop"}`, Entries: []push.Entry{{
		Timestamp: time.Unix(1, 2), Line: "hello", StructuredMetadata: push.LabelsAdapter{{Name: "a", Value: "b"}},
	}}}
}
