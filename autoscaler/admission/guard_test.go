package admission

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

func TestRefusal(t *testing.T) {
	needs := func(requests, limits corev1.ResourceList) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Requests: requests, Limits: limits}
	}
	within := func(items ...corev1.LimitRangeItem) sizing.Bounds {
		r := &corev1.LimitRange{Spec: corev1.LimitRangeSpec{Limits: items}}
		r.Name = "range"
		return sizing.Bounds{Ranges: []*corev1.LimitRange{r}}
	}
	under := func(hard, used corev1.ResourceList) sizing.Bounds {
		q := &corev1.ResourceQuota{Status: corev1.ResourceQuotaStatus{Hard: hard, Used: used}}
		q.Name = "quota"
		return sizing.Bounds{Quotas: []*corev1.ResourceQuota{q}}
	}
	for name, tc := range map[string]struct {
		before, after corev1.ResourceRequirements
		pod           *corev1.ResourceRequirements
		bounds        sizing.Bounds
		want          string
	}{
		"nothing in the way":         {after: needs(list("cpu", "2"), list("cpu", "2"))},
		"request above limit":        {after: needs(list("cpu", "3"), list("cpu", "2")), want: "container main would request 3 cpu with a limit of 2"},
		"huge pages above and below": {after: needs(list("hugepages-2Mi", "2Mi"), list("hugepages-2Mi", "4Mi")), want: "container main would request 2Mi hugepages-2Mi, which must be its limit, 4Mi"},
		"more than the pod requests": {after: needs(list("cpu", "3"), nil), pod: &corev1.ResourceRequirements{Requests: list("cpu", "2")},
			want: "the containers would request 3 cpu and the pod 2"},
		"more than the pod's limit": {after: needs(nil, list("memory", "3Gi")), pod: &corev1.ResourceRequirements{Limits: list("memory", "2Gi")},
			want: "container main would have a limit of 3Gi memory and the pod 2Gi"},
		"below the range": {after: needs(list("cpu", "100m"), nil), bounds: within(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Min: list("cpu", "200m")}),
			want: "LimitRange range: container main would have a request of 100m cpu below 200m"},
		"above the range": {after: needs(list("cpu", "3"), list("cpu", "3")), bounds: within(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: list("cpu", "2")}),
			want: "LimitRange range: container main would have 3 cpu with a limit of 3, above 2"},
		"no limit where one must be": {after: needs(list("cpu", "1"), nil), bounds: within(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: list("cpu", "2")}),
			want: "LimitRange range: container main would have no limit of cpu, which may be 2 at most"},
		"beyond the ratio": {after: needs(list("cpu", "1"), list("cpu", "3")), bounds: within(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, MaxLimitRequestRatio: list("cpu", "2")}),
			want: "LimitRange range: container main would have a request of 1 cpu with a limit of 3, above the ratio 2"},
		"a limit that was taken away comes back": {before: needs(nil, list("cpu", "1")), after: needs(list("cpu", "2"), nil),
			bounds: within(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Default: list("cpu", "1")}),
			want:   "LimitRange range: container main would have a request of 2 cpu above the default limit, 1"},
		"above the pod's range": {after: needs(list("cpu", "3"), list("cpu", "3")), bounds: within(corev1.LimitRangeItem{Type: corev1.LimitTypePod, Max: list("cpu", "2")}),
			want: "LimitRange range: the pod would have 3 cpu with a limit of 3, above 2"},
		"quota used up":                        {before: needs(list("cpu", "1"), nil), after: needs(list("cpu", "2"), nil), bounds: under(list("cpu", "10"), list("cpu", "9")), want: "ResourceQuota quota: cpu of 2, of which 1 is left"},
		"quota overdrawn":                      {after: needs(nil, list("memory", "1Gi")), bounds: under(list("limits.memory", "1Gi"), list("limits.memory", "2Gi")), want: "ResourceQuota quota: limits.memory of 1Gi, of which nothing is left"},
		"less than before is never too much":   {before: needs(list("cpu", "3"), nil), after: needs(list("cpu", "2"), nil), bounds: under(list("requests.cpu", "10"), list("requests.cpu", "9"))},
		"a quota on limits wants limits":       {before: needs(nil, list("cpu", "2")), after: needs(nil, nil), bounds: under(list("limits.cpu", "10"), nil), want: "ResourceQuota quota: limits.cpu must be set"},
		"a quota on something else":            {after: needs(list("cpu", "3"), nil), bounds: under(list("pods", "1", "count/secrets", "1"), list("pods", "1"))},
		"storage and huge pages count as well": {after: needs(list("ephemeral-storage", "3Gi"), nil), bounds: under(list("requests.ephemeral-storage", "2Gi"), nil), want: "ResourceQuota quota: requests.ephemeral-storage of 3Gi, of which 2Gi is left"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{Resources: tc.pod, Containers: []corev1.Container{{Name: "main", Resources: tc.before}}}}
			sized := pod.DeepCopy()
			sized.Spec.Containers[0].Resources = tc.after
			assert.Equal(t, tc.want, refusal(pod, sized, tc.bounds))
		})
	}
}

func TestConfigNamesTheField(t *testing.T) {
	for field, edit := range map[string]func(*Config){
		"listen":               func(c *Config) { c.Listen = "9443" },
		"service.name":         func(c *Config) { c.Service.Name = "A B" },
		"service.port":         func(c *Config) { c.Service = ServiceConfig{Name: "a"} },
		"url":                  func(c *Config) { c.URL = "http://a" },
		"configuration":        func(c *Config) { c.Configuration = "" },
		"secret":               func(c *Config) { c.Secret = "_" },
		"excludeNamespaces[0]": func(c *Config) { c.ExcludeNamespaces = []string{""} },
		"selector":             func(c *Config) { c.Selector = "a>1" },
		"timeout":              func(c *Config) { c.Timeout = 0 },
		"interval":             func(c *Config) { c.Interval = 0 },
	} {
		t.Run(field, func(t *testing.T) {
			c := DefaultConfig()
			edit(&c)
			if c.Listen == "" {
				assert.NoError(t, c.Validate(), "what is switched off is not looked at")
				c.Listen = ":9443"
			}
			assert.ErrorContains(t, c.Validate(), field+":")
		})
	}
	c := DefaultConfig()
	c.Listen, c.Selector = ":9443", "tier=web,!legacy"
	assert.NoError(t, c.Validate())
}
