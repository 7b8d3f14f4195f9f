package volume_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	schedulinghelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/utils/ptr"

	"github.com/yagura-dev/yagura/autoscaler/cluster/volume"
)

const (
	zoneLabel = corev1.LabelTopologyZone
	betaZone  = corev1.LabelFailureDomainBetaZone
)

func pod(name string, volumes ...corev1.Volume) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid-of-" + "pod"}, Spec: corev1.PodSpec{Volumes: volumes}}
}

func uses(claim string) corev1.Volume {
	return corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}
}

type claimOption func(*corev1.PersistentVolumeClaim)

func claim(name string, options ...claimOption) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid-of-claim"}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}},
	}}
	for _, o := range options {
		o(c)
	}
	return c
}

func boundTo(volume string) claimOption {
	return func(c *corev1.PersistentVolumeClaim) {
		c.Spec.VolumeName = volume
		c.Annotations = map[string]string{"pv.kubernetes.io/bind-completed": "yes"}
		c.Status.Phase = corev1.ClaimBound
	}
}

func ofClass(name string) claimOption {
	return func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = &name }
}

func sized(size string) claimOption {
	return func(c *corev1.PersistentVolumeClaim) {
		c.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse(size)
	}
}

type volumeOption func(*corev1.PersistentVolume)

func persistent(name string, options ...volumeOption) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
		Capacity:    corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")},
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		PersistentVolumeSource: corev1.PersistentVolumeSource{
			CSI: &corev1.CSIPersistentVolumeSource{Driver: "disk.example.com", VolumeHandle: "handle-of-" + name},
		},
	}, Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable}}
	for _, o := range options {
		o(v)
	}
	return v
}

func inZones(zones ...string) volumeOption {
	return func(v *corev1.PersistentVolume) {
		v.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: zoneLabel, Operator: corev1.NodeSelectorOpIn, Values: zones}},
		}}}}
	}
}

func forClass(name string) volumeOption {
	return func(v *corev1.PersistentVolume) { v.Spec.StorageClassName = name }
}

func holding(size string) volumeOption {
	return func(v *corev1.PersistentVolume) { v.Spec.Capacity[corev1.ResourceStorage] = resource.MustParse(size) }
}

func class(name, provisioner string, mode storagev1.VolumeBindingMode, zones ...string) *storagev1.StorageClass {
	s := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &mode}
	if len(zones) > 0 {
		s.AllowedTopologies = []corev1.TopologySelectorTerm{{MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{{Key: zoneLabel, Values: zones}}}}
	}
	return s
}

func node(name, zone string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
	if zone != "" {
		n.Labels[zoneLabel] = zone
	}
	return n
}

func catalog(objects ...any) *volume.Catalog {
	c := volume.NewCatalog()
	for _, o := range objects {
		c.Upsert(o)
	}
	return c
}

// admits says whether all of the pod's needs but limits let it onto the node.
func admits(t *testing.T, c *volume.Catalog, n volume.Needs, node *corev1.Node) bool {
	t.Helper()
	if n.Unschedulable != "" {
		return false
	}
	for _, s := range n.Terms {
		ok, err := schedulinghelpers.MatchNodeSelectorTerms(node, s)
		require.NoError(t, err)
		if !ok {
			return false
		}
	}
	_, _, ok := c.Reservations().Fits(&n, node)
	return ok
}

const (
	waits = storagev1.VolumeBindingWaitForFirstConsumer
	now   = storagev1.VolumeBindingImmediate
)

