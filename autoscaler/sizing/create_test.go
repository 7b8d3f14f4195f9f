package sizing

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// created is what a pod of the scene's template becomes with the sizes that the scene decides.
func (s *scene) created(t *testing.T, alter ...func(*corev1.PodSpec)) *corev1.PodSpec {
	t.Helper()
	policy := s.in.Policy.DeepCopy()
	policy.Status.Vertical = &v1alpha1.VerticalStatus{Containers: ToStatus(s.decide().Sizes)}
	pod := &corev1.Pod{Spec: *s.in.Template.Spec.DeepCopy()}
	for _, a := range alter {
		a(&pod.Spec)
	}
	before := pod.DeepCopy()
	c := ForPod(policy, "", pod, s.in.Bounds.Ranges)
	require.Equal(t, before, pod, "the pod itself is not changed")
	c.Apply(&pod.Spec)
	return &pod.Spec
}

func TestCreatedPodsGetTheirSizes(t *testing.T) {
	star := func(rule v1alpha1.ContainerVerticalPolicy) func(*scene) {
		return func(s *scene) { rule.Name = "*"; s.rule(rule) }
	}
	tests := map[string]struct {
		scene func(*scene)
		pod   func(*corev1.PodSpec)
		want  string
	}{
		"keeping the ratio":            {nil, nil, "200m 300Mi 400m 600Mi"},
		"fixed limits":                 {star(v1alpha1.ContainerVerticalPolicy{Limits: v1alpha1.LimitFixed}), nil, "200m 300Mi 1 2Gi"},
		"no limits":                    {star(v1alpha1.ContainerVerticalPolicy{Limits: v1alpha1.LimitNone}), nil, "200m 300Mi 0 0"},
		"a boost":                      {star(v1alpha1.ContainerVerticalPolicy{Startup: &v1alpha1.StartupBoost{Factor: ptr(resource.MustParse("4"))}}), nil, "800m 300Mi 1600m 600Mi"},
		"a boost in cores":             {star(v1alpha1.ContainerVerticalPolicy{Startup: &v1alpha1.StartupBoost{CPU: ptr(resource.MustParse("2"))}}), nil, "2 300Mi 4 600Mi"},
		"a boost within a fixed limit": {star(v1alpha1.ContainerVerticalPolicy{Limits: v1alpha1.LimitFixed, Startup: &v1alpha1.StartupBoost{CPU: ptr(resource.MustParse("2"))}}), nil, "1 300Mi 1 2Gi"},
		"a boost within the node": {func(s *scene) {
			star(v1alpha1.ContainerVerticalPolicy{Startup: &v1alpha1.StartupBoost{CPU: ptr(resource.MustParse("20"))}})(s)
			s.in.Bounds.LargestNode = list("cpu", "4", "memory", "16Gi")
		}, nil, "4 300Mi 8 600Mi"},
		"a boost within a quota": {func(s *scene) {
			star(v1alpha1.ContainerVerticalPolicy{Startup: &v1alpha1.StartupBoost{CPU: ptr(resource.MustParse("2200m"))}})(s)
			s.pods(2)
			s.in.Bounds.Quotas = []*corev1.ResourceQuota{{Status: corev1.ResourceQuotaStatus{Hard: list("requests.cpu", "3"), Used: list("requests.cpu", "1")}}}
		}, nil, "1200m 300Mi 2400m 600Mi"},
		"a boost within what a pod may have": {func(s *scene) {
			star(v1alpha1.ContainerVerticalPolicy{Startup: &v1alpha1.StartupBoost{CPU: ptr(resource.MustParse("20"))}})(s)
			s.in.Bounds.Ranges = []*corev1.LimitRange{{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypePod, Max: list("cpu", "3")}}}}}
		}, nil, "1500m 300Mi 3 600Mi"},
		"a manifest that lost its limits": {nil, func(p *corev1.PodSpec) { p.Containers[0].Resources.Limits = nil }, "200m 300Mi 0 0"},
		"a manifest without anything":     {nil, func(p *corev1.PodSpec) { p.Containers[0].Resources = corev1.ResourceRequirements{} }, "200m 300Mi 0 0"},
		"a limit range that came later":   {nil, nil, "200m 512Mi 400m 600Mi"},
		"a container that is not sized":   {star(v1alpha1.ContainerVerticalPolicy{Mode: v1alpha1.ContainerOff}), nil, "500m 1Gi 1 2Gi"},
		"a policy that recommends":        {func(s *scene) { s.in.Policy.Spec.Mode = v1alpha1.Recommend }, nil, "500m 1Gi 1 2Gi"},
		"a policy that is off":            {func(s *scene) { s.in.Policy.Spec.Vertical.Apply = v1alpha1.ApplyOff }, nil, "500m 1Gi 1 2Gi"},
		"a policy on create":              {func(s *scene) { s.in.Policy.Spec.Vertical.Apply = v1alpha1.ApplyOnCreate }, nil, "200m 300Mi 400m 600Mi"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene().fresh("web", corev1.ResourceMemory, 300*mi).fresh("web", corev1.ResourceCPU, 0.2)
			if tc.scene != nil {
				tc.scene(s)
			}
			if name == "a limit range that came later" {
				policy := s.in.Policy.DeepCopy()
				policy.Status.Vertical = &v1alpha1.VerticalStatus{Containers: ToStatus(s.decide().Sizes)}
				pod := &corev1.Pod{Spec: *s.in.Template.Spec.DeepCopy()}
				c := ForPod(policy, "", pod, []*corev1.LimitRange{{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Min: list("memory", "512Mi")}}}}})
				c.Apply(&pod.Spec)
				assert.Equal(t, tc.want, written(pod.Spec.Containers[0].Resources))
				return
			}
			alter := []func(*corev1.PodSpec){}
			if tc.pod != nil {
				alter = append(alter, tc.pod)
			}
			assert.Equal(t, tc.want, written(s.created(t, alter...).Containers[0].Resources))
		})
	}
}

