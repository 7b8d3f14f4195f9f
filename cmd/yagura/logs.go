package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
)

// logsOptions are the flags of `yagura logs`.
type logsOptions struct {
	client  client
	since   model.Duration
	limit   int
	forward bool
	output  string
}

func newLogs() *cobra.Command {
	o := logsOptions{since: model.Duration(time.Hour)}
	cmd := &cobra.Command{
		Use:   "logs QUERY",
		Short: "Ask for log lines, or numbers made of them, in LogQL",
		Long: `Asks the query service in LogQL and prints the answer: log lines with the oldest
of them first, so that the newest stands at the bottom, or one line for each
sample of a metric query.`,
		Example: `  yagura logs '{namespace="shop"} |= "error"' --since 15m
  yagura logs '{service_name="yagura-autoscaler"} | json | name="checkout"' --limit 20
  yagura logs 'sum by (service_name) (rate({namespace="shop"}[1m]))'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	f := cmd.Flags()
	o.client.flags(f)
	f.Var(&o.since, "since", "how far back to look, as 15m or 2h")
	f.IntVar(&o.limit, "limit", 100, "the most lines to print")
	f.BoolVar(&o.forward, "oldest", false, "when there are more than --limit, print the oldest instead of the newest")
	f.StringVarP(&o.output, "output", "o", "text", "text, line (the bare lines) or json (the service's answer)")
	return cmd
}

func (o *logsOptions) run(ctx context.Context, out io.Writer, query string) error {
	if !slices.Contains([]string{"text", "line", "json"}, o.output) {
		return fmt.Errorf("--output %q: want text, line or json", o.output)
	}
	if o.limit < 1 {
		return fmt.Errorf("--limit %d: want at least 1", o.limit)
	}
	now := time.Now()
	direction := "backward"
	if o.forward {
		direction = "forward"
	}
	body, err := o.client.get(ctx, "/loki/api/v1/query_range", url.Values{
		"query":     {query},
		"start":     {strconv.FormatInt(now.Add(-time.Duration(o.since)).UnixNano(), 10)},
		"end":       {strconv.FormatInt(now.UnixNano(), 10)},
		"limit":     {strconv.Itoa(o.limit)},
		"direction": {direction},
	})
	if err != nil {
		return err
	}
	if o.output == "json" {
		_, err := out.Write(append(body, '\n'))
		return err
	}
	return printLogs(out, body, o.output == "line")
}

// logsAnswer is the part of Loki's answer that is printed.
type logsAnswer struct {
	Data struct {
		ResultType string `json:"resultType"`
		Result     []struct {
			Stream map[string]string   `json:"stream"`
			Metric map[string]string   `json:"metric"`
			Values [][]json.RawMessage `json:"values"`
		} `json:"result"`
	} `json:"data"`
}

type printedLine struct {
	nanos  int64
	labels string
	text   string
}

func printLogs(out io.Writer, body []byte, bare bool) error {
	var answer logsAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	var lines []printedLine
	for _, r := range answer.Data.Result {
		labels := formatLabels(r.Stream)
		if answer.Data.ResultType != "streams" {
			labels = formatLabels(r.Metric)
		}
		for _, v := range r.Values {
			l, err := parseLine(v)
			if err != nil {
				return fmt.Errorf("read the answer: %w", err)
			}
			l.labels = labels
			lines = append(lines, l)
		}
	}
	slices.SortStableFunc(lines, func(a, b printedLine) int { return int(min(1, max(-1, a.nanos-b.nanos))) })
	for _, l := range lines {
		if bare {
			fmt.Fprintln(out, l.text)
			continue
		}
		fmt.Fprintf(out, "%s %s %s\n", time.Unix(0, l.nanos).UTC().Format("2006-01-02T15:04:05.000Z"), l.labels, l.text)
	}
	return nil
}

// parseLine reads ["<ns>", "line", …] of a stream, or [<s>, "value"] of a series.
func parseLine(v []json.RawMessage) (printedLine, error) {
	if len(v) < 2 {
		return printedLine{}, fmt.Errorf("a value has %d parts", len(v))
	}
	var l printedLine
	if err := json.Unmarshal(v[1], &l.text); err != nil {
		return l, err
	}
	var nanos string
	if json.Unmarshal(v[0], &nanos) == nil {
		n, err := strconv.ParseInt(nanos, 10, 64)
		l.nanos = n
		return l, err
	}
	var seconds float64
	if err := json.Unmarshal(v[0], &seconds); err != nil {
		return l, err
	}
	l.nanos = int64(seconds*1e3) * 1e6
	return l, nil
}

func formatLabels(labels map[string]string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s=%q", name, labels[name])
	}
	b.WriteByte('}')
	return b.String()
}
