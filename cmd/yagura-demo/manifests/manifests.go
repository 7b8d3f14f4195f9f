// Package manifests holds the demo shop's Kubernetes objects and applies them.
//
// It imports only libraries; the demo command imports it.
package manifests

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Namespace is where the shop lives.
const Namespace = "shop"

// fieldManager owns the applied fields. Replicas are not among them, except where
// nothing scales: a new start must not undo what an autoscaler did.
const fieldManager = "yagura-demo"

//go:embed shop.yaml
var workloads []byte

//go:embed autoscalers.yaml
var autoscalers []byte

// ApplyWorkloads creates or updates the namespace and the Deployments.
func ApplyWorkloads(ctx context.Context, cfg *rest.Config) error { return apply(ctx, cfg, workloads) }

// ApplyAutoscalers creates or updates the WorkloadAutoscalers. It fails while their
// definition is not installed; the autoscaler installs it when it starts.
func ApplyAutoscalers(ctx context.Context, cfg *rest.Config) error {
	return apply(ctx, cfg, autoscalers)
}

func apply(ctx context.Context, cfg *rest.Config, data []byte) error {
	disco, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return fmt.Errorf("discover the API: %w", err)
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("create a client: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var obj unstructured.Unstructured
		if err := docs.Decode(&obj); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("decode manifest: %w", err)
		}
		if len(obj.Object) == 0 {
			continue // a comment between separators
		}
		gvk := obj.GroupVersionKind()
		mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			return fmt.Errorf("find the resource of %s: %w", gvk, err)
		}
		_, err = client.Resource(mapping.Resource).Namespace(obj.GetNamespace()).
			Apply(ctx, obj.GetName(), &obj, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
		if err != nil {
			return fmt.Errorf("apply %s %s: %w", gvk.Kind, obj.GetName(), err)
		}
	}
}
