package signal

import (
	"context"
	"fmt"
	"math"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

const (
	// deepHorizon is how far back a lost signal is searched, so that a reason can say how old it is.
	deepHorizon = time.Hour
	// deepEvery is how often that is done while it stays lost.
	deepEvery = 15 * time.Second
)

// sighting is the newest sample or line of a lost signal, as far as the last deep search found one.
type sighting struct {
	searched time.Time
	found    bool
	newest   time.Time
}

// PromQL reads a query that gives one number. After is the age beyond which a sample is stale.
func (t *Tick) PromQL(ctx context.Context, query string, after time.Duration) Reading {
	parsed := t.parseProm(query)
	switch {
	case parsed.err != nil:
		return invalid("the query is not PromQL: %v", parsed.err)
	case len(parsed.selectors) == 0:
		return invalid("the query reads no series, so nothing can be said about its age")
	}
	var value answer
	var fresh freshness
	var group errgroup.Group
	group.Go(func() (err error) { value, err = t.askPrometheus(ctx, query); return err })
	group.Go(func() (err error) { fresh, err = t.promFreshness(ctx, parsed.selectors); return err })
	if err := group.Wait(); err != nil {
		return unanswered(err)
	}
	reading := fresh.judge(after)
	if reading.State != decision.Fresh {
		return reading
	}
	return oneNumber(reading, value)
}

func (t *Tick) parseProm(query string) parsedQuery {
	key := "promql\x00" + query
	parsed, ok := t.client.parsed.get(key, t.now)
	if !ok {
		parsed.selectors, parsed.err = promSelectors(t.client.parser, query)
		t.client.parsed.put(key, parsed, t.now)
	}
	return parsed
}

// oneNumber takes the number out of an answer, or says why there is none.
func oneNumber(reading Reading, value answer) Reading {
	reason := ""
	switch {
	case value.kind != "vector" && value.kind != "scalar":
		reason = fmt.Sprintf("the query gives a %s, not a number", value.kind)
	case len(value.points) == 0:
		reading.State, reading.Reason = decision.Missing, "the query returned no series"
		return reading
	case len(value.points) > 1:
		reason = fmt.Sprintf("the query returned %d series; aggregate them to one", len(value.points))
	case value.points[0].histogram:
		reason = "the query returned a histogram; take a quantile, a sum or a count of it"
	case math.IsNaN(value.points[0].value):
		reason = "the query returned NaN"
	case math.IsInf(value.points[0].value, 0):
		reason = "the query returned infinity"
	default:
		reading.Value = value.points[0].value
		return reading
	}
	reading.State, reading.Reason = decision.Invalid, reason
	return reading
}

// promFreshness finds the newest sample under each selector.
func (t *Tick) promFreshness(ctx context.Context, selectors []string) (freshness, error) {
	found := make([]freshness, len(selectors))
	var group errgroup.Group
	for i, selector := range selectors {
		group.Go(func() (err error) { found[i], err = t.promAge(ctx, selector); return err })
	}
	if err := group.Wait(); err != nil {
		return freshness{}, err
	}
	return worst(found), nil
}

// worst returns the freshness of the selector that has the oldest newest sample or line, or none.
func worst(found []freshness) freshness {
	result := found[0]
	for _, f := range found[1:] {
		if result.absent == "" && (f.absent != "" || f.age > result.age) {
			result = f
		}
	}
	return result
}

// promAge asks for the age of the newest sample under a selector, by the clock of the query service. An instant query sees samples within
// the service's lookback only, five minutes by default, and none after a series was marked as ended; what lies further back
// takes a subquery, which is far dearer and so is not repeated every second.
func (t *Tick) promAge(ctx context.Context, selector string) (freshness, error) {
	f := freshness{oldest: selector, unit: "sample", horizon: deepHorizon}
	a, err := t.askPrometheus(ctx, fmt.Sprintf("time() - max(timestamp(%s))", selector))
	if err != nil {
		return freshness{}, err
	}
	key := "promql\x00" + selector
	if len(a.points) == 1 {
		t.client.sightings.drop(key)
		f.age = seconds(a.points[0].value)
		return f, nil
	}
	seen, known := t.client.sightings.get(key, t.now)
	if !known || t.now.Sub(seen.searched) >= deepEvery {
		a, err := t.askPrometheus(ctx, fmt.Sprintf("time() - max(max_over_time(timestamp(%s)[%s:30s]))", selector, short(deepHorizon)))
		if err != nil {
			return freshness{}, err
		}
		seen = sighting{searched: t.now}
		if len(a.points) == 1 {
			seen.found, seen.newest = true, t.now.Add(-seconds(a.points[0].value))
		}
		t.client.sightings.put(key, seen, t.now)
	}
	if !seen.found {
		f.absent = selector
		return f, nil
	}
	f.age = t.now.Sub(seen.newest)
	return f, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
