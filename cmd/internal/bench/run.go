package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config says what to measure.
type Config struct {
	Data    string // folder of the public data
	Targets []Target
	Signals []Signal
	// Baseline names the target that ratios are against; "" for the first.
	Baseline string

	// End is what the data ends shortly before, and where queries end: a recent time,
	// for stores refuse old data. With the same End and Seed, data is the same.
	End  time.Time
	Seed uint64
	// LogCopies, SpanCopies are how often logs (1 to 16) and spans are repeated, with
	// other ids and other pods.
	LogCopies, SpanCopies int
	// MetricHours is how many hours of 5,000 series are sent.
	MetricHours int
	// Sample above 0 bounds how much is read of each file kind, for a quick try.
	Sample int

	HotRuns    int  // of each query, after the cold one
	DropCaches bool // before each cold query; needs root
	// Whole compares every line, span and series with what was sent; otherwise their
	// numbers are compared, and only what has a wrong one is looked into.
	Whole bool
	// NoPush only asks: the targets have the data of the same End and Seed already.
	NoPush bool
	// DiskAfter is how long after the last push data folders are measured, Settle how
	// long a target may be busy after it.
	DiskAfter, Settle time.Duration
	// Spool is the folder for encoded requests; "" for a temporary one.
	Spool string
	// Progress receives a line for every step; nil for none.
	Progress io.Writer
}

// Validate reports every setting that makes no sense.
func (c *Config) Validate() error {
	var errs []error
	if len(c.Targets) == 0 {
		errs = append(errs, errors.New("no target: want at least one"))
	}
	names := map[string]bool{}
	for _, t := range c.Targets {
		if names[t.Name] {
			errs = append(errs, fmt.Errorf("two targets are named %q: give one of them a name=", t.Name))
		}
		names[t.Name] = true
		if t.Start != "" && t.PID == 0 {
			errs = append(errs, fmt.Errorf("target %s: it can only be restarted if its pid is known", t.Name))
		}
	}
	if c.Baseline != "" && !names[c.Baseline] {
		errs = append(errs, fmt.Errorf("baseline %q is no target", c.Baseline))
	}
	for _, n := range []struct {
		name     string
		is       int
		min, max int
	}{
		{"copies of logs", c.LogCopies, 1, maxLogCopies}, {"copies of spans", c.SpanCopies, 1, 1000},
		{"hours of metrics", c.MetricHours, 1, 24}, {"hot runs", c.HotRuns, 1, 1000}, {"sample", c.Sample, 0, 1 << 30},
	} {
		if n.is < n.min || n.is > n.max {
			errs = append(errs, fmt.Errorf("%s: want %d to %d, got %d", n.name, n.min, n.max, n.is))
		}
	}
	if c.DiskAfter <= 0 || c.Settle < c.DiskAfter {
		errs = append(errs, fmt.Errorf("time to settle: want more than 0 and at least the %s after which folders are measured, got %s", c.DiskAfter, c.Settle))
	}
	return errors.Join(errs...)
}

type runner struct {
	cfg    Config
	client *client
	spool  string
}

// Run measures all targets and returns what it found, as far as it came: a target
// that fails is reported with its error, and the others are measured. The error is
// of what concerns all of them. Call Report.Err for whether all was well.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &runner{cfg: cfg, client: newClient(), spool: cfg.Spool}
	defer r.client.close()
	if r.spool == "" {
		dir, err := os.MkdirTemp("", "yagura-bench-")
		if err != nil {
			return nil, fmt.Errorf("create a folder for encoded requests: %w", err)
		}
		defer os.RemoveAll(dir)
		r.spool = dir
	}
	report := &Report{
		Time: time.Now().UTC(), Baseline: cfg.Baseline,
		Machine: Machine{OS: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Load: loadAverage()},
	}
	if report.Baseline == "" {
		report.Baseline = cfg.Targets[0].Name
	}
	for _, s := range Signals {
		var targets []*Target
		for i := range cfg.Targets {
			if slices.Contains(cfg.Signals, s) && cfg.Targets[i].Kind.Takes(s) {
				targets = append(targets, &cfg.Targets[i])
			}
		}
		if len(targets) == 0 {
			continue
		}
		result, err := r.signal(ctx, s, targets)
		if err != nil {
			return report, fmt.Errorf("%s: %w", s, err)
		}
		report.Results = append(report.Results, *result)
	}
	if len(report.Results) == 0 {
		return report, errors.New("none of the targets takes any of the signals")
	}
	return report, nil
}

// workset is a signal's prepared data and what is known of it.
type workset struct {
	data      Data
	feed      feed
	questions []question
	check     func(ctx context.Context, at endpoint) (Check, error)
}

