package gke

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// object is JSON.
type object = map[string]any

// cloud stands in for GKE and Compute Engine: one cluster with a pool in one zone. Requests and answers that Google's description of
// its APIs does not know fail the test.
type cloud struct {
	t                  *testing.T
	container, compute *surface

	mu         sync.Mutex
	pools      []any
	instances  map[string]object
	soldOut    bool
	loseAnswer bool
	loseCall   bool
	resets     int
}

const managerPath = "projects/shop/zones/europe-west1-b/instanceGroupManagers/gke-main-web-1a2b3c4d-grp"

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := c.compute
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		s = c.container
	}
	m, err := s.find(r)
	if !assert.NoError(c.t, err) {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	var body any
	if text, _ := io.ReadAll(r.Body); len(text) > 0 {
		assert.NoError(c.t, json.Unmarshal(text, &body))
		assert.NoError(c.t, s.check(m.ID+" request", m.Request, body))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	code, answer := c.answer(m.ID, r, body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	text, _ := json.Marshal(answer)
	if code == http.StatusOK {
		var plain any
		assert.NoError(c.t, json.Unmarshal(text, &plain))
		assert.NoError(c.t, s.check(m.ID+" response", m.Response, plain))
	}
	_, _ = w.Write(text)
}

func refuse(code int, reason, message string) (int, any) {
	return code, object{"error": object{"code": code, "message": message, "errors": []any{object{"reason": reason, "message": message}}}}
}

func (c *cloud) answer(method string, r *http.Request, body any) (int, any) {
	done := object{"kind": "compute#operation", "name": "operation-1", "status": "RUNNING"}
	switch method {
	case "container.projects.locations.clusters.nodePools.list":
		return http.StatusOK, object{"nodePools": c.pools}
	case "compute.machineTypes.get":
		return http.StatusOK, object{"name": "e2-standard-4", "guestCpus": 4, "memoryMb": 16384, "architecture": "X86_64"}
	case "compute.instanceGroupManagers.get":
		return http.StatusOK, object{"name": path.Base(r.URL.Path), "baseInstanceName": "gke-main-web-1a2b3c4d", "targetSize": c.size()}
	case "compute.instanceGroupManagers.listManagedInstances":
		var list []any
		for _, i := range c.instances {
			list = append(list, i)
		}
		return http.StatusOK, object{"managedInstances": list}
	case "compute.instanceGroupManagers.createInstances":
		if c.loseCall {
			c.loseCall = false
			return refuse(http.StatusServiceUnavailable, "backendError", "try again")
		}
		if c.soldOut {
			return refuse(http.StatusForbidden, "quotaExceeded", "Quota 'CPUS' exceeded")
		}
		name := body.(object)["instances"].([]any)[0].(object)["name"].(string)
		if c.instances[name] != nil {
			return refuse(http.StatusBadRequest, "invalid", "instance "+name+" exists")
		}
		c.make(name)
		if c.loseAnswer {
			c.loseAnswer = false
			return refuse(http.StatusServiceUnavailable, "backendError", "try again")
		}
		return http.StatusOK, done
	case "compute.instanceGroupManagers.deleteInstances":
		for _, i := range body.(object)["instances"].([]any) {
			if i := c.instances[path.Base(i.(string))]; i != nil {
				i["currentAction"] = "DELETING"
			}
		}
		return http.StatusOK, done
	case "compute.instances.reset":
		c.resets++
		return http.StatusOK, done
	}
	return refuse(http.StatusNotImplemented, "notImplemented", method)
}

func (c *cloud) make(name string) {
	c.instances[name] = object{
		"instance": "https://www.googleapis.com/compute/v1/projects/shop/zones/europe-west1-b/instances/" + name, "currentAction": "CREATING",
	}
}

func (c *cloud) size() (n int) {
	for _, i := range c.instances {
		if i["currentAction"] != "DELETING" {
			n++
		}
	}
	return n
}

func (c *cloud) settle(*testing.T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, i := range c.instances {
		if i["currentAction"] == "DELETING" {
			delete(c.instances, name)
			continue
		}
		i["currentAction"], i["instanceStatus"] = "NONE", "RUNNING"
	}
}

func newCloud(t *testing.T) (*cloud, Dependencies) {
	c := &cloud{
		t: t, container: readSurface(t, "container/v1/container-api.json"), compute: readSurface(t, "compute/v1/compute-api.json"),
		instances: map[string]object{},
		pools: []any{
			object{
				"name": "web", "status": "RUNNING", "version": "1.36.1-gke.100", "maxPodsConstraint": object{"maxPodsPerNode": "64"},
				"instanceGroupUrls": []any{"https://www.googleapis.com/compute/v1/" + managerPath},
				"config": object{
					"machineType": "e2-standard-4", "spot": true, "labels": object{"team": "shop"},
					"taints": []any{object{"key": "only", "value": "shop", "effect": "NO_SCHEDULE"}},
				},
			},
			object{"name": "scaled-by-gke", "status": "RUNNING", "autoscaling": object{"enabled": true},
				"instanceGroupUrls": []any{"https://www.googleapis.com/compute/v1/" + strings.ReplaceAll(managerPath, "web", "auto")}},
		},
	}
	server := httptest.NewServer(c)
	client := server.Client()
	t.Cleanup(func() { client.CloseIdleConnections(); server.Close() })
	return c, Dependencies{HTTP: client, ContainerURL: server.URL + "/", ComputeURL: server.URL + "/compute/v1/", Logger: slog.New(slog.DiscardHandler)}
}

var config = Config{Project: "shop", Location: "europe-west1", Cluster: "main"}

func open(t *testing.T, cfg Config, deps Dependencies) *Provider {
	p, err := New(t.Context(), "gke", cfg, deps)
	require.NoError(t, err)
	return p
}

var policy = &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "web"}}

