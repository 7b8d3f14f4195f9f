package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

const (
	// maxRecords bounds --limit.
	maxRecords = 1000
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 64 << 20
	// askTimeout is how long the query service may take.
	askTimeout = 30 * time.Second
	// maxProblem bounds what is shown of an answer that is none.
	maxProblem = 512
)

// records asks a query service for what the autoscaler recorded.
type records struct {
	url   string
	since time.Duration
	limit int
}

// fetch returns the newest records of a policy that changed something or say why nothing changes, oldest first.
func (r records) fetch(ctx context.Context, namespace, name string, now time.Time) ([]decision.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	// The labels of the entry say where the autoscaler is; the names in it are given others, so that they are not taken for those.
	query := fmt.Sprintf(`{service_name="yagura-autoscaler"} | json target_namespace="namespace", autoscaler="name", outcome="outcome" | target_namespace=%s | autoscaler=%s | outcome!="Unchanged"`,
		strconv.Quote(namespace), strconv.Quote(name))
	form := url.Values{
		"query": {query}, "limit": {strconv.Itoa(r.limit)}, "direction": {"backward"},
		"start": {strconv.FormatInt(now.Add(-r.since).UnixNano(), 10)}, "end": {strconv.FormatInt(now.UnixNano(), 10)},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(r.url, "/")+"/loki/api/v1/query_range", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("--query-url %s: %w", r.url, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the query service (is it running? --query-url says where): %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer is larger than %d MiB: ask for less", maxAnswer>>20)
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the query service answers %s: %s", res.Status, strings.TrimSpace(string(body[:min(len(body), maxProblem)])))
	}
	return parseRecords(body)
}

// parseRecords reads Loki's answer, each line of which is a record.
func parseRecords(body []byte) ([]decision.Record, error) {
	var answer struct {
		Data struct {
			ResultType string `json:"resultType"`
			Result     []struct {
				Values [][]json.RawMessage `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if answer.Data.ResultType != "streams" {
		return nil, fmt.Errorf("read the answer: want log lines, not %q", answer.Data.ResultType)
	}
	var all []decision.Record
	for _, stream := range answer.Data.Result {
		for _, value := range stream.Values {
			if len(value) < 2 {
				return nil, fmt.Errorf("read the answer: a line has %d parts", len(value))
			}
			var line string
			if err := json.Unmarshal(value[1], &line); err != nil {
				return nil, fmt.Errorf("read the answer: %w", err)
			}
			var record decision.Record
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				return nil, fmt.Errorf("read a record: %w", err)
			}
			all = append(all, record)
		}
	}
	slices.SortStableFunc(all, func(a, b decision.Record) int { return a.Time.Compare(b.Time) })
	return all, nil
}

// history tells records in the order of time. One that repeats the reason before it is left out.
func history(all []decision.Record, since model.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Decisions of the last %s:\n", since)
	last := map[decision.Direction]string{}
	told := 0
	for i := range all {
		r := &all[i]
		if last[r.Direction] == r.Reason {
			continue
		}
		last[r.Direction] = r.Reason
		told++
		fmt.Fprintf(&b, "  %s %s\n", r.Time.UTC().Format(time.RFC3339), sentence(r.Reason, string(r.Outcome)))
		for _, p := range r.Pods {
			fmt.Fprintf(&b, "    %s: %s %s%s\n", p.Pod, p.Method, strings.ToLower(string(p.Result)), because(p.Reason))
		}
	}
	if told == 0 {
		b.WriteString("  none that changed anything.\n")
	}
	return b.String()
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ", " + reason
}
