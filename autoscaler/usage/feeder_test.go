package usage_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/usage"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

const mebi = 1 << 20

func constant(v float64) func(time.Time) float64 { return func(time.Time) float64 { return v } }

// burning is a counter of processor time that grows by cores each second.
func burning(cores float64) func(time.Time) float64 {
	return func(at time.Time) float64 { return cores * at.Sub(begin.Add(-400*24*time.Hour)).Seconds() }
}

func of(pod string) []string {
	return []string{"namespace", "shop", "pod", pod, "container", "app", "node", "n1", "id", "/" + pod}
}

func cpu(pod string, cores float64) series {
	return series{"container_cpu_usage_seconds_total", append(of(pod), "cpu", "total"), burning(cores)}
}

func memory(pod string, bytes float64) series {
	return series{"container_memory_working_set_bytes", of(pod), constant(bytes)}
}

func newPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse("1"), "memory": resource.MustParse("1Gi")},
			Limits:   corev1.ResourceList{"memory": resource.MustParse("1Gi")},
		}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(begin.Add(-time.Hour))}},
		}}},
	}
}

func policy(kind string) *v1alpha1.WorkloadAutoscaler {
	return &v1alpha1.WorkloadAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: v1alpha1.WorkloadAutoscalerSpec{
			TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: kind, Name: "web"},
			Vertical:  &v1alpha1.VerticalPolicy{},
		},
	}
}

func target(kind string, pods ...*corev1.Pod) usage.Target {
	return usage.TargetOf(policy(kind), nil, pods, nil)
}

var webID = usage.PolicyID("shop", "web")

func key(r corev1.ResourceName) sizing.Key {
	return sizing.Key{Role: sizing.DefaultRole, Container: "app", Resource: r}
}

// until calls Update until the view is as a test wants it.
func until(t *testing.T, s *service, f *usage.Feeder, targets []usage.Target, done func(usage.View) bool) usage.View {
	t.Helper()
	var v usage.View
	require.Eventually(t, func() bool {
		f.Update(s.clock.Now(), targets)
		var ok bool
		v, ok = f.View(webID, s.clock.Now())
		return ok && done(v)
	}, 20*time.Second, 5*time.Millisecond, "the view is %+v", &v)
	return v
}

// read reports whether history was read and the pods were measured now.
func read(v usage.View) bool {
	for _, r := range []sizing.Reading{v.Readings[key("cpu")], v.Readings[key("memory")]} {
		if r.State != decision.Fresh || r.Age != 0 || r.Usage == 0 {
			return false
		}
	}
	return v.HistoryRead
}

const (
	pod1 = "web-7d4b9c6f5-x2lqz"
	pod2 = "web-7d4b9c6f5-bcdfg"
)

func TestUsageIsThePeakOfThePods(t *testing.T) {
	for _, spacing := range []time.Duration{time.Second, 15 * time.Second, 30 * time.Second} {
		t.Run(spacing.String(), func(t *testing.T) {
			s := newService(t)
			s.put(begin.Add(-10*time.Minute), begin, spacing, cpu(pod1, 0.5), memory(pod1, 300*mebi), cpu(pod2, 0.2), memory(pod2, 700*mebi),
				// Another workload's pod, the pod's sum and its sandbox.
				cpu("web-api-7d4b9c6f5-x2lqz", 9), series{"container_cpu_usage_seconds_total", []string{"namespace", "shop", "pod", pod1}, burning(9)})
			f := s.feeder(nil)
			v := until(t, s, f, []usage.Target{target("Deployment", newPod(pod1), newPod(pod2))}, read)
			assert.InDelta(t, 0.5, v.Readings[key("cpu")].Usage, 0.01)
			assert.InDelta(t, 0.5, v.Readings[key("cpu")].Target, 0.01)
			assert.InDelta(t, 700*mebi, v.Readings[key("memory")].Usage, 1)
			assert.Len(t, v.Readings, 2)
			assert.Equal(t, sizing.DefaultRole, v.Pods[0].Role)
		})
	}
}