func TestWhereAPodMayGo(t *testing.T) {
	nodes := []*corev1.Node{node("a1", "a"), node("b1", "b"), node("c1", "c"), node("bare", "")}
	everywhere := []string{"a1", "b1", "c1", "bare"}
	labelled := func(key, value string) volumeOption {
		return func(v *corev1.PersistentVolume) { v.Labels = map[string]string{key: value} }
	}
	tests := map[string]struct {
		objects []any
		pod     *corev1.Pod
		want    []string
		why     string
	}{
		"no volumes": {pod: pod("p"), want: everywhere},
		"volumes that ask for nothing": {pod: pod("p",
			corev1.Volume{VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
			corev1.Volume{VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets.example.com"}}}), want: everywhere},
		"bound, reachable from one zone": {pod: pod("p", uses("data")),
			objects: []any{claim("data", boundTo("v")), persistent("v", inZones("b"))}, want: []string{"b1"}},
		"two bound in different zones": {pod: pod("p", uses("data"), uses("more")),
			objects: []any{claim("data", boundTo("v")), persistent("v", inZones("b", "c")), claim("more", boundTo("w")), persistent("w", inZones("a", "c"))}, want: []string{"c1"}},
		"bound, reachable from everywhere": {pod: pod("p", uses("data")),
			objects: []any{claim("data", boundTo("v")), persistent("v")}, want: everywhere},
		"zone as a label": {pod: pod("p", uses("data")),
			objects: []any{claim("data", boundTo("v")), persistent("v", labelled(zoneLabel, "a__c"))}, want: []string{"a1", "c1", "bare"}},
		"zone as the old label, nodes with the new": {pod: pod("p", uses("data")),
			objects: []any{claim("data", boundTo("v")), persistent("v", labelled(betaZone, "a"))}, want: []string{"a1", "bare"}},
		"a label that is no list of zones": {pod: pod("p", uses("data")),
			objects: []any{claim("data", boundTo("v")), persistent("v", labelled(zoneLabel, "a__"))}, want: everywhere},
		"bound to a volume that is gone": {pod: pod("p", uses("data")), objects: []any{claim("data", boundTo("v"))},
			why: "claim shop/data is bound to volume v, which does not exist"},
		"claim missing": {pod: pod("p", uses("data")), why: "claim shop/data does not exist"},
		"claim of another namespace": {pod: pod("p", uses("data")),
			objects: []any{claim("data", func(c *corev1.PersistentVolumeClaim) { c.Namespace = "else" })}, why: "claim shop/data does not exist"},
		"claim lost": {pod: pod("p", uses("data")),
			objects: []any{claim("data", boundTo("v"), func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimLost }), persistent("v")},
			why:     "claim shop/data has lost its volume v"},
		"claim being deleted": {pod: pod("p", uses("data")),
			objects: []any{claim("data", boundTo("v"), func(c *corev1.PersistentVolumeClaim) { c.DeletionTimestamp = &metav1.Time{} }), persistent("v")},
			why:     "claim shop/data is being deleted"},
		"not bound, no class": {pod: pod("p", uses("data")), objects: []any{claim("data")},
			why: "claim shop/data has no storage class and is not bound to a volume"},
		"not bound, class missing": {pod: pod("p", uses("data")), objects: []any{claim("data", ofClass("fast"))},
			why: "claim shop/data names storage class fast, which does not exist"},
		"not bound, binds at once": {pod: pod("p", uses("data")), objects: []any{claim("data", ofClass("fast")), class("fast", "disk.example.com", now)},
			why: "claim shop/data is not bound: storage class fast binds at once, without waiting for a pod"},
		"half bound": {pod: pod("p", uses("data")),
			objects: []any{claim("data", ofClass("fast"), func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "v" }), class("fast", "disk.example.com", waits), persistent("v")},
			why:     "claim shop/data waits for volume v to be bound to it"},
		"to be made anywhere": {pod: pod("p", uses("data")),
			objects: []any{claim("data", ofClass("fast")), class("fast", "disk.example.com", waits)}, want: everywhere},
		"to be made in some zones": {pod: pod("p", uses("data")),
			objects: []any{claim("data", ofClass("fast")), class("fast", "disk.example.com", waits, "a", "b")}, want: []string{"a1", "b1"}},
		"being made for a node": {pod: pod("p", uses("data")),
			objects: []any{claim("data", ofClass("fast"), func(c *corev1.PersistentVolumeClaim) {
				c.Annotations = map[string]string{"volume.kubernetes.io/selected-node": "b1"}
			}), class("fast", "disk.example.com", waits)}, want: []string{"b1"}},
		"cannot be made": {pod: pod("p", uses("data")),
			objects: []any{claim("data", ofClass("local")), class("local", "kubernetes.io/no-provisioner", waits)},
			why:     "no volume serves claim shop/data, and storage class local makes none"},
		"one that exists": {pod: pod("p", uses("data")),
			objects: []any{claim("data", ofClass("local")), class("local", "kubernetes.io/no-provisioner", waits), persistent("v", forClass("local"), inZones("c"))}, want: []string{"c1"}},
		"any of several that exist": {pod: pod("p", uses("data")),
			objects: []any{claim("data", ofClass("local")), class("local", "kubernetes.io/no-provisioner", waits),
				persistent("v", forClass("local"), inZones("c")), persistent("w", forClass("local"), inZones("a"), holding("20Gi")), persistent("x", forClass("local"), inZones("b"), holding("9Gi"))},
			want: []string{"a1", "c1"}},
		"one that exists, or made elsewhere": {pod: pod("p", uses("data")),
			objects: []any{claim("data", ofClass("fast")), class("fast", "disk.example.com", waits, "a"), persistent("v", forClass("fast"), inZones("c"))}, want: []string{"a1", "c1"}},
		"two claims and one volume": {pod: pod("p", uses("data"), uses("more")),
			objects: []any{claim("data", ofClass("local")), claim("more", ofClass("local")), class("local", "kubernetes.io/no-provisioner", waits), persistent("v", forClass("local"))}},
		"two claims, each its own size": {pod: pod("p", uses("data"), uses("more")),
			objects: []any{claim("data", ofClass("local"), sized("20Gi")), claim("more", ofClass("local"), sized("5Gi")), class("local", "kubernetes.io/no-provisioner", waits),
				persistent("v", forClass("local"), inZones("a", "b")), persistent("w", forClass("local"), inZones("b", "c"), holding("20Gi"))}, want: []string{"b1"}},
		"volume of another mode, other access, selector, phase, class, or going": {pod: pod("p", uses("data")),
			objects: []any{
				claim("data", ofClass("local"), func(c *corev1.PersistentVolumeClaim) {
					c.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "gold"}}
				}),
				class("local", "kubernetes.io/no-provisioner", waits),
				persistent("block", forClass("local"), labelled("tier", "gold"), func(v *corev1.PersistentVolume) { v.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock) }),
				persistent("readers", forClass("local"), labelled("tier", "gold"), func(v *corev1.PersistentVolume) {
					v.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany}
				}),
				persistent("silver", forClass("local"), labelled("tier", "silver")),
				persistent("released", forClass("local"), labelled("tier", "gold"), func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeReleased }),
				persistent("other", forClass("other"), labelled("tier", "gold")),
				persistent("going", forClass("local"), labelled("tier", "gold"), func(v *corev1.PersistentVolume) { v.DeletionTimestamp = &metav1.Time{} }),
				persistent("attributes", forClass("local"), labelled("tier", "gold"), func(v *corev1.PersistentVolume) { v.Spec.VolumeAttributesClassName = ptr.To("gold") }),
				persistent("taken", forClass("local"), labelled("tier", "gold"), func(v *corev1.PersistentVolume) {
					v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "shop", Name: "somebody"}
				}),
			},
			why: "no volume serves claim shop/data, and storage class local makes none"},
		"the volume that waits for it, whatever its labels": {pod: pod("p", uses("data")),
			objects: []any{claim("data", ofClass("local")), class("local", "kubernetes.io/no-provisioner", waits), persistent("v", forClass("local"), inZones("a")),
				persistent("mine", forClass("local"), inZones("c"), func(v *corev1.PersistentVolume) {
					v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "shop", Name: "data"}
				})}, want: []string{"c1"}},
		"room by zone": {pod: pod("p", uses("data")),
			objects: []any{claim("data", ofClass("fast")), class("fast", "disk.example.com", waits), tracked("disk.example.com"),
				room("r1", "fast", "a", "100Gi", ""), room("r2", "fast", "b", "5Gi", ""), room("r3", "fast", "c", "100Gi", "9Gi"), room("r4", "slow", "b", "100Gi", "")},
			want: []string{"a1"}},
		"room nowhere": {pod: pod("p", uses("data")),
			objects: []any{claim("data", ofClass("fast")), class("fast", "disk.example.com", waits), tracked("disk.example.com"), room("r2", "fast", "b", "5Gi", "")},
			why:     "no volume serves claim shop/data, and driver disk.example.com has not enough room left anywhere for 10Gi of storage class fast"},
		"room or an existing volume": {pod: pod("p", uses("data")),
			objects: []any{claim("data", ofClass("fast")), class("fast", "disk.example.com", waits, "a", "b"), tracked("disk.example.com"),
				room("r1", "fast", "a", "100Gi", ""), room("r3", "fast", "c", "100Gi", ""), persistent("v", forClass("fast"), inZones("c"))},
			want: []string{"a1", "c1"}},
		"ephemeral, claim not made yet": {pod: pod("p", generic("scratch")), why: "claim shop/p-scratch does not exist yet: it is made from the pod's ephemeral volume"},
		"ephemeral, somebody else's": {pod: pod("p", generic("scratch")), objects: []any{claim("p-scratch", boundTo("v")), persistent("v")},
			why: "claim shop/p-scratch is not the pod's own"},
		"ephemeral": {pod: pod("p", generic("scratch")), want: []string{"a1"},
			objects: []any{class("fast", "disk.example.com", waits, "a"), claim("p-scratch", ofClass("fast"), func(c *corev1.PersistentVolumeClaim) {
				c.OwnerReferences = []metav1.OwnerReference{{Kind: "Pod", Name: "p", UID: "uid-of-pod", Controller: ptr.To(true)}}
			})}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := catalog(tt.objects...)
			needs := c.Needs(tt.pod)
			assert.Equal(t, tt.why, needs.Unschedulable)
			var got []string
			for _, n := range nodes {
				if admits(t, c, needs, n) {
					got = append(got, n.Name)
				}
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

func generic(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}
}

func tracked(driver string) *storagev1.CSIDriver {
	return &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: driver}, Spec: storagev1.CSIDriverSpec{StorageCapacity: ptr.To(true)}}
}

