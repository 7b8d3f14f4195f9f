package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// maxAnswer bounds what the command line reads of one answer.
const maxAnswer = 256 << 20

// client asks the query service.
type client struct {
	url     string
	timeout time.Duration
}

func (c *client) flags(f *pflag.FlagSet) {
	at := os.Getenv("YAGURA_URL")
	if at == "" {
		at = "http://127.0.0.1:9428"
	}
	f.StringVar(&c.url, "url", at, "the query service; $YAGURA_URL sets the default")
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "how long to wait for the answer")
}

func (c *client) get(ctx context.Context, path string, params url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(c.url, "/")+path, strings.NewReader(params.Encode()))
	if err != nil {
		return nil, fmt.Errorf("--url %s: %w", c.url, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the query service (is it running? --url says where): %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer is larger than %d MiB: ask for less", maxAnswer>>20)
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(problem(res.Status, body))
	}
	return body, nil
}

// problem is what the service said was wrong: Prometheus' JSON error, or text.
func problem(status string, body []byte) string {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		return e.Error
	}
	if text := strings.TrimSpace(string(body)); text != "" {
		return text
	}
	return status
}
