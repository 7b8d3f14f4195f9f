package autoscaler

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1/crd"
	"github.com/yagura-dev/yagura/autoscaler/workload"
)

// definitionTimeout is how long a definition may take until the API server serves it.
const definitionTimeout = 10 * time.Second

// ensureDefinitions makes sure that the cluster knows the resources that the autoscaler reads.
func (a *Autoscaler) ensureDefinitions(ctx context.Context, k *cluster) error {
	ctx, cancel := context.WithTimeout(ctx, definitionTimeout)
	defer cancel()
	if a.cfg.InstallCRDs {
		if err := k.installDefinitions(ctx); err != nil {
			return err
		}
	}
	for {
		err := k.served()
		if err == nil || !a.cfg.InstallCRDs {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-a.clock.After(100 * time.Millisecond):
		}
	}
}

// served reports whether the API server serves the resources.
func (k *cluster) served() error {
	version := v1alpha1.GroupVersion().String()
	list, err := k.kube.Discovery().ServerResourcesForGroupVersion(version)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the cluster does not serve %s: install the definitions in deploy/crds", version)
	}
	if err != nil {
		return fmt.Errorf("ask for %s: %w", version, err)
	}
	kinds := map[string]bool{}
	for _, r := range list.APIResources {
		kinds[r.Kind] = true
	}
	for _, kind := range []string{v1alpha1.WorkloadAutoscalerKind, v1alpha1.NodePolicyKind, v1alpha1.NodeClaimKind} {
		if !kinds[kind] {
			return fmt.Errorf("the cluster serves %s, but no %s: install the definitions in deploy/crds", version, kind)
		}
	}
	return nil
}

// installDefinitions applies the embedded definitions.
func (k *cluster) installDefinitions(ctx context.Context) error {
	manifests, err := crd.Manifests()
	if err != nil {
		return err
	}
	definitions := k.dynamic.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for _, text := range manifests {
		var object unstructured.Unstructured
		if err := yaml.Unmarshal(text, &object.Object); err != nil {
			return fmt.Errorf("decode embedded definition: %w", err)
		}
		_, err := definitions.Apply(ctx, object.GetName(), &object, metav1.ApplyOptions{FieldManager: workload.FieldManager, Force: true})
		if err != nil {
			return fmt.Errorf("install %s: %w", object.GetName(), err)
		}
	}
	return nil
}