func TestUsageIsStaleNotZero(t *testing.T) {
	s := newService(t)
	s.put(begin.Add(-10*time.Minute), begin, time.Second, cpu(pod1, 0.5), memory(pod1, 300*mebi))
	f := s.feeder(nil)
	targets := []usage.Target{target("Deployment", newPod(pod1))}
	until(t, s, f, targets, read)
	s.clock.Step(150 * time.Second)
	v := until(t, s, f, targets, func(v usage.View) bool { return v.Readings[key("cpu")].State == decision.Stale })
	assert.InDelta(t, 0.5, v.Readings[key("cpu")].Target, 0.01)
	assert.Contains(t, v.Readings[key("cpu")].Reason, "2m30s old")
}

func TestUsageUnknownIsMissing(t *testing.T) {
	s := newService(t)
	f := s.feeder(nil)
	v := until(t, s, f, []usage.Target{target("Deployment", newPod(pod1))}, func(v usage.View) bool { return v.HistoryRead })
	assert.Equal(t, decision.Missing, v.Readings[key("cpu")].State)
	assert.NotEmpty(t, v.Readings[key("cpu")].Reason)
}

func TestCounterResetIsNoUsage(t *testing.T) {
	s := newService(t)
	reset := begin.Add(-30 * time.Second)
	s.put(begin.Add(-10*time.Minute), begin, time.Second, memory(pod1, 1), series{"container_cpu_usage_seconds_total", of(pod1), func(at time.Time) float64 {
		if at.Before(reset) {
			return 1e6 + 0.5*at.Sub(begin.Add(-time.Hour)).Seconds()
		}
		return 0.5 * at.Sub(reset).Seconds()
	}})
	v := until(t, s, s.feeder(nil), []usage.Target{target("Deployment", newPod(pod1))}, read)
	assert.InDelta(t, 0.5, v.Readings[key("cpu")].Target, 0.05)
}

func TestPageCacheIsNoNeedWithoutPressure(t *testing.T) {
	for _, test := range []struct {
		name     string
		pressure float64 // share of time; negative for a host that does not measure it
		need     float64
	}{
		{"no pressure", 0, 500}, {"some", 0.005, 600}, {"thrashing", 0.05, 700}, {"not measured", -1, 700},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newService(t)
			all := []series{cpu(pod1, 0.1), memory(pod1, 700*mebi),
				{"container_memory_total_active_file_bytes", of(pod1), constant(250 * mebi)},
				{"container_memory_mapped_file", of(pod1), constant(50 * mebi)}}
			if test.pressure >= 0 {
				all = append(all, series{"container_pressure_memory_waiting_seconds_total", of(pod1), burning(test.pressure)})
			}
			// The first sample of all has no pressure yet, which needs two; it is no step of the history here.
			s.put(begin.Add(-9*time.Minute), begin, time.Second, all...)
			v := until(t, s, s.feeder(nil), []usage.Target{target("Deployment", newPod(pod1))}, read)
			assert.InDelta(t, test.need, v.Readings[key("memory")].Usage/mebi, 1)
			assert.InDelta(t, test.need, v.Readings[key("memory")].Target/mebi, 1, "history follows the same formula")
		})
	}
}

func TestHistoryReachesBackAndForgetsPodsOfOthers(t *testing.T) {
	s := newService(t)
	// Five days ago a pod that is long gone used much, and so did a pod of another workload.
	old := begin.Add(-5 * 24 * time.Hour)
	s.put(old, old.Add(time.Hour), 15*time.Second, cpu("web-5c9f7bd7c8-zzzzz", 3), memory("web-5c9f7bd7c8-zzzzz", 900*mebi), cpu("web-api-5c9f7bd7c8-zzzzz", 8))
	s.put(begin.Add(-time.Hour), begin, 15*time.Second, cpu(pod1, 0.5), memory(pod1, 300*mebi))
	v := until(t, s, s.feeder(nil), []usage.Target{target("Deployment", newPod(pod1))}, read)
	assert.InDelta(t, 3, v.Readings[key("cpu")].Target, 0.05)
	assert.InDelta(t, 900*mebi, v.Readings[key("memory")].Target, 1)
	assert.WithinDuration(t, old, v.Readings[key("cpu")].Since, 10*time.Minute)
	assert.Contains(t, v.History, "192h")
}

