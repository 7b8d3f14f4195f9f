package sizing

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// FuzzDecide makes a scene of random numbers and checks that whatever comes out would be admitted by an API server and takes nothing
// that must not be taken.
func FuzzDecide(f *testing.F) {
	f.Add(uint64(29), uint64(205960)) // held CPU on a node that is too small
	for seed := range uint64(300) {
		f.Add(seed, seed*7919)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		in := randomInput(rand.New(rand.NewPCG(a, b)))
		first := Decide(in)
		checkRecord(t, first)
		checkSizes(t, &in, first)
		for _, step := range first.Steps {
			checkStep(t, &in, step)
		}
		checkCreation(t, &in, first)
		if len(in.Bounds.Quotas) > 0 {
			// Steps change what quotas leave, which the input would have to say.
			return
		}
		// Where several bounds compete for one pod, the second decision may shift what is left. It must come to rest.
		steps := first.Steps
		for range 4 {
			carryOut(&in, steps)
			steps = Decide(in).Steps
			for _, step := range steps {
				checkStep(t, &in, step)
			}
		}
		for _, step := range steps {
			require.True(t, step.Urgent || !step.InPlace, "pods are sized again and again: %s", step.Reason)
		}
	})
}

// carryOut gives pods what steps say.
func carryOut(in *Input, steps []Step) {
	for _, step := range steps {
		in.Memory.Applied(step, in.Now)
		for i := range in.Pods {
			if in.Pods[i].Object.UID != step.Pod.UID {
				continue
			}
			next := step.Pod.DeepCopy()
			next.Spec = *resized(&next.Spec, step.Containers)
			if step.PodResources != nil {
				next.Spec.Resources = step.PodResources
			}
			next.Status.Conditions = nil
			in.Pods[i].Object = next
		}
	}
}

func checkRecord(t *testing.T, d Decision) {
	t.Helper()
	_, err := d.Record.JSON()
	require.NoError(t, err)
	require.NotEmpty(t, d.Record.Outcome)
	require.NotEmpty(t, d.Record.Code)
	require.NotEmpty(t, d.Record.Reason)
	require.Equal(t, decision.Vertical, d.Record.Direction)
	for _, s := range d.Record.Sizes {
		for _, v := range s.Verdicts {
			require.False(t, math.IsNaN(v.From+v.To) || v.From < 0 || v.To < 0, "%+v", v)
		}
	}
}

func checkSizes(t *testing.T, in *Input, d Decision) {
	t.Helper()
	for _, s := range d.Sizes {
		checkRequirements(t, corev1.ResourceRequirements{Requests: s.Requests, Limits: s.Limits})
		rule := policyFor(in.Policy.Spec.Vertical, s.Container)
		require.Equal(t, v1alpha1.ContainerAuto, rule.Mode)
		if len(in.Bounds.Ranges) > 0 {
			continue
		}
		for r, q := range s.Requests {
			if most := amount(rule.MaxAllowed, r); most > least(r) {
				require.LessOrEqual(t, amount(corev1.ResourceList{r: q}, r), most, "%s of %s", r, s.Container)
			}
		}
	}
}

// checkRequirements asks what validation asks: no request above its limit, nothing negative, huge pages not overcommitted.
func checkRequirements(t *testing.T, r corev1.ResourceRequirements) {
	t.Helper()
	for name, q := range r.Requests {
		require.GreaterOrEqual(t, q.Sign(), 0)
		if limit, ok := r.Limits[name]; ok {
			require.LessOrEqual(t, q.Cmp(limit), 0, "%s requests %s above the limit %s", name, q.String(), limit.String())
		}
		if isHugePages(name) {
			limit, set := r.Limits[name]
			require.True(t, set && q.Equal(limit), "huge pages request %s, limit %s", q.String(), limit.String())
		}
	}
}

