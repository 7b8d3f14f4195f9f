package autoscaler

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/yagura-dev/yagura/autoscaler/actuation"
	"github.com/yagura-dev/yagura/autoscaler/admission"
	"github.com/yagura-dev/yagura/autoscaler/journal"
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
	if err := c.Signal.Validate(); err != nil {
		return fmt.Errorf("signal.%w", err)
	}
	if err := c.Workload.Validate(); err != nil {
		return fmt.Errorf("workload.%w", err)
	}
	if err := c.Usage.Validate(); err != nil {
		return fmt.Errorf("usage.%w", err)
	}
	if err := c.Actuation.Validate(); err != nil {
		return fmt.Errorf("actuation.%w", err)
	}
	if err := c.Admission.Validate(); err != nil {
		return fmt.Errorf("admission.%w", err)
	}
	if err := c.VPA.Validate(); err != nil {
		return fmt.Errorf("vpa.%w", err)
	}
	if err := c.Journal.Validate(); err != nil {
		return fmt.Errorf("journal.%w", err)
	}
	return nil
}

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
