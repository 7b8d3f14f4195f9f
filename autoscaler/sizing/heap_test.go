package sizing

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// javaShop is a container of 4Gi with a limit of the same.
func javaShop() corev1.Container {
	same := list("cpu", "1", "memory", "4Gi")
	return named("web", needs(same, same))
}

func TestHeapsAreSizedWithTheirContainers(t *testing.T) {
	jvm := v1alpha1.RuntimeJVM
	tests := map[string]struct {
		heap        Heap
		usage       float64
		want        float64
		environment map[string]string
	}{
		"a fixed bound on the command line stands": {
			Heap{Runtime: jvm, Max: 2 * gi, Outside: 0.5 * gi, Variable: "JAVA_TOOL_OPTIONS", Used: 0.2 * gi}, 1 * gi, 2816 * mi, nil},
		"a fixed bound that is not above what there is": {
			Heap{Runtime: jvm, Max: 6 * gi}, 1 * gi, 4 * gi, nil},
		"an idle heap whose share may be set": {
			Heap{Runtime: jvm, FromContainer: true, Fraction: 0.25, Used: 600 * mi, Outside: 200 * mi, Variable: "JAVA_TOOL_OPTIONS", Value: "-Dx=1"}, 3.5 * gi,
			1210 * mi, map[string]string{"JAVA_TOOL_OPTIONS": "-Dx=1 -XX:MaxRAMPercentage=74.3"}},
		"an idle heap whose share stands": {
			Heap{Runtime: jvm, FromContainer: true, Fraction: 0.5, Used: 600 * mi, Outside: 200 * mi}, 3.5 * gi, 1800 * mi, nil},
		"a bound in the variable is set anew": {
			Heap{Runtime: jvm, Max: 3 * gi, Used: 600 * mi, Outside: 200 * mi, Variable: "JAVA_TOOL_OPTIONS", Value: "-Xmx3g -Xms3g -Dx=1"}, 3.5 * gi,
			1210 * mi, map[string]string{"JAVA_TOOL_OPTIONS": "-Dx=1 -Xmx900m"}},
		"a heap that needs more than it has": {
			Heap{Runtime: jvm, FromContainer: true, Fraction: 0.25, Used: 4 * gi, Outside: gi, Variable: "JAVA_TOOL_OPTIONS"}, 4.5 * gi,
			7885 * mi, map[string]string{"JAVA_TOOL_OPTIONS": "-XX:MaxRAMPercentage=77.9"}},
		"go follows its container": {
			Heap{Runtime: v1alpha1.RuntimeGo, Max: 3.6 * gi, Variable: "GOMEMLIMIT"}, 1000 * mi, 1000 * mi, map[string]string{"GOMEMLIMIT": "900MiB"}},
		"node": {
			Heap{Runtime: v1alpha1.RuntimeNode, Max: gi, Used: 300 * mi, Outside: 100 * mi, Variable: "NODE_OPTIONS", Value: "--max-old-space-size=1024 --enable-source-maps"}, 2 * gi,
			605 * mi, map[string]string{"NODE_OPTIONS": "--enable-source-maps --max-old-space-size=450"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(javaShop()).fresh("web", corev1.ResourceMemory, tc.usage)
			s.in.Heaps["web"] = tc.heap
			d := s.decide()
			require.Len(t, d.Sizes, 1)
			assert.InDelta(t, tc.want, *find(d, "web", corev1.ResourceMemory).Desired, mi, "%v", find(d, "web", corev1.ResourceMemory).Verdicts)
			assert.Equal(t, tc.environment, d.Sizes[0].Environment)
		})
	}
}

func TestAKilledJVMIsNotCutToItsHeap(t *testing.T) {
	s := newScene(javaShop()).fresh("web", corev1.ResourceMemory, 3.5*gi, func(r *Reading) { r.OOM = now.Add(-24 * time.Hour) })
	s.in.Heaps["web"] = Heap{Runtime: v1alpha1.RuntimeJVM, FromContainer: true, Fraction: 0.25, Used: 600 * mi, Outside: 200 * mi, Variable: "JAVA_TOOL_OPTIONS"}
	assert.InDelta(t, 3.5*gi, *find(s.decide(), "web", corev1.ResourceMemory).Desired, mi)
}