func TestCreatedPodsGetAHeapThatFits(t *testing.T) {
	s := newScene(javaShop()).fresh("web", corev1.ResourceMemory, 3.5*gi)
	s.in.Heaps["web"] = Heap{Runtime: v1alpha1.RuntimeJVM, FromContainer: true, Fraction: 0.25, Used: 600 * mi, Outside: 200 * mi, Variable: "JAVA_TOOL_OPTIONS"}
	ours := "-XX:MaxRAMPercentage=74.3"
	tests := map[string]struct {
		env  []corev1.EnvVar
		want []corev1.EnvVar
	}{
		"none before":              {nil, []corev1.EnvVar{{Name: "JAVA_TOOL_OPTIONS", Value: ours}}},
		"options of the manifest":  {[]corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "JAVA_TOOL_OPTIONS", Value: "-XX:MaxRAMPercentage=25 -Dnew=1"}}, []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "JAVA_TOOL_OPTIONS", Value: "-Dnew=1 " + ours}}},
		"a fixed bound since then": {[]corev1.EnvVar{{Name: "JAVA_TOOL_OPTIONS", Value: "-Xmx1g"}}, []corev1.EnvVar{{Name: "JAVA_TOOL_OPTIONS", Value: "-Xmx1g"}}},
		"taken from elsewhere":     {[]corev1.EnvVar{{Name: "JAVA_TOOL_OPTIONS", ValueFrom: &corev1.EnvVarSource{}}}, []corev1.EnvVar{{Name: "JAVA_TOOL_OPTIONS", ValueFrom: &corev1.EnvVarSource{}}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, s.created(t, func(p *corev1.PodSpec) { p.Containers[0].Env = tc.env }).Containers[0].Env)
		})
	}
}

func TestCreatedPodsOfUnknownRoleGetTheLargestSize(t *testing.T) {
	s := newScene().fresh("web", corev1.ResourceMemory, 300*mi)
	policy := s.in.Policy
	policy.Status.Vertical = &v1alpha1.VerticalStatus{Containers: []v1alpha1.ContainerSizeStatus{
		{Name: "web", Role: "follower", Target: list("cpu", "2", "memory", "300Mi"), Limits: list("cpu", "2", "memory", "600Mi")},
		{Name: "web", Role: "leader", Target: list("cpu", "1", "memory", "3Gi"), Limits: list("cpu", "2", "memory", "6Gi")}}}
	for role, want := range map[string]string{"": "2 3Gi 2 6Gi", "leader": "1 3Gi 2 6Gi", "follower": "2 300Mi 2 600Mi", "new": "2 3Gi 2 6Gi"} {
		pod := &corev1.Pod{Spec: *s.in.Template.Spec.DeepCopy()}
		c := ForPod(policy, role, pod, nil)
		c.Apply(&pod.Spec)
		assert.Equal(t, want, written(pod.Spec.Containers[0].Resources), "role %q", role)
	}
}

