package logs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/util/httpreq"
	"github.com/grafana/loki/v3/pkg/util/marshal"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// maxFormBytes bounds the body of a request: a query and a few parameters.
const maxFormBytes = 1 << 20

// Rows is what the API needs of the columnar store.
type Rows interface {
	Store
	columnar.Catalog
	columnar.Deleter
}

// Options is what an API needs from the process it runs in. Rows and Logger are
// required.
type Options struct {
	Config Config
	Rows   Rows
	// Tailers show new lines to live tails; without them none can be opened. They
	// must have been made with the same Config.
	Tailers *Tailers
	// Limits are further limits that drilldown-limits tells clients, under Loki's
	// names: those that other rooms know, as retention_period.
	Limits     map[string]any
	Logger     *slog.Logger
	Registerer prometheus.Registerer // may be nil
}

// API is Loki's HTTP API, but for push.
type API struct {
	engine  *Engine
	store   Rows
	tailers *Tailers
	cfg     Config
	limits  map[string]any
	logger  *slog.Logger
	now     func() time.Time
}

// NewAPI makes the API and its engine.
func NewAPI(o Options) (*API, error) {
	engine, err := NewEngine(o.Rows, o.Config, o.Logger, o.Registerer)
	if err != nil {
		return nil, err
	}
	return &API{
		engine: engine, store: o.Rows, tailers: o.Tailers,
		cfg: o.Config, limits: o.Limits, logger: o.Logger, now: time.Now,
	}, nil
}

// Engine is the engine behind the API.
func (a *API) Engine() *Engine { return a.engine }

// Register adds the routes under a group, which stands for /loki.
func (a *API) Register(g *echo.Group) {
	both := []string{http.MethodGet, http.MethodPost}
	for path, h := range map[string]handler{
		"/api/v1/query":                       a.query,
		"/api/v1/query_range":                 a.queryRange,
		"/api/v1/labels":                      a.labelNames,
		"/api/v1/label":                       a.labelNames,
		"/api/v1/label/:name/values":          a.labelValues,
		"/api/v1/series":                      a.series,
		"/api/v1/index/stats":                 a.getIndexStats,
		"/api/v1/index/volume":                a.getVolume,
		"/api/v1/index/volume_range":          a.getVolumeRange,
		"/api/v1/detected_labels":             a.getDetectedLabels,
		"/api/v1/detected_fields":             a.getDetectedFields,
		"/api/v1/detected_field/:name/values": a.getDetectedFieldValues,
		"/api/v1/patterns":                    a.getPatterns,
	} {
		g.Match(both, path, a.handle(h))
	}
	g.Match(both, "/api/v1/format_query", a.formatQuery)
	g.GET("/api/v1/tail", a.tail)
	g.Match([]string{http.MethodPost, http.MethodPut}, "/api/v1/delete", a.addDeletion)
	g.GET("/api/v1/delete", a.listDeletions)
	g.DELETE("/api/v1/delete", a.cancelDeletion)
	g.GET("/api/v1/drilldown-limits", a.drilldownLimits)
	g.GET("/api/v1/rules", a.rules)
	g.GET("/api/v1/status/buildinfo", a.buildInfo)
	g.GET("/ready", func(c echo.Context) error { return c.String(http.StatusOK, "ready\n") })
}

// handler answers with the function that writes the answer.
type handler func(ctx context.Context, c echo.Context, form url.Values) (func(http.ResponseWriter) error, error)

// handle reads the form, runs the handler, and writes errors as Loki does: the
// status says what kind, the body is the plain message.
func (a *API) handle(h handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		req := c.Request()
		form, err := parseForm(c)
		var write func(http.ResponseWriter) error
		if err == nil {
			ctx := httpreq.AddEncodingFlagsToContext(req.Context(), httpreq.ExtractEncodingFlags(req))
			write, err = h(ctx, c, form)
		}
		if err != nil {
			return a.refuse(c, form, err)
		}
		c.Response().Header().Set(echo.HeaderContentType, "application/json; charset=UTF-8")
		if err := write(c.Response()); err != nil {
			// The status is sent; what is left is to say why the body is short.
			a.logger.Warn("logs answer was cut off", "path", req.URL.Path, "err", err)
		}
		return nil
	}
}

// refuse answers an error in plain text.
func (a *API) refuse(c echo.Context, form url.Values, err error) error {
	status, text, _ := statusOf(err)
	if status >= http.StatusInternalServerError {
		a.logger.Error("logs request failed", "path", c.Request().URL.Path, "query", form.Get("query"), "status", status, "err", err)
	}
	c.Response().Header().Set("X-Content-Type-Options", "nosniff")
	return c.String(status, text)
}

func parseForm(c echo.Context) (url.Values, error) {
	req := c.Request()
	if req.Body != nil {
		req.Body = http.MaxBytesReader(c.Response(), req.Body, maxFormBytes)
	}
	if err := req.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, &LimitError{Limit: "request body", Detail: err.Error()}
		}
		return nil, badRequest{err}
	}
	return req.Form, nil
}

