package usage

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

func autoModels(m v1alpha1.EstimationModel, r vertical.Resource, history time.Duration) (vertical.Model, error) {
	return vertical.New(string(m), r, vertical.Options{History: history, Others: map[string]func(vertical.Resource) vertical.Model{}})
}

// synthetic makes a feeder that follows containers in workloads of so many pods. One pod each is the dearest shape: no two share a model.
func synthetic(containers, replicas int) (*Feeder, []Target, *measurements) {
	clock := clocktesting.NewFakeClock(time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC))
	f := New(DefaultConfig(), Dependencies{
		Models: autoModels, Clock: clock, Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	targets := make([]Target, containers/replicas)
	m := &measurements{containers: make(map[containerName]*measurement, containers)}
	for i := range targets {
		name := fmt.Sprintf("app-%d", i)
		targets[i] = Target{ID: PolicyID("shop", name), Workload: Workload{"shop", "StatefulSet", name}, Model: v1alpha1.ModelAuto,
			History: defaultHistory, Roles: true}
		for j := range replicas {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("%s-%d", name, j), UID: types.UID(fmt.Sprint(i, j))},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
			}
			targets[i].Pods = append(targets[i].Pods, Pod{Object: pod})
			m.containers[containerName{"shop", pod.Name, "app"}] = &measurement{}
		}
	}
	return f, targets, m
}

func (m *measurements) vary(random *rand.Rand) {
	for _, c := range m.containers {
		c.cpu = quantity{value: 0.2 + 0.1*random.Float64(), known: true}
		c.memory = quantity{value: (300 + 50*random.Float64()) * (1 << 20), known: true}
	}
}

// historySteps is how many aggregates each container is given first. What models hold does not grow with them.
const historySteps = 48

// BenchmarkTenThousandContainers gives 10,000 containers a history and then a minute of measurements and recommendations for
// all. It reports what all of it holds in memory, per container and in all, and the time that recommendations for all take.
func BenchmarkTenThousandContainers(b *testing.B) {
	for _, replicas := range []int{1, 5} {
		b.Run(fmt.Sprintf("replicas=%d", replicas), func(b *testing.B) { tenThousand(b, replicas) })
	}
}

func tenThousand(b *testing.B, replicas int) {
	const containers = 10_000
	random := rand.New(rand.NewPCG(1, 2))
	var before, after runtime.MemStats
	f, targets, m := synthetic(containers, replicas)
	now := f.deps.Clock.Now()
	runtime.GC()
	runtime.ReadMemStats(&before)
	f.Update(now, targets)
	fed := processorTime(b)
	workloads := f.all()
	for at := now.Add(-historySteps * aggregateStep); at.Before(now); at = at.Add(aggregateStep) {
		m.vary(random)
		for _, w := range workloads {
			f.apply(w, at, m)
		}
	}
	history := processorTime(b) - fed
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := float64(after.HeapAlloc) - float64(before.HeapAlloc)
	at := now
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		at = at.Add(time.Minute)
		m.vary(random)
		for _, w := range workloads {
			f.apply(w, at, m)
		}
		b.StartTimer()
		began := processorTime(b)
		for i := range targets {
			if v, ok := f.View(targets[i].ID, at); !ok || len(v.Readings) != 2 {
				b.Fatal("no recommendation")
			}
		}
		spent += processorTime(b) - began
	}
	b.ReportMetric(spent.Seconds()/float64(b.N), "cpu-s/recommend-all")
	b.ReportMetric(float64(history.Nanoseconds())/(historySteps*containers), "cpu-ns/measured-container")
	b.ReportMetric(held/containers, "B/container")
	b.ReportMetric(held/(1<<20), "MiB")
}

// processorTime is what this process used so far. Other processes do not count.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkUpdate is what a round costs each second for 10,000 containers when nothing has changed.
func BenchmarkUpdate(b *testing.B) {
	f, targets, m := synthetic(10_000, 5)
	now := f.deps.Clock.Now()
	f.Update(now, targets)
	m.vary(rand.New(rand.NewPCG(1, 2)))
	for _, w := range f.all() {
		f.apply(w, now, m)
	}
	for b.Loop() {
		now = now.Add(time.Second)
		f.Update(now, targets)
		for i := range targets {
			f.View(targets[i].ID, now)
		}
	}
}
