package signal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds what one query may return. An answer for a workload of ten thousand pods is a tenth of it.
const maxAnswer = 16 << 20

// refusedError is an answer that says that the query itself is wrong.
type refusedError struct{ message string }

func (e *refusedError) Error() string { return e.message }

// point is one series of an instant answer.
type point struct {
	labels map[string]string
	value  float64
	// histogram is true when the series holds histograms, which have no value.
	histogram bool
}

// answer is an instant answer. A scalar is one point without labels.
type answer struct {
	kind   string // vector, scalar, matrix, string or streams
	points []point
	// newest is the newest timestamp of an answer with streams.
	newest time.Time
}

// envelope is the form that both APIs answer in.
type envelope struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// get sends a query and reads the answer. Long PromQL goes into the body; Loki-compatible services do not all take that.
func (c *Client) get(ctx context.Context, base *url.URL, path string, form url.Values, post bool) (answer, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return answer{}, fmt.Errorf("wait for a free query slot: %w", context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	text, err := c.send(ctx, base, path, form, post)
	if err != nil {
		return answer{}, err
	}
	return decode(text)
}

// send sends a query and reads the text of an answer that is 200.
func (c *Client) send(ctx context.Context, base *url.URL, path string, form url.Values, post bool) ([]byte, error) {
	target := base.JoinPath(path)
	method, body := http.MethodGet, io.Reader(nil)
	if post {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	} else {
		target.RawQuery = form.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make query: %w", err)
	}
	if post {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	request.Header.Set("Accept", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		// The error of net/http repeats the whole address with the query in it.
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("ask %s: %w", base.Host, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", base.Host, err)
	}
	if len(text) > maxAnswer {
		return nil, &refusedError{fmt.Sprintf("the answer is larger than %d MiB", maxAnswer>>20)}
	}
	if response.StatusCode != http.StatusOK {
		return nil, refusal(response.StatusCode, base.Host, text)
	}
	return text, nil
}

// refusal turns an answer that is not 200 into an error: those that blame the query are final.
func refusal(status int, host string, text []byte) error {
	message := strings.TrimSpace(string(text))
	var e envelope
	if json.Unmarshal(text, &e) == nil && e.Error != "" {
		message = e.Error
	}
	if len(message) > 300 {
		message = message[:300] + "…"
	}
	if status == http.StatusBadRequest || status == http.StatusUnprocessableEntity {
		return &refusedError{message}
	}
	if message == "" {
		return fmt.Errorf("%s answered %d", host, status)
	}
	return fmt.Errorf("%s answered %d: %s", host, status, message)
}

// decode reads an answer.
func decode(text []byte) (answer, error) {
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return answer{}, fmt.Errorf("decode answer: %w", err)
	}
	if e.Status != "success" {
		return answer{}, &refusedError{e.Error}
	}
	a := answer{kind: e.Data.ResultType}
	var err error
	switch a.kind {
	case "vector":
		a.points, err = decodeVector(e.Data.Result)
	case "scalar":
		var v sampleValue
		if err = json.Unmarshal(e.Data.Result, &v); err == nil {
			a.points = []point{{value: v.value}}
		}
	case "streams":
		a.newest, err = decodeStreams(e.Data.Result)
	case "matrix", "string":
	default:
		err = fmt.Errorf("unknown result type %q", a.kind)
	}
	if err != nil {
		return answer{}, fmt.Errorf("decode answer: %w", err)
	}
	return a, nil
}

func decodeVector(text []byte) ([]point, error) {
	var series []struct {
		Metric    map[string]string `json:"metric"`
		Value     *sampleValue      `json:"value"`
		Histogram json.RawMessage   `json:"histogram"`
	}
	if err := json.Unmarshal(text, &series); err != nil {
		return nil, err
	}
	points := make([]point, len(series))
	for i, s := range series {
		points[i] = point{labels: s.Metric, value: math.NaN(), histogram: s.Value == nil}
		if s.Value != nil {
			points[i].value = s.Value.value
		}
	}
	return points, nil
}

// decodeStreams finds the newest line.
func decodeStreams(text []byte) (time.Time, error) {
	var streams []struct {
		Values [][]json.RawMessage `json:"values"`
	}
	if err := json.Unmarshal(text, &streams); err != nil {
		return time.Time{}, err
	}
	var newest time.Time
	for _, s := range streams {
		for _, entry := range s.Values {
			if len(entry) == 0 {
				return time.Time{}, errors.New("a line without a timestamp")
			}
			var stamp string
			if err := json.Unmarshal(entry[0], &stamp); err != nil {
				return time.Time{}, err
			}
			ns, err := strconv.ParseInt(stamp, 10, 64)
			if err != nil {
				return time.Time{}, err
			}
			if at := time.Unix(0, ns); at.After(newest) {
				newest = at
			}
		}
	}
	return newest, nil
}

// sampleValue is a pair of a time in seconds and a value in a string.
type sampleValue struct{ value float64 }

func (v *sampleValue) UnmarshalJSON(text []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("a sample of %d parts", len(pair))
	}
	var number string
	if err := json.Unmarshal(pair[1], &number); err != nil {
		return err
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return err
	}
	v.value = value
	return nil
}
