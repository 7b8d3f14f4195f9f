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
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

func TestRules(t *testing.T) {
	memory, cpu := corev1.ResourceMemory, corev1.ResourceCPU
	star := func(alter func(*v1alpha1.ContainerVerticalPolicy)) func(*scene) {
		return func(s *scene) {
			rule := v1alpha1.ContainerVerticalPolicy{Name: "*"}
			alter(&rule)
			s.rule(rule)
		}
	}
	ranges := func(items ...corev1.LimitRangeItem) func(*scene) {
		return func(s *scene) {
			s.in.Bounds.Ranges = []*corev1.LimitRange{{Spec: corev1.LimitRangeSpec{Limits: items}}}
		}
	}
	// Each test sizes the container web, which requests 500m and 1Gi with limits of twice that.
	tests := map[string]struct {
		resource   corev1.ResourceName
		target     float64
		reading    func(*Reading)
		scene      func(*scene)
		want       float64
		limit      float64
		rule, code string
	}{
		"an estimate is taken":               {memory, 600 * mi, nil, nil, 600 * mi, 1200 * mi, "estimate", "Peak"},
		"a little less is nothing to change": {memory, 0.92 * gi, nil, nil, gi, 2 * gi, "tolerance", "WithinTolerance"},
		"a little more after a kill is":      {memory, 1.05 * gi, func(r *Reading) { r.OOM = now.Add(-time.Minute) }, nil, 1076 * mi, 2152 * mi, "estimate", "Peak"},
		"a policy may tolerate less": {memory, 0.92 * gi, nil, func(s *scene) {
			s.in.Policy.Spec.Vertical.Tolerance = ptr(resource.MustParse("50m"))
		}, 943 * mi, 1886 * mi, "estimate", "Peak"},
		"a short history shrinks by a part":             {memory, 100 * mi, func(r *Reading) { r.Confidence = 0.5 }, nil, 256 * mi, 512 * mi, "confidence", "ShortHistory"},
		"no history shrinks nothing":                    {memory, 100 * mi, func(r *Reading) { r.Confidence = 0 }, nil, gi, 2 * gi, "confidence", "ShortHistory"},
		"a short history grows freely by what is used":  {memory, 3 * gi, func(r *Reading) { r.Confidence = 0 }, nil, 3 * gi, 6 * gi, "estimate", "Peak"},
		"but not by what is only expected":              {memory, 9 * gi, func(r *Reading) { r.Confidence, r.Usage = 0, gi }, nil, 1.5 * gi, 3 * gi, "confidence", "ShortHistory"},
		"the recent peak stands":                        {memory, 300 * mi, func(r *Reading) { r.Floor = 700 * mi }, nil, 700 * mi, 1400 * mi, "peak", "RecentPeak"},
		"a peak above the request does not grow it":     {memory, 300 * mi, func(r *Reading) { r.Floor = 5 * gi }, nil, gi, 2 * gi, "peak", "RecentPeak"},
		"replicas instead of CPU":                       {cpu, 2, nil, func(s *scene) { s.in.HoldCPU = "a replica more costs less" }, 0.5, 1, "hold", "Replicas"},
		"replicas instead of CPU is not about memory":   {memory, 2 * gi, nil, func(s *scene) { s.in.HoldCPU = "a replica more costs less" }, 2 * gi, 4 * gi, "estimate", "Peak"},
		"no more than allowed":                          {memory, 8 * gi, nil, star(func(r *v1alpha1.ContainerVerticalPolicy) { r.MaxAllowed = list("memory", "4Gi") }), 4 * gi, 8 * gi, "allowed", "MaxAllowed"},
		"no less than allowed":                          {cpu, 0.01, nil, star(func(r *v1alpha1.ContainerVerticalPolicy) { r.MinAllowed = list("cpu", "50m") }), 0.05, 0.1, "allowed", "MinAllowed"},
		"no floor but a millicore":                      {cpu, 0.0001, nil, nil, 0.001, 0.002, "estimate", "Peak"},
		"no floor but 4Mi":                              {memory, 1, nil, nil, 4 * mi, 8 * mi, "allowed", "MinAllowed"},
		"a fixed limit bounds the request":              {memory, 8 * gi, nil, star(func(r *v1alpha1.ContainerVerticalPolicy) { r.Limits = v1alpha1.LimitFixed }), 2 * gi, 2 * gi, "limits", "FixedLimit"},
		"a fixed limit stays":                           {memory, 300 * mi, nil, star(func(r *v1alpha1.ContainerVerticalPolicy) { r.Limits = v1alpha1.LimitFixed }), 300 * mi, 2 * gi, "estimate", "Peak"},
		"no limit at all":                               {memory, 300 * mi, nil, star(func(r *v1alpha1.ContainerVerticalPolicy) { r.Limits = v1alpha1.LimitNone }), 300 * mi, 0, "estimate", "Peak"},
		"the namespace's minimum":                       {memory, 100 * mi, nil, ranges(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Min: list("memory", "256Mi")}), 256 * mi, 512 * mi, "limitRange", "RangeMinimum"},
		"the namespace's maximum is one for limits too": {memory, 1.4 * gi, nil, ranges(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: list("memory", "2Gi")}), 1434 * mi, 2 * gi, "estimate", "Peak"},
		"the namespace's maximum":                       {memory, 3 * gi, nil, ranges(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: list("memory", "2Gi")}), 2 * gi, 2 * gi, "limitRange", "RangeMaximum"},
		"the namespace's ratio":                         {memory, 100 * mi, nil, ranges(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, MaxLimitRequestRatio: list("memory", "1500m")}), 100 * mi, 150 * mi, "estimate", "Peak"},
		"the namespace's ratio with a fixed limit": {memory, 100 * mi, nil, func(s *scene) {
			star(func(r *v1alpha1.ContainerVerticalPolicy) { r.Limits = v1alpha1.LimitFixed })(s)
			ranges(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, MaxLimitRequestRatio: list("memory", "4")})(s)
		}, 512 * mi, 2 * gi, "limitRange", "RangeRatio"},
		"the namespace's maximum for a pod": {memory, 6 * gi, nil, ranges(corev1.LimitRangeItem{Type: corev1.LimitTypePod, Max: list("memory", "4Gi")}), 4 * gi, 4 * gi, "podRange", "PodRangeMaximum"},
		"the namespace's minimum for a pod": {memory, 100 * mi, nil, ranges(corev1.LimitRangeItem{Type: corev1.LimitTypePod, Min: list("memory", "512Mi")}), 512 * mi, gi, "podRange", "PodRangeMinimum"},
		"the largest node": {memory, 60 * gi, nil, func(s *scene) {
			s.in.Bounds = Bounds{LargestNode: list("cpu", "4", "memory", "16Gi"), NodeName: "n1"}
		}, 16 * gi, 32 * gi, "node", "LargestNode"},
		"a larger node that could be had": {memory, 60 * gi, nil, func(s *scene) {
			s.in.Bounds = Bounds{LargestNode: list("cpu", "4", "memory", "16Gi"), LargestOffer: list("cpu", "8", "memory", "32Gi")}
		}, 32 * gi, 64 * gi, "node", "LargestNode"},
		"overhead needs room too": {memory, 60 * gi, nil, func(s *scene) {
			s.in.Template.Spec.Overhead = list("memory", "1Gi")
			s.in.Bounds.LargestNode = list("cpu", "4", "memory", "16Gi")
		}, 15 * gi, 30 * gi, "node", "LargestNode"},
		"a quota that leaves nothing": {cpu, 2, nil, func(s *scene) {
			s.in.Bounds.Quotas = []*corev1.ResourceQuota{{Status: corev1.ResourceQuotaStatus{Hard: list("requests.cpu", "1"), Used: list("requests.cpu", "1")}}}
		}, 0.5, 1, "quota", "Quota"},
		"a quota that leaves a part": {cpu, 2.5, nil, func(s *scene) {
			s.in.Bounds.Quotas = []*corev1.ResourceQuota{{Status: corev1.ResourceQuotaStatus{Hard: list("cpu", "3"), Used: list("cpu", "1")}}}
		}, 1.5, 3, "quota", "Quota"},
		"a quota for other pods": {cpu, 2.5, nil, func(s *scene) {
			s.in.Bounds.Quotas = []*corev1.ResourceQuota{{Spec: corev1.ResourceQuotaSpec{Scopes: []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeTerminating}},
				Status: corev1.ResourceQuotaStatus{Hard: list("cpu", "1"), Used: list("cpu", "1")}}}
		}, 2.5, 5, "estimate", "Peak"},
		"usage above any machine": {memory, 1e30, nil, func(s *scene) {
			s.in.Bounds.LargestNode = list("cpu", "4", "memory", "16Gi")
		}, 16 * gi, 32 * gi, "node", "LargestNode"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene().pods(2)
			alter := []func(*Reading){}
			if tc.reading != nil {
				alter = append(alter, tc.reading)
			}
			s.fresh("web", tc.resource, tc.target, alter...)
			if tc.scene != nil {
				tc.scene(s)
			}
			got := find(s.decide(), "web", tc.resource)
			require.NotNil(t, got)
			require.NotNil(t, got.Desired)
			assert.InEpsilon(t, tc.want, *got.Desired, 1e-6)
			if tc.limit == 0 {
				assert.Nil(t, got.DesiredLimit)
			} else {
				require.NotNil(t, got.DesiredLimit)
				assert.InEpsilon(t, tc.limit, *got.DesiredLimit, 1e-6)
			}
			assert.Equal(t, tc.code, codes(got)[tc.rule], "%+v", got.Verdicts)
		})
	}
}

