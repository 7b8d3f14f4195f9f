package cluster

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

func withClaim(names ...string) podOption {
	return func(p *corev1.Pod) {
		for _, name := range names {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}})
		}
	}
}

func boundClaim(namespace, name, zone string, modes ...corev1.PersistentVolumeAccessMode) []any {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{"pv.kubernetes.io/bind-completed": "yes"}},
		Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "pv-" + name, AccessModes: modes},
	}
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-" + name}, Spec: corev1.PersistentVolumeSpec{
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "disk.example.com", VolumeHandle: name}},
	}}
	if zone != "" {
		volume.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{zone}}},
		}}}}
	}
	return []any{claim, volume}
}

func waitingClaim(namespace, name, class string) []any {
	return []any{&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class, Resources: corev1.VolumeResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}}
}

func storageClass(name, provisioner string) *storagev1.StorageClass {
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer)}
}

// boughtFor is the offer that each pod's node is bought from; nodes in place are named as they are.
func boughtFor(p Plan) map[string]string {
	out := map[string]string{}
	for i, n := range p.Create {
		for _, ref := range n.Pods {
			out[ref.Name] = fmt.Sprintf("%s#%d", n.Offer.Name, i)
		}
	}
	for _, pl := range p.Placed {
		out[pl.Pod.Name] = pl.Node
	}
	for _, pl := range p.Preempting {
		out[pl.Pod.Name] = pl.Node + " by preemption"
	}
	for _, u := range p.Unschedulable {
		out[u.Pod.Name] = u.Reasons[0].Code
	}
	return out
}

func TestPodsGoWhereTheirVolumesAre(t *testing.T) {
	s := NewState()
	s.SetNode(node("n-a", "a", "4", "8Gi", 1))
	s.SetOffers([]Offer{offer("cheap-a", "a", "4", "8Gi", 1), offer("dear-b", "b", "4", "8Gi", 2)})
	ns := pod("x", "1", "1Gi").Namespace
	upsert(t, s, pod("p-a", "1", "1Gi", withClaim("data-a")), pod("p-b", "1", "1Gi", withClaim("data-b")), pod("p-c", "1", "1Gi", withClaim("data-c")), pod("p-gone", "1", "1Gi", withClaim("gone")))
	assert.Equal(t, map[string]string{"p-a": "Volume", "p-b": "Volume", "p-c": "Volume", "p-gone": "Volume"}, boughtFor(s.Plan(Options{})), "their claims are not known yet")
	upsert(t, s, boundClaim(ns, "data-a", "a")...)
	upsert(t, s, boundClaim(ns, "data-b", "b")...)
	upsert(t, s, boundClaim(ns, "data-c", "c")...)
	plan := s.Plan(Options{})
	assert.Equal(t, map[string]string{"p-a": "n-a", "p-b": "dear-b#0", "p-c": "Volume", "p-gone": "Volume"}, boughtFor(plan))
	assert.Equal(t, map[string]string{"p-a": "n-a", "p-b": "dear-b#0", "p-c": "Volume", "p-gone": "Volume"}, boughtFor(s.Plan(Options{})))
}

func TestVolumesAreCountedByNode(t *testing.T) {
	s := NewState()
	s.SetNode(node("n1", "a", "8", "8Gi", 1))
	o := offer("limited", "a", "8", "8Gi", 1)
	o.AttachLimits = map[string]int32{"disk.example.com": 2}
	s.SetOffers([]Offer{o})
	ns := pod("x", "1", "1Gi").Namespace
	upsert(t, s, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{
		{Name: "disk.example.com", Allocatable: &storagev1.VolumeNodeResources{Count: ptr.To[int32](3)}}}}})
	for i := range 8 {
		upsert(t, s, boundClaim(ns, fmt.Sprint("d", i), "")...)
	}
	// Two pods on the node share a volume, which leaves room for two.
	upsert(t, s, pod("r1", "1", "1Gi", withClaim("d0"), onNode("n1")), pod("r2", "1", "1Gi", withClaim("d0"), onNode("n1")))
	for i := 1; i < 8; i++ {
		upsert(t, s, pod(fmt.Sprint("p", i), "100m", "1Mi", withClaim(fmt.Sprint("d", i))))
	}
	plan := s.Plan(Options{})
	assert.Len(t, plan.Placed, 2)
	require.Len(t, plan.Create, 3)
	for _, n := range plan.Create {
		assert.LessOrEqual(t, len(n.Pods), 2)
		assert.Len(t, n.Requests, 3, "%v", n.Requests)
	}
	assert.Empty(t, plan.Unschedulable)

	three := pod("three", "1", "1Gi", withClaim("d1", "d2", "d3"))
	s2 := NewState()
	s2.SetOffers([]Offer{o})
	for i := range 4 {
		upsert(t, s2, boundClaim(ns, fmt.Sprint("d", i), "")...)
	}
	upsert(t, s2, three)
	assert.Equal(t, map[string]string{"three": "VolumeLimit"}, boughtFor(s2.Plan(Options{})))
}

