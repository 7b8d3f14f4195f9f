package clusterapi

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider/offer"
)

// Annotations on a group that say what its nodes would be, as cluster-autoscaler knows them. They go before what the infrastructure
// provider says.
const (
	capacityPrefix   = "capacity.cluster-autoscaler.kubernetes.io/"
	capacityCPU      = capacityPrefix + "cpu"
	capacityMemory   = capacityPrefix + "memory"
	capacityDisk     = capacityPrefix + "ephemeral-disk"
	capacityPods     = capacityPrefix + "maxPods"
	capacityGPUType  = capacityPrefix + "gpu-type"
	capacityGPUCount = capacityPrefix + "gpu-count"
	capacityLabels   = capacityPrefix + "labels"
	capacityTaints   = capacityPrefix + "taints"
	capacityDrivers  = capacityPrefix + "csi-driver"
)

// Offers are the groups: one machine more of each. A group of which nobody knows what its nodes would be is left out.
func (p *Provider) Offers(ctx context.Context, policy *v1alpha1.NodePolicy) ([]cluster.Offer, error) {
	groups, err := p.groups(ctx)
	if err != nil {
		return nil, err
	}
	var nodes *corev1.NodeList
	var out []cluster.Offer
	for _, g := range groups {
		if wanted := policy.Spec.Provider.Groups; len(wanted) > 0 && !slices.Contains(wanted, g.id) {
			continue
		}
		node, limits, err := p.describe(ctx, g)
		if err != nil {
			p.logger.Warn("what a group's nodes would be is not understood", "group", g.id, "error", err)
			continue
		}
		if !offer.Usable(node) {
			if nodes == nil {
				nodes = &corev1.NodeList{}
				if err := p.workload.List(ctx, nodes); err != nil {
					return nil, fmt.Errorf("list nodes: %w", err)
				}
			}
			if node, err = p.example(ctx, g, node, nodes.Items); err != nil {
				return nil, err
			}
			if node == nil {
				p.logger.Debug("nobody knows what a group's nodes would be", "group", g.id)
				continue
			}
		}
		o := offer.FromNode(node, g.id)
		o.Policy, o.AttachLimits, o.Stock = policy.Name, limits, max(0, g.max-g.size())
		o.PricePerHour = p.price(g, o)
		switch {
		case o.Stock == 0:
			o.Available, o.Unavailable = false, fmt.Sprintf("%s has its maximum of %d", g.id, g.max)
		case paused(g.object):
			o.Available, o.Unavailable = false, g.id+" is paused"
		}
		out = append(out, o)
	}
	return out, nil
}

func (p *Provider) price(g *group, o cluster.Offer) float64 {
	if price, err := strconv.ParseFloat(g.object.GetAnnotations()[priceAnnotation], 64); err == nil && valid(price) {
		return price
	}
	for _, key := range []string{g.id, o.Name} {
		if price, ok := p.cfg.Prices[key]; ok {
			return price
		}
	}
	return offer.Price(o.Allocatable, p.cfg.CPUPrice, p.cfg.MemoryPrice)
}

// describe is a node as the group's annotations, the infrastructure's template and the machines' template say that it would be. Its
// resources may be missing.
func (p *Provider) describe(ctx context.Context, g *group) (*corev1.Node, map[string]int32, error) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{
		corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
	}}}
	if err := p.infrastructure(ctx, g, node); err != nil {
		return nil, nil, err
	}
	// Cluster API brings labels of these domains to nodes.
	for key, value := range g.template.Labels {
		domain, _, _ := strings.Cut(key, "/")
		if domain == "node-role.kubernetes.io" || domain == "node-restriction.kubernetes.io" || strings.HasSuffix(domain, ".node-restriction.kubernetes.io") ||
			domain == "node.cluster.x-k8s.io" || strings.HasSuffix(domain, ".node.cluster.x-k8s.io") {
			node.Labels[key] = value
		}
	}
	if zone := g.template.Spec.FailureDomain; zone != "" {
		node.Labels[corev1.LabelTopologyZone] = zone
	}
	for _, t := range g.template.Spec.Taints {
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
	}
	limits, err := annotated(g.object.GetAnnotations(), node)
	if len(node.Status.Allocatable) > 0 {
		if _, ok := node.Status.Allocatable[corev1.ResourcePods]; !ok {
			node.Status.Allocatable[corev1.ResourcePods] = *resource.NewQuantity(110, resource.DecimalSI)
		}
	}
	return node, limits, err
}

