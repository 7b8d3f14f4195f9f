package clusterapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/ledger"
)

const (
	kindDeployment = "MachineDeployment"
	kindPool       = "MachinePool"

	// ledgerAnnotation on a group says which claims its machines are for. It changes together with the number of replicas, in one
	// update, so that a claim is bought once whatever becomes of the answer.
	ledgerAnnotation = v1alpha1.GroupName + "/claims"
	// priceAnnotation on a group is what a machine costs per hour.
	priceAnnotation = v1alpha1.GroupName + "/price-per-hour"
	// maxLedger keeps the annotation below what the API server accepts for all annotations of an object.
	maxLedger = 200 << 10
)

// group is a MachineDeployment or a MachinePool, as it was read.
type group struct {
	id     string
	object client.Object
	// read is the object as it was: only what differs is written, since a newer Cluster API may have fields that are not known here.
	read     client.Object
	replicas **int32
	template *clusterv1.MachineTemplateSpec
	// onDelete says that a new template changes no machine that there is.
	onDelete bool
	min, max int
	ledger   *ledger.Ledger
	machines map[string]*clusterv1.Machine
	seen     ledger.Observation
}

func deployment(object *clusterv1.MachineDeployment) *group {
	return &group{
		id: kindDeployment + "/" + object.Namespace + "/" + object.Name, object: object, read: object.DeepCopy(),
		replicas: &object.Spec.Replicas, template: &object.Spec.Template,
		onDelete: object.Spec.Rollout.Strategy.Type == clusterv1.OnDeleteMachineDeploymentStrategyType,
	}
}

func pool(object *clusterv1.MachinePool) *group {
	return &group{
		id: kindPool + "/" + object.Namespace + "/" + object.Name, object: object, read: object.DeepCopy(),
		replicas: &object.Spec.Replicas, template: &object.Spec.Template,
	}
}

func (g *group) size() int {
	if *g.replicas == nil {
		return 1 // Cluster API's own default
	}
	return int(**g.replicas)
}

// bounds reads the annotations that cluster-autoscaler knows. A group without a maximum is not for autoscalers.
func (g *group) bounds() (managed bool, err error) {
	annotations := g.object.GetAnnotations()
	text, ok := annotations[clusterv1.AutoscalerMaxSizeAnnotation]
	if !ok {
		return false, nil
	}
	if g.max, err = strconv.Atoi(text); err != nil {
		return false, fmt.Errorf("%s: annotation %s: %w", g.id, clusterv1.AutoscalerMaxSizeAnnotation, err)
	}
	if text, ok := annotations[clusterv1.AutoscalerMinSizeAnnotation]; ok {
		if g.min, err = strconv.Atoi(text); err != nil {
			return false, fmt.Errorf("%s: annotation %s: %w", g.id, clusterv1.AutoscalerMinSizeAnnotation, err)
		}
	}
	return true, nil
}

// groups are those of the cluster that autoscalers may resize.
func (p *Provider) groups(ctx context.Context) ([]*group, error) {
	var all []*group
	var deployments clusterv1.MachineDeploymentList
	if err := p.management.List(ctx, &deployments, client.InNamespace(p.cfg.Namespace)); err != nil {
		return nil, fmt.Errorf("list MachineDeployments: %w", err)
	}
	for i := range deployments.Items {
		if d := &deployments.Items[i]; d.Spec.ClusterName == p.cfg.Cluster {
			all = append(all, deployment(d))
		}
	}
	var pools clusterv1.MachinePoolList
	// A management cluster may be without pools.
	if err := p.management.List(ctx, &pools, client.InNamespace(p.cfg.Namespace)); err != nil && !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("list MachinePools: %w", err)
	}
	for i := range pools.Items {
		if d := &pools.Items[i]; d.Spec.ClusterName == p.cfg.Cluster {
			all = append(all, pool(d))
		}
	}
	var out []*group
	for _, g := range all {
		managed, err := g.bounds()
		if err != nil {
			p.logger.Warn("a group is left out", "group", g.id, "error", err)
			continue
		}
		if managed {
			out = append(out, g)
		}
	}
	return out, nil
}

