package balance_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/balance"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

const mib, gib = 1 << 20, 1 << 30

func ptr[T any](v T) *T { return &v }

// policy has a CPU target of 50% and between 2 and 10 replicas.
func policy(growth v1alpha1.Growth) *v1alpha1.WorkloadAutoscaler {
	return &v1alpha1.WorkloadAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout"},
		Spec: v1alpha1.WorkloadAutoscalerSpec{
			TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "checkout"},
			Mode:      v1alpha1.Apply,
			Horizontal: &v1alpha1.HorizontalPolicy{Min: 2, Max: 10, Objectives: []v1alpha1.Objective{
				{Name: "cpu", Resource: &v1alpha1.ResourceObjective{Name: v1alpha1.CPU, Utilization: ptr[int32](50)}},
			}},
			Vertical: &v1alpha1.VerticalPolicy{Apply: v1alpha1.ApplyInPlace, Growth: growth},
		},
	}
}

func container(name, cpu string) corev1.Container {
	c := corev1.Container{Name: name}
	if cpu != "" {
		c.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	}
	return c
}

func template(cpu ...string) *corev1.PodTemplateSpec {
	t := &corev1.PodTemplateSpec{}
	for i, c := range cpu {
		t.Spec.Containers = append(t.Spec.Containers, container(string(rune('a'+i)), c))
	}
	return t
}

func pods(n int, cpu string) []*corev1.Pod {
	list := make([]*corev1.Pod, n)
	for i := range list {
		list[i] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: string(rune('a' + i))}, Spec: template(cpu).Spec}
	}
	return list
}

func TestAReferenceIsWhatTheManifestDeclares(t *testing.T) {
	tests := map[string]struct {
		change   func(*balance.Input)
		want     map[string]int64
		move     string
		declared string
	}{
		"one container":           {func(*balance.Input) {}, map[string]int64{"cpu": 500}, balance.CodeBegun, "500m"},
		"all containers together": {func(in *balance.Input) { in.Template = template("300m", "400m") }, map[string]int64{"cpu": 700}, balance.CodeBegun, "700m"},
		"the objective's container": {func(in *balance.Input) {
			in.Template = template("300m", "400m")
			in.Policy.Spec.Horizontal.Objectives[0].Resource.Container = "b"
		}, map[string]int64{"cpu": 400}, balance.CodeBegun, "400m"},
		"what pods have where it declares nothing": {func(in *balance.Input) { in.Template = template("") }, map[string]int64{"cpu": 900}, balance.CodeBegun, ""},
		"nothing where nobody requests anything": {func(in *balance.Input) {
			in.Template, in.Pods = template(""), pods(2, "")
		}, nil, "", ""},
		"the status after a restart": {func(in *balance.Input) {
			in.Policy.Status.Vertical = &v1alpha1.VerticalStatus{References: []v1alpha1.UtilizationReference{
				{Objective: "cpu", Request: resource.MustParse("800m"), Declared: ptr(resource.MustParse("500m"))}}}
		}, map[string]int64{"cpu": 800}, "", "500m"},
		"a status without what was declared": {func(in *balance.Input) {
			in.Policy.Status.Vertical = &v1alpha1.VerticalStatus{References: []v1alpha1.UtilizationReference{{Objective: "cpu", Request: resource.MustParse("800m")}}}
		}, map[string]int64{"cpu": 800}, "", "500m"},
		"another manifest than before the restart": {func(in *balance.Input) {
			in.Policy.Status.Vertical = &v1alpha1.VerticalStatus{References: []v1alpha1.UtilizationReference{
				{Objective: "cpu", Request: resource.MustParse("800m"), Declared: ptr(resource.MustParse("400m"))}}}
		}, map[string]int64{"cpu": 500}, balance.CodeManifest, "500m"},
		"none where pods are not resized":     {func(in *balance.Input) { in.Policy.Spec.Mode = v1alpha1.Recommend }, nil, "", ""},
		"none where sizes are only published": {func(in *balance.Input) { in.Policy.Spec.Vertical.Apply = v1alpha1.ApplyOff }, nil, "", ""},
		"none for a horizontal policy":        {func(in *balance.Input) { in.Policy.Spec.Vertical = nil }, nil, "", ""},
		"none for a vertical policy":          {func(in *balance.Input) { in.Policy.Spec.Horizontal = nil }, nil, "", ""},
		"none for an average value":           {func(in *balance.Input) { in.Policy.Spec.Horizontal.Objectives[0].Resource.Utilization = nil }, nil, "", ""},
		"kept when pods are not resized longer": {func(in *balance.Input) {
			in.Policy.Spec.Mode = v1alpha1.Recommend
			in.Policy.Status.Vertical = &v1alpha1.VerticalStatus{References: []v1alpha1.UtilizationReference{{Objective: "cpu", Request: resource.MustParse("800m")}}}
		}, map[string]int64{"cpu": 800}, "", "500m"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			in := balance.Input{Now: now, Policy: policy(v1alpha1.GrowthAuto), Template: template("500m"), Pods: pods(3, "900m"), Current: 3}
			tc.change(&in)
			var m balance.Memory
			d := balance.Decide(in, &m)
			assert.Equal(t, tc.want, d.References)
			if tc.move == "" {
				assert.Empty(t, d.Moves)
			} else if assert.Len(t, d.Moves, 1) {
				assert.Equal(t, tc.move, d.Moves[0].Code)
				assert.NotEmpty(t, d.Moves[0].Reason)
			}
			if tc.want != nil {
				require.Len(t, d.Status, 1)
				if tc.declared == "" {
					assert.Nil(t, d.Status[0].Declared)
				} else {
					assert.Equal(t, tc.declared, d.Status[0].Declared.String())
				}
			}
			again := balance.Decide(in, &m)
			assert.Empty(t, again.Moves, "nothing moves by itself")
			assert.Equal(t, d.References, again.References)

			// The status alone carries it over a restart.
			if in.Policy.Status.Vertical == nil {
				in.Policy.Status.Vertical = &v1alpha1.VerticalStatus{}
			}
			in.Policy.Status.Vertical.References = d.Status
			restarted := balance.Decide(in, &balance.Memory{})
			assert.Empty(t, restarted.Moves)
			assert.Equal(t, d.References, restarted.References)
		})
	}
}

