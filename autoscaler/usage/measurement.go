package usage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/signal"
)

// containerName names a container of a pod.
type containerName struct{ namespace, pod, container string }

// quantity is one number and the age of what it rests on.
type quantity struct {
	value float64
	age   time.Duration
	known bool
}

// fresh reports whether the quantity can be used.
func (q quantity) fresh(after time.Duration) bool { return q.known && q.age <= after }

// measurement is what one container uses.
type measurement struct {
	cpu, memory                            quantity
	throttled, cpuPressure, memoryPressure float64
	others                                 map[corev1.ResourceName]quantity
}

func (m *measurement) of(resource corev1.ResourceName) quantity {
	switch resource {
	case corev1.ResourceCPU:
		return m.cpu
	case corev1.ResourceMemory:
		return m.memory
	}
	return m.others[resource]
}

func (m *measurement) set(resource corev1.ResourceName, change func(*quantity)) {
	switch resource {
	case corev1.ResourceCPU:
		change(&m.cpu)
	case corev1.ResourceMemory:
		change(&m.memory)
	default:
		if m.others == nil {
			m.others = map[corev1.ResourceName]quantity{}
		}
		q := m.others[resource]
		change(&q)
		m.others[resource] = q
	}
}

// measurements are what the containers of many pods use at one time.
type measurements struct {
	mu         sync.Mutex
	containers map[containerName]*measurement
}

func (m *measurements) each(points []signal.Point, apply func(*measurement, float64)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range points {
		// What is no number is no measurement, and usage is not negative.
		if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) || p.Value < 0 {
			continue
		}
		name := containerName{p.Labels["namespace"], p.Labels["pod"], p.Labels["container"]}
		if m.containers[name] == nil {
			m.containers[name] = &measurement{}
		}
		apply(m.containers[name], p.Value)
	}
}

// podName names a pod.
type podName struct{ namespace, pod string }

// measure asks what the containers of pods use: a few queries for each batch of pods, however many workloads they belong to. What was
// answered counts although other queries failed.
func (f *Feeder) measure(ctx context.Context, pods []podName, resources []corev1.ResourceName) (*measurements, error) {
	tick, window := f.deps.Signals.Tick(), f.window()
	m := &measurements{containers: make(map[containerName]*measurement, len(pods))}
	var mu sync.Mutex
	var failures []error
	var group errgroup.Group
	group.SetLimit(f.cfg.Concurrency)
	for batch := range slices.Chunk(pods, f.cfg.BatchPods) {
		s := batchSelector(batch)
		for _, resource := range resources {
			group.Go(func() error {
				if err := m.ask(ctx, tick, s, resource, window); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failures = append(failures, err)
				}
				return nil
			})
		}
		for _, hint := range []struct {
			query string
			apply func(*measurement, float64)
		}{
			{s.throttled(window), func(c *measurement, v float64) { c.throttled = min(v, 1) }},
			{s.cpuPressure(window), func(c *measurement, v float64) { c.cpuPressure = min(v, 1) }},
			{s.memoryPressure(window), func(c *measurement, v float64) { c.memoryPressure = min(v, 1) }},
		} {
			group.Go(func() error {
				// Without it there is less to say about usage, but usage there is.
				if points, err := tick.Vector(ctx, hint.query); err == nil {
					m.each(points, hint.apply)
				}
				return nil
			})
		}
	}
	_ = group.Wait() // the functions above return no errors
	return m, errors.Join(failures...)
}

// ask asks about one resource. A value counts only together with its age.
func (m *measurements) ask(ctx context.Context, tick *signal.Tick, s selector, resource corev1.ResourceName, window time.Duration) error {
	query, metric, ok := s.usage(resource, window)
	if !ok {
		return nil
	}
	values, err := tick.Vector(ctx, query)
	if err != nil {
		return fmt.Errorf("measure %s: %w", resource, err)
	}
	ages, err := tick.Vector(ctx, s.age(metric))
	if err != nil {
		return fmt.Errorf("measure the age of %s: %w", resource, err)
	}
	// A value without an age rests on a series that ended within the window, so that its age is at most that.
	m.each(values, func(c *measurement, v float64) {
		c.set(resource, func(q *quantity) { q.value, q.known, q.age = v, true, window })
	})
	for i := range ages {
		ages[i].Value = max(0, ages[i].Value) // clocks differ
	}
	m.each(ages, func(c *measurement, v float64) {
		c.set(resource, func(q *quantity) { q.age = time.Duration(v * float64(time.Second)) })
	})
	return nil
}

func batchSelector(pods []podName) selector {
	var namespaces, names []string
	for _, pod := range pods {
		names = append(names, pod.pod)
		namespaces = append(namespaces, pod.namespace)
	}
	slices.Sort(namespaces)
	slices.Sort(names)
	return podSelector(slices.Compact(namespaces), slices.Compact(names))
}

// resolutionLife is how long what was found out about the distance of samples is believed.
const resolutionLife = 10 * time.Minute

// assumedSpacing is how far samples are taken to lie apart until it is known: as far as Prometheus takes them.
const assumedSpacing = 15 * time.Second

// findResolution finds out how far samples of pods lie apart, since a rate needs several of them: a second with our own collector, 15 or 30
// with Prometheus.
func (f *Feeder) findResolution(ctx context.Context, s selector) error {
	now := f.deps.Clock.Now()
	if age := now.Sub(time.Unix(0, f.resolvedAt.Load())); age >= 0 && age < resolutionLife {
		return nil
	}
	const over = 2 * time.Minute
	points, err := f.deps.Signals.Tick().Vector(ctx, "max(count_over_time("+s.over("container_memory_working_set_bytes", over)+"))")
	if err != nil {
		return fmt.Errorf("find out how far samples lie apart: %w", err)
	}
	if len(points) != 1 || !(points[0].Value >= 1) {
		return nil
	}
	f.resolution.Store(int64(max(time.Second, time.Duration(float64(over)/points[0].Value).Round(time.Second))))
	f.resolvedAt.Store(now.UnixNano())
	return nil
}

// window is what the rate of CPU use is taken over.
func (f *Feeder) window() time.Duration {
	return max(time.Duration(f.cfg.Interval), 4*f.spacing())
}

// spacing is how far samples lie apart.
func (f *Feeder) spacing() time.Duration {
	if known := f.resolution.Load(); known > 0 {
		return time.Duration(known)
	}
	return assumedSpacing
}