func checkStep(t *testing.T, in *Input, step Step) {
	t.Helper()
	require.Equal(t, v1alpha1.Apply, in.Policy.Spec.Mode)
	require.NotEmpty(t, step.Reason)
	require.True(t, step.InPlace || step.Recreate)
	require.True(t, in.Brake.Open || step.Urgent)
	require.Empty(t, in.Owner)
	next := resized(&step.Pod.Spec, step.Containers)
	if step.PodResources != nil {
		next.Resources = step.PodResources
	}
	if step.InPlace {
		require.Equal(t, qosClass(&step.Pod.Spec), qosClass(next), "the class of a running pod may not change: %v -> %v", step.Pod.Spec.Containers, next.Containers)
	}
	if next.Resources != nil {
		for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if own := amount(next.Resources.Requests, r); own > 0 {
				require.GreaterOrEqual(t, own*(1+1e-9), declaredSum(next, r))
			}
		}
	}
	for name, to := range step.Containers {
		checkRequirements(t, to)
		from, _ := findContainer(&step.Pod.Spec, name)
		require.NotNil(t, from)
		for _, lists := range [][2]corev1.ResourceList{{from.Resources.Requests, to.Requests}, {from.Resources.Limits, to.Limits}} {
			for r, q := range lists[0] {
				now, kept := lists[1][r]
				require.True(t, kept, "%s was removed", r)
				if r != corev1.ResourceCPU && r != corev1.ResourceMemory {
					require.True(t, now.Equal(q), "%s cannot be resized", r)
				}
			}
		}
		for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			role := DefaultRole
			for i := range in.Pods {
				if in.Pods[i].Object == step.Pod {
					role = roleOf(&in.Pods[i])
				}
			}
			reading := in.Readings[Key{role, name, r}]
			was, is := amount(from.Resources.Requests, r), amount(to.Requests, r)
			// One millicore keeps a Burstable pod Burstable.
			slack := 0.0
			if r == corev1.ResourceCPU {
				slack = 0.0011
			}
			if reading.State != decision.Fresh {
				require.GreaterOrEqual(t, is+slack, was, "%s of %s shrinks while usage is %q", r, name, reading.State)
				require.GreaterOrEqual(t, amount(to.Limits, r), amount(from.Resources.Limits, r))
			} else if reading.Floor > 0 && !math.IsInf(reading.Floor, 0) && (step.InPlace || in.Heaps[name].Runtime == "") {
				require.GreaterOrEqual(t, is+slack, min(was, reading.Floor), "%s of %s shrinks below its recent peak", r, name)
			}
		}
	}
}

func checkCreation(t *testing.T, in *Input, d Decision) {
	t.Helper()
	policy := in.Policy.DeepCopy()
	policy.Status.Vertical = verticalStatus(d)
	for i := range in.Pods {
		pod := in.Pods[i].Object.DeepCopy()
		created := ForPod(policy, in.Pods[i].Role, pod, in.Bounds.Ranges)
		created.Apply(&pod.Spec)
		for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
			checkRequirements(t, c.Resources)
		}
	}
}

// verticalStatus is the status that publishes what was decided.
func verticalStatus(d Decision) *v1alpha1.VerticalStatus {
	return &v1alpha1.VerticalStatus{Containers: ToStatus(d.Sizes)}
}

