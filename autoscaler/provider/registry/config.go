// Package registry opens the providers that a configuration names. It imports every provider; only the loop over nodes and the
// composition import it.
package registry

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/yagura-dev/yagura/autoscaler/provider/clusterapi"
	"github.com/yagura-dev/yagura/autoscaler/provider/external"
	"github.com/yagura-dev/yagura/autoscaler/provider/gke"
	"github.com/yagura-dev/yagura/autoscaler/provider/karpenter"
	"github.com/yagura-dev/yagura/autoscaler/provider/kwok"
)

// Config are the providers that policies may name.
type Config struct {
	// CallTimeout bounds one call of a provider.
	CallTimeout model.Duration `json:"callTimeout"`
	// Instances are the providers by name. None by default: each of them spends somebody's money, or simulates it.
	Instances map[string]Instance `json:"instances"`
}

// Instance is one provider: exactly one of its fields is set.
type Instance struct {
	// Kwok is a simulated cloud.
	Kwok *kwok.Config `json:"kwok,omitempty"`
	// External is a server of cluster-autoscaler's external gRPC protocol.
	External *external.Config `json:"external,omitempty"`
	// ClusterAPI are the MachineDeployments and MachinePools of a cluster that Cluster API manages.
	ClusterAPI *clusterapi.Config `json:"clusterapi,omitempty"`
	// GKE are the node pools of a GKE cluster.
	GKE *gke.Config `json:"gke,omitempty"`
	// Karpenter are the nodes of an existing Karpenter, which are explained and left alone.
	Karpenter *karpenter.Config `json:"karpenter,omitempty"`
}

// DefaultConfig has no provider.
func DefaultConfig() Config {
	return Config{CallTimeout: model.Duration(30 * time.Second), Instances: map[string]Instance{}}
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	if d := time.Duration(c.CallTimeout); d < time.Second || d > 10*time.Minute {
		return fmt.Errorf("callTimeout: must be between 1s and 10m")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Instances)) {
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			return fmt.Errorf("instances.%s: the name %s", name, problems[0])
		}
		if err := c.Instances[name].validate(); err != nil {
			return fmt.Errorf("instances.%s%w", name, err)
		}
	}
	return nil
}

// kinds are the fields that are set, each with its check.
func (i Instance) kinds() map[string]func() error {
	out := map[string]func() error{}
	if i.Kwok != nil {
		out["kwok"] = i.Kwok.Validate
	}
	if i.External != nil {
		out["external"] = i.External.Validate
	}
	if i.ClusterAPI != nil {
		out["clusterapi"] = i.ClusterAPI.Validate
	}
	if i.GKE != nil {
		out["gke"] = i.GKE.Validate
	}
	if i.Karpenter != nil {
		out["karpenter"] = i.Karpenter.Validate
	}
	return out
}

func (i Instance) validate() error {
	kinds := i.kinds()
	if len(kinds) != 1 {
		return fmt.Errorf(": exactly one kind of provider must be set, and %d are", len(kinds))
	}
	for kind, check := range kinds {
		if err := check(); err != nil {
			return fmt.Errorf(".%s.%w", kind, err)
		}
	}
	return nil
}