func room(name, class, zone, left, largest string) *storagev1.CSIStorageCapacity {
	k := &storagev1.CSIStorageCapacity{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}, StorageClassName: class,
		NodeTopology: &metav1.LabelSelector{MatchLabels: map[string]string{zoneLabel: zone}}, Capacity: ptr.To(resource.MustParse(left))}
	if largest != "" {
		k.MaximumVolumeSize = ptr.To(resource.MustParse(largest))
	}
	return k
}

func TestWhatIsAttached(t *testing.T) {
	tests := map[string]struct {
		objects []any
		volumes []corev1.Volume
		want    map[string][]string
	}{
		"by driver, each volume once": {
			objects: []any{claim("a", boundTo("v")), claim("b", boundTo("w")), persistent("v"), persistent("w"),
				claim("c", boundTo("x")), persistent("x", func(v *corev1.PersistentVolume) { v.Spec.CSI.Driver = "file.example.com" })},
			volumes: []corev1.Volume{uses("a"), uses("b"), uses("a"), uses("c")},
			want:    map[string][]string{"disk.example.com": {"disk.example.com/handle-of-v", "disk.example.com/handle-of-w"}, "file.example.com": {"file.example.com/handle-of-x"}},
		},
		"the class tells for those to be made": {
			objects: []any{claim("a", ofClass("fast")), class("fast", "disk.example.com", waits)},
			volumes: []corev1.Volume{uses("a")},
			want:    map[string][]string{"disk.example.com": {"claim:shop/a"}},
		},
		"built-in drivers count as their successors": {
			objects: []any{
				claim("a", boundTo("v")), persistent("v", func(v *corev1.PersistentVolume) {
					v.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: "vol-1"}}
				}),
				claim("b", ofClass("gp2")), class("gp2", "kubernetes.io/aws-ebs", waits),
			},
			volumes: []corev1.Volume{uses("a"), uses("b"), {VolumeSource: corev1.VolumeSource{AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: "vol-2"}}}},
			want:    map[string][]string{"ebs.csi.aws.com": {"ebs.csi.aws.com/vol-1", "claim:shop/b", "ebs.csi.aws.com/vol-2"}},
		},
		"volumes that are not attached": {
			objects: []any{claim("a", boundTo("v")), persistent("v", func(v *corev1.PersistentVolume) {
				v.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{NFS: &corev1.NFSVolumeSource{Server: "nas"}}
			})},
			volumes: []corev1.Volume{uses("a"), {VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "disk.example.com"}}}},
		},
		"also for a pod whose other claim is gone": {
			objects: []any{claim("a", boundTo("v")), persistent("v")},
			volumes: []corev1.Volume{uses("gone"), uses("a")},
			want:    map[string][]string{"disk.example.com": {"disk.example.com/handle-of-v"}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := catalog(tt.objects...).Needs(pod("p", tt.volumes...)).Attach
			assert.Empty(t, cmp.Diff(tt.want, got))
		})
	}
}

