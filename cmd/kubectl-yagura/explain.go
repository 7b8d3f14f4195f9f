package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/fleet"
)

// explainOptions are the flags of `kubectl yagura explain`.
type explainOptions struct {
	cluster  cluster
	queryURL string
	since    model.Duration
	limit    int
	now      func() time.Time
}

func newExplain(now func() time.Time) *cobra.Command {
	o := explainOptions{since: model.Duration(time.Hour), now: now}
	cmd := &cobra.Command{
		Use:   "explain NAME | node/NAME | pod/NAME",
		Short: "Say what a WorkloadAutoscaler does, why a node is there and stays, where a pod will go",
		Long: `Without a kind, says in sentences what a WorkloadAutoscaler saw and decided last: how many replicas
its target has and should have, what its containers should request, and the reasons.
With --query-url it adds the decisions of the last hour that changed something, from
the records in the query service.

Of a node (or a NodeClaim, by its name) it says for what it was bought, and why it stays
or what is about to happen to it; of a pod where it is, or why it has no node. With
--query-url it asks the autoscaler what each rule said.`,
		Example: `  kubectl yagura explain checkout -n shop
  kubectl yagura explain checkout --query-url http://127.0.0.1:9428 --since 1d
  kubectl yagura explain node/default-7 --query-url http://127.0.0.1:9428
  kubectl yagura explain pod/checkout-6d5b7c-x2x4k -n shop --query-url http://127.0.0.1:9428`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	f := cmd.Flags()
	o.cluster.flags(f)
	f.StringVar(&o.queryURL, "query-url", "", "the query service, to ask it for recent records")
	f.Var(&o.since, "since", "how far back records are asked for")
	f.IntVar(&o.limit, "limit", 20, "the most records to print")
	return cmd
}

func (o *explainOptions) run(ctx context.Context, out io.Writer, name string) error {
	if o.limit < 1 || o.limit > maxRecords {
		return fmt.Errorf("--limit %d: want 1 to %d", o.limit, maxRecords)
	}
	reader, err := o.cluster.client()
	if err != nil {
		return err
	}
	namespace, err := o.cluster.namespace()
	if err != nil {
		return err
	}
	switch kind, rest, typed := strings.Cut(name, "/"); {
	case typed && slices.Contains([]string{"node", "nodes", "no", "nodeclaim", "nodeclaims", "nc"}, kind):
		return o.node(ctx, out, reader, rest)
	case typed && slices.Contains([]string{"pod", "pods", "po"}, kind):
		return o.pod(ctx, out, reader, namespace, rest)
	case typed && slices.Contains([]string{"workloadautoscaler", "workloadautoscalers", "wa"}, kind):
		name = rest
	case typed:
		return fmt.Errorf("%s: cannot explain a %s; node/, pod/ or the name of a WorkloadAutoscaler", name, kind)
	}
	policy, err := readPolicy(ctx, reader, namespace, name)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, explain(policy, o.now())); err != nil {
		return err
	}
	if o.queryURL == "" {
		return nil
	}
	records, err := records{url: o.queryURL, since: time.Duration(o.since), limit: o.limit}.fetch(ctx, namespace, name, o.now())
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, "\n"+history(records, o.since))
	return err
}

func (o *explainOptions) node(ctx context.Context, out io.Writer, reader client.Reader, name string) error {
	facts, err := readNode(ctx, reader, name)
	if err != nil {
		return err
	}
	if err := o.ask(ctx, facts.find); err != nil {
		return err
	}
	_, err = io.WriteString(out, explainNode(facts, o.now()))
	return err
}

func (o *explainOptions) pod(ctx context.Context, out io.Writer, reader client.Reader, namespace, name string) error {
	facts, err := readPod(ctx, reader, namespace, name)
	if err != nil {
		return err
	}
	if err := o.ask(ctx, facts.find); err != nil {
		return err
	}
	_, err = io.WriteString(out, explainPod(facts, o.now()))
	return err
}

// ask hands over what the autoscaler says of the nodes, if somebody said where to ask.
func (o *explainOptions) ask(ctx context.Context, take func(*fleet.View)) error {
	if o.queryURL == "" {
		return nil
	}
	view, err := fetchFleet(ctx, o.queryURL)
	if err != nil {
		return err
	}
	take(view)
	return nil
}
