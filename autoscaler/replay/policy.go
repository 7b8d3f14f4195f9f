package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1/crd"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// ErrHorizontalOnly means that a policy has nothing to replay yet.
var ErrHorizontalOnly = errors.New("the policy is horizontal only: spec.vertical is what can be replayed so far, horizontal policies come later")

// ParsePolicy reads one WorkloadAutoscaler in YAML or JSON as an API server would: unknown fields are errors, the schema of the
// definition holds and the rules for vertical policies do, and defaults are filled in. Errors name the field.
func ParsePolicy(name string, text []byte) (*v1alpha1.WorkloadAutoscaler, error) {
	policy, err := parsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", name, err)
	}
	return policy, nil
}

func parsePolicy(text []byte) (*v1alpha1.WorkloadAutoscaler, error) {
	document, err := single(text)
	if err != nil {
		return nil, err
	}
	converted, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, err
	}
	var kind metav1.TypeMeta
	if err := json.Unmarshal(converted, &kind); err != nil {
		return nil, fmt.Errorf("want a WorkloadAutoscaler: %w", err)
	}
	if kind.APIVersion != v1alpha1.GroupVersion().String() || kind.Kind != v1alpha1.WorkloadAutoscalerKind {
		return nil, fmt.Errorf("apiVersion %q and kind %q: want %s and %s", kind.APIVersion, kind.Kind, v1alpha1.GroupVersion(), v1alpha1.WorkloadAutoscalerKind)
	}
	var policy v1alpha1.WorkloadAutoscaler
	unknown, mistyped := kjson.UnmarshalStrict(converted, &policy)
	// The schema's errors come before those of the types, since they name fields and say what is wanted.
	if err := errors.Join(append(unknown, checkSchema(converted))...); err != nil {
		return nil, err
	}
	if mistyped != nil {
		return nil, mistyped
	}
	if policy.Spec.Vertical == nil && policy.Spec.Horizontal != nil {
		return nil, ErrHorizontalOnly
	}
	if err := checkRules(&policy); err != nil {
		return nil, err
	}
	setDefaults(&policy)
	return &policy, nil
}

// single returns the only document in a YAML stream.
func single(text []byte) ([]byte, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var found []byte
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var content any
		if err := yaml.Unmarshal(document, &content); err != nil {
			return nil, err
		}
		switch {
		case content == nil:
		case found != nil:
			return nil, errors.New("more than one document: want one policy")
		default:
			found = document
		}
	}
	if found == nil {
		return nil, errors.New("empty: want a WorkloadAutoscaler")
	}
	return found, nil
}

// checkSchema holds a policy against the schema of the definition, but for its rules.
func checkSchema(policy []byte) error {
	schema, err := definition()
	if err != nil {
		return err
	}
	var object map[string]any
	if err := json.Unmarshal(policy, &object); err != nil {
		return fmt.Errorf("want a WorkloadAutoscaler: %w", err)
	}
	// What was there before is no part of what is replayed, and a template that was exported may hold anything.
	delete(object, "status")
	result := validate.NewSchemaValidator(schema, nil, "", strfmt.Default).Validate(object)
	errs := make([]error, len(result.Errors))
	for i, err := range result.Errors {
		errs[i] = errors.New(strings.Replace(err.Error(), " in body ", " ", 1))
	}
	return errors.Join(errs...)
}

