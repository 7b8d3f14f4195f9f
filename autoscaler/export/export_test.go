package export

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

func list(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

func policy(edit func(*v1alpha1.WorkloadAutoscaler)) *v1alpha1.WorkloadAutoscaler {
	p := &v1alpha1.WorkloadAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout"},
		Spec: v1alpha1.WorkloadAutoscalerSpec{Mode: v1alpha1.Recommend, TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			Vertical: &v1alpha1.VerticalPolicy{Apply: v1alpha1.ApplyOff, Containers: []v1alpha1.ContainerVerticalPolicy{{Name: "proxy", Limits: v1alpha1.LimitNone}}}},
		Status: v1alpha1.WorkloadAutoscalerStatus{Vertical: &v1alpha1.VerticalStatus{Containers: []v1alpha1.ContainerSizeStatus{
			{Name: "app", Role: "default", Target: list("cpu", "250m", "memory", "300Mi"), Limits: list("memory", "600Mi"), Startup: list("cpu", "2"),
				Environment: map[string]string{"GOMEMLIMIT": "500MiB"}},
			{Name: "app", Role: "leader", Target: list("cpu", "1", "memory", "200Mi"), Limits: list("memory", "400Mi")},
			{Name: "proxy", Role: "default", Target: list("cpu", "20m", "memory", "40Mi")},
			{Name: "gone", Role: "default", Target: list("cpu", "1")},
		}}},
	}
	if edit != nil {
		edit(p)
	}
	return p
}

func deployment() *appsv1.Deployment {
	always := corev1.ContainerRestartPolicyAlways
	return &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: corev1.PodSpec{
				InitContainers: []corev1.Container{{Name: "proxy", Image: "proxy:1", RestartPolicy: &always,
					Resources: corev1.ResourceRequirements{Requests: list("cpu", "1"), Limits: list("cpu", "2", "memory", "1Gi")}}},
				Containers: []corev1.Container{
					{Name: "log", Image: "log:1", Resources: corev1.ResourceRequirements{Requests: list("cpu", "10m")}},
					{Name: "app", Image: "app:1", Env: []corev1.EnvVar{{Name: "A", Value: "1"}},
						Resources: corev1.ResourceRequirements{Requests: list("cpu", "2", "memory", "1Gi", "ephemeral-storage", "1Gi"), Limits: list("memory", "2Gi")}},
				}}},
		},
	}
}

const head = "# Sizes of Deployment web, by WorkloadAutoscaler shop/checkout.\n"

const wantPatch = head + `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  template:
    spec:
      containers:
      - env:
        - name: GOMEMLIMIT
          value: 500MiB
        name: app
        resources:
          limits:
            memory: 600Mi
          requests:
            cpu: "1"
            memory: 300Mi
      initContainers:
      - name: proxy
        resources:
          limits:
            cpu: null
            memory: null
          requests:
            cpu: 20m
            memory: 40Mi
`

func sizes(t *testing.T, p *v1alpha1.WorkloadAutoscaler, template *corev1.PodTemplateSpec) Sizes {
	t.Helper()
	before := p.DeepCopy()
	s, err := For(p, template)
	require.NoError(t, err)
	require.Equal(t, before, p, "the policy is not changed")
	return s
}

func TestPatch(t *testing.T) {
	d := deployment()
	patch, err := sizes(t, policy(nil), &d.Spec.Template).Patch()
	require.NoError(t, err)
	assert.Equal(t, wantPatch, string(patch))

	patched := merged(t, d, patch)
	spec := patched.Spec.Template.Spec
	app, log, proxy := spec.Containers[1], spec.Containers[0], spec.InitContainers[0]
	assert.Equal(t, d.Spec.Template.Spec.Containers[0], log)
	assert.Equal(t, "app:1", app.Image)
	assert.True(t, app.Resources.Requests.Cpu().Equal(resource.MustParse("1")))
	assert.True(t, app.Resources.Limits.Memory().Equal(resource.MustParse("600Mi")))
	assert.True(t, app.Resources.Requests.StorageEphemeral().Equal(resource.MustParse("1Gi")), "what is not sized stays")
	assert.ElementsMatch(t, []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "GOMEMLIMIT", Value: "500MiB"}}, app.Env)
	assert.Empty(t, proxy.Resources.Limits)
	assert.True(t, proxy.Resources.Requests.Memory().Equal(resource.MustParse("40Mi")))

	// Once it is committed, the same comes out.
	again, err := sizes(t, policy(nil), &patched.Spec.Template).Patch()
	require.NoError(t, err)
	assert.Equal(t, string(patch), string(again))
}

