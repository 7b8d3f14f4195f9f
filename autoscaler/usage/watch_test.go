package usage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/usage"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// recorded lets a feeder's models keep what they are given, by resource.
func recorded(models map[vertical.Resource]*log) usage.Models {
	return func(_ v1alpha1.EstimationModel, r vertical.Resource, _ time.Duration) (vertical.Model, error) {
		return &peakModel{observed: models[r]}, nil
	}
}

func kills(restarts int32, reason string, at time.Time) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		s := &p.Status.ContainerStatuses[0]
		s.RestartCount = restarts
		s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: reason, ExitCode: 137, FinishedAt: metav1.NewTime(at)}
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at.Add(time.Second))}
	}
}

func changed(pod *corev1.Pod, change func(*corev1.Pod)) *corev1.Pod {
	pod = pod.DeepCopy()
	change(pod)
	return pod
}

func TestKillIsAnsweredAtOnceAndOnce(t *testing.T) {
	oom := func(v float64) series { return series{"container_oom_events_total", of(pod1), constant(v)} }
	at := begin.Add(5 * time.Second)
	byStatus := changed(newPod(pod1), kills(1, "OOMKilled", at))
	for _, test := range []struct {
		name  string
		steps func(s *service, update func(pod *corev1.Pod))
		kills int
	}{
		{"status alone", func(s *service, update func(*corev1.Pod)) { update(byStatus) }, 1},
		{"counter alone", func(s *service, update func(*corev1.Pod)) {
			s.put(at, at, time.Second, oom(1))
			update(newPod(pod1))
		}, 1},
		{"counter, then status", func(s *service, update func(*corev1.Pod)) {
			s.put(at, at, time.Second, oom(1))
			update(newPod(pod1))
			update(byStatus)
			update(byStatus)
		}, 1},
		{"status, then counter", func(s *service, update func(*corev1.Pod)) {
			update(byStatus)
			s.put(at, at, time.Second, oom(1))
			update(byStatus)
			update(byStatus)
		}, 1},
		{"two in a row", func(s *service, update func(*corev1.Pod)) {
			update(byStatus)
			update(changed(newPod(pod1), kills(2, "OOMKilled", at.Add(time.Minute))))
		}, 2},
		{"no kill", func(s *service, update func(*corev1.Pod)) { update(changed(newPod(pod1), kills(1, "Error", at))) }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newService(t)
			s.put(begin.Add(-2*time.Minute), begin, time.Second, cpu(pod1, 0.5), memory(pod1, 900*mebi), oom(0))
			models := map[vertical.Resource]*log{vertical.CPU: {}, vertical.Memory: {}}
			f := s.feeder(func(_ *usage.Config, d *usage.Dependencies) { d.Models = recorded(models) })
			until(t, s, f, []usage.Target{target("Deployment", newPod(pod1))}, read)
			polls := func() int { return s.count("container_oom_events_total{namespace") }
			// One look at the counters more than there was: the first says what was before.
			for n := polls(); polls() < n+2; time.Sleep(time.Millisecond) {
				s.clock.Step(time.Second)
				f.Update(s.clock.Now(), []usage.Target{target("Deployment", newPod(pod1))})
			}
			s.clock.SetTime(at)
			test.steps(s, func(pod *corev1.Pod) {
				s.clock.Step(time.Second)
				for n := polls(); polls() < n+2; time.Sleep(time.Millisecond) {
					s.clock.Step(time.Second)
					f.Update(s.clock.Now(), []usage.Target{target("Deployment", pod)})
				}
			})
			require.Eventually(t, func() bool {
				models[vertical.Memory].mu.Lock()
				defer models[vertical.Memory].mu.Unlock()
				return len(models[vertical.Memory].kills) >= test.kills
			}, 10*time.Second, time.Millisecond)
			l := models[vertical.Memory]
			l.mu.Lock()
			defer l.mu.Unlock()
			require.Len(t, l.kills, test.kills)
			if test.kills > 0 {
				assert.Equal(t, 1024.0*mebi, l.kills[0].Limit)
				assert.Equal(t, 900.0*mebi, l.kills[0].Usage)
				v, _ := f.View(webID, s.clock.Now())
				assert.InDelta(t, 1.2*1024*mebi, v.Readings[key("memory")].Target, 1)
			}
			assert.Empty(t, models[vertical.CPU].kills)
		})
	}
}

