package device_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/yagura-dev/yagura/autoscaler/cluster/device"
)

const driver = "gpu.example.com"

func class(name string, expressions ...string) *resourcev1.DeviceClass {
	c := &resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, e := range append(expressions, `device.driver == "`+driver+`"`) {
		c.Spec.Selectors = append(c.Spec.Selectors, resourcev1.DeviceSelector{CEL: &resourcev1.CELDeviceSelector{Expression: e}})
	}
	return c
}

func request(class string, count int64, expressions ...string) resourcev1.DeviceRequest {
	r := resourcev1.DeviceRequest{Name: "r", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: class, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: count}}
	for _, e := range expressions {
		r.Exactly.Selectors = append(r.Exactly.Selectors, resourcev1.DeviceSelector{CEL: &resourcev1.CELDeviceSelector{Expression: e}})
	}
	return r
}

func spec(requests ...resourcev1.DeviceRequest) resourcev1.ResourceClaimSpec {
	return resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: requests}}
}

func claim(name string, requests ...resourcev1.DeviceRequest) *resourcev1.ResourceClaim {
	return &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name, UID: types.UID("uid-of-" + name)}, Spec: spec(requests...)}
}

func template(name string, requests ...resourcev1.DeviceRequest) *resourcev1.ResourceClaimTemplate {
	return &resourcev1.ResourceClaimTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name}, Spec: resourcev1.ResourceClaimTemplateSpec{Spec: spec(requests...)}}
}

// gpus is a slice of a pool with devices of so much memory each.
func gpus(pool, node string, gib ...int64) resourcev1.ResourceSlice {
	s := resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: "slice-of-" + pool}, Spec: resourcev1.ResourceSliceSpec{
		Driver: driver, Pool: resourcev1.ResourcePool{Name: pool, Generation: 1, ResourceSliceCount: 1},
	}}
	if node != "" {
		s.Spec.NodeName = &node
	}
	for i, g := range gib {
		s.Spec.Devices = append(s.Spec.Devices, resourcev1.Device{
			Name:       fmt.Sprint("gpu-", i),
			Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{"index": {IntValue: ptr.To(int64(i))}},
			Capacity:   map[resourcev1.QualifiedName]resourcev1.DeviceCapacity{"memory": {Value: *resource.NewQuantity(g<<30, resource.BinarySI)}},
		})
	}
	return s
}

func pod(name string, refs ...corev1.PodResourceClaim) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name, UID: types.UID("uid-of-" + name)}, Spec: corev1.PodSpec{ResourceClaims: refs}}
}

func named(claim string) corev1.PodResourceClaim {
	return corev1.PodResourceClaim{Name: "named-" + claim, ResourceClaimName: &claim}
}

func fromTemplate(template string) corev1.PodResourceClaim {
	return corev1.PodResourceClaim{Name: "from-" + template, ResourceClaimTemplateName: &template}
}

func node(name string, zone string, slices ...resourcev1.ResourceSlice) device.Node {
	return device.Node{Name: name, Node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: zone}}}, Slices: slices}
}

func catalog(objects ...any) *device.Catalog {
	c := device.NewCatalog()
	for _, o := range objects {
		if s, ok := o.(resourcev1.ResourceSlice); ok {
			o = &s
		}
		if !c.Upsert(o) {
			panic(fmt.Sprintf("%T is not taken in", o))
		}
	}
	return c
}

// place fits and commits, and says whether it fitted.
func place(t *testing.T, a *device.Allocator, p *corev1.Pod, n device.Node) (string, bool) {
	t.Helper()
	allocation, reason, err := a.Fits(t.Context(), p, n)
	require.NoError(t, err)
	if reason != "" {
		assert.True(t, allocation.Empty())
		return reason, false
	}
	a.Commit(p, n, allocation)
	return "", true
}