func TestContainersThatTheRulesLeaveAlone(t *testing.T) {
	s := newScene(web(), named("proxy", needs(list("cpu", "100m"), nil))).pods(1)
	s.rule(v1alpha1.ContainerVerticalPolicy{Name: "proxy", Mode: v1alpha1.ContainerOff})
	s.rule(v1alpha1.ContainerVerticalPolicy{Name: "*", Resources: []v1alpha1.SizedResource{"memory"}})
	s.fresh("web", corev1.ResourceMemory, 300*mi).fresh("web", corev1.ResourceCPU, 0.1).fresh("proxy", corev1.ResourceCPU, 3)
	d := s.decide()
	assert.Equal(t, "ContainerOff", codes(find(d, "proxy", corev1.ResourceCPU))["container"])
	assert.Nil(t, find(d, "web", corev1.ResourceCPU), "only memory is sized")
	require.Len(t, d.Steps, 1)
	assert.NotContains(t, d.Steps[0].Containers, "proxy")
	assert.Equal(t, "500m 300Mi 1 600Mi", written(d.Steps[0].Containers["web"]))
	require.Len(t, d.Sizes, 1)
}

func TestAContainerOfWhichNothingIsKnownKeepsItsManifest(t *testing.T) {
	s := newScene(web(), named("new", needs(list("memory", "64Mi"), nil))).pods(1).fresh("web", corev1.ResourceMemory, 300*mi)
	d := s.decide()
	require.Len(t, d.Sizes, 1)
	assert.Equal(t, "web", d.Sizes[0].Container)
	assert.NotContains(t, d.Sizes[0].Requests, corev1.ResourceCPU, "the estimate is for memory alone")
	assert.Nil(t, find(d, "new", corev1.ResourceMemory).Desired)
	assert.Equal(t, "SignalMissing", codes(find(d, "new", corev1.ResourceMemory))["freshness"])
}

