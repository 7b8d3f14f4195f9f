package v1alpha1_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1/crd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server connects to the API server named by YAGURA_TEST_KUBECONFIG, with the definitions installed.
func server(t *testing.T) dynamic.Interface {
	t.Helper()
	path := os.Getenv("YAGURA_TEST_KUBECONFIG")
	if path == "" {
		const message = "no Kubernetes to test on: start one with `bin/devcluster up` and set YAGURA_TEST_KUBECONFIG to the path that `bin/devcluster kubeconfig` prints"
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	require.NoError(t, err)
	transport, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	client, err := dynamic.NewForConfigAndClient(config, transport)
	require.NoError(t, err)
	manifests, err := crd.Manifests()
	require.NoError(t, err)
	for _, text := range manifests {
		var object unstructured.Unstructured
		require.NoError(t, yaml.Unmarshal(text, &object.Object))
		definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
		_, err := definitions.Apply(t.Context(), object.GetName(), &object, metav1.ApplyOptions{FieldManager: "yagura-autoscaler", Force: true})
		require.NoError(t, err)
	}
	return client
}

// valid is a policy that uses every field.
const valid = `
apiVersion: yagura.dev/v1alpha1
kind: WorkloadAutoscaler
metadata: {generateName: validation-, namespace: default}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: checkout}
  mode: Apply
  horizontal:
    min: 2
    max: 40
    objectives:
    - {name: cpu, resource: {name: cpu, utilization: 70, container: main, window: 30s}}
    - {name: memory, resource: {name: memory, averageValue: 1Gi}}
    - {name: queue, query: {promql: 'sum(queue_depth{app="checkout"})', target: "100", per: Replica}}
    - {name: errors, query: {logql: 'sum(rate({app="checkout"} |= "timeout" [1m]))', target: "0.5"}}
    behavior:
      scaleUp: {stabilizationWindowSeconds: 0, selectPolicy: Max, tolerance: 50m, policies: [{type: Pods, value: 4, periodSeconds: 15}]}
      scaleDown: {stabilizationWindowSeconds: 300, selectPolicy: Min, tolerance: "0.1", policies: [{type: Percent, value: 10, periodSeconds: 60}]}
    fallback: {after: 90s}
`

func TestPolicies(t *testing.T) {
	client := server(t)
	policies := client.Resource(v1alpha1.GroupVersion().WithResource("workloadautoscalers")).Namespace("default")
	tests := map[string]struct {
		old, new string // what is replaced in the valid policy
		want     string // what the refusal says; empty means that the policy is accepted
	}{
		"every field":                          {},
		"min above max":                        {"min: 2", "min: 41", "min must not be above max"},
		"min equal to max":                     {"min: 2", "min: 40", ""},
		"min above max by default":             {"min: 2\n    max: 40", "max: 0", "should be greater than or equal to 1"},
		"min of 0":                             {"min: 2", "min: 0", "should be greater than or equal to 1"},
		"no max":                               {"max: 40", "", "Required value"},
		"unknown mode":                         {"mode: Apply", "mode: Auto", "supported values"},
		"resource and query":                   {"{name: memory, averageValue: 1Gi}}", "{name: memory, averageValue: 1Gi}, query: {promql: up, target: 1}}", "exactly one of resource and query must be set"},
		"neither resource nor query":           {", resource: {name: memory, averageValue: 1Gi}", "", "exactly one of resource and query must be set"},
		"utilization and average":              {"averageValue: 1Gi", "averageValue: 1Gi, utilization: 5", "exactly one of utilization and averageValue must be set"},
		"neither utilization nor average":      {", averageValue: 1Gi", "", "exactly one of utilization and averageValue must be set"},
		"utilization of 0":                     {"utilization: 70", "utilization: 0", "should be greater than or equal to 1"},
		"average of 0":                         {"averageValue: 1Gi", `averageValue: "0"`, "averageValue must be greater than zero"},
		"a resource that is not measured":      {"name: cpu, utilization", "name: disk, utilization", "supported values"},
		"a window on memory":                   {"averageValue: 1Gi", "averageValue: 1Gi, window: 15s", "window is for cpu"},
		"a window of 0":                        {"window: 30s", "window: 0s", "window must be a duration from 2s to 1h"},
		"a window that is no duration":         {"window: 30s", "window: often", "spec.horizontal.objectives[0].resource.window"},
		"promql and logql":                     {"target: \"100\"", "target: \"100\", logql: '{a=\"b\"}'", "exactly one of promql and logql must be set"},
		"neither promql nor logql":             {`promql: 'sum(queue_depth{app="checkout"})', `, "", "exactly one of promql and logql must be set"},
		"an empty query":                       {`promql: 'sum(queue_depth{app="checkout"})'`, "promql: ''", "at least 1 chars long"},
		"no target":                            {`, target: "100"`, "", "Required value"},
		"target of 0":                          {`target: "100"`, "target: 0", "target must be greater than zero"},
		"target below 0":                       {`target: "100"`, `target: "-1"`, "target must be greater than zero"},
		"a target that is no number":           {`target: "100"`, `target: many`, "spec.horizontal.objectives[2].query.target"},
		"unknown per":                          {"per: Replica", "per: Pod", "supported values"},
		"two objectives of one name":           {"name: queue", "name: errors", "Duplicate value"},
		"an objective's name with capitals":    {"name: queue", "name: Queue", "should match"},
		"no name of the target":                {", name: checkout", "", "Required value"},
		"a target that is no kind":             {"kind: Deployment", "kind: deployment", "should match"},
		"a kind without replicas":              {"kind: Deployment", "kind: DaemonSet", "this kind has no number of replicas to set"},
		"a target version that is none":        {"apiVersion: apps/v1,", "apiVersion: apps/latest,", "should match"},
		"core version":                         {"apiVersion: apps/v1, kind: Deployment", "apiVersion: v1, kind: ReplicationController", ""},
		"a signal that is never lost":          {"after: 90s", "after: 0s", "after must be a duration from 1s to 1h"},
		"a negative window":                    {"stabilizationWindowSeconds: 300", "stabilizationWindowSeconds: -1", "should be greater than or equal to 0"},
		"a stabilization of more than an hour": {"stabilizationWindowSeconds: 300", "stabilizationWindowSeconds: 3601", "should be less than or equal to 3600"},
		"a negative tolerance":                 {"tolerance: 50m", `tolerance: "-0.1"`, "tolerance must not be negative"},
		"a tolerance of 0":                     {"tolerance: 50m", "tolerance: 0", ""},
		"a policy of 0":                        {"value: 4", "value: 0", "should be greater than or equal to 1"},
		"a period of more than half an hour":   {"periodSeconds: 60", "periodSeconds: 1801", "should be less than or equal to 1800"},
		"an unknown unit of a policy":          {"type: Pods", "type: Nodes", "supported values"},
		"no policies at all":                   {"policies: [{type: Percent, value: 10, periodSeconds: 60}]", "policies: []", "should have at least 1 items"},
		"a field that does nothing":            {"fallback: {after: 90s}", "fallback: {after: 90s, replicas: 3}", `unknown field "spec.horizontal.fallback.replicas"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			require.True(t, tc.old == "" || strings.Count(valid, tc.old) == 1, "%q must be in the valid policy once", tc.old)
			text := valid
			if tc.old != "" {
				text = strings.Replace(valid, tc.old, tc.new, 1)
			}
			var policy unstructured.Unstructured
			require.NoError(t, yaml.Unmarshal([]byte(text), &policy.Object))
			_, err := policies.Create(t.Context(), &policy, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
			if tc.want == "" {
				assert.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.True(t, apierrors.IsInvalid(err) || apierrors.IsBadRequest(err), "%v", err)
			assert.ErrorContains(t, err, tc.want)
		})
	}
}

func TestNoObjectives(t *testing.T) {
	client := server(t)
	var policy unstructured.Unstructured
	require.NoError(t, yaml.Unmarshal([]byte(valid), &policy.Object))
	require.NoError(t, unstructured.SetNestedSlice(policy.Object, []any{}, "spec", "horizontal", "objectives"))
	_, err := client.Resource(v1alpha1.GroupVersion().WithResource("workloadautoscalers")).Namespace("default").
		Create(t.Context(), &policy, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	assert.ErrorContains(t, err, "should have at least 1 items")
}

func TestDefaults(t *testing.T) {
	client := server(t)
	policies := client.Resource(v1alpha1.GroupVersion().WithResource("workloadautoscalers")).Namespace("default")
	var policy unstructured.Unstructured
	require.NoError(t, yaml.Unmarshal([]byte(`
apiVersion: yagura.dev/v1alpha1
kind: WorkloadAutoscaler
metadata: {generateName: validation-, namespace: default}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: checkout}
  horizontal: {max: 3, objectives: [{name: queue, query: {promql: up, target: 1}}]}
`), &policy.Object))
	created, err := policies.Create(t.Context(), &policy, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	require.NoError(t, err)
	for path, want := range map[string]any{"mode": "Recommend", "horizontal.min": int64(1), "horizontal.fallback.after": "2m"} {
		got, _, err := unstructured.NestedFieldNoCopy(created.Object, append([]string{"spec"}, strings.Split(path, ".")...)...)
		require.NoError(t, err)
		assert.Equal(t, want, got, path)
	}
}