func TestKillsOfBeforeAreNotNew(t *testing.T) {
	s := newService(t)
	s.put(begin.Add(-2*time.Minute), begin, time.Second, cpu(pod1, 0.5), memory(pod1, 900*mebi), series{"container_oom_events_total", of(pod1), constant(3)})
	models := map[vertical.Resource]*log{vertical.CPU: {}, vertical.Memory: {}}
	f := s.feeder(func(_ *usage.Config, d *usage.Dependencies) { d.Models = recorded(models) })
	targets := []usage.Target{target("Deployment", changed(newPod(pod1), kills(3, "OOMKilled", begin.Add(-time.Hour))))}
	until(t, s, f, targets, read)
	for s.count("container_oom_events_total{namespace") < 4 {
		s.clock.Step(time.Second)
		f.Update(s.clock.Now(), targets)
		time.Sleep(time.Millisecond)
	}
	models[vertical.Memory].mu.Lock()
	defer models[vertical.Memory].mu.Unlock()
	assert.Empty(t, models[vertical.Memory].kills)
}

// limits gives a pod another limit for memory, and as much of a request.
func limits(memory string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		r := &p.Spec.Containers[0].Resources
		r.Requests[corev1.ResourceMemory], r.Limits[corev1.ResourceMemory] = resource.MustParse(memory), resource.MustParse(memory)
	}
}

func auto(m v1alpha1.EstimationModel, r vertical.Resource, history time.Duration) (vertical.Model, error) {
	return vertical.New(string(m), r, vertical.Options{History: history})
}

// A process that begins after a kill was answered hears of it from the pod's status, when the limit is larger already.
func TestAnAnsweredKillIsNotAnsweredAgain(t *testing.T) {
	at := begin.Add(-6 * time.Minute)
	killed := changed(newPod(pod1), kills(1, "OOMKilled", at))
	answered := changed(killed, limits("1229Mi")) // a fifth more
	before := map[string]corev1.ResourceRequirements{"app": killed.Spec.Containers[0].Resources}
	noted := func(s *service) {
		slot := at.Truncate(5 * time.Minute).Add(5 * time.Minute)
		of := []string{"target_namespace", "shop", "target_kind", "Deployment", "target_name", "web", "target_container", "app", "role", "default"}
		s.put(slot, slot, time.Second, series{"yagura_autoscaler_usage_memory_peak_bytes", of, constant(900 * mebi)},
			series{"yagura_autoscaler_usage_oom_kills", of, constant(1)}, series{"yagura_autoscaler_usage_oom_limit_bytes", of, constant(1024 * mebi)})
	}
	for _, test := range []struct {
		name    string
		pod     *corev1.Pod
		changed time.Time
		store   func(*service)
		limit   float64 // MiB
	}{
		{"not answered yet", killed, time.Time{}, nil, 1024},
		{"resized since", answered, at.Add(2 * time.Second), nil, 1024},
		{"resized before", answered, at.Add(-time.Minute), nil, 1229},
		{"noted by the process before", answered, time.Time{}, noted, 1024},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newService(t)
			s.put(begin.Add(-30*time.Minute), begin, time.Second, cpu(pod1, 0.5), memory(pod1, 900*mebi))
			if test.store != nil {
				test.store(s)
			}
			f := s.feeder(func(_ *usage.Config, d *usage.Dependencies) { d.Models = auto })
			target := usage.TargetOf(policy("Deployment"), nil, []*corev1.Pod{test.pod},
				func(*corev1.Pod) (time.Time, map[string]corev1.ResourceRequirements) { return test.changed, before })
			v := until(t, s, f, []usage.Target{target}, read)
			assert.InDelta(t, 1.2*test.limit, v.Readings[key("memory")].Target/mebi, 1, v.Readings[key("memory")].Estimate.Reason)
		})
	}
}

// The raw series that a history is made of tell of the same kill as the pod's status.
func TestAKillInTheHistoryCountsOnce(t *testing.T) {
	at := begin.Add(-90 * time.Second)
	s := newService(t)
	s.put(begin.Add(-30*time.Minute), begin, time.Second, cpu(pod1, 0.5), memory(pod1, 900*mebi),
		series{"container_oom_events_total", of(pod1), func(x time.Time) float64 {
			if x.Before(at) {
				return 0
			}
			return 1
		}})
	f := s.feeder(func(_ *usage.Config, d *usage.Dependencies) { d.Models = auto })
	v := until(t, s, f, []usage.Target{target("Deployment", changed(newPod(pod1), kills(1, "OOMKilled", at)))}, read)
	assert.InDelta(t, 1.2*1024, v.Readings[key("memory")].Target/mebi, 1, v.Readings[key("memory")].Estimate.Reason)
}

