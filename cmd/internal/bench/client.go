package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAnswer bounds what is read of one answer.
	maxAnswer = 256 << 20
	// askTimeout ends a query, so that one store's worst query ends at all.
	askTimeout = 5 * time.Minute
	// pushAttempts and pushPause bound how long a target may refuse a request for now.
	pushAttempts = 50
	pushPause    = 200 * time.Millisecond
	// longestPause bounds what a target may ask us to wait.
	longestPause = 10 * time.Second
)

// client asks and pushes over one connection for each target at a time.
type client struct{ http *http.Client }

func newClient() *client {
	return &client{&http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1}}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// refusal is an answer other than the wanted one.
type refusal struct {
	status int
	text   string
	wait   time.Duration // as Retry-After asks; 0 if it does not
}

func (e *refusal) Error() string {
	return fmt.Sprintf("answered %d %s: %.300s", e.status, http.StatusText(e.status), e.text)
}

// transient reports whether the same request may be taken later.
func (e *refusal) transient() bool {
	switch e.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// get asks and returns the answer and how long it took until its last byte.
func (c *client) get(ctx context.Context, at string, params url.Values) ([]byte, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if len(params) > 0 {
		at += "?" + params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, 0, err
	}
	return c.do(req)
}

func (c *client) post(ctx context.Context, at string, header http.Header, body []byte) ([]byte, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	return c.do(req)
}

func (c *client) do(req *http.Request) ([]byte, time.Duration, error) {
	start := time.Now()
	res, err := c.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	took := time.Since(start)
	if err != nil {
		return nil, took, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, took, fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	}
	if res.StatusCode/100 != 2 {
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return nil, took, &refusal{res.StatusCode, strings.TrimSpace(string(body)), min(longestPause, time.Duration(seconds)*time.Second)}
	}
	return body, took, nil
}

// push posts a request, again while the target says that it cannot take it now. A
// request whose fate is unknown, as when the connection breaks, is not repeated: a
// store that has it already would have it twice, and that would be our fault.
func (c *client) push(ctx context.Context, at string, header http.Header, body []byte) (answer []byte, took time.Duration, retries int, err error) {
	for ; ; retries++ {
		answer, took, err = c.post(ctx, at, header, body)
		var refused *refusal
		if err == nil || !errors.As(err, &refused) || !refused.transient() || retries == pushAttempts {
			return answer, took, retries, err
		}
		if err := sleep(ctx, max(refused.wait, pushPause)); err != nil {
			return nil, 0, retries, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