func TestNothingShrinksWhileHistoryIsRead(t *testing.T) {
	s := newService(t)
	s.put(begin.Add(-10*time.Minute), begin, time.Second, cpu(pod1, 0.5), memory(pod1, 300*mebi))
	s.failOn(func(query string) bool { return strings.Contains(query, "target_namespace") })
	f := s.feeder(nil)
	targets := []usage.Target{target("Deployment", newPod(pod1))}
	v := until(t, s, f, targets, func(v usage.View) bool { return v.Readings[key("cpu")].State == decision.Fresh })
	assert.False(t, v.HistoryRead)
	assert.InDelta(t, 0.5, v.Readings[key("cpu")].Target, 0.01)
	assert.Equal(t, 1.0, v.Readings[key("cpu")].Floor, "the request in force")
	assert.NotEmpty(t, v.Readings[key("cpu")].Reason)
	s.failOn(nil)
	s.clock.Step(time.Second)
	s.put(begin.Add(time.Second), begin.Add(20*time.Second), time.Second, cpu(pod1, 0.5), memory(pod1, 300*mebi))
	s.clock.Step(19 * time.Second)
	v = until(t, s, f, targets, read)
	assert.Zero(t, v.Readings[key("cpu")].Floor)
}

func TestNothingPublishedShrinksByPartOfAHistory(t *testing.T) {
	for _, test := range []struct {
		name      string
		pods      []*corev1.Pod
		published string
		floor     float64 // MiB
	}{
		{"no pod runs, nothing is published", nil, "", 1024},
		{"no pod runs, more is published", nil, "2Gi", 2048},
		{"more is published than the pods have", []*corev1.Pod{newPod(pod1)}, "2Gi", 2048},
		{"less is published than the pods have", []*corev1.Pod{newPod(pod1)}, "100Mi", 1024},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newService(t)
			s.put(begin.Add(-25*time.Minute), begin.Add(-time.Minute), time.Second, cpu(pod1, 0.01), memory(pod1, 50*mebi))
			// The last hours can be read; what is asked about in coarse steps, which is the rest, cannot.
			s.failOn(func(query string) bool {
				return strings.Contains(query, "target_namespace") && strings.Contains(query, "[1800000ms]")
			})
			p := policy("Deployment")
			if test.published != "" {
				p.Status.Vertical = &v1alpha1.VerticalStatus{Containers: []v1alpha1.ContainerSizeStatus{{Name: "app", Role: sizing.DefaultRole,
					Target: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(test.published)}}}}
			}
			f := s.feeder(nil)
			targets := []usage.Target{usage.TargetOf(p, &corev1.PodTemplateSpec{Spec: newPod(pod1).Spec}, test.pods, nil)}
			v := until(t, s, f, targets, func(v usage.View) bool {
				return v.Readings[key("memory")].Target > 0 && strings.Contains(v.History, "could not be read")
			})
			r := v.Readings[key("memory")]
			assert.False(t, v.HistoryRead)
			assert.Equal(t, test.floor, r.Floor/mebi)
			assert.InDelta(t, 50, r.Target/mebi, 1)
			assert.NotEmpty(t, r.Reason)
		})
	}
}

