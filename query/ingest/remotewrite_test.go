package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/klauspost/compress/snappy"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
	"github.com/yagura-dev/yagura/query/metrics"
)

const (
	writePath = "/prometheus/api/v1/write"
	typeV1    = "application/x-protobuf"
	typeV2    = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

func packed(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	require.NoError(t, err)
	return snappy.Encode(nil, b)
}

// requestV1 has a float series with an exemplar and two histogram series.
func requestV1(at time.Time) *prompb.WriteRequest {
	ms := at.UnixMilli()
	name := func(n string) []prompb.Label {
		return []prompb.Label{{Name: "__name__", Value: n}, {Name: "job", Value: "x"}}
	}
	return &prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{
			{
				Labels:    name("requests_total"),
				Samples:   []prompb.Sample{{Timestamp: ms - 1000, Value: 1}, {Timestamp: ms, Value: 2}},
				Exemplars: []prompb.Exemplar{{Labels: []prompb.Label{{Name: "trace_id", Value: "abc"}}, Value: 1, Timestamp: ms}},
			},
			{Labels: name("sizes"), Histograms: []prompb.Histogram{prompb.FromIntHistogram(ms, tsdbutil.GenerateTestHistogram(1))}},
			{Labels: name("float_sizes"), Histograms: []prompb.Histogram{prompb.FromFloatHistogram(ms, tsdbutil.GenerateTestFloatHistogram(2))}},
		},
		Metadata: []prompb.MetricMetadata{{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "requests_total", Help: "Requests.", Unit: "1"}},
	}
}

func requestV2(at time.Time) *writev2.Request {
	ms := at.UnixMilli()
	return &writev2.Request{
		Symbols: []string{"", "__name__", "requests_total", "job", "x", "sizes", "float_sizes", "trace_id", "abc", "Requests."},
		Timeseries: []writev2.TimeSeries{
			{
				LabelsRefs: []uint32{1, 2, 3, 4},
				Samples:    []writev2.Sample{{Timestamp: ms - 1000, Value: 1}, {Timestamp: ms, Value: 2}},
				Exemplars:  []writev2.Exemplar{{LabelsRefs: []uint32{7, 8}, Value: 1, Timestamp: ms}},
				Metadata:   writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: 9},
			},
			{LabelsRefs: []uint32{1, 5, 3, 4}, Histograms: []writev2.Histogram{writev2.FromIntHistogram(0, ms, tsdbutil.GenerateTestHistogram(1))}},
			{LabelsRefs: []uint32{1, 6, 3, 4}, Histograms: []writev2.Histogram{writev2.FromFloatHistogram(0, ms, tsdbutil.GenerateTestFloatHistogram(2))}},
		},
	}
}

var wantSeries = map[string][]float64{
	`{__name__="requests_total", job="x"}`: {1, 2},
	`{__name__="sizes", job="x"}`:          {float64(tsdbutil.GenerateTestHistogram(1).Count)},
	`{__name__="float_sizes", job="x"}`:    {tsdbutil.GenerateTestFloatHistogram(2).Count},
}

// The Prometheus project's own client, both versions.
func TestRemoteWriteWithTheRealClient(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for version, msg := range map[remote.WriteMessageType]any{
		remote.WriteV1MessageType: requestV1(now),
		remote.WriteV2MessageType: requestV2(now),
	} {
		t.Run(string(version), func(t *testing.T) {
			r := newRig(t)
			client, err := remote.NewAPI(r.url, remote.WithAPIHTTPClient(r.client), remote.WithAPIPath(writePath))
			require.NoError(t, err)
			stats, err := client.Write(context.Background(), version, msg)
			require.NoError(t, err)
			if version == remote.WriteV2MessageType {
				require.Equal(t, []int{2, 2, 1}, []int{stats.Samples, stats.Histograms, stats.Exemplars})
			}
			require.Equal(t, wantSeries, r.series())

			e := echo.New()
			r.samples.Register(e.Group("/prometheus"))
			body := r.get(e, "/prometheus/api/v1/metadata")
			require.Contains(t, body, `"help":"Requests."`)
			require.Contains(t, body, `"type":"counter"`)
			body = r.get(e, "/prometheus/api/v1/query_exemplars?query=requests_total&start=0&end="+fmt.Sprint(now.Unix()+10))
			require.Contains(t, body, `"trace_id":"abc"`)
		})
	}
}

// get asks a handler that is not mounted in the rig.
func (r *rig) get(h http.Handler, path string) string {
	r.t.Helper()
	u, err := url.Parse(path)
	require.NoError(r.t, err)
	rec := newRecorder()
	h.ServeHTTP(rec, &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Host: "test", RequestURI: path, Proto: "HTTP/1.1"})
	return rec.Body.String()
}

func TestRemoteWriteRepeats(t *testing.T) {
	r := newRig(t)
	body := packed(t, requestV2(time.Now()))
	for range 2 {
		a := r.post(writePath, body, "Content-Type", typeV2, "Content-Encoding", "snappy", "Yagura-Batch", "c/metrics/9")
		require.Equal(t, http.StatusNoContent, a.code, "%s", a.body)
		// A sender takes less than it sent for a loss, so a repeat counts as written.
		require.Equal(t, "2", a.header.Get("X-Prometheus-Remote-Write-Samples-Written"))
		require.Equal(t, "2", a.header.Get("X-Prometheus-Remote-Write-Histograms-Written"))
		require.Equal(t, "1", a.header.Get("X-Prometheus-Remote-Write-Exemplars-Written"))
	}
	require.Equal(t, 1.0, r.counter("yagura_ingest_duplicate_batches_total", "signal", "metrics"))
	require.Equal(t, 4.0, r.counter("yagura_ingest_accepted_total", "signal", "metrics"))
	require.Equal(t, wantSeries, r.series())
}

