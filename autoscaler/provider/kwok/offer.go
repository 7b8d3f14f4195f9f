package kwok

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// capacityTypeLabel is the label under which policies choose a capacity type.
const capacityTypeLabel = "karpenter.sh/capacity-type"

// offers are an instance in each of its zones, under each contract.
func (i Instance) offers() []cluster.Offer {
	arch := i.Arch
	if arch == "" {
		arch = "amd64"
	}
	resources := i.Resources.DeepCopy()
	if _, ok := resources[corev1.ResourcePods]; !ok {
		resources[corev1.ResourcePods] = *resource.NewQuantity(110, resource.DecimalSI)
	}
	stock := -1
	if i.Stock > 0 {
		stock = i.Stock
	}
	var out []cluster.Offer
	for _, zone := range i.Zones {
		for _, capacityType := range slices.Sorted(maps.Keys(i.Prices)) {
			labels := map[string]string{
				corev1.LabelInstanceTypeStable: i.Name,
				corev1.LabelTopologyZone:       zone,
				corev1.LabelArchStable:         arch,
				corev1.LabelOSStable:           "linux",
				capacityTypeLabel:              capacityType,
			}
			maps.Copy(labels, i.Labels)
			out = append(out, cluster.Offer{
				Name: i.Name, Zone: zone, CapacityType: capacityType, PricePerHour: i.Prices[capacityType],
				Available: true, Labels: labels, Taints: i.Taints, Allocatable: resources, Stock: stock,
			})
		}
	}
	return out
}
