package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/vpa"
)

// migrateOptions are the flags of `kubectl yagura migrate vpa`.
type migrateOptions struct {
	cluster cluster
	all     bool
	withHPA bool
	file    string
	output  string
}

func newMigrateVPA() *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "vpa [NAME]",
		Short: "Print WorkloadAutoscalers for VerticalPodAutoscalers",
		Long: `Prints a WorkloadAutoscaler for one VerticalPodAutoscaler, or for each of a namespace
(-A: of all), read from the cluster or from a file. What works in another way than
before is told on standard error, a line for each field.

Nothing in the cluster is changed or deleted. The policies have mode Recommend, so
that both may exist side by side: apply them, compare, then set mode Apply and delete
the VerticalPodAutoscalers. While one of those applies sizes, a policy does not.`,
		Example: `  kubectl yagura migrate vpa checkout -n shop > checkout.yaml
  kubectl yagura migrate vpa -A --with-hpa | kubectl apply -f -
  kubectl yagura migrate vpa --from-file manifests.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	f := cmd.Flags()
	o.cluster.flags(f)
	f.BoolVarP(&o.all, "all-namespaces", "A", false, "of all namespaces")
	f.BoolVar(&o.withHPA, "with-hpa", false, "take the HorizontalPodAutoscaler of the same target into the policy")
	f.StringVarP(&o.file, "from-file", "f", "", `read manifests from a file instead of the cluster; "-" is standard input`)
	f.StringVarP(&o.output, "output", "o", "yaml", "yaml or json")
	return cmd
}

func (o *migrateOptions) run(cmd *cobra.Command, args []string) error {
	if o.output != "yaml" && o.output != "json" {
		return fmt.Errorf("--output %q: want yaml or json", o.output)
	}
	if o.all && len(args) > 0 {
		return errors.New("--all-namespaces: cannot be given together with a name")
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	from, err := o.read(cmd, name)
	if err != nil {
		return err
	}
	if name != "" {
		from.vpas = slices.DeleteFunc(from.vpas, func(v vpav1.VerticalPodAutoscaler) bool { return v.Name != name })
	}
	if len(from.vpas) == 0 {
		if name != "" {
			return fmt.Errorf("there is no VerticalPodAutoscaler %s", name)
		}
		fmt.Fprintln(cmd.ErrOrStderr(), "No VerticalPodAutoscalers found.")
		return nil
	}
	return o.migrate(cmd.OutOrStdout(), cmd.ErrOrStderr(), from)
}

// autoscalers are what is migrated.
type autoscalers struct {
	vpas []vpav1.VerticalPodAutoscaler
	hpas []autoscalingv2.HorizontalPodAutoscaler
}

func (o *migrateOptions) read(cmd *cobra.Command, name string) (autoscalers, error) {
	switch o.file {
	case "":
		return o.fromCluster(cmd.Context(), name)
	case "-":
		return manifests(cmd.InOrStdin(), "standard input")
	}
	file, err := os.Open(o.file)
	if err != nil {
		return autoscalers{}, fmt.Errorf("--from-file: %w", err)
	}
	defer file.Close()
	return manifests(file, o.file)
}

func (o *migrateOptions) fromCluster(ctx context.Context, name string) (autoscalers, error) {
	var found autoscalers
	reader, err := o.cluster.client()
	if err != nil {
		return found, err
	}
	var here []client.ListOption
	if !o.all {
		namespace, err := o.cluster.namespace()
		if err != nil {
			return found, err
		}
		here = append(here, client.InNamespace(namespace))
	}
	var vpas vpav1.VerticalPodAutoscalerList
	if err := reader.List(ctx, &vpas, here...); meta.IsNoMatchError(err) {
		return found, errors.New("the cluster has no VerticalPodAutoscalers: their definition is not installed")
	} else if err != nil {
		return found, fmt.Errorf("list VerticalPodAutoscalers: %w", err)
	}
	found.vpas = vpas.Items
	if o.withHPA {
		var hpas autoscalingv2.HorizontalPodAutoscalerList
		if err := reader.List(ctx, &hpas, here...); err != nil {
			return found, fmt.Errorf("list HorizontalPodAutoscalers: %w", err)
		}
		found.hpas = hpas.Items
	}
	slices.SortFunc(found.vpas, func(a, b vpav1.VerticalPodAutoscaler) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return found, nil
}

// migrate prints what can be migrated, and returns an error for what cannot.
func (o *migrateOptions) migrate(out, notes io.Writer, from autoscalers) error {
	var failures []error
	printed := 0
	for i := range from.vpas {
		v := &from.vpas[i]
		var h *autoscalingv2.HorizontalPodAutoscaler
		if o.withHPA {
			h = sameTarget(v, from.hpas)
		}
		policy, told, err := vpa.Migrate(v, h)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		if err := o.print(out, &policy, printed == 0); err != nil {
			return err
		}
		printed++
		for _, n := range told {
			fmt.Fprintf(notes, "%s: %s\n", qualified(v.Namespace, v.Name), n)
		}
	}
	return errors.Join(failures...)
}

func qualified(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// sameTarget finds the HorizontalPodAutoscaler of a VerticalPodAutoscaler's target, nil when there is none.
func sameTarget(v *vpav1.VerticalPodAutoscaler, hpas []autoscalingv2.HorizontalPodAutoscaler) *autoscalingv2.HorizontalPodAutoscaler {
	target, ok := vpa.TargetOf(v)
	if !ok {
		return nil
	}
	for i := range hpas {
		h := &hpas[i]
		ref := h.Spec.ScaleTargetRef
		group := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group
		if h.Namespace == target.Namespace && group == target.Group && ref.Kind == target.Kind && ref.Name == target.Name {
			return h
		}
	}
	return nil
}

// print writes a policy without what only a cluster knows.
func (o *migrateOptions) print(out io.Writer, policy *v1alpha1.WorkloadAutoscaler, first bool) error {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(policy)
	if err != nil {
		return fmt.Errorf("encode %s: %w", policy.Name, err)
	}
	unstructured.RemoveNestedField(object, "status")
	unstructured.RemoveNestedField(object, "metadata", "creationTimestamp")
	if o.output == "json" {
		text, err := (&unstructured.Unstructured{Object: object}).MarshalJSON()
		if err != nil {
			return fmt.Errorf("encode %s: %w", policy.Name, err)
		}
		_, err = out.Write(text)
		return err
	}
	text, err := yaml.Marshal(object)
	if err != nil {
		return fmt.Errorf("encode %s: %w", policy.Name, err)
	}
	if !first {
		text = append([]byte("---\n"), text...)
	}
	_, err = out.Write(text)
	return err
}
