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
	// In minutes: models know the first days, and both directions run for three, the last of which is counted.
	day   = 1440
	begin = 5*day - 1
	last  = 8*day - 1
	// tick is how often replicas are decided, as Kubernetes does.
	tick = 15 * time.Second
)

// fight is one way to run a workload in both directions.
type fight struct {
	name    string
	pods    []*corev1.Pod
	created int
	history horizontal.History
	policy  *v1alpha1.WorkloadAutoscaler
	// request is what a pod is created with, declared what the manifest says, each what a pod uses at its target.
	request, declared, each float64
	// size resizes pods, once a minute; nil leaves them alone.
	size func(f *fight, now time.Time, usage float64)
	// references are horizontal's, asked for at each tick; nil has none.
	references func(f *fight, now time.Time, demand float64) map[string]int64

	replicas []int32
	requests []float64 // mean over pods, each minute
	resizes  int
}

func newFight(name string, growth v1alpha1.Growth, s scenario) *fight {
	p := policy(growth)
	p.Spec.Horizontal.Min, p.Spec.Horizontal.Max = 2, 100
	p.Spec.Horizontal.Objectives[0].Resource.Utilization = &s.target
	return &fight{name: name, policy: p, request: s.declared, declared: s.declared, each: s.each()}
}

// scenario is what the manifest requests, in cores, and the target on it, in percent.
type scenario struct {
	declared float64
	target   int32
}

// each is what a pod uses at its target.
func (s scenario) each() float64 { return s.declared * float64(s.target) / 100 }

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
	f.scale(int(math.Ceil(load[begin]/f.each)), from.Add(begin*time.Minute))
	for minute := begin; minute < last; minute++ {
		now := from.Add(time.Duration(minute) * time.Minute)
		a, b := load[minute], load[minute+1]
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

// usualUsage is what each pod used in the days before, when replicas followed the load and requests stood still.
func (f *fight) usualUsage(load []float64, minute int) float64 {
	return load[minute] / math.Max(2, math.Ceil(load[minute]/f.each))
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
		// The mean of equal requests differs in its last bits with how many there are.
		if math.Abs(values[i]-values[i-1]) > 1e-9 {
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
	for minute := range begin {
		u := f.usualUsage(load, minute)
		model.Observe(vertical.Sample{Time: from.Add(time.Duration(minute) * time.Minute), Value: u, Mean: u})
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
	if e, ok := model.Estimate(from.Add(begin * time.Minute)); ok {
		f.request = math.Round(e.Target*1000) / 1000
	}
	return f
}

// withYagura adds both directions of one policy: references and growth, and sizes by the given model.
func withYagura(t *testing.T, f *fight, load []float64, from time.Time) *fight {
	model, err := vertical.New(vertical.Auto, vertical.CPU, vertical.Options{})
	require.NoError(t, err)
	for minute := range begin {
		u := f.usualUsage(load, minute)
		model.Observe(vertical.Sample{Time: from.Add(time.Duration(minute) * time.Minute), Value: u, Mean: u})
	}
	manifest := template(strconv.Itoa(int(f.declared*1000)) + "m")
	manifest.Spec.Containers[0].Name = "main"
	var balanced balance.Memory
	var sized sizing.Memory
	var d balance.Decision
	f.references = func(f *fight, now time.Time, demand float64) map[string]int64 {
		memory, largest := float64(len(f.pods))*100*mib+demand*50*mib, 4.0
		d = balance.Decide(balance.Input{Now: now, Policy: f.policy, Template: manifest, Pods: f.pods, Current: int32(len(f.pods)),
			CPU: &demand, Memory: &memory, LargestPod: &largest}, &balanced)
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

// outcome is what came of the last day.
type outcome struct {
	replicas, requests []float64
	cores              float64 // requested, in the mean
}

func (f *fight) outcome() outcome {
	o := outcome{replicas: floats(f.replicas[len(f.replicas)-4*day:]), requests: f.requests[len(f.requests)-day:]}
	for i, r := range o.requests {
		o.cores += r * o.replicas[4*i+3] / day
	}
	return o
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// TestBothDirectionsOnOneSignal replays a day of a recorded load with replicas alone, with a HorizontalPodAutoscaler beside a
// VerticalPodAutoscaler, and with one policy for both, by replicas and by pods.
func TestBothDirectionsOnOneSignal(t *testing.T) {
	load := demand(t)
	from := time.Date(2026, 1, 12, 0, 0, 0, 0, time.UTC)
	for _, s := range []scenario{{0.5, 70}, {1, 35}, {0.4, 90}} {
		t.Run(fmt.Sprintf("%gm at %d%%", s.declared*1000, s.target), func(t *testing.T) {
			alone := newFight("HPA alone", v1alpha1.GrowthAuto, s)
			both := withVPA(t, newFight("HPA + VPA", v1alpha1.GrowthAuto, s), load, from)
			ours := withYagura(t, newFight("one policy", v1alpha1.GrowthAuto, s), load, from)
			pods := withYagura(t, newFight("growth: Pods", v1alpha1.GrowthPods, s), load, from)
			t.Logf("%-12s %8s %6s %8s %9s %13s %8s %9s %7s", "", "replicas", "mean", "changes", "reversals", "requests", "changes", "reversals", "cores")
			outcomes := map[*fight]outcome{}
			for _, f := range []*fight{alone, both, ours, pods} {
				f.run(load, from)
				o := f.outcome()
				outcomes[f] = o
				low, high := extent(o.replicas)
				least, most := extent(o.requests)
				t.Logf("%-12s %3.0f - %-3.0f %5.1f %8d %9d %5.2f - %5.2f %8d %9d %7.2f", f.name, low, high, mean(o.replicas), changes(o.replicas), reversals(o.replicas),
					least, most, changes(o.requests), reversals(o.requests), o.cores)
			}
			assert.Equal(t, alone.replicas, ours.replicas, "a resize alone changes no replicas: they are what they would be without any resize")
			assert.LessOrEqual(t, reversals(outcomes[ours].requests), 4, "requests do not swing with the load that replicas take")
			assert.LessOrEqual(t, outcomes[ours].cores, outcomes[alone].cores*1.001, "and cost no more than standing still")
			turns := reversals(outcomes[alone].replicas)
			assert.LessOrEqual(t, reversals(outcomes[pods].requests), 3*turns, "where pods follow the load, they turn about as often as replicas did")
			assert.LessOrEqual(t, reversals(outcomes[pods].replicas), turns, "and replicas less often")
			drift := math.Abs(mean(outcomes[both].replicas)/mean(outcomes[alone].replicas) - 1)
			assert.Greater(t, drift, 0.15, "two controllers on one signal drive the replicas away from what the load asks for")
		})
	}
}
