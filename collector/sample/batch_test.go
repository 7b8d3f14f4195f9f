package sample_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/yagura-dev/yagura/collector/sample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// decode reads a request as a receiver does.
func decode(t *testing.T, payload []byte) (writev2.Request, []sample.Sample) {
	t.Helper()
	proto, err := s2.Decode(nil, payload)
	require.NoError(t, err)
	var request writev2.Request
	require.NoError(t, request.Unmarshal(proto))
	require.Empty(t, request.Symbols[0], "the protocol wants the empty string first")
	seen := map[string]bool{}
	for _, s := range request.Symbols {
		require.False(t, seen[s], "%q stands twice in the symbol table", s)
		seen[s] = true
	}
	var samples []sample.Sample
	builder := labels.NewScratchBuilder(0)
	for _, series := range request.Timeseries {
		l, err := series.ToLabels(&builder, request.Symbols)
		require.NoError(t, err)
		m, err := series.ToMetadata(request.Symbols)
		require.NoError(t, err)
		require.Len(t, series.Samples, 1)
		s := series.Samples[0]
		samples = append(samples, sample.Sample{
			Labels: l, Timestamp: s.Timestamp, Value: s.Value, Created: s.StartTimestamp, Metadata: m,
		})
	}
	return request, samples
}

func TestBatchArrivesAsItWasAdded(t *testing.T) {
	want := []sample.Sample{
		{
			Labels:    labels.FromStrings("__name__", "container_cpu_usage_seconds_total", "pod", "a", "namespace", "shop"),
			Timestamp: 1_800_000_000_123, Value: 1.5, Created: 1_799_999_000_000,
			Metadata: metadata.Metadata{Type: model.MetricTypeCounter, Unit: "seconds", Help: "CPU time."},
		},
		{
			Labels:    labels.FromStrings("__name__", "up", "pod", "a"),
			Timestamp: -5, Value: math.Inf(-1),
			Metadata: metadata.Metadata{Type: model.MetricTypeUnknown},
		},
		{
			Labels:    labels.FromStrings("__name__", "up", "pod", "a"),
			Timestamp: 7, Value: 0,
			Metadata: metadata.Metadata{Type: model.MetricTypeGauge},
		},
	}
	var b sample.Batch
	for range 3 { // filled again after Reset
		for _, s := range want {
			b.Add(s)
		}
		require.Equal(t, len(want), b.Len())
		payload, err := b.Encode()
		require.NoError(t, err)
		_, got := decode(t, payload)
		require.Equal(t, want, got)
		again, err := b.Encode()
		require.NoError(t, err)
		require.Equal(t, payload, again, "encoding changes nothing")
		b.Reset()
		require.Zero(t, b.Len())
	}
}

func TestStaleMarkerKeepsItsBits(t *testing.T) {
	require.True(t, sample.IsStale(sample.Stale()))
	require.False(t, sample.IsStale(math.NaN()))
	var b sample.Batch
	b.Add(sample.Sample{Labels: labels.FromStrings("__name__", "up"), Timestamp: 1, Value: sample.Stale()})
	payload, err := b.Encode()
	require.NoError(t, err)
	_, got := decode(t, payload)
	require.True(t, sample.IsStale(got[0].Value))
}

func TestEmptyLabelIsLeftOut(t *testing.T) {
	var b sample.Batch
	b.Add(sample.Sample{Labels: labels.New(labels.Label{Name: "__name__", Value: "up"}, labels.Label{Name: "pod"}), Timestamp: 1})
	payload, err := b.Encode()
	require.NoError(t, err)
	_, got := decode(t, payload)
	require.Equal(t, labels.FromStrings("__name__", "up"), got[0].Labels)
}

func TestEmptyBatch(t *testing.T) {
	var b sample.Batch
	payload, err := b.Encode()
	require.NoError(t, err)
	request, samples := decode(t, payload)
	require.Empty(t, samples)
	require.Equal(t, []string{""}, request.Symbols)
}

func TestResetKeepsNothingOfTheLastBatch(t *testing.T) {
	var b sample.Batch
	for i := range 100 {
		b.Add(sample.Sample{Labels: labels.FromStrings("__name__", fmt.Sprint("first_", i), "a", "b", "c", "d"), Created: 9})
	}
	b.Reset()
	b.Add(sample.Sample{Labels: labels.FromStrings("__name__", "second"), Timestamp: 2})
	payload, err := b.Encode()
	require.NoError(t, err)
	request, got := decode(t, payload)
	require.Equal(t, []string{"", "__name__", "second"}, request.Symbols)
	require.Equal(t, labels.FromStrings("__name__", "second"), got[0].Labels)
	require.Zero(t, got[0].Created)
}

// BenchmarkEncode fills and encodes what a node with 50 containers has to say each
// second.
func BenchmarkEncode(b *testing.B) {
	var samples []sample.Sample
	for pod := range 50 {
		for metric := range 20 {
			samples = append(samples, sample.Sample{
				Labels: labels.FromStrings("__name__", fmt.Sprintf("container_metric_%d_total", metric),
					"cluster", "tokyo", "namespace", fmt.Sprint("namespace-", pod%7), "pod", fmt.Sprintf("checkout-5bf8799d98-%05d", pod),
					"container", "web", "node", "node-1", "service_name", fmt.Sprint("service-", pod%11)),
				Timestamp: 1_800_000_000_000, Value: float64(pod*metric) * 1.1,
				Metadata: metadata.Metadata{Type: model.MetricTypeCounter, Help: fmt.Sprint("What metric counts ", metric)},
			})
		}
	}
	var batch sample.Batch
	var size int
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		for _, s := range samples {
			batch.Add(s)
		}
		payload, err := batch.Encode()
		require.NoError(b, err)
		size = len(payload)
	}
	b.ReportMetric(float64(len(samples)*b.N)/b.Elapsed().Seconds(), "samples/s")
	b.ReportMetric(float64(size)/float64(len(samples)), "bytes/sample")
}