func TestAResizeMovesNoReference(t *testing.T) {
	var m balance.Memory
	for i, cpu := range []string{"500m", "2", "50m", "1"} {
		d := balance.Decide(balance.Input{Now: now.Add(time.Duration(i) * time.Minute), Policy: policy(v1alpha1.GrowthReplicas), Template: template("500m"), Pods: pods(3, cpu), Current: 3, CPU: ptr(3.0)}, &m)
		assert.Equal(t, map[string]int64{"cpu": 500}, d.References)
	}
	d := balance.Decide(balance.Input{Now: now.Add(time.Hour), Policy: policy(v1alpha1.GrowthReplicas), Template: template("1"), Pods: pods(3, "500m"), Current: 3}, &m)
	assert.Equal(t, map[string]int64{"cpu": 1000}, d.References)
	require.Len(t, d.Moves, 1)
	assert.Equal(t, balance.CodeManifest, d.Moves[0].Code)
	assert.Equal(t, "the manifest declares 1 per pod instead of 500m", d.Moves[0].Reason)
}

func TestPodsGrowBeforeReplicas(t *testing.T) {
	var m balance.Memory
	decide := func(minute int, replicas int32, cpu *float64) balance.Decision {
		return balance.Decide(balance.Input{Now: now.Add(time.Duration(minute) * time.Minute), Policy: policy(v1alpha1.GrowthPods), Template: template("500m"),
			Current: replicas, CPU: cpu, LargestPod: ptr(2.0)}, &m)
	}
	// Two pods of 500m at 50% hold 500m.
	assert.Equal(t, int64(500), decide(0, 2, ptr(0.5)).References["cpu"])
	assert.Equal(t, int64(500), decide(1, 2, ptr(0.54)).References["cpu"], "within the tolerance")
	d := decide(2, 2, ptr(1.0))
	assert.Equal(t, int64(1000), d.References["cpu"])
	require.Len(t, d.Moves, 1)
	assert.Equal(t, balance.CodeGrown, d.Moves[0].Code)
	assert.Equal(t, "1 cores of CPU in 2 pods at a target of 50% ask for 1 cores per pod: the policy says growth: Pods", d.Moves[0].Reason)
	assert.Empty(t, d.HoldCPU)

	d = decide(3, 2, ptr(5.0))
	assert.Equal(t, int64(2000), d.References["cpu"], "as large as it may be; replicas do the rest")
	d = decide(4, 5, ptr(5.0))
	assert.Equal(t, v1alpha1.GrowthReplicas, d.Growth)
	assert.Equal(t, balance.CodeLargestPod, d.Code)

	d = decide(5, 5, nil)
	assert.Equal(t, int64(2000), d.References["cpu"], "an unknown load moves nothing")
	d = decide(30, 5, ptr(0.1))
	assert.Equal(t, int64(2000), d.References["cpu"], "replicas go first")
	d = decide(31, 2, ptr(0.1))
	assert.Equal(t, int64(500), d.References["cpu"], "down to what is declared")
	assert.Equal(t, balance.CodeShrunk, d.Moves[0].Code)
}

