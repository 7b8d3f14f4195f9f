package vpa_test

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/vpa"
)

// migrationCase is an entry of testdata/migrate.yaml.
type migrationCase struct {
	Name  string                                 `json:"name"`
	VPA   vpav1.VerticalPodAutoscaler            `json:"vpa"`
	HPA   *autoscalingv2.HorizontalPodAutoscaler `json:"hpa,omitempty"`
	Want  v1alpha1.WorkloadAutoscaler            `json:"want"`
	Notes []string                               `json:"notes,omitempty"`
}

func migrationCases(t *testing.T) []migrationCase {
	t.Helper()
	text, err := os.ReadFile("testdata/migrate.yaml")
	require.NoError(t, err)
	var cases []migrationCase
	require.NoError(t, yaml.UnmarshalStrict(text, &cases))
	return cases
}

// always are the notes of every migration.
var always = []string{
	"Changed VerticalPodAutoscaler spec", "Changed VerticalPodAutoscaler spec", "Todo VerticalPodAutoscaler metadata.name",
}

func TestMigrate(t *testing.T) {
	for _, c := range migrationCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			before, beforeHPA := c.VPA.DeepCopy(), c.HPA.DeepCopy()
			got, notes, err := vpa.Migrate(&c.VPA, c.HPA)
			require.NoError(t, err)
			assert.Equal(t, "yagura.dev/v1alpha1", got.APIVersion)
			assert.Equal(t, "WorkloadAutoscaler", got.Kind)
			got.TypeMeta = metav1.TypeMeta{}
			if !equality.Semantic.DeepEqual(c.Want, got) {
				want, _ := yaml.Marshal(c.Want)
				have, _ := yaml.Marshal(got)
				assert.Equal(t, string(want), string(have))
			}
			heads := []string{}
			for _, n := range notes {
				assert.NotEmpty(t, n.Text)
				heads = append(heads, fmt.Sprintf("%s %s %s", n.Change, n.Kind, n.Field))
			}
			assert.ElementsMatch(t, append(slices.Clone(always), c.Notes...), heads)
			assert.Equal(t, before, &c.VPA, "what is migrated stays as it is")
			assert.Equal(t, beforeHPA, c.HPA)
		})
	}
}

