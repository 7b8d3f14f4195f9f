package external

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/external/externalgrpc"
	"github.com/yagura-dev/yagura/autoscaler/provider/ledger"
)

// observation is a group as the server told it.
type observation struct {
	ledger.Observation
	instances map[string]*externalgrpc.Instance
}

// maxGroups bounds what is kept of a server that makes groups up.
const maxGroups = 10_000

// refresh has the server look at its cloud anew, at most once in an interval.
func (p *Provider) refresh(ctx context.Context) error {
	p.mu.Lock()
	now := p.clock.Now()
	due := now.Sub(p.refreshed) >= time.Duration(p.cfg.RefreshInterval)
	if due {
		p.refreshed = now
	}
	p.mu.Unlock()
	if !due {
		return nil
	}
	if _, err := p.cloud.Refresh(ctx, &externalgrpc.RefreshRequest{}); err != nil && status.Code(err) != codes.Unimplemented {
		p.mu.Lock()
		p.refreshed = time.Time{}
		p.mu.Unlock()
		return fmt.Errorf("refresh: %w", err)
	}
	return nil
}

// all are the server's groups.
func (p *Provider) all(ctx context.Context) ([]*group, error) {
	if err := p.refresh(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	fresh := !p.listed.IsZero() && p.clock.Since(p.listed) < time.Duration(p.cfg.RefreshInterval)
	p.mu.Unlock()
	if !fresh {
		answer, err := p.cloud.NodeGroups(ctx, &externalgrpc.NodeGroupsRequest{})
		if err != nil {
			return nil, fmt.Errorf("list groups: %w", err)
		}
		if err := p.keep(answer.GetNodeGroups()); err != nil {
			return nil, err
		}
	} else if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedFunc(maps.Values(p.groups), func(a, b *group) int { return cmp.Compare(a.id, b.id) }), nil
}

func (p *Provider) keep(told []*externalgrpc.NodeGroup) error {
	if len(told) > maxGroups {
		return fmt.Errorf("list groups: the server tells of %d, more than %d", len(told), maxGroups)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := map[string]bool{}
	for _, g := range told {
		if g.GetId() == "" {
			continue
		}
		known[g.GetId()] = true
		if p.groups[g.GetId()] == nil {
			p.groups[g.GetId()] = &group{id: g.GetId()}
		}
		kept := p.groups[g.GetId()]
		kept.mu.Lock()
		kept.min, kept.max = int(g.GetMinSize()), int(g.GetMaxSize())
		kept.mu.Unlock()
	}
	maps.DeleteFunc(p.groups, func(id string, _ *group) bool { return !known[id] })
	p.listed = p.clock.Now()
	return nil
}

// group is the one of this ID.
func (p *Provider) group(ctx context.Context, id string) (*group, error) {
	if _, err := p.all(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g, ok := p.groups[id]
	if !ok {
		return nil, &provider.Invalid{Err: fmt.Errorf("there is no group %q", id)}
	}
	return g, nil
}

// groupOf finds the group in which a claim was bought. The claim of an orphan has a name only.
func (p *Provider) groupOf(ctx context.Context, claim *v1alpha1.NodeClaim) (*group, error) {
	if claim.Spec.Offer.Group != "" {
		return p.group(ctx, claim.Spec.Offer.Group)
	}
	ids, err := p.store.Groups(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		l, _, err := p.store.Load(ctx, id)
		if err != nil {
			return nil, err
		}
		if l.Claims[claim.Name] != nil || l.Intent != nil && l.Intent.Claim == claim.Name {
			return p.group(ctx, id)
		}
	}
	return nil, provider.ErrNotFound
}

// observe asks the server for a group, unless what is known is younger than an age.
func (p *Provider) observe(ctx context.Context, g *group, age time.Duration) (observation, error) {
	now := p.clock.Now()
	g.mu.Lock()
	seen, at := g.seen, g.seenTime
	g.mu.Unlock()
	if age > 0 && !at.IsZero() && now.Sub(at) < age {
		return seen, ctx.Err()
	}
	if err := p.refresh(ctx); err != nil {
		return observation{}, err
	}
	size, err := p.size(ctx, g)
	if err != nil {
		return observation{}, err
	}
	nodes, err := p.cloud.NodeGroupNodes(ctx, &externalgrpc.NodeGroupNodesRequest{Id: g.id})
	if err != nil {
		return observation{}, fmt.Errorf("list instances of group %s: %w", g.id, err)
	}
	seen = observation{
		Observation: ledger.Observation{Size: size, Now: now.UTC(), Settle: time.Duration(p.cfg.Settle)},
		instances:   map[string]*externalgrpc.Instance{},
	}
	for _, i := range nodes.GetInstances() {
		if i.GetId() == "" || seen.instances[i.GetId()] != nil {
			continue
		}
		seen.instances[i.GetId()] = i
		state := i.GetStatus().GetInstanceState()
		seen.Instances = append(seen.Instances, ledger.Instance{
			ID:       i.GetId(),
			Creating: state == externalgrpc.InstanceStatus_instanceCreating,
			Deleting: state == externalgrpc.InstanceStatus_instanceDeleting,
		})
	}
	g.mu.Lock()
	g.seen, g.seenTime = seen, now
	g.mu.Unlock()
	return seen, nil
}

func (p *Provider) size(ctx context.Context, g *group) (int, error) {
	answer, err := p.cloud.NodeGroupTargetSize(ctx, &externalgrpc.NodeGroupTargetSizeRequest{Id: g.id})
	if err != nil {
		return 0, fmt.Errorf("size of group %s: %w", g.id, err)
	}
	return int(answer.GetTargetSize()), nil
}

// saves is how often a ledger is read again that others write at the same time.
const saves = 8

// current reads a group's ledger, and brings it up to date with what the server says.
func (p *Provider) current(ctx context.Context, g *group, age time.Duration) (*ledger.Ledger, observation, error) {
	l, _, seen, err := p.load(ctx, g, age)
	return l, seen, err
}

func (p *Provider) load(ctx context.Context, g *group, age time.Duration) (*ledger.Ledger, ledger.Version, observation, error) {
	for range saves {
		var err error
		// The ledger first: what another leader has bought since the group was looked at must not be taken for missing.
		l, version, loadErr := p.store.Load(ctx, g.id)
		if loadErr != nil {
			return nil, version, observation{}, loadErr
		}
		if version != g.version {
			// What was seen before the ledger was written says nothing about what it says.
			age = 0
		}
		seen, seeErr := p.observe(ctx, g, age)
		if seeErr != nil {
			return nil, version, observation{}, seeErr
		}
		if l.Observe(seen.Observation) {
			version, err = p.store.Save(ctx, g.id, l, version)
		}
		if err == nil {
			g.version = version
			return l, version, seen, nil
		}
		if !errors.Is(err, ledger.ErrConflict) {
			return nil, version, observation{}, err
		}
	}
	return nil, ledger.Version{}, observation{}, fmt.Errorf("group %s: %w", g.id, ledger.ErrConflict)
}

// machine is what has come, or has not yet, of an entry.
func machine(group, claim string, e *ledger.Entry, seen observation) provider.Machine {
	m := provider.Machine{Claim: claim, Group: group, Created: e.Ordered, State: provider.Creating}
	i, ok := seen.instances[e.Instance]
	switch {
	case e.Instance == "":
		m.Message = "ordered; no instance has come yet"
	case !ok:
		m.ID, m.State, m.Message = e.Instance, provider.Running, "the provider does not list it"
		if e.Deleting != nil {
			m.State = provider.Deleting
		}
	default:
		m.State, m.Message = state(i), message(i)
		if e.Ran {
			m.ID = e.Instance
		}
		if e.Deleting != nil && m.State != provider.Broken {
			m.State = provider.Deleting
		}
	}
	return m
}

func state(i *externalgrpc.Instance) provider.MachineState {
	s := i.GetStatus()
	switch {
	case s.GetInstanceState() == externalgrpc.InstanceStatus_instanceDeleting:
		return provider.Deleting
	case s.GetErrorInfo().GetErrorCode() != "":
		return provider.Broken
	case s.GetInstanceState() == externalgrpc.InstanceStatus_instanceCreating:
		return provider.Creating
	}
	return provider.Running
}

func message(i *externalgrpc.Instance) string {
	e := i.GetStatus().GetErrorInfo()
	if e.GetErrorCode() == "" {
		return ""
	}
	return e.GetErrorCode() + ": " + e.GetErrorMessage()
}

func compare(a, b provider.Machine) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Claim, b.Claim), cmp.Compare(a.ID, b.ID))
}