func TestPodsShrinkToTheHighestLoadOfTenMinutes(t *testing.T) {
	var m balance.Memory
	decide := func(at time.Duration, cpu float64) int64 {
		return balance.Decide(balance.Input{Now: now.Add(at), Policy: policy(v1alpha1.GrowthPods), Template: template("500m"), Current: 2, CPU: &cpu}, &m).References["cpu"]
	}
	assert.Equal(t, int64(2000), decide(0, 2))
	assert.Equal(t, int64(2000), decide(time.Minute, 1.2))
	assert.Equal(t, int64(2000), decide(9*time.Minute+59*time.Second, 0.1))
	assert.Equal(t, int64(1200), decide(10*time.Minute, 0.1))
	assert.Equal(t, int64(500), decide(11*time.Minute, 0.1))
	assert.Equal(t, int64(500), decide(30*time.Minute, 0.1), "no further")
}

func TestGrowth(t *testing.T) {
	// measured makes two hours of observations of pods that need fixed bytes and perCore more for each core.
	measured := func(fixed, perCore float64) func(*balance.Input, int) {
		return func(in *balance.Input, minute int) {
			load := 0.5 + 0.4*math.Sin(float64(minute)/10) // of all pods
			in.CPU = ptr(load)
			in.Memory = ptr(fixed*float64(in.Current) + perCore*load)
		}
	}
	tests := map[string]struct {
		growth  v1alpha1.Growth
		observe func(*balance.Input, int)
		change  func(*balance.Input)
		want    v1alpha1.Growth
		code    string
		reason  string
	}{
		"the policy says replicas": {growth: v1alpha1.GrowthReplicas, want: v1alpha1.GrowthReplicas, code: balance.CodePolicy, reason: "growth: Replicas"},
		"the policy says pods":     {growth: v1alpha1.GrowthPods, want: v1alpha1.GrowthPods, code: balance.CodePolicy, reason: "growth: Pods"},
		"nothing is measured":      {want: v1alpha1.GrowthReplicas, code: balance.CodeUnknown, reason: "not known yet"},
		"memory of small replicas": {observe: measured(64*mib, 256*mib), want: v1alpha1.GrowthReplicas, code: balance.CodeSmallOverhead, reason: "a replica needs 64 MiB whatever its load, 2% of what it costs; pods grow from 25% on"},
		"memory of large replicas": {observe: measured(4*gib, 256*mib), want: v1alpha1.GrowthPods, code: balance.CodeOverhead, reason: "a replica needs 4 GiB whatever its load, 51% of what it costs; pods grow from 15% on"},
		"memory that follows load": {observe: measured(0, 8*gib), want: v1alpha1.GrowthReplicas, code: balance.CodeSmallOverhead},
		"memory that does what it likes": {observe: func(in *balance.Input, minute int) {
			in.CPU, in.Memory = ptr(0.5+0.01*float64(minute%7)), ptr(float64(gib)*(1+float64(minute*7919%13)))
		}, want: v1alpha1.GrowthReplicas, code: balance.CodeUnknown},
		"a load that never changes": {observe: func(in *balance.Input, _ int) { in.CPU, in.Memory = ptr(0.5), ptr(4.0*gib) }, want: v1alpha1.GrowthReplicas, code: balance.CodeUnknown},
		"CPU of idle replicas": {observe: func(in *balance.Input, minute int) {
			work := 100 + 60*math.Sin(float64(minute)/10)
			in.Work, in.CPU = &work, ptr(0.15*float64(in.Current)+0.001*work)
			in.Memory = ptr(float64(in.Current)*256*mib + *in.CPU*64*mib)
		}, want: v1alpha1.GrowthPods, code: balance.CodeOverhead, reason: "and 150m whatever its load"},
		"latency is lower in large pods": {observe: func(in *balance.Input, minute int) {
			measured(64*mib, 256*mib)(in, minute)
			in.Request = 0.5 + 0.1*float64(minute%5)
			in.Latency = ptr(0.1 * math.Pow(in.Request, -0.5))
		}, want: v1alpha1.GrowthPods, code: balance.CodeLatency, reason: "latency is 29% lower in pods of twice the size"},
		"latency is higher in large pods": {observe: func(in *balance.Input, minute int) {
			measured(4*gib, 256*mib)(in, minute)
			in.Request = 0.5 + 0.1*float64(minute%5)
			in.Latency = ptr(0.1 * in.Request)
		}, want: v1alpha1.GrowthReplicas, code: balance.CodeLatency, reason: "latency is 100% higher"},
		"the most replicas":    {growth: v1alpha1.GrowthReplicas, change: func(in *balance.Input) { in.Current = 10 }, want: v1alpha1.GrowthPods, code: balance.CodeMaxReplicas},
		"the largest pods":     {growth: v1alpha1.GrowthPods, change: func(in *balance.Input) { in.LargestPod = ptr(0.5) }, want: v1alpha1.GrowthReplicas, code: balance.CodeLargestPod},
		"both":                 {growth: v1alpha1.GrowthPods, change: func(in *balance.Input) { in.LargestPod, in.Current = ptr(0.5), 10 }, want: v1alpha1.GrowthReplicas, code: balance.CodeBoth},
		"pods are not resized": {growth: v1alpha1.GrowthPods, change: func(in *balance.Input) { in.Policy.Spec.Vertical.Apply = v1alpha1.ApplyOnCreate }, want: v1alpha1.GrowthReplicas, code: balance.CodeNotInPlace},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			growth := tc.growth
			if growth == "" {
				growth = v1alpha1.GrowthAuto
			}
			in := balance.Input{Now: now, Policy: policy(growth), Template: template("500m"), Current: 4}
			var m balance.Memory
			if tc.observe != nil {
				for minute := range 120 {
					in.Now = now.Add(time.Duration(minute) * time.Minute)
					tc.observe(&in, minute)
					balance.Decide(in, &m)
				}
			}
			in.CPU = ptr(0.5)
			if tc.change != nil {
				tc.change(&in)
			}
			in.Now = in.Now.Add(time.Second)
			d := balance.Decide(in, &m)
			assert.Equal(t, tc.want, d.Growth, d.Reason)
			assert.Equal(t, tc.code, d.Code, d.Reason)
			assert.Contains(t, d.Reason, tc.reason)
		})
	}
}

