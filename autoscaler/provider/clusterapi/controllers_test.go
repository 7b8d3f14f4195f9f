package clusterapi

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// definitions are Cluster API's real CustomResourceDefinitions, generated from its API types as its own build does, and two small
// ones of an infrastructure provider and a control plane that keep to its contract.
func definitions(t *testing.T) [][]byte {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "controller-gen", "crd", "paths=sigs.k8s.io/cluster-api/api/core/v1beta2", "output:crd:dir="+dir)
	var complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &complaints, &complaints
	require.NoError(t, cmd.Run(), "%s", &complaints)
	var out [][]byte
	for _, plural := range []string{"clusters", "machinedeployments", "machinepools", "machines"} {
		text, err := os.ReadFile(filepath.Join(dir, "cluster.x-k8s.io_"+plural+".yaml"))
		require.NoError(t, err)
		out = append(out, text)
	}
	for group, kind := range map[string]string{"infrastructure": "RackMachineTemplate", "controlplane": "RackControlPlane"} {
		plural := strings.ToLower(kind) + "s"
		out = append(out, fmt.Appendf(nil, `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.%[2]s.cluster.x-k8s.io, labels: {cluster.x-k8s.io/v1beta2: v1beta1}}
spec:
  group: %[2]s.cluster.x-k8s.io
  scope: Namespaced
  names: {kind: %[3]s, plural: %[1]s, singular: %[4]s, listKind: %[3]sList}
  versions:
  - name: v1beta1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`, plural, group, kind, strings.ToLower(kind)))
	}
	return out
}

// reconcile does what Cluster API's controllers for MachineDeployments, MachineSets and Machines do about the number of machines, and
// what an infrastructure provider does about each: it makes what is missing, lets go what is too much, marked machines first, gives
// those that were made an ID, and ends those that are being deleted.
func reconcile(ctx context.Context, c client.Client, namespace string) error {
	var deployments clusterv1.MachineDeploymentList
	if err := c.List(ctx, &deployments, client.InNamespace(namespace)); err != nil {
		return err
	}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		labels := map[string]string{clusterv1.MachineDeploymentNameLabel: d.Name, clusterv1.ClusterNameLabel: d.Spec.ClusterName}
		if err := reconcileGroup(ctx, c, namespace, d.Name, labels, d.Spec.Replicas, d.Spec.Template.Spec); err != nil {
			return err
		}
	}
	var pools clusterv1.MachinePoolList
	if err := c.List(ctx, &pools, client.InNamespace(namespace)); err != nil {
		return err
	}
	for i := range pools.Items {
		d := &pools.Items[i]
		labels := map[string]string{clusterv1.MachinePoolNameLabel: d.Name, clusterv1.ClusterNameLabel: d.Spec.ClusterName}
		if err := reconcileGroup(ctx, c, namespace, d.Name, labels, d.Spec.Replicas, d.Spec.Template.Spec); err != nil {
			return err
		}
	}
	return nil
}

func reconcileGroup(ctx context.Context, c client.Client, namespace, name string, labels map[string]string, replicas *int32, spec clusterv1.MachineSpec) error {
	var machines clusterv1.MachineList
	if err := c.List(ctx, &machines, client.InNamespace(namespace), client.MatchingLabels(labels)); err != nil {
		return err
	}
	var here []*clusterv1.Machine
	for i := range machines.Items {
		m := &machines.Items[i]
		if m.DeletionTimestamp != nil {
			m.Finalizers = nil
			if err := c.Update(ctx, m); err != nil {
				return err
			}
			continue
		}
		here = append(here, m)
		if m.Spec.ProviderID == "" {
			m.Spec.ProviderID = "rack://" + m.Name
			if err := c.Update(ctx, m); err != nil {
				return err
			}
			m.Status.NodeRef.Name, m.Status.Phase = "node-"+m.Name, string(clusterv1.MachinePhaseRunning)
			if err := c.Status().Update(ctx, m); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(here, func(a, b *clusterv1.Machine) int {
		_, x := a.Annotations[clusterv1.DeleteMachineAnnotation]
		_, y := b.Annotations[clusterv1.DeleteMachineAnnotation]
		switch {
		case x && !y:
			return -1
		case y && !x:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	want := int(*replicas)
	for len(here) > want {
		if err := c.Delete(ctx, here[0]); err != nil {
			return err
		}
		here = here[1:]
	}
	for n := len(here); n < want; n++ {
		m := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: name + "-", Labels: labels, Finalizers: []string{clusterv1.MachineFinalizer},
		}, Spec: spec}
		m.Spec.ClusterName = labels[clusterv1.ClusterNameLabel]
		if err := c.Create(ctx, m); err != nil {
			return err
		}
	}
	return nil
}
