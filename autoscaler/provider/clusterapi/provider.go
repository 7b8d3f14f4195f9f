// Package clusterapi buys nodes from Cluster API: machines of MachineDeployments and MachinePools, which are resized, and the version
// of the control plane.
//
// Which machine is whose is kept in an annotation on the group, and changes with the number of replicas in one update against the
// version that was read: a purchase takes effect once or not at all, with two leaders, too. A machine that goes is marked as Cluster
// API wants it and taken off the replicas in the same way. Machines that a MachineHealthCheck or a rollout of Cluster API's own
// replaces are seen as gone, and what comes in their place stays their claims' to give back.
//
// It imports packages provider, offer and ledger, Cluster API's types and a Kubernetes client; the registry of providers imports it.
package clusterapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/ledger"
)

// Dependencies are what the provider works with.
type Dependencies struct {
	// Management reads and writes Cluster API's objects, past any cache. Its scheme knows cluster.x-k8s.io/v1beta2.
	Management client.Client
	// Workload reads the nodes that the machines become.
	Workload client.Client
	Clock    clock.PassiveClock
	Logger   *slog.Logger
}

// Provider buys from one Cluster API. It is safe for concurrent use.
type Provider struct {
	name                 string
	cfg                  Config
	management, workload client.Client
	clock                clock.PassiveClock
	logger               *slog.Logger
}

var (
	_ provider.Provider             = (*Provider)(nil)
	_ provider.ControlPlaneUpgrader = (*Provider)(nil)
)

// New returns the provider of this name.
func New(name string, cfg Config, deps Dependencies) *Provider {
	return &Provider{
		name: name, cfg: cfg.withDefaults(), management: deps.Management, workload: deps.Workload, clock: deps.Clock, logger: deps.Logger,
	}
}

// Name is the one in the configuration.
func (p *Provider) Name() string { return p.name }

// Capabilities say that groups bring a version to new machines. Labels and taints are the group's template's.
func (p *Provider) Capabilities() provider.Capabilities { return provider.Capabilities{Version: true} }

// attempts is how often a group is read again that others write at the same time.
const attempts = 10

// Create adds a replica for a claim, unless it has one.
func (p *Provider) Create(ctx context.Context, claim *v1alpha1.NodeClaim) (provider.Machine, error) {
	for range attempts {
		m, err := p.buy(ctx, claim)
		if !errors.Is(err, ledger.ErrConflict) {
			return m, err
		}
	}
	return provider.Machine{}, fmt.Errorf("%s: %w", claim.Spec.Offer.Group, ledger.ErrConflict)
}

func (p *Provider) buy(ctx context.Context, claim *v1alpha1.NodeClaim) (provider.Machine, error) {
	g, changed, err := p.load(ctx, claim.Spec.Offer.Group)
	if err != nil {
		return provider.Machine{}, err
	}
	entry := g.ledger.Claims[claim.Name]
	if entry != nil {
		changed = g.ledger.Renew(claim.Name, g.seen) || changed
		entry = g.ledger.Claims[claim.Name]
	}
	if entry == nil {
		if err := p.order(g, claim); err != nil {
			return provider.Machine{}, err
		}
		entry, changed = g.ledger.Claims[claim.Name], true
	}
	if changed {
		err := p.save(ctx, g)
		if errors.Is(err, errFull) {
			return provider.Machine{}, soldOut(claim, err)
		}
		if err != nil {
			return provider.Machine{}, err
		}
	}
	return g.machine(claim.Name, entry), nil
}

// order adds the replica and the claim to what was read.
func (p *Provider) order(g *group, claim *v1alpha1.NodeClaim) error {
	if g.size() >= g.max {
		return soldOut(claim, fmt.Errorf("%s has its maximum of %d", g.id, g.max))
	}
	if paused(g.object) {
		return soldOut(claim, fmt.Errorf("%s is paused", g.id))
	}
	if err := g.setVersion(claim.Spec.Version); err != nil {
		return &provider.Invalid{Err: err}
	}
	g.resize(1)
	if g.ledger.Claims == nil {
		g.ledger.Claims = map[string]*ledger.Entry{}
	}
	g.ledger.Claims[claim.Name] = &ledger.Entry{Ordered: g.seen.Now}
	return nil
}

