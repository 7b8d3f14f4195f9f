package external

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider/external/externalgrpc"
	"github.com/yagura-dev/yagura/autoscaler/provider/offer"
)

// template is what a group's nodes look like.
type template struct {
	node  *corev1.Node
	price float64
	at    time.Time
}

// templateAge is how old a template may be. Groups change what they are made of rarely.
const templateAge = 5 * time.Minute

// Offers are the groups: one machine more of each.
func (p *Provider) Offers(ctx context.Context, policy *v1alpha1.NodePolicy) ([]cluster.Offer, error) {
	groups, err := p.all(ctx)
	if err != nil {
		return nil, err
	}
	var out []cluster.Offer
	for _, g := range groups {
		if wanted := policy.Spec.Provider.Groups; len(wanted) > 0 && !slices.Contains(wanted, g.id) {
			continue
		}
		t, err := p.template(ctx, g)
		if err != nil {
			return nil, err
		}
		if t.node == nil {
			continue
		}
		seen, err := p.observe(ctx, g, time.Duration(p.cfg.RefreshInterval))
		if err != nil {
			return nil, err
		}
		o := offer.FromNode(t.node, g.id)
		g.mu.Lock()
		o.Stock = max(0, g.max-seen.Size)
		g.mu.Unlock()
		o.Policy, o.PricePerHour = policy.Name, t.price
		if o.Stock == 0 {
			o.Available, o.Unavailable = false, fmt.Sprintf("group %s has its maximum of %d", g.id, seen.Size)
		}
		out = append(out, o)
	}
	return out, nil
}

// template asks the server, and failing that looks at a node of the group. Its node is nil while nobody knows.
func (p *Provider) template(ctx context.Context, g *group) (template, error) {
	p.mu.Lock()
	known, ok := p.templates[g.id]
	p.mu.Unlock()
	if ok && p.clock.Since(known.at) < templateAge {
		return known, nil
	}
	node, err := p.describe(ctx, g)
	if err != nil || node == nil {
		return template{}, err
	}
	price, err := p.price(ctx, g, node)
	if err != nil {
		return template{}, err
	}
	t := template{node: node, price: price, at: p.clock.Now()}
	p.mu.Lock()
	p.templates[g.id] = t
	p.mu.Unlock()
	return t, nil
}

func (p *Provider) describe(ctx context.Context, g *group) (*corev1.Node, error) {
	answer, err := p.cloud.NodeGroupTemplateNodeInfo(ctx, &externalgrpc.NodeGroupTemplateNodeInfoRequest{Id: g.id})
	if err != nil && status.Code(err) != codes.Unimplemented {
		return nil, fmt.Errorf("template of group %s: %w", g.id, err)
	}
	if len(answer.GetNodeBytes()) > 0 {
		node := &corev1.Node{}
		if err := node.Unmarshal(answer.GetNodeBytes()); err != nil {
			return nil, fmt.Errorf("template of group %s: %w", g.id, err)
		}
		if len(node.Status.Allocatable) == 0 {
			node.Status.Allocatable = node.Status.Capacity
		}
		if offer.Usable(node) {
			return node, nil
		}
	}
	seen, err := p.observe(ctx, g, time.Duration(p.cfg.RefreshInterval))
	if err != nil {
		return nil, err
	}
	var nodes corev1.NodeList
	if err := p.client.List(ctx, &nodes); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	for i := range nodes.Items {
		node := &nodes.Items[i]
		if seen.instances[node.Spec.ProviderID] != nil && offer.Usable(node) {
			return node, nil
		}
	}
	return nil, nil
}

// price is what an hour of a node costs.
func (p *Provider) price(ctx context.Context, g *group, node *corev1.Node) (float64, error) {
	if price, ok := p.cfg.Prices[g.id]; ok {
		return price, nil
	}
	now := p.clock.Now()
	answer, err := p.cloud.PricingNodePrice(ctx, &externalgrpc.PricingNodePriceRequest{
		Node: wireNode(node), StartTimestamp: timestamppb.New(now), EndTimestamp: timestamppb.New(now.Add(time.Hour)),
	})
	if err == nil && valid(answer.GetPrice()) {
		return answer.GetPrice(), nil
	}
	if err == nil || answered(err) {
		// Servers of clouds without prices say Unimplemented, or fail.
		return offer.Price(node.Status.Allocatable, p.cfg.CPUPrice, p.cfg.MemoryPrice), nil
	}
	return 0, fmt.Errorf("price of group %s: %w", g.id, err)
}
