package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/regexp"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/notifications"
	v1 "github.com/prometheus/prometheus/web/api/v1"
)

// apiRoutes are the parts of the Prometheus HTTP API that are served. Missing are
// what writes (ingest has its own), what administers, and what only a scraping
// server can answer beyond an empty list.
var apiRoutes = []struct {
	methods []string
	path    string
}{
	{[]string{http.MethodGet, http.MethodPost}, "/query"},
	{[]string{http.MethodGet, http.MethodPost}, "/query_range"},
	{[]string{http.MethodGet, http.MethodPost}, "/query_exemplars"},
	{[]string{http.MethodGet, http.MethodPost}, "/format_query"},
	{[]string{http.MethodGet, http.MethodPost}, "/parse_query"},
	{[]string{http.MethodGet, http.MethodPost}, "/labels"},
	{[]string{http.MethodGet}, "/label/:name/values"},
	{[]string{http.MethodGet, http.MethodPost}, "/series"},
	{[]string{http.MethodGet}, "/targets"},
	{[]string{http.MethodGet}, "/targets/metadata"},
	{[]string{http.MethodGet}, "/scrape_pools"},
	{[]string{http.MethodGet}, "/alertmanagers"},
	{[]string{http.MethodGet}, "/alerts"},
	{[]string{http.MethodGet}, "/rules"},
	{[]string{http.MethodGet}, "/status/config"},
	{[]string{http.MethodGet}, "/status/runtimeinfo"},
	{[]string{http.MethodGet}, "/status/buildinfo"},
	{[]string{http.MethodGet}, "/status/flags"},
	{[]string{http.MethodGet}, "/status/tsdb"},
	{[]string{http.MethodGet}, "/status/tsdb/blocks"},
	{[]string{http.MethodGet}, "/status/walreplay"},
	{[]string{http.MethodPost}, "/read"},
}

const apiPrefix = "/api/v1"

// api is the Prometheus HTTP API over a store.
type api struct {
	router *route.Router
	meta   *metadataIndex
}

// newAPI holds the one call of v1.NewAPI, whose arguments are positional.
func newAPI(s *Store, opts Options) (*api, error) {
	cfg, err := config.Load("", opts.Logger)
	if err != nil {
		return nil, err
	}
	started := opts.Now()
	runtimeInfo := func() (v1.RuntimeInfo, error) {
		return v1.RuntimeInfo{
			StartTime:           started,
			ServerTime:          opts.Now().UTC(),
			ReloadConfigSuccess: true,
			LastConfigTime:      started,
			GoroutineCount:      runtime.NumGoroutine(),
			GOMAXPROCS:          runtime.GOMAXPROCS(0),
			StorageRetention:    opts.Config.Retention.String(),
		}, nil
	}
	a := v1.NewAPI(
		s.engine, s.db,
		nil, // remote write and OTLP are ingest's
		s.db,
		func(context.Context) v1.ScrapePoolsRetriever { return noTargets{} },
		func(context.Context) v1.TargetRetriever { return noTargets{} },
		func(context.Context) v1.AlertmanagerRetriever { return noTargets{} },
		func() config.Config { return *cfg },
		map[string]string{},
		v1.GlobalURLOptions{},
		func(f http.HandlerFunc) http.HandlerFunc { return s.whileOpen(f) },
		adminStats{s.db}, s.dir,
		false,    // admin API
		false, 0, // search API
		opts.Logger,
		func(context.Context) v1.RulesRetriever { return noTargets{} },
		s.cfg.QueryMaxSamples, s.cfg.QueryConcurrency, 1<<20, // remote read: samples, queries, bytes of a frame
		false,                    // this is no agent
		regexp.MustCompile(`^$`), // no CORS
		runtimeInfo,
		&v1.PrometheusVersion{Version: opts.Version, GoVersion: runtime.Version()},
		func() []notifications.Notification { return nil },
		func() (<-chan notifications.Notification, func(), bool) { return nil, nil, false },
		opts.Gatherer, opts.Registerer,
		nil,        // statistics as Prometheus renders them
		false, nil, // remote write
		false, false, false, // OTLP
		time.Duration(s.cfg.LookbackDelta),
		false, false, nil, nil,
		v1.OpenAPIOptions{},
		s.parser,
		false, // query cost
		time.Duration(s.cfg.QueryTimeout),
	)
	r := route.New()
	a.Register(r)
	return &api{router: r, meta: s.meta}, nil
}