func allocated(c *resourcev1.ResourceClaim, node, pool, device string, users ...string) *resourcev1.ResourceClaim {
	c.Status.Allocation = &resourcev1.AllocationResult{
		Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{{Request: "r", Driver: driver, Pool: pool, Device: device}}},
		NodeSelector: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
			{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node}},
		}}}},
	}
	for _, u := range users {
		c.Status.ReservedFor = append(c.Status.ReservedFor, resourcev1.ResourceClaimConsumerReference{Resource: "pods", Name: u, UID: types.UID("uid-of-" + u)})
	}
	return c
}

func TestWhereAPodFindsDevices(t *testing.T) {
	made := pod("p", fromTemplate("t"))
	made.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "from-t", ResourceClaimName: ptr.To("p-t")}}
	needless := pod("p", fromTemplate("t"))
	needless.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "from-t"}}
	ownedBy := func(c *resourcev1.ResourceClaim, pod string) *resourcev1.ResourceClaim {
		c.OwnerReferences = []metav1.OwnerReference{{Kind: "Pod", Name: pod, UID: types.UID("uid-of-" + pod), Controller: ptr.To(true)}}
		return c
	}
	going := claim("c", request("gpu", 1))
	going.DeletionTimestamp = &metav1.Time{}
	everywhere := gpus("fabric", "", 16)
	everywhere.Spec.AllNodes = ptr.To(true)
	zonal := gpus("fabric", "", 16)
	zonal.Spec.NodeSelector = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
		{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"b"}}}}}}
	tainted := gpus("pool-1", "n1", 16)
	tainted.Spec.Devices[0].Taints = []resourcev1.DeviceTaint{{Key: "broken", Effect: resourcev1.DeviceTaintEffectNoSchedule}}
	tolerant := request("gpu", 1)
	tolerant.Exactly.Tolerations = []resourcev1.DeviceToleration{{Key: "broken", Operator: resourcev1.DeviceTolerationOpExists}}
	admin := request("gpu", 1)
	admin.Exactly.AdminAccess = ptr.To(true)
	all := request("gpu", 0)
	all.Exactly.AllocationMode = resourcev1.DeviceAllocationModeAll
	either := resourcev1.DeviceRequest{Name: "r", FirstAvailable: []resourcev1.DeviceSubRequest{
		{Name: "large", DeviceClassName: "large", AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 1},
		{Name: "two", DeviceClassName: "gpu", AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 2},
	}}
	large := class("large", `device.capacity["`+driver+`"].memory.compareTo(quantity("40Gi")) >= 0`)

	const broken = "resource claim ml/c has its devices on other nodes"
	tests := map[string]struct {
		objects []any
		pod     *corev1.Pod
		want    []string
		// why is the reason on n1, when it does not fit there.
		why string
	}{
		"no claims":             {pod: pod("p"), want: []string{"n1", "n2"}},
		"claim missing":         {pod: pod("p", named("c")), why: "resource claim ml/c does not exist"},
		"claim being deleted":   {pod: pod("p", named("c")), objects: []any{going, class("gpu")}, why: "resource claim ml/c is being deleted"},
		"class missing":         {pod: pod("p", named("c")), objects: []any{claim("c", request("gpu", 1)), gpus("pool-1", "n1", 16)}, why: "resource claim ml/c: device class gpu does not exist"},
		"alternatives' class":   {pod: pod("p", named("c")), objects: []any{claim("c", either), class("gpu"), gpus("pool-1", "n1", 16)}, why: "resource claim ml/c: device class large does not exist"},
		"template missing":      {pod: pod("p", fromTemplate("t")), why: "resource claim template ml/t does not exist"},
		"claim of no kind":      {pod: pod("p", corev1.PodResourceClaim{Name: "x"}), why: "claim x of the pod names neither a resource claim nor a template"},
		"no devices anywhere":   {pod: pod("p", named("c")), objects: []any{claim("c", request("gpu", 1)), class("gpu")}, why: "no free devices for resource claim ml/c"},
		"one node has a device": {pod: pod("p", named("c")), objects: []any{claim("c", request("gpu", 1)), class("gpu"), gpus("pool-1", "n1", 16)}, want: []string{"n1"}},
		"not enough devices":    {pod: pod("p", named("c")), objects: []any{claim("c", request("gpu", 3)), class("gpu"), gpus("pool-1", "n1", 16, 16)}, why: "no free devices for resource claim ml/c"},
		"all devices of a node": {pod: pod("p", named("c")), objects: []any{claim("c", all), class("gpu"), gpus("pool-1", "n1", 16, 16)}, want: []string{"n1"}},
		"by expression": {pod: pod("p", named("c")), objects: []any{claim("c", request("gpu", 1, `device.capacity["`+driver+`"].memory.compareTo(quantity("40Gi")) >= 0`)), class("gpu"),
			gpus("pool-1", "n1", 16), gpus("pool-2", "n2", 16, 80)}, want: []string{"n2"}, why: "no free devices for resource claim ml/c"},
		"from a template, not made yet": {pod: pod("p", fromTemplate("t")), objects: []any{template("t", request("gpu", 1)), class("gpu"), gpus("pool-2", "n2", 16)},
			want: []string{"n2"}, why: "no free devices for resource claim template ml/t"},
		"from a template, made":             {pod: made, objects: []any{ownedBy(claim("p-t", request("gpu", 1)), "p"), class("gpu"), gpus("pool-1", "n1", 16)}, want: []string{"n1"}},
		"from a template, made for another": {pod: made, objects: []any{ownedBy(claim("p-t", request("gpu", 1)), "q"), class("gpu"), gpus("pool-1", "n1", 16)}, why: "resource claim ml/p-t was made for another pod"},
		"from a template that needs none":   {pod: needless, want: []string{"n1", "n2"}},
		"allocated already":                 {pod: pod("p", named("c")), objects: []any{allocated(claim("c", request("gpu", 1)), "n2", "pool-2", "gpu-0")}, want: []string{"n2"}, why: broken},
		"devices reachable from everywhere": {pod: pod("p", named("c")), objects: []any{claim("c", request("gpu", 1)), class("gpu"), everywhere}, want: []string{"n1", "n2"}},
		"devices reachable from one zone":   {pod: pod("p", named("c")), objects: []any{claim("c", request("gpu", 1)), class("gpu"), zonal}, want: []string{"n2"}, why: "no free devices for resource claim ml/c"},
		"device in use":                     {pod: pod("p", named("c")), objects: []any{claim("c", request("gpu", 1)), class("gpu"), gpus("pool-1", "n1", 16), allocated(claim("d", request("gpu", 1)), "n1", "pool-1", "gpu-0", "q")}, why: "no free devices for resource claim ml/c"},
		"device in use, for admins":         {pod: pod("p", named("c")), objects: []any{claim("c", admin), class("gpu"), gpus("pool-1", "n1", 16), allocated(claim("d", request("gpu", 1)), "n1", "pool-1", "gpu-0", "q")}, want: []string{"n1"}},
		"alternatives, the first":           {pod: pod("p", named("c")), objects: []any{claim("c", either), class("gpu"), large, gpus("pool-1", "n1", 16), gpus("pool-2", "n2", 80)}, want: []string{"n2"}, why: "no free devices for resource claim ml/c"},
		"alternatives, the second":          {pod: pod("p", named("c")), objects: []any{claim("c", either), class("gpu"), large, gpus("pool-1", "n1", 16, 16)}, want: []string{"n1"}},
		"tainted device":                    {pod: pod("p", named("c")), objects: []any{claim("c", request("gpu", 1)), class("gpu"), tainted}, why: "no free devices for resource claim ml/c"},
		"tainted device, tolerated":         {pod: pod("p", named("c")), objects: []any{claim("c", tolerant), class("gpu"), tainted}, want: []string{"n1"}},
		"device tainted by a rule": {pod: pod("p", named("c")), objects: []any{claim("c", request("gpu", 1)), class("gpu"), gpus("pool-1", "n1", 16), gpus("pool-2", "n2", 16),
			&resourcev1.DeviceTaintRule{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Spec: resourcev1.DeviceTaintRuleSpec{
				DeviceSelector: &resourcev1.DeviceTaintSelector{Driver: ptr.To(driver), Pool: ptr.To("pool-1"), Device: ptr.To("gpu-0")},
				Taint:          resourcev1.DeviceTaint{Key: "broken", Effect: resourcev1.DeviceTaintEffectNoSchedule}}}},
			want: []string{"n2"}, why: "no free devices for resource claim ml/c"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := catalog(tt.objects...).Allocator()
			var got []string
			for _, n := range []device.Node{node("n1", "a"), node("n2", "b")} {
				_, reason, err := a.Fits(t.Context(), tt.pod, n)
				require.NoError(t, err)
				if reason == "" {
					got = append(got, n.Name)
				} else if n.Name == "n1" {
					assert.Equal(t, tt.why, reason)
				}
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestWhatStopsTheSchedulerEverywhereIsAnError(t *testing.T) {
	all := request("gpu", 0)
	all.Exactly.AllocationMode = resourcev1.DeviceAllocationModeAll
	half := gpus("pool-1", "n1", 16)
	half.Spec.Pool.ResourceSliceCount = 2
	for name, objects := range map[string][]any{
		"broken expression":               {claim("c", request("gpu", 1, `device.nonsense`)), class("gpu"), gpus("pool-1", "n1", 16)},
		"all of a pool that is not whole": {claim("c", all), class("gpu"), half},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := catalog(objects...).Allocator().Fits(t.Context(), pod("p", named("c")), node("n1", "a"))
			require.ErrorContains(t, err, "find devices for resource claim ml/c")
		})
	}
}

func TestDevicesArePutOnAccount(t *testing.T) {
	a := catalog(template("t", request("gpu", 1)), class("gpu"), gpus("pool-1", "n1", 16, 16)).Allocator()
	n := node("n1", "a")
	p, q, r := pod("p", fromTemplate("t")), pod("q", fromTemplate("t")), pod("r", fromTemplate("t"))
	for _, first := range []*corev1.Pod{p, q} {
		_, ok := place(t, a, first, n)
		require.True(t, ok)
	}
	reason, ok := place(t, a, r, n)
	require.False(t, ok)
	assert.Equal(t, "no free devices for resource claim template ml/t", reason)
	a.Release(p)
	_, ok = place(t, a, r, n)
	assert.True(t, ok)
	_, ok = place(t, a, p, n)
	assert.False(t, ok)
	a.Release(p) // has nothing
	_, ok = place(t, a, p, n)
	assert.False(t, ok)
}

func TestPodsThatDoNotExistYetMayShareAName(t *testing.T) {
	a := catalog(template("t", request("gpu", 1)), class("gpu"), gpus("pool-1", "n1", 16, 16)).Allocator()
	p, n := pod("p", fromTemplate("t")), node("n1", "a")
	for range 2 {
		_, ok := place(t, a, p, n)
		require.True(t, ok)
	}
	_, ok := place(t, a, p, n)
	require.False(t, ok)
	a.Release(p)
	_, ok = place(t, a, p, n)
	require.True(t, ok)
	_, ok = place(t, a, p, n)
	require.False(t, ok)
}

func TestNodesThatDoNotExistYetHaveDevicesOfTheirOwn(t *testing.T) {
	a := catalog(template("t", request("gpu", 2)), class("gpu")).Allocator()
	offer := gpus("pool", "", 16, 16, 16)
	p := pod("p", fromTemplate("t"))
	for _, name := range []string{"new-1", "new-2"} {
		n := device.Node{Name: name, Slices: []resourcev1.ResourceSlice{offer}}
		_, ok := place(t, a, p, n)
		require.True(t, ok, name)
		_, ok = place(t, a, p, n)
		require.False(t, ok, "one device is left")
	}
	assert.Nil(t, offer.Spec.NodeName, "the offer is as it was")
}

func TestANodesOwnSlicesReplaceThoseOfItsOffer(t *testing.T) {
	a := catalog(template("t", request("gpu", 1)), class("gpu"), gpus("pool-1", "n1", 16)).Allocator()
	n := node("n1", "a", gpus("pool", "", 16, 16))
	_, ok := place(t, a, pod("p", fromTemplate("t")), n)
	require.True(t, ok)
	_, ok = place(t, a, pod("q", fromTemplate("t")), n)
	assert.False(t, ok)
}

func TestASharedClaim(t *testing.T) {
	c := catalog(claim("c", request("gpu", 1)), class("gpu"), gpus("pool-1", "n1", 16), gpus("pool-2", "n2", 16))
	a := c.Allocator()
	n1, n2 := node("n1", "a"), node("n2", "b")
	_, ok := place(t, a, pod("p", named("c")), n2)
	require.True(t, ok)
	reason, ok := place(t, a, pod("q", named("c")), n1)
	require.False(t, ok)
	assert.Equal(t, "resource claim ml/c has its devices on other nodes", reason)
	_, ok = place(t, a, pod("q", named("c")), n2)
	require.True(t, ok)
	a.Release(pod("p", named("c")))
	_, ok = place(t, a, pod("r", named("c")), n1)
	require.False(t, ok, "one pod still uses it")
	a.Release(pod("q", named("c")))
	_, ok = place(t, a, pod("r", named("c")), n1)
	require.True(t, ok)

	_, ok = place(t, c.Allocator(), pod("r", named("c")), n1)
	assert.True(t, ok, "another plan starts anew")
}

func TestAClaimHasSoManyUsersAndNoMore(t *testing.T) {
	var users []string
	for i := range resourcev1.ResourceClaimReservedForMaxSize - 1 {
		users = append(users, fmt.Sprint("user-", i))
	}
	a := catalog(allocated(claim("c", request("gpu", 1)), "n1", "pool-1", "gpu-0", users...)).Allocator()
	n := node("n1", "a")
	_, ok := place(t, a, pod("last", named("c")), n)
	require.True(t, ok)
	reason, ok := place(t, a, pod("late", named("c")), n)
	require.False(t, ok)
	assert.Equal(t, "resource claim ml/c is used by 256 pods, and can be by no more", reason)
	a.Release(pod("user-7", named("c")))
	a.Release(pod("user-7", named("c")))
	_, ok = place(t, a, pod("late", named("c")), n)
	require.True(t, ok)
	_, ok = place(t, a, pod("later", named("c")), n)
	assert.False(t, ok, "a pod leaves once")
}

func TestAPodThatLeavesItsNodeLeavesItsDevices(t *testing.T) {
	own := allocated(claim("p-t", request("gpu", 1)), "n1", "pool-1", "gpu-0", "p")
	own.OwnerReferences = []metav1.OwnerReference{{Kind: "Pod", Name: "p", UID: "uid-of-p", Controller: ptr.To(true)}}
	p := pod("p", fromTemplate("t"))
	p.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "from-t", ResourceClaimName: ptr.To("p-t")}}
	c := catalog(own, template("t", request("gpu", 1)), class("gpu"), gpus("pool-1", "n1", 16), gpus("pool-2", "n2", 16))

	a := c.Allocator()
	_, ok := place(t, a, p, node("n2", "b"))
	require.False(t, ok, "its devices are on n1")
	a.Release(p)
	_, ok = place(t, a, p, node("n2", "b"))
	require.True(t, ok)
	_, ok = place(t, a, pod("q", fromTemplate("t")), node("n1", "a"))
	require.True(t, ok, "where it was is free")
	_, ok = place(t, c.Allocator(), pod("q", fromTemplate("t")), node("n1", "a"))
	assert.False(t, ok, "but in that plan alone")
}

