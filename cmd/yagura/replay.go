package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// replayOptions are the flags of `yagura replay`.
type replayOptions struct {
	policy         string
	usage          []string
	warmup, every  model.Duration
	model, compare string
	prices         map[string]string
	declared       map[string]string
	containers     int
	output         string
}

func newReplay() *cobra.Command {
	var o replayOptions
	prices := replay.DefaultPrices()
	cmd := &cobra.Command{
		Use:   "replay -f POLICY.yaml --usage RESOURCE=FILE …",
		Short: "Run a vertical policy on recorded usage",
		Long: `Runs a policy on what containers used and says what would have become of it: what
was requested when, how much of that was left unused, how often usage was above it,
kills for memory, changes, and what it costs. No cluster is asked or touched.

The policy is a WorkloadAutoscaler with spec.vertical. Its model, history, tolerance,
and its containers' mode, resources, minAllowed and maxAllowed count; what says how
pods are changed does not: each request is in force from the next sample on. If it has
a horizontal part, too, that is not replayed. VPA stands without floors of its own.

Usage is CSV, "timestamp,value[,container]", with or without a header: cores for cpu,
bytes for memory; Unix seconds (with a fraction, if any) or RFC 3339, where a blank
may stand for the T and UTC is meant without an offset. Rows are in the order of time
for each container, and containers may take turns. Rows that name no container are of
the only one that the policy has a rule for, else of one with the target's name. "-"
is standard input. Values that are negative, no numbers or not finite, rows out of
order and two of one container and time are errors that name the file and the line.

The request that a sample meets was decided from the samples before it. Until the
model first says something a container has no request, unless --requests gives one;
such samples are counted as unsized and are in no share. A sample is over its request
when its usage is above it. With memory, that is a kill: the request is the limit, the
model is told, and answers before the next sample, past the tolerance.

  slack         mean over samples of max(0, 1 - usage/request)
  over_request  the share of samples over their request
  ooms          samples of memory over their request
  changes       changes of requests

The first --warmup of each container is left out of these. A request is paid for from
one sample to the next; time without samples, ten times the container's shortest
interval or more, costs as much as that interval. Prices are per core and hour and per
GiB and hour, in any currency.

Text shows the containers with most kills, then most time over their request, then the
highest cost first. JSON has a step for each sample, and the summary, under cpu and
memory when there are two resources; with --compare also those of the other model.`,
		Example: `  yagura replay -f policy.yaml --usage cpu=cpu.csv --warmup 24h
  yagura replay -f policy.yaml --usage cpu=cpu.csv --usage memory=memory.csv --warmup 1d --compare VPA
  yagura replay -f policy.yaml --usage memory=memory.csv --model Peak --price memory=0.005 -o json | jq .summary`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.policy, "filename", "f", "", "the policy, a WorkloadAutoscaler in YAML or JSON")
	f.StringArrayVar(&o.usage, "usage", nil, "cpu=FILE or memory=FILE; may be repeated")
	f.Var(&o.warmup, "warmup", "how long after its first sample a container is left out of the summary, as 24h or 1d")
	f.Var(&o.every, "every", "decide no more often than this (default after each sample)")
	f.StringVar(&o.model, "model", "", "estimate with this model instead of the policy's")
	f.StringVar(&o.compare, "compare", "", "also replay with this model, such as VPA, and show both")
	f.StringToStringVar(&o.prices, "price", nil, fmt.Sprintf("prices per hour, as cpu=%g,memory=%g (which is the default)", prices.CPU, prices.Memory))
	f.StringToStringVar(&o.declared, "requests", nil, "requests in force at first, as cpu=500m,memory=512Mi")
	f.IntVar(&o.containers, "containers", 10, "how many containers text shows over time")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	return cmd
}

// usageFile is one value of --usage.
type usageFile struct {
	resource vertical.Resource
	path     string
}

// replayRun is what the flags come to.
type replayRun struct {
	policy   *v1alpha1.WorkloadAutoscaler
	models   []v1alpha1.EstimationModel // the policy's, and the one it is compared with
	files    []usageFile
	prices   replay.Prices
	declared map[vertical.Resource]float64
	warmup   time.Duration
	every    time.Duration
}

func (o *replayOptions) run(ctx context.Context, in io.Reader, out io.Writer) error {
	r, err := o.complete()
	if err != nil {
		return err
	}
	report, err := o.report(r)
	if err != nil {
		return err
	}
	defer report.close()
	if err := r.replay(ctx, in, report); err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(out, 1<<16)
	if err := report.write(buffered); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return buffered.Flush()
}

// complete checks the flags.
func (o *replayOptions) complete() (*replayRun, error) {
	if !slices.Contains([]string{"text", "json"}, o.output) {
		return nil, fmt.Errorf("--output %q: want text or json", o.output)
	}
	if o.containers < 0 {
		return nil, fmt.Errorf("--containers %d: want at least 0", o.containers)
	}
	if o.policy == "" {
		return nil, errors.New("--filename: want the file of a policy")
	}
	r := &replayRun{warmup: time.Duration(o.warmup), every: time.Duration(o.every), declared: map[vertical.Resource]float64{}}
	text, err := os.ReadFile(o.policy)
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	if r.policy, err = replay.ParsePolicy(o.policy, text); err != nil {
		return nil, err
	}
	return r, errors.Join(o.completeModels(r), o.completeUsage(r), o.completePrices(r), o.completeRequests(r))
}

