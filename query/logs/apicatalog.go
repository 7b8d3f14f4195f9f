package logs

import (
	"context"
	"net/http"
	"net/url"

	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/util/marshal"
	"github.com/labstack/echo/v4"
)

func (a *API) getIndexStats(ctx context.Context, _ echo.Context, form url.Values) (func(http.ResponseWriter) error, error) {
	start, end, err := boundsParam(form, a.now())
	if err != nil {
		return nil, err
	}
	res, err := a.indexStats(ctx, form.Get("query"), start, end)
	return func(w http.ResponseWriter) error { return marshal.WriteIndexStatsResponseJSON(res, w) }, err
}

func (a *API) getVolume(ctx context.Context, _ echo.Context, form url.Values) (func(http.ResponseWriter) error, error) {
	return a.answerVolume(ctx, form, false)
}

func (a *API) getVolumeRange(ctx context.Context, _ echo.Context, form url.Values) (func(http.ResponseWriter) error, error) {
	return a.answerVolume(ctx, form, true)
}

func (a *API) answerVolume(ctx context.Context, form url.Values, steps bool) (func(http.ResponseWriter) error, error) {
	req, err := volumeParams(form, a.now(), steps)
	if err != nil {
		return nil, err
	}
	value, statistics, err := a.volume(ctx, req)
	return func(w http.ResponseWriter) error {
		return marshal.WriteQueryResponseJSON(value, nil, statistics, w, nil)
	}, err
}

func (a *API) getDetectedLabels(ctx context.Context, _ echo.Context, form url.Values) (func(http.ResponseWriter) error, error) {
	start, end, err := boundsParam(form, a.now())
	if err != nil {
		return nil, err
	}
	res, err := a.detectedLabels(ctx, form.Get("query"), start, end)
	return func(w http.ResponseWriter) error { return marshal.WriteDetectedLabelsResponseJSON(res, w) }, err
}

func (a *API) getDetectedFields(ctx context.Context, _ echo.Context, form url.Values) (func(http.ResponseWriter) error, error) {
	req, err := fieldsParams(form, a.now())
	if err != nil {
		return nil, err
	}
	res := &logproto.DetectedFieldsResponse{}
	if res.Fields, err = a.detectedFields(ctx, req); len(res.Fields) > 0 {
		res.Limit = uint32(req.limit)
	}
	return func(w http.ResponseWriter) error { return marshal.WriteDetectedFieldsResponseJSON(res, w) }, err
}

func (a *API) getDetectedFieldValues(ctx context.Context, c echo.Context, form url.Values) (func(http.ResponseWriter) error, error) {
	req, err := fieldsParams(form, a.now())
	if err != nil {
		return nil, err
	}
	name, err := nameParam(c)
	if err != nil {
		return nil, err
	}
	res := &logproto.DetectedFieldsResponse{}
	if res.Values, err = a.detectedFieldValues(ctx, req, name); len(res.Values) > 0 {
		res.Limit = uint32(req.limit)
	}
	return func(w http.ResponseWriter) error { return marshal.WriteDetectedFieldsResponseJSON(res, w) }, err
}

func (a *API) getPatterns(ctx context.Context, _ echo.Context, form url.Values) (func(http.ResponseWriter) error, error) {
	r, err := anyStepRequest(withoutLimit(form), a.now())
	if err != nil {
		return nil, err
	}
	res, err := a.patterns(ctx, patternsRequest{selector: r.Query, start: r.Start, end: r.End, step: r.Step})
	return func(w http.ResponseWriter) error { return marshal.WriteQueryPatternsResponseJSON(res, w) }, err
}

// drilldownLimits tells Logs Drilldown what it may ask for.
func (a *API) drilldownLimits(c echo.Context) error {
	limits := map[string]any{
		"max_entries_limit_per_query": a.cfg.MaxLines,
		"max_query_length":            a.cfg.MaxQueryRange,
		"max_query_bytes_read":        a.cfg.MaxQueryBytes,
		"max_query_series":            a.cfg.MaxSeries,
		"query_timeout":               a.cfg.Timeout,
		"volume_enabled":              true,
		"volume_max_series":           a.cfg.MaxSeries,
		"metric_aggregation_enabled":  false,
		"pattern_persistence_enabled": false,
	}
	for name, v := range a.limits {
		limits[name] = v
	}
	return c.JSON(http.StatusOK, map[string]any{
		"limits": limits, "pattern_ingester_enabled": true, "version": lokiVersion(),
	})
}

// rules are none: the answer is an empty map of namespaces in YAML, which Grafana's
// alerting asks every Loki for.
func (a *API) rules(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", []byte("{}\n"))
}