// annotated lays a group's annotations over a node.
func annotated(annotations map[string]string, node *corev1.Node) (limits map[string]int32, err error) {
	set := func(name corev1.ResourceName, text string) error {
		q, err := resource.ParseQuantity(text)
		if err != nil || q.Sign() < 0 {
			return fmt.Errorf("annotation for %s: %q is no amount", name, text)
		}
		if node.Status.Allocatable == nil {
			node.Status.Allocatable = corev1.ResourceList{}
		}
		node.Status.Allocatable[name] = q
		return nil
	}
	for key, name := range map[string]corev1.ResourceName{
		capacityCPU: corev1.ResourceCPU, capacityMemory: corev1.ResourceMemory, capacityDisk: corev1.ResourceEphemeralStorage, capacityPods: corev1.ResourcePods,
	} {
		if text, ok := annotations[key]; ok {
			if err := set(name, text); err != nil {
				return nil, err
			}
		}
	}
	if kind, ok := annotations[capacityGPUType]; ok {
		if err := set(corev1.ResourceName(kind), annotations[capacityGPUCount]); err != nil {
			return nil, err
		}
	}
	for _, pair := range list(annotations[capacityLabels]) {
		key, value, _ := strings.Cut(pair, "=")
		node.Labels[key] = value
	}
	for _, text := range list(annotations[capacityTaints]) {
		rest, effect, ok := strings.Cut(text, ":")
		key, value, _ := strings.Cut(rest, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("annotation %s: %q is no taint", capacityTaints, text)
		}
		node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key && string(t.Effect) == effect })
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
	}
	for _, pair := range list(annotations[capacityDrivers]) {
		driver, text, _ := strings.Cut(pair, "=")
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("annotation %s: %q is no limit", capacityDrivers, pair)
		}
		if limits == nil {
			limits = map[string]int32{}
		}
		limits[driver] = int32(n)
	}
	return limits, nil
}

// list splits at commas.
func list(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// infrastructure fills in what the template of the infrastructure provider says of itself: status.capacity and status.nodeInfo, by
// Cluster API's contract.
func (p *Provider) infrastructure(ctx context.Context, g *group, node *corev1.Node) error {
	ref := g.template.Spec.InfrastructureRef
	mapping, err := p.management.RESTMapper().RESTMapping(schema.GroupKind{Group: ref.APIGroup, Kind: ref.Kind})
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find %s: %w", ref.Kind, err)
	}
	template := &unstructured.Unstructured{}
	template.SetGroupVersionKind(mapping.GroupVersionKind)
	err = p.management.Get(ctx, client.ObjectKey{Namespace: g.object.GetNamespace(), Name: ref.Name}, template)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil // the annotations, or a node, may say enough
	}
	if err != nil {
		return fmt.Errorf("get %s %s: %w", ref.Kind, ref.Name, err)
	}
	capacity, _, _ := unstructured.NestedMap(template.Object, "status", "capacity")
	for name, value := range capacity {
		q, err := resource.ParseQuantity(fmt.Sprint(value))
		if err != nil {
			return fmt.Errorf("%s %s: status.capacity.%s: %w", ref.Kind, ref.Name, name, err)
		}
		if node.Status.Allocatable == nil {
			node.Status.Allocatable = corev1.ResourceList{}
		}
		node.Status.Allocatable[corev1.ResourceName(name)] = q
	}
	for field, label := range map[string]string{"architecture": corev1.LabelArchStable, "operatingSystem": corev1.LabelOSStable} {
		if value, _, _ := unstructured.NestedString(template.Object, "status", "nodeInfo", field); value != "" {
			node.Labels[label] = value
		}
	}
	return nil
}

// example is a node of one of the group's machines, with what the group says laid over it. It is nil when there is none.
func (p *Provider) example(ctx context.Context, g *group, described *corev1.Node, nodes []corev1.Node) (*corev1.Node, error) {
	if _, err := p.look(ctx, g); err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, m := range g.machines {
		if m.Spec.ProviderID != "" {
			ids[m.Spec.ProviderID] = true
		}
	}
	for i := range nodes {
		if node := nodes[i].DeepCopy(); ids[node.Spec.ProviderID] && offer.Usable(node) {
			for name, q := range described.Status.Allocatable {
				node.Status.Allocatable[name] = q
			}
			return node, nil
		}
	}
	return nil, nil
}
