package logs

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/prometheus/common/model"
)

const (
	defaultSince = time.Hour
	defaultLimit = 100
	// maxSteps bounds the points of one series, as Loki and Prometheus do: a week
	// by the minute, or a year by the hour.
	maxSteps = 11_000
)

// rangeRequest reads the parameters of query_range. now is what times default to.
func rangeRequest(form url.Values, now time.Time) (Request, error) {
	req, err := anyStepRequest(form, now)
	if err == nil && req.End.Sub(req.Start)/req.Step > maxSteps {
		err = badParam("step", "exceeded maximum resolution of %d points per timeseries. Try decreasing the query resolution (?step=XX)", maxSteps)
	}
	return req, err
}

// anyStepRequest is rangeRequest for what widens a step that is too fine.
func anyStepRequest(form url.Values, now time.Time) (Request, error) {
	req := Request{Query: form.Get("query")}
	var err error
	if req.Start, req.End, err = boundsParam(form, now); err != nil {
		return req, err
	}
	if req.Limit, err = limitParam(form); err != nil {
		return req, err
	}
	if req.Direction, err = directionParam(form); err != nil {
		return req, err
	}
	req.Step = time.Duration(max(math.Floor(req.End.Sub(req.Start).Seconds()/250), 1)) * time.Second
	if v := form.Get("step"); v != "" {
		if req.Step, err = durationParam("step", v); err != nil {
			return req, err
		}
	}
	if req.Step <= 0 {
		return req, badParam("step", "zero or negative query resolution step widths are not accepted. Try a positive integer")
	}
	if v := form.Get("interval"); v != "" {
		if req.Interval, err = durationParam("interval", v); err != nil {
			return req, err
		}
		if req.Interval < 0 {
			return req, badParam("interval", "interval must be >= 0")
		}
	}
	return req, nil
}

// instantRequest reads the parameters of query.
func instantRequest(form url.Values, now time.Time) (Request, error) {
	req := Request{Query: form.Get("query")}
	var err error
	if req.Limit, err = limitParam(form); err != nil {
		return req, err
	}
	if req.Direction, err = directionParam(form); err != nil {
		return req, err
	}
	if req.Start, err = timeParam("time", form.Get("time"), now); err != nil {
		return req, err
	}
	req.End = req.Start
	return req, nil
}

// volumeParams reads the parameters of index/volume and, with its step, of
// index/volume_range.
func volumeParams(form url.Values, now time.Time, steps bool) (volumeRequest, error) {
	req := volumeRequest{selector: form.Get("query"), limit: defaultLimit}
	if steps {
		r, err := rangeRequest(withoutLimit(form), now)
		if err != nil {
			return req, err
		}
		req.start, req.end, req.step = r.Start, r.End, r.Step
		if req.step < time.Millisecond {
			return req, badParam("step", "a step of volumes is at least 1ms")
		}
	} else {
		var err error
		if req.start, req.end, err = boundsParam(form, now); err != nil {
			return req, err
		}
	}
	if v := form.Get("limit"); v != "" && v != "0" {
		var err error
		if req.limit, err = limitParam(form); err != nil {
			return req, err
		}
	}
	for _, target := range strings.Split(form.Get("targetLabels"), ",") {
		if target = strings.TrimSpace(target); target != "" {
			req.targets = append(req.targets, target)
		}
	}
	switch v := form.Get("aggregateBy"); v {
	case "", "series":
	case "labels":
		req.byLabel = true
	default:
		return req, badParam("aggregateBy", "invalid aggregation option %q, want series or labels", v)
	}
	return req, nil
}

// maxTailDelay is the longest delay_for, as Loki has it.
const maxTailDelay = 5

// tailParams reads the parameters of tail.
func tailParams(form url.Values, now time.Time) (tailRequest, error) {
	req := tailRequest{query: form.Get("query")}
	var err error
	if req.limit, err = limitParam(form); err != nil {
		return req, err
	}
	// A tail has no end: its start may lie ahead.
	if req.start, err = timeParam("start", form.Get("start"), time.Time{}); err != nil {
		return req, err
	}
	if req.start.IsZero() {
		if req.start, _, err = boundsParam(url.Values{"since": form["since"]}, now); err != nil {
			return req, err
		}
	}
	if v := form.Get("delay_for"); v != "" {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return req, badParam("delay_for", "%w", err)
		}
		if n > maxTailDelay {
			return req, badParam("delay_for", "delay_for can't be greater than %d", maxTailDelay)
		}
		req.delay = time.Duration(n) * time.Second
	}
	return req, nil
}

// withoutLimit is the form for readers to which a limit of zero is a mistake.
func withoutLimit(form url.Values) url.Values {
	out := maps.Clone(form)
	out.Del("limit")
	return out
}

