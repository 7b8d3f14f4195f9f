package signal

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// LogQL reads a metric query on logs that gives one number. An empty answer is 0 while the log source is known to be alive, by a
// recent line or by the heartbeat of the collector that reads it; else nobody can tell silence from an outage, and the
// signal is missing.
func (t *Tick) LogQL(ctx context.Context, query string, after time.Duration) Reading {
	parsed := t.parseLog(query)
	switch {
	case parsed.err != nil:
		return invalid("the query is not LogQL: %v", parsed.err)
	case len(parsed.logSelectors) == 0:
		return invalid("the query selects no streams, so nothing can be said about its age")
	}
	var value answer
	found := make([]freshness, len(parsed.logSelectors))
	var group errgroup.Group
	group.Go(func() (err error) { value, err = t.askLoki(ctx, "query", url.Values{"query": {query}}); return err })
	for i, selector := range parsed.logSelectors {
		group.Go(func() (err error) { found[i], err = t.logAge(ctx, selector, after); return err })
	}
	if err := group.Wait(); err != nil {
		return unanswered(err)
	}
	if value.kind == "streams" {
		return invalid("the query gives lines, not a number; use a metric query such as rate or count_over_time")
	}
	reading := worst(found).judge(after)
	if reading.State != decision.Fresh {
		return reading
	}
	if value.kind == "vector" && len(value.points) == 0 {
		return reading // silence, and the source is alive: 0
	}
	return oneNumber(reading, value)
}

func (t *Tick) parseLog(query string) parsedQuery {
	key := "logql\x00" + query
	parsed, ok := t.client.parsed.get(key, t.now)
	if !ok {
		parsed.logSelectors, parsed.err = logSelectors(t.client.parser, query)
		t.client.parsed.put(key, parsed, t.now)
	}
	return parsed
}

// logAge finds the newest sign of life of the sources under a stream selector: a line, or a heartbeat.
func (t *Tick) logAge(ctx context.Context, selector logSelector, after time.Duration) (freshness, error) {
	f := freshness{oldest: selector.text, unit: "line", horizon: deepHorizon}
	var line, beat time.Duration
	var hasLine, hasBeat bool
	var group errgroup.Group
	group.Go(func() (err error) { line, hasLine, err = t.newestLine(ctx, selector.text, after); return err })
	if heartbeat := selector.heartbeat(); heartbeat != "" {
		group.Go(func() (err error) { beat, hasBeat, err = t.newestBeat(ctx, heartbeat); return err })
	}
	if err := group.Wait(); err != nil {
		return freshness{}, err
	}
	switch {
	case hasLine && hasBeat:
		f.age = min(line, beat)
	case hasLine:
		f.age = line
	case hasBeat:
		f.age = beat
	default:
		f.absent = selector.text
	}
	return f, nil
}

// newestLine finds the age of the newest line of the selected streams, by this machine's clock. A search within the age that counts as
// fresh is cheap; further back is searched only now and then.
func (t *Tick) newestLine(ctx context.Context, selector string, after time.Duration) (age time.Duration, found bool, err error) {
	newest, err := t.lineSince(ctx, selector, after+time.Minute)
	if err != nil {
		return 0, false, err
	}
	key := "logql\x00" + selector
	if !newest.IsZero() {
		t.client.sightings.drop(key)
		return t.now.Sub(newest), true, nil
	}
	seen, known := t.client.sightings.get(key, t.now)
	if !known || t.now.Sub(seen.searched) >= deepEvery {
		newest, err := t.lineSince(ctx, selector, deepHorizon)
		if err != nil {
			return 0, false, err
		}
		seen = sighting{searched: t.now, found: !newest.IsZero(), newest: newest}
		t.client.sightings.put(key, seen, t.now)
	}
	return t.now.Sub(seen.newest), seen.found, nil
}

// lineSince returns the time of the newest line within a duration, zero when there is none.
func (t *Tick) lineSince(ctx context.Context, selector string, within time.Duration) (time.Time, error) {
	// Loki excludes the end; a little future also catches lines of machines whose clocks are ahead.
	const ahead = 10 * time.Second
	a, err := t.askLoki(ctx, "query_range", url.Values{
		"query": {selector}, "limit": {"1"}, "direction": {"backward"},
		"start": {strconv.FormatInt(t.now.Add(-within).UnixNano(), 10)}, "end": {strconv.FormatInt(t.now.Add(ahead).UnixNano(), 10)},
	})
	if err != nil {
		return time.Time{}, err
	}
	if a.kind != "streams" {
		return time.Time{}, fmt.Errorf("a stream selector gave a %s", a.kind)
	}
	return a.newest, nil
}

// newestBeat finds the age of the newest heartbeat under a selector.
func (t *Tick) newestBeat(ctx context.Context, selector string) (age time.Duration, found bool, err error) {
	a, err := t.askPrometheus(ctx, fmt.Sprintf("time() - max(%s)", selector))
	if err != nil {
		return 0, false, err
	}
	if len(a.points) != 1 {
		return 0, false, nil
	}
	return seconds(a.points[0].value), true, nil
}
