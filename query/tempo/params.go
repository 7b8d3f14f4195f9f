package tempo

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/yagura-dev/yagura/query/traceql"
)

// traceID reads 1 to 32 hexadecimal digits, leading zeros left out or not, and returns
// all 32 as they are stored.
func traceID(text string) (string, error) {
	if text == "" || len(text) > 32 || strings.Trim(text, "0123456789abcdefABCDEF") != "" {
		return "", badParam("trace id", fmt.Errorf("%q is not 1 to 32 hexadecimal digits", text))
	}
	return strings.Repeat("0", 32-len(text)) + strings.ToLower(text), nil
}

// seconds reads Unix seconds. ok is false when the parameter is missing.
func seconds(form url.Values, name string) (t int64, ok bool, err error) {
	text := form.Get(name)
	if text == "" {
		return 0, false, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(time.Second)-1 {
		return 0, false, badParam(name, fmt.Errorf("%q is no time in Unix seconds", text))
	}
	return n, n != 0, nil // Grafana sends 0 for none
}

// window reads start and end in Unix seconds, both inclusive, and fills in what is
// missing from now and the lookback.
func window(form url.Values, now time.Time, lookback time.Duration) (from, to int64, err error) {
	start, hasStart, err := seconds(form, "start")
	if err != nil {
		return 0, 0, err
	}
	end, hasEnd, err := seconds(form, "end")
	if err != nil {
		return 0, 0, err
	}
	// The second of the end belongs to the range; now is in the midst of one.
	to = now.UnixNano() + int64(time.Second)
	if hasEnd {
		to = (end + 1) * int64(time.Second)
	}
	from = subtract(to, int64(lookback))
	if hasStart {
		from = start * int64(time.Second)
	}
	if hasStart && hasEnd && start > end {
		return 0, 0, badParam("start", errors.New("it is after end"))
	}
	return from, to, nil
}

// count reads a number from 0 on; 0 stands for the default.
func count(form url.Values, name string) (int, error) {
	text := form.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, badParam(name, fmt.Errorf("%q is no number from 0 on", text))
	}
	return int(n), nil
}

// searchParams reads the parameters of a search, in TraceQL or as tags.
func (a *API) searchParams(form url.Values) (s Search, err error) {
	if s.From, s.To, err = window(form, a.now(), time.Duration(a.engine.cfg.Lookback)); err != nil {
		return s, err
	}
	if s.Limit, err = count(form, "limit"); err != nil {
		return s, err
	}
	if s.Spans, err = count(form, "spss"); err != nil {
		return s, err
	}
	query := form.Get("q")
	if query == "" {
		if query, err = tagQuery(form); err != nil {
			return s, err
		}
	}
	if s.Query, err = parseQuery(query); err != nil {
		return s, err
	}
	if s.Query.Metrics != nil {
		return s, badParam("q", errors.New("a metrics query cannot be searched with; ask /api/metrics/query_range"))
	}
	return s, nil
}

func parseQuery(query string) (*traceql.Query, error) {
	q, err := traceql.Parse(query)
	if err != nil {
		return nil, badRequest{fmt.Errorf("invalid TraceQL query: %w", err)}
	}
	return q, nil
}

// tagQuery translates a search by tags. Their values are parts of an attribute's
// value, in any case; numbers and booleans must be equal. The durations are the
// trace's.
func tagQuery(form url.Values) (string, error) {
	tags, err := parseLogfmt(form.Get("tags"))
	if err != nil {
		return "", badParam("tags", err)
	}
	var parts []string
	for _, tag := range tags {
		part, err := tagExpression(tag[0], tag[1])
		if err != nil {
			return "", badParam("tags", err)
		}
		parts = append(parts, part)
	}
	for _, d := range [...]struct{ name, op string }{{"minDuration", ">="}, {"maxDuration", "<="}} {
		text := form.Get(d.name)
		if text == "" {
			continue
		}
		v, err := time.ParseDuration(text)
		if err != nil || v < 0 {
			return "", badParam(d.name, fmt.Errorf("%q is no duration", text))
		}
		if v > 0 {
			parts = append(parts, fmt.Sprintf("traceDuration %s %dns", d.op, v.Nanoseconds()))
		}
	}
	return "{ " + strings.Join(parts, " && ") + " }", nil
}

