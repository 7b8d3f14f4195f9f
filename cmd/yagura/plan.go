package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	kjson "sigs.k8s.io/json"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/cluster/catalog"
)

// planOptions are the flags of `yagura plan`.
type planOptions struct {
	pods, nodes, offers, policy string
	output                      string
}

func newPlan() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan --pods FILE --nodes FILE --offers FILE",
		Short: "Say which nodes would be bought and removed for pods, at what cost, and why",
		Long: `Plans nodes as the autoscaler would: which pending pods fit on the nodes that there
are, what is bought for the others at the least cost, which nodes could then go, and
which pods no offer can take. No cluster is asked or touched.

Pods and nodes are Kubernetes objects in JSON or YAML: single objects, several
documents, or a List, as "kubectl get -o json" prints them. Both files may hold
whatever else decides where a pod can go: PersistentVolumeClaims, PersistentVolumes,
StorageClasses, CSINodes, DaemonSets, RuntimeClasses, PriorityClasses, Namespaces,
ResourceClaims, ResourceSlices, DeviceClasses, PodGroups, PodDisruptionBudgets. A pod
without spec.nodeName is pending. Requests that are missing are the limits, as an API
server would have it. --nodes may be left out.

Offers are a JSON list of instance types:

  [{"name": "m-4x", "architecture": "amd64", "operatingSystems": ["linux"],
    "resources": {"cpu": "4", "memory": "16Gi", "pods": "110"},
    "offerings": [{"Price": 0.21, "Available": true, "Requirements": [
      {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
      {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}]}]}]

Resources are what pods may request, as given. Without --policy every available offer
may be bought, and every node whose price is known may be removed. With it, nodes
belong to the NodePolicy that their label yagura.dev/node-policy names, those without
the label to the first whose requirements they satisfy. A node's price is that of the
offer with its instance type, zone and capacity type; one without costs nothing.
"-" is standard input.

JSON has create (each with offer, zone, capacityType, pods), remove, unschedulable (pod,
reasons), cost (before, after, lowerBound; per hour) and planSeconds, which is the time
of planning alone; further keys say where the other pods go, and why nodes go and stay.`,
		Example: `  kubectl get pods -A -o json > pods.json; kubectl get nodes,csinodes -o json > nodes.json
  yagura plan --pods pods.json --nodes nodes.json --offers offers.json
  yagura plan --pods pods.json --nodes nodes.json --offers offers.json --policy policy.yaml -o json | jq .cost`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.pods, "pods", "", "pods, pending and running, and what they refer to")
	f.StringVar(&o.nodes, "nodes", "", "the nodes that there are, and what belongs to them (default none)")
	f.StringVar(&o.offers, "offers", "", "what can be bought")
	f.StringVar(&o.policy, "policy", "", "NodePolicies in YAML or JSON (default: every available offer may be bought)")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	return cmd
}

func (o *planOptions) run(_ context.Context, in io.Reader, out io.Writer) error {
	if !slices.Contains([]string{"text", "json"}, o.output) {
		return fmt.Errorf("--output %q: want text or json", o.output)
	}
	f, err := o.read(&files{stdin: in})
	if err != nil {
		return err
	}
	plan, err := f.plan()
	if err != nil {
		return err
	}
	report := newPlanReport(f, plan)
	buffered := bufio.NewWriterSize(out, 1<<16)
	if o.output == "json" {
		encoder := json.NewEncoder(buffered)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(report)
	} else {
		report.writeText(buffered)
	}
	if err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

// read reads all files.
func (o *planOptions) read(f *files) (*fleet, error) {
	switch {
	case o.pods == "":
		return nil, errors.New("--pods: want a file")
	case o.offers == "":
		return nil, errors.New("--offers: want a file")
	}
	objects := &manifests{}
	if err := f.objects("--pods", o.pods, objects); err != nil {
		return nil, err
	}
	if o.nodes != "" {
		if err := f.objects("--nodes", o.nodes, objects); err != nil {
			return nil, err
		}
	}
	offers, err := f.offers("--offers", o.offers)
	if err != nil {
		return nil, err
	}
	var policies []*v1alpha1.NodePolicy
	if o.policy != "" {
		if policies, err = f.policies("--policy", o.policy); err != nil {
			return nil, err
		}
	}
	return newFleet(objects, offers, policies, time.Now())
}

func (f *files) objects(flag, path string, into *manifests) error {
	file, name, err := f.open(flag, path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := into.read(name, file); err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}

func (f *files) offers(flag, path string) ([]cluster.Offer, error) {
	file, name, err := f.open(flag, path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	offers, err := catalog.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", flag, name, err)
	}
	return offers, nil
}

// policies reads NodePolicies. Fields that there are none of are errors: a limit that is misspelt would be none.
func (f *files) policies(flag, path string) ([]*v1alpha1.NodePolicy, error) {
	file, name, err := f.open(flag, path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var policies []*v1alpha1.NodePolicy
	each := func(d document) error {
		if d.kind != v1alpha1.GroupVersion().WithKind("NodePolicy") {
			return fmt.Errorf("%s: %s of %s: want a NodePolicy of %s", d.where, d.kind.Kind, d.kind.GroupVersion(), v1alpha1.GroupVersion())
		}
		p := &v1alpha1.NodePolicy{}
		unknown, err := kjson.UnmarshalStrict(d.json, p)
		if err = errors.Join(append(unknown, err)...); err != nil {
			return fmt.Errorf("%s: NodePolicy: %w", d.where, namingQuantity(d.json, err))
		}
		if p.Name == "" {
			return fmt.Errorf("%s: NodePolicy: metadata.name: missing", d.where)
		}
		if slices.ContainsFunc(policies, func(other *v1alpha1.NodePolicy) bool { return other.Name == p.Name }) {
			return fmt.Errorf("%s: NodePolicy %s: metadata.name: the same twice", d.where, p.Name)
		}
		policies = append(policies, p)
		return nil
	}
	r := bufio.NewReaderSize(file, 1<<16)
	read := func() error {
		if startsJSON(r) {
			return readJSON(name, r, each)
		}
		return readYAML(name, r, each)
	}
	if err := read(); err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	if len(policies) == 0 {
		return nil, fmt.Errorf("%s: %s: no NodePolicy", flag, name)
	}
	return policies, nil
}
