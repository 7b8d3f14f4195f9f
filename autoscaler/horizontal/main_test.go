package horizontal

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is the time of every evaluation in the tests.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// load reads one of the data files, refusing fields that the test does not know.
func load[T any](t testing.TB, file string) []T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	require.NoError(t, err)
	var cases []T
	require.NoError(t, yaml.UnmarshalStrict(text, &cases))
	require.NotEmpty(t, cases)
	return cases
}

// podCase is a pod in the data files.
type podCase struct {
	Ready    *bool   `json:"ready"`
	Start    string  `json:"start"`
	Phase    string  `json:"phase"`
	Deleted  bool    `json:"deleted"`
	Requests []int64 `json:"requests"`
}

func podName(i int) string {
	return "pod-" + string(rune('0' + i/10))[:min(1, i/10)] + string(rune('0'+i%10))
}

// build makes the pod. A hot pod has just started, a cool one three minutes ago, any other one at the beginning of time.
func (c podCase) build(i int, resourceName corev1.ResourceName) *corev1.Pod {
	ready, phase := corev1.ConditionTrue, corev1.PodRunning
	if c.Ready != nil && !*c.Ready {
		ready = corev1.ConditionFalse
	}
	if c.Phase != "" {
		phase = corev1.PodPhase(c.Phase)
	}
	var start metav1.Time
	switch c.Start {
	case "hot":
		start.Time = now
	case "cool":
		start.Time = now.Add(-3 * time.Minute)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: podName(i), Namespace: "shop"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "container1"}, {Name: "container2"}}},
		Status: corev1.PodStatus{Phase: phase, StartTime: &start, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: ready},
		}},
	}
	if c.Deleted {
		pod.DeletionTimestamp = &metav1.Time{Time: now}
	}
	for i, request := range c.Requests {
		pod.Spec.Containers[i].Resources.Requests = corev1.ResourceList{resourceName: *resource.NewMilliQuantity(request, resource.DecimalSI)}
	}
	return pod
}

func buildPods(cases []podCase, resourceName corev1.ResourceName) []*corev1.Pod {
	pods := make([]*corev1.Pod, len(cases))
	for i, c := range cases {
		pods[i] = c.build(i, resourceName)
	}
	return pods
}

// toleranceCase is a tolerance in the data files, a tenth in both directions when absent.
type toleranceCase struct {
	Up   float64 `json:"up"`
	Down float64 `json:"down"`
}

func (c *toleranceCase) build() Tolerance {
	if c == nil {
		return Tolerance{Up: 0.1, Down: 0.1}
	}
	return Tolerance{Up: c.Up, Down: c.Down}
}

// publishedReadiness is what the published cases were computed with.
var publishedReadiness = Readiness{CPUInitializationPeriod: 2 * time.Minute, InitialReadinessDelay: 10 * time.Second}
