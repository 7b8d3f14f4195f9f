package horizontal

import (
	"cmp"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// rulesCase is one direction of a behavior in the data files.
type rulesCase struct {
	Window    *int32 `json:"window"`
	Select    string `json:"select"`
	Tolerance string `json:"tolerance"`
	Policies  []struct {
		Type   string `json:"type"`
		Value  int32  `json:"value"`
		Period int32  `json:"period"`
	} `json:"policies"`
}

func (c *rulesCase) build(t testing.TB) *v1alpha1.ScalingRules {
	if c == nil {
		return nil
	}
	rules := &v1alpha1.ScalingRules{StabilizationWindowSeconds: c.Window}
	if c.Select != "" {
		choice := v1alpha1.PolicySelect(c.Select)
		rules.SelectPolicy = &choice
	}
	if c.Tolerance != "" {
		q, err := resource.ParseQuantity(c.Tolerance)
		require.NoError(t, err)
		rules.Tolerance = &q
	}
	for _, p := range c.Policies {
		rules.Policies = append(rules.Policies, v1alpha1.ScalingPolicy{Type: v1alpha1.PolicyType(p.Type), Value: p.Value, PeriodSeconds: p.Period})
	}
	return rules
}

type changeCase struct {
	Change int32   `json:"change"`
	Ago    float64 `json:"ago"`
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func TestPublishedRates(t *testing.T) {
	type rateCase struct {
		Name        string       `json:"name"`
		Min         int32        `json:"min"`
		Max         int32        `json:"max"`
		Current     int32        `json:"current"`
		Recommended int32        `json:"recommended"`
		ScaleUp     *rulesCase   `json:"scaleUp"`
		ScaleDown   *rulesCase   `json:"scaleDown"`
		Added       []changeCase `json:"added"`
		Removed     []changeCase `json:"removed"`
		Want        struct {
			Replicas int32  `json:"replicas"`
			Limit    string `json:"limit"`
		} `json:"want"`
	}
	for _, c := range load[rateCase](t, "rates.yaml") {
		t.Run(c.Name, func(t *testing.T) {
			history := &History{}
			for _, a := range c.Added {
				history.Scale(now.Add(-seconds(a.Ago)), 0, a.Change)
			}
			for _, r := range c.Removed {
				history.Scale(now.Add(-seconds(r.Ago)), r.Change, 0)
			}
			s := &state{
				in:       &Input{Now: now, Current: c.Current, History: history},
				policy:   &v1alpha1.HorizontalPolicy{Min: c.Min, Max: c.Max},
				behavior: resolve(&v1alpha1.Behavior{ScaleUp: c.ScaleUp.build(t), ScaleDown: c.ScaleDown.build(t)}),
				replicas: c.Recommended,
			}
			limit := "DesiredWithinRange"
			for _, r := range []rule{rate{}, minMax{}} {
				v := r.judge(s)
				s.replicas = v.replicas
				if v.action == decision.Change {
					limit = v.code
				}
			}
			assert.Equal(t, c.Want.Replicas, s.replicas)
			assert.Equal(t, c.Want.Limit, limit)
		})
	}
}

func TestPublishedStabilization(t *testing.T) {
	type stabilizationCase struct {
		Name        string        `json:"name"`
		Current     int32         `json:"current"`
		Recommended int32         `json:"recommended"`
		Up          float64       `json:"up"`
		Down        float64       `json:"down"`
		History     []historyCase `json:"history"`
		Want        int32         `json:"want"`
	}
	for _, c := range load[stabilizationCase](t, "stabilization.yaml") {
		t.Run(c.Name, func(t *testing.T) {
			history := buildHistory(c.History)
			assert.Equal(t, c.Want, history.stabilize(now, c.Current, c.Recommended, seconds(c.Up), seconds(c.Down)))
		})
	}
}

type historyCase struct {
	Replicas int32   `json:"replicas"`
	Ago      float64 `json:"ago"`
}

func buildHistory(cases []historyCase) *History {
	slices.SortFunc(cases, func(a, b historyCase) int { return cmp.Compare(b.Ago, a.Ago) })
	history := &History{}
	for _, c := range cases {
		history.Recommend(now.Add(-seconds(c.Ago)), c.Replicas)
	}
	return history
}

func TestBehaviorIsThatOfAutoscalingV2(t *testing.T) {
	const text = `
scaleUp:
  stabilizationWindowSeconds: 30
  selectPolicy: Min
  tolerance: 50m
  policies:
  - {type: Pods, value: 4, periodSeconds: 60}
  - {type: Percent, value: 10, periodSeconds: 1800}
scaleDown:
  stabilizationWindowSeconds: 3600
  selectPolicy: Disabled
`
	var theirs autoscalingv2.HorizontalPodAutoscalerBehavior
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), &theirs))
	there, err := json.Marshal(theirs)
	require.NoError(t, err)
	var ours v1alpha1.Behavior
	require.NoError(t, yaml.UnmarshalStrict(there, &ours))
	back, err := json.Marshal(ours)
	require.NoError(t, err)
	assert.JSONEq(t, string(there), string(back))
}

func TestDefaultBehavior(t *testing.T) {
	b := resolve(nil)
	assert.Equal(t, 300*time.Second, b.down.window)
	assert.Zero(t, b.up.window)
	assert.Equal(t, Tolerance{Up: 0.1, Down: 0.1}, b.tolerance)
	assert.Equal(t, int32(5), b.up.highest(1, &History{}, now), "four pods are more than 100% of one")
	assert.Equal(t, int32(20), b.up.highest(10, &History{}, now))
	assert.Equal(t, int32(0), b.down.lowest(10, &History{}, now))

	// Setting one field leaves the others at their defaults.
	window := int32(10)
	b = resolve(&v1alpha1.Behavior{ScaleDown: &v1alpha1.ScalingRules{StabilizationWindowSeconds: &window}})
	assert.Equal(t, 10*time.Second, b.down.window)
	assert.Len(t, b.down.limits, 1)
	assert.Len(t, b.up.limits, 2)
}
