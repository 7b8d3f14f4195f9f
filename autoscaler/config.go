package autoscaler

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/yagura-dev/yagura/autoscaler/actuation"
	"github.com/yagura-dev/yagura/autoscaler/admission"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/drain"
	"github.com/yagura-dev/yagura/autoscaler/journal"
	"github.com/yagura-dev/yagura/autoscaler/nodes"
	"github.com/yagura-dev/yagura/autoscaler/provider/registry"
	"github.com/yagura-dev/yagura/autoscaler/signal"
	"github.com/yagura-dev/yagura/autoscaler/usage"
	"github.com/yagura-dev/yagura/autoscaler/vpa"
	"github.com/yagura-dev/yagura/autoscaler/workload"
)

// Config is the autoscaler's section of the configuration file.
type Config struct {
	// Kubeconfig is the path of a kubeconfig, which need not exist yet. Empty means the cluster that this process runs in.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// InstallCRDs installs the CustomResourceDefinitions, or brings them up to date, instead of waiting until somebody does.
	InstallCRDs bool `json:"installCRDs,omitempty"`
	// Namespaces are the namespaces whose policies are carried out. Empty means all.
	Namespaces []string `json:"namespaces,omitempty"`
	// LeaderElection decides which of several autoscalers acts.
	LeaderElection LeaderElectionConfig `json:"leaderElection"`
	// Signal says where signals come from.
	Signal signal.Config `json:"signal"`
	// Workload says how policies are carried out.
	Workload workload.Config `json:"workload"`
	// Usage says how what containers use is measured, and how much of its history may be read.
	Usage usage.Config `json:"usage"`
	// Actuation bounds what is done to pods.
	Actuation actuation.Config `json:"actuation"`
	// Admission says how created pods are given their sizes.
	Admission admission.Config `json:"admission"`
	// VPA says for which VerticalPodAutoscalers sizes are recommended.
	VPA vpa.Config `json:"vpa"`
	// Providers are who makes nodes.
	Providers registry.Config `json:"providers"`
	// Nodes says how nodes are looked after. They are only by an autoscaler of all namespaces: nodes are full of pods of all of them.
	Nodes nodes.Config `json:"nodes"`
	// Claims says how patient nodes are asked for.
	Claims claim.Config `json:"claims"`
	// Drain bounds how nodes are emptied.
	Drain drain.Config `json:"drain"`
	// Journal says where records go.
	Journal journal.Config `json:"journal"`
}

// LeaderElectionConfig is about the Lease by which one of several autoscalers leads.
type LeaderElectionConfig struct {
	// Namespace is the Lease's. Empty means the namespace that this process runs in, or kube-system outside of a cluster.
	Namespace string `json:"namespace,omitempty"`
	// Name is the Lease's.
	Name string `json:"name"`
	// LeaseDuration is how long others wait after the leader was last heard of.
	LeaseDuration model.Duration `json:"leaseDuration"`
	// RenewDeadline is how long the leader tries to renew before it steps back. It must be below LeaseDuration.
	RenewDeadline model.Duration `json:"renewDeadline"`
	// RetryPeriod is the time between two tries. It must be below RenewDeadline.
	RetryPeriod model.Duration `json:"retryPeriod"`
}

// DefaultConfig is for a query service and a collector on this machine.
func DefaultConfig() Config {
	return Config{
		LeaderElection: LeaderElectionConfig{
			Name:          "yagura-autoscaler",
			LeaseDuration: model.Duration(15 * time.Second),
			RenewDeadline: model.Duration(10 * time.Second),
			RetryPeriod:   model.Duration(2 * time.Second),
		},
		Signal:    signal.DefaultConfig(),
		Workload:  workload.DefaultConfig(),
		Usage:     usage.DefaultConfig(),
		Actuation: actuation.DefaultConfig(),
		Admission: admission.DefaultConfig(),
		VPA:       vpa.DefaultConfig(),
		Providers: registry.DefaultConfig(),
		Nodes:     nodes.DefaultConfig(),
		Claims:    claim.DefaultConfig(),
		Drain:     drain.DefaultConfig(),
		Journal:   journal.DefaultConfig(),
	}
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	for i, namespace := range c.Namespaces {
		if namespace == "" {
			return fmt.Errorf("namespaces[%d]: must not be empty", i)
		}
	}
	if err := c.LeaderElection.validate(); err != nil {
		return fmt.Errorf("leaderElection.%w", err)
	}
	for _, section := range []struct {
		name     string
		validate func() error
	}{
		{"signal", c.Signal.Validate}, {"workload", c.Workload.Validate}, {"usage", c.Usage.Validate}, {"actuation", c.Actuation.Validate},
		{"admission", c.Admission.Validate}, {"vpa", c.VPA.Validate}, {"providers", c.Providers.Validate}, {"nodes", c.Nodes.Validate},
		{"claims", c.Claims.Validate}, {"drain", c.Drain.Validate}, {"journal", c.Journal.Validate},
	} {
		if err := section.validate(); err != nil {
			return fmt.Errorf("%s.%w", section.name, err)
		}
	}
	return nil
}

// looksAfterNodes reports whether nodes are looked after.
func (c Config) looksAfterNodes() bool { return c.Nodes.Enabled && len(c.Namespaces) == 0 }

// jitter is the factor that the client library puts on the retry period.
const jitter = 1.2

func (c LeaderElectionConfig) validate() error {
	switch {
	case c.Name == "":
		return fmt.Errorf("name: must be set")
	case c.RetryPeriod <= 0:
		return fmt.Errorf("retryPeriod: must be greater than 0")
	case float64(c.RenewDeadline) <= jitter*float64(c.RetryPeriod):
		return fmt.Errorf("renewDeadline: must be more than 1.2 times retryPeriod")
	case c.LeaseDuration <= c.RenewDeadline:
		return fmt.Errorf("leaseDuration: must be greater than renewDeadline")
	case c.LeaseDuration < model.Duration(time.Second):
		return fmt.Errorf("leaseDuration: must be at least 1s")
	}
	return nil
}
