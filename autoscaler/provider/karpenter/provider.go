// Package karpenter reads what an existing Karpenter has made, so that its nodes are explained beside ours: NodeClaims as machines,
// with what Karpenter says about each, and the rules of their NodePools. It never makes, changes or deletes anything.
//
// Karpenter's objects are read as they are, without its types, in version karpenter.sh/v1. It imports packages provider and offer and
// a Kubernetes client; the registry of providers imports it.
package karpenter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/offer"
)

// Config is empty: the objects are in the cluster.
type Config struct{}

// Validate accepts it.
func (Config) Validate() error { return nil }

// Dependencies are what the provider works with.
type Dependencies struct {
	// Client reads NodeClaims and NodePools of karpenter.sh.
	Client client.Reader
}

// Provider reads. It is safe for concurrent use.
type Provider struct {
	name   string
	client client.Reader
}

var _ provider.Provider = (*Provider)(nil)

// New returns the provider of this name.
func New(name string, _ Config, deps Dependencies) *Provider {
	return &Provider{name: name, client: deps.Client}
}

var (
	claims = schema.GroupVersionKind{Group: "karpenter.sh", Version: "v1", Kind: "NodeClaimList"}
	pools  = schema.GroupVersionKind{Group: "karpenter.sh", Version: "v1", Kind: "NodePoolList"}
)

const (
	poolLabel    = "karpenter.sh/nodepool"
	doNotDisrupt = "karpenter.sh/do-not-disrupt"
)

// Name is the one in the configuration.
func (p *Provider) Name() string { return p.name }

// Capabilities say that it only reads.
func (p *Provider) Capabilities() provider.Capabilities { return provider.Capabilities{ReadOnly: true} }

// Create is not supported: two autoscalers must not buy for the same pods.
func (p *Provider) Create(context.Context, *v1alpha1.NodeClaim) (provider.Machine, error) {
	return provider.Machine{}, fmt.Errorf("provider %s only reads what Karpenter makes: %w", p.name, provider.ErrUnsupported)
}

// Delete is not supported.
func (p *Provider) Delete(context.Context, *v1alpha1.NodeClaim) error {
	return fmt.Errorf("provider %s only reads what Karpenter makes: %w", p.name, provider.ErrUnsupported)
}

// Get finds nothing: no claim of ours has a machine here.
func (p *Provider) Get(context.Context, *v1alpha1.NodeClaim) (provider.Machine, error) {
	return provider.Machine{}, provider.ErrNotFound
}

// Offers are the shapes that Karpenter has bought and still has, none of them available: who reads about them knows what there is,
// and nobody buys.
func (p *Provider) Offers(ctx context.Context, policy *v1alpha1.NodePolicy) ([]cluster.Offer, error) {
	list, err := p.list(ctx, claims)
	if err != nil {
		return nil, err
	}
	seen := map[cluster.OfferID]bool{}
	var out []cluster.Offer
	for i := range list {
		claim := &list[i]
		group := claim.GetLabels()[poolLabel]
		if wanted := policy.Spec.Provider.Groups; len(wanted) > 0 && !slices.Contains(wanted, group) {
			continue
		}
		node := &corev1.Node{}
		node.Labels, node.Status.Allocatable = claim.GetLabels(), amounts(claim, "status", "allocatable")
		if !offer.Usable(node) {
			continue
		}
		o := offer.FromNode(node, group)
		o.Policy, o.Stock = policy.Name, 0
		o.Available, o.Unavailable = false, "Karpenter buys it, not Yagura"
		if !seen[o.ID()] {
			seen[o.ID()] = true
			out = append(out, o)
		}
	}
	return out, nil
}

// List returns Karpenter's machines, none of which is a claim's of ours.
func (p *Provider) List(ctx context.Context) ([]provider.Machine, error) {
	list, err := p.list(ctx, claims)
	if err != nil {
		return nil, err
	}
	owners, err := p.list(ctx, pools)
	if err != nil {
		return nil, err
	}
	rules := map[string]string{}
	for i := range owners {
		rules[owners[i].GetName()] = rule(&owners[i])
	}
	var out []provider.Machine
	for i := range list {
		claim := &list[i]
		group := claim.GetLabels()[poolLabel]
		m := provider.Machine{
			ID: text(claim, "status", "providerID"), Group: group, NodeName: text(claim, "status", "nodeName"),
			Created: claim.GetCreationTimestamp().Time, Image: text(claim, "status", "imageID"),
		}
		conditions := conditions(claim)
		m.State = state(claim, conditions)
		m.Message = explain(claim, conditions, rules[group])
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b provider.Machine) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.NodeName, b.NodeName), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