func (r *runner) prepare(ctx context.Context, s Signal) (*workset, error) {
	switch s {
	case Logs:
		return r.prepareLogs(ctx)
	case Traces:
		return r.prepareTraces(ctx)
	case Metrics:
		return r.prepareSeries(ctx)
	default:
		return nil, fmt.Errorf("unknown signal %q", s)
	}
}

func (r *runner) prepareLogs(ctx context.Context) (*workset, error) {
	d, err := readLogs(ctx, r.cfg.Data, r.cfg.End, r.cfg.LogCopies, r.cfg.Sample)
	if err != nil {
		return nil, err
	}
	spool, truth, err := prepareLogs(ctx, d, filepath.Join(r.spool, "logs"))
	if err != nil {
		return nil, err
	}
	w := window{r.cfg.End.Add(-logSpan), r.cfg.End}
	streams := 0
	for _, s := range truth.streams {
		if s.Lines > 0 {
			streams++
		}
	}
	return &workset{
		data:      Data{Items: int64(truth.lines), Unit: "lines", Streams: streams, Bytes: truth.bytes, Sent: spool.Bytes, End: r.cfg.End},
		feed:      lokiFeed(spool),
		questions: logQuestions(truth, w),
		check: func(ctx context.Context, at endpoint) (Check, error) {
			c := logChecker{client: r.client, at: at, data: d, truth: truth, window: w, whole: r.cfg.Whole}
			return c.check(ctx)
		},
	}, nil
}

func (r *runner) prepareTraces(ctx context.Context) (*workset, error) {
	d, err := readSpans(ctx, r.cfg.Data, r.cfg.End, r.cfg.SpanCopies, r.cfg.Sample, r.cfg.Seed)
	if err != nil {
		return nil, err
	}
	spool, truth, err := prepareSpans(ctx, d, filepath.Join(r.spool, "spans"))
	if err != nil {
		return nil, err
	}
	return &workset{
		data:      Data{Items: int64(truth.spans), Unit: "spans", Streams: len(truth.services), Bytes: spool.Bytes, Sent: spool.Bytes, End: r.cfg.End},
		feed:      otlpFeed(spool),
		questions: traceQuestions(truth, window{r.cfg.End.Add(-traceSpan), r.cfg.End}),
		check: func(ctx context.Context, at endpoint) (Check, error) {
			c := traceChecker{client: r.client, at: at, data: d, whole: r.cfg.Whole}
			return c.check(ctx)
		},
	}, nil
}

func (r *runner) prepareSeries(ctx context.Context) (*workset, error) {
	d := newSeries(r.cfg.End, r.cfg.MetricHours, r.cfg.Seed)
	spool, truth, err := prepareSeries(ctx, d, filepath.Join(r.spool, "samples"))
	if err != nil {
		return nil, err
	}
	w := window{d.start, r.cfg.End}
	return &workset{
		data:      Data{Items: int64(truth.samples), Unit: "samples", Streams: len(d.series), Bytes: truth.bytes, Sent: spool.Bytes, End: r.cfg.End},
		feed:      remoteWriteFeed(spool),
		questions: seriesQuestions(w),
		check: func(ctx context.Context, at endpoint) (Check, error) {
			c := seriesChecker{client: r.client, at: at, truth: truth, window: w}
			return c.check(ctx)
		},
	}, nil
}

// signal measures one signal: data goes into one target after the other, so that
// they do not compete; then each query is asked of all of them in turn.
func (r *runner) signal(ctx context.Context, s Signal, targets []*Target) (*Result, error) {
	r.progress("%s: preparing the data", s)
	w, err := r.prepare(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("prepare the data: %w", err)
	}
	defer os.Remove(w.feed.spool.path)
	r.progress("%s: %d %s, %.1f MB", s, w.data.Items, w.data.Unit, float64(w.data.Bytes)/1e6)
	result := &Result{Signal: s, Data: w.data, Targets: make([]TargetResult, len(targets))}
	for i, t := range targets {
		out := &result.Targets[i]
		out.Name, out.Kind = t.Name, t.Kind
		if err := r.load(ctx, s, t, w, out); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			out.Error = fmt.Sprintf("target %s: %v", t.Name, err)
			r.progress("%s", out.Error)
		}
	}
	for _, q := range w.questions {
		r.askAll(ctx, s, q, targets, result.Targets)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	for i, t := range targets {
		r.finish(t, &result.Targets[i])
	}
	return result, nil
}

