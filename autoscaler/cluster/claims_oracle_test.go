package cluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// Claims against the real scheduler: random pods with volumes that wait for their pod, volumes that exist, devices and resources that
// devices stand behind. Every pod of the plan must be bound once the plan's nodes are there, and on the whole no pod that the plan
// calls unschedulable may be, also when one node of every offer is added.

// claimsCase is a small cluster of its own, told from others by a node label.
type claimsCase struct {
	name    string
	seed    uint64
	objects []any
	nodes   []*corev1.Node
	slices  []*resourcev1.ResourceSlice
	limits  map[string]int32
	pods    []*corev1.Pod
	offers  []cluster.Offer
}

const (
	caseLabel = "claims.example.com/case"
	csiDriver = "disk.claims.example.com"
	gpuDriver = "gpu.claims.example.com"
	// claimsCases is how many cases are run unless YAGURA_CLAIMS_CASES says otherwise.
	claimsCases = 8
)

func drawClaims(seed uint64) *claimsCase {
	r := rand.New(rand.NewPCG(seed, 7))
	c := &claimsCase{name: fmt.Sprintf("claims-%d", seed), seed: seed, limits: map[string]int32{}}
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	zones := []string{"a", "b", "c"}
	devices := func(n int) []resourcev1.ResourceSlice {
		s := resourcev1.ResourceSlice{Spec: resourcev1.ResourceSliceSpec{Driver: gpuDriver, Pool: resourcev1.ResourcePool{Generation: 1, ResourceSliceCount: 1}}}
		for i := range n {
			s.Spec.Devices = append(s.Spec.Devices, resourcev1.Device{Name: fmt.Sprint("gpu-", i), Capacity: map[resourcev1.QualifiedName]resourcev1.DeviceCapacity{
				"memory": {Value: resource.MustParse(pick("16Gi", "40Gi", "80Gi"))}}})
		}
		return []resourcev1.ResourceSlice{s}
	}
	for i := range 2 + r.IntN(3) {
		zone := zones[r.IntN(len(zones))]
		o := cluster.Offer{Name: fmt.Sprint("shape-", i), Zone: zone, CapacityType: "on-demand", PricePerHour: 1 + r.Float64(), Available: true, Stock: -1,
			Labels:      map[string]string{corev1.LabelTopologyZone: zone, caseLabel: c.name, corev1.LabelInstanceTypeStable: fmt.Sprint("shape-", i)},
			Allocatable: corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("10")}}
		if r.IntN(2) == 0 {
			o.Slices = devices(1 + r.IntN(4))
		}
		if r.IntN(2) == 0 {
			o.AttachLimits = map[string]int32{csiDriver: int32(1 + r.IntN(3))}
		}
		c.offers = append(c.offers, o)
	}
	for i := range r.IntN(3) {
		o := c.offers[r.IntN(len(c.offers))]
		c.addNode(&o, fmt.Sprintf("%s-old-%d", c.name, i))
	}
	modes := []storagev1.VolumeBindingMode{storagev1.VolumeBindingWaitForFirstConsumer}
	class := func(name, provisioner string, in []string) string {
		s := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: c.name + "-" + name}, Provisioner: provisioner, VolumeBindingMode: &modes[0]}
		if len(in) > 0 {
			s.AllowedTopologies = []corev1.TopologySelectorTerm{{MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{{Key: corev1.LabelTopologyZone, Values: in}}}}
		}
		c.objects = append(c.objects, s)
		return s.Name
	}
	r.Shuffle(len(zones), func(i, j int) { zones[i], zones[j] = zones[j], zones[i] })
	static := class("static", "kubernetes.io/no-provisioner", nil)
	made := class("made", csiDriver, slices.Clone(zones[:1+r.IntN(3)]))
	for i := range r.IntN(4) {
		v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", c.name, i)}, Spec: corev1.PersistentVolumeSpec{
			StorageClassName: pick(static, static, made), Capacity: corev1.ResourceList{"storage": resource.MustParse(pick("1Gi", "5Gi", "9Gi"))},
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: csiDriver, VolumeHandle: fmt.Sprintf("%s-%d", c.name, i)}}}}
		if r.IntN(3) > 0 {
			v.Spec.NodeAffinity = zoneAffinity(zones[r.IntN(3)])
		}
		c.objects = append(c.objects, v)
	}
	for i, gib := range []string{"1Gi", "40Gi"} {
		c.objects = append(c.objects, &resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", c.name, i)}, Spec: resourcev1.DeviceClassSpec{
			ExtendedResourceName: ptr.To(fmt.Sprintf("example.com/%s-%d", c.name, i)),
			Selectors: []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{Expression: fmt.Sprintf(
				`device.driver == %q && device.capacity[%q].memory.compareTo(quantity(%q)) >= 0`, gpuDriver, gpuDriver, gib)}}}}})
		c.objects = append(c.objects, &resourcev1.ResourceClaimTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("%s-%d", c.name, i)},
			Spec: resourcev1.ResourceClaimTemplateSpec{Spec: deviceClaim(fmt.Sprintf("%s-%d", c.name, i), int64(1+r.IntN(2)))}})
	}
	shared := &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: c.name}, Spec: deviceClaim(c.name+"-0", 1)}
	c.objects = append(c.objects, shared)
	for i := range 2 + r.IntN(6) {
		c.addPod(r, i, static, made)
	}
	return c
}

