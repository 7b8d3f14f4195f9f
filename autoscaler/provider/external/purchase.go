package external

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/external/externalgrpc"
	"github.com/yagura-dev/yagura/autoscaler/provider/ledger"
)

// buy makes sure that a claim is bought once: found in the ledger, taken over, or asked for.
func (p *Provider) buy(ctx context.Context, g *group, claim *v1alpha1.NodeClaim) (provider.Machine, error) {
	for range saves {
		l, version, seen, err := p.load(ctx, g, 0)
		if err != nil {
			return provider.Machine{}, err
		}
		if entry := l.Claims[claim.Name]; entry != nil && !l.Renew(claim.Name, seen.Observation) {
			return machine(g.id, claim.Name, entry, seen), nil
		} else if entry != nil && l.Claims[claim.Name] != nil {
			if _, err = p.store.Save(ctx, g.id, l, version); errors.Is(err, ledger.ErrConflict) {
				continue
			} else if err != nil {
				return provider.Machine{}, err
			}
			return machine(g.id, claim.Name, entry, seen), nil
		}
		if l.Intent != nil {
			return provider.Machine{}, fmt.Errorf("group %s, claim %s: %w", g.id, l.Intent.Claim, errInDoubt)
		}
		if l.TakeLate(claim.Name) {
			if _, err = p.store.Save(ctx, g.id, l, version); errors.Is(err, ledger.ErrConflict) {
				continue
			} else if err != nil {
				return provider.Machine{}, err
			}
			return machine(g.id, claim.Name, l.Claims[claim.Name], seen), nil
		}
		g.mu.Lock()
		limit := g.max
		g.mu.Unlock()
		if seen.Size >= limit {
			return provider.Machine{}, soldOut(claim, fmt.Errorf("group %s has its maximum of %d", g.id, limit))
		}
		version, err = p.intend(ctx, g, l, version, ledger.Grow, claim.Name, seen.Size)
		if errors.Is(err, ledger.ErrConflict) {
			continue
		} else if err != nil {
			return provider.Machine{}, err
		}
		_, err = p.cloud.NodeGroupIncreaseSize(ctx, &externalgrpc.NodeGroupIncreaseSizeRequest{Id: g.id, Delta: 1})
		took, err := p.outcome(ctx, g, l, version, err)
		switch {
		case took && errors.Is(err, ledger.ErrConflict):
			continue // Another leader has seen it take effect, and has written so.
		case took && err == nil:
			g.forget()
			return machine(g.id, claim.Name, l.Claims[claim.Name], seen), nil
		case took:
			return provider.Machine{}, err
		case errors.Is(err, errInDoubt), !refusal(err):
			return provider.Machine{}, fmt.Errorf("buy a machine of group %s: %w", g.id, err)
		}
		return provider.Machine{}, soldOut(claim, err)
	}
	return provider.Machine{}, fmt.Errorf("group %s: %w", g.id, ledger.ErrConflict)
}

// intend writes down what is about to be asked for.
func (p *Provider) intend(ctx context.Context, g *group, l *ledger.Ledger, v ledger.Version, kind ledger.Kind, claim string, from int) (ledger.Version, error) {
	l.Intent = &ledger.Intent{Claim: claim, Kind: kind, From: from, At: p.clock.Now().UTC()}
	return p.store.Save(ctx, g.id, l, v)
}

// outcome finds out whether an intent took effect, from the answer or, without one, from the group's size, and writes that down. The
// error is nil, what the server said against it, errInDoubt, or about the ledger.
func (p *Provider) outcome(ctx context.Context, g *group, l *ledger.Ledger, v ledger.Version, answer error) (took bool, err error) {
	took = answer == nil
	if !took && !definite(answer) {
		size, err := p.size(ctx, g)
		took = err == nil && size != l.Intent.From
		if !took && (err != nil || !answered(answer)) {
			return false, fmt.Errorf("%w: %w", errInDoubt, answer)
		}
	}
	if took {
		l.Done(p.clock.Now().UTC())
		_, err = p.store.Save(ctx, g.id, l, v)
		return true, err
	}
	l.Refused()
	if _, err := p.store.Save(ctx, g.id, l, v); err != nil && !errors.Is(err, ledger.ErrConflict) {
		return false, err
	}
	return false, answer
}

// definite errors say that nothing was done.
func definite(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.ResourceExhausted:
		return true
	}
	return false
}

// answered errors were made by the server's method, which has ended: nothing will happen later. Most servers give Unknown for
// whatever goes wrong.
func answered(err error) bool {
	switch status.Code(err) {
	case codes.Unknown, codes.Internal, codes.Aborted, codes.DataLoss:
		return true
	}
	return definite(err)
}

// refusal errors are about the purchase, and not about who asks or how.
func refusal(err error) bool {
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented:
		return false
	}
	return answered(err)
}

func soldOut(claim *v1alpha1.NodeClaim, err error) error {
	o := claim.Spec.Offer
	return &provider.OutOfCapacity{
		Offer: cluster.OfferID{Name: o.Name, Group: o.Group, Zone: o.Zone, CapacityType: o.CapacityType, Policy: claim.Spec.Policy}, Err: err,
	}
}

