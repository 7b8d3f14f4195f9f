package horizontal

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

type arithmeticCase struct {
	Name      string             `json:"name"`
	Current   int32              `json:"current"`
	Existing  int32              `json:"existing"`
	Target    int64              `json:"target"`
	Container string             `json:"container"`
	Tolerance *toleranceCase     `json:"tolerance"`
	Pods      []podCase          `json:"pods"`
	Usage     map[string][]int64 `json:"usage"`
	Value     int64              `json:"value"`
	Want      struct {
		Replicas int32   `json:"replicas"`
		Value    float64 `json:"value"`
		Error    bool    `json:"error"`
	} `json:"want"`
}

// usage sums the containers of each pod, or takes the one that the case is about.
func (c arithmeticCase) usage() Usage {
	usage := Usage{}
	for pod, containers := range c.Usage {
		sample := Sample{Window: time.Minute}
		switch c.Container {
		case "":
			for _, milli := range containers {
				sample.Milli += milli
			}
		case "container1":
			sample.Milli = containers[0]
		default:
			if len(containers) < 2 {
				continue
			}
			sample.Milli = containers[1]
		}
		usage[pod] = sample
	}
	return usage
}

func TestPublishedUtilization(t *testing.T) {
	for _, c := range load[arithmeticCase](t, "utilization.yaml") {
		t.Run(c.Name, func(t *testing.T) {
			got, err := ForUtilization(c.Current, int32(c.Target), corev1.ResourceCPU, c.Container, buildPods(c.Pods, corev1.ResourceCPU),
				c.usage(), c.Tolerance.build(), publishedReadiness, now)
			if c.Want.Error {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.Want.Replicas, got.Replicas)
			assert.Equal(t, c.Want.Value, got.Value)
		})
	}
}

func TestPublishedAverage(t *testing.T) {
	for _, c := range load[arithmeticCase](t, "average.yaml") {
		t.Run(c.Name, func(t *testing.T) {
			got, err := ForAverage(c.Current, c.Target, corev1.ResourceMemory, buildPods(c.Pods, corev1.ResourceMemory),
				c.usage(), c.Tolerance.build(), publishedReadiness, now)
			require.NoError(t, err)
			assert.Equal(t, c.Want.Replicas, got.Replicas)
			assert.Equal(t, c.Want.Value, got.Value)
		})
	}
}

func TestPublishedTotal(t *testing.T) {
	for _, c := range load[arithmeticCase](t, "total.yaml") {
		t.Run(c.Name, func(t *testing.T) {
			got, err := ForTotal(c.Current, float64(c.Value), float64(c.Target), buildPods(c.Pods, corev1.ResourceCPU), c.Tolerance.build())
			require.NoError(t, err)
			assert.Equal(t, c.Want.Replicas, got.Replicas)
			assert.Equal(t, c.Want.Value, got.Value)
		})
	}
}

func TestPublishedShare(t *testing.T) {
	for _, c := range load[arithmeticCase](t, "share.yaml") {
		t.Run(c.Name, func(t *testing.T) {
			got := ForShare(c.Existing, float64(c.Value), float64(c.Target), c.Tolerance.build())
			assert.Equal(t, c.Want.Replicas, got.Replicas)
			assert.Equal(t, c.Want.Value, math.Ceil(got.Value))
		})
	}
}

func TestFloatingPointNoise(t *testing.T) {
	tests := map[string]struct {
		value, target float64
		want          int32
	}{
		"a quotient just below an integer":   {0.6, 0.2, 3},
		"a quotient just above an integer":   {1.1, 0.1, 11},
		"a quotient that is really above":    {1.1001, 0.1, 12},
		"a target below a thousandth":        {0.0021, 0.0003, 7},
		"a value that is negative":           {-5, 1, 0},
		"a value beyond every replica count": {math.MaxFloat64, 1e-9, math.MaxInt32},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := ForShare(1, tc.value, tc.target, Tolerance{})
			assert.Equal(t, tc.want, got.Replicas)
		})
	}
	assert.True(t, Tolerance{Up: 0.1}.holds(0.33/0.3), "a tenth above is within a tenth")
}

func TestMemoryDoesNotCareForReadiness(t *testing.T) {
	notReady := false
	pods := buildPods([]podCase{{Ready: &notReady, Start: "hot"}, {}}, corev1.ResourceMemory)
	usage := Usage{podName(0): {Milli: 2000}, podName(1): {Milli: 2000}}
	got, err := ForAverage(2, 1000, corev1.ResourceMemory, pods, usage, Tolerance{}, publishedReadiness, now)
	require.NoError(t, err)
	assert.Equal(t, int32(4), got.Replicas)
	assert.Equal(t, 2, got.Ready)
}

func TestNothingToCompute(t *testing.T) {
	_, err := ForTotal(3, 200, 100, nil, Tolerance{})
	assert.ErrorIs(t, err, ErrNoPods)
	_, err = ForAverage(3, 1000, corev1.ResourceMemory, nil, Usage{}, Tolerance{}, publishedReadiness, now)
	assert.ErrorIs(t, err, ErrNoPods)
	_, err = ForAverage(3, 1000, corev1.ResourceMemory, buildPods(make([]podCase, 3), corev1.ResourceMemory), Usage{}, Tolerance{}, publishedReadiness, now)
	assert.ErrorIs(t, err, ErrNoUsage)
}
