package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/common/model"
)

// AutoscalerConfig says where the autoscaler answers.
type AutoscalerConfig struct {
	// URL is the autoscaler's, as http://yagura-autoscaler:9427. Of the addresses that its host resolves to (a headless
	// Service names every replica) the one that leads answers. Empty means that nothing is passed on.
	URL string `json:"url,omitempty"`
	// Timeout bounds one answer, all tries together. Default 10s.
	Timeout model.Duration `json:"timeout"`
}

// DefaultAutoscalerConfig returns the defaults that the fields name.
func DefaultAutoscalerConfig() AutoscalerConfig {
	return AutoscalerConfig{Timeout: model.Duration(10 * time.Second)}
}

// Validate reports every setting that makes no sense.
func (c AutoscalerConfig) Validate() error {
	var errs []error
	if c.URL != "" {
		if u, err := url.Parse(c.URL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
			errs = append(errs, fmt.Errorf("url: want http or https and a host, got %q", c.URL))
		}
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("timeout: want more than 0, got %s", c.Timeout))
	}
	return errors.Join(errs...)
}

const (
	// maxAutoscalerAnswer bounds what is read of an answer: some 600 bytes for each node of the largest clusters.
	maxAutoscalerAnswer = 64 << 20
	// autoscalerDial bounds the wait for a replica that is not there.
	autoscalerDial = 2 * time.Second
)

// Autoscaler passes on what only the autoscaler knows: the nodes, and why each of them stays. It is safe for concurrent use.
type Autoscaler struct {
	cfg    AutoscalerConfig
	client *http.Client
}

// NewAutoscaler makes the routes for a valid configuration.
func NewAutoscaler(cfg AutoscalerConfig) *Autoscaler {
	dialer := &net.Dialer{Timeout: autoscalerDial}
	return &Autoscaler{cfg: cfg, client: &http.Client{Transport: &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
	}}}
}

// Close lets idle connections go.
func (a *Autoscaler) Close() { a.client.CloseIdleConnections() }

// Register adds the routes below /api/v1.
func (a *Autoscaler) Register(g *echo.Group) {
	g.GET("/nodes", a.pass("/api/v1/nodes"))
}

func (a *Autoscaler) pass(path string) echo.HandlerFunc {
	return func(c echo.Context) error {
		if a.cfg.URL == "" {
			return refuse(c, http.StatusNotImplemented, "no autoscaler is configured: query.autoscaler.url")
		}
		ctx, cancel := context.WithTimeout(c.Request().Context(), time.Duration(a.cfg.Timeout))
		defer cancel()
		body, err := a.ask(ctx, path)
		if err != nil {
			return refuse(c, http.StatusServiceUnavailable, err.Error())
		}
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, body)
	}
}

func refuse(c echo.Context, code int, message string) error {
	return c.JSON(code, map[string]string{"status": "error", "error": message})
}

// ask asks one replica after the other until one answers: those that do not lead say so with a 503.
func (a *Autoscaler) ask(ctx context.Context, path string) ([]byte, error) {
	base, err := url.Parse(a.cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("autoscaler's URL: %w", err)
	}
	hosts, err := net.DefaultResolver.LookupHost(ctx, base.Hostname())
	if err != nil {
		return nil, fmt.Errorf("find the autoscaler: %w", err)
	}
	if base.Scheme == "https" {
		hosts = []string{base.Hostname()} // certificates are made out to names
	}
	var errs []error
	for _, host := range hosts {
		at := *base
		at.Host = host
		if port := base.Port(); port != "" {
			at.Host = net.JoinHostPort(host, port)
		} else if strings.Contains(host, ":") {
			at.Host = "[" + host + "]"
		}
		body, err := a.get(ctx, at.JoinPath(path).String())
		if err == nil {
			return body, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (a *Autoscaler) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the autoscaler: %w", err)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the autoscaler: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAutoscalerAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the autoscaler's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the autoscaler: %s", reason(resp.Status, body))
	}
	if len(body) > maxAutoscalerAnswer || !json.Valid(body) {
		return nil, errors.New("the autoscaler's answer is no JSON, or too long")
	}
	return body, nil
}

// reason is the message in an error's body, or its status.
func reason(status string, body []byte) string {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		return e.Error
	}
	return status
}