// giveBack deletes a claim's machine, or takes its order back.
func (p *Provider) giveBack(ctx context.Context, g *group, claim *v1alpha1.NodeClaim) error {
	for range saves {
		l, version, seen, err := p.load(ctx, g, 0)
		if err != nil {
			return err
		}
		entry := l.Claims[claim.Name]
		if l.Intent != nil {
			if entry == nil && l.Intent.Claim != claim.Name {
				return provider.ErrNotFound
			}
			return fmt.Errorf("group %s, claim %s: %w", g.id, l.Intent.Claim, errInDoubt)
		}
		switch {
		case entry == nil:
			return provider.ErrNotFound
		case entry.Missing != nil && (entry.Deleting != nil || entry.Gone(seen.Observation) && seen.Size <= l.Counted(seen.Observation)):
			// It is gone, and the group's size knows it.
			delete(l.Claims, claim.Name)
			if _, err := p.store.Save(ctx, g.id, l, version); errors.Is(err, ledger.ErrConflict) {
				continue
			} else if err != nil {
				return err
			}
			return provider.ErrNotFound
		case entry.Missing != nil && !entry.Gone(seen.Observation):
			return nil
		case entry.Instance == "" || entry.Missing != nil:
			err = p.takeBack(ctx, g, l, version, claim.Name, seen)
		default:
			err = p.remove(ctx, g, l, version, claim, seen)
		}
		if errors.Is(err, ledger.ErrConflict) {
			continue
		}
		return err
	}
	return fmt.Errorf("group %s: %w", g.id, ledger.ErrConflict)
}

// takeBack shrinks the group by an order that has not come. A server that has begun to make the machine may refuse; it is deleted
// once it has come.
func (p *Provider) takeBack(ctx context.Context, g *group, l *ledger.Ledger, v ledger.Version, claim string, seen observation) error {
	v, err := p.intend(ctx, g, l, v, ledger.Shrink, claim, seen.Size)
	if err != nil {
		return err
	}
	_, err = p.cloud.NodeGroupDecreaseTargetSize(ctx, &externalgrpc.NodeGroupDecreaseTargetSizeRequest{Id: g.id, Delta: -1})
	g.forget()
	took, err := p.outcome(ctx, g, l, v, err)
	if !took && err != nil && !errors.Is(err, errInDoubt) && refusal(err) {
		p.logger.Debug("an order is not taken back; its machine is deleted once it has come", "group", g.id, "claim", claim, "error", err)
		return nil
	}
	return err
}

// remove deletes a machine that has come.
func (p *Provider) remove(ctx context.Context, g *group, l *ledger.Ledger, v ledger.Version, claim *v1alpha1.NodeClaim, seen observation) error {
	entry := l.Claims[claim.Name]
	leaving := state(seen.instances[entry.Instance]) == provider.Deleting
	if entry.Deleting != nil && (leaving || p.clock.Since(*entry.Deleting) < time.Duration(p.cfg.Settle)) {
		return nil
	}
	now := p.clock.Now().UTC()
	entry.Deleting = &now
	v, err := p.store.Save(ctx, g.id, l, v)
	if err != nil || leaving {
		return err
	}
	node, err := p.node(ctx, entry.Instance, claim.Status.NodeName)
	if err != nil {
		return err
	}
	_, err = p.cloud.NodeGroupDeleteNodes(ctx, &externalgrpc.NodeGroupDeleteNodesRequest{Id: g.id, Nodes: []*externalgrpc.ExternalGrpcNode{node}})
	g.forget()
	if err == nil {
		return nil
	}
	if answered(err) {
		// It may be asked again at once.
		entry.Deleting = nil
		if _, saveErr := p.store.Save(ctx, g.id, l, v); saveErr != nil && !errors.Is(saveErr, ledger.ErrConflict) {
			return saveErr
		}
	}
	return fmt.Errorf("delete instance %s of group %s: %w", entry.Instance, g.id, err)
}

// forget makes the next look at the group a fresh one.
func (g *group) forget() {
	g.mu.Lock()
	g.seenTime = time.Time{}
	g.mu.Unlock()
}

// node is what a server may want to know of an instance's node. One that has none is told of by its ID alone.
func (p *Provider) node(ctx context.Context, id, name string) (*externalgrpc.ExternalGrpcNode, error) {
	node := &corev1.Node{}
	if name != "" {
		err := p.client.Get(ctx, client.ObjectKey{Name: name}, node)
		if err == nil && node.Spec.ProviderID == id {
			return wireNode(node), nil
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("get node %s: %w", name, err)
		}
	}
	var nodes corev1.NodeList
	if err := p.client.List(ctx, &nodes); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	for i := range nodes.Items {
		if nodes.Items[i].Spec.ProviderID == id {
			return wireNode(&nodes.Items[i]), nil
		}
	}
	return &externalgrpc.ExternalGrpcNode{ProviderID: id}, nil
}

func wireNode(node *corev1.Node) *externalgrpc.ExternalGrpcNode {
	return &externalgrpc.ExternalGrpcNode{
		ProviderID: node.Spec.ProviderID, Name: node.Name, Labels: node.Labels, Annotations: node.Annotations,
	}
}