func TestInitContainersAndSidecarsAreSizedWhenCreated(t *testing.T) {
	s := newScene()
	s.in.Template.Spec.InitContainers = []corev1.Container{sidecar("mesh", needs(list("memory", "1Gi"), nil)), named("setup", needs(list("memory", "1Gi"), nil))}
	s.fresh("mesh", corev1.ResourceMemory, 64*mi).fresh("setup", corev1.ResourceMemory, 2*gi)
	spec := s.created(t)
	assert.Equal(t, "0 64Mi 0 0", written(spec.InitContainers[0].Resources))
	assert.Equal(t, "0 2Gi 0 0", written(spec.InitContainers[1].Resources))
	d := s.pods(1).decide()
	require.Len(t, d.Steps, 1)
	assert.Contains(t, d.Steps[0].Containers, "mesh", "a sidecar runs, so it can be resized")
	assert.NotContains(t, d.Steps[0].Containers, "setup")
}

func TestAPodKeepsTheCPUThatItStartsWith(t *testing.T) {
	boosted := func(started, ready time.Duration, isReady bool) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources = needs(list("cpu", "2", "memory", "1Gi"), list("cpu", "4", "memory", "2Gi"))
			p.Status.ContainerStatuses[0].State.Running.StartedAt = metav1.NewTime(now.Add(-started))
			p.Status.ContainerStatuses[0].Ready = isReady
			p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(now.Add(-ready))
		}
	}
	tests := map[string]struct {
		pod      func(*corev1.Pod)
		duration time.Duration
		measured time.Duration
		resized  bool
	}{
		"not ready":                    {boosted(time.Minute, time.Hour, false), 30 * time.Second, 0, false},
		"just ready":                   {boosted(2*time.Minute, 20*time.Second, true), 30 * time.Second, 0, false},
		"ready for long enough":        {boosted(2*time.Minute, 40*time.Second, true), 30 * time.Second, 0, true},
		"shorter than it takes":        {boosted(80*time.Second, 40*time.Second, true), -1, 90 * time.Second, false},
		"as long as it takes":          {boosted(100*time.Second, 40*time.Second, true), -1, 90 * time.Second, true},
		"never measured":               {boosted(100*time.Second, 40*time.Second, true), -1, 0, false},
		"never measured, a minute ago": {boosted(200*time.Second, 70*time.Second, true), -1, 0, true},
		"never ready":                  {boosted(2*time.Hour, 0, false), 30 * time.Second, 0, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			boost := &v1alpha1.StartupBoost{Factor: ptr(resource.MustParse("4"))}
			if tc.duration >= 0 {
				boost.Duration = &metav1.Duration{Duration: tc.duration}
			}
			s := newScene().rule(v1alpha1.ContainerVerticalPolicy{Name: "web", Startup: boost}).pods(1, tc.pod).fresh("web", corev1.ResourceCPU, 0.5)
			s.in.Startups["web"] = Startup{Length: tc.measured}
			d := s.decide()
			assert.Equal(t, "2", d.Sizes[0].Startup.Cpu().String())
			if !tc.resized {
				assert.Empty(t, d.Steps)
				assert.Equal(t, "StartingUp", d.Record.Code)
				return
			}
			require.Len(t, d.Steps, 1)
			assert.Equal(t, "500m 1Gi 1 2Gi", written(d.Steps[0].Containers["web"]))
		})
	}
}

func TestStatusAndBack(t *testing.T) {
	s := newScene().rule(v1alpha1.ContainerVerticalPolicy{Name: "*", Limits: v1alpha1.LimitNone}).fresh("web", corev1.ResourceMemory, 300*mi, func(r *Reading) { r.Confidence = 0.87 })
	sizes := s.decide().Sizes
	s.in.Policy.Status.Vertical = &v1alpha1.VerticalStatus{Containers: ToStatus(sizes)}
	assert.EqualValues(t, 87, s.in.Policy.Status.Vertical.Containers[0].Confidence)
	assert.Equal(t, sizes, FromStatus(s.in.Policy))
	s.in.Policy.Status.Vertical = nil
	assert.Empty(t, FromStatus(s.in.Policy))
}