// What is published does not come and go with the process that reads the history.
func TestWhatIsPublishedWaitsForTheHistory(t *testing.T) {
	s := newService(t)
	s.put(begin.Add(-25*time.Minute), begin.Add(-time.Minute), time.Second, cpu(pod1, 0.01), memory(pod1, 50*mebi))
	resume := make(chan struct{})
	var made atomic.Int32
	f := s.feeder(func(_ *usage.Config, d *usage.Dependencies) {
		d.Models = func(m v1alpha1.EstimationModel, r vertical.Resource, h time.Duration) (vertical.Model, error) {
			if made.Add(1) > 2 { // those of the last hours are there
				<-resume
			}
			return peakModels(m, r, h)
		}
	})
	p := policy("Deployment")
	p.Status.Vertical = &v1alpha1.VerticalStatus{Containers: []v1alpha1.ContainerSizeStatus{{Name: "app", Role: sizing.DefaultRole,
		Target: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("30Mi")}}}}
	targets := []usage.Target{usage.TargetOf(p, &corev1.PodTemplateSpec{Spec: newPod(pod1).Spec}, nil, nil)}
	v := until(t, s, f, targets, func(v usage.View) bool {
		return v.Readings[key("cpu")].Target > 0 && v.Readings[key("memory")].Target > 0
	})
	close(resume)
	assert.False(t, v.HistoryRead)
	assert.Equal(t, decision.Stale, v.Readings[key("memory")].State)
	assert.Equal(t, decision.Fresh, v.Readings[key("cpu")].State, "nothing is published of it")
	v = until(t, s, f, targets, func(v usage.View) bool { return v.HistoryRead })
	assert.Equal(t, decision.Fresh, v.Readings[key("memory")].State)
}

// Memory is known of some pods, CPU of all.
func TestNothingShrinksByTheUsageOfSomePods(t *testing.T) {
	names := []string{"web-7d4b9c6f5-bbbbb", "web-7d4b9c6f5-ccccc", "web-7d4b9c6f5-ddddd", "web-7d4b9c6f5-fffff"}
	for _, test := range []struct {
		name  string
		known int
		down  bool // those of whom nothing is known do not run
		state decision.State
		floor float64 // MiB
	}{
		{"one of four", 1, false, decision.Stale, 0},
		{"three of four", 3, false, decision.Fresh, 1024},
		{"three of four, the other one waits", 3, true, decision.Fresh, 0},
		{"all", 4, false, decision.Fresh, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newService(t)
			var all []series
			var pods []*corev1.Pod
			for i, name := range names {
				pod := newPod(name)
				all = append(all, cpu(name, 0.5))
				if i < test.known {
					all = append(all, memory(name, 10*mebi))
				} else if test.down {
					pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
				}
				pods = append(pods, pod)
			}
			s.put(begin.Add(-10*time.Minute), begin.Add(5*time.Minute), time.Second, all...)
			f := s.feeder(nil)
			targets := []usage.Target{target("Deployment", pods...)}
			until(t, s, f, targets, read)
			replay(t, s, f, begin.Add(15*time.Second), begin.Add(3*time.Minute), 15*time.Second, targets)
			v, _ := f.View(webID, s.clock.Now())
			r := v.Readings[key("memory")]
			assert.Equal(t, test.state, r.State, r.Reason)
			assert.Equal(t, test.floor, r.Floor/mebi)
			assert.Equal(t, decision.Fresh, v.Readings[key("cpu")].State)
			assert.Zero(t, v.Readings[key("cpu")].Floor)
		})
	}
}

