package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Formats are the ways in which Write writes a report.
var Formats = []string{"text", "markdown", "json"}

// Write writes the report as one of Formats.
func (r *Report) Write(out io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "markdown":
		return r.write(out, writeMarkdown, "## ", "- ")
	case "text":
		return r.write(out, writeText, "", "")
	default:
		return fmt.Errorf("unknown format %q: want one of %s", format, strings.Join(Formats, ", "))
	}
}

// Err says what was not well: targets that failed, data that did not arrive, answers
// that were wrong. It is nil if all was well.
func (r *Report) Err() error {
	var problems []string
	for _, result := range r.Results {
		for _, t := range result.Targets {
			if t.Error != "" {
				problems = append(problems, t.Error)
			}
			if t.Check != nil && !t.Check.Complete {
				problems = append(problems, fmt.Sprintf("target %s: check: %d of %d %s arrived: %s",
					t.Name, t.Check.Found, t.Check.Expected, result.Data.Unit, strings.Join(t.Check.Problems, "; ")))
			}
			for _, q := range t.Queries {
				if q.Error != "" {
					problems = append(problems, fmt.Sprintf("target %s: query %q: %s", t.Name, q.Name, q.Error))
				} else if q.Wrong != "" {
					problems = append(problems, fmt.Sprintf("target %s: query %q: %s", t.Name, q.Name, q.Wrong))
				}
			}
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%d problems:\n  %s", len(problems), strings.Join(problems, "\n  "))
}

// table is rows of cells, the first of them the head.
type table struct {
	title string
	rows  [][]string
}

func (r *Report) write(out io.Writer, writeTable func(io.Writer, table) error, heading, item string) error {
	for _, result := range r.Results {
		d := result.Data
		if _, err := fmt.Fprintf(out, "%s%s: %d %s, %.1f MB (%.1f MB sent), %d streams, until %s\n\n", heading, result.Signal,
			d.Items, d.Unit, float64(d.Bytes)/1e6, float64(d.Sent)/1e6, d.Streams, d.End.UTC().Format("2006-01-02T15:04:05Z")); err != nil {
			return err
		}
		for _, t := range r.tables(result) {
			if err := writeTable(out, t); err != nil {
				return err
			}
		}
	}
	if err := r.Err(); err != nil {
		if _, err := fmt.Fprintf(out, "%s%s\n\n", item, strings.ReplaceAll(err.Error(), "\n  ", "\n"+item)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%sMachine: %s, %d CPUs, load average %.2f at the beginning. Ratios are against %s.\n", item, r.Machine.OS, r.Machine.CPUs, r.Machine.Load, r.Baseline)
	return err
}

func (r *Report) tables(result Result) []table {
	columns := columnsOf(result.Targets)
	base := 0
	for i, c := range columns {
		if c.target.Name == r.Baseline {
			base = i
			break
		}
	}
	tables := []table{ingestTable(result, r.Baseline)}
	for _, t := range []struct {
		title string
		of    func(QueryResult) float64
	}{
		{"Queries, CPU ms of the server, hot", func(q QueryResult) float64 { return q.CPUMS }},
		{"Queries, ms, hot (median)", func(q QueryResult) float64 { return q.HotMS }},
		{"Queries, ms, cold", func(q QueryResult) float64 { return q.ColdMS }},
	} {
		if built := queryTable(t.title, columns, base, t.of); len(built.rows) > 1 {
			tables = append(tables, built)
		}
	}
	return tables
}

// column is a target by one of the ways to ask it.
type column struct {
	name    string
	target  TargetResult
	queries map[string]QueryResult
	order   []string
}

func columnsOf(targets []TargetResult) []column {
	var columns []column
	for _, t := range targets {
		first := len(columns)
		for _, q := range t.Queries {
			i := first
			for i < len(columns) && columns[i].name != q.API {
				i++
			}
			if i == len(columns) {
				columns = append(columns, column{name: q.API, target: t, queries: map[string]QueryResult{}})
			}
			columns[i].queries[q.Name] = q
			columns[i].order = append(columns[i].order, q.Name)
		}
		if len(columns) == first {
			columns = append(columns, column{target: t})
		}
		several := len(columns)-first > 1
		for i := first; i < len(columns); i++ {
			if several {
				columns[i].name = t.Name + " (" + columns[i].name + ")"
			} else {
				columns[i].name = t.Name
			}
		}
	}
	return columns
}

func queryTable(title string, columns []column, base int, of func(QueryResult) float64) table {
	t := table{title: title}
	head := []string{"query"}
	var names []string
	seen := map[string]bool{}
	for _, c := range columns {
		head = append(head, c.name)
		for _, name := range c.order {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	t.rows = append(t.rows, head)
	for _, name := range names {
		row := []string{""}
		any := false
		for i, c := range columns {
			q, ok := c.queries[name]
			if ok {
				row[0] = q.About
			}
			switch {
			case !ok:
				row = append(row, "")
			case q.Error != "":
				row = append(row, "failed")
			default:
				any = any || of(q) > 0
				cell := number(of(q))
				if i != base {
					cell += ratio(of(q), of(columns[base].queries[name]))
				}
				if q.Wrong != "" {
					cell += " (wrong answer)"
				}
				row = append(row, cell)
			}
		}
		if any {
			t.rows = append(t.rows, row)
		}
	}
	return t
}

func ingestTable(result Result, baseline string) table {
	d := result.Data
	t := table{title: "Ingest", rows: [][]string{{""}}}
	var base *TargetResult
	for i := range result.Targets {
		t.rows[0] = append(t.rows[0], result.Targets[i].Name)
		if result.Targets[i].Name == baseline {
			base = &result.Targets[i]
		}
	}
	gigabytes := float64(d.Bytes) / 1e9
	per := func(f func(*Ingest) float64) func(*TargetResult) float64 {
		return func(t *TargetResult) float64 {
			if t.Ingest == nil {
				return 0
			}
			return f(t.Ingest)
		}
	}
	for _, row := range []struct {
		name string
		of   func(*TargetResult) float64
	}{
		{"MB/s", per(func(i *Ingest) float64 { return float64(d.Bytes) / 1e6 / i.PushSeconds })},
		{d.Unit + "/s", per(func(i *Ingest) float64 { return float64(d.Items) / i.PushSeconds })},
		{"CPU s while pushing", per(func(i *Ingest) float64 { return i.PushCPU })},
		{"CPU s, flush and merge included", per(func(i *Ingest) float64 { return i.SettledCPU })},
		{"CPU s per GB, flush and merge included", per(func(i *Ingest) float64 { return i.SettledCPU / gigabytes })},
		{d.Unit + " per CPU s", per(func(i *Ingest) float64 { return perSecond(float64(d.Items), i.SettledCPU) })},
		{"peak memory at ingest, MiB", per(func(i *Ingest) float64 { return float64(i.PeakBytes) / (1 << 20) })},
		{"peak memory, queries included, MiB", func(t *TargetResult) float64 { return float64(t.PeakBytes) / (1 << 20) }},
		{"MB on disk", per(func(i *Ingest) float64 { return float64(i.DiskBytes) / 1e6 })},
		{"MB on disk at the end", func(t *TargetResult) float64 { return float64(t.DiskBytes) / 1e6 }},
		{"bytes on disk per " + strings.TrimSuffix(d.Unit, "s"), per(func(i *Ingest) float64 { return float64(i.DiskBytes) / float64(d.Items) })},
		{"request, ms, median", per(func(i *Ingest) float64 { return i.MedianMS })},
		{"request, ms, 99%", per(func(i *Ingest) float64 { return i.P99MS })},
		{"ready after a start, ms", func(t *TargetResult) float64 { return t.ReadyMS }},
	} {
		cells := []string{row.name}
		any := false
		for i := range result.Targets {
			v := row.of(&result.Targets[i])
			any = any || v > 0
			cell := number(v)
			if base != nil && base != &result.Targets[i] {
				cell += ratio(v, row.of(base))
			}
			cells = append(cells, cell)
		}
		if any {
			t.rows = append(t.rows, cells)
		}
	}
	checks := []string{"all of it arrived"}
	for _, target := range result.Targets {
		checks = append(checks, target.checked())
	}
	t.rows = append(t.rows, checks)
	return t
}

func (t TargetResult) checked() string {
	switch {
	case t.Check == nil:
		return "unknown"
	case t.Check.Complete && t.Check.Sampled != "":
		return "yes (" + t.Check.Sampled + ")"
	case t.Check.Complete:
		return "yes"
	default:
		return fmt.Sprintf("NO: %d of %d", t.Check.Found, t.Check.Expected)
	}
}

func perSecond(n, seconds float64) float64 {
	if seconds == 0 {
		return 0
	}
	return n / seconds
}

// number has three digits that matter, or is empty where there is nothing to tell.
func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

func ratio(v, base float64) string {
	if v == 0 || base == 0 {
		return ""
	}
	return " (x" + number(v/base) + ")"
}

func writeText(out io.Writer, t table) error {
	if _, err := fmt.Fprintln(out, t.title); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.TabIndent)
	// Only the first column reads better from its left.
	widest := 0
	for _, row := range t.rows {
		widest = max(widest, len(row[0]))
	}
	for _, row := range t.rows {
		fmt.Fprintf(w, "  %-*s\t%s\t\n", widest, row[0], strings.Join(row[1:], "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}

func writeMarkdown(out io.Writer, t table) error {
	var b strings.Builder
	head := t.rows[0]
	if head[0] == "" || head[0] == "query" {
		head = append([]string{t.title}, head[1:]...)
	}
	b.WriteString("| " + strings.Join(head, " | ") + " |\n|---|" + strings.Repeat("---:|", len(head)-1) + "\n")
	for _, row := range t.rows[1:] {
		b.WriteString("| " + strings.ReplaceAll(strings.Join(row, "\x00"), "|", `\|`) + " |\n")
	}
	_, err := io.WriteString(out, strings.ReplaceAll(b.String(), "\x00", " | ")+"\n")
	return err
}