func TestPartitionsOfADevice(t *testing.T) {
	s := gpus("pool-1", "n1")
	counters := func(gib int64) map[string]resourcev1.Counter {
		return map[string]resourcev1.Counter{"memory": {Value: *resource.NewQuantity(gib<<30, resource.BinarySI)}}
	}
	shared := s
	shared.Name = "counters"
	shared.Spec.SharedCounters = []resourcev1.CounterSet{{Name: "card", Counters: counters(40)}}
	for i := range 4 {
		s.Spec.Devices = append(s.Spec.Devices, resourcev1.Device{Name: fmt.Sprint("slice-", i),
			ConsumesCounters: []resourcev1.DeviceCounterConsumption{{CounterSet: "card", Counters: counters(20)}}})
	}
	s.Spec.Pool.ResourceSliceCount, shared.Spec.Pool.ResourceSliceCount = 2, 2
	a := catalog(template("t", request("gpu", 1)), class("gpu"), s, shared).Allocator()
	for i := range 2 {
		_, ok := place(t, a, pod(fmt.Sprint("p", i), fromTemplate("t")), node("n1", "a"))
		require.True(t, ok)
	}
	_, ok := place(t, a, pod("p2", fromTemplate("t")), node("n1", "a"))
	require.False(t, ok, "four partitions, but memory for two")
	a.Release(pod("p0", fromTemplate("t")))
	_, ok = place(t, a, pod("p2", fromTemplate("t")), node("n1", "a"))
	assert.True(t, ok)
}

