// Package kwok is a simulated cloud: its machines are Node objects that kwok plays, with the shapes, prices, boot times and failures
// of a configuration. It is for development, demonstrations and tests of everything above it on a real control plane.
//
// A machine is known by its claim's name, which is its node's, so that nothing needs to be remembered: the node is the machine, and
// until there is one, the claim says that there will be. It imports package provider and a Kubernetes client; the registry of
// providers imports it.
package kwok

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// Dependencies are what the provider works with.
type Dependencies struct {
	// Client reads and writes nodes and reads claims, past any cache.
	Client client.Client
	// Clock measures boot times.
	Clock  clock.WithDelayedExecution
	Logger *slog.Logger
}

// Provider is a simulated cloud. It is safe for concurrent use.
type Provider struct {
	name   string
	cfg    Config
	client client.Client
	clock  clock.WithDelayedExecution
	logger *slog.Logger
	offers []cluster.Offer

	// boots outlives the calls that begin them.
	boots context.Context
	stop  context.CancelFunc

	mu      sync.Mutex
	booting map[string]*boot
}

// boot is a machine without a node.
type boot struct {
	machine provider.Machine
	timer   clock.Timer // nil for a machine that never gets a node
}

var (
	_ provider.Provider = (*Provider)(nil)
	_ provider.Repairer = (*Provider)(nil)
)

// New returns the provider of this name, or says what is wrong with its catalog.
func New(name string, cfg Config, deps Dependencies) (*Provider, error) {
	offers, err := load(cfg)
	if err != nil {
		return nil, fmt.Errorf("kwok provider %s: %w", name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Provider{
		name: name, cfg: cfg, client: deps.Client, clock: deps.Clock, logger: deps.Logger, offers: offers,
		boots: ctx, stop: stop, booting: map[string]*boot{},
	}, nil
}

// Close ends the boots that are under way. Whoever opens the provider again takes them up.
func (p *Provider) Close() {
	p.stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.booting {
		if b.timer != nil {
			b.timer.Stop()
		}
	}
	clear(p.booting)
}

// Name is the one in the configuration.
func (p *Provider) Name() string { return p.name }

// Capabilities say that everything is set on nodes from their first moment, and that a machine without power can be rebooted.
func (p *Provider) Capabilities() provider.Capabilities {
	return provider.Capabilities{
		Steps:  []v1alpha1.RepairStep{v1alpha1.RepairReboot},
		Labels: true, Taints: true, Version: true, Image: true, Named: true,
	}
}

// Offers are the catalog, less what faults have sold out for everybody and what stock does not cover.
func (p *Provider) Offers(ctx context.Context, policy *v1alpha1.NodePolicy) ([]cluster.Offer, error) {
	faults, err := p.faults()
	if err != nil {
		return nil, err
	}
	sold, err := p.sold(ctx)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(p.offers)
	for i := range out {
		o := &out[i]
		o.Policy = policy.Name
		if o.Stock >= 0 {
			o.Stock = max(0, o.Stock-sold[stockOf(o)])
			if o.Stock == 0 {
				o.Available, o.Unavailable = false, "all of them are sold"
			}
		}
		for _, f := range faults {
			if f.Kind == FaultOutOfCapacity && f.certain() && f.matches(claimed(o)) {
				o.Available, o.Unavailable = false, "sold out by the simulation"
			}
		}
	}
	return out, nil
}

// Create makes the node of a claim, at once or once it has booted.
func (p *Provider) Create(ctx context.Context, claim *v1alpha1.NodeClaim) (provider.Machine, error) {
	if machine, err := p.Get(ctx, claim); err == nil {
		return machine, nil
	} else if !isNotFound(err) {
		return provider.Machine{}, err
	}
	if err := ctx.Err(); err != nil {
		return provider.Machine{}, err
	}
	offer, ok := p.offer(claim)
	if !ok {
		return provider.Machine{}, &provider.Invalid{Err: fmt.Errorf("nothing like %s in zone %q, %s, is sold", claim.Spec.Offer.Name, claim.Spec.Offer.Zone, claim.Spec.Offer.CapacityType)}
	}
	fault, err := p.fault(claim)
	if err != nil {
		return provider.Machine{}, err
	}
	switch fault {
	case FaultOutOfCapacity:
		return provider.Machine{}, &provider.OutOfCapacity{Offer: offer.ID(), Err: fmt.Errorf("simulated")}
	case FaultError:
		return provider.Machine{}, fmt.Errorf("create machine %s: simulated failure", claim.Name)
	}
	if offer.Stock >= 0 {
		sold, err := p.sold(ctx)
		if err != nil {
			return provider.Machine{}, err
		}
		if sold[stockOf(&offer)] >= offer.Stock {
			return provider.Machine{}, &provider.OutOfCapacity{Offer: offer.ID(), Err: fmt.Errorf("all %d are sold", offer.Stock)}
		}
	}
	if p.cfg.Boot > 0 || fault == FaultNeverRegisters || fault == FaultBroken {
		return p.begin(claim, time.Duration(p.cfg.Boot), fault), nil
	}
	return p.register(ctx, claim, fault)
}

// Get returns the machine of a claim, or ErrNotFound.
func (p *Provider) Get(ctx context.Context, claim *v1alpha1.NodeClaim) (provider.Machine, error) {
	node := &corev1.Node{}
	err := p.client.Get(ctx, client.ObjectKey{Name: claim.Name}, node)
	if err == nil {
		if node.Labels[providerLabel] != p.name {
			return provider.Machine{}, &provider.Invalid{Err: fmt.Errorf("node %s is not one of %s's", claim.Name, p.name)}
		}
		return p.machine(node), nil
	}
	if !apierrors.IsNotFound(err) {
		return provider.Machine{}, fmt.Errorf("get node %s: %w", claim.Name, err)
	}
	p.mu.Lock()
	b, ok := p.booting[claim.Name]
	p.mu.Unlock()
	if ok {
		return b.machine, nil
	}
	if !awaited(claim) {
		return provider.Machine{}, provider.ErrNotFound
	}
	// The process that began the boot is gone: the claim alone remembers.
	fault, err := p.fault(claim)
	if err != nil {
		return provider.Machine{}, err
	}
	return p.begin(claim, max(0, time.Duration(p.cfg.Boot)-p.clock.Since(claim.CreationTimestamp.Time)), fault), nil
}

// awaited says that a machine was made for the claim that had no node yet.
func awaited(claim *v1alpha1.NodeClaim) bool {
	return claim.Status.ProviderID != "" && claim.Status.NodeName == "" && claim.DeletionTimestamp == nil
}

// Delete takes a claim's node away, or ends its boot.
func (p *Provider) Delete(ctx context.Context, claim *v1alpha1.NodeClaim) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	if b, ok := p.booting[claim.Name]; ok {
		if b.timer != nil {
			b.timer.Stop()
		}
		delete(p.booting, claim.Name)
	}
	p.mu.Unlock()
	node := &corev1.Node{}
	err := p.client.Get(ctx, client.ObjectKey{Name: claim.Name}, node)
	switch {
	case apierrors.IsNotFound(err):
		return provider.ErrNotFound
	case err != nil:
		return fmt.Errorf("get node %s: %w", claim.Name, err)
	case node.Labels[providerLabel] != p.name:
		return provider.ErrNotFound
	case node.DeletionTimestamp != nil:
		return nil
	}
	// Only this very node: the name may be another one's by the time that the request arrives.
	err = p.client.Delete(ctx, node, client.Preconditions{UID: &node.UID})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete node %s: %w", claim.Name, err)
	}
	return nil
}

