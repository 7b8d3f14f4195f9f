package volume

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/storage/ephemeral"
)

// Needs is what a pod's volumes ask of the node that is to run it. The zero value asks for nothing, and is that of most pods.
type Needs struct {
	// Terms must all match the node. They are complete but for what Choices say.
	Terms []*corev1.NodeSelector
	// Attach are the volumes that count against the node's limits, by driver. A volume that several pods on a node use has one name
	// and counts once.
	Attach map[string][]string
	// Drivers must have registered with the node's kubelet (Catalog.Installed). A node that does not exist yet is expected to
	// register them.
	Drivers []string
	// Exclusive are claims that only one pod may use at a time anywhere (ReadWriteOncePod), as namespace/name.
	Exclusive []string
	// Disks are disks that the pod names itself and that may not be on the node twice (Disk.Conflicts).
	Disks []Disk
	// Unbound are claims that get their volume when the pod is placed, as namespace/name. Pods that share one depend on each other:
	// ask Reservations for them.
	Unbound []string
	// Choices are those of the unbound claims that existing volumes may serve: ask Reservations, for each volume serves one claim.
	Choices []Choice
	// Unschedulable says why the pod can run nowhere as things are, empty when it can. Attach, Exclusive and Disks are complete all
	// the same, as a pod that already runs counts with them whatever has become of its claims.
	Unschedulable string
}

// Empty is true if any node will do.
func (n *Needs) Empty() bool {
	return len(n.Terms) == 0 && len(n.Attach) == 0 && len(n.Exclusive) == 0 && len(n.Disks) == 0 && len(n.Unbound) == 0 && n.Unschedulable == ""
}

// Disk is a disk that a pod names itself, without a claim.
type Disk struct {
	Name     string
	ReadOnly bool
}

// Conflicts is true if the two must not be used by two pods on one node.
func (d Disk) Conflicts(other Disk) bool {
	return d.Name == other.Name && !(d.ReadOnly && other.ReadOnly)
}

// Needs answers for one pod. The answer holds until an Upsert that returns true, or a Delete.
func (c *Catalog) Needs(pod *corev1.Pod) Needs {
	var n Needs
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		switch {
		case v.PersistentVolumeClaim != nil:
			c.addClaim(&n, pod, v.PersistentVolumeClaim.ClaimName, false)
		case v.Ephemeral != nil:
			c.addClaim(&n, pod, ephemeral.VolumeClaimName(pod, v), true)
		case v.ConfigMap != nil, v.Secret != nil, v.EmptyDir != nil, v.Projected != nil, v.DownwardAPI != nil, v.HostPath != nil:
			// By far the most volumes; they need no more of a node than its disk.
		default:
			if driver, name, ok := inlineAttachment(pod, v); ok {
				n.attach(driver, name)
			}
			n.Disks = append(n.Disks, disks(v)...)
		}
	}
	// Smaller requests take their volumes first, as in the scheduler.
	slices.SortStableFunc(n.Choices, func(a, b Choice) int { return a.size.Cmp(b.size) })
	return n
}

func (n *Needs) attach(driver, name string) {
	if slices.Contains(n.Attach[driver], name) {
		return
	}
	if n.Attach == nil {
		n.Attach = map[string][]string{}
	}
	n.Attach[driver] = append(n.Attach[driver], name)
}

// fail keeps the first reason.
func (n *Needs) fail(format string, args ...any) {
	if n.Unschedulable == "" {
		n.Unschedulable = fmt.Sprintf(format, args...)
	}
}

// addClaim adds what one of the pod's claims asks for. Generic is true for a claim made from the pod's own template.
func (c *Catalog) addClaim(n *Needs, pod *corev1.Pod, name string, generic bool) {
	key := types.NamespacedName{Namespace: pod.Namespace, Name: name}
	claim := c.claims[key]
	if claim == nil {
		if generic {
			n.fail("claim %s does not exist yet: it is made from the pod's ephemeral volume", key)
		} else {
			n.fail("claim %s does not exist", key)
		}
		return
	}
	if generic {
		if err := ephemeral.VolumeIsForPod(pod, claim); err != nil {
			n.fail("claim %s is not the pod's own", key)
			return
		}
	}
	if driver, volume, ok := c.attachment(claim); ok {
		n.attach(driver, volume)
		// Drivers may ask that no pod with their volumes goes where they have not registered.
		if d := c.drivers[driver]; d != nil && d.Spec.PreventPodSchedulingIfMissing != nil && *d.Spec.PreventPodSchedulingIfMissing &&
			!slices.Contains(n.Drivers, driver) {
			n.Drivers = append(n.Drivers, driver)
		}
	}
	// The claim of an ephemeral volume has one user by its nature, and the scheduler does not look at its modes.
	if !generic && slices.Contains(claim.Spec.AccessModes, corev1.ReadWriteOncePod) && !slices.Contains(n.Exclusive, key.String()) {
		n.Exclusive = append(n.Exclusive, key.String())
	}
	switch {
	case claim.Status.Phase == corev1.ClaimLost:
		n.fail("claim %s has lost its volume %s", key, claim.Spec.VolumeName)
	case claim.DeletionTimestamp != nil:
		n.fail("claim %s is being deleted", key)
	case bound(claim):
		c.addBound(n, claim, !generic)
	default:
		c.addUnbound(n, claim)
	}
}

// disks are those of a volume that must not be on a node twice.
func disks(v *corev1.Volume) []Disk {
	switch {
	case v.GCEPersistentDisk != nil:
		return []Disk{{Name: "gce-pd:" + v.GCEPersistentDisk.PDName, ReadOnly: v.GCEPersistentDisk.ReadOnly}}
	case v.AWSElasticBlockStore != nil:
		// Not even two readers may share one of these.
		return []Disk{{Name: "aws-ebs:" + v.AWSElasticBlockStore.VolumeID}}
	case v.ISCSI != nil:
		return []Disk{{Name: "iscsi:" + v.ISCSI.IQN, ReadOnly: v.ISCSI.ReadOnly}}
	case v.RBD != nil:
		// The same image is meant when any of the monitors is the same.
		var out []Disk
		for _, monitor := range v.RBD.CephMonitors {
			d := Disk{Name: fmt.Sprintf("rbd:%s/%s/%s", monitor, v.RBD.RBDPool, v.RBD.RBDImage), ReadOnly: v.RBD.ReadOnly}
			if !slices.Contains(out, d) {
				out = append(out, d)
			}
		}
		return out
	}
	return nil
}
