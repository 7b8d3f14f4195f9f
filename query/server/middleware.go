package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// instrumentation counts requests by route, never by path: paths are what clients
// make up.
type instrumentation struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	panics   prometheus.Counter
}

func newInstrumentation(reg prometheus.Registerer) (*instrumentation, error) {
	m := &instrumentation{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_query_http_requests_total", Help: "HTTP requests, by route, method and status code.",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "yagura_query_http_request_duration_seconds", Help: "How long HTTP requests took, by route.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8), // 1 ms to 16 s
		}, []string{"route"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_query_http_panics_total", Help: "Requests that ended in a programming error.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.panics} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register server metrics: %w", err)
		}
	}
	return m, nil
}

func (m *instrumentation) observe(logger *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			if err := next(c); err != nil {
				c.Error(err) // answers, so that the status below is the one sent
			}
			took := time.Since(start)
			route, method := c.Path(), method(c.Request().Method)
			m.requests.WithLabelValues(route, method, strconv.Itoa(c.Response().Status)).Inc()
			m.duration.WithLabelValues(route).Observe(took.Seconds())
			logger.Debug("request", "method", method, "uri", c.Request().RequestURI, "status", c.Response().Status,
				"bytes", c.Response().Size, "duration", took, "remote", c.Request().RemoteAddr)
			return nil
		}
	}
}

// method keeps invented methods from becoming label values.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	default:
		return "other"
	}
}

// recoverPanics keeps a programming error in one request from ending the process.
func recoverPanics(logger *slog.Logger, m *instrumentation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				switch p := recover(); p {
				case nil:
				case http.ErrAbortHandler:
					panic(p) // asks net/http to cut the connection; not an error
				default:
					m.panics.Inc()
					logger.Error("request panicked", "route", c.Path(), "panic", p, "stack", string(debug.Stack()))
					err = echo.NewHTTPError(http.StatusInternalServerError, "internal error")
				}
			}()
			return next(c)
		}
	}
}

// securityHeaders are for the web interface; API clients ignore them. Mantine sets
// style attributes, hence 'unsafe-inline' for styles; scripts come from files only.
func securityHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "SAMEORIGIN")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "+
			"img-src 'self' data:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'self'")
		return next(c)
	}
}

// errorHandler answers what no room answered itself: unknown paths below a room,
// wrong methods, panics. Plain text for everyone but JSON clients.
func errorHandler(logger *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		code, text := http.StatusInternalServerError, "internal error"
		var he *echo.HTTPError
		if errors.As(err, &he) {
			code, text = he.Code, fmt.Sprint(he.Message)
		} else {
			logger.Error("request failed", "route", c.Path(), "error", err)
		}
		if strings.Contains(c.Request().Header.Get(echo.HeaderAccept), "json") {
			err = c.JSON(code, map[string]string{"status": "error", "errorType": strings.ToLower(http.StatusText(code)), "error": text})
		} else {
			err = c.String(code, text+"\n")
		}
		if err != nil {
			logger.Debug("error not answered", "error", err)
		}
	}
}
