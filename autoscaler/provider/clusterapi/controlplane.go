package clusterapi

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// ControlPlane is the version in the control plane's spec, and the lowest that any of its machines runs: status.version, by Cluster
// API's contract for all kinds of control planes.
func (p *Provider) ControlPlane(ctx context.Context) (wanted, running string, err error) {
	plane, err := p.controlPlane(ctx)
	if err != nil {
		return "", "", err
	}
	wanted, _, _ = unstructured.NestedString(plane.Object, "spec", "version")
	running, _, _ = unstructured.NestedString(plane.Object, "status", "version")
	return wanted, running, nil
}

// UpgradeControlPlane writes the version into the control plane's spec. It is never taken back, and by one minor version at most, as
// the control plane's own controllers demand.
func (p *Provider) UpgradeControlPlane(ctx context.Context, version string) error {
	plane, err := p.controlPlane(ctx)
	if err != nil {
		return err
	}
	has, _, _ := unstructured.NestedString(plane.Object, "spec", "version")
	if has == version {
		return nil
	}
	newer, err := newerVersion(version, has)
	if err != nil {
		return &provider.Invalid{Err: err}
	}
	if !newer {
		return &provider.Invalid{Err: fmt.Errorf("the control plane is of version %s, and is not taken back to %s", has, version)}
	}
	if err := unstructured.SetNestedField(plane.Object, version, "spec", "version"); err != nil {
		return fmt.Errorf("set the version of %s %s: %w", plane.GetKind(), plane.GetName(), err)
	}
	// An update against the version that was read: of two leaders with two policies one sees what the other has asked for.
	if err := p.management.Update(ctx, plane); err != nil {
		return fmt.Errorf("set the version of %s %s: %w", plane.GetKind(), plane.GetName(), err)
	}
	return nil
}

// controlPlane finds the object by the Cluster's reference.
func (p *Provider) controlPlane(ctx context.Context) (*unstructured.Unstructured, error) {
	object := &clusterv1.Cluster{}
	if err := p.management.Get(ctx, client.ObjectKey{Namespace: p.cfg.Namespace, Name: p.cfg.Cluster}, object); err != nil {
		return nil, fmt.Errorf("get Cluster %s/%s: %w", p.cfg.Namespace, p.cfg.Cluster, err)
	}
	if object.Spec.Topology.IsDefined() {
		return nil, fmt.Errorf("the versions of Cluster %s are managed by its class: %w", p.cfg.Cluster, provider.ErrUnsupported)
	}
	ref := object.Spec.ControlPlaneRef
	if !ref.IsDefined() {
		return nil, fmt.Errorf("no control plane of Cluster API's belongs to Cluster %s: %w", p.cfg.Cluster, provider.ErrUnsupported)
	}
	mapping, err := p.management.RESTMapper().RESTMapping(schema.GroupKind{Group: ref.APIGroup, Kind: ref.Kind})
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", ref.Kind, err)
	}
	plane := &unstructured.Unstructured{}
	plane.SetGroupVersionKind(mapping.GroupVersionKind)
	if err := p.management.Get(ctx, client.ObjectKey{Namespace: p.cfg.Namespace, Name: ref.Name}, plane); err != nil {
		return nil, fmt.Errorf("get %s %s: %w", ref.Kind, ref.Name, err)
	}
	return plane, nil
}
