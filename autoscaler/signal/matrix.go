package signal

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// maxPoints is how many steps a query service takes in one range query; Prometheus refuses more than 11,000.
const maxPoints = 11_000

// RangeQuery asks a PromQL query at each of a range of times.
type RangeQuery struct {
	Query string
	// Start and End are inclusive; the query is evaluated at Start, Start+Step and so on.
	Start, End time.Time
	Step       time.Duration
	// Timeout bounds the answer; the client's own timeout is for questions that are asked every second.
	Timeout time.Duration
}

// Series is one series of a range answer.
type Series struct {
	Labels map[string]string
	// Points are in the order of time. Steps without a value are left out.
	Points []TimePoint
}

// TimePoint is a value at a time.
type TimePoint struct {
	// Time is in milliseconds since the Unix epoch.
	Time int64
	// Value may be NaN or infinite.
	Value float64
}

// Range asks a range query. Range queries share the client's slots with instant ones; callers bound how many of them they put at once.
func (c *Client) Range(ctx context.Context, q RangeQuery) ([]Series, error) {
	if q.Step < time.Millisecond || q.End.Before(q.Start) || q.End.Sub(q.Start)/q.Step >= maxPoints {
		return nil, &refusedError{fmt.Sprintf("a range from %s to %s in steps of %s is not from 1 to %d steps",
			q.Start.UTC().Format(time.RFC3339), q.End.UTC().Format(time.RFC3339), q.Step, maxPoints)}
	}
	ctx, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a free query slot: %w", context.Cause(ctx))
	}
	started := time.Now()
	text, err := c.send(ctx, c.prometheus, "api/v1/query_range", url.Values{
		"query": {q.Query}, "start": {unixSeconds(q.Start)}, "end": {unixSeconds(q.End)}, "step": {strconv.FormatFloat(q.Step.Seconds(), 'f', -1, 64)},
		"timeout": {strconv.FormatFloat(q.Timeout.Seconds(), 'f', -1, 64)},
	}, true)
	var series []Series
	if err == nil {
		series, err = decodeMatrix(text)
	}
	result := "success"
	if err != nil {
		result = "error"
	}
	c.metrics.seconds.WithLabelValues("promql_range").Observe(time.Since(started).Seconds())
	c.metrics.queries.WithLabelValues("promql_range", result).Inc()
	return series, err
}

func unixSeconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64)
}

// decodeMatrix reads a range answer.
func decodeMatrix(text []byte) ([]Series, error) {
	var e struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			ResultType string `json:"resultType"`
			Result     []struct {
				Metric map[string]string `json:"metric"`
				Values timePoints        `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	if e.Status != "success" {
		return nil, &refusedError{e.Error}
	}
	if e.Data.ResultType != "matrix" {
		return nil, fmt.Errorf("decode answer: a range query gave a %q", e.Data.ResultType)
	}
	series := make([]Series, 0, len(e.Data.Result))
	for _, s := range e.Data.Result {
		if len(s.Values) > 0 { // a series of histograms has none
			series = append(series, Series{Labels: s.Metric, Points: s.Values})
		}
	}
	return series, nil
}

// timePoints reads [[1700000000.5,"1.25"],…] in one pass: answers about a week have hundreds of thousands of pairs, and decoding each by
// reflection costs ten times what it costs to compute them.
type timePoints []TimePoint

// UnmarshalJSON implements json.Unmarshaler. The text is valid JSON; what is not of the form above is an error.
func (p *timePoints) UnmarshalJSON(text []byte) error {
	s := scanner{text: text}
	if s.word("null") {
		return nil
	}
	// A pair has hardly less than 20 bytes.
	points := make(timePoints, 0, len(text)/20+1)
	if !s.skip('[') {
		return s.fail()
	}
	for !s.skip(']') {
		if len(points) > 0 && !s.skip(',') || !s.skip('[') {
			return s.fail()
		}
		at, ok := s.number("-+.eE")
		if !ok || !s.skip(',') || !s.skip('"') {
			return s.fail()
		}
		value, ok := s.number("-+.eEINFinfaNxp_")
		if !ok || !s.skip('"') || !s.skip(']') {
			return s.fail()
		}
		points = append(points, TimePoint{Time: int64(at*1000 + 0.5), Value: value})
	}
	*p = points
	return nil
}

// scanner walks over JSON.
type scanner struct {
	text []byte
	at   int
}

func (s *scanner) fail() error {
	return fmt.Errorf("not a list of pairs of a time and a value at byte %d", s.at)
}

func (s *scanner) blank() {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\n' || s.text[s.at] == '\t' || s.text[s.at] == '\r') {
		s.at++
	}
}

func (s *scanner) skip(c byte) bool {
	s.blank()
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) word(w string) bool {
	s.blank()
	if len(s.text)-s.at >= len(w) && string(s.text[s.at:s.at+len(w)]) == w {
		s.at += len(w)
		return true
	}
	return false
}

// number reads digits and the other characters that may stand in the number.
func (s *scanner) number(others string) (float64, bool) {
	s.blank()
	from := s.at
	for s.at < len(s.text) {
		c := s.text[s.at]
		if c < '0' || c > '9' {
			if !contains(others, c) {
				break
			}
		}
		s.at++
	}
	v, err := strconv.ParseFloat(string(s.text[from:s.at]), 64)
	return v, err == nil
}

func contains(set string, c byte) bool {
	for i := range len(set) {
		if set[i] == c {
			return true
		}
	}
	return false
}