func TestMigrateRefuses(t *testing.T) {
	deployment := &autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}
	for want, change := range map[string]func(*vpav1.VerticalPodAutoscaler, *autoscalingv2.HorizontalPodAutoscaler){
		"spec.targetRef: must be set": func(v *vpav1.VerticalPodAutoscaler, _ *autoscalingv2.HorizontalPodAutoscaler) {
			v.Spec.TargetRef = nil
		},
		"spec.targetRef.name: must be set": func(v *vpav1.VerticalPodAutoscaler, _ *autoscalingv2.HorizontalPodAutoscaler) {
			v.Spec.TargetRef.Name = ""
		},
		`spec.targetRef.kind: a vertical policy takes no Rollout of "argoproj.io/v1alpha1"`: func(v *vpav1.VerticalPodAutoscaler, _ *autoscalingv2.HorizontalPodAutoscaler) {
			v.Spec.TargetRef.APIVersion, v.Spec.TargetRef.Kind = "argoproj.io/v1alpha1", "Rollout"
		},
		`spec.targetRef.kind: a vertical policy takes no Deployment of "example.com/v1"`: func(v *vpav1.VerticalPodAutoscaler, _ *autoscalingv2.HorizontalPodAutoscaler) {
			v.Spec.TargetRef.APIVersion = "example.com/v1"
		},
		"spec.updatePolicy.updateMode: there is no mode Sometimes": func(v *vpav1.VerticalPodAutoscaler, _ *autoscalingv2.HorizontalPodAutoscaler) {
			v.Spec.UpdatePolicy = &vpav1.PodUpdatePolicy{UpdateMode: ptr(vpav1.UpdateMode("Sometimes"))}
		},
		"spec.resourcePolicy.containerPolicies[0].containerName: must be set": container(vpav1.ContainerResourcePolicy{}),
		"spec.resourcePolicy.containerPolicies[0].mode: there is no mode Maybe": container(vpav1.ContainerResourcePolicy{
			ContainerName: "a", Mode: ptr(vpav1.ContainerScalingMode("Maybe"))}),
		"spec.resourcePolicy.containerPolicies[0].controlledValues: there is no value All": container(vpav1.ContainerResourcePolicy{
			ContainerName: "a", ControlledValues: ptr(vpav1.ContainerControlledValues("All"))}),
		"spec.resourcePolicy.containerPolicies[0].maxAllowed.cpu: must not be negative": container(vpav1.ContainerResourcePolicy{
			ContainerName: "a", MaxAllowed: corev1.ResourceList{"cpu": resource.MustParse("-1")}}),
		"spec.resourcePolicy.containerPolicies[0].startupBoost.cpu.factor: must be at least 1": container(vpav1.ContainerResourcePolicy{
			ContainerName: "a", StartupBoost: &vpav1.StartupBoost{CPU: &vpav1.GenericStartupBoost{Type: "Factor"}}}),
		"spec.startupBoost.cpu.quantity: must be above 0": func(v *vpav1.VerticalPodAutoscaler, _ *autoscalingv2.HorizontalPodAutoscaler) {
			v.Spec.StartupBoost = &vpav1.StartupBoost{CPU: &vpav1.GenericStartupBoost{Type: "Quantity"}}
		},
		`spec.startupBoost.cpu.type: there is no type "Twice"`: func(v *vpav1.VerticalPodAutoscaler, _ *autoscalingv2.HorizontalPodAutoscaler) {
			v.Spec.StartupBoost = &vpav1.StartupBoost{CPU: &vpav1.GenericStartupBoost{Type: "Twice"}}
		},
		"spec.resourcePolicy.containerPolicies: there are 33, a policy takes 32": func(v *vpav1.VerticalPodAutoscaler, _ *autoscalingv2.HorizontalPodAutoscaler) {
			v.Spec.ResourcePolicy = &vpav1.PodResourcePolicy{}
			for i := range 33 {
				v.Spec.ResourcePolicy.ContainerPolicies = append(v.Spec.ResourcePolicy.ContainerPolicies, vpav1.ContainerResourcePolicy{ContainerName: fmt.Sprint("c", i)})
			}
		},
		"spec.scaleTargetRef: it scales Deployment shop/other, and not Deployment shop/web": func(_ *vpav1.VerticalPodAutoscaler, h *autoscalingv2.HorizontalPodAutoscaler) {
			h.Spec.ScaleTargetRef.Name = "other"
		},
		"spec.maxReplicas: 1 is below the least, 2": func(_ *vpav1.VerticalPodAutoscaler, h *autoscalingv2.HorizontalPodAutoscaler) {
			h.Spec.MinReplicas = ptr(int32(2))
		},
	} {
		t.Run(want, func(t *testing.T) {
			meta := metav1.ObjectMeta{Namespace: "shop", Name: "web"}
			v := &vpav1.VerticalPodAutoscaler{ObjectMeta: meta, Spec: vpav1.VerticalPodAutoscalerSpec{TargetRef: deployment.DeepCopy()}}
			h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: meta, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
				ScaleTargetRef: autoscalingv2.CrossVersionObjectReference(*deployment), MaxReplicas: 1}}
			change(v, h)
			_, _, err := vpa.Migrate(v, h)
			require.Error(t, err)
			assert.True(t, strings.HasSuffix(err.Error(), "shop/web: "+want), err.Error())
		})
	}
}

func container(c vpav1.ContainerResourcePolicy) func(*vpav1.VerticalPodAutoscaler, *autoscalingv2.HorizontalPodAutoscaler) {
	return func(v *vpav1.VerticalPodAutoscaler, _ *autoscalingv2.HorizontalPodAutoscaler) {
		v.Spec.ResourcePolicy = &vpav1.PodResourcePolicy{ContainerPolicies: []vpav1.ContainerResourcePolicy{c}}
	}
}

func quantityOf(text string) resource.Quantity { return resource.MustParse(text) }

func ptr[T any](v T) *T { return &v }

// TestMigrateAccountsForEveryField fails when a release of the VerticalPodAutoscaler has a field that the case "every field" does
// not set, so that nobody has thought about it.
func TestMigrateAccountsForEveryField(t *testing.T) {
	cases := migrationCases(t)
	set := map[string]bool{}
	for i := range cases {
		fields(reflect.ValueOf(cases[i].VPA.Spec), "spec", func(path string, zero bool) { set[path] = set[path] || !zero })
	}
	require.Greater(t, len(set), 20)
	for path, isSet := range set {
		assert.True(t, isSet, "no case sets %s", path)
	}
}

// fields visits the fields of a value of a VerticalPodAutoscaler's types and says which are zero. What is in a nil pointer or an
// empty list is visited as zero, too.
func fields(v reflect.Value, path string, visit func(path string, zero bool)) {
	switch t := v.Type(); {
	case t.Kind() == reflect.Pointer:
		visit(path, v.IsNil())
		if v.IsNil() {
			v = reflect.New(t.Elem())
		}
		fields(v.Elem(), path, visit)
	case t.Kind() == reflect.Slice && v.Len() > 0:
		visit(path, false)
		for i := range v.Len() {
			fields(v.Index(i), path, visit)
		}
	case t.Kind() == reflect.Struct && strings.Contains(t.PkgPath(), "vertical-pod-autoscaler"):
		for i := range t.NumField() {
			fields(v.Field(i), path+"."+t.Field(i).Name, visit)
		}
	default:
		visit(path, v.IsZero())
	}
}