func TestCapacityOfADeviceIsConsumed(t *testing.T) {
	s := gpus("pool-1", "n1", 40)
	s.Spec.Devices[0].AllowMultipleAllocations = ptr.To(true)
	part := request("gpu", 1)
	part.Exactly.Capacity = &resourcev1.CapacityRequirements{Requests: map[resourcev1.QualifiedName]resource.Quantity{"memory": resource.MustParse("16Gi")}}
	a := catalog(template("t", part), class("gpu"), s).Allocator()
	for i := range 2 {
		_, ok := place(t, a, pod(fmt.Sprint("p", i), fromTemplate("t")), node("n1", "a"))
		require.True(t, ok)
	}
	_, ok := place(t, a, pod("p2", fromTemplate("t")), node("n1", "a"))
	require.False(t, ok)
	a.Release(pod("p1", fromTemplate("t")))
	_, ok = place(t, a, pod("p2", fromTemplate("t")), node("n1", "a"))
	assert.True(t, ok)
}

func TestDevicesBehindExtendedResources(t *testing.T) {
	behind := class("gpu")
	behind.Spec.ExtendedResourceName = ptr.To("example.com/gpu")
	asks := func(name string, resourceName corev1.ResourceName, init, sidecar, main string) *corev1.Pod {
		with := func(count string) corev1.Container {
			if count == "" {
				return corev1.Container{}
			}
			return corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{resourceName: resource.MustParse(count), "cpu": resource.MustParse("1")}}}
		}
		p := pod(name)
		always := with(sidecar)
		always.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
		p.Spec.InitContainers = []corev1.Container{with(init), always}
		p.Spec.Containers = []corev1.Container{with(main)}
		return p
	}
	tests := map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"one":                             {asks("p", "example.com/gpu", "", "", "1"), true},
		"more than there are":             {asks("p", "example.com/gpu", "", "", "4"), false},
		"by the class's name":             {asks("p", "deviceclass.resource.kubernetes.io/gpu", "", "", "3"), true},
		"too many by the class's name":    {asks("p", "deviceclass.resource.kubernetes.io/gpu", "", "", "4"), false},
		"a sidecar's beside":              {asks("p", "example.com/gpu", "", "2", "1"), true},
		"too many with a sidecar's":       {asks("p", "example.com/gpu", "", "2", "2"), false},
		"an init container's come before": {asks("p", "example.com/gpu", "3", "", "2"), true},
		"an init container's too many":    {asks("p", "example.com/gpu", "4", "", "2"), false},
		"no device stands behind it":      {asks("p", "example.com/other", "", "", "9"), true},
	}
	c := catalog(behind, gpus("pool-1", "n1", 16, 16, 16))
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, ok := place(t, c.Allocator(), tt.pod, node("n1", "a"))
			assert.Equal(t, tt.want, ok)
		})
	}
	assert.True(t, c.Backs("example.com/gpu"))
	assert.False(t, c.Backs("example.com/other"))
	plugged := node("n2", "b")
	plugged.Node.Status.Allocatable = corev1.ResourceList{"example.com/gpu": resource.MustParse("8")}
	_, ok := place(t, c.Allocator(), asks("p", "example.com/gpu", "", "", "4"), plugged)
	assert.True(t, ok, "a device plugin provides it there")
	c.Delete(behind)
	assert.False(t, c.Backs("example.com/gpu"))
}