func TestMaxContainersIsABound(t *testing.T) {
	s := newService(t)
	f := s.feeder(func(c *usage.Config, _ *usage.Dependencies) { c.MaxContainers = 2 })
	named := func(name string, pods int) usage.Target {
		var all []*corev1.Pod
		for i := range pods {
			all = append(all, newPod(fmt.Sprintf("%s-%d", name, i)))
		}
		target := target("StatefulSet", all...)
		target.ID, target.Workload.Name = usage.PolicyID("shop", name), name
		return target
	}
	now := begin
	followed := func(names string, targets ...usage.Target) {
		t.Helper()
		var got []string
		f.Update(now, targets)
		for _, name := range []string{"a", "b", "c", "d"} {
			if _, ok := f.View(usage.PolicyID("shop", name), now); ok {
				got = append(got, name)
			}
		}
		assert.Equal(t, names, strings.Join(got, " "))
		now = now.Add(time.Second)
	}
	a, b, c, d := named("a", 1), named("b", 1), named("c", 1), named("d", 1)
	followed("b c", d, c, b)
	followed("b c", b, c, d)
	followed("b c", a, d, c, b) // who is followed stays, whoever comes
	followed("b c", a, d, c)    // b could not be read for a moment
	now = now.Add(time.Minute)
	followed("a c", d, c, a) // it is gone
	followed("a", named("a", 2), c, d)
	followed("", named("a", 3))
	followed("c d", named("a", 3), c, d)
}

func TestTargetsAreForgotten(t *testing.T) {
	s := newService(t)
	f := s.feeder(nil)
	f.Update(begin, []usage.Target{target("Deployment", newPod(pod1))})
	_, ok := f.View(webID, begin)
	require.True(t, ok)
	f.Update(begin.Add(time.Second), nil)
	_, ok = f.View(webID, begin)
	assert.True(t, ok, "it could not be read for a moment")
	f.Update(begin.Add(2*time.Second), []usage.Target{target("Deployment", newPod(pod1))})
	f.Update(begin.Add(50*time.Second), nil)
	f.Update(begin.Add(100*time.Second), nil)
	_, ok = f.View(webID, begin)
	assert.True(t, ok)
	f.Update(begin.Add(110*time.Second), nil)
	_, ok = f.View(webID, begin)
	assert.False(t, ok)
}

func TestManyPodsTakeFewQueries(t *testing.T) {
	s := newService(t)
	var pods []*corev1.Pod
	var all []series
	for i := range 300 {
		name := fmt.Sprintf("web-%d", i)
		pods = append(pods, newPod(name))
		all = append(all, cpu(name, 0.01), memory(name, float64(i)*mebi))
	}
	s.put(begin.Add(-time.Minute), begin, 15*time.Second, all...)
	f := s.feeder(func(c *usage.Config, _ *usage.Dependencies) { c.BatchPods = 100; c.RoleHold = 1 << 60 })
	v := until(t, s, f, []usage.Target{target("StatefulSet", pods...)}, read)
	assert.InDelta(t, 299*mebi, v.Readings[key("memory")].Usage, 1)
	assert.Equal(t, 3, s.count("time() - max by (namespace, pod, container) (timestamp(container_cpu"))
}

func TestOneResourceIsKnownAlthoughAnotherIsNot(t *testing.T) {
	s := newService(t)
	s.put(begin.Add(-5*time.Minute), begin, time.Second, cpu(pod1, 0.5), memory(pod1, 300*mebi))
	// The ages of memory are not told, so that its values do not count either.
	s.failOn(func(query string) bool { return strings.Contains(query, "timestamp(container_memory") })
	f := s.feeder(nil)
	targets := []usage.Target{target("Deployment", newPod(pod1))}
	until(t, s, f, targets, func(v usage.View) bool {
		return v.HistoryRead && v.Readings[key("cpu")].State == decision.Fresh && v.Readings[key("cpu")].Age == 0
	})
	s.clock.Step(150 * time.Second)
	s.put(begin.Add(time.Second), begin.Add(150*time.Second), time.Second, cpu(pod1, 0.5), memory(pod1, 300*mebi))
	v := until(t, s, f, targets, func(v usage.View) bool { return v.Readings[key("cpu")].Age == 0 })
	assert.Equal(t, decision.Stale, v.Readings[key("memory")].State)
	assert.Equal(t, decision.Fresh, v.Readings[key("cpu")].State)
}
