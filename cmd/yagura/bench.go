package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/cmd/internal/bench"
)

// formatOf is the format of a file by the end of its name.
var formatOf = map[string]string{".txt": "text", ".md": "markdown", ".json": "json"}

// benchOptions are the flags of `yagura bench`.
type benchOptions struct {
	cfg               bench.Config
	targets, signals  []string
	starts            []string
	end, output       string
	files             []string
	diskAfter, settle model.Duration
}

func newBench() *cobra.Command {
	o := benchOptions{diskAfter: model.Duration(20 * time.Second), settle: model.Duration(3 * time.Minute)}
	cmd := &cobra.Command{
		Use:   "bench --data DIR --target KIND=URL …",
		Short: "Measure Yagura and other stores side by side with real data",
		Long: `Pushes real logs, spans and metrics into each target, checks that all of it
arrived and is there once, asks every target the same queries, and prints what that
took: CPU time and peak memory of the server, bytes on disk, milliseconds for each
query cold and hot, and whether the answers are right.

A target is KIND=URL, followed by options:

  loki=URL             Loki's push and query API
  victorialogs=URL     Loki's push API, queries in LogsQL
  jaeger=URL           Jaeger's query API; push= is where it takes OTLP over HTTP
  tempo=URL            Tempo's query API; push= is where it takes OTLP over HTTP
  victoriatraces=URL   OTLP and Jaeger's query API at VictoriaTraces' paths
  prometheus=URL       remote write and Prometheus' query API
  yagura=URL           all of these, at Yagura's paths

  ,name=X    what to call it in tables
  ,pid=N     its process: CPU time and memory are read from it
  ,dir=PATH  its data folder: its size is measured --disk-after the last push
  ,push=URL  where data goes, if not to URL
  ,flush=P   a path to post to after the last push, such as Loki's /flush

Give each target an empty data folder: what is there already would be found as never
sent. The data ends an hour before --end, so stores must take data of up to ten hours
ago. With the same --end and --seed the data is the same.

A query's first run counts as cold. With --start NAME=COMMAND the target is stopped
(SIGTERM to its pid) and started again before that; the command must start it in the
background, its output redirected, and print the new process id. With --drop-caches
(root, Linux) each cold query also reads the disk.

The command fails if a target did, if anything is missing, doubled or foreign, or if
an answer is wrong; what it found is printed all the same.`,
		Example: `  yagura bench --data ../shared/data --target yagura=http://127.0.0.1:9428,pid=4711,dir=yagura-data
  yagura bench --data ../shared/data --signals logs --copies 8 \
    --target loki=http://127.0.0.1:9428,name=yagura,pid=4711,dir=/var/lib/yagura \
    --target victorialogs=http://127.0.0.1:9430,pid=4712,dir=/var/lib/victoria-logs \
    --target loki=http://127.0.0.1:3100,pid=4713,dir=/var/lib/loki,flush=/flush --baseline loki -o markdown
  yagura bench --data ../shared/data --signals logs --sample 5000 --target yagura=http://127.0.0.1:9428`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.cfg.Data, "data", "../shared/data", "folder of the public data")
	f.StringArrayVar(&o.targets, "target", nil, "KIND=URL[,OPTION=VALUE…], see above; may be repeated")
	f.StringArrayVar(&o.starts, "start", nil, "NAME=COMMAND that starts a target again; may be repeated")
	f.StringSliceVar(&o.signals, "signals", []string{"logs", "traces", "metrics"}, "what to measure, as far as the targets take it")
	f.StringVar(&o.cfg.Baseline, "baseline", "", "name of the target that ratios are against (default the first)")
	f.IntVar(&o.cfg.LogCopies, "copies", 1, "copies of the logs, 1 to 16, with other ids and pods: 1 is 130 MB, 8 are 1.04 GB")
	f.IntVar(&o.cfg.SpanCopies, "span-copies", 1, "copies of the spans, with other ids: 1 is 321,068 spans, 32 are 10 million")
	f.IntVar(&o.cfg.MetricHours, "metric-hours", 6, "hours of 5,000 series at 15 s: 6 are 7.2 million samples")
	f.IntVar(&o.cfg.Sample, "sample", 0, "read only so many lines and spans, for a quick try")
	f.StringVar(&o.end, "end", "", "what queries end at, in RFC 3339 (default this minute)")
	f.Uint64Var(&o.cfg.Seed, "seed", 42, "of what is random in the data")
	f.IntVar(&o.cfg.HotRuns, "hot", 7, "hot runs of each query; the median counts")
	f.BoolVar(&o.cfg.DropCaches, "drop-caches", false, "drop the page cache before each cold query")
	f.BoolVar(&o.cfg.Whole, "verify-all", false, "compare every line and span with what was sent, not only their numbers")
	f.BoolVar(&o.cfg.NoPush, "no-push", false, "only ask: the targets have the data of the same --end already")
	f.Var(&o.diskAfter, "disk-after", "how long after the last push data folders are measured")
	f.Var(&o.settle, "settle", "how long a target may be busy after the last push")
	f.StringVar(&o.cfg.Spool, "spool", "", "folder for encoded requests (default a temporary one)")
	f.StringVarP(&o.output, "output", "o", "text", strings.Join(bench.Formats, ", "))
	f.StringArrayVar(&o.files, "write", nil, "also write the result to this file, as text (.txt), Markdown (.md) or JSON (.json); may be repeated")
	return cmd
}