func TestConformance(t *testing.T) {
	providertest.Suite(t, func(t *testing.T) providertest.Fixture {
		c, deps := newCloud(t)
		set := func(flag *bool) func(*testing.T) {
			return func(*testing.T) { c.mu.Lock(); *flag = true; c.mu.Unlock() }
		}
		return providertest.Fixture{
			Provider: open(t, config, deps), Policy: policy, Settle: c.settle,
			Again:      func(t *testing.T) provider.Provider { return open(t, config, deps) },
			Count:      func(*testing.T) int { c.mu.Lock(); defer c.mu.Unlock(); return c.size() },
			LoseAnswer: set(&c.loseAnswer), LoseRequest: set(&c.loseCall),
			SellOut: func(t *testing.T, _ cluster.Offer) { set(&c.soldOut)(t) },
			Vanish: func(_ *testing.T, claim *v1alpha1.NodeClaim) {
				c.mu.Lock()
				defer c.mu.Unlock()
				delete(c.instances, path.Base(claim.Status.ProviderID))
			},
			Resize: func(*testing.T, cluster.Offer) { c.mu.Lock(); c.make("gke-main-web-1a2b3c4d-x7k2"); c.mu.Unlock() },
		}
	})
}

func TestOffers(t *testing.T) {
	c, deps := newCloud(t)
	cfg := config
	cfg.MaxNodes = map[string]int{"web": 2}
	p := open(t, cfg, deps)
	offers, err := p.Offers(t.Context(), policy)
	require.NoError(t, err)
	require.Len(t, offers, 1, "a pool that GKE scales by itself is left alone")
	o := offers[0]
	assert.Equal(t, cluster.OfferID{Name: "e2-standard-4", Group: "web/europe-west1-b", Zone: "europe-west1-b", CapacityType: "spot", Policy: "web"}, o.ID())
	assert.Equal(t, 2, o.Stock)
	// What the documentation of GKE gives for a machine of 4 cores and 16 GiB: 3.92 cores and 13.3 GiB.
	assert.Equal(t, "3920m", o.Allocatable.Cpu().String())
	assert.InDelta(t, 13.3, float64(o.Allocatable.Memory().Value())/(1<<30), 0.05)
	assert.Equal(t, "64", o.Allocatable.Pods().String())
	assert.Equal(t, []corev1.Taint{{Key: "only", Value: "shop", Effect: corev1.TaintEffectNoSchedule}}, o.Taints)
	assert.Equal(t, "shop", o.Labels["team"])
	assert.Equal(t, "europe-west1", o.Labels[corev1.LabelTopologyRegion])

	c.make("a")
	c.make("b")
	offers, err = p.Offers(t.Context(), policy)
	require.NoError(t, err)
	assert.False(t, offers[0].Available)
	var sold *provider.OutOfCapacity
	_, err = p.Create(t.Context(), providertest.Claim("web-1", "gke", policy, o))
	assert.ErrorAs(t, err, &sold)

	cfg.Prices = map[string]float64{"e2-standard-4": 0.2}
	offers, err = open(t, cfg, deps).Offers(t.Context(), policy)
	require.NoError(t, err)
	assert.InDelta(t, 0.2*0.35, offers[0].PricePerHour, 1e-9)
	cfg.Prices["e2-standard-4/spot"] = 0.06
	offers, err = open(t, cfg, deps).Offers(t.Context(), policy)
	require.NoError(t, err)
	assert.InDelta(t, 0.06, offers[0].PricePerHour, 1e-9)
}