func TestARunningHeapIsNotShrunk(t *testing.T) {
	heap := Heap{Runtime: v1alpha1.RuntimeJVM, FromContainer: true, Fraction: 0.25, Max: gi, Used: 100 * mi, Outside: 200 * mi}
	settable := heap
	settable.Variable = "JAVA_TOOL_OPTIONS"
	age := func(d time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-d)) }
	}
	restarts := []corev1.ContainerResizePolicy{{ResourceName: "memory", RestartPolicy: corev1.RestartContainer}}
	tests := map[string]struct {
		apply  v1alpha1.VerticalApply
		age    time.Duration
		heap   Heap
		policy []corev1.ContainerResizePolicy
		code   string
		place  bool
	}{
		"in place it keeps its memory":                   {v1alpha1.ApplyInPlace, 24 * time.Hour, heap, nil, "HeapRunning", false},
		"its pod may be replaced":                        {v1alpha1.ApplyInPlaceOrRecreate, 24 * time.Hour, heap, nil, "Recreate", false},
		"a young pod is not":                             {v1alpha1.ApplyInPlaceOrRecreate, time.Minute, heap, nil, "HeapRunning", false},
		"a resize that restarts it lets it shrink":       {v1alpha1.ApplyInPlace, 24 * time.Hour, heap, restarts, "Resize", true},
		"a restart does not change the heap's own share": {v1alpha1.ApplyInPlace, 24 * time.Hour, settable, restarts, "HeapRunning", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := javaShop()
			c.ResizePolicy = tc.policy
			s := newScene(c).pods(1, age(tc.age)).fresh("web", corev1.ResourceMemory, 3.8*gi)
			s.in.Policy.Spec.Vertical.Apply = tc.apply
			s.in.Heaps["web"] = tc.heap
			d := s.decide()
			assert.Equal(t, tc.code, d.Record.Code, d.Record.Reason)
			if tc.code == "HeapRunning" {
				assert.Empty(t, d.Steps)
				return
			}
			require.Len(t, d.Steps, 1)
			assert.Equal(t, tc.place, d.Steps[0].InPlace)
			assert.Equal(t, "600Mi", memoryOf(d.Steps[0]))
		})
	}
}

func TestAVariableThatComesFromElsewhereIsNotOverwritten(t *testing.T) {
	heap := Heap{Runtime: v1alpha1.RuntimeJVM, FromContainer: true, Fraction: 0.25, Used: 100 * mi, Outside: 200 * mi, Variable: "JAVA_TOOL_OPTIONS"}
	from := map[string]func(*corev1.Container){
		"a ConfigMap with all variables": func(c *corev1.Container) { c.EnvFrom = []corev1.EnvFromSource{{}} },
		"a Secret with this one": func(c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "JAVA_TOOL_OPTIONS", ValueFrom: &corev1.EnvVarSource{}}}
		},
	}
	for name, alter := range from {
		t.Run(name, func(t *testing.T) {
			c := javaShop()
			alter(&c)
			s := newScene(c).fresh("web", corev1.ResourceMemory, 3*gi)
			s.in.Heaps["web"] = heap
			d := s.decide()
			assert.Nil(t, d.Sizes[0].Environment)
			assert.InDelta(t, 3*gi, *find(d, "web", corev1.ResourceMemory).Desired, mi, "the size stays with the usage")
		})
	}
}

func TestAnIdleHeapKeepsWhatItUsesWhileItRuns(t *testing.T) {
	share := Heap{Runtime: v1alpha1.RuntimeJVM, FromContainer: true, Fraction: 0.25, Used: 600 * mi, Outside: 200 * mi, Variable: "JAVA_TOOL_OPTIONS"}
	bound := Heap{Runtime: v1alpha1.RuntimeJVM, Max: 3.2 * gi, Used: 600 * mi, Outside: 200 * mi, Variable: "JAVA_TOOL_OPTIONS", Value: "-Xmx3276m"}
	tests := map[string]struct {
		heap     Heap
		limits   corev1.ResourceList
		created  float64
		variable string
	}{
		"a bound of its own":                     {bound, nil, 1210 * mi, "-Xmx900m"},
		"a share of the node follows no request": {share, nil, 4 * gi, ""},
		"a share of the limit":                   {share, list("memory", "5Gi"), 1210 * mi, "-XX:MaxRAMPercentage=77.6"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(named("web", needs(list("memory", "4Gi"), tc.limits))).pods(1)
			s.fresh("web", corev1.ResourceMemory, 3.6*gi, func(r *Reading) { r.Floor, r.Usage = 3.5*gi, 3.4*gi })
			s.in.Heaps["web"] = tc.heap
			d := s.decide()
			assert.InDelta(t, tc.created, *find(d, "web", corev1.ResourceMemory).Desired, mi)
			assert.Equal(t, tc.variable, d.Sizes[0].Environment["JAVA_TOOL_OPTIONS"])
			for _, step := range d.Steps {
				request := step.Containers["web"].Requests[corev1.ResourceMemory]
				assert.GreaterOrEqual(t, request.AsApproximateFloat64(), 3.5*gi, step.Reason)
			}
			// A new pod starts with another heap.
			s.in.Policy.Spec.Vertical.Apply = v1alpha1.ApplyInPlaceOrRecreate
			for _, step := range s.decide().Steps {
				request := step.Containers["web"].Requests[corev1.ResourceMemory]
				assert.True(t, !step.InPlace || request.AsApproximateFloat64() >= 3.5*gi, step.Reason)
			}
		})
	}
}
