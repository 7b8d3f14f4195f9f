package oracle

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Driver is the CSI driver of the cases' volumes.
const Driver = "csi.oracle.example.com"

// Storage is what the pods of a case have mounted.
type Storage struct {
	Volumes []*corev1.PersistentVolume
	Claims  []*corev1.PersistentVolumeClaim
	// Limit bounds the volumes of Driver on each node, 0 when there is no bound.
	Limit int32
}

// draw gives the pod, and all that are like it, a volume that is bound already.
func (s *Storage) draw(g *generator, p *corev1.Pod) {
	if len(s.Volumes) == 0 && g.with("attach limits", 2) {
		s.Limit = int32(1 + g.IntN(2))
	}
	name := fmt.Sprintf("v%d-%d", g.c.Seed, len(s.Volumes))
	modes := []corev1.PersistentVolumeAccessMode{pick(g, corev1.ReadWriteMany, corev1.ReadWriteOnce)}
	if g.with("ReadWriteOncePod", 5) {
		modes[0] = corev1.ReadWriteOncePod
	}
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	class := ""
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
		Capacity: size, AccessModes: modes, StorageClassName: class, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: Driver, VolumeHandle: name}},
		ClaimRef:               &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: p.Namespace, Name: name},
	}}
	if g.with("volumes in a zone", 2) {
		zone := corev1.NodeSelectorRequirement{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{pick(g, g.zones...)}}
		v.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{zone}}}}}
	}
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: p.Namespace},
		Spec:       corev1.PersistentVolumeClaimSpec{AccessModes: modes, VolumeName: name, StorageClassName: &class, Resources: corev1.VolumeResourceRequirements{Requests: size}},
	}
	s.Volumes, s.Claims = append(s.Volumes, v), append(s.Claims, c)
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}})
}