// What cannot be stored is refused by itself; the rest of the request is stored,
// and the answer names what was refused.
func TestRemoteWritePartly(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	old := now.Add(-20 * time.Hour).UnixMilli()
	v1 := requestV1(now)
	v1.Timeseries = append(v1.Timeseries,
		prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: "old"}}, Samples: []prompb.Sample{{Timestamp: old}}},
		prompb.TimeSeries{Labels: []prompb.Label{{Name: "job", Value: "nameless"}}, Samples: []prompb.Sample{{Timestamp: now.UnixMilli()}}})
	v2 := requestV2(now)
	v2.Timeseries = append(v2.Timeseries,
		writev2.TimeSeries{LabelsRefs: []uint32{1, 5, 3, 4}, Samples: []writev2.Sample{{Timestamp: old}}},
		writev2.TimeSeries{LabelsRefs: []uint32{3, 4}, Samples: []writev2.Sample{{Timestamp: now.UnixMilli()}}},
		writev2.TimeSeries{LabelsRefs: []uint32{1, 99}, Samples: []writev2.Sample{{Timestamp: now.UnixMilli()}}},
		writev2.TimeSeries{LabelsRefs: []uint32{1}, Samples: []writev2.Sample{{Timestamp: now.UnixMilli()}}},
		writev2.TimeSeries{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Timestamp: now.UnixMilli()}}, Metadata: writev2.Metadata{HelpRef: 1000}},
		writev2.TimeSeries{LabelsRefs: []uint32{1, 2, 3, 7}})
	for name, c := range map[string]struct {
		body  []byte
		ctype string
		named []string
	}{
		"1.0": {packed(t, v1), typeV1, []string{"old", "nameless"}},
		"2.0": {packed(t, v2), typeV2, []string{"sizes", "has no name"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.post(writePath, c.body, "Content-Type", c.ctype, "Content-Encoding", "snappy")
			require.Equal(t, http.StatusBadRequest, a.code)
			require.Empty(t, a.header.Get("Retry-After"))
			for _, n := range c.named {
				require.Contains(t, string(a.body), n)
			}
			if name == "2.0" {
				require.Equal(t, "2", a.header.Get("X-Prometheus-Remote-Write-Samples-Written"))
			}
			require.Equal(t, wantSeries, r.series())
			require.Equal(t, 1.0, r.counter("yagura_ingest_refused_total", "signal", "metrics", "reason", "too_old"))
		})
	}
}

func TestRemoteWriteRefusesWhatItCannotRead(t *testing.T) {
	now := time.Now()
	good := packed(t, requestV2(now))
	huge := snappy.Encode(nil, make([]byte, 3<<20))
	for name, c := range map[string]struct {
		body   []byte
		header []string
		code   int
		text   string
	}{
		"not snappy":            {[]byte("hello"), nil, 400, "snappy"},
		"snappy cut off":        {good[:len(good)/2], nil, 400, "snappy"},
		"not protobuf":          {snappy.Encode(nil, []byte("\xff\xff\xff")), nil, 400, "remote write 2.0"},
		"not protobuf, 1.0":     {snappy.Encode(nil, []byte("\xff\xff\xff")), []string{"Content-Type", typeV1}, 400, "remote write 1.0"},
		"unknown message":       {good, []string{"Content-Type", "application/x-protobuf;proto=io.example.X"}, 415, "io.example.X"},
		"content type":          {good, []string{"Content-Type", "application/json"}, 415, "application/json"},
		"content encoding":      {good, []string{"Content-Encoding", "gzip"}, 415, "gzip"},
		"batch id":              {good, []string{"Yagura-Batch", "c/metrics/first"}, 400, "Yagura-Batch"},
		"decodes to too much":   {huge, nil, 413, "maxDecodedBytes"},
		"claims to be gigantic": {[]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2}, nil, 413, "maxDecodedBytes"},
		"too large":             {make([]byte, 1<<20+1), nil, 413, "maxBodyBytes"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *ingest.Options) { o.Config.MaxBodyBytes, o.Config.MaxDecodedBytes = 1<<20, 2<<20 })
			a := r.post(writePath, c.body, append([]string{"Content-Type", typeV2, "Content-Encoding", "snappy"}, c.header...)...)
			require.Equal(t, c.code, a.code, "%s", a.body)
			require.Contains(t, string(a.body), c.text)
			require.Empty(t, a.header.Get("Retry-After"))
			require.Equal(t, http.StatusNoContent, r.post(writePath, good, "Content-Type", typeV2).code)
		})
	}
}

type fullSamples struct{ err error }

func (f fullSamples) AppendBatch(context.Context, columnar.BatchID, func(*metrics.Appender) error) (metrics.Result, bool, error) {
	return metrics.Result{}, false, f.err
}

func TestRemoteWriteWhenTheStoreRefuses(t *testing.T) {
	for _, err := range []error{columnar.ErrFull, errors.New("broken"), columnar.ErrClosed} {
		r := newRig(t, func(o *ingest.Options) { o.Samples = fullSamples{err} })
		a := r.post(writePath, packed(t, requestV2(time.Now())), "Content-Type", typeV2)
		require.Equal(t, http.StatusServiceUnavailable, a.code)
		require.NotEmpty(t, a.header.Get("Retry-After"))
		require.Equal(t, "0", a.header.Get("X-Prometheus-Remote-Write-Samples-Written"))
	}
}
