package signal

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/regexp"
	"golang.org/x/sync/errgroup"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// Resource is what usage is measured of.
type Resource string

const (
	// CPU is measured in cores.
	CPU Resource = "cpu"
	// Memory is measured in bytes of the working set.
	Memory Resource = "memory"
)

// Pod is a pod whose usage is asked for.
type Pod struct {
	Name string
	// Containers are the containers that run as long as the pod does.
	Containers []string
}

// UsageQuery asks what pods use.
type UsageQuery struct {
	Namespace string
	Pods      []Pod
	Resource  Resource
	// Container restricts the usage to one container, unless it is empty.
	Container string
	// Window is the time over which the rate of CPU use is taken.
	Window time.Duration
	// After is the age beyond which a sample is stale.
	After time.Duration
}

// PodUsage is what one pod uses.
type PodUsage struct {
	// Value is in cores or bytes.
	Value float64
	// Time is when the newest sample was taken, of the container whose newest is oldest; Window is what it was averaged over.
	Time   time.Time
	Window time.Duration
}

// UsageReading is what pods use. Pods that nothing fresh is known about are not in it. The state is Fresh when one pod or more is.
type UsageReading struct {
	Reading
	Usage map[string]PodUsage
	// Query is the query for the usage without the names of the pods, for records.
	Query string
}

// Usage reads what pods use: from the query service, and from metrics.k8s.io for those that the query service does not know.
func (t *Tick) Usage(ctx context.Context, q UsageQuery) UsageReading {
	reading := UsageReading{Usage: make(map[string]PodUsage, len(q.Pods)), Query: q.promQL("…")}
	if len(q.Pods) == 0 {
		reading.Reading = missing("the target has no running pods")
		return reading
	}
	samples, err := t.usageSamples(ctx, q)
	var stale time.Duration
	var unknown []Pod
	for _, pod := range q.Pods {
		usage, age, ok := q.sum(pod, samples, t.now)
		switch {
		case !ok:
			unknown = append(unknown, pod)
		case age > q.After:
			stale = max(stale, age)
			unknown = append(unknown, pod)
		default:
			reading.add(pod.Name, usage, age)
		}
	}
	fallbackErr := t.usageFromPodMetrics(ctx, q, unknown, &reading)
	if len(reading.Usage) > 0 {
		reading.State = decision.Fresh
		return reading
	}
	switch {
	case err != nil:
		reading.Reading = unanswered(err)
	case stale > 0:
		reading.Reading = Reading{State: decision.Stale, Age: &stale,
			Reason: fmt.Sprintf("the newest sample of %s is %s old, more than %s", q.metric(), stale.Round(time.Second), short(q.After))}
	default:
		reading.Reading = missing("no pod has samples of %s%s", q.metric(), q.rateHint())
	}
	if fallbackErr != nil {
		reading.Reason += "; metrics.k8s.io: " + fallbackErr.Error()
	}
	return reading
}

func (r *UsageReading) add(pod string, usage PodUsage, age time.Duration) {
	r.Usage[pod] = usage
	if r.Age == nil || age > *r.Age {
		r.Age = &age
	}
}

// usageFromPodMetrics fills in pods that the query service has nothing fresh about.
func (t *Tick) usageFromPodMetrics(ctx context.Context, q UsageQuery, unknown []Pod, reading *UsageReading) error {
	if len(unknown) == 0 || t.client.podMetrics == nil {
		return nil
	}
	all, err := t.client.podMetrics.InNamespace(ctx, q.Namespace)
	if err != nil {
		return err
	}
	for _, pod := range unknown {
		metrics, ok := all[pod.Name]
		if !ok {
			continue
		}
		value, complete := metrics.sum(q, pod)
		if age := max(0, t.now.Sub(metrics.Time)); complete && age <= q.After {
			reading.add(pod.Name, PodUsage{Value: value, Time: metrics.Time, Window: metrics.Window}, age)
		}
	}
	return nil
}

// containerKey names a container of a pod.
type containerKey struct{ pod, container string }

// usageSample is what one container uses, and the age of its newest sample.
type usageSample struct {
	value          float64
	age            time.Duration
	hasValue, aged bool
}

func (t *Tick) usageSamples(ctx context.Context, q UsageQuery) (map[containerKey]*usageSample, error) {
	names := make([]string, len(q.Pods))
	for i, pod := range q.Pods {
		names[i] = regexp.QuoteMeta(pod.Name)
	}
	slices.Sort(names)
	pods := strings.Join(names, "|")
	var values, ages answer
	var group errgroup.Group
	group.Go(func() (err error) { values, err = t.askPrometheus(ctx, q.promQL(pods)); return err })
	group.Go(func() (err error) {
		ages, err = t.askPrometheus(ctx, fmt.Sprintf("time() - max by (pod, container) (timestamp(%s))", q.selector(pods)))
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	samples := make(map[containerKey]*usageSample, len(values.points))
	at := func(p point) *usageSample {
		key := containerKey{p.labels["pod"], p.labels["container"]}
		if samples[key] == nil {
			samples[key] = &usageSample{}
		}
		return samples[key]
	}
	for _, p := range values.points {
		s := at(p)
		// What is no number is no measurement: its pod counts as one without a sample.
		s.value, s.hasValue = p.value, !p.histogram && !math.IsNaN(p.value) && !math.IsInf(p.value, 0)
	}
	for _, p := range ages.points {
		s := at(p)
		s.age, s.aged = max(0, seconds(p.value)), true
	}
	return samples, nil
}

// sum adds up the containers of a pod. A pod counts only when each of its containers does: part of the usage would pass for less
// load than there is.
func (q UsageQuery) sum(pod Pod, samples map[containerKey]*usageSample, now time.Time) (usage PodUsage, age time.Duration, ok bool) {
	for _, container := range q.containers(pod) {
		s := samples[containerKey{pod.Name, container}]
		if s == nil || !s.aged {
			return PodUsage{}, 0, false
		}
		if age = max(age, s.age); age <= q.After && !s.hasValue {
			return PodUsage{}, 0, false
		}
		usage.Value += s.value
		ok = true
	}
	usage.Time, usage.Window = now.Add(-age), q.window()
	return usage, age, ok
}

func (q UsageQuery) containers(pod Pod) []string {
	if q.Container != "" {
		return []string{q.Container}
	}
	return pod.Containers
}

func (q UsageQuery) window() time.Duration {
	if q.Resource == CPU {
		return q.Window
	}
	return 0
}

func (q UsageQuery) metric() string {
	if q.Resource == CPU {
		return "container_cpu_usage_seconds_total"
	}
	return "container_memory_working_set_bytes"
}

func (q UsageQuery) rateHint() string {
	if q.Resource == CPU {
		return fmt.Sprintf(" from which a rate over %s can be taken", short(q.Window))
	}
	return ""
}

// selector selects the containers of pods: neither the sums over a pod, which have no container, nor its sandbox.
func (q UsageQuery) selector(pods string) string {
	return fmt.Sprintf(`%s{namespace=%s,pod=~%s,container!="",container!="POD"}`, q.metric(), strconv.Quote(q.Namespace), strconv.Quote(pods))
}

// promQL gives one value per container. The maximum drops doubles, which there are when two agents measure one container, or when a
// container was started anew and its old series still has samples in the window.
func (q UsageQuery) promQL(pods string) string {
	if q.Resource == CPU {
		return fmt.Sprintf("max by (pod, container) (rate(%s[%s]))", q.selector(pods), short(q.Window))
	}
	return fmt.Sprintf("max by (pod, container) (%s)", q.selector(pods))
}
