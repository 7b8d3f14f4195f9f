package bench

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// seriesQuestions are the fixed queries about metrics. Only a store knows their
// answers, so that targets are compared with the first of them.
func seriesQuestions(w window) []question {
	over := func(name, about, query, label string) question {
		return question{Name: name, About: about, calls: map[api][]call{
			apiPrometheus: {{"/api/v1/query_range", with(w.seconds(), "query", query, "step", "60"), readSamples(label, 1)}},
		}}
	}
	return []question{
		over("rate", "sum of rates of 2,000 counters, in steps of 60 s", `sum(rate(http_requests_total[5m]))`, ""),
		over("rate by pod", "the same by pod", `sum by (pod) (rate(http_requests_total[5m]))`, "pod"),
		over("topk", "topk of CPU usage by pod", `topk(10, sum by (pod) (rate(container_cpu_usage_seconds_total[5m])))`, "pod"),
		over("quantile", "99th percentile of 2,400 buckets by handler", `histogram_quantile(0.99, sum by (le, handler) (rate(http_request_duration_seconds_bucket[5m])))`, "handler"),
	}
}

// seriesChecker counts samples and sums the last of each series, by name.
type seriesChecker struct {
	client *client
	at     endpoint
	truth  *seriesTruth
	window window
}

func (c *seriesChecker) check(ctx context.Context) (Check, error) {
	out := Check{Expected: int64(c.truth.samples)}
	span := strconv.Itoa(int(c.window.end.Sub(c.window.start)/time.Second)+60) + "s"
	ask := func(fn, name string) (float64, error) {
		query := fmt.Sprintf(`sum(%s(%s{job="kubernetes-pods"}[%s]))`, fn, name, span)
		a, _, err := c.client.ask(ctx, c.at, []call{{"/api/v1/query", url.Values{"query": {query}, "time": {c.window.seconds().Get("end")}}, readSamples("", 1)}})
		if err != nil {
			return 0, fmt.Errorf("ask %s: %w", query, err)
		}
		return a.Groups[""], nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.truth.byName)) {
		n, err := ask("count_over_time", name)
		if err != nil {
			return out, err
		}
		last, err := ask("last_over_time", name)
		if err != nil {
			return out, err
		}
		out.Found += int64(n)
		if n != c.truth.byName[name] {
			out.Wrong++
			out.problem("%s has %.0f samples, want %.0f", name, n, c.truth.byName[name])
		}
		if d := (answer{Groups: map[string]float64{"sum": last}}).differs(answer{Groups: map[string]float64{"sum": c.truth.last[name]}}); d != "" {
			out.Wrong++
			out.problem("last values of %s: %s", name, d)
		}
	}
	out.Complete = out.Wrong == 0
	return out, nil
}
