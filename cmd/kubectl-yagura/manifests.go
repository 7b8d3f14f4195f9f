package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"sigs.k8s.io/yaml"
)

// maxManifests bounds what is read of a file.
const maxManifests = 64 << 20

// manifests reads VerticalPodAutoscalers and HorizontalPodAutoscalers from YAML or JSON documents, lists of objects among them. Other
// kinds are passed over. Errors name the file and the document.
func manifests(in io.Reader, name string) (autoscalers, error) {
	var found autoscalers
	limited := &io.LimitedReader{R: in, N: maxManifests + 1}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(limited))
	for n := 1; ; n++ {
		text, err := reader.Read()
		switch {
		case limited.N == 0:
			return found, fmt.Errorf("%s: larger than %d MiB", name, maxManifests>>20)
		case errors.Is(err, io.EOF):
			return found, nil
		case err != nil:
			return found, fmt.Errorf("%s: document %d: %w", name, n, err)
		}
		var object map[string]any
		if err := yaml.UnmarshalStrict(text, &object); err != nil {
			return found, fmt.Errorf("%s: document %d: %w", name, n, err)
		}
		if len(object) == 0 {
			continue
		}
		if err := found.add(object); err != nil {
			return found, fmt.Errorf("%s: document %d: %w", name, n, err)
		}
	}
}

// add takes an object, or the objects of a list.
func (a *autoscalers) add(object map[string]any) error {
	u := unstructured.Unstructured{Object: object}
	if items, ok := object["items"].([]any); ok {
		for i, item := range items {
			inner, ok := item.(map[string]any)
			if !ok {
				return fmt.Errorf("items[%d]: not an object", i)
			}
			if err := a.add(inner); err != nil {
				return fmt.Errorf("items[%d]: %w", i, err)
			}
		}
		return nil
	}
	switch gvk := u.GroupVersionKind(); {
	case gvk.Kind == "VerticalPodAutoscaler" && gvk.Group == vpav1.SchemeGroupVersion.Group:
		// Its earlier versions differ in what they lack.
		var v vpav1.VerticalPodAutoscaler
		if err := decode(object, &v); err != nil {
			return fmt.Errorf("VerticalPodAutoscaler %s: %w", u.GetName(), err)
		}
		a.vpas = append(a.vpas, v)
	case gvk.Kind == "HorizontalPodAutoscaler" && gvk.Group == autoscalingv2.GroupName:
		if gvk.Version != autoscalingv2.SchemeGroupVersion.Version {
			return fmt.Errorf("HorizontalPodAutoscaler %s: apiVersion: want %s, not %s", u.GetName(), autoscalingv2.SchemeGroupVersion, gvk.GroupVersion())
		}
		var h autoscalingv2.HorizontalPodAutoscaler
		if err := decode(object, &h); err != nil {
			return fmt.Errorf("HorizontalPodAutoscaler %s: %w", u.GetName(), err)
		}
		a.hpas = append(a.hpas, h)
	}
	return nil
}

// decode refuses fields that the type does not have: one that is spelled wrong would be dropped without a word.
func decode(object map[string]any, into any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object, into, true)
}
