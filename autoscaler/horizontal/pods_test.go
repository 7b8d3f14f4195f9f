package horizontal

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPublishedGrouping(t *testing.T) {
	type groupingCase struct {
		Name string `json:"name"`
		CPU  bool   `json:"cpu"`
		Pods []struct {
			Name       string   `json:"name"`
			Phase      string   `json:"phase"`
			Deleted    bool     `json:"deleted"`
			StartedAgo *float64 `json:"startedAgo"`
			Ready      *bool    `json:"ready"`
			ReadySince float64  `json:"readySince"`
		} `json:"pods"`
		Samples map[string]struct {
			Age    *float64 `json:"age"`
			Window float64  `json:"window"`
		} `json:"samples"`
		Want struct {
			Ready   int      `json:"ready"`
			Unready []string `json:"unready"`
			Missing []string `json:"missing"`
			Ignored []string `json:"ignored"`
		} `json:"want"`
	}
	ago := func(seconds float64) metav1.Time {
		return metav1.Time{Time: now.Add(-time.Duration(seconds * float64(time.Second)))}
	}
	for _, c := range load[groupingCase](t, "grouping.yaml") {
		t.Run(c.Name, func(t *testing.T) {
			var pods []*corev1.Pod
			for _, p := range c.Pods {
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: p.Name}, Status: corev1.PodStatus{Phase: corev1.PodPhase(p.Phase)}}
				if p.Deleted {
					pod.DeletionTimestamp = &metav1.Time{Time: now}
				}
				if p.StartedAgo != nil {
					start := ago(*p.StartedAgo)
					pod.Status.StartTime = &start
				}
				if p.Ready != nil {
					status := corev1.ConditionFalse
					if *p.Ready {
						status = corev1.ConditionTrue
					}
					pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: ago(p.ReadySince)}}
				}
				pods = append(pods, pod)
			}
			usage := Usage{}
			for name, s := range c.Samples {
				sample := Sample{Milli: 1, Window: time.Duration(s.Window) * time.Second}
				if s.Age != nil {
					sample.Time = ago(*s.Age).Time
				}
				usage[name] = sample
			}
			got := group(pods, usage, c.CPU, publishedReadiness, now)
			assert.Equal(t, c.Want.Ready, got.ready)
			assert.ElementsMatch(t, c.Want.Unready, slices.Collect(maps.Keys(got.unready)))
			assert.ElementsMatch(t, c.Want.Missing, slices.Collect(maps.Keys(got.missing)))
			assert.ElementsMatch(t, c.Want.Ignored, slices.Collect(maps.Keys(got.ignored)))
		})
	}
}

func TestPublishedRequests(t *testing.T) {
	type container struct {
		Name    string `json:"name"`
		Request *int64 `json:"request"`
		Sidecar bool   `json:"sidecar"`
	}
	type requestCase struct {
		Name      string `json:"name"`
		Container string `json:"container"`
		Pods      []struct {
			Requests       *int64      `json:"requests"`
			Containers     []container `json:"containers"`
			InitContainers []container `json:"initContainers"`
		} `json:"pods"`
		Want struct {
			Requests []int64 `json:"requests"`
			Error    bool    `json:"error"`
		} `json:"want"`
	}
	always := corev1.ContainerRestartPolicyAlways
	list := func(milli *int64) corev1.ResourceList {
		if milli == nil {
			return nil
		}
		return corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(*milli, resource.DecimalSI)}
	}
	build := func(cs []container) []corev1.Container {
		var built []corev1.Container
		for _, c := range cs {
			b := corev1.Container{Name: c.Name, Resources: corev1.ResourceRequirements{Requests: list(c.Request)}}
			if c.Sidecar {
				b.RestartPolicy = &always
			}
			built = append(built, b)
		}
		return built
	}
	for _, c := range load[requestCase](t, "requests.yaml") {
		t.Run(c.Name, func(t *testing.T) {
			var pods []*corev1.Pod
			want := map[string]int64{}
			for i, p := range c.Pods {
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: podName(i)}, Spec: corev1.PodSpec{
					Containers: build(p.Containers), InitContainers: build(p.InitContainers)}}
				if p.Requests != nil {
					pod.Spec.Resources = &corev1.ResourceRequirements{Requests: list(p.Requests)}
				}
				pods = append(pods, pod)
				if !c.Want.Error {
					want[podName(i)] = c.Want.Requests[i]
				}
			}
			got, err := Requests(pods, c.Container, corev1.ResourceCPU)
			if c.Want.Error {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
}
