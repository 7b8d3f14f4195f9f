// Package gke buys nodes in the node pools of a GKE cluster, through Google's client library for GKE and Compute Engine's managed
// instance groups. It has been run against a stand-in that holds every call against Google's published description of its APIs, and
// not against the cloud itself.
//
// An instance is named by its pool and its claim, so that it can be made once only, and so that it says whose it is. Pools for which
// GKE's own autoscaling is on are left alone. It imports packages provider and offer; the registry of providers imports it.
package gke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	container "google.golang.org/api/container/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	transport "google.golang.org/api/transport/http"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// Dependencies are what the provider works with.
type Dependencies struct {
	// HTTP is a client that says who asks. Nil means the application default credentials.
	HTTP *http.Client
	// ContainerURL and ComputeURL are other addresses of the APIs, empty for Google's.
	ContainerURL, ComputeURL string
	Logger                   *slog.Logger
}

// Provider buys in one cluster. It is safe for concurrent use.
type Provider struct {
	name      string
	cfg       Config
	container *container.Service
	http      *http.Client
	compute   string
	logger    *slog.Logger
}

var (
	_ provider.Provider = (*Provider)(nil)
	_ provider.Repairer = (*Provider)(nil)
)

// New returns the provider of this name. It looks for credentials and asks nobody yet.
func New(ctx context.Context, name string, cfg Config, deps Dependencies) (*Provider, error) {
	through := deps.HTTP
	if through == nil {
		var err error
		if through, _, err = transport.NewClient(ctx, option.WithScopes(container.CloudPlatformScope)); err != nil {
			return nil, fmt.Errorf("gke provider %s: %w", name, err)
		}
	}
	options := []option.ClientOption{option.WithHTTPClient(through)}
	if deps.ContainerURL != "" {
		options = append(options, option.WithEndpoint(deps.ContainerURL))
	}
	service, err := container.NewService(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("gke provider %s: %w", name, err)
	}
	return &Provider{
		name: name, cfg: cfg.withDefaults(), container: service, http: through, compute: cmp.Or(deps.ComputeURL, computeURL), logger: deps.Logger,
	}, nil
}

// Name is the one in the configuration.
func (p *Provider) Name() string { return p.name }

// Capabilities say that machines carry their claims' names and can be rebooted. Labels, taints, version and image are the pool's.
func (p *Provider) Capabilities() provider.Capabilities {
	return provider.Capabilities{Steps: []v1alpha1.RepairStep{v1alpha1.RepairReboot}, Named: true}
}

// group is a pool in one of its zones.
type group struct {
	id      string
	pool    *container.NodePool
	manager manager
}

// groups are those that GKE does not scale by itself.
func (p *Provider) groups(ctx context.Context) ([]group, error) {
	parent := fmt.Sprintf("projects/%s/locations/%s/clusters/%s", p.cfg.Project, p.cfg.Location, p.cfg.Cluster)
	answer, err := p.container.Projects.Locations.Clusters.NodePools.List(parent).Context(ctx).Do()
	if err != nil {
		return nil, fmt.Errorf("list node pools of %s: %w", p.cfg.Cluster, err)
	}
	var out []group
	for _, pool := range answer.NodePools {
		if pool.Autoscaling != nil && pool.Autoscaling.Enabled {
			p.logger.Debug("a pool is left to GKE's own autoscaling", "pool", pool.Name)
			continue
		}
		for _, url := range pool.InstanceGroupUrls {
			m, err := parseManager(url)
			if err != nil {
				return nil, fmt.Errorf("node pool %s: %w", pool.Name, err)
			}
			out = append(out, group{id: pool.Name + "/" + m.zone, pool: pool, manager: m})
		}
	}
	slices.SortFunc(out, func(a, b group) int { return cmp.Compare(a.id, b.id) })
	return out, nil
}