// merged applies a patch as the API server does.
func merged(t *testing.T, d *appsv1.Deployment, patch []byte) *appsv1.Deployment {
	t.Helper()
	original, err := json.Marshal(d)
	require.NoError(t, err)
	asJSON, err := yaml.YAMLToJSON(patch)
	require.NoError(t, err)
	result, err := strategicpatch.StrategicMergePatch(original, asJSON, appsv1.Deployment{})
	require.NoError(t, err)
	var patched appsv1.Deployment
	require.NoError(t, json.Unmarshal(result, &patched))
	return &patched
}

func TestPatchOfACronJob(t *testing.T) {
	d := deployment()
	p := policy(func(p *v1alpha1.WorkloadAutoscaler) {
		p.Spec.TargetRef = v1alpha1.TargetReference{APIVersion: "batch/v1", Kind: "CronJob", Name: "web"}
	})
	patch, err := sizes(t, p, &d.Spec.Template).Patch()
	require.NoError(t, err)
	var job batchv1.CronJob
	require.NoError(t, yaml.UnmarshalStrict(patch, &job))
	assert.Equal(t, "app", job.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Name)

	p.Spec.TargetRef = v1alpha1.TargetReference{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "web"}
	_, err = sizes(t, p, &d.Spec.Template).Patch()
	assert.ErrorContains(t, err, "targetRef: Rollout")
}

func TestPodsWithResourcesOfTheirOwn(t *testing.T) {
	d := deployment()
	d.Spec.Template.Spec.Resources = &corev1.ResourceRequirements{Requests: list("cpu", "4", "memory", "4Gi")}
	s := sizes(t, policy(nil), &d.Spec.Template)
	patch, err := s.Patch()
	require.NoError(t, err)
	patched := merged(t, d, patch)
	require.NotNil(t, patched.Spec.Template.Spec.Resources)
	if s.pod != nil {
		assert.True(t, patched.Spec.Template.Spec.Resources.Requests.Cpu().Equal(*s.pod.Requests.Cpu()))
	}
}

func TestHelm(t *testing.T) {
	d := deployment()
	s := sizes(t, policy(nil), &d.Spec.Template)
	const app = `limits:
    memory: 600Mi
  requests:
    cpu: "1"
    memory: 300Mi
`
	for name, tc := range map[string]struct {
		paths map[string]string
		want  string
	}{
		"one container": {map[string]string{"app": "resources", "*": ""}, head + "# Set as well: GOMEMLIMIT=500MiB in container app\nresources:\n  " + app},
		"by name": {map[string]string{"*": "containers.NAME.resources"}, head + `# Set as well: GOMEMLIMIT=500MiB in container app
containers:
  app:
    resources:
      limits:
        memory: 600Mi
      requests:
        cpu: "1"
        memory: 300Mi
  proxy:
    resources:
      limits:
        cpu: null
        memory: null
      requests:
        cpu: 20m
        memory: 40Mi
`},
		"a dot in a name": {map[string]string{"app": `my\.chart.resources`, "*": ""}, head + `# Set as well: GOMEMLIMIT=500MiB in container app
my.chart:
  resources:
    limits:
      memory: 600Mi
    requests:
      cpu: "1"
      memory: 300Mi
`},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				got, err := s.Helm(tc.paths)
				require.NoError(t, err)
				assert.Equal(t, tc.want, string(got))
			}
		})
	}
	for name, tc := range map[string]struct {
		paths map[string]string
		err   string
	}{
		"two at one place":     {nil, "both are at resources; name a path for each"},
		"one within another":   {map[string]string{"app": "a", "proxy": "a.limits.b"}, "container app: path a: a holds something of another container"},
		"nowhere":              {map[string]string{"app": "resources"}, "container proxy: no path says"},
		"an empty name":        {map[string]string{"*": "a..NAME"}, "a name between its dots is empty"},
		"an unknown container": {map[string]string{"other": "x", "*": "NAME"}, "container other: no size is known"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Helm(tc.paths)
			assert.ErrorContains(t, err, tc.err)
		})
	}
}

