// Package lifecycle starts and stops the parts of a process. Only commands import
// it; it imports nothing of ours.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Context is done at the first SIGINT or SIGTERM. A second signal ends the process
// at once, for people whose shutdown hangs.
func Context() (context.Context, context.CancelFunc) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, cancel) // gives the signal its default action back
	return ctx, cancel
}

// Logger writes JSON lines, or text for people, to w at the given level (debug,
// info, warn, error).
func Logger(w io.Writer, format, level string) (*slog.Logger, error) {
	var lv slog.Level
	if err := lv.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: lv}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	default:
		return nil, fmt.Errorf("--log-format %q: want json or text", format)
	}
}

// Part is something that runs until its context is done.
type Part struct {
	Name string
	Run  func(context.Context) error
}

// Group runs parts in stages: a later stage is started after an earlier one and
// stopped, and waited for, before it. So the query service outlives the collector
// that ships to it, which outlives the autoscaler whose last record it takes.
type Group struct {
	Logger *slog.Logger
	Stages [][]Part
}

type exit struct {
	stage int
	name  string
	err   error
}

// Run returns when ctx is done or the first part ends, after every part has ended.
// A part that ends before it was told to is an error, whatever it returned.
func (g Group) Run(ctx context.Context) error {
	exits := make(chan exit)
	running := make([]int, len(g.Stages))
	cancels := make([]context.CancelFunc, len(g.Stages))
	for i, stage := range g.Stages {
		var stageCtx context.Context
		stageCtx, cancels[i] = context.WithCancel(context.WithoutCancel(ctx))
		for _, p := range stage {
			running[i]++
			go func() { exits <- exit{i, p.Name, p.Run(stageCtx)} }()
		}
	}

	var errs []error
	select {
	case <-ctx.Done():
	case e := <-exits:
		running[e.stage]--
		if e.err == nil {
			e.err = errors.New("ended on its own")
		}
		errs = append(errs, fmt.Errorf("%s: %w", e.name, e.err))
	}
	for i := len(g.Stages) - 1; i >= 0; i-- {
		cancels[i]()
		for running[i] > 0 {
			e := <-exits
			running[e.stage]--
			if e.err != nil && !errors.Is(e.err, context.Canceled) {
				errs = append(errs, fmt.Errorf("%s: %w", e.name, e.err))
			}
			g.Logger.Debug("stopped", "part", e.name)
		}
	}
	return errors.Join(errs...)
}
