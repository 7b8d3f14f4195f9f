package v1alpha1_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// validNodes is a policy for nodes that uses every field.
const validNodes = `
apiVersion: yagura.dev/v1alpha1
kind: NodePolicy
metadata: {generateName: validation-}
spec:
  mode: Apply
  provider: {name: kwok, groups: [a, b]}
  weight: 10
  template:
    labels: {team: shop}
    annotations: {note: x}
    taints: [{key: dedicated, value: shop, effect: NoSchedule}]
    startupTaints: [{key: cni, effect: NoExecute}]
    version: v1.37.2
    image: debian-12
  requirements:
  - {key: kubernetes.io/arch, operator: In, values: [amd64]}
  - {key: example.com/old, operator: DoesNotExist}
  - {key: example.com/generation, operator: Gt, values: ["3"]}
  limits: {cpu: "1000", memory: 4Ti, nodes: 100, pricePerHour: "12.5"}
  expander: Priority
  priorities: [{requirements: [{key: karpenter.sh/capacity-type, operator: In, values: [spot]}]}]
  headroom:
  - {name: spare, pods: 3, requests: {cpu: 500m}, priorityClassName: high}
  - {name: share, percent: 10}
  forecast: {horizon: 8m, maxGrowth: 50}
  disruption:
    consolidation: {when: EmptyOrUnderutilized, after: 5m, minimumSaving: 20}
    budgets:
    - {nodes: 10%}
    - {nodes: 0, reasons: [Underutilized, Drifted], schedule: "0 8 * * 1-5", timezone: Asia/Tokyo, duration: 10h}
    terminationGracePeriod: 1h
  repair:
    rules:
    - {name: ready, condition: {type: Ready, statuses: ["False", Unknown]}, for: 5m}
    - {name: lease, silence: Lease, for: 2m}
    - {name: disk, promql: 'sum by (node) (yagura_disk_errors)', for: 1m}
    - {name: kernel, logql: 'sum by (node) (rate({job="kernel"} |= "BUG" [5m]))', for: 0s}
    bootTimeout: 10m
    maxUnhealthy: 30
    ladder: [Reboot, Replace]
    stepTimeout: 3m
  upgrade:
    windows: [{schedule: "0 1 * * *", timezone: UTC, duration: 4h}]
    maxSurge: 25%
    pauseOn: [{name: burn, promql: 'ALERTS{alertstate="firing"}'}]
    soakTime: 1m
    controlPlane: true
`

