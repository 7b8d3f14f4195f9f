package vpa_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/autoscaler/vpa"
)

// mapper counts how often it is asked what the cluster serves.
type mapper struct {
	meta.RESTMapper
	err   error
	asked int
}

func (m *mapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	m.asked++
	if m.err != nil {
		return nil, m.err
	}
	return m.RESTMapper.RESTMapping(kind, versions...)
}

func TestClusterWithoutVerticalPodAutoscalers(t *testing.T) {
	m := &mapper{RESTMapper: meta.NewDefaultRESTMapper(nil)}
	now := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	objects := vpa.NewObjects(nil, m, now)
	for range 5 {
		list, err := objects.List(t.Context())
		require.NoError(t, err)
		assert.Empty(t, list)
	}
	assert.Equal(t, 1, m.asked, "it is asked once in a while only")
	now.Step(time.Minute)
	_, err := objects.List(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 2, m.asked)

	// Not to know is something else than that there are none.
	now.Step(time.Minute)
	m.err = errors.New("no answer")
	_, err = objects.List(t.Context())
	assert.ErrorContains(t, err, "no answer")
}
