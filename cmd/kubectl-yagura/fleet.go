package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/yagura-dev/yagura/autoscaler/fleet"
)

// fetchFleet asks the autoscaler, through the query service, for what it alone knows of the nodes.
func fetchFleet(ctx context.Context, url string) (*fleet.View, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(url, "/")+"/api/v1/nodes", nil)
	if err != nil {
		return nil, fmt.Errorf("--query-url %s: %w", url, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the query service (is it running? --query-url says where): %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the query service answers %s: %s", res.Status, strings.TrimSpace(string(body[:min(len(body), maxProblem)])))
	}
	var view fleet.View
	if err := json.Unmarshal(body, &view); err != nil {
		return nil, fmt.Errorf("read what the autoscaler says of the nodes: %w", err)
	}
	return &view, nil
}
