package vpa_test

import (
	"context"
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

	// Who must not wait asks nobody.
	now.Step(time.Minute)
	list, err := objects.Known(t.Context())
	require.NoError(t, err)
	assert.Empty(t, list)
	assert.Equal(t, 2, m.asked)

	// Not to know is something else than that there are none.
	now.Step(time.Minute)
	m.err = errors.New("no answer")
	_, err = objects.List(t.Context())
	assert.ErrorContains(t, err, "no answer")
	_, err = objects.Known(t.Context())
	assert.ErrorContains(t, err, "no answer")
	assert.Equal(t, 3, m.asked)
}

func TestWhatIsKnownIsFoundOutInTheBackground(t *testing.T) {
	m := &mapper{RESTMapper: meta.NewDefaultRESTMapper(nil)}
	now := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	objects := vpa.NewObjects(nil, m, now)
	_, err := objects.Known(t.Context())
	require.ErrorContains(t, err, "not known yet")
	assert.Zero(t, m.asked)

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); objects.Run(ctx) }()
	require.Eventually(t, now.HasWaiters, 10*time.Second, time.Millisecond)
	list, err := objects.Known(t.Context())
	require.NoError(t, err)
	assert.Empty(t, list)
	stop()
	<-done
	assert.Equal(t, 1, m.asked)
}
