package kwok

import (
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Config is what the simulated cloud sells, and how it fails.
type Config struct {
	// Catalog is the path of a file with offers, in the format of instance types that package catalog reads. Empty means Instances.
	Catalog string `json:"catalog,omitempty"`
	// Instances are what is sold besides. With neither, a family of general instances with 2 to 64 cores is.
	Instances []Instance `json:"instances,omitempty"`
	// Boot is the time from the purchase of a machine to its node.
	Boot model.Duration `json:"boot,omitempty"`
	// Version is what kubelets say that they are when the policy does not ask for one. Empty means what kwok says.
	Version string `json:"version,omitempty"`
	// Faults are what goes wrong. The first that applies to a claim counts.
	Faults []Fault `json:"faults,omitempty"`
	// FaultsFile is the path of a JSON or YAML file with a list of further faults. It is read at each purchase and may be missing.
	FaultsFile string `json:"faultsFile,omitempty"`
}

// Instance is a shape that is sold.
type Instance struct {
	// Name is the instance type.
	Name string `json:"name"`
	// Arch is amd64 when empty.
	Arch string `json:"arch,omitempty"`
	// Resources are allocatable: cpu and memory at least; 110 pods when not given.
	Resources corev1.ResourceList `json:"resources"`
	// Zones in which it is sold.
	Zones []string `json:"zones"`
	// Prices are money per hour by capacity type: on-demand, spot, reserved.
	Prices map[string]float64 `json:"prices"`
	// Stock is how many there are in each zone and capacity type, 0 for any number.
	Stock int `json:"stock,omitempty"`
	// Labels and Taints of its nodes.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []corev1.Taint    `json:"taints,omitempty"`
}

// Fault is something that goes wrong.
type Fault struct {
	// Offer, Zone and CapacityType restrict it; empty ones apply to all.
	Offer        string `json:"offer,omitempty"`
	Zone         string `json:"zone,omitempty"`
	CapacityType string `json:"capacityType,omitempty"`
	// Kind is what goes wrong.
	Kind FaultKind `json:"kind"`
	// Percent of claims that it happens to, chosen by their names. 0 means all.
	Percent int `json:"percent,omitempty"`
}

// FaultKind is a way of failing.
type FaultKind string

const (
	// FaultOutOfCapacity refuses the purchase: the offer is sold out.
	FaultOutOfCapacity FaultKind = "OutOfCapacity"
	// FaultError fails the purchase for no reason that could be understood.
	FaultError FaultKind = "Error"
	// FaultNeverRegisters makes a machine that never gets a node.
	FaultNeverRegisters FaultKind = "NeverRegisters"
	// FaultNeverReady makes a machine whose node never becomes ready.
	FaultNeverReady FaultKind = "NeverReady"
	// FaultBroken makes a machine that says that it is broken.
	FaultBroken FaultKind = "Broken"
)

var faultKinds = []FaultKind{FaultOutOfCapacity, FaultError, FaultNeverRegisters, FaultNeverReady, FaultBroken}

// Zones are those of the family that is sold by default, and of the development cluster.
var Zones = []string{"devcluster-a", "devcluster-b", "devcluster-c"}

// General is what is sold by default: four GiB of memory per core, 0.025 per core and 0.003 per GiB an hour, a third of it on the
// spot market. A tenth of a core and 256 MiB of each machine are the system's.
func General() []Instance {
	var out []Instance
	for _, cores := range []int64{2, 4, 8, 16, 32, 64} {
		perHour := float64(cores) * (0.025 + 4*0.003)
		out = append(out, Instance{
			Name: fmt.Sprintf("general-%d", cores),
			Resources: corev1.ResourceList{
				corev1.ResourceCPU:              *resource.NewMilliQuantity(cores*1000-100, resource.DecimalSI),
				corev1.ResourceMemory:           *resource.NewQuantity(cores<<32-256<<20, resource.BinarySI),
				corev1.ResourceEphemeralStorage: *resource.NewQuantity(100<<30, resource.BinarySI),
				corev1.ResourcePods:             *resource.NewQuantity(110, resource.DecimalSI),
			},
			Zones:  Zones,
			Prices: map[string]float64{"on-demand": perHour, "spot": perHour / 3},
		})
	}
	return out
}

// DefaultConfig sells the general family and fails never.
func DefaultConfig() Config { return Config{} }

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	if c.Boot < 0 || time.Duration(c.Boot) > 24*time.Hour {
		return fmt.Errorf("boot: must be between 0s and 1d")
	}
	for i, instance := range c.Instances {
		if err := instance.validate(); err != nil {
			return fmt.Errorf("instances[%d].%w", i, err)
		}
	}
	for i, fault := range c.Faults {
		if err := fault.validate(); err != nil {
			return fmt.Errorf("faults[%d].%w", i, err)
		}
	}
	return nil
}

func (i Instance) validate() error {
	switch {
	case i.Name == "":
		return fmt.Errorf("name: must be set")
	case len(i.Zones) == 0:
		return fmt.Errorf("zones: must not be empty")
	case len(i.Prices) == 0:
		return fmt.Errorf("prices: must not be empty")
	case i.Stock < 0:
		return fmt.Errorf("stock: must not be negative")
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if q := i.Resources[name]; q.Sign() <= 0 {
			return fmt.Errorf("resources.%s: must be greater than 0", name)
		}
	}
	for capacityType, price := range i.Prices {
		if !slices.Contains([]string{"on-demand", "spot", "reserved"}, capacityType) {
			return fmt.Errorf("prices: %q is none of on-demand, spot, reserved", capacityType)
		}
		if !(price >= 0) {
			return fmt.Errorf("prices.%s: must not be negative", capacityType)
		}
	}
	return nil
}

func (f Fault) validate() error {
	if !slices.Contains(faultKinds, f.Kind) {
		return fmt.Errorf("kind: %q is none of %v", f.Kind, faultKinds)
	}
	if f.Percent < 0 || f.Percent > 100 {
		return fmt.Errorf("percent: must be between 0 and 100")
	}
	return nil
}
