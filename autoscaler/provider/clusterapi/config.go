package clusterapi

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
)

// Config says which groups of which Cluster API are used.
type Config struct {
	// Kubeconfig is the management cluster's. Empty means that it is the cluster whose nodes are bought.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Namespace and Cluster name the Cluster object of the nodes' cluster. Groups are its MachineDeployments and MachinePools
	// that have the annotation for the maximum size.
	Namespace string `json:"namespace"`
	Cluster   string `json:"cluster"`
	// Settle is how long a machine may be missing before it counts as gone.
	Settle model.Duration `json:"settle,omitempty"`
	// Prices are money per hour by instance type, or by group (MachineDeployment/namespace/name). The annotation
	// yagura.dev/price-per-hour on a group comes first.
	Prices map[string]float64 `json:"prices,omitempty"`
	// CPUPrice and MemoryPrice are money per hour for a core and a GiB of groups without a price.
	CPUPrice    float64 `json:"cpuPrice,omitempty"`
	MemoryPrice float64 `json:"memoryPrice,omitempty"`
}

// DefaultConfig lacks the cluster.
func DefaultConfig() Config {
	return Config{Settle: model.Duration(30 * time.Second), CPUPrice: 0.03, MemoryPrice: 0.004}
}

func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.Settle == 0 {
		c.Settle = d.Settle
	}
	if c.CPUPrice == 0 && c.MemoryPrice == 0 {
		c.CPUPrice, c.MemoryPrice = d.CPUPrice, d.MemoryPrice
	}
	return c
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Namespace == "":
		return fmt.Errorf("namespace: must be set")
	case c.Cluster == "":
		return fmt.Errorf("cluster: must be set")
	case time.Duration(c.Settle) < time.Second || time.Duration(c.Settle) > time.Hour:
		return fmt.Errorf("settle: must be between 1s and 1h")
	case !valid(c.CPUPrice):
		return fmt.Errorf("cpuPrice: must not be negative")
	case !valid(c.MemoryPrice):
		return fmt.Errorf("memoryPrice: must not be negative")
	}
	for name, price := range c.Prices {
		if !valid(price) {
			return fmt.Errorf("prices.%s: must not be negative", name)
		}
	}
	return nil
}

func valid(price float64) bool { return price >= 0 && !math.IsInf(price, 0) }
