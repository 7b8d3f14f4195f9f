package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"

	"github.com/spf13/cobra"
)

// metricsOptions are the flags of `yagura metrics`.
type metricsOptions struct {
	client client
	output string
}

func newMetrics() *cobra.Command {
	var o metricsOptions
	cmd := &cobra.Command{
		Use:   "metrics QUERY",
		Short: "Ask for the current value of metrics in PromQL",
		Example: `  yagura metrics 'topk(5, sum by (pod) (rate(container_cpu_usage_seconds_total[1m])))'
  yagura metrics yagura_autoscaler_replicas_desired`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	o.client.flags(cmd.Flags())
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "text or json (the service's answer)")
	return cmd
}

func (o *metricsOptions) run(ctx context.Context, out io.Writer, query string) error {
	if !slices.Contains([]string{"text", "json"}, o.output) {
		return fmt.Errorf("--output %q: want text or json", o.output)
	}
	body, err := o.client.get(ctx, "/prometheus/api/v1/query", url.Values{"query": {query}})
	if err != nil {
		return err
	}
	if o.output == "json" {
		_, err := out.Write(append(body, '\n'))
		return err
	}
	return printMetrics(out, body)
}

func printMetrics(out io.Writer, body []byte) error {
	var answer struct {
		Data struct {
			ResultType string          `json:"resultType"`
			Result     json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	type series struct {
		Metric map[string]string    `json:"metric"`
		Value  [2]json.RawMessage   `json:"value"`
		Values [][2]json.RawMessage `json:"values"`
	}
	var all []series
	if answer.Data.ResultType == "scalar" || answer.Data.ResultType == "string" {
		all = make([]series, 1)
		if err := json.Unmarshal(answer.Data.Result, &all[0].Value); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
	} else if err := json.Unmarshal(answer.Data.Result, &all); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	for _, s := range all {
		name := s.Metric["__name__"]
		delete(s.Metric, "__name__")
		points := s.Values
		if points == nil {
			points = [][2]json.RawMessage{s.Value}
		}
		for _, p := range points {
			var value string
			if err := json.Unmarshal(p[1], &value); err != nil {
				value = "(native histogram: ask for it with -o json)"
			}
			fmt.Fprintf(out, "%s%s %s\n", name, formatLabels(s.Metric), value)
		}
	}
	return nil
}