func TestLimitsAndAttachmentsOfANode(t *testing.T) {
	attachment := func(name, node, volume string) *storagev1.VolumeAttachment {
		return &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: storagev1.VolumeAttachmentSpec{
			Attacher: "disk.example.com", NodeName: node, Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &volume},
		}}
	}
	c := catalog(
		&storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{
			{Name: "disk.example.com", Allocatable: &storagev1.VolumeNodeResources{Count: ptr.To[int32](25)}}, {Name: "file.example.com"},
		}}},
		&storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "disk.example.com"}, Spec: storagev1.CSIDriverSpec{PreventPodSchedulingIfMissing: ptr.To(true)}},
		persistent("v"), persistent("w"), claim("a", boundTo("v")), attachment("va", "n", "w"), attachment("vb", "m", "v"), attachment("vc", "n", "gone"),
	)
	limit, known := c.AttachLimit("n", "disk.example.com")
	assert.True(t, known)
	assert.Equal(t, 25, limit)
	_, known = c.AttachLimit("n", "file.example.com")
	assert.False(t, known)
	_, known = c.AttachLimit("m", "disk.example.com")
	assert.False(t, known)

	assert.Equal(t, []string{"disk.example.com"}, c.Needs(pod("p", uses("a"))).Drivers)
	assert.True(t, c.Installed("n", "disk.example.com"))
	assert.False(t, c.Installed("m", "disk.example.com"))

	assert.Equal(t, map[string][]string{"disk.example.com": {"disk.example.com/handle-of-w"}}, c.Attached("n"))
	assert.True(t, c.Upsert(attachment("vb", "n", "v")), "an attachment that moves")
	assert.Empty(t, c.Attached("m"))
	c.Delete(attachment("va", "n", "w"))
	assert.Equal(t, map[string][]string{"disk.example.com": {"disk.example.com/handle-of-v"}}, c.Attached("n"))
}