func TestAClaimForOnePodAlone(t *testing.T) {
	s := NewState()
	s.SetNode(node("n1", "a", "8", "8Gi", 1))
	s.SetOffers([]Offer{offer("o", "a", "8", "8Gi", 1)})
	ns := pod("x", "1", "1Gi").Namespace
	upsert(t, s, boundClaim(ns, "once", "", corev1.ReadWriteOncePod)...)
	upsert(t, s, pod("p1", "1", "1Gi", withClaim("once")), pod("p2", "1", "1Gi", withClaim("once")))
	assert.Equal(t, map[string]string{"p1": "n1", "p2": "Volume"}, boughtFor(s.Plan(Options{})))
	upsert(t, s, pod("p1", "1", "1Gi", withClaim("once"), onNode("n1")))
	assert.Equal(t, map[string]string{"p2": "Volume"}, boughtFor(s.Plan(Options{})))
	s.SetNode(node("n2", "a", "8", "8Gi", 1))
	out := s.Simulate(Removal{Nodes: []string{"n1"}})
	assert.True(t, out.Feasible, "the pod takes its claim along: %s", out.Reason)
}

func TestAVolumeServesOneOfThePods(t *testing.T) {
	s := NewState()
	s.SetOffers([]Offer{offer("o", "a", "8", "8Gi", 1)})
	ns := pod("x", "1", "1Gi").Namespace
	upsert(t, s, storageClass("local", "kubernetes.io/no-provisioner"))
	for i := range 3 {
		upsert(t, s, waitingClaim(ns, fmt.Sprint("d", i), "local")...)
		upsert(t, s, pod(fmt.Sprint("p", i), "1", "1Gi", withClaim(fmt.Sprint("d", i))))
		if i < 2 {
			upsert(t, s, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("v", i)}, Spec: corev1.PersistentVolumeSpec{
				StorageClassName: "local", Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
				Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable}})
		}
	}
	plan := s.Plan(Options{})
	require.Len(t, plan.Create, 1)
	assert.Len(t, plan.Create[0].Pods, 2)
	require.Len(t, plan.Unschedulable, 1)
	assert.Equal(t, reasonVolume, plan.Unschedulable[0].Reasons[0].Code)
}

func withDevices(template string) podOption {
	return func(p *corev1.Pod) {
		p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimTemplateName: &template}}
	}
}

func gpuSlice(node string, n int) resourcev1.ResourceSlice {
	s := resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: "gpus-" + node}, Spec: resourcev1.ResourceSliceSpec{
		Driver: "gpu.example.com", Pool: resourcev1.ResourcePool{Name: "pool-" + node, ResourceSliceCount: 1}}}
	if node != "" {
		s.Spec.NodeName = &node
	}
	for i := range n {
		s.Spec.Devices = append(s.Spec.Devices, resourcev1.Device{Name: fmt.Sprint("gpu-", i)})
	}
	return s
}

func gpuTemplate(namespace string, n int64) []any {
	return []any{
		&resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: "gpu"}, Spec: resourcev1.DeviceClassSpec{
			ExtendedResourceName: ptr.To("example.com/gpu"),
			Selectors:            []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{Expression: `device.driver == "gpu.example.com"`}}}}},
		&resourcev1.ResourceClaimTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "one"}, Spec: resourcev1.ResourceClaimTemplateSpec{
			Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{{Name: "r", Exactly: &resourcev1.ExactDeviceRequest{
				DeviceClassName: "gpu", AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: n}}}}}}},
	}
}