func deviceClaim(class string, n int64) resourcev1.ResourceClaimSpec {
	return resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{{Name: "r", Exactly: &resourcev1.ExactDeviceRequest{
		DeviceClassName: class, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: n}}}}}
}

func zoneAffinity(zone string) *corev1.VolumeNodeAffinity {
	return &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{zone}}}}}}}
}

func (c *claimsCase) addPod(r *rand.Rand, i int, static, made string) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("%s-pod-%d", c.name, i)}, Spec: corev1.PodSpec{
		// Nobody renews these nodes' leases, and so they are taken for lost after a while.
		Tolerations:  []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		NodeSelector: map[string]string{caseLabel: c.name}, AutomountServiceAccountToken: ptr.To(false), TerminationGracePeriodSeconds: ptr.To[int64](0),
		Containers: []corev1.Container{{Name: "main", Image: "example.com/none", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse([]string{"500m", "1", "2"}[r.IntN(3)])}, Limits: corev1.ResourceList{}}}}}}
	for v := range r.IntN(3) {
		if r.IntN(3) == 0 {
			continue
		}
		k := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("%s-%d", p.Name, v)}, Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: []*string{&static, &made, &made}[r.IntN(3)], AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse([]string{"1Gi", "5Gi"}[r.IntN(2)])}}}}
		c.objects = append(c.objects, k)
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: fmt.Sprint("v", v), VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: k.Name}}})
	}
	switch class := r.IntN(2); r.IntN(6) {
	case 0, 1:
		p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimTemplateName: ptr.To(fmt.Sprintf("%s-%d", c.name, class))}}
	case 2:
		p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimName: &c.name}}
	case 3:
		name := corev1.ResourceName(fmt.Sprintf("example.com/%s-%d", c.name, class))
		one := resource.MustParse("1")
		p.Spec.Containers[0].Resources.Requests[name], p.Spec.Containers[0].Resources.Limits[name] = one, one
	}
	if len(p.Spec.ResourceClaims) > 0 {
		p.Spec.Containers[0].Resources.Claims = []corev1.ResourceClaim{{Name: "gpu"}}
	}
	c.pods = append(c.pods, p)
}

// addNode makes a node of the offer, with its devices and limits.
func (c *claimsCase) addNode(o *cluster.Offer, name string) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
	for k, v := range o.Labels {
		n.Labels[k] = v
	}
	n.Status.Allocatable, n.Status.Capacity = o.Allocatable.DeepCopy(), o.Allocatable.DeepCopy()
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	c.nodes = append(c.nodes, n)
	for i := range o.Slices {
		s := o.Slices[i].DeepCopy()
		s.Name, s.Spec.Pool.Name, s.Spec.NodeName = name, name, &n.Name
		c.slices = append(c.slices, s)
	}
	if limit, ok := o.AttachLimits[csiDriver]; ok {
		c.limits[name] = limit
	}
}