func TestWhatIsDeletedIsForgotten(t *testing.T) {
	other := allocated(claim("d", request("gpu", 1)), "n1", "pool-1", "gpu-0", "q")
	s := gpus("pool-1", "n1", 16)
	c := catalog(template("t", request("gpu", 1)), class("gpu"), s, other)
	p, n := pod("p", fromTemplate("t")), node("n1", "a")
	_, ok := place(t, c.Allocator(), p, n)
	require.False(t, ok)
	c.Delete(other)
	_, ok = place(t, c.Allocator(), p, n)
	require.True(t, ok)
	c.Delete(&s)
	_, ok = place(t, c.Allocator(), p, n)
	require.False(t, ok)
	c.Delete(template("t"))
	reason, _ := place(t, c.Allocator(), p, n)
	assert.Equal(t, "resource claim template ml/t does not exist", reason)
	for _, o := range []any{claim("x"), &resourcev1.DeviceTaintRule{}, gpus("y", ""), "nonsense", nil} {
		c.Delete(o)
	}
	assert.False(t, c.Upsert(&corev1.Pod{}))
	versioned := claim("v")
	versioned.ResourceVersion = "1"
	assert.True(t, c.Upsert(versioned))
	assert.False(t, c.Upsert(versioned))
}

func BenchmarkFits(b *testing.B) {
	objects := []any{template("t", request("gpu", 2)), class("gpu")}
	for i := range 1000 {
		name := fmt.Sprint("n", i)
		objects = append(objects, gpus(name, name, 16, 16, 16, 16, 16, 16, 16, 16))
	}
	a := catalog(objects...).Allocator()
	for name, bench := range map[string]struct {
		pod  *corev1.Pod
		node device.Node
	}{
		"no claims":        {pod("p"), node("n1", "a")},
		"node without any": {pod("p", fromTemplate("t")), node("other", "a")},
		"eight devices":    {pod("p", fromTemplate("t")), node("n1", "a")},
		"an offer's eight": {pod("p", fromTemplate("t")), node("new-1", "a", gpus("pool", "", 16, 16, 16, 16, 16, 16, 16, 16))},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := a.Fits(context.Background(), bench.pod, bench.node); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestOneCommitOfSeveralIsTakenBack(t *testing.T) {
	a := catalog(template("t", request("gpu", 1)), class("gpu"), gpus("pool-1", "n1", 16), gpus("pool-2", "n2", 16)).Allocator()
	p, n1, n2 := pod("p", fromTemplate("t")), node("n1", "a"), node("n2", "b")
	first, _, err := a.Fits(t.Context(), p, n1)
	require.NoError(t, err)
	a.Commit(p, n1, first)
	_, ok := place(t, a, p, n2)
	require.True(t, ok)
	for range 2 {
		a.Undo(p, first)
	}
	a.Undo(p, device.Allocation{})
	_, ok = place(t, a, p, n2)
	assert.False(t, ok, "the other stays")
	_, ok = place(t, a, p, n1)
	assert.True(t, ok)
}