// find returns the group of a claim, with its manager as it is now, and the name of the claim's instance.
func (p *Provider) find(ctx context.Context, claim *v1alpha1.NodeClaim) (group, groupManager, string, error) {
	groups, err := p.groups(ctx)
	if err != nil {
		return group{}, groupManager{}, "", err
	}
	for _, g := range groups {
		if claim.Spec.Offer.Group != "" && g.id != claim.Spec.Offer.Group {
			continue
		}
		var gm groupManager
		if err := p.call(ctx, http.MethodGet, g.manager.path(), nil, &gm); err != nil {
			return group{}, groupManager{}, "", fmt.Errorf("get instance group %s: %w", g.manager.name, err)
		}
		name := gm.BaseInstanceName + "-" + claim.Name
		if claim.Spec.Offer.Group != "" {
			return g, gm, name, nil
		}
		// The claim of an orphan has a name only.
		if _, ok, err := p.instance(ctx, g, name); err != nil {
			return group{}, groupManager{}, "", err
		} else if ok {
			return g, gm, name, nil
		}
	}
	if claim.Spec.Offer.Group == "" {
		return group{}, groupManager{}, "", provider.ErrNotFound
	}
	return group{}, groupManager{}, "", &provider.Invalid{Err: fmt.Errorf("there is no pool %q that GKE does not scale by itself", claim.Spec.Offer.Group)}
}

func (p *Provider) instance(ctx context.Context, g group, name string) (managedInstance, bool, error) {
	all, err := p.instances(ctx, g.manager)
	if err != nil {
		return managedInstance{}, false, err
	}
	i := slices.IndexFunc(all, func(i managedInstance) bool { return i.name() == name })
	if i < 0 {
		return managedInstance{}, false, nil
	}
	return all[i], true, nil
}

// Create makes the instance of a claim. The name makes it idempotent: a group refuses a second instance of the same one.
func (p *Provider) Create(ctx context.Context, claim *v1alpha1.NodeClaim) (provider.Machine, error) {
	g, gm, name, err := p.find(ctx, claim)
	if err != nil {
		return provider.Machine{}, err
	}
	// What the pool's own machines are called has no dash after the base; a claim's has, or could not be told from them.
	if problems := validation.IsDNS1035Label(name); len(problems) > 0 || !strings.Contains(claim.Name, "-") {
		return provider.Machine{}, &provider.Invalid{Err: fmt.Errorf("an instance cannot be called %q: the policy's name is too long for the pool's", name)}
	}
	if i, ok, err := p.instance(ctx, g, name); err != nil {
		return provider.Machine{}, err
	} else if ok {
		return g.machine(claim.Name, i), nil
	}
	if limit, ok := p.cfg.MaxNodes[g.pool.Name]; ok && gm.TargetSize >= limit {
		return provider.Machine{}, soldOut(claim, fmt.Errorf("%s has its maximum of %d", g.id, limit))
	}
	body := map[string]any{"instances": []any{map[string]any{"name": name}}}
	err = p.call(ctx, http.MethodPost, g.manager.path()+"/createInstances", body, nil)
	var refused *googleapi.Error
	switch {
	case err == nil:
		return g.machine(claim.Name, managedInstance{Name: name, CurrentAction: "CREATING"}), nil
	case !errors.As(err, &refused):
		return provider.Machine{}, fmt.Errorf("create instance %s: %w", name, err)
	}
	// Another leader may have been faster, and its instance be the reason of the refusal.
	if i, ok, err := p.instance(ctx, g, name); err == nil && ok {
		return g.machine(claim.Name, i), nil
	}
	if exhausted(refused) {
		return provider.Machine{}, soldOut(claim, refused)
	}
	return provider.Machine{}, fmt.Errorf("create instance %s: %w", name, err)
}

// exhausted says that there is nothing left to buy: in the zone, or within the project's quota.
func exhausted(err *googleapi.Error) bool {
	text := strings.ToLower(err.Error())
	return err.Code == http.StatusTooManyRequests && strings.Contains(text, "quota") ||
		strings.Contains(text, "quotaexceeded") || strings.Contains(text, "quota_exceeded") || strings.Contains(text, "resource_pool_exhausted") || strings.Contains(text, "stockout")
}