func tagExpression(key, value string) (string, error) {
	part := strconv.Quote("(?i).*" + regexpQuote(value) + ".*")
	switch key {
	case "name", "rootName", "rootServiceName", "statusMessage":
		return key + " =~ " + part, nil
	case "root.name":
		return "rootName =~ " + part, nil
	case "root.service.name":
		return "rootServiceName =~ " + part, nil
	case "status", "status.code", "kind", "span.kind":
		word := strings.ToLower(value)
		if name := strings.TrimSuffix(strings.TrimPrefix(key, "span."), ".code"); isWord(name, word) {
			return name + " = " + word, nil
		}
		return "", fmt.Errorf("%q is no %s", value, key)
	case "error":
		if value == "true" {
			return "status = error", nil
		}
	}
	field := traceql.Attribute(traceql.AnyScope, key).String()
	out := field + " =~ " + part
	if _, err := strconv.ParseInt(value, 10, 64); err == nil {
		out = "(" + out + " || " + field + " = " + value + ")"
	} else if value == "true" || value == "false" {
		out = "(" + out + " || " + field + " = " + value + ")"
	}
	return out, nil
}

// isWord reports whether a status or kind has the name.
func isWord(field, word string) bool {
	q, err := traceql.Parse("{ " + field + " = " + word + " }")
	return err == nil && len(q.Pipeline.Stages) == 1
}

func regexpQuote(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(`\.+*?()|[]{}^$`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// parseLogfmt reads key=value pairs between spaces, values in double quotes or bare.
func parseLogfmt(text string) (tags [][2]string, err error) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		key, rest, ok := strings.Cut(text, "=")
		if !ok || key == "" || strings.ContainsAny(key, " \"") {
			return nil, fmt.Errorf("want key=value, got %q", text)
		}
		value := rest
		if strings.HasPrefix(rest, `"`) {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, fmt.Errorf("the value of %s does not end", key)
			}
			if value, err = strconv.Unquote(quoted); err != nil {
				return nil, fmt.Errorf("the value of %s: %w", key, err)
			}
			text = rest[len(quoted):]
		} else if value, text, ok = strings.Cut(rest, " "); !ok {
			text = ""
		}
		tags = append(tags, [2]string{key, value})
	}
	return tags, nil
}

// rangeParams reads the parameters of a metrics query. An instant one has no step.
func (a *API) rangeParams(form url.Values, instant bool) (q RangeQuery, err error) {
	if q.Query, err = parseQuery(cmpOr(form.Get("q"), form.Get("query"))); err != nil {
		return q, err
	}
	now := a.now()
	since := time.Duration(a.engine.cfg.MetricsLookback)
	if text := form.Get("since"); text != "" {
		if since, err = duration(text); err != nil || since <= 0 {
			return q, badParam("since", fmt.Errorf("%q is no duration", text))
		}
	}
	end, err := instantParam(form, "end", now.UnixNano())
	if err != nil {
		return q, err
	}
	start, err := instantParam(form, "start", subtract(end, int64(since)))
	if err != nil {
		return q, err
	}
	if start >= end {
		return q, badParam("start", errors.New("it is not before end"))
	}
	step := int64(0)
	if !instant {
		if step, err = stepParam(form, start, end); err != nil {
			return q, err
		}
	}
	if q.Exemplars, err = count(form, "exemplars"); err != nil {
		return q, err
	}
	for _, h := range q.Query.Hints {
		if h.Name == "exemplars" && h.Value.True() && q.Exemplars == 0 {
			q.Exemplars = a.engine.cfg.MaxExemplars
		}
	}
	// Alignment adds at most a step on either side.
	if start < math.MinInt64/2 || end > math.MaxInt64/2 || step > math.MaxInt64/4 {
		return q, badParam("start", errors.New("the range is too long"))
	}
	q.Interval = traceql.NewInterval(start, end, step)
	return q, nil
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func duration(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f > 0 && f < 1e9 {
		return time.Duration(f * 1e9), nil
	}
	d, err := model.ParseDuration(text)
	return time.Duration(d), err
}

// stepParam reads the step, or chooses one of whole seconds that gives about 240
// points.
func stepParam(form url.Values, start, end int64) (int64, error) {
	text := form.Get("step")
	if text == "" {
		step := time.Duration(end-start) / 240
		if step > 5*time.Second {
			return int64(step.Truncate(5 * time.Second)), nil
		}
		return int64(max(step.Truncate(time.Second), time.Second)), nil
	}
	d, err := duration(text)
	if err != nil || d < time.Millisecond {
		return 0, badParam("step", fmt.Errorf("%q is no duration from 1ms on", text))
	}
	return int64(d), nil
}

// instantParam reads Unix seconds, nanoseconds or RFC 3339, and returns nanoseconds.
func instantParam(form url.Values, name string, def int64) (int64, error) {
	text := form.Get(name)
	if text == "" || text == "0" {
		return def, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
		if n < 1e12 { // as seconds the year 33658, as nanoseconds 1970
			return n * int64(time.Second), nil
		}
		return n, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f > 0 && f < 9e9 {
		return int64(f * 1e9), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, badParam(name, fmt.Errorf("%q is no time in Unix seconds, Unix nanoseconds or RFC 3339", text))
	}
	return t.UnixNano(), nil
}
