package volume

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagehelpers "k8s.io/component-helpers/storage/volume"
	csitranslation "k8s.io/csi-translation-lib"
	"k8s.io/csi-translation-lib/plugins"
	"k8s.io/klog/v2"
)

// AttachLimit is how many volumes of a driver the node can have, and false where no limit is known.
func (c *Catalog) AttachLimit(node, driver string) (int, bool) {
	known := c.nodes[node]
	if known == nil {
		return 0, false
	}
	for i := range known.Spec.Drivers {
		d := &known.Spec.Drivers[i]
		if d.Name == driver && d.Allocatable != nil && d.Allocatable.Count != nil {
			return int(*d.Allocatable.Count), true
		}
	}
	return 0, false
}

// Installed says whether the driver has registered with the node's kubelet.
func (c *Catalog) Installed(node, driver string) bool {
	known := c.nodes[node]
	if known == nil {
		return false
	}
	for i := range known.Spec.Drivers {
		if known.Spec.Drivers[i].Name == driver {
			return true
		}
	}
	return false
}

// Attached are the volumes attached to the node as VolumeAttachments tell, by driver, in Needs.Attach's names. They take places also
// when no pod on the node uses them any more.
func (c *Catalog) Attached(node string) map[string][]string {
	var out map[string][]string
	for _, a := range c.attachments[node] {
		if a.Spec.Attacher == "" || a.Spec.Source.PersistentVolumeName == nil {
			continue
		}
		v := c.volumes[*a.Spec.Source.PersistentVolumeName]
		if v == nil || v.Spec.CSI == nil {
			continue
		}
		if out == nil {
			out = map[string][]string{}
		}
		out[a.Spec.Attacher] = append(out[a.Spec.Attacher], handle(a.Spec.Attacher, v.Spec.CSI.VolumeHandle))
	}
	for _, handles := range out {
		slices.Sort(handles)
	}
	return out
}

// handle names a volume so that two pods that share it name the same.
func handle(driver, id string) string { return driver + "/" + id }

// attachment is the driver and name of the volume that a claim has or will have; false when it is not one that is counted.
// A volume of a driver that was once built into Kubernetes counts as that of the CSI driver that took over.
func (c *Catalog) attachment(claim *corev1.PersistentVolumeClaim) (driver, name string, ok bool) {
	v := c.volumes[claim.Spec.VolumeName]
	if claim.Spec.VolumeName == "" || v == nil {
		return c.expectedAttachment(claim)
	}
	source := v.Spec.CSI
	if source == nil {
		translator := csitranslation.New()
		if !translator.IsPVMigratable(v) || !migrated(pluginOf(v, nil)) {
			return "", "", false
		}
		translated, err := translator.TranslateInTreePVToCSI(klog.Logger{}, v)
		if err != nil || translated.Spec.CSI == nil {
			return "", "", false
		}
		source = translated.Spec.CSI
	}
	if source.Driver == "" || source.VolumeHandle == "" {
		return "", "", false
	}
	return source.Driver, handle(source.Driver, source.VolumeHandle), true
}

// expectedAttachment is that of a claim without a volume: its class names the driver, and the claim stands for the volume.
func (c *Catalog) expectedAttachment(claim *corev1.PersistentVolumeClaim) (driver, name string, ok bool) {
	class := c.classes[storagehelpers.GetPersistentVolumeClaimClass(claim)]
	if class == nil || class.Provisioner == "" {
		return "", "", false
	}
	driver = class.Provisioner
	if translator := csitranslation.New(); translator.IsMigratableIntreePluginByName(driver) {
		if !migrated(driver) {
			return "", "", false
		}
		csi, err := translator.GetCSINameFromInTreeName(driver)
		if err != nil {
			return "", "", false
		}
		driver = csi
	}
	return driver, "claim:" + claim.Namespace + "/" + claim.Name, true
}

// inlineAttachment is that of a volume which the pod itself describes in the manner of a driver once built in.
func inlineAttachment(pod *corev1.Pod, v *corev1.Volume) (driver, name string, ok bool) {
	translator := csitranslation.New()
	if !translator.IsInlineMigratable(v) || !migrated(pluginOf(nil, v)) {
		return "", "", false
	}
	translated, err := translator.TranslateInTreeInlineVolumeToCSI(klog.Logger{}, v, pod.Namespace)
	if err != nil || translated == nil || translated.Spec.CSI == nil {
		return "", "", false
	}
	return translated.Spec.CSI.Driver, handle(translated.Spec.CSI.Driver, translated.Spec.CSI.VolumeHandle), true
}

func pluginOf(v *corev1.PersistentVolume, inline *corev1.Volume) string {
	name, err := csitranslation.New().GetInTreePluginNameFromSpec(v, inline)
	if err != nil {
		return ""
	}
	return name
}

// migrated are the built-in drivers whose volumes the scheduler counts as their CSI driver's.
func migrated(plugin string) bool {
	switch plugin {
	case plugins.AWSEBSInTreePluginName, plugins.GCEPDInTreePluginName, plugins.AzureDiskInTreePluginName,
		plugins.CinderInTreePluginName, plugins.PortworxVolumePluginName:
		return true
	}
	return false
}