func paused(object client.Object) bool {
	_, ok := object.GetAnnotations()[clusterv1.PausedAnnotation]
	return ok
}

// setVersion makes new machines of the group come with a version, where that leaves the others as they are. A group that Cluster API
// rolls out by itself would replace all of its machines at once, past all budgets.
func (g *group) setVersion(wanted string) error {
	has := g.template.Spec.Version
	if wanted == "" || wanted == has {
		return nil
	}
	newer, err := newerVersion(wanted, has)
	switch {
	case err != nil:
		return err
	case !newer:
		return fmt.Errorf("%s makes machines of version %s, and is not taken back to %s", g.id, has, wanted)
	case !g.onDelete:
		return fmt.Errorf("%s makes machines of version %s, and a new version would replace all of them at once: set spec.rollout.strategy.type to OnDelete", g.id, has)
	}
	g.template.Spec.Version = wanted
	return nil
}

func newerVersion(wanted, has string) (bool, error) {
	w, err := version.ParseSemantic(wanted)
	if err != nil {
		return false, err
	}
	h, err := version.ParseSemantic(has)
	if err != nil {
		return has == "", nil
	}
	return h.LessThan(w), nil
}

// Get returns the machine of a claim, or ErrNotFound.
func (p *Provider) Get(ctx context.Context, claim *v1alpha1.NodeClaim) (provider.Machine, error) {
	g, entry, err := p.find(ctx, claim)
	if err != nil {
		return provider.Machine{}, err
	}
	if entry == nil || entry.Gone(g.seen) || entry.Replaced {
		return provider.Machine{}, provider.ErrNotFound
	}
	return g.machine(claim.Name, entry), nil
}