func TestClaimsForOnePodAlone(t *testing.T) {
	once := func(c *corev1.PersistentVolumeClaim) {
		c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}
	}
	c := catalog(claim("a", boundTo("v"), once), claim("b", boundTo("w")), persistent("v"), persistent("w"))
	assert.Equal(t, []string{"shop/a"}, c.Needs(pod("p", uses("a"), uses("b"))).Exclusive)
}

func TestDisksThatMayNotMeet(t *testing.T) {
	gce := func(name string, readOnly bool) corev1.Volume {
		return corev1.Volume{VolumeSource: corev1.VolumeSource{GCEPersistentDisk: &corev1.GCEPersistentDiskVolumeSource{PDName: name, ReadOnly: readOnly}}}
	}
	ebs := func(id string) corev1.Volume {
		return corev1.Volume{VolumeSource: corev1.VolumeSource{AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: id, ReadOnly: true}}}
	}
	rbd := func(image string, readOnly bool, monitors ...string) corev1.Volume {
		return corev1.Volume{VolumeSource: corev1.VolumeSource{RBD: &corev1.RBDVolumeSource{CephMonitors: monitors, RBDPool: "p", RBDImage: image, ReadOnly: readOnly}}}
	}
	iscsi := func(iqn string, readOnly bool) corev1.Volume {
		return corev1.Volume{VolumeSource: corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{IQN: iqn, ReadOnly: readOnly}}}
	}
	tests := map[string]struct {
		a, b corev1.Volume
		want bool
	}{
		"same disk, both write":         {gce("x", false), gce("x", false), true},
		"same disk, one writes":         {gce("x", true), gce("x", false), true},
		"same disk, both read":          {gce("x", true), gce("x", true), false},
		"other disk":                    {gce("x", false), gce("y", false), false},
		"elastic block store, all read": {ebs("x"), ebs("x"), true},
		"same image by one monitor":     {rbd("i", false, "m1", "m2"), rbd("i", true, "m2", "m3"), true},
		"same image by no monitor":      {rbd("i", false, "m1"), rbd("i", false, "m3"), false},
		"other image":                   {rbd("i", false, "m1"), rbd("j", false, "m1"), false},
		"iscsi":                         {iscsi("q", true), iscsi("q", false), true},
		"iscsi, both read":              {iscsi("q", true), iscsi("q", true), false},
		"other kinds":                   {gce("x", false), ebs("x"), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := catalog()
			got := false
			for _, a := range c.Needs(pod("a", tt.a)).Disks {
				for _, b := range c.Needs(pod("b", tt.b)).Disks {
					got = got || a.Conflicts(b)
				}
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestAVolumeServesOneClaim(t *testing.T) {
	objects := []any{class("local", "kubernetes.io/no-provisioner", waits)}
	for i := range 3 {
		objects = append(objects, claim(fmt.Sprint("data-", i), ofClass("local")))
	}
	objects = append(objects, persistent("v", forClass("local"), inZones("a")), persistent("w", forClass("local"), inZones("a"), holding("20Gi")))
	c := catalog(objects...)
	r := c.Reservations()
	needs := make([]volume.Needs, 3)
	a := node("a1", "a")
	for i := range needs {
		needs[i] = c.Needs(pod(fmt.Sprint("p", i), uses(fmt.Sprint("data-", i))))
		picks, reason, ok := r.Fits(&needs[i], a)
		if i == 2 {
			require.False(t, ok)
			assert.Equal(t, "no volume is left that could serve claim shop/data-2 here", reason)
			continue
		}
		require.True(t, ok)
		assert.Equal(t, []volume.Pick{{Claim: fmt.Sprint("shop/data-", i), Volume: []string{"v", "w"}[i]}}, picks, "the smallest first")
		r.Take(&needs[i], a, picks)
	}
	r.Release(&needs[0])
	picks, _, ok := r.Fits(&needs[2], a)
	require.True(t, ok, "what was given back serves another")
	assert.Equal(t, "v", picks[0].Volume)
	_, _, ok = c.Reservations().Fits(&needs[2], node("b1", "b"))
	assert.False(t, ok)
}

func TestPodsThatShareAnUnboundClaimGoWhereItsVolumeIs(t *testing.T) {
	shared := pod("p", uses("data"))
	t.Run("to be made", func(t *testing.T) {
		c := catalog(claim("data", ofClass("fast")), class("fast", "disk.example.com", waits))
		r, needs := c.Reservations(), c.Needs(shared)
		picks, _, ok := r.Fits(&needs, node("b1", "b"))
		require.True(t, ok)
		r.Take(&needs, node("b1", "b"), picks)
		_, reason, ok := r.Fits(&needs, node("a1", "a"))
		assert.False(t, ok)
		assert.Equal(t, "claim shop/data gets its volume where another pod that uses it goes", reason)
		_, _, ok = r.Fits(&needs, node("b2", "b"))
		assert.True(t, ok)
		r.Take(&needs, node("b2", "b"), nil)
		r.Release(&needs)
		_, _, ok = r.Fits(&needs, node("a1", "a"))
		assert.False(t, ok, "one of them is still there")
		r.Release(&needs)
		_, _, ok = r.Fits(&needs, node("a1", "a"))
		assert.True(t, ok)
	})
	t.Run("one that exists", func(t *testing.T) {
		c := catalog(claim("data", ofClass("local")), class("local", "kubernetes.io/no-provisioner", waits),
			persistent("v", forClass("local"), inZones("a", "b")), persistent("w", forClass("local"), inZones("c"), holding("20Gi")))
		r, needs := c.Reservations(), c.Needs(shared)
		picks, _, ok := r.Fits(&needs, node("b1", "b"))
		require.True(t, ok)
		r.Take(&needs, node("b1", "b"), picks)
		_, _, ok = r.Fits(&needs, node("a1", "a"))
		assert.True(t, ok)
		_, _, ok = r.Fits(&needs, node("c1", "c"))
		assert.False(t, ok, "the claim has its volume now, although another would serve here")
	})
}

func TestUpsertTellsWhatChangedAndDeleteForgets(t *testing.T) {
	versioned := func(version string) *corev1.PersistentVolume {
		v := persistent("v", forClass("local"))
		v.ResourceVersion = version
		return v
	}
	c := catalog(claim("data", ofClass("local")), class("local", "kubernetes.io/no-provisioner", waits))
	p := pod("p", uses("data"))
	assert.True(t, c.Upsert(versioned("1")))
	assert.False(t, c.Upsert(versioned("1")))
	assert.Empty(t, c.Needs(p).Unschedulable)
	taken := versioned("2")
	taken.Status.Phase = corev1.VolumeBound
	taken.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "shop", Name: "other"}
	assert.True(t, c.Upsert(taken))
	assert.NotEmpty(t, c.Needs(p).Unschedulable)
	assert.True(t, c.Upsert(versioned("3")))
	assert.Empty(t, c.Needs(p).Unschedulable)
	c.Delete(versioned("3"))
	assert.NotEmpty(t, c.Needs(p).Unschedulable)
	assert.False(t, c.Upsert(&corev1.Pod{}), "not storage")
	for _, o := range []any{claim("data"), class("local", "", waits), tracked("d"), room("r", "local", "a", "1Gi", ""), &storagev1.CSINode{}, &storagev1.VolumeAttachment{}, "nonsense", nil} {
		c.Delete(o)
	}
	assert.Equal(t, "claim shop/data does not exist", c.Needs(p).Unschedulable)
}

func BenchmarkNeeds(b *testing.B) {
	c := catalog(claim("data", boundTo("v")), persistent("v", inZones("a")))
	token := corev1.Volume{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}
	for name, p := range map[string]*corev1.Pod{"none": pod("p", token), "bound": pod("p", token, uses("data"))} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Needs(p)
			}
		})
	}
}