// load reads a group with its machines, and brings its ledger up to date.
func (p *Provider) load(ctx context.Context, id string) (*group, bool, error) {
	kind, rest, _ := strings.Cut(id, "/")
	namespace, name, _ := strings.Cut(rest, "/")
	key := client.ObjectKey{Namespace: namespace, Name: name}
	var g *group
	var err error
	switch kind {
	case kindDeployment:
		object := &clusterv1.MachineDeployment{}
		err = p.management.Get(ctx, key, object)
		g = deployment(object)
	case kindPool:
		object := &clusterv1.MachinePool{}
		err = p.management.Get(ctx, key, object)
		g = pool(object)
	default:
		return nil, false, &provider.Invalid{Err: fmt.Errorf("%q is no group: want %s/namespace/name or %s/namespace/name", id, kindDeployment, kindPool)}
	}
	if apierrors.IsNotFound(err) {
		return nil, false, &provider.Invalid{Err: fmt.Errorf("there is no %s", id)}
	}
	if err != nil {
		return nil, false, fmt.Errorf("get %s: %w", id, err)
	}
	if managed, err := g.bounds(); err != nil {
		return nil, false, &provider.Invalid{Err: err}
	} else if !managed {
		return nil, false, &provider.Invalid{Err: fmt.Errorf("%s has no annotation %s: it is not for autoscalers", id, clusterv1.AutoscalerMaxSizeAnnotation)}
	}
	changed, err := p.look(ctx, g)
	return g, changed, err
}

// look fills in the machines of a group that was read, and reports whether they change its ledger. Machines are read after the group:
// what came for a purchase in between makes the group a newer one, so that nothing wrong about it can be written.
func (p *Provider) look(ctx context.Context, g *group) (changed bool, err error) {
	g.ledger = &ledger.Ledger{}
	if text := g.object.GetAnnotations()[ledgerAnnotation]; text != "" {
		// One that cannot be read must not be taken for an empty one: machines would be bought twice.
		if err := json.Unmarshal([]byte(text), g.ledger); err != nil {
			return false, fmt.Errorf("%s: read annotation %s: %w", g.id, ledgerAnnotation, err)
		}
	}
	label := clusterv1.MachineDeploymentNameLabel
	if strings.HasPrefix(g.id, kindPool+"/") {
		label = clusterv1.MachinePoolNameLabel
	}
	var list clusterv1.MachineList
	err = p.management.List(ctx, &list, client.InNamespace(g.object.GetNamespace()),
		client.MatchingLabels{label: g.object.GetName(), clusterv1.ClusterNameLabel: p.cfg.Cluster})
	if err != nil {
		return false, fmt.Errorf("list machines of %s: %w", g.id, err)
	}
	g.machines = map[string]*clusterv1.Machine{}
	g.seen = ledger.Observation{Size: g.size(), Now: p.clock.Now().UTC().Truncate(time.Millisecond), Settle: time.Duration(p.cfg.Settle)}
	for i := range list.Items {
		m := &list.Items[i]
		g.machines[m.Name] = m
		g.seen.Instances = append(g.seen.Instances, ledger.Instance{ID: m.Name, Deleting: m.DeletionTimestamp != nil})
	}
	return g.ledger.Observe(g.seen), nil
}

// save writes a group with its ledger, if nobody has written it since it was read, and fails with ledger.ErrConflict otherwise.
func (p *Provider) save(ctx context.Context, g *group) error {
	text, err := json.Marshal(g.ledger)
	if err != nil {
		return fmt.Errorf("%s: write annotation %s: %w", g.id, ledgerAnnotation, err)
	}
	if len(text) > maxLedger {
		return fmt.Errorf("%s: %w", g.id, errFull)
	}
	annotations := g.object.GetAnnotations()
	annotations[ledgerAnnotation] = string(text)
	g.object.SetAnnotations(annotations)
	err = p.management.Patch(ctx, g.object, client.MergeFromWithOptions(g.read, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) {
		return ledger.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("update %s: %w", g.id, err)
	}
	return nil
}

var errFull = errors.New("it has more machines than can be told apart in an annotation; use several groups")

// resize changes the number of replicas in what was read.
func (g *group) resize(by int) {
	n := int32(g.size() + by)
	*g.replicas = &n
}
