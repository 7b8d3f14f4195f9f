package gke

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	container "google.golang.org/api/container/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider/offer"
)

// Offers are the pools in each of their zones: one node more of each.
func (p *Provider) Offers(ctx context.Context, policy *v1alpha1.NodePolicy) ([]cluster.Offer, error) {
	groups, err := p.groups(ctx)
	if err != nil {
		return nil, err
	}
	var out []cluster.Offer
	for _, g := range groups {
		wanted := policy.Spec.Provider.Groups
		if len(wanted) > 0 && !slices.Contains(wanted, g.id) && !slices.Contains(wanted, g.pool.Name) || g.pool.Config == nil {
			continue
		}
		var shape machineType
		path := "projects/" + g.manager.project + "/zones/" + g.manager.zone + "/machineTypes/" + g.pool.Config.MachineType
		if err := p.call(ctx, http.MethodGet, path, nil, &shape); err != nil {
			return nil, fmt.Errorf("get machine type %s: %w", g.pool.Config.MachineType, err)
		}
		o := offer.FromNode(g.node(shape), g.id)
		o.Policy, o.PricePerHour = policy.Name, p.price(g.pool.Config.MachineType, o)
		if limit, ok := p.cfg.MaxNodes[g.pool.Name]; ok {
			var gm groupManager
			if err := p.call(ctx, http.MethodGet, g.manager.path(), nil, &gm); err != nil {
				return nil, fmt.Errorf("get instance group %s: %w", g.manager.name, err)
			}
			o.Stock = max(0, limit-gm.TargetSize)
		}
		switch {
		case o.Stock == 0:
			o.Available, o.Unavailable = false, g.id+" has its maximum"
		case g.pool.Status != "RUNNING" && g.pool.Status != "RUNNING_WITH_ERROR":
			o.Available, o.Unavailable = false, fmt.Sprintf("%s is %s", g.id, g.pool.Status)
		}
		out = append(out, o)
	}
	return out, nil
}

func (p *Provider) price(machineType string, o cluster.Offer) float64 {
	share := 1.0
	if o.CapacityType == offer.Spot {
		if price, ok := p.cfg.Prices[machineType+"/spot"]; ok {
			return price
		}
		share = p.cfg.SpotShare
	}
	if price, ok := p.cfg.Prices[machineType]; ok {
		return price * share
	}
	return offer.Price(o.Allocatable, p.cfg.CPUPrice, p.cfg.MemoryPrice) * share
}

// effects are the API's names of a taint's effects.
var effects = map[string]corev1.TaintEffect{
	"NO_SCHEDULE": corev1.TaintEffectNoSchedule, "PREFER_NO_SCHEDULE": corev1.TaintEffectPreferNoSchedule, "NO_EXECUTE": corev1.TaintEffectNoExecute,
}

// node is one as the pool makes it.
func (g group) node(shape machineType) *corev1.Node {
	config := g.pool.Config
	node := &corev1.Node{}
	node.Labels = map[string]string{
		corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		corev1.LabelInstanceTypeStable: config.MachineType, corev1.LabelTopologyZone: g.manager.zone,
		corev1.LabelTopologyRegion:       region(g.manager.zone),
		"cloud.google.com/gke-nodepool":  g.pool.Name,
		"topology.gke.io/zone":           g.manager.zone,
		"cloud.google.com/gke-boot-disk": config.DiskType,
	}
	if config.DiskType == "" {
		delete(node.Labels, "cloud.google.com/gke-boot-disk")
	}
	if shape.Architecture == "ARM64" {
		node.Labels[corev1.LabelArchStable] = "arm64"
	}
	if config.Spot {
		node.Labels["cloud.google.com/gke-spot"] = "true"
	}
	if config.Preemptible {
		node.Labels["cloud.google.com/gke-preemptible"] = "true"
	}
	maps.Copy(node.Labels, config.Labels)
	for _, t := range config.Taints {
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: effects[t.Effect]})
	}
	pods := int64(110)
	if c := g.pool.MaxPodsConstraint; c != nil && c.MaxPodsPerNode > 0 {
		pods = c.MaxPodsPerNode
	}
	node.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(shape.GuestCpus*1000-reservedCPU(shape.GuestCpus), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(shape.MemoryMb<<20-reservedMemory(shape.MemoryMb), resource.BinarySI),
		corev1.ResourcePods:   *resource.NewQuantity(pods, resource.DecimalSI),
	}
	if n := gpus(config, shape); n > 0 {
		node.Status.Allocatable["nvidia.com/gpu"] = *resource.NewQuantity(n, resource.DecimalSI)
		taint := corev1.Taint{Key: "nvidia.com/gpu", Value: "present", Effect: corev1.TaintEffectNoSchedule}
		if !slices.Contains(node.Spec.Taints, taint) {
			node.Spec.Taints = append(node.Spec.Taints, taint) // GKE puts it on by itself
		}
	}
	return node
}

// gpus are those that the pool attaches, and else those that come with the machine type.
func gpus(config *container.NodeConfig, shape machineType) (n int64) {
	for _, a := range config.Accelerators {
		n += a.AcceleratorCount
	}
	if n > 0 {
		return n
	}
	for _, a := range shape.Accelerators {
		n += a.Count
	}
	return n
}

func region(zone string) string {
	if len(zone) > 2 && zone[len(zone)-2] == '-' {
		return zone[:len(zone)-2]
	}
	return zone
}

// step is a part of a resource, and what of it is reserved, in thousandths of a percent.
type step struct{ upTo, reserved int64 }

// reservedCPU is what GKE reserves of cores, in thousandths of a core: 6 % of the first, 1 % of the second, 0.5 % of the next two and
// 0.25 % of those above, as GKE's documentation on planning node sizes says.
func reservedCPU(cores int64) int64 {
	return share(cores*1000, []step{{1000, 6000}, {2000, 1000}, {4000, 500}, {1 << 60, 250}})
}

// reservedMemory is what GKE reserves of memory, given in MiB, in bytes: 255 MiB of machines with less than 1 GiB; of others 25 % of
// the first 4 GiB, 20 % of the next 4, 10 % of the next 8, 6 % up to 128 GiB and 2 % above; and 100 MiB before pods are evicted. The
// source is the same.
func reservedMemory(mib int64) int64 {
	const evicting = 100 << 20
	if mib < 1024 {
		return 255<<20 + evicting
	}
	return share(mib<<20, []step{{4 << 30, 25000}, {8 << 30, 20000}, {16 << 30, 10000}, {128 << 30, 6000}, {1 << 60, 2000}}) + evicting
}

func share(amount int64, steps []step) (reserved int64) {
	from := int64(0)
	for _, s := range steps {
		if amount > from {
			reserved += (min(amount, s.upTo) - from) / 1000 * s.reserved / 100
		}
		from = s.upTo
	}
	return reserved
}