func TestNothingToExport(t *testing.T) {
	d := deployment()
	for want, edit := range map[string]func(*v1alpha1.WorkloadAutoscaler){
		"spec.vertical: the policy sizes nothing":                        func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.Vertical = nil },
		"status.vertical: no sizes are known yet":                        func(p *v1alpha1.WorkloadAutoscaler) { p.Status.Vertical = nil },
		"status.vertical: none of its containers is one of the target's": func(p *v1alpha1.WorkloadAutoscaler) { p.Status.Vertical.Containers = p.Status.Vertical.Containers[3:] },
	} {
		_, err := For(policy(edit), &d.Spec.Template)
		assert.EqualError(t, err, "shop/checkout: "+want)
	}
}

// TestKustomize builds an overlay with the component by the real kubectl.
func TestKustomize(t *testing.T) {
	d := deployment()
	component, err := sizes(t, policy(nil), &d.Spec.Template).Kustomize()
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	d.Namespace = ""
	manifest, err := yaml.Marshal(d)
	require.NoError(t, err)
	write("base/web.yaml", string(manifest))
	write("base/kustomization.yaml", "resources: [web.yaml]\n")
	write("sizes/kustomization.yaml", string(component))
	write("overlay/kustomization.yaml", "namespace: production\nresources: [../base]\ncomponents: [../sizes]\n")

	var built appsv1.Deployment
	require.NoError(t, yaml.Unmarshal(kustomize(t, filepath.Join(dir, "overlay")), &built))
	assert.Equal(t, "production", built.Namespace)
	spec := built.Spec.Template.Spec
	require.Len(t, spec.Containers, 2)
	for _, c := range spec.Containers {
		if c.Name == "app" {
			assert.Equal(t, "app:1", c.Image)
			assert.True(t, c.Resources.Requests.Cpu().Equal(resource.MustParse("1")))
			assert.True(t, c.Resources.Limits.Memory().Equal(resource.MustParse("600Mi")))
			assert.True(t, c.Resources.Requests.StorageEphemeral().Equal(resource.MustParse("1Gi")))
		}
	}
	assert.Empty(t, spec.InitContainers[0].Resources.Limits)
}

// kustomize runs the kubectl of the development cluster.
func kustomize(t *testing.T, dir string) []byte {
	t.Helper()
	config := os.Getenv("YAGURA_TEST_KUBECONFIG")
	if config == "" {
		const message = "no kubectl to build with: start a cluster with `bin/devcluster up` and set YAGURA_TEST_KUBECONFIG to the path that `bin/devcluster kubeconfig` prints"
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	command := exec.CommandContext(t.Context(), filepath.Join("..", "..", "bin", "devcluster"), "kubectl", "--dir", filepath.Dir(config), "--", "kustomize", dir)
	out, err := command.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("kubectl kustomize: %v\n%s", exit, exit.Stderr)
	}
	require.NoError(t, err)
	return out
}

func FuzzHelmPath(f *testing.F) {
	for _, seed := range []string{"resources", "containers.NAME.resources", `a\.b`, ".", ""} {
		f.Add(seed)
	}
	d := deployment()
	s, err := For(policy(nil), &d.Spec.Template)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, path string) {
		text, err := s.Helm(map[string]string{"*": path})
		if err != nil {
			return
		}
		var values map[string]any
		if err := yaml.Unmarshal(text, &values); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	})
}