func csiNode(name string, limit int32) *storagev1.CSINode {
	return &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{
		{Name: csiDriver, NodeID: name, Allocatable: &storagev1.VolumeNodeResources{Count: &limit}}}}}
}

// plan asks the planner about the case as it is in the cluster.
func (c *claimsCase) plan(t *testing.T) cluster.Plan {
	t.Helper()
	s := cluster.NewState()
	for _, o := range c.objects {
		require.NoError(t, s.Upsert(o))
	}
	for _, n := range c.nodes {
		s.SetNode(cluster.Node{Node: n, PricePerHour: 1})
		if limit, ok := c.limits[n.Name]; ok {
			require.NoError(t, s.Upsert(csiNode(n.Name, limit)))
		}
	}
	for _, sl := range c.slices {
		require.NoError(t, s.Upsert(sl))
	}
	for _, p := range c.pods {
		require.NoError(t, s.Upsert(p))
	}
	s.SetOffers(c.offers)
	return s.Plan(cluster.Options{})
}

func TestClaimsAgainstTheScheduler(t *testing.T) {
	path := os.Getenv("YAGURA_TEST_KUBECONFIG")
	if path == "" {
		const message = "no Kubernetes to test on: start one with `bin/devcluster up --nodes 0` and set YAGURA_TEST_KUBECONFIG to the path that `bin/devcluster kubeconfig` prints"
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	require.NoError(t, err)
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	l := &claimsLab{client: client, ctx: t.Context()}
	first := uint64(1)
	if seed := os.Getenv("YAGURA_CLAIMS_SEED"); seed != "" {
		_, err := fmt.Sscan(seed, &first)
		require.NoError(t, err)
	}
	t.Logf("seeds from %d: set YAGURA_CLAIMS_SEED to have them again", first)
	n := uint64(claimsCases)
	if s := os.Getenv("YAGURA_CLAIMS_CASES"); s != "" {
		_, err := fmt.Sscan(s, &n)
		require.NoError(t, err)
	}
	var cases []*claimsCase
	for i := range n {
		cases = append(cases, drawClaims(first+i))
	}
	t.Cleanup(func() { l.clean(cases) })
	l.run(t, cases)
}

type claimsLab struct {
	client kubernetes.Interface
	ctx    context.Context
}

func (l *claimsLab) run(t *testing.T, cases []*claimsCase) {
	plans := make([]cluster.Plan, len(cases))
	for i, c := range cases {
		l.make(t, c)
		plans[i] = c.plan(t)
		for k := range plans[i].Create {
			c.addNode(&plans[i].Create[k].Offer, fmt.Sprintf("%s-new-%d", c.name, k))
		}
	}
	// The pods of the plan go first, onto what it bought.
	expected := map[string]bool{}
	for i, c := range cases {
		l.makeNodes(t, c)
		for _, pl := range planned(c, plans[i]) {
			expected[pl.Pod.Name] = true
			p := c.pods[slices.IndexFunc(c.pods, func(p *corev1.Pod) bool { return p.Name == pl.Pod.Name })].DeepCopy()
			// The plan promises that each pod can go where it says, and not that the scheduler would prefer it.
			p.Spec.NodeSelector[corev1.LabelHostname] = pl.Node
			l.create(t, p)
		}
	}
	missing := l.await(t, expected, 3*time.Minute)
	for _, name := range missing {
		t.Errorf("%s is in the plan, and the scheduler does not bind it: %s", name, l.message(name))
	}
	// The others must wait, whatever is bought.
	var others []string
	for i, c := range cases {
		before := len(c.nodes)
		for k := range c.offers {
			c.addNode(&c.offers[k], fmt.Sprintf("%s-more-%d", c.name, k))
		}
		l.makeNodes(t, &claimsCase{nodes: c.nodes[before:], slices: c.slices, limits: c.limits})
		for _, u := range plans[i].Unschedulable {
			others = append(others, u.Pod.Name)
		}
		for _, p := range c.pods {
			if !expected[p.Name] {
				l.create(t, p)
			}
		}
	}
	l.await(t, map[string]bool{"nothing": true}, 8*time.Second)
	for _, name := range others {
		p, err := l.client.CoreV1().Pods("default").Get(l.ctx, name, metav1.GetOptions{})
		require.NoError(t, err)
		if p.Spec.NodeName != "" {
			t.Errorf("%s was called unschedulable, and is on %s", name, p.Spec.NodeName)
		}
	}
	bought := 0
	for i := range plans {
		bought += len(plans[i].Create)
	}
	t.Logf("%d cases: %d pods planned on %d new nodes and those there were, %d unschedulable", len(cases), len(expected), bought, len(others))
}

func planned(c *claimsCase, p cluster.Plan) []cluster.Placement {
	out := slices.Clone(p.Placed)
	for i, n := range p.Create {
		for _, ref := range n.Pods {
			out = append(out, cluster.Placement{Pod: ref, Node: fmt.Sprintf("%s-new-%d", c.name, i)})
		}
	}
	return out
}

// make creates what pods refer to, and waits until volumes are there to be taken.
func (l *claimsLab) make(t *testing.T, c *claimsCase) {
	t.Helper()
	o := metav1.CreateOptions{}
	for i, obj := range c.objects {
		var err error
		switch x := obj.(type) {
		case *storagev1.StorageClass:
			_, err = l.client.StorageV1().StorageClasses().Create(l.ctx, x, o)
		case *corev1.PersistentVolume:
			_, err = l.client.CoreV1().PersistentVolumes().Create(l.ctx, x, o)
			require.Eventually(t, func() bool {
				v, err := l.client.CoreV1().PersistentVolumes().Get(l.ctx, x.Name, metav1.GetOptions{})
				if err == nil {
					c.objects[i] = v
				}
				return err == nil && v.Status.Phase == corev1.VolumeAvailable
			}, 30*time.Second, 20*time.Millisecond)
		case *corev1.PersistentVolumeClaim:
			_, err = l.client.CoreV1().PersistentVolumeClaims(x.Namespace).Create(l.ctx, x, o)
		case *resourcev1.DeviceClass:
			_, err = l.client.ResourceV1().DeviceClasses().Create(l.ctx, x, o)
		case *resourcev1.ResourceClaimTemplate:
			_, err = l.client.ResourceV1().ResourceClaimTemplates(x.Namespace).Create(l.ctx, x, o)
		case *resourcev1.ResourceClaim:
			_, err = l.client.ResourceV1().ResourceClaims(x.Namespace).Create(l.ctx, x, o)
		}
		require.NoError(t, err)
	}
}

// makeNodes creates those nodes, limits and slices that are not there yet: first what limits them, or the scheduler would be quicker.
func (l *claimsLab) makeNodes(t *testing.T, c *claimsCase) {
	t.Helper()
	there := func(_ any, err error) {
		t.Helper()
		if err != nil && !apierrors.IsAlreadyExists(err) {
			require.NoError(t, err)
		}
	}
	o := metav1.CreateOptions{}
	for _, s := range c.slices {
		there(l.client.ResourceV1().ResourceSlices().Create(l.ctx, s, o))
	}
	for _, n := range c.nodes {
		if limit, ok := c.limits[n.Name]; ok {
			there(l.client.StorageV1().CSINodes().Create(l.ctx, csiNode(n.Name, limit), o))
		}
		there(l.client.CoreV1().Nodes().Create(l.ctx, n, o))
		require.Eventually(t, func() bool {
			made, err := l.client.CoreV1().Nodes().Get(l.ctx, n.Name, metav1.GetOptions{})
			if err != nil {
				return false
			}
			made.Spec.Taints = nil
			made, err = l.client.CoreV1().Nodes().Update(l.ctx, made, metav1.UpdateOptions{})
			if err != nil {
				return false
			}
			made.Status.Allocatable, made.Status.Capacity, made.Status.Conditions = n.Status.Allocatable, n.Status.Capacity, n.Status.Conditions
			_, err = l.client.CoreV1().Nodes().UpdateStatus(l.ctx, made, metav1.UpdateOptions{})
			return err == nil
		}, 30*time.Second, 10*time.Millisecond)
	}
}

func (l *claimsLab) create(t *testing.T, p *corev1.Pod) {
	t.Helper()
	_, err := l.client.CoreV1().Pods(p.Namespace).Create(l.ctx, p, metav1.CreateOptions{})
	require.NoError(t, err)
}

// await makes the volumes that the scheduler asks for, until all the pods named are bound or the time is up; the others are returned.
func (l *claimsLab) await(t *testing.T, names map[string]bool, most time.Duration) []string {
	t.Helper()
	for deadline := time.Now().Add(most); ; time.Sleep(100 * time.Millisecond) {
		l.provision(t)
		pods, err := l.client.CoreV1().Pods("default").List(l.ctx, metav1.ListOptions{})
		require.NoError(t, err)
		bound := map[string]bool{}
		for i := range pods.Items {
			bound[pods.Items[i].Name] = pods.Items[i].Spec.NodeName != ""
		}
		var missing []string
		for name := range names {
			if !bound[name] {
				missing = append(missing, name)
			}
		}
		if len(missing) == 0 || time.Now().After(deadline) {
			return missing
		}
	}
}

// provision is the driver: a volume for each claim for which the scheduler has chosen a node, in the node's zone.
func (l *claimsLab) provision(t *testing.T) {
	t.Helper()
	claims, err := l.client.CoreV1().PersistentVolumeClaims("default").List(l.ctx, metav1.ListOptions{})
	require.NoError(t, err)
	for i := range claims.Items {
		k := &claims.Items[i]
		name := k.Annotations["volume.kubernetes.io/selected-node"]
		if name == "" || k.Spec.VolumeName != "" {
			continue
		}
		node, err := l.client.CoreV1().Nodes().Get(l.ctx, name, metav1.GetOptions{})
		if err != nil {
			continue
		}
		_, err = l.client.CoreV1().PersistentVolumes().Create(l.ctx, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-" + string(k.UID),
			Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": csiDriver}},
			Spec: corev1.PersistentVolumeSpec{StorageClassName: *k.Spec.StorageClassName, Capacity: corev1.ResourceList(k.Spec.Resources.Requests), AccessModes: k.Spec.AccessModes,
				PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain, NodeAffinity: zoneAffinity(node.Labels[corev1.LabelTopologyZone]),
				PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: csiDriver, VolumeHandle: string(k.UID)}},
				ClaimRef:               &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: k.Namespace, Name: k.Name, UID: k.UID}}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			require.NoError(t, err)
		}
	}
}

