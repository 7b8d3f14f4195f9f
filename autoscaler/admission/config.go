package admission

import (
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Config says how created pods are given their sizes.
type Config struct {
	// Listen is the address of the webhook, such as 0.0.0.0:9443. Empty switches it off: pods are then created as their manifests say.
	Listen string `json:"listen"`
	// Service is the Service through which the API server reaches the webhook, in the autoscaler's namespace.
	Service ServiceConfig `json:"service"`
	// URL is where the API server reaches the webhook when that is not through a Service. When neither is set, it is the address that
	// is listened on, for an API server on the same machine.
	URL string `json:"url,omitempty"`
	// Configuration is the name of the MutatingWebhookConfiguration, Secret that of the Secret with the certificates, which is in the
	// autoscaler's namespace.
	Configuration string `json:"configuration"`
	Secret        string `json:"secret"`
	// ExcludeNamespaces are left alone, as is the autoscaler's own.
	ExcludeNamespaces []string `json:"excludeNamespaces,omitempty"`
	// Selector limits the webhook to pods with such labels, as in "tier=web,!legacy". Empty means all.
	Selector string `json:"selector,omitempty"`
	// Timeout is how long the API server waits for an answer before it creates a pod as it is; whole seconds.
	Timeout model.Duration `json:"timeout"`
	// Interval is the time between two looks at the Secret, the MutatingWebhookConfiguration and the pods that were created.
	Interval model.Duration `json:"interval"`
}

// ServiceConfig names a Service.
type ServiceConfig struct {
	// Name is the Service's. Empty means that there is none.
	Name string `json:"name,omitempty"`
	// Port is the Service's port.
	Port int32 `json:"port,omitempty"`
}

// DefaultConfig is switched off. With Listen alone, it is for an API server on this machine.
func DefaultConfig() Config {
	return Config{
		Service:       ServiceConfig{Port: 443},
		Configuration: "yagura-autoscaler", Secret: "yagura-admission",
		ExcludeNamespaces: []string{"kube-system"},
		Timeout:           model.Duration(2 * time.Second), Interval: model.Duration(15 * time.Second),
	}
}

const (
	maxTimeout  = 2 * time.Second
	minInterval = time.Second
	maxInterval = 5 * time.Minute
)

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	if c.Listen == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if c.Service.Name != "" {
		if c.URL != "" {
			return fmt.Errorf("url: must not be set together with service.name")
		}
		if problems := validation.IsDNS1035Label(c.Service.Name); problems != nil {
			return fmt.Errorf("service.name: %s", problems[0])
		}
		if problems := validation.IsValidPortNum(int(c.Service.Port)); problems != nil {
			return fmt.Errorf("service.port: %s", problems[0])
		}
	}
	if c.URL != "" {
		if u, err := url.Parse(c.URL); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("url: must be https://HOST:PORT, with a path at most, not %q", c.URL)
		}
	}
	for field, name := range map[string]string{"configuration": c.Configuration, "secret": c.Secret} {
		if problems := validation.IsDNS1123Subdomain(name); problems != nil {
			return fmt.Errorf("%s: %s", field, problems[0])
		}
	}
	for i, namespace := range c.ExcludeNamespaces {
		if problems := validation.IsDNS1123Label(namespace); problems != nil {
			return fmt.Errorf("excludeNamespaces[%d]: %s", i, problems[0])
		}
	}
	if _, err := metav1.ParseToLabelSelector(c.Selector); err != nil {
		return fmt.Errorf("selector: %w", err)
	}
	switch timeout, interval := time.Duration(c.Timeout), time.Duration(c.Interval); {
	case timeout < time.Second || timeout > maxTimeout || timeout%time.Second != 0:
		return fmt.Errorf("timeout: must be whole seconds from 1s to %s", maxTimeout)
	case interval < minInterval || interval > maxInterval:
		return fmt.Errorf("interval: must be from %s to %s", minInterval, maxInterval)
	}
	return nil
}
