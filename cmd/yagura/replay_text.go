package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

func (r *replayReport) writeText(out io.Writer) error {
	w := bufio.NewWriter(out)
	view, summary := r.views[0], r.engines[0].Summary()
	fmt.Fprintf(w, "Policy %s, model %s\n", r.run.name(), r.run.models[0])
	fmt.Fprintf(w, "%d samples from %s to %s UTC", view.Samples, day(view.First), day(view.Last))
	if r.run.warmup > 0 {
		fmt.Fprintf(w, ", the first %s of each container left out of the summary", strings.TrimSuffix(strings.TrimSuffix(r.run.warmup.String(), "0s"), "0m"))
	}
	if r.skipped > 0 {
		fmt.Fprintf(w, "; %d more of containers and resources that the policy does not size", r.skipped)
	}
	fmt.Fprint(w, "\n\n")
	r.writeSummary(w, summary)
	r.writeTraces(w)
	for i := range r.views {
		r.writeKills(w, i)
	}
	r.writeChanges(w)
	return w.Flush()
}

// row is one line of the summary.
type row struct {
	name string
	of   func(t *replay.Totals) string
}

func rows(resource vertical.Resource) []row {
	hours := "core-hours"
	if resource == vertical.Memory {
		hours = "GiB-hours"
	}
	list := []row{
		{"slack", func(t *replay.Totals) string { return share(t.Slack) }},
		{"over request", func(t *replay.Totals) string { return share(t.OverRequest) }},
	}
	if resource == vertical.Memory {
		list = append(list,
			row{"OOMs", func(t *replay.Totals) string { return strconv.Itoa(t.OOMs) }},
			row{"OOMs per container-day", func(t *replay.Totals) string { return perDay(t.OOMs, t) }})
	}
	return append(list,
		row{"changes", func(t *replay.Totals) string { return strconv.Itoa(t.Changes) }},
		row{"changes per container-day", func(t *replay.Totals) string { return perDay(t.Changes, t) }},
		row{hours + " requested", func(t *replay.Totals) string { return short(t.Requested) }},
		row{hours + " used", func(t *replay.Totals) string { return short(t.Used) }},
		row{"cost", func(t *replay.Totals) string { return short(t.Cost) }},
		row{"samples", func(t *replay.Totals) string { return strconv.Itoa(t.Samples) }},
		row{"containers", func(t *replay.Totals) string { return strconv.Itoa(t.Containers) }})
}

func (r *replayReport) writeSummary(w io.Writer, summary replay.Summary) {
	all := make([]replay.Summary, len(r.engines))
	for i, e := range r.engines {
		all[i] = e.Summary()
	}
	line := func(name string, of func(i int) string) {
		fmt.Fprintf(w, "%-32s", name)
		for i := range all {
			fmt.Fprintf(w, " %12s", of(i))
		}
		fmt.Fprintln(w)
	}
	line("", func(i int) string { return string(r.run.models[i]) })
	for _, resource := range []vertical.Resource{vertical.CPU, vertical.Memory} {
		if _, ok := summary[resource]; !ok {
			continue
		}
		fmt.Fprintln(w, resource)
		for _, of := range rows(resource) {
			line("  "+of.name, func(i int) string {
				totals := all[i][resource]
				return of.of(&totals)
			})
		}
	}
}

