package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/common/model"
)

func TestAutoscalerIsPassedOn(t *testing.T) {
	tests := map[string]struct {
		answer func(http.ResponseWriter)
		url    string
		code   int
		body   string
	}{
		"the leader answers": {
			answer: func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"nodes":[]}`)) },
			code:   200, body: `{"nodes":[]}`,
		},
		"nobody leads": {
			answer: func(w http.ResponseWriter) {
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = w.Write([]byte(`{"error":"led by another"}`))
			},
			code: 503, body: "led by another",
		},
		"no JSON": {
			answer: func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) },
			code:   503, body: "no JSON",
		},
		"nobody is there":   {url: "http://127.0.0.1:1", code: 503, body: "ask the autoscaler"},
		"none is set":       {url: "-", code: 501, body: "query.autoscaler.url"},
		"a host of no name": {url: "http://autoscaler.invalid:9427", code: 503, body: "find the autoscaler"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			url := strings.TrimPrefix(tt.url, "-")
			if tt.answer != nil {
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/api/v1/nodes" {
						t.Errorf("asked for %s", r.URL.Path)
					}
					tt.answer(w)
				}))
				defer s.Close()
				url = s.URL
			}
			a := NewAutoscaler(AutoscalerConfig{URL: url, Timeout: model.Duration(5 * time.Second)})
			defer a.Close()
			e := echo.New()
			a.Register(e.Group("/api/v1"))
			rec := httptest.NewRecorder()
			e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/api/v1/nodes", nil))
			if rec.Code != tt.code || !strings.Contains(rec.Body.String(), tt.body) {
				t.Errorf("got %d %s, want %d with %q", rec.Code, rec.Body, tt.code, tt.body)
			}
		})
	}
}

func TestAutoscalerConfigNamesTheField(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  AutoscalerConfig
		want string
	}{
		"no scheme":  {AutoscalerConfig{URL: "yagura:9427", Timeout: 1}, "url:"},
		"no timeout": {AutoscalerConfig{}, "timeout:"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.cfg.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want one about %s", err, tt.want)
			}
		})
	}
	if err := DefaultAutoscalerConfig().Validate(); err != nil {
		t.Error(err)
	}
}
