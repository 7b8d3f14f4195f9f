package device

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// want is one claim of a pod.
type want struct {
	// key is set for a claim that exists, or that other pods may share.
	key types.NamespacedName
	// claim is what is asked for.
	claim *resourcev1.ResourceClaim
	// label names it in reasons.
	label string
}

// wants are the pod's claims, those included that are still to be made from templates. The reason says why there can be none as
// things are.
func (c *Catalog) wants(pod *corev1.Pod) ([]want, string) {
	var out []want
	for i := range pod.Spec.ResourceClaims {
		ref := &pod.Spec.ResourceClaims[i]
		w, reason := c.want(pod, ref)
		if reason != "" {
			return nil, reason
		}
		if w.claim == nil {
			continue
		}
		if reason := c.missingClass(&w); reason != "" {
			return nil, reason
		}
		out = append(out, w)
	}
	return out, ""
}

func (c *Catalog) want(pod *corev1.Pod, ref *corev1.PodResourceClaim) (want, string) {
	if ref.ResourceClaimName == nil && ref.ResourceClaimTemplateName == nil {
		return want{}, fmt.Sprintf("claim %s of the pod names neither a resource claim nor a template", ref.Name)
	}
	name, own, err := resourceclaim.Name(pod, ref)
	if err != nil {
		// The claim will be made from the template in a moment, and so it is planned for.
		return c.fromTemplate(pod, ref)
	}
	if name == nil {
		return want{}, "" // the template was found to need no claim
	}
	key := types.NamespacedName{Namespace: pod.Namespace, Name: *name}
	claim := c.claims[key]
	switch {
	case claim == nil:
		return want{}, fmt.Sprintf("resource claim %s does not exist", key)
	case claim.DeletionTimestamp != nil:
		return want{}, fmt.Sprintf("resource claim %s is being deleted", key)
	case own && resourceclaim.IsForPod(pod, claim, false) != nil:
		return want{}, fmt.Sprintf("resource claim %s was made for another pod", key)
	}
	return want{key: key, claim: claim, label: "resource claim " + key.String()}, ""
}

func (c *Catalog) fromTemplate(pod *corev1.Pod, ref *corev1.PodResourceClaim) (want, string) {
	key := types.NamespacedName{Namespace: pod.Namespace, Name: *ref.ResourceClaimTemplateName}
	template := c.templates[key]
	if template == nil {
		return want{}, fmt.Sprintf("resource claim template %s does not exist", key)
	}
	claim := &resourcev1.ResourceClaim{Spec: template.Spec.Spec}
	claim.Namespace, claim.Name = pod.Namespace, pod.Name+"-"+ref.Name
	claim.UID = types.UID("expected/" + ref.Name)
	return want{claim: claim, label: "resource claim template " + key.String()}, ""
}

// missingClass says which class of a claim without devices does not exist.
func (c *Catalog) missingClass(w *want) string {
	if w.claim.Status.Allocation != nil {
		return ""
	}
	for i := range w.claim.Spec.Devices.Requests {
		request := &w.claim.Spec.Devices.Requests[i]
		classes := make([]string, 0, 1)
		if request.Exactly != nil {
			classes = append(classes, request.Exactly.DeviceClassName)
		}
		for k := range request.FirstAvailable {
			classes = append(classes, request.FirstAvailable[k].DeviceClassName)
		}
		if len(classes) == 0 {
			return fmt.Sprintf("%s: request %s is of a kind that is not known here", w.label, request.Name)
		}
		for _, class := range classes {
			if c.classes[class] == nil {
				return fmt.Sprintf("%s: device class %s does not exist", w.label, class)
			}
		}
	}
	return ""
}

// extended is the claim that the scheduler makes for extended resources that devices stand behind and of which the node has none
// otherwise; false when there are none.
func (c *Catalog) extended(pod *corev1.Pod, node *corev1.Node) (want, bool) {
	if len(c.behind) == 0 {
		return want{}, false
	}
	var names []corev1.ResourceName
	all := slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
	for i := range all {
		for name, quantity := range all[i].Resources.Requests {
			if quantity.IsZero() || c.behind[name] == nil || slices.Contains(names, name) {
				continue
			}
			if has := node.Status.Allocatable[name]; has.IsZero() {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return want{}, false
	}
	slices.Sort(names)
	claim := &resourcev1.ResourceClaim{}
	claim.Namespace, claim.Name, claim.UID = pod.Namespace, pod.Name+"-extended-resources", "extended"
	for _, name := range names {
		claim.Spec.Devices.Requests = append(claim.Spec.Devices.Requests, deviceRequests(all, len(pod.Spec.InitContainers), name, c.behind[name].Name)...)
	}
	slices.SortFunc(claim.Spec.Devices.Requests, func(a, b resourcev1.DeviceRequest) int { return strings.Compare(a.Name, b.Name) })
	return want{claim: claim, label: "extended resource " + string(names[0])}, true
}

// deviceRequests are the requests for one extended resource. Containers that run together each have their own devices; an init
// container that ends before the others start uses theirs first, and what init containers need beyond it they use one after another.
func deviceRequests(all []corev1.Container, inits int, resource corev1.ResourceName, class string) []resourcev1.DeviceRequest {
	request := func(container int, count int64) resourcev1.DeviceRequest {
		var names []string
		for name := range all[container].Resources.Requests {
			names = append(names, string(name))
		}
		slices.Sort(names)
		return resourcev1.DeviceRequest{
			Name: fmt.Sprintf("container-%d-request-%d", container, slices.Index(names, string(resource))),
			Exactly: &resourcev1.ExactDeviceRequest{
				DeviceClassName: class, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: count,
			},
		}
	}
	count := func(i int) int64 {
		q := all[i].Resources.Requests[resource]
		return q.Value()
	}
	lasts := func(i int) bool {
		return i >= inits || all[i].RestartPolicy != nil && *all[i].RestartPolicy == corev1.ContainerRestartPolicyAlways
	}
	var out []resourcev1.DeviceRequest
	for i := range all {
		if lasts(i) && count(i) > 0 {
			out = append(out, request(i, count(i)))
		}
	}
	most, of := int64(0), -1
	for i := range inits {
		if lasts(i) {
			continue
		}
		short := count(i)
		for k := i + 1; k < len(all); k++ {
			if lasts(k) {
				short -= count(k)
			}
		}
		if short > most {
			most, of = short, i
		}
	}
	if of >= 0 {
		out = append(out, request(of, most))
	}
	return out
}