// writeTraces shows the containers that matter most over time.
func (r *replayReport) writeTraces(w io.Writer) {
	all := r.engines[0].Containers()
	slices.SortStableFunc(all, func(a, b replay.ContainerTotals) int {
		return cmp.Or(cmp.Compare(b.OOMs, a.OOMs), cmp.Compare(b.OverRequest, a.OverRequest), cmp.Compare(b.Cost, a.Cost))
	})
	shown := min(r.shown, len(all))
	if shown == 0 {
		return
	}
	fmt.Fprintf(w, "\nRequests over time")
	if shown < len(all) {
		fmt.Fprintf(w, " (%d of %d: most kills, most time over the request, highest cost first)", shown, len(all))
	}
	fmt.Fprintln(w)
	for _, c := range all[:shown] {
		trace := r.views[0].Trace(c.Container, c.Resource)
		if trace == nil {
			continue
		}
		fmt.Fprintf(w, "\n%s %s, %s to %s\n", c.Container, c.Resource, day(trace.First), day(trace.Last))
		lines := [][]float64{pick(trace, func(p replay.Point) float64 { return p.Usage })}
		names := []string{"usage"}
		for i, v := range r.views {
			lines = append(lines, pick(v.Trace(c.Container, c.Resource), func(p replay.Point) float64 { return p.Request }))
			names = append(names, string(r.run.models[i]))
		}
		_, most := span(lines...)
		for i, line := range lines {
			low, high := span(line)
			fmt.Fprintf(w, "  %-10s %s  %s to %s\n", names[i], sparkline(line, most), replay.Quantity(c.Resource, low), replay.Quantity(c.Resource, high))
		}
	}
}

func (r *replayReport) writeKills(w io.Writer, i int) {
	kills := r.engines[i].Summary()[vertical.Memory].OOMs
	if kills == 0 {
		return
	}
	fmt.Fprintf(w, "\nKills for memory, %s", r.run.models[i])
	if view := r.views[i]; len(view.OOMs) < kills {
		fmt.Fprintf(w, " (%d of %d)", len(view.OOMs), kills)
	}
	fmt.Fprintln(w)
	for _, s := range r.views[i].OOMs {
		fmt.Fprintf(w, "  %s  %s  %s -> %s  %s\n", day(s.Time), s.Container, amountOf(s.Resource, s.Request), amountOf(s.Resource, s.Next), s.Reason)
	}
}

func (r *replayReport) writeChanges(w io.Writer) {
	changes, n := r.views[0].Changes(), 0
	for _, totals := range r.engines[0].Summary() {
		n += totals.Changes
	}
	if n == 0 {
		return
	}
	fmt.Fprint(w, "\nChanges")
	if len(changes) < n {
		fmt.Fprintf(w, " (the largest %d of %d)", len(changes), n)
	}
	fmt.Fprintln(w)
	for _, s := range changes {
		fmt.Fprintf(w, "  %s  %s %s  %s -> %s  %s\n", day(s.Time), s.Container, s.Resource, amountOf(s.Resource, s.Request), amountOf(s.Resource, s.Next), s.Reason)
	}
}

func amountOf(resource vertical.Resource, v *float64) string {
	if v == nil {
		return "none"
	}
	return replay.Quantity(resource, *v)
}

func share(v float64) string { return strconv.FormatFloat(v*100, 'f', 2, 64) + "%" }

func short(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

func perDay(n int, t *replay.Totals) string {
	if t.ContainerHours == 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(n)/(t.ContainerHours/24), 'f', 3, 64)
}

func pick(t *replay.Trace, of func(replay.Point) float64) []float64 {
	points := t.Points()
	line := make([]float64, len(points))
	for i, p := range points {
		line[i] = of(p)
	}
	return line
}

// span returns the lowest and the highest value that there is, 0 and 0 when there is none.
func span(lines ...[]float64) (least, most float64) {
	least, most = math.Inf(1), math.Inf(-1)
	for _, line := range lines {
		for _, v := range line {
			if !math.IsNaN(v) {
				least, most = min(least, v), max(most, v)
			}
		}
	}
	if least > most {
		return 0, 0
	}
	return least, most
}

// sparkline draws values from 0 to the most. What is missing is blank.
func sparkline(line []float64, most float64) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, v := range line {
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case most <= 0:
			b.WriteRune(bars[0])
		default:
			b.WriteRune(bars[min(len(bars)-1, int(v/most*float64(len(bars))))])
		}
	}
	return b.String()
}
