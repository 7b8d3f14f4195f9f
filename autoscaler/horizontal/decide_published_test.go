package horizontal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

type decisionCase struct {
	Name       string `json:"name"`
	Min        int32  `json:"min"`
	Max        int32  `json:"max"`
	Current    int32  `json:"current"`
	Existing   int32  `json:"existing"`
	Objectives []struct {
		Name        string `json:"name"`
		Utilization *int32 `json:"utilization"`
		Container   string `json:"container"`
		Average     *int64 `json:"average"`
		Target      *int64 `json:"target"`
		Per         string `json:"per"`
		Unknown     bool   `json:"unknown"`
	} `json:"objectives"`
	ScaleUp   *rulesCase     `json:"scaleUp"`
	ScaleDown *rulesCase     `json:"scaleDown"`
	Pods      []podCase      `json:"pods"`
	Levels    []int64        `json:"levels"`
	History   *[]historyCase `json:"history"`
	Want      struct {
		Replicas int32 `json:"replicas"`
	} `json:"want"`
}

// TestPublishedDecisions runs whole evaluations. The published ones without behavior allow eight times the replicas at once; the
// policies say so here, since our default is the one of autoscaling/v2.
func TestPublishedDecisions(t *testing.T) {
	eightfold := &v1alpha1.ScalingRules{Policies: []v1alpha1.ScalingPolicy{{Type: v1alpha1.PercentPolicy, Value: 700, PeriodSeconds: 15}}}
	for _, c := range load[decisionCase](t, "decisions.yaml") {
		t.Run(c.Name, func(t *testing.T) {
			behavior := &v1alpha1.Behavior{ScaleUp: c.ScaleUp.build(t), ScaleDown: c.ScaleDown.build(t)}
			if c.ScaleUp == nil && c.ScaleDown == nil {
				behavior.ScaleUp = eightfold
			}
			in := Input{
				Now: now, Current: c.Current, Existing: c.Existing, Pods: buildPods(c.Pods, corev1.ResourceCPU),
				Readiness: publishedReadiness, History: &History{},
				Policy: &v1alpha1.WorkloadAutoscaler{
					ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout"},
					Spec: v1alpha1.WorkloadAutoscalerSpec{Mode: v1alpha1.Apply,
						Horizontal: &v1alpha1.HorizontalPolicy{Min: c.Min, Max: c.Max, Behavior: behavior}},
				},
			}
			// These pods became what they are when they started.
			for _, pod := range in.Pods {
				pod.Status.Conditions[0].LastTransitionTime = *pod.Status.StartTime
			}
			for _, o := range c.Objectives {
				objective, signal := c.objective(o.Name), Signal{State: decision.Fresh}
				switch {
				case o.Utilization != nil || o.Average != nil:
					objective.Resource = &v1alpha1.ResourceObjective{Name: v1alpha1.CPU, Utilization: o.Utilization, Container: o.Container}
					if o.Average != nil {
						objective.Resource.AverageValue = resource.NewMilliQuantity(*o.Average, resource.DecimalSI)
					}
					signal.Usage = c.usage(o.Container)
				case o.Unknown:
					objective.Query = &v1alpha1.QueryObjective{PromQL: "nothing", Target: resource.MustParse("1")}
					signal = Signal{State: decision.Missing, Reason: "the query returned no series"}
				default:
					objective.Query = &v1alpha1.QueryObjective{PromQL: "qps", Target: *resource.NewMilliQuantity(*o.Target, resource.DecimalSI), Per: v1alpha1.Per(o.Per)}
					if len(c.Levels) == 0 {
						signal = Signal{State: decision.Missing, Reason: "the query returned no series"}
					}
					for _, level := range c.Levels {
						signal.Value += float64(level) / 1000
					}
				}
				in.Policy.Spec.Horizontal.Objectives = append(in.Policy.Spec.Horizontal.Objectives, objective)
				in.Signals = append(in.Signals, signal)
			}
			if c.History != nil {
				in.History = buildHistory(*c.History)
				in.History.since = now.Add(-time.Hour)
			}
			got := Decide(in)
			assert.Equal(t, c.Want.Replicas, got.DesiredReplicas, got.Reason)
		})
	}
}

func (c decisionCase) objective(name string) v1alpha1.Objective {
	return v1alpha1.Objective{Name: name}
}

// usage spreads each pod's level over its two containers.
func (c decisionCase) usage(container string) Usage {
	usage := Usage{}
	for i, level := range c.Levels {
		milli := level / 2 * 2
		if container != "" {
			milli = level / 2
		}
		usage[podName(i)] = Sample{Milli: milli, Time: now, Window: time.Minute}
	}
	return usage
}