// list reads all objects of a kind, none where Karpenter is not installed.
func (p *Provider) list(ctx context.Context, kind schema.GroupVersionKind) ([]unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	err := p.client.List(ctx, list)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list Karpenter's %s: %w", strings.TrimSuffix(kind.Kind, "List")+"s", err)
	}
	return list.Items, nil
}

// condition is one of a NodeClaim's.
type condition struct{ status, reason, message string }

func conditions(object *unstructured.Unstructured) map[string]condition {
	list, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	out := map[string]condition{}
	for _, item := range list {
		fields, ok := item.(map[string]any)
		if !ok {
			continue
		}
		get := func(key string) string { value, _ := fields[key].(string); return value }
		out[get("type")] = condition{get("status"), get("reason"), get("message")}
	}
	return out
}

func state(claim *unstructured.Unstructured, conditions map[string]condition) provider.MachineState {
	switch {
	case claim.GetDeletionTimestamp() != nil:
		return provider.Deleting
	case conditions["Launched"].status == "False":
		return provider.Broken
	case conditions["Registered"].status == "True":
		return provider.Running
	}
	return provider.Creating
}

// explain says why a node is there still, or what is about to become of it, in Karpenter's own terms.
func explain(claim *unstructured.Unstructured, conditions map[string]condition, rule string) string {
	var out []string
	tell := func(kind, sentence string) {
		c := conditions[kind]
		if c.status != "True" {
			return
		}
		if detail := cmp.Or(c.message, c.reason); detail != "" && detail != kind {
			sentence += ": " + detail
		}
		out = append(out, sentence)
	}
	switch {
	case claim.GetDeletionTimestamp() != nil:
		out = append(out, "Karpenter takes it away")
		tell("DisruptionReason", "because of its disruption")
	case conditions["Launched"].status == "False":
		out = append(out, "Karpenter could not launch it: "+cmp.Or(conditions["Launched"].message, conditions["Launched"].reason))
	case conditions["Registered"].status != "True":
		out = append(out, "Karpenter waits for its node to register")
	case conditions["Initialized"].status != "True":
		out = append(out, "Karpenter waits for its node to be ready: "+cmp.Or(conditions["Initialized"].message, conditions["Initialized"].reason))
	}
	tell("Drifted", "it has drifted from its pool")
	if claim.GetAnnotations()[doNotDisrupt] == "true" {
		out = append(out, "it stays because of its annotation "+doNotDisrupt)
	} else {
		tell("Consolidatable", "its pods have been the same for long enough to consolidate it")
	}
	if rule != "" {
		out = append(out, rule)
	}
	return strings.Join(out, "; ")
}

// rule is what a NodePool allows to be done to its nodes.
func rule(pool *unstructured.Unstructured) string {
	when := cmp.Or(text(pool, "spec", "disruption", "consolidationPolicy"), "WhenEmptyOrUnderutilized")
	out := fmt.Sprintf("NodePool %s consolidates %s", pool.GetName(), when)
	if after := text(pool, "spec", "disruption", "consolidateAfter"); after != "" {
		out += " after " + after
	}
	budgets, _, _ := unstructured.NestedSlice(pool.Object, "spec", "disruption", "budgets")
	for i, item := range budgets {
		fields, _ := item.(map[string]any)
		if nodes, ok := fields["nodes"].(string); ok {
			out += map[bool]string{true: ", at most ", false: ", "}[i == 0] + nodes
			if schedule, ok := fields["schedule"].(string); ok {
				out += " (" + schedule + ")"
			}
		}
	}
	if len(budgets) > 0 {
		out += " at a time"
	}
	return out
}

func text(object *unstructured.Unstructured, path ...string) string {
	value, _, _ := unstructured.NestedString(object.Object, path...)
	return value
}

// amounts reads a list of resources, without those that are no quantities.
func amounts(object *unstructured.Unstructured, path ...string) corev1.ResourceList {
	fields, _, _ := unstructured.NestedMap(object.Object, path...)
	out := corev1.ResourceList{}
	for name, value := range fields {
		if q, err := resource.ParseQuantity(fmt.Sprint(value)); err == nil {
			out[corev1.ResourceName(name)] = q
		}
	}
	return out
}