func (o *replayOptions) completeModels(r *replayRun) error {
	r.models = []v1alpha1.EstimationModel{r.policy.Spec.Vertical.Model}
	var err error
	if o.model != "" {
		if r.models[0], err = replay.ModelByName(o.model); err != nil {
			return fmt.Errorf("--model: %w", err)
		}
	}
	if o.compare == "" {
		return nil
	}
	other, err := replay.ModelByName(o.compare)
	if err != nil {
		return fmt.Errorf("--compare: %w", err)
	}
	r.models = append(r.models, other)
	return nil
}

func (o *replayOptions) completeUsage(r *replayRun) error {
	if len(o.usage) == 0 {
		return errors.New("--usage: want cpu=FILE, memory=FILE or both")
	}
	stdin := 0
	for _, s := range o.usage {
		name, path, ok := strings.Cut(s, "=")
		if resource := vertical.Resource(name); !ok || path == "" || resource != vertical.CPU && resource != vertical.Memory {
			return fmt.Errorf("--usage %q: want cpu=FILE or memory=FILE", s)
		}
		if path == "-" {
			stdin++
		}
		r.files = append(r.files, usageFile{vertical.Resource(name), path})
	}
	if stdin > 1 {
		return errors.New("--usage: only one of them can be standard input")
	}
	return nil
}

func (o *replayOptions) completePrices(r *replayRun) error {
	r.prices = replay.DefaultPrices()
	for name, value := range o.prices {
		q, err := resource.ParseQuantity(value)
		if err != nil || q.Sign() < 0 {
			return fmt.Errorf("--price %s=%s: want a number that is not negative", name, value)
		}
		switch vertical.Resource(name) {
		case vertical.CPU:
			r.prices.CPU = q.AsApproximateFloat64()
		case vertical.Memory:
			r.prices.Memory = q.AsApproximateFloat64()
		default:
			return fmt.Errorf("--price %s: want cpu or memory", name)
		}
	}
	return nil
}

func (o *replayOptions) completeRequests(r *replayRun) error {
	for name, value := range o.declared {
		q, err := resource.ParseQuantity(value)
		if err != nil || q.Sign() <= 0 {
			return fmt.Errorf("--requests %s=%s: want a quantity above zero, such as 500m or 512Mi", name, value)
		}
		if resource := vertical.Resource(name); resource != vertical.CPU && resource != vertical.Memory {
			return fmt.Errorf("--requests %s: want cpu or memory", name)
		}
		r.declared[vertical.Resource(name)] = q.AsApproximateFloat64()
	}
	return nil
}

// engines makes one for each model.
func (r *replayRun) engines() ([]*replay.Engine, error) {
	engines := make([]*replay.Engine, len(r.models))
	for i, name := range r.models {
		engine, err := replay.New(replay.Config{
			Model:  replay.Models(r.policy, name),
			Rules:  r.rules,
			Warmup: r.warmup,
			Prices: r.prices,
		})
		if err != nil {
			return nil, err
		}
		engines[i] = engine
	}
	return engines, nil
}

func (r *replayRun) rules(container string, resource vertical.Resource) replay.Rules {
	rules, _ := replay.RulesFor(r.policy, container, resource)
	rules.Every, rules.Declared = r.every, r.declared[resource]
	return rules
}

// container is the name of the one whose rows name none.
func (r *replayRun) container() string {
	var names []string
	for _, c := range r.policy.Spec.Vertical.Containers {
		if c.Name != "*" {
			names = append(names, c.Name)
		}
	}
	if len(names) == 1 {
		return names[0]
	}
	return r.policy.Spec.TargetRef.Name
}

// replay reads the files one after the other.
func (r *replayRun) replay(ctx context.Context, in io.Reader, report *replayReport) error {
	for _, file := range r.files {
		if err := r.replayFile(ctx, in, file, report); err != nil {
			return err
		}
	}
	return nil
}

func (r *replayRun) replayFile(ctx context.Context, in io.Reader, file usageFile, report *replayReport) error {
	name := file.path
	if file.path == "-" {
		name = "stdin"
	} else {
		f, err := os.Open(file.path)
		if err != nil {
			return fmt.Errorf("--usage %s: %w", file.resource, err)
		}
		defer f.Close()
		in = f
	}
	feed := replay.Feed{
		Engines: report.engines,
		Sized: func(container string, resource vertical.Resource) bool {
			_, sized := replay.RulesFor(r.policy, container, resource)
			return sized
		},
		Emit: report.emit,
	}
	replayed, skipped, err := feed.Run(ctx, replay.NewReader(in, name, file.resource, r.container()))
	switch {
	case err != nil:
		return err
	case replayed == 0 && skipped > 0:
		return fmt.Errorf("--usage %s=%s: the policy sizes %s of none of its containers", file.resource, file.path, file.resource)
	case replayed == 0:
		return fmt.Errorf("--usage %s=%s: no samples", file.resource, file.path)
	}
	report.skipped += skipped
	return nil
}