func TestNodesAreBoughtForDevices(t *testing.T) {
	s := NewState()
	s.SetNode(node("n1", "a", "64", "64Gi", 1))
	on := gpuSlice("n1", 2)
	plain, small, large := offer("plain", "a", "64", "64Gi", 0.1), offer("small", "a", "64", "64Gi", 1), offer("large", "a", "64", "64Gi", 5)
	small.Slices, large.Slices = []resourcev1.ResourceSlice{gpuSlice("", 1)}, []resourcev1.ResourceSlice{gpuSlice("", 8)}
	s.SetOffers([]Offer{plain, small, large})
	upsert(t, s, &on)
	ns := pod("x", "1", "1Gi").Namespace
	for i := range 11 {
		upsert(t, s, pod(fmt.Sprintf("p%02d", i), "1", "1Gi", withDevices("one")))
	}
	assert.Equal(t, reasonDevice, s.Plan(Options{}).Unschedulable[0].Reasons[0].Code, "their template is not known yet")
	upsert(t, s, gpuTemplate(ns, 1)...)
	for range 2 {
		plan := s.Plan(Options{})
		assert.Len(t, plan.Placed, 2)
		assert.Empty(t, plan.Unschedulable)
		names := map[string]int{}
		for _, n := range plan.Create {
			names[n.Offer.Name] += len(n.Pods)
		}
		assert.Equal(t, map[string]int{"large": 8, "small": 1}, names)
	}
	s.SetOffers([]Offer{plain})
	plan := s.Plan(Options{})
	assert.Len(t, plan.Unschedulable, 9)
	assert.Equal(t, Reason{Code: reasonDevice, Message: "no free devices for resource claim template " + ns + "/one", Offers: 1}, plan.Unschedulable[0].Reasons[0])
}

func TestDevicesBehindAResourceThatNoNodeHas(t *testing.T) {
	s := NewState()
	gpu := offer("gpu", "a", "64", "64Gi", 1)
	gpu.Slices = []resourcev1.ResourceSlice{gpuSlice("", 2)}
	s.SetOffers([]Offer{offer("plain", "a", "64", "64Gi", 0.1), gpu})
	asks := func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests["example.com/gpu"] = resource.MustParse("1")
	}
	for i := range 3 {
		upsert(t, s, pod(fmt.Sprint("p", i), "1", "1Gi", asks))
	}
	assert.Len(t, s.Plan(Options{}).Unschedulable, 3)
	upsert(t, s, gpuTemplate("x", 1)...)
	plan := s.Plan(Options{})
	assert.Empty(t, plan.Unschedulable)
	assert.Len(t, plan.Create, 2)
}

func TestPodsMoveWithTheirDevices(t *testing.T) {
	s := NewState()
	s.SetNode(node("n1", "a", "8", "8Gi", 1))
	s.SetNode(node("n2", "a", "8", "8Gi", 1))
	one, two := gpuSlice("n1", 1), gpuSlice("n2", 1)
	p := pod("p", "1", "1Gi", withDevices("one"), onNode("n1"))
	p.UID = "uid"
	p.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "gpu", ResourceClaimName: ptr.To("p-gpu")}}
	claim := &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: "p-gpu",
		OwnerReferences: []metav1.OwnerReference{{Kind: "Pod", Name: "p", UID: "uid", Controller: ptr.To(true)}}},
		Spec: gpuTemplate(p.Namespace, 1)[1].(*resourcev1.ResourceClaimTemplate).Spec.Spec,
		Status: resourcev1.ResourceClaimStatus{
			ReservedFor: []resourcev1.ResourceClaimConsumerReference{{Resource: "pods", Name: "p", UID: types.UID("uid")}},
			Allocation: &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{
				{Request: "r", Driver: "gpu.example.com", Pool: "pool-n1", Device: "gpu-0"}}}},
		}}
	upsert(t, s, gpuTemplate(p.Namespace, 1)...)
	upsert(t, s, &one, claim, p)
	out := s.Simulate(Removal{Nodes: []string{"n1"}})
	assert.False(t, out.Feasible, "n2 has no devices yet")
	upsert(t, s, &two)
	for range 2 {
		out = s.Simulate(Removal{Nodes: []string{"n1"}})
		assert.True(t, out.Feasible, out.Reason)
	}
}