// List returns the simulated machines, those of other hands included.
func (p *Provider) List(ctx context.Context) ([]provider.Machine, error) {
	nodes, err := p.nodes(ctx)
	if err != nil {
		return nil, err
	}
	var out []provider.Machine
	known := map[string]bool{}
	for i := range nodes {
		switch nodes[i].Labels[providerLabel] {
		case p.name, "":
			out = append(out, p.machine(&nodes[i]))
			known[nodes[i].Name] = true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(p.booting)) {
		if !known[name] {
			out = append(out, p.booting[name].machine)
		}
	}
	return out, nil
}

// Repair gives a machine its power back. That is all that can be done for a simulated one but replacing it.
func (p *Provider) Repair(ctx context.Context, claim *v1alpha1.NodeClaim, step v1alpha1.RepairStep) error {
	if step != v1alpha1.RepairReboot {
		return fmt.Errorf("kwok provider %s: %s: %w", p.name, step, provider.ErrUnsupported)
	}
	node := &corev1.Node{}
	if err := p.client.Get(ctx, client.ObjectKey{Name: claim.Name}, node); apierrors.IsNotFound(err) {
		return provider.ErrNotFound
	} else if err != nil {
		return fmt.Errorf("get node %s: %w", claim.Name, err)
	}
	if node.Labels[powerLabel] == "" {
		return nil
	}
	patch := client.MergeFrom(node.DeepCopy())
	delete(node.Labels, powerLabel)
	if err := p.client.Patch(ctx, node, patch); err != nil {
		return fmt.Errorf("reboot node %s: %w", claim.Name, err)
	}
	return nil
}

// begin starts a boot, or finds it begun.
func (p *Provider) begin(claim *v1alpha1.NodeClaim, after time.Duration, fault FaultKind) provider.Machine {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b, ok := p.booting[claim.Name]; ok {
		return b.machine
	}
	b := &boot{machine: provider.Machine{
		ID: providerID(claim.Name), Claim: claim.Name, Group: claim.Spec.Offer.Group, NodeName: claim.Name, Created: p.clock.Now(), State: provider.Creating,
		Version: claim.Spec.Version, Image: claim.Spec.Image,
	}}
	switch fault {
	case FaultBroken:
		b.machine.State, b.machine.Message = provider.Broken, "broken by the simulation"
	case FaultNeverRegisters:
		b.machine.State = provider.Running
	default:
		claim = claim.DeepCopy()
		b.timer = p.clock.AfterFunc(after, func() { p.boot(claim, fault) })
	}
	p.booting[claim.Name] = b
	return b.machine
}

// boot makes the node of a claim that is still wanted: another process may have given it up meanwhile.
func (p *Provider) boot(claim *v1alpha1.NodeClaim, fault FaultKind) {
	ctx, cancel := context.WithTimeout(p.boots, bootTimeout)
	defer cancel()
	wanted := &v1alpha1.NodeClaim{}
	err := p.client.Get(ctx, client.ObjectKey{Name: claim.Name}, wanted)
	gone := apierrors.IsNotFound(err) || err == nil && wanted.DeletionTimestamp != nil
	if err == nil && !gone {
		p.mu.Lock()
		_, gone = p.booting[claim.Name]
		gone = !gone
		p.mu.Unlock()
	}
	if err == nil && !gone {
		_, err = p.register(ctx, claim, fault)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if b, ok := p.booting[claim.Name]; ok && err != nil && !gone && p.boots.Err() == nil {
		p.logger.Warn("a simulated machine could not register its node, and tries again", "claim", claim.Name, "error", err)
		b.timer = p.clock.AfterFunc(bootRetry, func() { p.boot(claim, fault) })
		return
	}
	delete(p.booting, claim.Name)
}

const (
	bootTimeout = 10 * time.Second
	bootRetry   = time.Second
)
