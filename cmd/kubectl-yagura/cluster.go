package main

import (
	"fmt"

	"github.com/spf13/pflag"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// cluster is which cluster and namespace a command is about, by kubectl's own flags and rules.
type cluster struct {
	loading   *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
}

func (c *cluster) flags(f *pflag.FlagSet) {
	c.loading = clientcmd.NewDefaultClientConfigLoadingRules()
	f.StringVar(&c.loading.ExplicitPath, "kubeconfig", "", "the kubeconfig; without it, what $KUBECONFIG and ~/.kube/config say")
	f.StringVar(&c.overrides.CurrentContext, "context", "", "the context of the kubeconfig")
	f.StringVarP(&c.overrides.Context.Namespace, "namespace", "n", "", "the namespace; without it, the context's")
	f.StringVar(&c.overrides.AuthInfo.Impersonate, "as", "", "the user to act as")
	f.StringVar(&c.overrides.Timeout, "request-timeout", "30s", "how long one request may take")
}

func (c *cluster) config() clientcmd.ClientConfig {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(c.loading, &c.overrides)
}

// namespace is the one that the command is about.
func (c *cluster) namespace() (string, error) {
	namespace, _, err := c.config().Namespace()
	if err != nil {
		return "", fmt.Errorf("read kubeconfig: %w", err)
	}
	return namespace, nil
}

func (c *cluster) client() (client.Client, error) {
	config, err := c.config().ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.UserAgent = "kubectl-yagura"
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme, vpav1.AddToScheme, autoscalingv2.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("make scheme: %w", err)
		}
	}
	own, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	return own, nil
}