func inGang(name string) podOption {
	return func(p *corev1.Pod) { p.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &name} }
}

func podGroupOf(namespace, name string, n int32) *schedulingv1beta1.PodGroup {
	return &schedulingv1beta1.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: schedulingv1beta1.PodGroupSpec{
		SchedulingPolicy: schedulingv1beta1.PodGroupSchedulingPolicy{Gang: &schedulingv1beta1.GangSchedulingPolicy{MinCount: n}}}}
}

func TestGangsAreAllOrNothing(t *testing.T) {
	ns := pod("x", "1", "1Gi").Namespace
	gang := func(name string, n int, priority int32) []any {
		var out []any
		for i := range n {
			out = append(out, pod(fmt.Sprint(name, i), "4", "1Gi", inGang(name), withPriority(priority)))
		}
		return out
	}
	limited := func(nodes int) *State {
		s := NewState()
		o := offer("o", "a", "4", "8Gi", 1)
		o.Policy = "p"
		s.SetOffers([]Offer{o})
		s.SetPolicies([]Policy{{Name: "p", Left: Limits{Nodes: &nodes}}})
		return s
	}
	t.Run("complete", func(t *testing.T) {
		s := limited(4)
		upsert(t, s, gang("g", 4, 0)...)
		upsert(t, s, podGroupOf(ns, "g", 4))
		assert.Len(t, s.Plan(Options{}).Create, 4)
	})
	t.Run("not all fit", func(t *testing.T) {
		s := limited(3)
		upsert(t, s, gang("g", 4, 0)...)
		upsert(t, s, podGroupOf(ns, "g", 4))
		plan := s.Plan(Options{})
		assert.Empty(t, plan.Create)
		require.Len(t, plan.Unschedulable, 4)
		assert.Equal(t, []Reason{{Code: reasonGang, Message: "gang " + ns + "/g needs 4 pods to run together, and there is a place for 3"}}, plan.Unschedulable[0].Reasons)
		assert.EqualValues(t, 0, plan.Cost.After)
	})
	t.Run("enough fit", func(t *testing.T) {
		s := limited(3)
		upsert(t, s, gang("g", 4, 0)...)
		upsert(t, s, podGroupOf(ns, "g", 3))
		assert.Len(t, s.Plan(Options{}).Create, 3)
	})
	t.Run("those that run count", func(t *testing.T) {
		s := limited(1)
		s.SetNode(node("n1", "a", "4", "8Gi", 1))
		upsert(t, s, gang("g", 2, 0)...)
		upsert(t, s, pod("g0", "4", "1Gi", inGang("g"), onNode("n1")), podGroupOf(ns, "g", 2))
		assert.Len(t, s.Plan(Options{}).Create, 1)
	})
	t.Run("not all exist yet", func(t *testing.T) {
		s := limited(9)
		upsert(t, s, gang("g", 2, 0)...)
		upsert(t, s, podGroupOf(ns, "g", 3))
		assert.Empty(t, s.Plan(Options{}).Create)
	})
	t.Run("its group is not there", func(t *testing.T) {
		s := limited(9)
		upsert(t, s, gang("g", 2, 0)...)
		plan := s.Plan(Options{})
		assert.Empty(t, plan.Create)
		assert.Equal(t, "its pod group "+ns+"/g does not exist", plan.Unschedulable[0].Reasons[0].Message)
	})
	t.Run("the important one", func(t *testing.T) {
		s := limited(4)
		upsert(t, s, gang("low", 3, 1)...)
		upsert(t, s, gang("high", 3, 2)...)
		upsert(t, s, podGroupOf(ns, "low", 3), podGroupOf(ns, "high", 3))
		got := boughtFor(s.Plan(Options{}))
		assert.Contains(t, got["high0"], "o#")
		assert.Equal(t, reasonGang, got["low0"])
	})
	t.Run("a smaller one instead", func(t *testing.T) {
		s := limited(2)
		upsert(t, s, gang("large", 3, 2)...)
		upsert(t, s, gang("small", 2, 1)...)
		upsert(t, s, podGroupOf(ns, "large", 3), podGroupOf(ns, "small", 2))
		got := boughtFor(s.Plan(Options{}))
		assert.Equal(t, reasonGang, got["large0"])
		assert.Contains(t, got["small0"], "o#")
	})
}

