package oracle

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DeviceDriver publishes the cases' devices, all of which are alike.
const DeviceDriver = "devices.oracle.example.com"

// deviceClass is of all devices of DeviceDriver.
const deviceClass = "oracle-devices"

// DeviceClass, with the templates in both namespaces of claims for one device and for two, is what cases share. They are made once.
func DeviceClass() (*resourcev1.DeviceClass, []*resourcev1.ResourceClaimTemplate) {
	class := &resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: deviceClass}, Spec: resourcev1.DeviceClassSpec{
		Selectors: []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{Expression: fmt.Sprintf("device.driver == %q", DeviceDriver)}}}}}
	var templates []*resourcev1.ResourceClaimTemplate
	for _, namespace := range []string{NamespaceA, NamespaceB} {
		for n := int64(1); n <= 2; n++ {
			request := resourcev1.DeviceRequest{Name: "r", Exactly: &resourcev1.ExactDeviceRequest{
				DeviceClassName: deviceClass, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: n}}
			templates = append(templates, &resourcev1.ResourceClaimTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: templateOf(int(n))},
				Spec: resourcev1.ResourceClaimTemplateSpec{Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{request}}}}})
		}
	}
	return class, templates
}

func templateOf(devices int) string { return fmt.Sprintf("oracle-devices-%d", devices) }

// devices gives some shapes devices.
func (g *generator) devices() {
	if !g.with("devices", 5) {
		return
	}
	g.c.Devices = map[string]int{}
	for i := range g.c.Offers {
		o := &g.c.Offers[i]
		if _, drawn := g.c.Devices[o.Name]; !drawn {
			g.c.Devices[o.Name] = g.IntN(4)
		}
		if s := g.c.Slice(o.Name, ""); s != nil {
			o.Slices = []resourcev1.ResourceSlice{*s}
		}
	}
}

// Slice is what a node of the shape publishes, nil when that is nothing. Of one that is to come the node has no name yet.
func (c *Case) Slice(shape, node string) *resourcev1.ResourceSlice {
	if c.Devices[shape] == 0 {
		return nil
	}
	s := &resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: resourcev1.ResourceSliceSpec{
		Driver: DeviceDriver, Pool: resourcev1.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: 1}}}
	if node != "" {
		s.Spec.NodeName = &node
	}
	for i := range c.Devices[shape] {
		s.Spec.Devices = append(s.Spec.Devices, resourcev1.Device{Name: fmt.Sprint("device-", i)})
	}
	return s
}

// claimDevices makes a pod claim devices for itself.
func (g *generator) claimDevices(p *corev1.Pod) {
	if len(g.c.Devices) == 0 || !g.with("device claims", 2) {
		return
	}
	template := templateOf(pick(g, 1, 1, 2))
	p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "devices", ResourceClaimTemplateName: &template}}
	p.Spec.Containers[0].Resources.Claims = []corev1.ResourceClaim{{Name: "devices"}}
}