func (l *claimsLab) message(pod string) string {
	p, err := l.client.CoreV1().Pods("default").Get(l.ctx, pod, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Message
		}
	}
	return "it was not looked at"
}

// clean deletes what the cases made.
func (l *claimsLab) clean(cases []*claimsCase) {
	ctx, now := context.Background(), *metav1.NewDeleteOptions(0)
	all := metav1.ListOptions{}
	_ = l.client.CoreV1().Pods("default").DeleteCollection(ctx, now, all)
	_ = l.client.CoreV1().PersistentVolumeClaims("default").DeleteCollection(ctx, now, all)
	_ = l.client.ResourceV1().ResourceClaims("default").DeleteCollection(ctx, now, all)
	_ = l.client.ResourceV1().ResourceClaimTemplates("default").DeleteCollection(ctx, now, all)
	_ = l.client.CoreV1().PersistentVolumes().DeleteCollection(ctx, now, all)
	for _, c := range cases {
		for _, n := range c.nodes {
			_ = l.client.CoreV1().Nodes().Delete(ctx, n.Name, now)
			_ = l.client.StorageV1().CSINodes().Delete(ctx, n.Name, now)
			_ = l.client.ResourceV1().ResourceSlices().Delete(ctx, n.Name, now)
		}
		for _, obj := range c.objects {
			switch x := obj.(type) {
			case *storagev1.StorageClass:
				_ = l.client.StorageV1().StorageClasses().Delete(ctx, x.Name, now)
			case *resourcev1.DeviceClass:
				_ = l.client.ResourceV1().DeviceClasses().Delete(ctx, x.Name, now)
			}
		}
	}
}
