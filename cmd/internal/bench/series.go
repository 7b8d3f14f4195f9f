package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
)

const (
	// remoteWriteSamples is how many samples make one request.
	remoteWriteSamples = 2000
	// scrapeInterval lies between two samples of a series, scrapeJitter is how much
	// later than that they may come.
	scrapeInterval = 15 * time.Second
	scrapeJitter   = 20 * time.Millisecond

	seriesPods = 100
)

// shape is how the values of a series go.
type shape int

const (
	countShape   shape = iota // an integer counter with a daily season
	secondsShape              // a float counter
	bytesShape                // a gauge of whole pages that stays now and then
	bucketShape               // a histogram's bucket: a counter that grows evenly
)

// series is one time series, as a cluster of 100 pods has them.
type series struct {
	labels []prompb.Label
	shape  shape
	rate   float64 // per second, or the level of a gauge
	value  float64
}

// seriesData makes time series: unlike logs and spans, nobody publishes enough of
// them. They have what compression feels: jitter, seasons, whole numbers and floats.
type seriesData struct {
	series []*series
	random *rand.Rand
	start  time.Time
	steps  int
}

func newSeries(end time.Time, hours int, seed uint64) *seriesData {
	d := &seriesData{
		random: rand.New(rand.NewPCG(seed, seed)),
		start:  end.Add(-time.Duration(hours) * time.Hour),
		steps:  int(time.Duration(hours) * time.Hour / scrapeInterval),
	}
	for pod := range seriesPods {
		d.addPod(pod)
	}
	return d
}

func (d *seriesData) addPod(pod int) {
	common := []string{
		"job", "kubernetes-pods", "namespace", "ts", "node", fmt.Sprintf("node-%d", pod%10),
		"pod", fmt.Sprintf("ts-app-%02d-5c95b49cff-%05x", pod/4, pod*7919),
	}
	add := func(s shape, rate float64, names ...string) {
		d.series = append(d.series, &series{labels: remoteWriteLabels(append(names, common...)), shape: s, rate: rate})
	}
	handlers := []string{"/api/v1/orders", "/api/v1/travel", "/api/v1/seat", "/login", "/health"}
	for _, handler := range handlers {
		for i, code := range []string{"200", "404", "500", "503"} {
			add(countShape, (5+d.random.Float64()*50)/math.Pow(20, float64(i)), "__name__", "http_requests_total", "handler", handler, "code", code)
		}
	}
	bounds := []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"}
	for _, handler := range handlers[:2] {
		for i, le := range bounds {
			add(bucketShape, 20*(1-math.Exp(-float64(i+1)/3)), "__name__", "http_request_duration_seconds_bucket", "handler", handler, "le", le)
		}
	}
	for i := range 3 {
		container := "c" + strconv.Itoa(i)
		add(secondsShape, d.random.Float64()*0.5, "__name__", "container_cpu_usage_seconds_total", "container", container)
		add(bytesShape, 1e8+d.random.Float64()*1e9, "__name__", "container_memory_working_set_bytes", "container", container)
	}
}

// remoteWriteLabels sorts names and values by name, as remote write wants it.
func remoteWriteLabels(pairs []string) []prompb.Label {
	var out []prompb.Label
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, prompb.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	slices.SortFunc(out, func(a, b prompb.Label) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (s *series) name() string {
	i := slices.IndexFunc(s.labels, func(l prompb.Label) bool { return l.Name == "__name__" })
	return s.labels[i].Value
}

func (d *seriesData) advance(s *series, season float64) {
	const interval = float64(scrapeInterval / time.Second)
	noise := func() float64 { return 0.8 + 0.4*d.random.Float64() }
	switch s.shape {
	case countShape:
		s.value += math.Floor(s.rate*interval*season*noise() + d.random.Float64())
	case secondsShape:
		s.value += s.rate * interval * season * noise()
	case bytesShape:
		const page = 4096
		if s.value == 0 || d.random.IntN(3) > 0 {
			s.value = math.Floor(s.rate/page*(0.98+0.04*d.random.Float64())) * page
		}
	case bucketShape:
		s.value += math.Floor(s.rate * interval * season)
	}
}

// seriesTruth is what the pushed samples are.
type seriesTruth struct {
	samples int
	bytes   int64              // of requests before packing
	byName  map[string]float64 // how many of each
	last    map[string]float64 // sums of the last values
}

// prepareSeries encodes all samples in order of time.
func prepareSeries(ctx context.Context, d *seriesData, path string) (*spool, *seriesTruth, error) {
	w, err := createSpool(path)
	if err != nil {
		return nil, nil, err
	}
	t := &seriesTruth{byName: map[string]float64{}, last: map[string]float64{}}
	err = d.encode(ctx, t, w.add)
	out, closeErr := w.close()
	if err == nil {
		err = closeErr
	}
	for _, s := range d.series {
		t.last[s.name()] += s.value
	}
	return out, t, err
}

func (d *seriesData) encode(ctx context.Context, t *seriesTruth, emit func([]byte, int) error) error {
	var req prompb.WriteRequest
	flush := func() error {
		if len(req.Timeseries) == 0 {
			return nil
		}
		b, err := req.Marshal()
		if err != nil {
			return fmt.Errorf("encode samples: %w", err)
		}
		t.bytes += int64(len(b))
		n := len(req.Timeseries)
		req.Timeseries = req.Timeseries[:0]
		return emit(snappy.Encode(nil, b), n)
	}
	for step := range d.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := d.start.Add(time.Duration(step)*scrapeInterval + time.Duration(d.random.Int64N(int64(scrapeJitter)))).UnixMilli()
		season := 1 + 0.5*math.Sin(float64(step)/200)
		for _, s := range d.series {
			d.advance(s, season)
			t.samples++
			t.byName[s.name()]++
			req.Timeseries = append(req.Timeseries, prompb.TimeSeries{Labels: s.labels, Samples: []prompb.Sample{{Timestamp: at, Value: s.value}}})
			if len(req.Timeseries) == remoteWriteSamples {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

func remoteWriteFeed(s *spool) feed {
	return feed{
		spool: s,
		header: http.Header{
			"Content-Type": {"application/x-protobuf"}, "Content-Encoding": {"snappy"}, "X-Prometheus-Remote-Write-Version": {"0.1.0"},
		},
		path: func(k Kind) string {
			if k == Yagura {
				return "/prometheus/api/v1/write"
			}
			return "/api/v1/write"
		},
	}
}
