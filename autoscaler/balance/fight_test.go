package balance_test

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/balance"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/horizontal"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
)

// demand is the CPU that a recorded service needs, in cores, one value a minute for eight days.
func demand(t *testing.T) []float64 {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", "load", "crane", "input0.csv")
	file, err := os.Open(path)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("no recorded load: %v", err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	values := make([]float64, 0, len(rows))
	for _, row := range rows[1:] {
		v, err := strconv.ParseFloat(row[1], 64)
		require.NoError(t, err)
		values = append(values, v/10)
	}
	return values
}

const (
	history = 7 * 1440 // minutes
	day     = 1440
	// tick is how often replicas are decided, as Kubernetes does.
	tick = 15 * time.Second
)

// fight is one way to run a workload in both directions.
type fight struct {
	name      string
	pods      []*corev1.Pod
	created   int
	history   horizontal.History
	policy    *v1alpha1.WorkloadAutoscaler
	readiness horizontal.Readiness
	// request is what a pod is created with.
	request float64
	// size resizes pods, once a minute; nil leaves them alone.
	size func(f *fight, now time.Time, usage float64)
	// references are horizontal's, asked for at each tick; nil has none.
	references func(f *fight, now time.Time, demand float64) map[string]int64

	replicas []int32
	requests []float64 // mean over pods, each minute
	resizes  int
}

func newFight(name string) *fight {
	p := policy(v1alpha1.GrowthAuto)
	p.Spec.Horizontal.Min, p.Spec.Horizontal.Max = 2, 60
	p.Spec.Horizontal.Objectives[0].Resource.Utilization = ptr[int32](70)
	return &fight{name: name, policy: p, request: 0.5}
}

// setRequest gives a pod a CPU request.
func setRequest(pod *corev1.Pod, cores float64) {
	pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(int64(math.Round(cores*1000)), resource.DecimalSI)}
}

func request(pod *corev1.Pod) float64 {
	return float64(pod.Spec.Containers[0].Resources.Requests.Cpu().MilliValue()) / 1000
}

func (f *fight) scale(n int, now time.Time) {
	for len(f.pods) > n {
		f.pods = f.pods[:len(f.pods)-1]
	}
	for len(f.pods) < n {
		f.created++
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("checkout-%d", f.created), UID: types.UID(strconv.Itoa(f.created)), CreationTimestamp: metav1.Time{Time: now}},
			Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "main"}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &metav1.Time{Time: now.Add(-time.Hour)}, Conditions: []corev1.PodCondition{
				{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Time{Time: now.Add(-time.Hour)}}}},
		}
		setRequest(pod, f.request)
		f.pods = append(f.pods, pod)
	}
}

// step decides on replicas by what the pods use at this moment.
func (f *fight) step(now time.Time, demand float64) {
	usage := horizontal.Usage{}
	each := demand / float64(len(f.pods))
	for _, pod := range f.pods {
		usage[pod.Name] = horizontal.Sample{Milli: int64(each * 1000), Time: now}
	}
	current := int32(len(f.pods))
	in := horizontal.Input{Now: now, Policy: f.policy, Current: current, Existing: current, Pods: f.pods,
		Signals: []horizontal.Signal{{State: decision.Fresh, Usage: usage}}, History: &f.history}
	if f.references != nil {
		in.References = f.references(f, now, demand)
	}
	record := horizontal.Decide(in)
	if record.DesiredReplicas != current {
		f.history.Scale(now, current, record.DesiredReplicas)
		f.scale(int(record.DesiredReplicas), now)
	}
}

// run replays the last day.
func (f *fight) run(load []float64, from time.Time) {
	f.scale(int(math.Ceil(load[history]/0.35)), from)
	for minute := range day - 1 {
		now := from.Add(time.Duration(minute) * time.Minute)
		a, b := load[history+minute], load[history+minute+1]
		for i := range 4 {
			f.step(now.Add(time.Duration(i)*tick), a+(b-a)*float64(i)/4)
			f.replicas = append(f.replicas, int32(len(f.pods)))
		}
		if f.size != nil {
			f.size(f, now.Add(59*time.Second), b/float64(len(f.pods)))
		}
		sum := 0.0
		for _, pod := range f.pods {
			sum += request(pod)
		}
		f.requests = append(f.requests, sum/float64(len(f.pods)))
	}
}

// usualUsage is what each pod used in the week before, when replicas followed the load and requests stood still.
func usualUsage(load []float64, minute int) float64 {
	return load[minute] / math.Max(2, math.Ceil(load[minute]/0.35))
}

// reversals counts how often values turn around by more than a tenth of where they were.
func reversals(values []float64) int {
	if len(values) == 0 {
		return 0
	}
	turns, direction := 0, 0
	extreme := values[0]
	for _, v := range values {
		switch {
		case direction >= 0 && v > extreme || direction <= 0 && v < extreme:
			if direction == 0 && math.Abs(v/extreme-1) > 0.1 {
				direction = 1
				if v < extreme {
					direction = -1
				}
			}
			if direction != 0 {
				extreme = v
			}
		case direction != 0 && math.Abs(v/extreme-1) > 0.1:
			direction, extreme = -direction, v
			turns++
		}
	}
	return turns
}

func floats(values []int32) []float64 {
	list := make([]float64, len(values))
	for i, v := range values {
		list[i] = float64(v)
	}
	return list
}

func changes(values []float64) int {
	n := 0
	for i := 1; i < len(values); i++ {
		if values[i] != values[i-1] {
			n++
		}
	}
	return n
}

