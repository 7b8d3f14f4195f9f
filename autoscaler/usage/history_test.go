package usage_test

import (
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/usage"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// collected is a sink that keeps what it gets.
type collected struct {
	mu  sync.Mutex
	all []exported
}

type exported struct {
	labels map[string]string
	values map[string]float64
}

func (c *collected) Usage(labels map[string]string, values map[string]float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, exported{maps.Clone(labels), maps.Clone(values)})
}

func (c *collected) take() []exported {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

// replay runs rounds of measurements.
func replay(t *testing.T, s *service, f *usage.Feeder, from, to time.Time, step time.Duration, targets []usage.Target) {
	t.Helper()
	for at := from; !at.After(to); at = at.Add(step) {
		measured := s.count("timestamp(container_memory_working")
		s.clock.SetTime(at)
		require.Eventually(t, func() bool {
			f.Update(at, targets)
			v, ok := f.View(webID, at)
			return ok && s.count("timestamp(container_memory_working") > measured && v.Readings[key("cpu")].Age == 0
		}, 10*time.Second, time.Millisecond)
	}
}

// metric turns what was exported into a series.
func (e exported) metric(name string, v float64) series {
	labels := []string{"instance", "autoscaler"}
	for k, value := range e.labels {
		labels = append(labels, k, value)
	}
	return series{name, labels, constant(v)}
}

func TestARestartReadsAggregatesInPlaceOfRawSeries(t *testing.T) {
	s := newService(t)
	var sink collected
	start := begin.Add(-time.Hour)
	// Usage falls over the hour. Only aggregates remember how high it was: the raw series are gone at the restart.
	s.put(start, begin, 15*time.Second, series{"container_cpu_usage_seconds_total", of(pod1), func(at time.Time) float64 {
		x := at.Sub(start).Hours()
		return 3600 * (2*x - x*x) // 2 - 2x cores
	}}, memory(pod1, 300*mebi))
	first := s.feeder(func(c *usage.Config, d *usage.Dependencies) { d.Sink = &sink; c.RawSamples = 0 })
	targets := []usage.Target{target("Deployment", newPod(pod1))}
	other := newService(t)
	killed := false
	for at := start.Add(time.Minute); at.Before(begin); at = at.Add(15 * time.Second) {
		if at.Sub(start) > 31*time.Minute && !killed {
			killed = true
			targets[0].Pods[0].Object = changed(newPod(pod1), kills(1, "OOMKilled", at))
		}
		replay(t, s, first, at, at, time.Second, targets)
		for _, e := range sink.take() {
			for name, v := range e.values {
				// The journal exports it for a minute, every five seconds.
				other.put(at.Add(3*time.Second), at.Add(63*time.Second), 5*time.Second, e.metric(name, v))
			}
		}
	}
	other.put(begin.Add(-time.Minute), begin, 15*time.Second, cpu(pod1, 0.1), memory(pod1, 300*mebi))

	models := map[vertical.Resource]*log{vertical.CPU: {}, vertical.Memory: {}}
	second := other.feeder(func(_ *usage.Config, d *usage.Dependencies) { d.Models = recorded(models) })
	began := time.Now()
	v := until(t, other, second, []usage.Target{target("Deployment", newPod(pod1))}, read)
	t.Logf("from start to recommendation with all history: %s", time.Since(began))
	assert.InDelta(t, 2, v.Readings[key("cpu")].Target, 0.1)
	assert.WithinDuration(t, start, v.Readings[key("cpu")].Since, 6*time.Minute)
	assert.InDelta(t, 1.2*1024*mebi, v.Readings[key("memory")].Target, 1, "the kill is remembered with its limit")
	assert.WithinDuration(t, start.Add(35*time.Minute), v.Readings[key("memory")].OOM, 5*time.Minute)
	// Five minutes were given the value that they had.
	l := models[vertical.CPU]
	l.mu.Lock()
	defer l.mu.Unlock()
	checked := 0
	for _, sample := range l.samples {
		if sample.Time.Sub(start) > 10*time.Minute && begin.Sub(sample.Time) > 10*time.Minute {
			high := 2 - 2*(sample.Time.Add(-5*time.Minute).Sub(start).Hours())
			assert.InDelta(t, high, sample.Value, 0.05, "at %s", sample.Time)
			assert.Less(t, sample.Mean, sample.Value)
			checked++
		}
	}
	assert.Greater(t, checked, 8)
}

func TestJobsKeepTheirHistoryByOwner(t *testing.T) {
	s := newService(t)
	for _, name := range []string{"web-29000001-x2lqz", "web-29000002-bcdfg"} {
		at := begin.Add(-26 * time.Hour)
		s.put(at, at.Add(3*time.Minute), 15*time.Second, cpu(name, 1.5), memory(name, 500*mebi))
	}
	f := s.feeder(nil)
	// No pod runs now, and none is in the cache any more.
	v := until(t, s, f, []usage.Target{usage.TargetOf(policy("CronJob"), &corev1.PodTemplateSpec{Spec: newPod("x").Spec}, nil, nil)},
		func(v usage.View) bool { return v.HistoryRead })
	r := v.Readings[key("cpu")]
	assert.Equal(t, decision.Fresh, r.State, "there is nothing to measure")
	assert.InDelta(t, 1.5, r.Target, 0.01)
	assert.Greater(t, r.Age, 25*time.Hour)
}

func TestStartsAreMeasured(t *testing.T) {
	s := newService(t)
	// Two cores for 40 seconds, then a tenth.
	started := begin.Add(-10 * time.Minute)
	s.put(started, begin, time.Second, memory(pod1, 300*mebi), series{"container_cpu_usage_seconds_total", of(pod1), func(at time.Time) float64 {
		x := at.Sub(started).Seconds()
		return 2*min(x, 40) + 0.1*max(0, x-40)
	}})
	p := policy("Deployment")
	p.Spec.Vertical.Containers = []v1alpha1.ContainerVerticalPolicy{{Name: "*", Startup: &v1alpha1.StartupBoost{Factor: quantity("2")}}}
	pod := changed(newPod(pod1), func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State.Running.StartedAt = metav1.NewTime(started) })
	v := until(t, s, s.feeder(nil), []usage.Target{usage.TargetOf(p, nil, []*corev1.Pod{pod}, nil)}, func(v usage.View) bool { return len(v.Startups) > 0 })
	startup := v.Startups["app"]
	assert.Equal(t, 1, startup.Starts)
	assert.InDelta(t, 45, startup.Length.Seconds(), 3)
	assert.InDelta(t, 2, startup.Peak, 0.1)
	assert.InDelta(t, 0.1, startup.Settled, 0.01)
}