func TestReplicasBoundTheCPUOfPods(t *testing.T) {
	tests := map[string]struct {
		growth  v1alpha1.Growth
		current int32
		cpu     *float64
		held    bool
		want    float64 // of an estimate of 400m for the container of 200m
	}{
		"replicas take more load":              {v1alpha1.GrowthAuto, 4, ptr(1.0), false, 0.2},
		"no more replicas":                     {v1alpha1.GrowthAuto, 10, ptr(2.5), false, 0.4},
		"replicas follow nothing":              {v1alpha1.GrowthAuto, 4, nil, false, 0.4},
		"a policy that keeps the size of pods": {v1alpha1.GrowthReplicas, 4, ptr(1.0), true, 0.2},
		"pods grow":                            {v1alpha1.GrowthPods, 4, ptr(1.0), false, 0.4},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := balance.Decide(balance.Input{Now: now, Policy: policy(tc.growth), Template: template("200m", "300m"), Current: tc.current, CPU: tc.cpu}, &balance.Memory{})
			assert.Equal(t, tc.held, d.HoldCPU != "", d.HoldCPU)
			got := d.Cap("a", vertical.Estimate{Target: 0.4, Floor: 0.3, Upper: 0.5, Reason: "the peak of a day"})
			assert.InDelta(t, tc.want, got.Target, 1e-12)
			assert.LessOrEqual(t, got.Floor, got.Target)
			other := vertical.Estimate{Target: 0.1, Reason: "the peak of a day"}
			assert.Equal(t, other, d.Cap("other", other))
			assert.Equal(t, other, d.CapRole("batch", "a", other), "another role has peaks of its own")
			if tc.want < 0.4 {
				assert.Contains(t, got.Reason, "the peak of a day; no more than the reference of 200m, since more load is met with replicas: ")
			}
		})
	}
}