func TestTheSumOfAPodHasToFit(t *testing.T) {
	log := named("log", needs(list("cpu", "1", "memory", "1Gi"), nil))
	s := newScene(web(), log).pods(1).fresh("web", corev1.ResourceMemory, 12*gi).fresh("log", corev1.ResourceMemory, 4*gi)
	s.in.Template.Spec.InitContainers = []corev1.Container{sidecar("mesh", needs(list("memory", "2Gi"), nil)), named("setup", needs(list("memory", "1Gi"), nil))}
	s.fresh("setup", corev1.ResourceMemory, 30*gi)
	s.in.Bounds.LargestNode = list("cpu", "8", "memory", "10Gi")
	d := s.decide()
	// The sidecar takes 2 of 10 GiB; the others share 8 as 12 to 4. The init container runs beside the sidecar only.
	assert.InDelta(t, 6*gi, *find(d, "web", corev1.ResourceMemory).Desired, mi)
	assert.InDelta(t, 2*gi, *find(d, "log", corev1.ResourceMemory).Desired, mi)
	assert.InDelta(t, 8*gi, *find(d, "setup", corev1.ResourceMemory).Desired, mi)
	assert.Contains(t, find(d, "web", corev1.ResourceMemory).Reason, "the largest node has 10 GiB for a pod and 12 GiB is asked for")
	for _, step := range d.Steps {
		assert.NotContains(t, step.Containers, "setup", "an init container that is done is sized when the next pod is created")
	}
	// Once more, with what was decided in force: nothing moves.
	carryOut(&s.in, d.Steps)
	again := s.decide()
	assert.Empty(t, again.Steps)
	assert.Equal(t, decision.Held, again.Record.Outcome)
	assert.Equal(t, "LargestNode", again.Record.Code)
}

func TestAnswersToKillsComeFirstUnderAQuota(t *testing.T) {
	log := named("log", needs(list("memory", "1Gi"), nil))
	s := newScene(named("web", needs(list("memory", "1Gi"), nil)), log).pods(1)
	s.fresh("web", corev1.ResourceMemory, 2*gi, func(r *Reading) { r.OOM = now.Add(-time.Second) }).fresh("log", corev1.ResourceMemory, 5*gi)
	s.in.Bounds.Quotas = []*corev1.ResourceQuota{{ObjectMeta: metav1.ObjectMeta{Name: "team"},
		Status: corev1.ResourceQuotaStatus{Hard: list("requests.memory", "5Gi"), Used: list("requests.memory", "2Gi")}}}
	d := s.decide()
	assert.InDelta(t, 2*gi, *find(d, "web", corev1.ResourceMemory).Desired, 1)
	assert.InDelta(t, 3*gi, *find(d, "log", corev1.ResourceMemory).Desired, 1)
	assert.Contains(t, find(d, "log", corev1.ResourceMemory).Reason, "quota team leaves 3 GiB of requests to all pods, which want 5 GiB more")
}