// askAll asks every target one question. Where the right answer is unknown, the first
// target's is taken for it.
func (r *runner) askAll(ctx context.Context, s Signal, q question, targets []*Target, out []TargetResult) {
	for i, t := range targets {
		if out[i].Error != "" {
			continue
		}
		for _, at := range t.endpoints(s) {
			calls := q.calls[at.api]
			if len(calls) == 0 {
				continue
			}
			result, got := r.measure(ctx, *t, at, q, calls)
			out[i].Queries = append(out[i].Queries, result)
			if q.want == nil && result.Error == "" {
				q.want = &got
			}
		}
	}
}

// finish takes the figures of the very end. A target that is gone by then has none.
func (r *runner) finish(t *Target, out *TargetResult) {
	if peak, err := (meter{t.PID}).peak(); err == nil {
		out.PeakBytes = peak
	}
	if out.Ingest != nil { // a restarted process remembers only its own
		out.PeakBytes = max(out.PeakBytes, out.Ingest.PeakBytes)
	}
	if t.Dir != "" {
		if size, err := folderSize(t.Dir); err == nil {
			out.DiskBytes = size
		}
	}
}

// load pushes, checks and restarts one target.
func (r *runner) load(ctx context.Context, s Signal, t *Target, w *workset, out *TargetResult) error {
	if !r.cfg.NoPush {
		r.progress("%s: pushing to %s", s, t.Name)
		ingest, err := r.ingest(ctx, t, w.feed)
		if err != nil {
			return err
		}
		out.Ingest = ingest
	}
	r.progress("%s: checking what %s holds", s, t.Name)
	check, err := r.checkAll(ctx, t.endpoints(s)[0], w)
	if err != nil {
		return fmt.Errorf("check what it holds: %w", err)
	}
	out.Check = &check
	if !check.Complete {
		r.progress("%s: %s does NOT hold what it was sent: %s", s, t.Name, strings.Join(check.Problems, "; "))
	}
	if t.Start == "" {
		return nil
	}
	r.progress("%s: restarting %s", s, t.Name)
	ready, err := r.restart(ctx, t, t.endpoints(s)[0])
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	out.ReadyMS = milliseconds(ready)
	return nil
}

// checkAttempts and checkPause bound how long data may take to become visible after
// the target is quiet.
const (
	checkAttempts = 10
	checkPause    = 500 * time.Millisecond
)

func (r *runner) checkAll(ctx context.Context, at endpoint, w *workset) (Check, error) {
	for attempt := 1; ; attempt++ {
		c, err := w.check(ctx, at)
		if err != nil || c.Complete || c.Found > c.Expected || attempt == checkAttempts {
			return c, err
		}
		if err := sleep(ctx, checkPause); err != nil {
			return c, err
		}
	}
}

// measure asks once cold and then hot, and returns the last answer, too.
func (r *runner) measure(ctx context.Context, t Target, at endpoint, q question, calls []call) (QueryResult, answer) {
	out := QueryResult{Name: q.Name, About: q.About, API: string(at.api)}
	r.progress("%s: %s", t.Name, q.Name)
	fail := func(err error) (QueryResult, answer) {
		out.Error = err.Error()
		r.progress("%s: %s: %s", t.Name, q.Name, out.Error)
		return out, answer{}
	}
	if r.cfg.DropCaches {
		if err := dropCaches(); err != nil {
			return fail(err)
		}
	}
	_, took, err := r.client.ask(ctx, at, calls)
	if err != nil {
		return fail(err)
	}
	out.ColdMS = milliseconds(took)
	before, err := meter{t.PID}.cpu()
	if err != nil {
		return fail(err)
	}
	hot := make([]time.Duration, r.cfg.HotRuns)
	var got answer
	for i := range hot {
		if got, hot[i], err = r.client.ask(ctx, at, calls); err != nil {
			return fail(err)
		}
	}
	after, err := meter{t.PID}.cpu()
	if err != nil {
		return fail(err)
	}
	slices.Sort(hot)
	out.HotMS = milliseconds(hot[len(hot)/2])
	out.CPUMS = milliseconds(after-before) / float64(len(hot))
	out.Rows = got.Rows
	if want, ok := q.wants[at.api]; ok {
		out.Wrong = got.differs(want)
	} else if q.want != nil {
		out.Wrong = got.differs(*q.want)
	}
	return out, got
}

func (r *runner) progress(format string, args ...any) {
	if r.cfg.Progress != nil {
		fmt.Fprintf(r.cfg.Progress, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
	}
}

// loadAverage is how busy the machine was in the last minute; 0 if unknown.
func loadAverage() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	load, _ := strconv.ParseFloat(first, 64)
	return load
}
