package usage

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/signal"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// heapField is what a runtime's metric says.
type heapField int

const (
	heapUsed heapField = iota // after the last collection
	heapNow                   // in use, garbage included
	heapCommitted
	heapMax
	heapFields
)

// heapMetric is a metric about heaps. Several libraries have names of their own for the same.
type heapMetric struct {
	runtime v1alpha1.Runtime
	field   heapField
	// label and value are the label, and its value, that tells the heap from other memory.
	label, value string
}

// heapMetrics are those of Micrometer, the OpenTelemetry agent for Java, Prometheus' Java client before and since version 1, Prometheus'
// Go client, OpenTelemetry's runtime instrumentation for Go, prom-client for Node.js and OpenTelemetry's for V8.
var heapMetrics = map[string]heapMetric{
	"jvm_memory_used_bytes":               {v1alpha1.RuntimeJVM, heapNow, "area", "heap"},
	"jvm_memory_committed_bytes":          {v1alpha1.RuntimeJVM, heapCommitted, "area", "heap"},
	"jvm_memory_max_bytes":                {v1alpha1.RuntimeJVM, heapMax, "area", "heap"},
	"jvm_memory_limit_bytes":              {v1alpha1.RuntimeJVM, heapMax, "area", "heap"},
	"jvm_memory_used_after_last_gc_bytes": {v1alpha1.RuntimeJVM, heapUsed, "area", "heap"},
	"jvm_gc_live_data_size_bytes":         {v1alpha1.RuntimeJVM, heapUsed, "", ""},
	"jvm_memory_bytes_used":               {v1alpha1.RuntimeJVM, heapNow, "area", "heap"},
	"jvm_memory_bytes_committed":          {v1alpha1.RuntimeJVM, heapCommitted, "area", "heap"},
	"jvm_memory_bytes_max":                {v1alpha1.RuntimeJVM, heapMax, "area", "heap"},
	"go_gc_heap_live_bytes":               {v1alpha1.RuntimeGo, heapUsed, "", ""},
	"go_memstats_heap_alloc_bytes":        {v1alpha1.RuntimeGo, heapNow, "", ""},
	"go_memory_used_bytes":                {v1alpha1.RuntimeGo, heapNow, "", ""},
	"go_memstats_heap_sys_bytes":          {v1alpha1.RuntimeGo, heapCommitted, "", ""},
	"go_gc_gomemlimit_bytes":              {v1alpha1.RuntimeGo, heapMax, "", ""},
	"go_memory_limit_bytes":               {v1alpha1.RuntimeGo, heapMax, "", ""},
	"nodejs_heap_size_used_bytes":         {v1alpha1.RuntimeNode, heapNow, "", ""},
	"nodejs_heap_size_total_bytes":        {v1alpha1.RuntimeNode, heapCommitted, "", ""},
	"v8js_memory_heap_used_bytes":         {v1alpha1.RuntimeNode, heapNow, "", ""},
	"v8js_memory_heap_limit_bytes":        {v1alpha1.RuntimeNode, heapMax, "", ""},
}

// otelHeap is the label by which OpenTelemetry's Java agent tells the heap from other memory, under the same names as Micrometer.
const otelHeap = "jvm_memory_type"

// heapQuery asks for all of them at once. Pools that have no bound say -1.
func heapQuery(pods []podName) string {
	var names, namespaces, podNames []string
	for name := range heapMetrics {
		names = append(names, name)
	}
	for _, pod := range pods {
		namespaces, podNames = append(namespaces, pod.namespace), append(podNames, pod.pod)
	}
	slices.Sort(names)
	slices.Sort(namespaces)
	slices.Sort(podNames)
	return fmt.Sprintf(`sum by (__name__, namespace, pod, container, area, %s) ({__name__=~%q,namespace=~%q,pod=~%q} > 0)`,
		otelHeap, strings.Join(names, "|"), alternatives(slices.Compact(namespaces)), alternatives(slices.Compact(podNames)))
}

// heapKey names a heap: of a runtime in a container. The container is empty when the metrics do not say it.
type heapKey struct {
	container string
	runtime   v1alpha1.Runtime
}

// heapValues are bytes, NaN when unknown.
type heapValues [heapFields]float64

// heapLog is what is known about the heaps of a workload: what its metrics say, the highest over the pods.
type heapLog struct {
	values map[heapKey]heapValues
	at     time.Time
}

