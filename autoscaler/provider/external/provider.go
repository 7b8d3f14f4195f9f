// Package external buys nodes from a server of cluster-autoscaler's external gRPC protocol, so that every provider that was written
// for that works here.
//
// The protocol has groups that are resized, and instances without names of ours. Which instance is whose is kept in a ledger for each
// group, in the cluster. A purchase is written there before the group is resized, and an answer that is lost is made up for by
// looking at the group's size: see package ledger. The protocol knows no repair but replacement.
//
// It imports packages provider and ledger, gRPC and a Kubernetes client; the registry of providers imports it.
package external

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/external/externalgrpc"
	"github.com/yagura-dev/yagura/autoscaler/provider/ledger"
)

// Dependencies are what the provider works with.
type Dependencies struct {
	// Client reads nodes, and reads and writes ConfigMaps in Namespace, past any cache.
	Client    client.Client
	Namespace string
	Clock     clock.Clock
	Logger    *slog.Logger
}

// Provider buys from one server. It is safe for concurrent use.
type Provider struct {
	name   string
	cfg    Config
	client client.Client
	clock  clock.Clock
	logger *slog.Logger
	conn   *grpc.ClientConn
	cloud  externalgrpc.CloudProviderClient
	store  *ledger.Store

	mu        sync.Mutex
	refreshed time.Time
	groups    map[string]*group
	listed    time.Time
	templates map[string]template
}

// group is one of the server's, and what was seen of it last.
type group struct {
	id       string
	min, max int

	// buying is held while the ledger is worked on, so that calls of one process do not conflict with each other. version is the
	// ledger's when the group was seen last.
	buying  sync.Mutex
	version ledger.Version

	mu       sync.Mutex
	seen     observation
	seenTime time.Time
}

var _ provider.Provider = (*Provider)(nil)

// New returns the provider of this name. It connects when the first call is made.
func New(name string, cfg Config, deps Dependencies) (*Provider, error) {
	cfg = cfg.withDefaults()
	conn, err := dial(cfg)
	if err != nil {
		return nil, fmt.Errorf("external provider %s: %w", name, err)
	}
	return &Provider{
		name: name, cfg: cfg, client: deps.Client, clock: deps.Clock, logger: deps.Logger,
		conn: conn, cloud: externalgrpc.NewCloudProviderClient(conn),
		store:  &ledger.Store{Client: deps.Client, Namespace: deps.Namespace, Provider: name},
		groups: map[string]*group{}, templates: map[string]template{},
	}, nil
}

// Close ends the connection. The server is not told to clean up: another leader goes on with it.
func (p *Provider) Close() { _ = p.conn.Close() }

// Name is the one in the configuration.
func (p *Provider) Name() string { return p.name }

// Capabilities say that nothing but buying and deleting can be asked for: labels and taints are the group's, and the controller sets
// the others.
func (p *Provider) Capabilities() provider.Capabilities { return provider.Capabilities{} }

// Create buys the machine of a claim, unless it is bought.
func (p *Provider) Create(ctx context.Context, claim *v1alpha1.NodeClaim) (provider.Machine, error) {
	g, err := p.group(ctx, claim.Spec.Offer.Group)
	if err != nil {
		return provider.Machine{}, err
	}
	g.buying.Lock()
	defer g.buying.Unlock()
	return p.buy(ctx, g, claim)
}

// Get returns the machine of a claim, or ErrNotFound.
func (p *Provider) Get(ctx context.Context, claim *v1alpha1.NodeClaim) (provider.Machine, error) {
	g, err := p.groupOf(ctx, claim)
	if err != nil {
		return provider.Machine{}, err
	}
	g.buying.Lock()
	defer g.buying.Unlock()
	l, seen, err := p.current(ctx, g, time.Duration(p.cfg.RefreshInterval))
	if err != nil {
		return provider.Machine{}, err
	}
	entry := l.Claims[claim.Name]
	switch {
	case entry == nil && l.Intent != nil && l.Intent.Claim == claim.Name:
		return provider.Machine{}, fmt.Errorf("claim %s: %w", claim.Name, errInDoubt)
	case entry == nil, entry.Gone(seen.Observation), entry.Replaced:
		return provider.Machine{}, provider.ErrNotFound
	}
	return machine(g.id, claim.Name, entry, seen), nil
}

// Delete gives a claim's machine back.
func (p *Provider) Delete(ctx context.Context, claim *v1alpha1.NodeClaim) error {
	g, err := p.groupOf(ctx, claim)
	if err != nil {
		return err
	}
	g.buying.Lock()
	defer g.buying.Unlock()
	return p.giveBack(ctx, g, claim)
}

// List returns the machines of all groups.
func (p *Provider) List(ctx context.Context) ([]provider.Machine, error) {
	groups, err := p.all(ctx)
	if err != nil {
		return nil, err
	}
	var out []provider.Machine
	for _, g := range groups {
		machines, err := p.list(ctx, g)
		if err != nil {
			return nil, err
		}
		out = append(out, machines...)
	}
	return out, nil
}

func (p *Provider) list(ctx context.Context, g *group) ([]provider.Machine, error) {
	g.buying.Lock()
	defer g.buying.Unlock()
	l, seen, err := p.current(ctx, g, time.Duration(p.cfg.RefreshInterval))
	if err != nil {
		return nil, err
	}
	var out []provider.Machine
	owned := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(l.Claims)) {
		entry := l.Claims[name]
		owned[entry.Instance] = true
		// One that has gone and whose claim was not given back yet may still be counted in the group's size: it stays on the
		// list as a machine that does not run, so that it is given back.
		if !entry.Gone(seen.Observation) || entry.Deleting == nil {
			out = append(out, machine(g.id, name, entry, seen))
		}
	}
	for id, i := range seen.instances {
		if !owned[id] {
			out = append(out, provider.Machine{ID: id, Group: g.id, State: state(i), Message: message(i)})
		}
	}
	slices.SortStableFunc(out, func(a, b provider.Machine) int { return compare(a, b) })
	return out, nil
}

// errInDoubt means that the answer to a purchase was lost, and that it may yet take effect.
var errInDoubt = errors.New("it is not known yet whether the purchase took effect; it will be looked at again")