// logSelector parses a query that selects lines. A bare number is one for the
// parser, too, with no matchers at all: it would mean every stream.
func logSelector(query string) (syntax.LogSelectorExpr, error) {
	expr, err := parse(query)
	if err != nil {
		return nil, err
	}
	if sel, ok := expr.(syntax.LogSelectorExpr); ok && len(sel.Matchers()) > 0 {
		return sel, nil
	}
	return nil, badParam("query", "only log queries select lines")
}

const defaultFieldLimit = 1000

// fieldsParams reads the parameters of detected_fields and of a field's values.
func fieldsParams(form url.Values, now time.Time) (fieldsRequest, error) {
	r, err := rangeRequest(withoutLimit(form), now)
	if err != nil {
		return fieldsRequest{}, err
	}
	req := fieldsRequest{query: r.Query, start: r.Start, end: r.End, lines: defaultLimit, limit: defaultFieldLimit}
	for _, p := range []struct {
		name string
		into *int
	}{{"line_limit", &req.lines}, {"field_limit", &req.limit}, {"limit", &req.limit}} {
		if form.Get(p.name) == "" {
			continue
		}
		if *p.into, err = positiveParam(p.name, form.Get(p.name)); err != nil {
			return req, err
		}
	}
	return req, nil
}

func boundsParam(form url.Values, now time.Time) (start, end time.Time, err error) {
	since := defaultSince
	if v := form.Get("since"); v != "" {
		d, err := model.ParseDuration(v)
		if err != nil {
			return start, end, badParam("since", "%w", err)
		}
		since = time.Duration(d)
	}
	if end, err = timeParam("end", form.Get("end"), now); err != nil {
		return start, end, err
	}
	// A start counted back from an end in the future would miss what is there.
	base := end
	if base.After(now) {
		base = now
	}
	if start, err = timeParam("start", form.Get("start"), base.Add(-since)); err != nil {
		return start, end, err
	}
	if end.Before(start) {
		return start, end, badParam("end", "end timestamp must not be before or equal to start time")
	}
	return start, end, nil
}

// The store counts nanoseconds in 64 bits.
var (
	minTime = time.Unix(0, math.MinInt64)
	maxTime = time.Unix(0, math.MaxInt64)
)

// timeParam reads Unix seconds (up to ten digits, or with a point), Unix
// nanoseconds, or RFC 3339.
func timeParam(name, v string, def time.Time) (time.Time, error) {
	if v == "" {
		return def, nil
	}
	t, err := parseTime(v)
	if err != nil {
		return t, badParam(name, "%w", err)
	}
	if t.Before(minTime) || t.After(maxTime) {
		return t, badParam(name, "%q is outside of the years that can be stored", v)
	}
	return t, nil
}

func parseTime(v string) (time.Time, error) {
	if strings.Contains(v, ".") {
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			if math.Abs(f) > math.MaxInt64/1e9 || math.IsNaN(f) {
				return time.Time{}, fmt.Errorf("%q is outside of the years that can be stored", v)
			}
			s, frac := math.Modf(f)
			return time.Unix(int64(s), int64(math.Round(frac*1000)/1000*float64(time.Second))), nil
		}
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		t, rfcErr := time.Parse(time.RFC3339Nano, v)
		if rfcErr != nil {
			return t, fmt.Errorf("%q is neither Unix seconds, Unix nanoseconds nor RFC 3339", v)
		}
		return t, nil
	}
	if len(v) <= 10 {
		return time.Unix(n, 0), nil
	}
	return time.Unix(0, n), nil
}

func durationParam(name, v string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(v, 64); err == nil {
		ns := f * float64(time.Second)
		if ns >= math.MaxInt64 || ns <= math.MinInt64 || math.IsNaN(ns) {
			return 0, badParam(name, "cannot parse %q to a valid duration. It overflows int64", v)
		}
		return time.Duration(ns), nil
	}
	d, err := model.ParseDuration(v)
	if err != nil {
		return 0, badParam(name, "cannot parse %q to a valid duration", v)
	}
	return time.Duration(d), nil
}

func limitParam(form url.Values) (int, error) {
	v := form.Get("limit")
	if v == "" {
		return defaultLimit, nil
	}
	return positiveParam("limit", v)
}

func positiveParam(name, v string) (int, error) {
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		return 0, badParam(name, "%w", err)
	}
	if n <= 0 {
		return 0, badParam(name, "limit must be a positive value")
	}
	return int(n), nil
}

func directionParam(form url.Values) (logproto.Direction, error) {
	v := form.Get("direction")
	if v == "" {
		return logproto.BACKWARD, nil
	}
	d, ok := logproto.Direction_value[strings.ToUpper(v)]
	if !ok {
		return 0, badParam("direction", "invalid direction '%s'", v)
	}
	return logproto.Direction(d), nil
}