// Register mounts the Prometheus HTTP API below g: g's prefix + /api/v1.
func (s *Store) Register(g *echo.Group) {
	for _, r := range apiRoutes {
		g.Match(r.methods, apiPrefix+r.path, s.api.serve)
	}
	g.GET(apiPrefix+"/metadata", s.api.metadata)
}

func (a *api) serve(c echo.Context) error {
	req := c.Request()
	_, path, _ := strings.Cut(req.URL.Path, apiPrefix)
	inner := new(http.Request)
	*inner = *req
	inner.URL = new(url.URL)
	*inner.URL = *req.URL
	inner.URL.Path, inner.URL.RawPath = path, ""
	a.router.ServeHTTP(c.Response(), inner)
	return nil
}

// metadata answers from what senders brought along. Prometheus' own handler knows
// only what its scrape targets said.
func (a *api) metadata(c echo.Context) error {
	type response struct {
		Status    string                `json:"status"`
		Data      map[string][]Metadata `json:"data,omitempty"`
		ErrorType string                `json:"errorType,omitempty"`
		Error     string                `json:"error,omitempty"`
	}
	limit := -1
	for _, param := range []string{"limit", "limit_per_metric"} {
		if v := c.QueryParam(param); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil {
				return c.JSON(http.StatusBadRequest, response{Status: "error", ErrorType: "bad_data", Error: param + " must be a number"})
			}
			if param == "limit" {
				limit = n
			}
		}
	}
	body, err := json.Marshal(map[string]any{"status": "success", "data": a.meta.get(c.QueryParam("metric"), limit)})
	if err != nil {
		return err
	}
	return c.JSONBlob(http.StatusOK, body)
}

// whileOpen keeps requests away from a closed TSDB, whose files are unmapped.
func (s *Store) whileOpen(f http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed {
			http.Error(w, "the metrics store is closed", http.StatusServiceUnavailable)
			return
		}
		f(w, r)
	}
}

// noTargets answers for the parts of a Prometheus server that are not here.
type noTargets struct{}

func (noTargets) TargetsActive() map[string][]*scrape.Target  { return nil }
func (noTargets) TargetsDropped() map[string][]*scrape.Target { return nil }
func (noTargets) TargetsDroppedCounts() map[string]int        { return nil }
func (noTargets) ScrapePools() []string                       { return []string{} }
func (noTargets) ScrapePoolConfig(string) (*config.ScrapeConfig, error) {
	return nil, errors.New("nothing is scraped here")
}
func (noTargets) Alertmanagers() []*url.URL            { return nil }
func (noTargets) DroppedAlertmanagers() []*url.URL     { return nil }
func (noTargets) RuleGroups() []*rules.Group           { return nil }
func (noTargets) AlertingRules() []*rules.AlertingRule { return nil }

// adminStats is the TSDB for the status pages.
type adminStats struct{ *tsdb.DB }

func (a adminStats) Stats(statsByLabelName string, limit int) (*tsdb.Stats, error) {
	return a.Head().Stats(statsByLabelName, limit), nil
}

func (a adminStats) WALReplayStatus() (tsdb.WALReplayStatus, error) {
	return tsdb.WALReplayStatus{}, nil
}

func (a adminStats) BlockMetas() ([]tsdb.BlockMeta, error) { return a.DB.BlockMetas(), nil }

func (a adminStats) Delete(context.Context, int64, int64, ...*labels.Matcher) error {
	return errors.ErrUnsupported
}