func (o *benchOptions) run(cmd *cobra.Command) error {
	if err := o.complete(); err != nil {
		return err
	}
	o.cfg.Progress = cmd.ErrOrStderr()
	report, err := bench.Run(cmd.Context(), o.cfg)
	if err != nil {
		return err
	}
	return errors.Join(o.write(cmd.OutOrStdout(), report), report.Err())
}

func (o *benchOptions) complete() error {
	if !slices.Contains(bench.Formats, o.output) {
		return fmt.Errorf("--output %q: want one of %s", o.output, strings.Join(bench.Formats, ", "))
	}
	for _, path := range o.files {
		if formatOf[filepath.Ext(path)] == "" {
			return fmt.Errorf("--write %q: want a name that ends in .txt, .md or .json", path)
		}
	}
	for _, s := range o.signals {
		if !slices.Contains(bench.Signals, bench.Signal(s)) {
			return fmt.Errorf("--signals %q: want logs, traces or metrics", s)
		}
		o.cfg.Signals = append(o.cfg.Signals, bench.Signal(s))
	}
	for _, s := range o.targets {
		t, err := bench.ParseTarget(s)
		if err != nil {
			return err
		}
		o.cfg.Targets = append(o.cfg.Targets, t)
	}
	for _, s := range o.starts {
		name, command, ok := strings.Cut(s, "=")
		i := slices.IndexFunc(o.cfg.Targets, func(t bench.Target) bool { return t.Name == name })
		if !ok || i < 0 {
			return fmt.Errorf("--start %q: want NAME=COMMAND with the name of a target", s)
		}
		o.cfg.Targets[i].Start = command
	}
	o.cfg.DiskAfter, o.cfg.Settle = time.Duration(o.diskAfter), time.Duration(o.settle)
	o.cfg.End = time.Now().Truncate(time.Minute)
	if o.end != "" {
		end, err := time.Parse(time.RFC3339, o.end)
		if err != nil {
			return fmt.Errorf("--end: %w", err)
		}
		o.cfg.End = end
	}
	return nil
}

func (o *benchOptions) write(out io.Writer, report *bench.Report) error {
	errs := []error{report.Write(out, o.output)}
	for _, path := range o.files {
		f, err := os.Create(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("--write: %w", err))
			continue
		}
		errs = append(errs, report.Write(f, formatOf[filepath.Ext(path)]), f.Close())
	}
	return errors.Join(errs...)
}