func (a *API) query(ctx context.Context, c echo.Context, form url.Values) (func(http.ResponseWriter) error, error) {
	req, err := instantRequest(form, a.now())
	if err != nil {
		return nil, err
	}
	return a.exec(ctx, c, req)
}

func (a *API) queryRange(ctx context.Context, c echo.Context, form url.Values) (func(http.ResponseWriter) error, error) {
	req, err := rangeRequest(form, a.now())
	if err != nil {
		return nil, err
	}
	return a.exec(ctx, c, req)
}

func (a *API) exec(ctx context.Context, c echo.Context, req Request) (func(http.ResponseWriter) error, error) {
	res, err := a.engine.Exec(ctx, req)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter) error {
		return marshal.WriteQueryResponseJSON(res.Data, res.Warnings, res.Statistics, w, httpreq.ExtractEncodingFlags(c.Request()))
	}, nil
}

func (a *API) labelNames(ctx context.Context, _ echo.Context, form url.Values) (func(http.ResponseWriter) error, error) {
	start, end, err := boundsParam(form, a.now())
	if err != nil {
		return nil, err
	}
	names, err := a.engine.LabelNames(ctx, start, end, form.Get("query"))
	return func(w http.ResponseWriter) error { return marshal.WriteLabelResponseJSON(names, w) }, err
}

func (a *API) labelValues(ctx context.Context, c echo.Context, form url.Values) (func(http.ResponseWriter) error, error) {
	start, end, err := boundsParam(form, a.now())
	if err != nil {
		return nil, err
	}
	name, err := nameParam(c)
	if err != nil {
		return nil, err
	}
	values, err := a.engine.LabelValues(ctx, name, start, end, form.Get("query"))
	return func(w http.ResponseWriter) error { return marshal.WriteLabelResponseJSON(values, w) }, err
}

func nameParam(c echo.Context) (string, error) {
	name := c.Param("name")
	if c.Request().URL.RawPath == "" { // else echo matches the escaped path
		return name, nil
	}
	name, err := url.PathUnescape(name)
	if err != nil {
		return "", badParam("name", "%w", err)
	}
	return name, nil
}

func (a *API) series(ctx context.Context, _ echo.Context, form url.Values) (func(http.ResponseWriter) error, error) {
	start, end, err := boundsParam(form, a.now())
	if err != nil {
		return nil, err
	}
	selectors := slices.Concat(form["match"], form["match[]"])
	slices.Sort(selectors)
	selectors = slices.Compact(selectors)
	// {} alone means all streams here, though no query may say so.
	if len(selectors) == 1 && strings.ReplaceAll(selectors[0], " ", "") == "{}" {
		selectors = nil
	}
	streams, err := a.engine.Series(ctx, start, end, selectors)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter) error {
		return marshal.WriteSeriesResponseJSON(seriesIdentifiers(streams), w)
	}, nil
}

func seriesIdentifiers(streams []labels.Labels) []logproto.SeriesIdentifier {
	out := make([]logproto.SeriesIdentifier, len(streams))
	for i, lbls := range streams {
		pairs := make([]logproto.SeriesIdentifier_LabelsEntry, 0, lbls.Len())
		lbls.Range(func(l labels.Label) {
			pairs = append(pairs, logproto.SeriesIdentifier_LabelsEntry{Key: l.Name, Value: l.Value})
		})
		out[i].Labels = pairs
	}
	return out
}

// formatQuery pretty-prints a query; unlike the others it answers errors in JSON.
func (a *API) formatQuery(c echo.Context) error {
	type answer struct {
		Status string `json:"status"`
		Data   string `json:"data,omitempty"`
		Err    string `json:"error,omitempty"`
	}
	form, err := parseForm(c)
	if err != nil {
		return c.JSON(http.StatusBadRequest, answer{Status: "invalid-query", Err: err.Error()})
	}
	expr, err := syntax.ParseExpr(form.Get("query"))
	if err != nil {
		return c.JSON(http.StatusBadRequest, answer{Status: "invalid-query", Err: err.Error()})
	}
	return c.JSON(http.StatusOK, answer{Status: "success", Data: syntax.Prettify(expr)})
}

// buildInfo names the version of Loki whose LogQL this is: clients look at it to
// know which features they may use.
func (a *API) buildInfo(c echo.Context) error {
	info := map[string]string{"version": lokiVersion(), "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""}
	if bi, ok := debug.ReadBuildInfo(); ok {
		info["goVersion"] = bi.GoVersion
	}
	b, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return c.JSONBlob(http.StatusOK, b)
}

func lokiVersion() string {
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, m := range bi.Deps {
			if m.Path == "github.com/grafana/loki/v3" {
				return strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return "3.7.8" // test binaries carry no list of modules
}
