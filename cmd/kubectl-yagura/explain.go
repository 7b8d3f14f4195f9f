package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
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
		Use:   "explain NAME",
		Short: "Say what a WorkloadAutoscaler does and why",
		Long: `Says in sentences what a WorkloadAutoscaler saw and decided last: how many replicas
its target has and should have, what its containers should request, and the reasons.
With --query-url it adds the decisions of the last hour that changed something, from
the records in the query service.`,
		Example: `  kubectl yagura explain checkout -n shop
  kubectl yagura explain checkout --query-url http://127.0.0.1:9428 --since 1d`,
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
