package tempo

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// API is Tempo's HTTP API for reading.
type API struct {
	engine *Engine
	logger *slog.Logger
	now    func() time.Time
}

// NewAPI makes the API and its engine. reg may be nil.
func NewAPI(store Store, cfg Config, logger *slog.Logger, reg prometheus.Registerer) (*API, error) {
	engine, err := NewEngine(store, cfg, logger, reg)
	if err != nil {
		return nil, err
	}
	return &API{engine: engine, logger: logger, now: time.Now}, nil
}

// Engine is the engine behind the API.
func (a *API) Engine() *Engine { return a.engine }

// Register adds the routes under a group, which stands for /tempo.
func (a *API) Register(g *echo.Group) {
	g.GET("/ready", text("ready\n"))
	g.GET("/api/echo", text("echo"))
	g.GET("/api/status/buildinfo", a.buildInfo)
	for path, h := range map[string]handler{
		"/api/traces/:id":                 a.trace,
		"/api/v2/traces/:id":              a.traceV2,
		"/api/search":                     a.search,
		"/api/search/tags":                a.tags,
		"/api/v2/search/tags":             a.tagsV2,
		"/api/search/tag/:name/values":    a.tagValues,
		"/api/v2/search/tag/:name/values": a.tagValuesV2,
		"/api/metrics/query_range":        a.queryRange,
		"/api/metrics/query":              a.queryInstant,
	} {
		g.GET(path, a.handle(h))
	}
}

func text(body string) echo.HandlerFunc {
	return func(c echo.Context) error { return c.String(http.StatusOK, body) }
}

// answer is a body and its type.
type answer struct {
	contentType string
	body        []byte
}

func jsonAnswer(v any) (answer, error) {
	b, err := json.Marshal(v)
	return answer{echo.MIMEApplicationJSON, b}, err
}

type handler func(ctx context.Context, c echo.Context, form url.Values) (answer, error)

// handle reads the form, runs the handler, and writes errors as Tempo does: the status
// says what kind, the body is the plain message.
func (a *API) handle(h handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		req := c.Request()
		form, err := url.ParseQuery(req.URL.RawQuery)
		var ans answer
		if err != nil {
			err = badRequest{err}
		} else {
			ans, err = h(req.Context(), c, form)
		}
		status, outcome := statusOf(err)
		a.engine.metrics.queries.WithLabelValues(outcome).Inc()
		if err != nil {
			if status == http.StatusInternalServerError {
				a.logger.Error("request failed", "path", req.URL.Path, "err", err)
			}
			return c.String(status, err.Error())
		}
		return c.Blob(http.StatusOK, ans.contentType, ans.body)
	}
}

// pathParam undoes escapes: echo matches the escaped path when there are any that
// matter.
func pathParam(c echo.Context, name string) (string, error) {
	v := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return v, nil
	}
	v, err := url.PathUnescape(v)
	if err != nil {
		return "", badParam(name, err)
	}
	return v, nil
}

// spoken is the version of Tempo whose API this is. Grafana decides by it what to offer.
const spoken = "2.8.0"

func (a *API) buildInfo(c echo.Context) error {
	info := struct {
		Version   string `json:"version"`
		Revision  string `json:"revision"`
		Branch    string `json:"branch"`
		BuildUser string `json:"buildUser"`
		BuildDate string `json:"buildDate"`
		GoVersion string `json:"goVersion"`
	}{Version: spoken, Branch: "yagura", GoVersion: runtime.Version()}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			switch s.Key {
			case "vcs.revision":
				info.Revision = s.Value
			case "vcs.time":
				info.BuildDate = s.Value
			}
		}
	}
	return c.JSON(http.StatusOK, info)
}