func randomInput(r *rand.Rand) Input {
	var all []corev1.Container
	for i := range 1 + r.IntN(3) {
		all = append(all, named(fmt.Sprintf("c%d", i), randomRequirements(r)))
	}
	s := newScene(all...)
	if r.IntN(3) == 0 {
		s.in.Template.Spec.InitContainers = []corev1.Container{sidecar("proxy", randomRequirements(r)), named("setup", randomRequirements(r))}
	}
	if r.IntN(6) == 0 {
		requests := list("cpu", "40", "memory", "320Gi")
		s.in.Template.Spec.Resources = &corev1.ResourceRequirements{Requests: requests, Limits: list("cpu", "80", "memory", "640Gi")}
		if r.IntN(2) == 0 {
			s.in.Template.Spec.Resources.Limits = requests
		}
	}
	v := s.in.Policy.Spec.Vertical
	v.Apply = pick(r, v1alpha1.ApplyOff, v1alpha1.ApplyOnCreate, v1alpha1.ApplyInPlace, v1alpha1.ApplyInPlace, v1alpha1.ApplyInPlaceOrRecreate)
	s.in.Policy.Spec.Mode = pick(r, v1alpha1.Observe, v1alpha1.Recommend, v1alpha1.Apply, v1alpha1.Apply, v1alpha1.Apply, v1alpha1.Apply)
	for _, name := range []string{"c0", "c1", "proxy", "*"} {
		if r.IntN(2) == 0 {
			s.rule(randomRule(r, name))
		}
	}
	s.pods(r.IntN(5), func(p *corev1.Pod) { randomPod(r, p) })
	for _, name := range []string{"c0", "c1", "c2", "proxy", "setup"} {
		for _, res := range []corev1.ResourceName{"cpu", "memory", "ephemeral-storage", "hugepages-2Mi"} {
			if r.IntN(5) > 0 {
				s.in.Readings[Key{DefaultRole, name, res}] = randomReading(r, res)
			}
		}
	}
	randomSurroundings(r, s)
	return s.in
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func cpuQuantity(r *rand.Rand) resource.Quantity {
	return *resource.NewMilliQuantity(1+r.Int64N(3000), resource.DecimalSI)
}

func bytesQuantity(r *rand.Rand) resource.Quantity {
	return *resource.NewQuantity(1+r.Int64N(6<<30), resource.BinarySI)
}

func randomRequirements(r *rand.Rand) corev1.ResourceRequirements {
	to := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		q := bytesQuantity(r)
		if name == corev1.ResourceCPU {
			q = cpuQuantity(r)
		}
		switch r.IntN(5) {
		case 0:
		case 1:
			to.Requests[name] = q
		case 2:
			to.Requests[name] = q
			more := q.DeepCopy()
			more.Add(q)
			to.Limits[name] = more
		default:
			to.Requests[name], to.Limits[name] = q, q
		}
	}
	return to
}

func randomRule(r *rand.Rand, name string) v1alpha1.ContainerVerticalPolicy {
	rule := v1alpha1.ContainerVerticalPolicy{Name: name, Mode: pick(r, v1alpha1.ContainerAuto, v1alpha1.ContainerAuto, v1alpha1.ContainerOff),
		Limits: pick(r, v1alpha1.LimitKeepRatio, v1alpha1.LimitFixed, v1alpha1.LimitNone)}
	if r.IntN(3) == 0 {
		rule.MaxAllowed = corev1.ResourceList{corev1.ResourceCPU: cpuQuantity(r), corev1.ResourceMemory: bytesQuantity(r)}
	}
	if r.IntN(3) == 0 {
		rule.MinAllowed = corev1.ResourceList{corev1.ResourceCPU: cpuQuantity(r), corev1.ResourceMemory: bytesQuantity(r)}
	}
	if r.IntN(3) == 0 {
		rule.Resources = []v1alpha1.SizedResource{"memory", "ephemeral-storage", "hugepages-2Mi"}
	}
	if r.IntN(3) == 0 {
		rule.Startup = &v1alpha1.StartupBoost{Factor: ptr(resource.MustParse("3"))}
	}
	return rule
}

func ptr[T any](v T) *T { return &v }

