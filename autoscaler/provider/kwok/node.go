package kwok

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

const (
	// providerLabel tells the nodes of several simulated clouds apart, and from those that others made.
	providerLabel = "kwok." + v1alpha1.GroupName + "/provider"
	// offerAnnotation is what the node was bought as, for its stock.
	offerAnnotation = "kwok." + v1alpha1.GroupName + "/offer"
	groupAnnotation = "kwok." + v1alpha1.GroupName + "/group"
	imageAnnotation = "kwok." + v1alpha1.GroupName + "/image"

	// typeLabel and fakeAnnotation are kwok's marks of nodes that it plays. Both are set, since it is configured with either.
	typeLabel      = "type"
	typeKwok       = "kwok"
	typeStuck      = "kwok-stuck"
	fakeAnnotation = "kwok.x-k8s.io/node"
	// powerLabel is how the development cluster takes a simulated node's power away.
	powerLabel = "devcluster." + v1alpha1.GroupName + "/power"
	// metricsAnnotation is where kwok serves a node's usage.
	metricsAnnotation = "metrics.k8s.io/resource-metrics-path"
)

func providerID(claim string) string { return "kwok://" + claim }

func isNotFound(err error) bool { return errors.Is(err, provider.ErrNotFound) }

// register makes the node of a claim, unless it is there.
func (p *Provider) register(ctx context.Context, claim *v1alpha1.NodeClaim, fault FaultKind) (provider.Machine, error) {
	node := p.node(claim)
	if fault == FaultNeverReady {
		node.Labels[typeLabel] = typeStuck
		delete(node.Annotations, fakeAnnotation)
	}
	err := p.client.Create(ctx, node)
	if apierrors.IsAlreadyExists(err) {
		return p.Get(ctx, claim)
	}
	if err != nil {
		return provider.Machine{}, fmt.Errorf("create node %s: %w", claim.Name, err)
	}
	return p.machine(node), nil
}

// node is what a claim's machine registers.
func (p *Provider) node(claim *v1alpha1.NodeClaim) *corev1.Node {
	labels, annotations := map[string]string{}, map[string]string{}
	offer, ok := p.offer(claim)
	if ok {
		maps.Copy(labels, offer.Labels)
	}
	maps.Copy(labels, claim.Spec.Labels)
	maps.Copy(labels, map[string]string{
		typeLabel: typeKwok, providerLabel: p.name, corev1.LabelHostname: claim.Name,
		v1alpha1.LabelNodePolicy: claim.Spec.Policy, v1alpha1.LabelNodeClaim: claim.Name,
	})
	maps.Copy(annotations, claim.Spec.Annotations)
	maps.Copy(annotations, map[string]string{
		fakeAnnotation: "fake", offerAnnotation: stockOf(&offer), metricsAnnotation: "/metrics/nodes/" + claim.Name + "/metrics/resource",
	})
	if claim.Spec.Offer.Group != "" {
		annotations[groupAnnotation] = claim.Spec.Offer.Group
	}
	if claim.Spec.Image != "" {
		annotations[imageAnnotation] = claim.Spec.Image
	}
	resources := claim.Spec.Offer.Allocatable.DeepCopy()
	if len(resources) == 0 {
		resources = offer.Allocatable.DeepCopy()
	}
	if _, ok := resources[corev1.ResourcePods]; !ok && resources != nil {
		resources[corev1.ResourcePods] = *resource.NewQuantity(110, resource.DecimalSI)
	}
	version := claim.Spec.Version
	if version == "" {
		version = p.cfg.Version
	}
	arch := labels[corev1.LabelArchStable]
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: claim.Name, Labels: labels, Annotations: annotations},
		Spec: corev1.NodeSpec{
			ProviderID: providerID(claim.Name),
			Taints:     taints(offer.Taints, claim.Spec.Taints, claim.Spec.StartupTaints),
		},
		Status: corev1.NodeStatus{
			Allocatable: resources, Capacity: resources,
			NodeInfo: corev1.NodeSystemInfo{Architecture: arch, OperatingSystem: "linux", KubeletVersion: version, OSImage: claim.Spec.Image},
		},
	}
}

// taints are all of them, each key and effect once.
func taints(lists ...[]corev1.Taint) []corev1.Taint {
	type key struct {
		key    string
		effect corev1.TaintEffect
	}
	seen := map[key]bool{}
	var out []corev1.Taint
	for _, list := range lists {
		for _, t := range list {
			if k := (key{t.Key, t.Effect}); !seen[k] {
				seen[k] = true
				out = append(out, t)
			}
		}
	}
	return out
}

func (p *Provider) machine(node *corev1.Node) provider.Machine {
	m := provider.Machine{
		ID: node.Spec.ProviderID, Group: node.Annotations[groupAnnotation], NodeName: node.Name, Created: node.CreationTimestamp.Time, State: provider.Running,
		Version: node.Status.NodeInfo.KubeletVersion, Image: node.Annotations[imageAnnotation],
	}
	if node.Labels[providerLabel] == p.name {
		m.ID, m.Claim = providerID(node.Name), node.Name
	}
	if node.DeletionTimestamp != nil {
		m.State = provider.Deleting
	}
	return m
}

// nodes are all simulated ones.
func (p *Provider) nodes(ctx context.Context) ([]corev1.Node, error) {
	var list corev1.NodeList
	selector, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: typeLabel, Operator: metav1.LabelSelectorOpIn, Values: []string{typeKwok, typeStuck}},
	}})
	if err != nil {
		return nil, err
	}
	if err := p.client.List(ctx, &list, client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("list simulated nodes: %w", err)
	}
	return list.Items, nil
}

// sold counts machines by offer, nothing when no offer is limited.
func (p *Provider) sold(ctx context.Context) (map[string]int, error) {
	limited := false
	for i := range p.offers {
		limited = limited || p.offers[i].Stock >= 0
	}
	if !limited {
		return nil, nil
	}
	nodes, err := p.nodes(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for i := range nodes {
		if nodes[i].Labels[providerLabel] == p.name {
			out[nodes[i].Annotations[offerAnnotation]]++
		}
	}
	return out, nil
}

// stockOf names what is counted against an offer's stock.
func stockOf(o *cluster.Offer) string {
	return o.Name + "/" + o.Group + "/" + o.Zone + "/" + o.CapacityType
}

// offer is the one that a claim is for, policy and all.
func (p *Provider) offer(claim *v1alpha1.NodeClaim) (cluster.Offer, bool) {
	wanted := claim.Spec.Offer
	for i := range p.offers {
		o := &p.offers[i]
		if o.Name == wanted.Name && o.Group == wanted.Group && o.Zone == wanted.Zone && o.CapacityType == wanted.CapacityType {
			out := *o
			out.Policy = claim.Spec.Policy
			return out, true
		}
	}
	return cluster.Offer{}, false
}

func claimed(o *cluster.Offer) *v1alpha1.ClaimedOffer {
	return &v1alpha1.ClaimedOffer{Name: o.Name, Zone: o.Zone, CapacityType: o.CapacityType}
}