// A restart that followed the last change is an effect of it, also for a process that began in between.
func TestARestartThatNobodySawIsAnEffect(t *testing.T) {
	change := begin.Add(-5 * time.Minute)
	for _, test := range []struct {
		name string
		at   time.Time
		want int
	}{{"after the change", change.Add(time.Minute), 1}, {"before it", change.Add(-time.Minute), 0}} {
		t.Run(test.name, func(t *testing.T) {
			s := newService(t)
			f := s.feeder(nil)
			f.Update(begin, []usage.Target{usage.TargetOf(policy("Deployment"), nil, []*corev1.Pod{changed(newPod(pod1), kills(1, "Error", test.at))},
				func(*corev1.Pod) (time.Time, map[string]corev1.ResourceRequirements) { return change, nil })})
			v, ok := f.View(webID, begin)
			require.True(t, ok)
			require.Len(t, v.Pods[0].Effects, test.want)
		})
	}
}

func TestEffectsFollowAChange(t *testing.T) {
	change := begin.Add(time.Second)
	throttled := func(before, after float64) []series {
		periods := series{"container_cpu_cfs_periods_total", of(pod1), burning(10)}
		return []series{periods, {"container_cpu_cfs_throttled_periods_total", of(pod1), func(at time.Time) float64 {
			if at.Before(change) {
				return 10*before*at.Sub(begin.Add(-time.Hour)).Seconds() + 1e6
			}
			return 10*before*3600 + 1e6 + 10*after*at.Sub(change).Seconds()
		}}}
	}
	health := func(before, after float64) series {
		return series{"burn", []string{"job", "x"}, func(at time.Time) float64 {
			if at.Before(change) {
				return before
			}
			return after
		}}
	}
	for _, test := range []struct {
		name   string
		series []series
		pod    func(*corev1.Pod)
		want   []sizing.EffectKind
	}{
		{"nothing", append(throttled(0.3, 0.32), health(1, 1)), nil, nil},
		{"throttled before", append(throttled(0.9, 0.95), health(1, 1)), nil, nil},
		{"throttling", append(throttled(0.1, 0.6), health(1, 1)), nil, []sizing.EffectKind{sizing.EffectThrottling}},
		{"health", append(throttled(0.1, 0.1), health(1, 20)), nil, []sizing.EffectKind{sizing.EffectHealth}},
		{"bad health before", append(throttled(0.1, 0.1), health(20, 20)), nil, nil},
		{"restart", append(throttled(0.1, 0.1), health(1, 1)), kills(1, "Error", change.Add(time.Minute)), []sizing.EffectKind{sizing.EffectRestart}},
		{"kill", append(throttled(0.1, 0.1), health(1, 1)), kills(1, "OOMKilled", change.Add(time.Minute)), []sizing.EffectKind{sizing.EffectOOM}},
		{"restart that the resize asked for", append(throttled(0.1, 0.1), health(1, 1)), func(p *corev1.Pod) {
			p.Spec.Containers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: "memory", RestartPolicy: corev1.RestartContainer}}
			kills(1, "Error", change.Add(10*time.Second))(p)
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newService(t)
			s.put(begin.Add(-5*time.Minute), begin.Add(5*time.Minute), time.Second, append(test.series, cpu(pod1, 0.5), memory(pod1, 300*mebi))...)
			f := s.feeder(nil)
			p := policy("Deployment")
			p.Spec.Vertical.Rollback = &v1alpha1.RollbackPolicy{Health: &v1alpha1.HealthQuery{PromQL: "burn", Max: resource.MustParse("14.4")}}
			before := usage.TargetOf(p, nil, []*corev1.Pod{newPod(pod1)}, nil)
			s.clock.SetTime(begin.Add(-2 * time.Minute))
			rounds := func(from, to time.Time, target usage.Target) {
				for at := from; !at.After(to); at = at.Add(15 * time.Second) {
					measured, polled := s.count("timestamp(container_memory_working"), s.count("burn")
					s.clock.SetTime(at)
					require.Eventually(t, func() bool {
						f.Update(at, []usage.Target{target})
						return s.count("timestamp(container_memory_working") > measured && s.count("burn") > polled
					}, 10*time.Second, time.Millisecond)
				}
			}
			rounds(begin.Add(-2*time.Minute), begin, before)
			pod := newPod(pod1)
			if test.pod != nil {
				test.pod(pod)
			}
			after := usage.TargetOf(p, nil, []*corev1.Pod{pod}, func(*corev1.Pod) (time.Time, map[string]corev1.ResourceRequirements) { return change, nil })
			rounds(begin.Add(15*time.Second), begin.Add(3*time.Minute), after)
			var kinds []sizing.EffectKind
			require.Eventually(t, func() bool {
				v, _ := f.View(webID, s.clock.Now())
				kinds = nil
				for _, e := range v.Pods[0].Effects {
					kinds = append(kinds, e.Kind)
					assert.NotEmpty(t, e.Reason)
				}
				return len(kinds) >= len(test.want)
			}, 10*time.Second, 5*time.Millisecond)
			assert.Equal(t, test.want, kinds)
		})
	}
}