func TestPrioritiesDecideForWhomIsBought(t *testing.T) {
	s := NewState()
	s.SetNode(node("n1", "a", "4", "8Gi", 1))
	s.SetOffers([]Offer{offer("o", "a", "4", "8Gi", 1)})
	upsert(t, s, pod("spare", "3", "1Gi", withPriority(-11), onNode("n1")), pod("expendable", "3", "1Gi", withPriority(-11)),
		pod("holds-room", "4", "1Gi", withPriority(-10)), pod("usual", "3", "1Gi"))
	assert.Equal(t, map[string]string{"expendable": "Priority", "holds-room": "o#0", "usual": "n1 by preemption"}, boughtFor(s.Plan(Options{})))
	patient := pod("usual", "3", "1Gi")
	patient.Spec.PreemptionPolicy = ptr.To(corev1.PreemptNever)
	upsert(t, s, patient)
	assert.Contains(t, boughtFor(s.Plan(Options{}))["usual"], "o#")
	nominated := pod("usual", "3", "1Gi")
	nominated.Status.NominatedNodeName = "n1"
	upsert(t, s, nominated)
	assert.Equal(t, "n1 by preemption", boughtFor(s.Plan(Options{}))["usual"])
}

// A large cluster in which one pod of five has a volume: one more pod comes with its claim, and the plan is made.
func BenchmarkPlanWithVolumes(b *testing.B) {
	s := NewState()
	for i := range 5000 {
		name := numbered("n", i)
		s.SetNode(node(name, "a", "32", "64Gi", 1))
		upsert(b, s, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{
			{Name: "disk.example.com", Allocatable: &storagev1.VolumeNodeResources{Count: ptr.To[int32](25)}}}}})
		for k := range 30 {
			p := pod(fmt.Sprintf("%s-%d", name, k), "1", "1Gi", onNode(name))
			if k < 6 {
				upsert(b, s, boundClaim(p.Namespace, p.Name, "a")...)
				withClaim(p.Name)(p)
			}
			upsert(b, s, p)
		}
	}
	s.SetOffers([]Offer{offer("o", "a", "32", "64Gi", 1)})
	ns := pod("x", "1", "1Gi").Namespace
	s.Plan(Options{SkipBound: true})
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		name := fmt.Sprint("late-", i)
		upsert(b, s, boundClaim(ns, name, "a")...)
		upsert(b, s, pod(name, "4", "1Gi", withClaim(name)))
		if plan := s.Plan(Options{SkipBound: true}); len(plan.Unschedulable) > 0 {
			b.Fatal(plan.Unschedulable[0])
		}
	}
}

func TestPodsShareANodesDevicesOnlyInAnyOrder(t *testing.T) {
	ns := pod("x", "1", "1Gi").Namespace
	large := &resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: "large"}, Spec: resourcev1.DeviceClassSpec{
		Selectors: []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{Expression: `device.attributes["gpu.example.com"].large`}}}}}
	forLarge := gpuTemplate(ns, 1)[1].(*resourcev1.ResourceClaimTemplate)
	forLarge.Name, forLarge.Spec.Spec.Devices.Requests[0].Exactly.DeviceClassName = "large", "large"
	for name, tt := range map[string]struct {
		largeFirst bool
		nodes      int
	}{"who needs little could take the large one": {true, 2}, "who needs little takes the small one": {false, 1}} {
		t.Run(name, func(t *testing.T) {
			s := NewState()
			o := offer("o", "a", "64", "64Gi", 1)
			sl := gpuSlice("", 2)
			for i := range sl.Spec.Devices {
				sl.Spec.Devices[i].Attributes = map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{"large": {BoolValue: ptr.To((i == 0) == tt.largeFirst)}}
			}
			o.Slices = []resourcev1.ResourceSlice{sl}
			s.SetOffers([]Offer{o})
			upsert(t, s, gpuTemplate(ns, 1)...)
			upsert(t, s, large, forLarge, pod("needs-large", "1", "1Gi", withDevices("large")), pod("needs-any", "1", "1Gi", withDevices("one")))
			plan := s.Plan(Options{})
			assert.Empty(t, plan.Unschedulable)
			assert.Len(t, plan.Create, tt.nodes)
		})
	}
}
