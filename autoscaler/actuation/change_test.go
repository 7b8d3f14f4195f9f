package actuation

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func annotated(value string) *corev1.Pod {
	template := podTemplate("web")
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: map[string]string{ResizedAnnotation: value}}, Spec: template.Spec}
}

func TestChangeOf(t *testing.T) {
	tests := map[string]struct {
		value string
		want  bool
	}{
		"other sizes":               {`{"time":"2026-11-23T12:00:00Z","from":{"main":{"requests":{"cpu":"50m","memory":"64Mi"},"limits":{"memory":"64Mi"}}}}`, true},
		"announced and not done":    {`{"time":"2026-11-23T12:00:00Z","from":{"main":{"requests":{"cpu":"0.1","memory":"65536Ki"},"limits":{"memory":"64Mi"}}}}`, false},
		"no such container":         {`{"time":"2026-11-23T12:00:00Z","from":{"gone":{"requests":{"cpu":"50m"}}}}`, false},
		"no time":                   {`{"from":{"main":{"requests":{"cpu":"50m"}}}}`, false},
		"not JSON":                  {`yesterday`, false},
		"a quantity that is none":   {`{"time":"2026-11-23T12:00:00Z","from":{"main":{"requests":{"cpu":"much"}}}}`, false},
		"longer than a pod's sizes": {strings.Repeat(" ", maxChangeSize) + `{}`, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, ok := ChangeOf(annotated(tc.value))
			assert.Equal(t, tc.want, ok)
		})
	}
}

func TestTheStepOfAChange(t *testing.T) {
	pod := annotated(`{"time":"2026-11-23T12:00:00Z","from":{"main":{"requests":{"cpu":"50m","memory":"32Mi"},"limits":{"memory":"32Mi"}}},"rollBack":true}`)
	c, ok := ChangeOf(pod)
	require.True(t, ok)
	step := c.Step(pod)
	assert.True(t, step.RollBack)
	assert.True(t, sameResources(sizes("50m", "32Mi"), step.Pod.Spec.Containers[0].Resources))
	assert.True(t, sameResources(sizes("100m", "64Mi"), step.Containers["main"]))
	assert.True(t, sameResources(sizes("100m", "64Mi"), pod.Spec.Containers[0].Resources), "the cache's pod stays as it is")
}

func FuzzParseChange(f *testing.F) {
	f.Add(`{"time":"2026-11-23T12:00:00Z","from":{"main":{"requests":{"cpu":"50m","memory":"64Mi"},"limits":{"memory":"64Mi"}}},"pod":{"requests":{"cpu":"1"}},"rollBack":true}`)
	f.Add(`{}`)
	f.Fuzz(func(t *testing.T, value string) {
		c, err := ParseChange(value)
		if err != nil {
			return
		}
		text, err := json.Marshal(c)
		require.NoError(t, err)
		again, err := ParseChange(string(text))
		if len(text) > maxChangeSize {
			return
		}
		require.NoError(t, err)
		assert.True(t, c.Time.Equal(again.Time))
		assert.Len(t, again.From, len(c.From))
	})
}