func TestBrokenAndReset(t *testing.T) {
	c, deps := newCloud(t)
	p := open(t, config, deps)
	offers, err := p.Offers(t.Context(), policy)
	require.NoError(t, err)
	claim := providertest.Claim("web-1", "gke", policy, offers[0])
	m, err := p.Create(t.Context(), claim)
	require.NoError(t, err)
	assert.Equal(t, "gce://shop/europe-west1-b/gke-main-web-1a2b3c4d-web-1", m.ID)
	c.instances["gke-main-web-1a2b3c4d-web-1"]["lastAttempt"] = object{"errors": object{"errors": []any{object{"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": "none left"}}}}
	m, err = p.Get(t.Context(), claim)
	require.NoError(t, err)
	assert.Equal(t, provider.Broken, m.State)
	assert.Equal(t, "ZONE_RESOURCE_POOL_EXHAUSTED: none left", m.Message)
	require.NoError(t, p.Repair(t.Context(), claim, v1alpha1.RepairReboot))
	assert.Equal(t, 1, c.resets)

	long := providertest.Claim(strings.Repeat("a", 50)+"-1", "gke", policy, offers[0])
	var invalid *provider.Invalid
	_, err = p.Create(t.Context(), long)
	assert.ErrorAs(t, err, &invalid)

	orphan := &v1alpha1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "web-1"}}
	require.NoError(t, p.Delete(t.Context(), orphan), "an orphan is known by its name alone")
	c.settle(t)
	assert.ErrorIs(t, p.Delete(t.Context(), orphan), provider.ErrNotFound)
}

func TestReserved(t *testing.T) {
	for cores, want := range map[int64]int64{1: 60, 2: 70, 4: 80, 8: 90, 64: 230} {
		assert.Equal(t, want, reservedCPU(cores), "%d cores", cores)
	}
	assert.Equal(t, int64(355<<20), reservedMemory(512))
	assert.InDelta(t, 1.0+0.1/1.024, float64(reservedMemory(4096))/(1<<30), 0.01)
}

func TestParseManager(t *testing.T) {
	m, err := parseManager("https://www.googleapis.com/compute/v1/" + managerPath)
	require.NoError(t, err)
	assert.Equal(t, managerPath, m.path())
	for _, url := range []string{"", "projects/a/zones/b/instanceGroupManagers/c", "x/projects/a/regions/b/instanceGroupManagers/c", "x/projects/a/zones/b/instances/c"} {
		_, err := parseManager(url)
		assert.Error(t, err, url)
	}
}

func TestValidate(t *testing.T) {
	assert.NoError(t, config.Validate())
	for want, change := range map[string]func(*Config){
		"project": func(c *Config) { c.Project = "" }, "location": func(c *Config) { c.Location = "" }, "cluster": func(c *Config) { c.Cluster = "" },
		"maxNodes.a": func(c *Config) { c.MaxNodes = map[string]int{"a": -1} }, "prices.a": func(c *Config) { c.Prices = map[string]float64{"a": -1} },
		"cpuPrice": func(c *Config) { c.CPUPrice = -1 }, "memoryPrice": func(c *Config) { c.MemoryPrice = -1 }, "spotShare": func(c *Config) { c.SpotShare = 2 },
	} {
		cfg := config
		change(&cfg)
		assert.ErrorContains(t, cfg.Validate(), want, fmt.Sprint(want))
	}
}