func extent(values []float64) (low, high float64) {
	low, high = values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	return low, high
}

// withVPA adds the VerticalPodAutoscaler: its estimator with its defaults, and its updater's rule, which changes a pod outside of the
// bounds at once, and one that is a tenth off its target after twelve hours. Created pods get the target.
func withVPA(t *testing.T, f *fight, load []float64, from time.Time) *fight {
	model, err := vertical.NewVPA(vertical.CPU, vpa.DefaultOptions())
	require.NoError(t, err)
	for minute := range history {
		u := usualUsage(load, minute)
		model.Observe(vertical.Sample{Time: from.Add(time.Duration(minute-history) * time.Minute), Value: u, Mean: u})
	}
	changed := map[string]time.Time{}
	f.size = func(f *fight, now time.Time, usage float64) {
		model.Observe(vertical.Sample{Time: now, Value: usage, Mean: usage})
		e, ok := model.Estimate(now)
		if !ok {
			return
		}
		target := math.Round(e.Target*1000) / 1000
		f.request = target
		for _, pod := range f.pods {
			have := request(pod)
			since, known := changed[pod.Name]
			if !known {
				since = pod.CreationTimestamp.Time
			}
			old := now.Sub(since) >= 12*time.Hour
			if have < e.Lower || have > e.Upper || old && math.Abs(target/have-1) >= 0.1 {
				setRequest(pod, target)
				changed[pod.Name] = now
				f.resizes++
			}
		}
	}
	if e, ok := model.Estimate(from); ok {
		f.request = math.Round(e.Target*1000) / 1000
	}
	return f
}

// withYagura adds both directions of one policy: references and growth, and sizes by the given model.
func withYagura(t *testing.T, f *fight, load []float64, from time.Time) *fight {
	model, err := vertical.New(vertical.Auto, vertical.CPU, vertical.Options{})
	require.NoError(t, err)
	for minute := range history {
		u := usualUsage(load, minute)
		model.Observe(vertical.Sample{Time: from.Add(time.Duration(minute-history) * time.Minute), Value: u, Mean: u})
	}
	manifest := template("500m")
	manifest.Spec.Containers[0].Name = "main"
	var balanced balance.Memory
	var sized sizing.Memory
	var d balance.Decision
	f.references = func(f *fight, now time.Time, demand float64) map[string]int64 {
		memory := float64(len(f.pods))*100*mib + demand*50*mib
		d = balance.Decide(balance.Input{Now: now, Policy: f.policy, Template: manifest, Pods: f.pods, Current: int32(len(f.pods)),
			CPU: &demand, Memory: &memory}, &balanced)
		return d.References
	}
	f.size = func(f *fight, now time.Time, usage float64) {
		model.Observe(vertical.Sample{Time: now, Value: usage, Mean: usage})
		e, ok := model.Estimate(now)
		require.True(t, ok)
		list := make([]sizing.Pod, len(f.pods))
		for i, pod := range f.pods {
			list[i] = sizing.Pod{Object: pod, Changed: sized.ChangedAt(pod.UID)}
		}
		sizes := sizing.Decide(sizing.Input{
			Now: now, Policy: f.policy, Template: manifest, Replicas: int32(len(f.pods)), Pods: list, HoldCPU: d.HoldCPU, Memory: &sized,
			Readings: map[sizing.Key]sizing.Reading{{Role: sizing.DefaultRole, Container: "main", Resource: corev1.ResourceCPU}: {Estimate: d.Cap("main", e), State: decision.Fresh, Usage: usage}},
			Brake:    sizing.Brake{Open: true},
		})
		for _, size := range sizes.Sizes {
			if q, ok := size.Requests[corev1.ResourceCPU]; ok {
				f.request = float64(q.MilliValue()) / 1000
			}
		}
		for _, step := range sizes.Steps {
			if want, ok := step.Containers["main"]; ok && step.InPlace {
				sized.Applied(step, now)
				step.Pod.Spec.Containers[0].Resources = *want.DeepCopy()
				f.resizes++
			}
		}
	}
	return f
}

// TestBothDirectionsOnOneSignal replays a day of a recorded load with replicas alone, with a HorizontalPodAutoscaler beside a
// VerticalPodAutoscaler, and with one policy for both.
func TestBothDirectionsOnOneSignal(t *testing.T) {
	load := demand(t)
	from := time.Date(2026, 1, 12, 0, 0, 0, 0, time.UTC)
	alone := newFight("HPA alone")
	both := withVPA(t, newFight("HPA + VPA"), load, from)
	ours := withYagura(t, newFight("one policy"), load, from)
	t.Logf("%-12s %8s %8s %9s   %8s %8s %9s %8s", "", "replicas", "changes", "reversals", "requests", "resizes", "reversals", "cores")
	for _, f := range []*fight{alone, both, ours} {
		f.run(load, from)
		low, high := extent(floats(f.replicas))
		least, most := extent(f.requests)
		cores := 0.0
		for i, r := range f.requests {
			cores += r * float64(f.replicas[4*i+3]) / float64(len(f.requests))
		}
		t.Logf("%-12s %3.0f-%-4.0f %8d %9d   %.2f-%.2f %8d %9d %8.2f", f.name, low, high, changes(floats(f.replicas)), reversals(floats(f.replicas)),
			least, most, f.resizes, reversals(f.requests), cores)
	}

	assert.Equal(t, alone.replicas, ours.replicas, "a resize alone changes no replicas: they are what they would be without any resize")
	_ = both
}