func randomPod(r *rand.Rand, p *corev1.Pod) {
	p.CreationTimestamp = metav1.NewTime(now.Add(-time.Duration(r.IntN(7200)) * time.Second))
	if p.Spec.Resources == nil && r.IntN(2) == 0 {
		for i := range p.Spec.Containers {
			p.Spec.Containers[i].Resources = randomRequirements(r)
		}
	}
	switch r.IntN(8) {
	case 0:
		p.Status.Phase = corev1.PodPending
	case 1:
		p.DeletionTimestamp = ptr(metav1.NewTime(now))
	case 2:
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodResizePending, Status: corev1.ConditionTrue,
			Reason: pick(r, corev1.PodReasonInfeasible, corev1.PodReasonDeferred), LastTransitionTime: metav1.NewTime(now.Add(-time.Duration(r.IntN(900)) * time.Second))})
	case 3:
		p.Status.ContainerStatuses = nil
	}
}

func randomReading(r *rand.Rand, res corev1.ResourceName) Reading {
	target := r.Float64() * 3
	if res != corev1.ResourceCPU {
		target = r.Float64() * 6 * gi
	}
	reading := Reading{State: pick(r, decision.Fresh, decision.Fresh, decision.Fresh, decision.Stale, decision.Missing, decision.Invalid), Usage: target / 2}
	reading.Target = pick(r, target, target, target, 0, target*1e9, math.NaN(), math.Inf(1), -1)
	reading.Floor = pick(r, 0, target*0.9, target/2)
	reading.Confidence = r.Float64()
	reading.Samples = r.IntN(1000)
	reading.Estimate.Reason = "a model said so"
	if r.IntN(4) == 0 {
		reading.OOM = now.Add(-time.Duration(r.IntN(7200)) * time.Second)
	}
	return reading
}

func randomSurroundings(r *rand.Rand, s *scene) {
	in := &s.in
	in.Brake.Open = r.IntN(3) > 0
	if r.IntN(8) == 0 {
		in.Owner = "somebody"
	}
	if r.IntN(4) == 0 {
		in.HoldCPU = "replicas are cheaper"
	}
	if r.IntN(3) == 0 {
		in.Bounds.LargestNode = corev1.ResourceList{corev1.ResourceCPU: cpuQuantity(r), corev1.ResourceMemory: bytesQuantity(r)}
	}
	if r.IntN(4) == 0 {
		in.Bounds.Ranges = []*corev1.LimitRange{{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
			{Type: corev1.LimitTypeContainer, Max: list("cpu", "2", "memory", "3Gi"), Min: list("cpu", "10m", "memory", "8Mi"),
				Default: list("cpu", "2", "memory", "3Gi"), DefaultRequest: list("cpu", "1", "memory", "1Gi"), MaxLimitRequestRatio: list("cpu", "4")},
			{Type: corev1.LimitTypePod, Max: list("cpu", "4", "memory", "4Gi")}}}}}
	}
	if r.IntN(4) == 0 {
		in.Bounds.Quotas = []*corev1.ResourceQuota{{ObjectMeta: metav1.ObjectMeta{Name: "team"}, Status: corev1.ResourceQuotaStatus{
			Hard: list("requests.cpu", "10", "limits.memory", "20Gi"), Used: list("requests.cpu", "8", "limits.memory", "19Gi")}}}
	}
	if r.IntN(4) == 0 {
		in.Heaps["c0"] = Heap{Runtime: pick(r, v1alpha1.RuntimeJVM, v1alpha1.RuntimeGo, v1alpha1.RuntimeNode), Max: float64(r.Int64N(2 << 30)),
			FromContainer: r.IntN(2) == 0, Fraction: 0.25, Used: float64(r.Int64N(1 << 30)), Outside: float64(r.Int64N(1 << 29)), Variable: pick(r, "", "OPTIONS")}
	}
	for i := range in.Pods {
		if r.IntN(3) == 0 {
			in.Pods[i].Changed = now.Add(-5 * time.Minute)
			if r.IntN(2) == 0 {
				in.Pods[i].Before = map[string]corev1.ResourceRequirements{"c0": randomRequirements(r)}
			}
			in.Pods[i].Effects = []Effect{{Kind: pick(r, EffectOOM, EffectRestart, EffectThrottling, EffectHealth), Container: "c0", Time: now.Add(-time.Minute)}}
		}
	}
}