// pollHeaps asks for the metrics of runtimes.
func (f *Feeder) pollHeaps(ctx context.Context, workloads []*workload) error {
	pods, _ := f.measurable(workloads, f.deps.Clock.Now())
	batches := slices.Collect(slices.Chunk(pods, f.cfg.BatchPods))
	answers := make([][]signal.Point, len(batches))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(f.cfg.Concurrency)
	tick := f.deps.Signals.Tick()
	for i, batch := range batches {
		group.Go(func() (err error) {
			if answers[i], err = tick.Vector(ctx, heapQuery(batch)); err != nil {
				err = fmt.Errorf("look at heaps: %w", err)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	byPod := map[podName][]signal.Point{}
	for _, points := range answers {
		for _, p := range points {
			name := podName{p.Labels["namespace"], p.Labels["pod"]}
			byPod[name] = append(byPod[name], p)
		}
	}
	now := f.deps.Clock.Now()
	for _, w := range workloads {
		w.mu.Lock()
		values := map[heapKey]heapValues{}
		for name, p := range w.pods {
			if p.running {
				addHeaps(values, byPod[podName{w.key.Namespace, name}])
			}
		}
		if len(values) > 0 || now.Sub(w.heaps.at) > time.Duration(f.cfg.StaleAfter)+time.Duration(f.cfg.HeapInterval) {
			w.heaps = heapLog{values: values, at: now}
		}
		w.mu.Unlock()
	}
	return nil
}

// addHeaps takes the metrics of one pod in: the highest of each, and what is left as garbage out where that is known.
func addHeaps(into map[heapKey]heapValues, points []signal.Point) {
	for _, p := range points {
		m, ok := heapMetrics[p.Labels["__name__"]]
		if !ok || !usable(p.Value) {
			continue
		}
		if m.label != "" && p.Labels[m.label] != m.value && p.Labels[otelHeap] != m.value {
			continue
		}
		// math.MaxInt64 is what Go says when there is no bound.
		if m.field == heapMax && p.Value >= math.MaxInt64/2 {
			continue
		}
		key := heapKey{p.Labels["container"], m.runtime}
		values, ok := into[key]
		if !ok {
			for i := range values {
				values[i] = math.NaN()
			}
		}
		if v := values[m.field]; math.IsNaN(v) || p.Value > v {
			values[m.field] = p.Value
		}
		into[key] = values
	}
}

// heapsOf puts together what manifests and metrics say about heaps. A policy's word about the runtime is not asked: sizing has it.
func (w *workload) heapsOf(t *Target) map[string]sizing.Heap {
	if t.Template == nil {
		return nil
	}
	heaps := map[string]sizing.Heap{}
	spec := &t.Template.Spec
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			c := &containers[i]
			h, ok := heapOf(c)
			key, measured := w.heapKeyFor(c.Name, h.Runtime, len(spec.Containers) == 1)
			if !ok && !measured {
				continue
			}
			if measured {
				h = withMetrics(h, key.runtime, w.heaps.values[key])
				h.Outside = max(0, w.highestMemory(c.Name)-cmp.Or(h.Committed, h.Used))
				if h.Value == "" && h.Variable != "" {
					h.Value = envValue(c, h.Variable)
				}
			}
			heaps[c.Name] = h
		}
	}
	return heaps
}

// heapKeyFor finds the metrics of a container. Those that name no container belong to the only one there is.
func (w *workload) heapKeyFor(container string, runtime v1alpha1.Runtime, only bool) (heapKey, bool) {
	for _, r := range []v1alpha1.Runtime{v1alpha1.RuntimeJVM, v1alpha1.RuntimeNode, v1alpha1.RuntimeGo} {
		if runtime != "" && r != runtime {
			continue
		}
		if _, ok := w.heaps.values[heapKey{container, r}]; ok {
			return heapKey{container, r}, true
		}
		if _, ok := w.heaps.values[heapKey{"", r}]; ok && only {
			return heapKey{"", r}, true
		}
	}
	return heapKey{}, false
}

// withMetrics adds what metrics say to what flags say.
func withMetrics(h sizing.Heap, runtime v1alpha1.Runtime, v heapValues) sizing.Heap {
	or := func(a, b float64) float64 {
		if math.IsNaN(a) {
			a = b
		}
		if math.IsNaN(a) {
			return 0
		}
		return a
	}
	none := math.NaN()
	if h.Runtime == "" {
		h.Runtime, h.Evidence = runtime, "its metrics are those of "+string(runtime)
		switch runtime {
		case v1alpha1.RuntimeJVM:
			// Without a flag the machine bounds its heap by the container.
			h.Variable, h.FromContainer, h.Fraction = javaToolOptions, true, defaultRAMPercentage/100.0
		case v1alpha1.RuntimeGo:
			h.Variable = goMemLimit
		case v1alpha1.RuntimeNode:
			h.Variable = nodeOptions
		}
	}
	h.Used = or(v[heapUsed], v[heapNow])
	h.Committed = or(v[heapCommitted], v[heapNow])
	// What is in force goes before what the manifest says.
	if bound := or(v[heapMax], none); bound > 0 {
		h.Max = bound
	}
	return h
}

func envValue(c *corev1.Container, name string) string {
	for i := range c.Env {
		if c.Env[i].Name == name && c.Env[i].ValueFrom == nil {
			return c.Env[i].Value
		}
	}
	return ""
}

// highestMemory is the highest level of memory of a container over the running pods.
func (w *workload) highestMemory(container string) (highest float64) {
	for _, p := range w.pods {
		if c := p.container(container); c != nil && p.running {
			highest = max(highest, c.memory)
		}
	}
	return highest
}
