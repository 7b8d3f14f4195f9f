package traces

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// searchParams reads the parameters of Jaeger's search. now is what times default
// to.
func searchParams(form url.Values, cfg Config, now time.Time) (Search, error) {
	s := Search{Service: form.Get("service"), Operation: form.Get("operation"), Limit: cfg.DefaultTraces}
	if s.Service == "" {
		return s, badRequest{errors.New("parameter 'service' is required")}
	}
	var err error
	if s.Start, s.End, err = searchBounds(form, cfg, now); err != nil {
		return s, err
	}
	if v := form.Get("limit"); v != "" {
		if s.Limit, err = strconv.Atoi(v); err != nil {
			return s, badParam("limit", err)
		}
		if s.Limit <= 0 {
			return s, badParam("limit", errors.New("it must be positive"))
		}
	}
	if s.MinDuration, err = durationParam(form, "minDuration"); err != nil {
		return s, err
	}
	if s.MaxDuration, err = durationParam(form, "maxDuration"); err != nil {
		return s, err
	}
	if s.MaxDuration > 0 && s.MaxDuration < s.MinDuration {
		return s, badParam("maxDuration", errors.New("'maxDuration' should be greater than 'minDuration'"))
	}
	s.Tags, err = tagsParams(form)
	return s, err
}

// searchBounds is start and end, or the lookback before the end when there is no
// start. The UI sends "custom" for lookback when it sends both.
func searchBounds(form url.Values, cfg Config, now time.Time) (start, end time.Time, err error) {
	if end, err = microsParam(form, "end", now); err != nil {
		return start, end, err
	}
	lookback := time.Duration(cfg.Lookback)
	if v := form.Get("lookback"); v != "" && form.Get("start") == "" {
		if lookback, err = parseLookback(v); err != nil {
			return start, end, badParam("lookback", err)
		}
	}
	if start, err = microsParam(form, "start", end.Add(-lookback)); err != nil {
		return start, end, err
	}
	if end.Before(start) {
		return start, end, badParam("end", errors.New("it is before 'start'"))
	}
	return start, end, nil
}

// parseLookback reads a Go duration, and days as the UI writes them.
func parseLookback(v string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(v, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, err
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(v)
	if err == nil && d <= 0 {
		err = errors.New("it must be positive")
	}
	return d, err
}

// microsParam reads Unix microseconds.
func microsParam(form url.Values, name string, def time.Time) (time.Time, error) {
	v := form.Get(name)
	if v == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return def, badParam(name, err)
	}
	t := time.UnixMicro(n)
	if t.Before(minTime) || t.After(maxTime) {
		return def, badParam(name, fmt.Errorf("%s is outside of the years that can be stored", v))
	}
	return t, nil
}

func durationParam(form url.Values, name string) (time.Duration, error) {
	v := form.Get(name)
	if v == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return 0, badParam(name, err)
	}
	if d < 0 {
		return 0, badParam(name, errors.New("it must not be negative"))
	}
	return d, nil
}

// tagsParams reads tag=key:value, any number of times, and tags, a JSON object.
func tagsParams(form url.Values) (map[string]string, error) {
	tags := map[string]string{}
	for _, v := range form["tag"] {
		key, value, ok := strings.Cut(v, ":")
		if !ok || key == "" {
			return nil, badRequest{fmt.Errorf("malformed 'tag' parameter, expecting key:value, received: %s", v)}
		}
		tags[key] = value
	}
	for _, v := range form["tags"] {
		if err := parseTags(v, tags); err != nil {
			return nil, badRequest{fmt.Errorf("malformed 'tags' parameter, cannot unmarshal JSON: %w", err)}
		}
	}
	return tags, nil
}

// parseTags takes numbers and booleans too, as they are written: values compare
// as text.
func parseTags(text string, into map[string]string) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return err
	}
	for key, v := range raw {
		if key == "" {
			return errors.New("a tag has no name")
		}
		switch c := v[0]; {
		case c == '"':
			var s string
			if err := json.Unmarshal(v, &s); err != nil {
				return err
			}
			into[key] = s
		case c == '{', c == '[', c == 'n':
			return fmt.Errorf("the value of %q is neither a string, a number nor a boolean", key)
		default:
			into[key] = string(v)
		}
	}
	return nil
}

// traceIDParam reads 1 to 32 hexadecimal digits; leading zeros may be missing.
func traceIDParam(name, v string) (TraceID, error) {
	var id TraceID
	if v == "" || len(v) > 32 {
		return id, badParam(name, fmt.Errorf("%q is no trace id of 1 to 32 hexadecimal digits", v))
	}
	if err := decodeHex(id[:], strings.Repeat("0", 32-len(v))+v); err != nil {
		return id, badParam(name, fmt.Errorf("%q is no trace id of 1 to 32 hexadecimal digits", v))
	}
	if id.IsZero() {
		return id, badParam(name, errors.New("a trace id cannot be all zeros"))
	}
	return id, nil
}