func TestNodePolicies(t *testing.T) {
	client := server(t)
	policies := client.Resource(v1alpha1.GroupVersion().WithResource("nodepolicies"))
	tests := map[string]struct {
		old, new string // what is replaced in the valid policy
		want     string // what the refusal says; empty means that the policy is accepted
	}{
		"every field":                        {},
		"no provider":                        {"provider: {name: kwok, groups: [a, b]}", "", "Required value"},
		"a provider without a name":          {"name: kwok, ", `name: "", `, "at least 1 chars long"},
		"unknown mode":                       {"mode: Apply", "mode: Auto", "supported values"},
		"a weight of 101":                    {"weight: 10", "weight: 101", "should be less than or equal to 100"},
		"a version that is none":             {"version: v1.37.2", "version: latest", "should match"},
		"In without values":                  {"operator: In, values: [amd64]", "operator: In", "In and NotIn need values"},
		"DoesNotExist with values":           {"operator: DoesNotExist", "operator: DoesNotExist, values: [x]", "Exists and DoesNotExist take no values"},
		"Gt with two numbers":                {`values: ["3"]`, `values: ["3", "4"]`, "Gt and Lt take one whole number"},
		"an operator that there is not":      {"operator: Gt", "operator: Above", "operator must be"},
		"negative CPU":                       {`cpu: "1000"`, `cpu: "-1"`, "cpu must not be negative"},
		"negative money":                     {`pricePerHour: "12.5"`, `pricePerHour: "-0.1"`, "pricePerHour must not be negative"},
		"no nodes at all":                    {"nodes: 100", "nodes: 0", ""},
		"priorities without entries":         {"priorities: [{requirements: [{key: karpenter.sh/capacity-type, operator: In, values: [spot]}]}]", "", "the expander Priority needs priorities"},
		"unknown expander":                   {"expander: Priority", "expander: Random", "supported values"},
		"headroom in pods and percent":       {"percent: 10", "percent: 10, pods: 1", "exactly one of pods and percent must be set"},
		"headroom of nothing":                {"name: share, percent: 10", "name: share", "exactly one of pods and percent must be set"},
		"a forecast with nothing said":       {"forecast: {horizon: 8m, maxGrowth: 50}", "forecast: {}", ""},
		"a forecast of seconds":              {"horizon: 8m", "horizon: 5s", "horizon must be a duration from 30s to 1h"},
		"a forecast of days":                 {"horizon: 8m", "horizon: 48h", "horizon must be a duration from 30s to 1h"},
		"a forecast that is no time":         {"horizon: 8m", "horizon: soon", "spec.forecast.horizon"},
		"a forecast of nothing more":         {"maxGrowth: 50", "maxGrowth: 0", "should be greater than or equal to 1"},
		"a forecast of anything":             {"maxGrowth: 50", "maxGrowth: 1001", "should be less than or equal to 1000"},
		"unknown consolidation":              {"when: EmptyOrUnderutilized", "when: Always", "supported values"},
		"a saving of more than everything":   {"minimumSaving: 20", "minimumSaving: 101", "should be less than or equal to 100"},
		"a negative wait":                    {"after: 5m", "after: -1s", "after must not be negative"},
		"a budget in words":                  {"nodes: 10%", "nodes: some", "nodes must be a number or a percentage"},
		"a budget of more than everything":   {"nodes: 10%", "nodes: 101%", "nodes must be a number or a percentage"},
		"a negative budget":                  {"nodes: 0, reasons", "nodes: -1, reasons", "nodes must be a number or a percentage"},
		"a schedule without an end":          {", duration: 10h", "", "schedule and duration go together"},
		"a schedule of four fields":          {`"0 8 * * 1-5"`, `"0 8 * *"`, "schedule must have cron's five fields"},
		"unknown reason of a budget":         {"Underutilized, Drifted", "Underutilized, Bored", "supported values"},
		"no time for termination":            {"terminationGracePeriod: 1h", "terminationGracePeriod: 0s", "terminationGracePeriod must be greater than 0s"},
		"a repair rule with two signs":       {"silence: Lease", "silence: Lease, promql: up", "exactly one of condition, silence, promql and logql must be set"},
		"a repair rule without a sign":       {"silence: Lease, ", "", "exactly one of condition, silence, promql and logql must be set"},
		"a condition without statuses":       {`statuses: ["False", Unknown]`, "statuses: []", "should have at least 1 items"},
		"unknown silence":                    {"silence: Lease", "silence: Golden", "supported values"},
		"a boot of a second":                 {"bootTimeout: 10m", "bootTimeout: 1s", "bootTimeout must be at least 30s"},
		"no unhealthy node tolerated":        {"maxUnhealthy: 30", "maxUnhealthy: 0", "should be greater than or equal to 1"},
		"unknown step":                       {"ladder: [Reboot, Replace]", "ladder: [Kick]", "supported values"},
		"no surge":                           {"maxSurge: 25%", "maxSurge: 0", "maxSurge must be a number of at least 1 or a percentage"},
		"a window without an end":            {", duration: 4h", "", "Required value"},
		"a query without a name":             {"{name: burn, promql", "{promql", "Required value"},
		"a field that does nothing":          {"controlPlane: true", "controlPlane: true\n    force: true", `unknown field "spec.upgrade.force"`},
		"two rules of one name":              {"name: lease", "name: ready", "Duplicate value"},
		"a duration that is none":            {"soakTime: 1m", "soakTime: soon", "spec.upgrade.soakTime"},
		"a quantity that is none":            {"memory: 4Ti", "memory: lots", "spec.limits.memory"},
		"a step that may take no time":       {"stepTimeout: 3m", "stepTimeout: 0s", "stepTimeout must be greater than 0s"},
		"a sign that counts from the first":  {"silence: Lease, for: 2m", "silence: Lease, for: 0s", ""},
		"a sign that is older than its time": {"silence: Lease, for: 2m", "silence: Lease, for: -1s", "for must not be negative"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			require.True(t, tc.old == "" || strings.Count(validNodes, tc.old) == 1, "%q must be in the valid policy once", tc.old)
			text := validNodes
			if tc.old != "" {
				text = strings.Replace(validNodes, tc.old, tc.new, 1)
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

func TestAClaimNeverChanges(t *testing.T) {
	client := server(t)
	claims := client.Resource(v1alpha1.GroupVersion().WithResource("nodeclaims"))
	var claim unstructured.Unstructured
	require.NoError(t, yaml.Unmarshal([]byte(`
apiVersion: yagura.dev/v1alpha1
kind: NodeClaim
metadata: {generateName: validation-}
spec: {policy: p, provider: kwok, offer: {name: c-4x, pricePerHour: 76m}}
`), &claim.Object))
	created, err := claims.Create(t.Context(), &claim, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	require.NoError(t, err)
	t.Cleanup(func() { _ = claims.Delete(t.Context(), created.GetName(), metav1.DeleteOptions{}) })
	require.NoError(t, unstructured.SetNestedField(created.Object, "q", "spec", "policy"))
	_, err = claims.Update(t.Context(), created, metav1.UpdateOptions{})
	assert.ErrorContains(t, err, "a claim never changes")
}
