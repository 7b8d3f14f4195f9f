package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/export"
)

// exportOptions are the flags of `kubectl yagura export`.
type exportOptions struct {
	cluster cluster
	format  string
	paths   []string
}

func newExport() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export NAME",
		Short: "Print a WorkloadAutoscaler's sizes for the manifest",
		Long: `Prints what the target's manifest should say, by the sizes that a WorkloadAutoscaler
publishes in its status, whatever its mode: for those who keep manifests in a repository
and commit sizes there. Equal sizes give equal text, also once the manifest has them.

  patch      a strategic merge patch of the target
  kustomize  the kustomization.yaml of a component that patches the target
  helm       values for a chart; --path says where it has a container's resources

A path is names with dots between them, NAME standing for the container's name and \.
for a dot within a name.`,
		Example: `  kubectl yagura export checkout -n shop --format kustomize > sizes/kustomization.yaml
  kubectl yagura export checkout --format helm --path resources
  kubectl yagura export checkout --format helm --path 'containers.NAME.resources' --path proxy=`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	f := cmd.Flags()
	o.cluster.flags(f)
	f.StringVar(&o.format, "format", "patch", "patch, kustomize or helm")
	f.StringArrayVar(&o.paths, "path", nil, "[CONTAINER=]PATH: where the chart has the resources of a container, or of all others; an empty path leaves a container out; may be repeated")
	return cmd
}

func (o *exportOptions) run(ctx context.Context, out io.Writer, name string) error {
	if !slices.Contains([]string{"patch", "kustomize", "helm"}, o.format) {
		return fmt.Errorf("--format %q: want patch, kustomize or helm", o.format)
	}
	if len(o.paths) > 0 && o.format != "helm" {
		return fmt.Errorf("--path: is for --format helm")
	}
	paths, err := parsePaths(o.paths)
	if err != nil {
		return err
	}
	reader, err := o.cluster.client()
	if err != nil {
		return err
	}
	namespace, err := o.cluster.namespace()
	if err != nil {
		return err
	}
	policy, err := readPolicy(ctx, reader, namespace, name)
	if err != nil {
		return err
	}
	template, err := readTemplate(ctx, reader, namespace, policy.Spec.TargetRef)
	if err != nil {
		return err
	}
	sizes, err := export.For(policy, template)
	if err != nil {
		return err
	}
	var text []byte
	switch o.format {
	case "patch":
		text, err = sizes.Patch()
	case "kustomize":
		text, err = sizes.Kustomize()
	case "helm":
		text, err = sizes.Helm(paths)
	}
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

// parsePaths reads [CONTAINER=]PATH.
func parsePaths(flags []string) (map[string]string, error) {
	paths := map[string]string{}
	for _, text := range flags {
		container, path, named := strings.Cut(text, "=")
		if !named {
			container, path = "*", text
		}
		if _, twice := paths[container]; twice {
			return nil, fmt.Errorf("--path %q: there is another one for container %s", text, container)
		}
		paths[container] = path
	}
	return paths, nil
}

func readPolicy(ctx context.Context, reader client.Reader, namespace, name string) (*v1alpha1.WorkloadAutoscaler, error) {
	var policy v1alpha1.WorkloadAutoscaler
	err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &policy)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no WorkloadAutoscaler %s in namespace %s", name, namespace)
	case meta.IsNoMatchError(err):
		return nil, fmt.Errorf("the cluster has no WorkloadAutoscalers: their definition is not installed")
	case err != nil:
		return nil, fmt.Errorf("read WorkloadAutoscaler %s: %w", name, err)
	}
	return &policy, nil
}

// readTemplate reads what a target's pods are made of.
func readTemplate(ctx context.Context, reader client.Reader, namespace string, ref v1alpha1.TargetReference) (*corev1.PodTemplateSpec, error) {
	target := &unstructured.Unstructured{}
	target.SetAPIVersion(ref.APIVersion)
	target.SetKind(ref.Kind)
	if err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, target); err != nil {
		return nil, fmt.Errorf("read the target, %s %s: %w", ref.Kind, ref.Name, err)
	}
	path := []string{"spec", "template"}
	if ref.Kind == "CronJob" {
		path = []string{"spec", "jobTemplate", "spec", "template"}
	}
	raw, ok, err := unstructured.NestedMap(target.Object, path...)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s %s has no pod template at %s", ref.Kind, ref.Name, strings.Join(path, "."))
	}
	var template corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &template); err != nil {
		return nil, fmt.Errorf("%s %s: %s: %w", ref.Kind, ref.Name, strings.Join(path, "."), err)
	}
	return &template, nil
}
