package vertical_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// BenchmarkTenThousandContainers observes one sample and estimates, for CPU and memory of ten thousand containers with two days of
// history behind them, and says what they hold.
func BenchmarkTenThousandContainers(b *testing.B) {
	const containers = 10_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	models := make([]vertical.Model, 0, 2*containers)
	at := begin
	for i := range containers {
		for _, resource := range []vertical.Resource{vertical.CPU, vertical.Memory} {
			m := newModel(b, vertical.Auto, resource)
			scale := 1.0
			if resource == vertical.Memory {
				scale = 512 * mebibyte
			}
			value := noisy(scale, 0.2, int64(i%17))
			// Fewer samples than a sample a minute: what is held does not depend on it.
			for k := range 24 {
				at = begin.Add(time.Duration(k) * 2 * time.Hour)
				m.Observe(vertical.Sample{Time: at, Value: value(k)})
			}
			models = append(models, m)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Minute)
		for i, m := range models {
			v := 1.0
			if i%2 == 1 {
				v = 512 * mebibyte
			}
			m.Observe(vertical.Sample{Time: at, Value: v})
			if _, ok := m.Estimate(at); !ok {
				b.Fatal("no estimate")
			}
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/containers, "bytes/container")
	b.ReportMetric(float64(containers)*float64(b.N)/b.Elapsed().Seconds(), "containers/s")
	runtime.KeepAlive(models)
}