// definition is the schema of WorkloadAutoscaler.
func definition() (*spec.Schema, error) {
	manifests, err := crd.Manifests()
	if err != nil {
		return nil, err
	}
	for _, text := range manifests {
		var d struct {
			Spec struct {
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct {
						OpenAPIV3Schema spec.Schema `json:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(text, &d); err != nil {
			return nil, fmt.Errorf("decode embedded definition: %w", err)
		}
		if d.Spec.Names.Kind != v1alpha1.WorkloadAutoscalerKind {
			continue
		}
		for i := range d.Spec.Versions {
			if d.Spec.Versions[i].Name == v1alpha1.GroupVersion().Version {
				return &d.Spec.Versions[i].Schema.OpenAPIV3Schema, nil
			}
		}
	}
	return nil, fmt.Errorf("no embedded definition of %s", v1alpha1.WorkloadAutoscalerKind)
}

// checkRules checks what the definition says in rules rather than in its schema.
func checkRules(p *v1alpha1.WorkloadAutoscaler) error {
	v := p.Spec.Vertical
	if v == nil {
		return errors.New("spec: horizontal, vertical or both must be set")
	}
	errs := []error{
		check(!slices.Contains([]string{"Pod", "HorizontalPodAutoscaler", "VerticalPodAutoscaler", v1alpha1.WorkloadAutoscalerKind}, p.Spec.TargetRef.Kind),
			"spec.targetRef.kind: this kind is no workload"),
		check(p.Spec.Horizontal == nil || !slices.Contains([]string{"DaemonSet", "Job", "CronJob"}, p.Spec.TargetRef.Kind), "spec: this kind has no number of replicas to set"),
		check(p.Spec.Horizontal == nil || max(1, p.Spec.Horizontal.Min) <= p.Spec.Horizontal.Max, "spec.horizontal: min must not be above max"),
		check(within(v.History, time.Hour, 2160*time.Hour), "spec.vertical.history: must be a duration from 1h to 2160h"),
		check(v.Tolerance == nil || v.Tolerance.Sign() >= 0, "spec.vertical.tolerance: must not be negative"),
	}
	if r := v.Recreate; r != nil {
		errs = append(errs, check(within(r.Interval, time.Second, 24*time.Hour), "spec.vertical.recreate.interval: must be a duration from 1s to 24h"),
			check(available(r.MaxUnavailable), "spec.vertical.recreate.maxUnavailable: must be at least 1, or a percentage from 1%% to 100%%"))
	}
	if r := v.Rollback; r != nil {
		errs = append(errs, check(within(r.Window, 0, 24*time.Hour), "spec.vertical.rollback.window: must be a duration from 0s to 24h"))
	}
	seen := map[string]bool{}
	for i := range v.Containers {
		c := &v.Containers[i]
		path := fmt.Sprintf("spec.vertical.containers[%d]", i)
		errs = append(errs, check(!seen[c.Name], "%s.name: duplicate value %q", path, c.Name), checkContainer(path, c))
		seen[c.Name] = true
	}
	return errors.Join(errs...)
}

func checkContainer(path string, c *v1alpha1.ContainerVerticalPolicy) error {
	var errs []error
	seen := map[v1alpha1.SizedResource]bool{}
	for i, r := range c.Resources {
		errs = append(errs, check(!seen[r], "%s.resources[%d]: duplicate value %q", path, i, r))
		seen[r] = true
	}
	for name, least := range c.MinAllowed {
		most, bounded := c.MaxAllowed[name]
		errs = append(errs, check(!bounded || least.Cmp(most) <= 0, "%s: minAllowed.%s is above maxAllowed.%s", path, name, name))
	}
	if s := c.Startup; s != nil {
		errs = append(errs,
			check((s.Factor != nil) != (s.CPU != nil), "%s.startup: exactly one of factor and cpu must be set", path),
			check(s.Factor == nil || s.Factor.Cmp(resource.MustParse("1")) >= 0, "%s.startup.factor: must be at least 1", path),
			check(s.CPU == nil || s.CPU.Sign() > 0, "%s.startup.cpu: must be greater than zero", path),
			check(within(s.Duration, 0, time.Hour), "%s.startup.duration: must be from 0s to 1h", path))
	}
	return errors.Join(errs...)
}

func check(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func within(d *metav1.Duration, least, most time.Duration) bool {
	return d == nil || d.Duration >= least && d.Duration <= most
}

func available(n *intstr.IntOrString) bool {
	if n == nil {
		return true
	}
	if n.Type == intstr.Int {
		return n.IntVal >= 1
	}
	percent, ok := strings.CutSuffix(n.StrVal, "%")
	value, err := strconv.Atoi(percent)
	return ok && err == nil && value >= 1 && value <= 100 && percent[0] != '0' && percent[0] != '+'
}

func setDefaults(p *v1alpha1.WorkloadAutoscaler) {
	v := p.Spec.Vertical
	if v.Model == "" {
		v.Model = v1alpha1.ModelAuto
	}
}

// ModelByName finds a model by its name, whatever the case of its letters.
func ModelByName(name string) (v1alpha1.EstimationModel, error) {
	models := []v1alpha1.EstimationModel{v1alpha1.ModelAuto, v1alpha1.ModelVPA, v1alpha1.ModelPercentile, v1alpha1.ModelPeak, v1alpha1.ModelForecast, v1alpha1.ModelAutopilot}
	names := make([]string, len(models))
	for i, m := range models {
		if strings.EqualFold(name, string(m)) {
			return m, nil
		}
		names[i] = string(m)
	}
	return "", fmt.Errorf("unknown model %q: want one of %s", name, strings.Join(names, ", "))
}

// RulesFor returns the rules of a policy for one resource of one container, and false when the policy does not size it.
func RulesFor(policy *v1alpha1.WorkloadAutoscaler, container string, resource vertical.Resource) (Rules, bool) {
	v := policy.Spec.Vertical
	rules := Rules{Tolerance: DefaultTolerance}
	if v.Tolerance != nil {
		rules.Tolerance = v.Tolerance.AsApproximateFloat64()
	}
	c := containerPolicy(v, container)
	if c == nil {
		return rules, resource != vertical.EphemeralStorage
	}
	if c.Mode == v1alpha1.ContainerOff || !sizes(c, resource) {
		return Rules{}, false
	}
	rules.Min, rules.Max = amount(c.MinAllowed, resource), amount(c.MaxAllowed, resource)
	return rules, true
}

// containerPolicy is the rule for a container: its own, else the one for all.
func containerPolicy(v *v1alpha1.VerticalPolicy, name string) *v1alpha1.ContainerVerticalPolicy {
	var all *v1alpha1.ContainerVerticalPolicy
	for i := range v.Containers {
		switch v.Containers[i].Name {
		case name:
			return &v.Containers[i]
		case "*":
			all = &v.Containers[i]
		}
	}
	return all
}

func sizes(c *v1alpha1.ContainerVerticalPolicy, resource vertical.Resource) bool {
	if len(c.Resources) == 0 {
		return resource != vertical.EphemeralStorage
	}
	return slices.Contains(c.Resources, v1alpha1.SizedResource(resource))
}

func amount(list corev1.ResourceList, resource vertical.Resource) float64 {
	q := list[corev1.ResourceName(resource)]
	return max(0, q.AsApproximateFloat64())
}