// find reads the group of a claim and writes down what has changed about it.
func (p *Provider) find(ctx context.Context, claim *v1alpha1.NodeClaim) (*group, *ledger.Entry, error) {
	id, err := p.groupOf(ctx, claim)
	if err != nil {
		return nil, nil, err
	}
	for range attempts {
		g, changed, err := p.load(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		if changed {
			if err := p.save(ctx, g); errors.Is(err, ledger.ErrConflict) {
				continue
			} else if err != nil {
				return nil, nil, err
			}
		}
		return g, g.ledger.Claims[claim.Name], nil
	}
	return nil, nil, fmt.Errorf("%s: %w", id, ledger.ErrConflict)
}

// groupOf finds the group in which a claim was bought. The claim of an orphan has a name only.
func (p *Provider) groupOf(ctx context.Context, claim *v1alpha1.NodeClaim) (string, error) {
	if claim.Spec.Offer.Group != "" {
		return claim.Spec.Offer.Group, nil
	}
	groups, err := p.groups(ctx)
	if err != nil {
		return "", err
	}
	for _, g := range groups {
		if _, err := p.look(ctx, g); err != nil {
			return "", err
		}
		if g.ledger.Claims[claim.Name] != nil {
			return g.id, nil
		}
	}
	return "", provider.ErrNotFound
}

// Delete takes a claim's machine off its group.
func (p *Provider) Delete(ctx context.Context, claim *v1alpha1.NodeClaim) error {
	for range attempts {
		g, entry, err := p.find(ctx, claim)
		if err != nil {
			return err
		}
		if entry == nil {
			return provider.ErrNotFound
		}
		err = p.remove(ctx, g, claim.Name, entry)
		if !errors.Is(err, ledger.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("claim %s: %w", claim.Name, ledger.ErrConflict)
}

func (p *Provider) remove(ctx context.Context, g *group, claim string, entry *ledger.Entry) error {
	machine := g.machines[entry.Instance]
	switch {
	case entry.Deleting != nil && machine != nil:
		return nil // on its way out
	case entry.Deleting != nil, entry.Gone(g.seen) && g.size() <= g.ledger.Counted(g.seen):
		// It is gone, and the replicas do not count it.
		delete(g.ledger.Claims, claim)
		if err := p.save(ctx, g); err != nil {
			return err
		}
		return provider.ErrNotFound
	case entry.Missing != nil && !entry.Gone(g.seen):
		return nil
	case g.size() <= g.min:
		return fmt.Errorf("%s has its minimum of %d", g.id, g.min)
	case machine == nil:
		// It has not come, or its replacement has not: the replica goes, with whatever is made for it meanwhile.
		g.resize(-1)
		delete(g.ledger.Claims, claim)
		return p.save(ctx, g)
	}
	if err := p.mark(ctx, machine); err != nil {
		return err
	}
	if machine.DeletionTimestamp == nil || g.size() > g.ledger.Counted(g.seen) {
		// Cluster API replaces a machine that somebody else deletes, unless the replicas go down with it.
		g.resize(-1)
	}
	entry.Deleting = &g.seen.Now
	return p.save(ctx, g)
}

// mark has Cluster API choose this machine when its group shrinks.
func (p *Provider) mark(ctx context.Context, machine *clusterv1.Machine) error {
	if _, ok := machine.Annotations[clusterv1.DeleteMachineAnnotation]; ok || machine.DeletionTimestamp != nil {
		return nil
	}
	patch := client.MergeFrom(machine.DeepCopy())
	if machine.Annotations == nil {
		machine.Annotations = map[string]string{}
	}
	machine.Annotations[clusterv1.DeleteMachineAnnotation] = "yagura"
	if err := p.management.Patch(ctx, machine, patch); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("mark machine %s for deletion: %w", machine.Name, err)
	}
	return nil
}

// List returns the machines of all groups.
func (p *Provider) List(ctx context.Context) ([]provider.Machine, error) {
	groups, err := p.groups(ctx)
	if err != nil {
		return nil, err
	}
	var out []provider.Machine
	for _, read := range groups {
		g, _, err := p.find(ctx, &v1alpha1.NodeClaim{Spec: v1alpha1.NodeClaimSpec{Offer: v1alpha1.ClaimedOffer{Group: read.id}}})
		if err != nil {
			return nil, err
		}
		owned := map[string]bool{}
		for _, name := range slices.Sorted(maps.Keys(g.ledger.Claims)) {
			entry := g.ledger.Claims[name]
			owned[entry.Instance] = true
			if !entry.Gone(g.seen) || entry.Deleting == nil {
				out = append(out, g.machine(name, entry))
			}
		}
		for name := range g.machines {
			if !owned[name] {
				out = append(out, g.machine("", &ledger.Entry{Instance: name}))
			}
		}
	}
	slices.SortStableFunc(out, func(a, b provider.Machine) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Claim, b.Claim), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

// machine is what Cluster API says of an entry's.
func (g *group) machine(claim string, e *ledger.Entry) provider.Machine {
	out := provider.Machine{Claim: claim, Group: g.id, Created: e.Ordered, State: provider.Creating, Version: g.template.Spec.Version}
	m := g.machines[e.Instance]
	if m == nil {
		out.Message = "ordered; no machine has come yet"
		if e.Instance != "" {
			out.State, out.Message = provider.Running, "Cluster API does not list machine "+e.Instance
		}
		return out
	}
	out.ID, out.NodeName, out.Created, out.Version = m.Spec.ProviderID, m.Status.NodeRef.Name, m.CreationTimestamp.Time, m.Spec.Version
	switch {
	case m.DeletionTimestamp != nil, e.Deleting != nil:
		out.State = provider.Deleting
	case m.Status.Phase == failedPhase:
		out.State = provider.Broken
	case m.Spec.ProviderID != "":
		out.State = provider.Running
	}
	out.Message = explain(m)
	return out
}

// explain is what people should know of a machine: that Cluster API's own remediation is at work comes first.
func explain(m *clusterv1.Machine) string {
	if c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineOwnerRemediatedCondition); c != nil && c.Status == metav1.ConditionFalse {
		return "a MachineHealthCheck has it replaced: " + c.Message
	}
	if c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineReadyCondition); c != nil && c.Status != metav1.ConditionTrue {
		return c.Message
	}
	return ""
}

func soldOut(claim *v1alpha1.NodeClaim, err error) error {
	o := claim.Spec.Offer
	return &provider.OutOfCapacity{
		Offer: cluster.OfferID{Name: o.Name, Group: o.Group, Zone: o.Zone, CapacityType: o.CapacityType, Policy: claim.Spec.Policy}, Err: err,
	}
}

// failedPhase is what controllers before v1beta2 said of a machine that will never run. Newer ones say it in conditions.
const failedPhase = "Failed"