func TestHeapsAreMeasured(t *testing.T) {
	s := newService(t)
	heap := func(name string, v float64) series {
		return series{name, append(of(pod1), "area", "heap"), constant(v)}
	}
	s.put(begin.Add(-5*time.Minute), begin, 15*time.Second, cpu(pod1, 0.5), memory(pod1, 900*mebi),
		heap("jvm_memory_used_bytes", 400*mebi), heap("jvm_memory_committed_bytes", 500*mebi), heap("jvm_memory_max_bytes", 512*mebi),
		heap("jvm_gc_live_data_size_bytes", 200*mebi), series{"jvm_memory_used_bytes", append(of(pod1), "area", "nonheap"), constant(90 * mebi)},
		series{"jvm_memory_max_bytes", append(of(pod1), "area", "heap", "pool", "Eden"), constant(-1)})
	template := &corev1.PodTemplateSpec{Spec: newPod(pod1).Spec}
	template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "JAVA_TOOL_OPTIONS", Value: "-Xmx512m"}}
	v := until(t, s, s.feeder(nil), []usage.Target{usage.TargetOf(policy("Deployment"), template, []*corev1.Pod{newPod(pod1)}, nil)},
		func(v usage.View) bool { return read(v) && v.Heaps["app"].Used > 0 && v.Heaps["app"].Outside > 0 })
	h := v.Heaps["app"]
	assert.Equal(t, v1alpha1.RuntimeJVM, h.Runtime)
	assert.Contains(t, h.Evidence, "-Xmx512m")
	assert.Equal(t, []float64{512 * mebi, 200 * mebi, 500 * mebi, 400 * mebi}, []float64{h.Max, h.Used, h.Committed, h.Outside})
	assert.Equal(t, "-Xmx512m", h.Value)
}

func TestRolesGetEstimatesOfTheirOwn(t *testing.T) {
	s := newService(t)
	s.put(begin.Add(-40*time.Minute), begin.Add(40*time.Minute), 15*time.Second, cpu("web-0", 2), memory("web-0", 900*mebi),
		cpu("web-1", 0.2), memory("web-1", 300*mebi), cpu("web-2", 0.25), memory("web-2", 310*mebi))
	var pods []*corev1.Pod
	for _, name := range []string{"web-0", "web-1", "web-2"} {
		pods = append(pods, newPod(name))
	}
	targets := []usage.Target{target("StatefulSet", pods...)}
	roles := func(v usage.View) (all []string) {
		for _, p := range v.Pods {
			all = append(all, p.Role)
		}
		return all
	}
	of := func(v usage.View, role string) float64 {
		return v.Readings[sizing.Key{Role: role, Container: "app", Resource: "cpu"}].Target
	}
	f := s.feeder(nil)
	v := until(t, s, f, targets, read)
	assert.Equal(t, []string{"default", "default", "default"}, roles(v))
	for at := begin.Add(15 * time.Second); at.Before(begin.Add(25 * time.Minute)); at = at.Add(15 * time.Second) {
		measured := s.count("timestamp(container_memory_working")
		s.clock.SetTime(at)
		require.Eventually(t, func() bool {
			f.Update(at, targets)
			return s.count("timestamp(container_memory_working") > measured
		}, 10*time.Second, time.Millisecond)
	}
	divided := func(v usage.View) bool {
		return v.HistoryRead && of(v, "heavy") > 0 && of(v, "light") > 0
	}
	v = until(t, s, f, targets, divided)
	assert.Equal(t, []string{"heavy", "light", "light"}, roles(v))
	assert.InDelta(t, 2, of(v, "heavy"), 0.01)
	assert.InDelta(t, 0.25, of(v, "light"), 0.01)
	assert.NotContains(t, v.Readings, key("cpu"))
	assert.Contains(t, v.Roles, "1 of 3 pods")

	// Another feeder knows at once, since the policy's status says that there were roles.
	p := policy("StatefulSet")
	p.Status.Vertical = &v1alpha1.VerticalStatus{Containers: []v1alpha1.ContainerSizeStatus{{Name: "app", Role: "heavy"}, {Name: "app", Role: "light"}}}
	v = until(t, s, s.feeder(nil), []usage.Target{usage.TargetOf(p, nil, pods, nil)}, divided)
	assert.Equal(t, []string{"heavy", "light", "light"}, roles(v))
}

func quantity(text string) *resource.Quantity {
	q := resource.MustParse(text)
	return &q
}