func TestSizesAreCalm(t *testing.T) {
	var m balance.Memory
	estimate := func(growth v1alpha1.Growth, at time.Duration, target float64) vertical.Estimate {
		d := balance.Decide(balance.Input{Now: now.Add(at), Policy: policy(growth), Template: template("500m"), Current: 4, CPU: ptr(1.0)}, &m)
		return d.Cap("a", vertical.Estimate{Target: target, Reason: "the newest"})
	}
	assert.InDelta(t, 0.3, estimate(v1alpha1.GrowthAuto, 0, 0.3).Target, 1e-12)
	assert.InDelta(t, 0.4, estimate(v1alpha1.GrowthAuto, time.Hour, 0.4).Target, 1e-12, "up at once")
	low := estimate(v1alpha1.GrowthAuto, 2*time.Hour, 0.1)
	assert.InDelta(t, 0.3, low.Target, 1e-12, "what was reached in one hour only is not kept for a day")
	assert.Contains(t, low.Reason, "the newest; not below 300m, reached twice in 24h, since more load is met with replicas")
	assert.InDelta(t, 0.3, estimate(v1alpha1.GrowthAuto, 23*time.Hour, 0.1).Target, 1e-12)
	assert.InDelta(t, 0.1, estimate(v1alpha1.GrowthAuto, 26*time.Hour, 0.1).Target, 1e-12, "a day later")
	assert.InDelta(t, 0.2, estimate(v1alpha1.GrowthAuto, 200*time.Hour, 0.2).Target, 1e-12, "a gap forgets all")

	assert.InDelta(t, 0.3, estimate(v1alpha1.GrowthPods, 300*time.Hour, 0.3).Target, 1e-12)
	assert.InDelta(t, 0.3, estimate(v1alpha1.GrowthPods, 300*time.Hour+6*time.Minute, 0.3).Target, 1e-12)
	assert.InDelta(t, 0.3, estimate(v1alpha1.GrowthPods, 301*time.Hour, 0.1).Target, 1e-12)
	assert.InDelta(t, 0.1, estimate(v1alpha1.GrowthPods, 303*time.Hour, 0.1).Target, 1e-12, "pods that follow the load look back on two hours")

	var none balance.Decision
	e := vertical.Estimate{Target: 0.3}
	assert.Equal(t, e, none.Cap("a", e), "without both directions nothing is changed")
}

func TestFit(t *testing.T) {
	var f balance.Fit
	_, ok := f.Line()
	assert.False(t, ok)
	for i := range 3 * 1440 {
		x := 1e9 + 100*math.Sin(float64(i)/200)
		f.Add(now.Add(time.Duration(i)*time.Minute), x, 7+3*x)
		f.Add(now.Add(time.Duration(i)*time.Minute+time.Second), 0, 0) // too soon to count
	}
	l, ok := f.Line()
	require.True(t, ok)
	assert.InDelta(t, 3, l.Slope, 1e-6)
	assert.InEpsilon(t, 3e9+7, l.Intercept+l.Slope*1e9, 1e-9)
	f.Add(now.Add(100*24*time.Hour), math.NaN(), 1)
	f.Add(now.Add(100*24*time.Hour), 1, math.Inf(1))
	again, _ := f.Line()
	assert.Equal(t, l, again)

	// What is long ago does not count.
	for i := range 1440 {
		x := 5 + float64(i%10)
		f.Add(now.Add(200*24*time.Hour+time.Duration(i)*time.Minute), x, 2+x)
	}
	l, ok = f.Line()
	require.True(t, ok)
	assert.InDelta(t, 1, l.Slope, 1e-3)
}
