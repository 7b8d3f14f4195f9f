package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// checkedTraces is how many traces are read back, evenly spread over all of them,
// unless all are.
const checkedTraces = 1000

// traceChecker reads traces back by their ids and compares their spans with those
// that were sent: no API counts spans.
type traceChecker struct {
	client *client
	at     endpoint
	data   *spanData
	whole  bool
}

func (c *traceChecker) check(ctx context.Context) (Check, error) {
	var out Check
	read := readJaegerTrace
	if c.at.api == apiTempo {
		read = readTempoTrace
	}
	chosen, total := c.choose()
	if len(chosen) < total {
		out.Sampled = fmt.Sprintf("%d of %d traces were read back", len(chosen), total)
	}
	for _, t := range chosen {
		out.Expected += int64(len(t.spans))
		body, _, err := c.client.get(ctx, c.at.url+"/api/traces/"+t.id.String(), nil)
		var refused *refusal
		if errors.As(err, &refused) && refused.status == http.StatusNotFound {
			out.Wrong += len(t.spans)
			out.problem("trace %s is missing, %d spans", t.id, len(t.spans))
			continue
		}
		var got []string
		if err == nil {
			got, err = read(body)
		}
		if err != nil {
			return out, fmt.Errorf("read trace %s: %w", t.id, err)
		}
		out.Found += int64(len(got))
		for _, problem := range compareIDs(t.spans, got) {
			out.Wrong++
			out.problem("trace %s: span %s", t.id, problem)
		}
	}
	out.Complete = out.Wrong == 0 && out.Found == out.Expected
	return out, nil
}

type sentTrace struct {
	id    traceID
	spans []string
}

// choose returns the traces to read back, and of how many.
func (c *traceChecker) choose() (chosen []sentTrace, total int) {
	members := map[traceID][]int{}
	var order []traceID
	for i := range c.data.spans {
		id := c.data.spans[i].trace
		if members[id] == nil {
			order = append(order, id)
		}
		members[id] = append(members[id], i)
	}
	total = len(order) * c.data.copies
	step := 1
	if !c.whole {
		step = (total + checkedTraces - 1) / checkedTraces
	}
	for n := 0; n < total; n += step {
		k := n % c.data.copies
		var t sentTrace
		for _, i := range members[order[n/c.data.copies]] {
			s := c.data.at(k, i)
			t.id = s.trace
			t.spans = append(t.spans, s.id.String())
		}
		chosen = append(chosen, t)
	}
	return chosen, total
}

// compareIDs says which ids were found less or more often than once.
func compareIDs(want, got []string) []string {
	found := map[string]int{}
	for _, id := range got {
		found[id]++
	}
	var problems []string
	for _, id := range want {
		switch n := found[id]; {
		case n == 0:
			problems = append(problems, id+" is missing")
		case n > 1:
			problems = append(problems, fmt.Sprintf("%s is there %d times", id, n))
		}
		delete(found, id)
	}
	var foreign []string
	for id := range found {
		foreign = append(foreign, id+" was never sent")
	}
	slices.Sort(foreign)
	return append(problems, foreign...)
}