// Get returns the machine of a claim, or ErrNotFound.
func (p *Provider) Get(ctx context.Context, claim *v1alpha1.NodeClaim) (provider.Machine, error) {
	g, _, name, err := p.find(ctx, claim)
	if err != nil {
		return provider.Machine{}, err
	}
	i, ok, err := p.instance(ctx, g, name)
	if err != nil {
		return provider.Machine{}, err
	}
	if !ok {
		return provider.Machine{}, provider.ErrNotFound
	}
	return g.machine(claim.Name, i), nil
}

// Delete deletes the instance of a claim, and takes it off its group's size.
func (p *Provider) Delete(ctx context.Context, claim *v1alpha1.NodeClaim) error {
	g, _, name, err := p.find(ctx, claim)
	if err != nil {
		return err
	}
	i, ok, err := p.instance(ctx, g, name)
	switch {
	case err != nil:
		return err
	case !ok:
		return provider.ErrNotFound
	case i.CurrentAction == "DELETING":
		return nil
	}
	body := map[string]any{"instances": []string{"zones/" + g.manager.zone + "/instances/" + name}, "skipInstancesOnValidationError": true}
	if err := p.call(ctx, http.MethodPost, g.manager.path()+"/deleteInstances", body, nil); err != nil {
		return fmt.Errorf("delete instance %s: %w", name, err)
	}
	return nil
}

// List returns the machines of all pools that GKE does not scale by itself.
func (p *Provider) List(ctx context.Context) ([]provider.Machine, error) {
	groups, err := p.groups(ctx)
	if err != nil {
		return nil, err
	}
	var out []provider.Machine
	for _, g := range groups {
		var gm groupManager
		if err := p.call(ctx, http.MethodGet, g.manager.path(), nil, &gm); err != nil {
			return nil, fmt.Errorf("get instance group %s: %w", g.manager.name, err)
		}
		all, err := p.instances(ctx, g.manager)
		if err != nil {
			return nil, err
		}
		for _, i := range all {
			claim, ok := strings.CutPrefix(i.name(), gm.BaseInstanceName+"-")
			if !ok || !strings.Contains(claim, "-") {
				claim = ""
			}
			out = append(out, g.machine(claim, i))
		}
	}
	return out, nil
}

// Repair resets an instance.
func (p *Provider) Repair(ctx context.Context, claim *v1alpha1.NodeClaim, step v1alpha1.RepairStep) error {
	if step != v1alpha1.RepairReboot {
		return fmt.Errorf("gke provider %s: %s: %w", p.name, step, provider.ErrUnsupported)
	}
	g, _, name, err := p.find(ctx, claim)
	if err != nil {
		return err
	}
	path := "projects/" + g.manager.project + "/zones/" + g.manager.zone + "/instances/" + name + "/reset"
	err = p.call(ctx, http.MethodPost, path, nil, nil)
	var refused *googleapi.Error
	if errors.As(err, &refused) && refused.Code == http.StatusNotFound {
		return provider.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("reset instance %s: %w", name, err)
	}
	return nil
}

// machine is what an instance is to others. Nodes of GKE are called as their instances.
func (g group) machine(claim string, i managedInstance) provider.Machine {
	m := provider.Machine{
		ID:    "gce://" + g.manager.project + "/" + g.manager.zone + "/" + i.name(),
		Claim: claim, Group: g.id, NodeName: i.name(), State: provider.Creating,
		Version: kubelet(g.pool.Version),
	}
	for _, e := range i.LastAttempt.Errors.Errors {
		m.Message = e.Code + ": " + e.Message
	}
	switch {
	case i.CurrentAction == "DELETING" || i.CurrentAction == "ABANDONING":
		m.State = provider.Deleting
	case i.InstanceStatus == "RUNNING":
		m.State = provider.Running
	case m.Message != "":
		m.State = provider.Broken
	}
	return m
}

// kubelet is the version that nodes of a pool report.
func kubelet(version string) string {
	if version == "" {
		return ""
	}
	return "v" + version
}

func soldOut(claim *v1alpha1.NodeClaim, err error) error {
	o := claim.Spec.Offer
	return &provider.OutOfCapacity{
		Offer: cluster.OfferID{Name: o.Name, Group: o.Group, Zone: o.Zone, CapacityType: o.CapacityType, Policy: claim.Spec.Policy}, Err: err,
	}
}
