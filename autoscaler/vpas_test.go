package autoscaler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/vpa"
)

// askedMapper counts how often it is asked what the cluster serves.
type askedMapper struct {
	meta.RESTMapper
	asked int
}

func (m *askedMapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	m.asked++
	return m.RESTMapper.RESTMapping(kind, versions...)
}

// A pod waits while the webhook finds out who sizes it.
func TestAReviewAsksNobodyWhoSizesATarget(t *testing.T) {
	m := &askedMapper{RESTMapper: meta.NewDefaultRESTMapper(nil)}
	now := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	objects := vpa.NewObjects(nil, m, now)
	webhook := &vpas{objects: knownVPAs{objects}}
	policy := &v1alpha1.WorkloadAutoscaler{Spec: v1alpha1.WorkloadAutoscalerSpec{TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}}}
	_, err := webhook.owner(t.Context(), policy)
	require.Error(t, err, "what is not known is not nobody")
	assert.Zero(t, m.asked)

	_, err = objects.List(t.Context()) // what runs beside it
	require.NoError(t, err)
	now.Step(time.Hour)
	owner, err := webhook.owner(t.Context(), policy)
	require.NoError(t, err)
	assert.Empty(t, owner)
	assert.Equal(t, 1, m.asked)
}
