package vpa_test

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
)

func BenchmarkAdd(b *testing.B) {
	e, err := vpa.NewCPU(vpa.DefaultOptions())
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	values := make([]float64, 4096)
	for i := range values {
		values[i] = math.Exp(random.NormFloat64() / 2)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e.Add(values[i%len(values)], start.Add(time.Duration(i)*time.Minute))
	}
}

func BenchmarkRecommend(b *testing.B) {
	e, now := week(b, vpa.NewCPU, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := e.Recommend(now); !ok {
			b.Fatal("nothing recommended")
		}
	}
}

// BenchmarkContainers measures what the estimators of CPU and memory of 10,000 containers hold after a week.
func BenchmarkContainers(b *testing.B) {
	const containers = 10_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		all := make([]*vpa.Estimator, 0, 2*containers)
		for i := range containers {
			cpu, _ := week(b, vpa.NewCPU, 1)
			memory, _ := week(b, vpa.NewMemory, math.Exp2(float64(20+i%12)))
			all = append(all, cpu, memory)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/containers, "B/container")
		runtime.KeepAlive(all)
	}
}

// week is an estimator that was fed once an hour for a week.
func week(b *testing.B, make func(vpa.Options) (*vpa.Estimator, error), scale float64) (*vpa.Estimator, time.Time) {
	e, err := make(vpa.DefaultOptions())
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	now := start
	for range 7 * 24 {
		now = now.Add(time.Hour)
		e.Add(scale*math.Exp(random.NormFloat64()/2), now)
	}
	return e, now
}