func TestHugePagesAndStorageAreSizedForCreatedPodsOnly(t *testing.T) {
	s := newScene(named("db", needs(list("memory", "1Gi", "hugepages-2Mi", "100Mi", "ephemeral-storage", "1Gi"), list("memory", "1Gi", "hugepages-2Mi", "100Mi", "ephemeral-storage", "2Gi")))).pods(1)
	s.rule(v1alpha1.ContainerVerticalPolicy{Name: "db", Resources: []v1alpha1.SizedResource{"hugepages-2Mi", "ephemeral-storage"}})
	s.fresh("db", "hugepages-2Mi", 150.5*mi).fresh("db", corev1.ResourceEphemeralStorage, 3*gi)
	d := s.decide()
	assert.Empty(t, d.Steps)
	size := d.Sizes[0]
	assert.Equal(t, list("hugepages-2Mi", "152Mi", "ephemeral-storage", "3Gi")["hugepages-2Mi"], size.Requests["hugepages-2Mi"])
	assert.Equal(t, size.Requests["hugepages-2Mi"], size.Limits["hugepages-2Mi"])
	limit := size.Limits[corev1.ResourceEphemeralStorage]
	assert.Equal(t, "6Gi", limit.String())
}

func TestReplicasHoldTheCPUThatIsInForce(t *testing.T) {
	boost := v1alpha1.ContainerVerticalPolicy{Name: "web", Startup: &v1alpha1.StartupBoost{Factor: ptr(resource.MustParse("3"))}}
	tests := map[string]struct {
		published string
		inForce   []string
		rule      *v1alpha1.ContainerVerticalPolicy
		want      float64
	}{
		"what was only recommended is not begun with": {"900m", []string{"500m", "500m"}, nil, 0.5},
		"nor is what was to be taken":                 {"300m", []string{"500m", "500m"}, nil, 0.5},
		"what was half carried out is":                {"900m", []string{"500m", "900m"}, nil, 0.9},
		"a pod that differs follows the others":       {"500m", []string{"500m", "1"}, nil, 0.5},
		"what a container starts with is not held":    {"500m", []string{"1500m", "1500m"}, &boost, 0.5},
		"without pods what is published stands":       {"900m", nil, nil, 0.9},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene().pods(len(tc.inForce)).fresh("web", corev1.ResourceCPU, 0.9)
			for i, cpu := range tc.inForce {
				s.in.Pods[i].Object.Spec.Containers[0].Resources = needs(list("cpu", cpu, "memory", "1Gi"), list("cpu", "2", "memory", "2Gi"))
			}
			if tc.rule != nil {
				s.rule(*tc.rule)
			}
			s.in.Policy.Status.Vertical = &v1alpha1.VerticalStatus{Containers: []v1alpha1.ContainerSizeStatus{{Name: "web", Role: DefaultRole, Target: list("cpu", tc.published)}}}
			s.in.HoldCPU = "a replica more costs less"
			assert.InDelta(t, tc.want, *find(s.decide(), "web", corev1.ResourceCPU).Desired, 1e-9)
		})
	}
}

func TestAnEstimateThatNoMachineHasIsSaid(t *testing.T) {
	s := newScene().pods(1).fresh("web", corev1.ResourceMemory, 1e30)
	s.in.Bounds.LargestNode = list("cpu", "4", "memory", "16Gi")
	size := find(s.decide(), "web", corev1.ResourceMemory)
	assert.Equal(t, "Implausible", codes(size)["estimate"])
	assert.Contains(t, size.Verdicts[1].Reason, "is more than any machine has, so no more than")
	assert.Contains(t, size.Verdicts[1].Reason, "the peak was that")
}

func TestHeldCPUDoesNotRunDownOnASmallNode(t *testing.T) {
	s := newScene(web(), named("log", needs(list("cpu", "1"), nil))).pods(1)
	// The other container keeps asking for what was decided before.
	s.fresh("web", corev1.ResourceCPU, 0.9).fresh("log", corev1.ResourceCPU, 1, func(r *Reading) { r.State = decision.Stale })
	s.in.Bounds.LargestNode = list("cpu", "1", "memory", "16Gi")
	s.in.HoldCPU = "a replica more costs less"
	first := s.decide()
	carryOut(&s.in, first.Steps)
	for range 3 {
		d := s.decide()
		assert.Empty(t, d.Steps)
		assert.InDelta(t, *find(first, "web", corev1.ResourceCPU).Desired, *find(d, "web", corev1.ResourceCPU).Desired, 1e-9)
	}
}
