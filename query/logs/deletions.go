package logs

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// deletionAnswer is a deletion as Loki lists it. Times are Unix seconds, whole ones
// since logcli reads no others.
type deletionAnswer struct {
	RequestID string `json:"request_id"`
	StartTime int64  `json:"start_time"`
	EndTime   int64  `json:"end_time"`
	Query     string `json:"query"`
	Status    string `json:"status"`
	CreatedAt int64  `json:"created_at"`
	UserID    string `json:"user_id"`
}

// addDeletion takes a request to delete the lines of a log query between start and
// end, both inclusive.
func (a *API) addDeletion(c echo.Context) error {
	form, err := parseForm(c)
	var d columnar.Deletion
	if err == nil {
		d, err = a.deletionOf(c.Request().Context(), form)
	}
	var id string
	if err == nil {
		id, err = a.store.Delete(c.Request().Context(), d)
	}
	if err != nil {
		return a.refuse(c, form, err)
	}
	c.Response().Header().Set("X-Delete-Request-Id", id)
	return c.NoContent(http.StatusNoContent)
}

func (a *API) listDeletions(c echo.Context) error {
	deletions, err := a.store.Deletions(c.Request().Context())
	if err != nil {
		return a.refuse(c, nil, err)
	}
	out := []deletionAnswer{}
	for _, d := range deletions {
		if d.Table != columnar.Logs {
			continue
		}
		status := "received"
		if d.Done {
			status = "processed"
		}
		out = append(out, deletionAnswer{
			RequestID: d.ID, Query: d.Query, Status: status, CreatedAt: d.Created.Unix(),
			StartTime: time.Unix(0, d.From).Unix(), EndTime: time.Unix(0, d.To-1).Unix(),
		})
	}
	return c.JSON(http.StatusOK, out)
}

// cancelDeletion makes the lines that are still on disk visible again. Loki asks for
// force some time after the request; here it changes nothing.
func (a *API) cancelDeletion(c echo.Context) error {
	form, err := parseForm(c)
	if err == nil && form.Get("request_id") == "" {
		err = badParam("request_id", "it is not set")
	}
	if err == nil {
		err = a.store.CancelDeletion(c.Request().Context(), form.Get("request_id"))
	}
	if errors.Is(err, columnar.ErrNoDeletion) {
		return c.String(http.StatusNotFound, "could not find delete request with given id, or it is processed already")
	}
	if err != nil {
		return a.refuse(c, form, err)
	}
	return c.NoContent(http.StatusNoContent)
}

func (a *API) deletionOf(ctx context.Context, form url.Values) (d columnar.Deletion, err error) {
	d, err = deletionParams(form, a.now())
	if err != nil {
		return d, err
	}
	for _, f := range d.Fields {
		has := labels.MustNewMatcher(labels.MatchNotEqual, f.Name, "")
		streams, err := a.store.Streams(ctx, d.Table, nil, d.From, d.To, append(d.Matchers[:len(d.Matchers):len(d.Matchers)], has))
		if err != nil {
			return d, err
		}
		if len(streams) > 0 {
			return d, badParam("query", "%q is a label of some of the streams; name it in the stream selector to delete by it", f.Name)
		}
	}
	return d, nil
}

// deletionParams reads the parameters of delete.
func deletionParams(form url.Values, now time.Time) (d columnar.Deletion, err error) {
	d = columnar.Deletion{Table: columnar.Logs, Query: form.Get("query")}
	if d.Query == "" {
		return d, badParam("query", "query not set")
	}
	if form.Get("start") == "" {
		return d, badParam("start", "start time not set")
	}
	start, err := timeParam("start", form.Get("start"), now)
	if err != nil {
		return d, err
	}
	end, err := timeParam("end", form.Get("end"), now)
	if err != nil {
		return d, err
	}
	if end.After(now) {
		return d, badParam("end", "deletes in the future are not allowed")
	}
	if !start.Before(end) {
		return d, badParam("start", "start time can't be greater than or equal to end time")
	}
	if v := form.Get("max_interval"); v != "" { // splits the work in Loki; there is nothing to split here
		if interval, err := time.ParseDuration(v); err != nil || interval < time.Second {
			return d, badParam("max_interval", "invalid max_interval: valid time units are 's', 'm', 'h'")
		}
	}
	d.From, d.To = unixNano(start), unixNano(end.Add(1))
	return d, selectRows(&d)
}

// selectRows turns the query into what the store evaluates itself. A deletion must hit what
// the query shows and nothing else, so whatever has no exact equal is refused.
func selectRows(d *columnar.Deletion) error {
	sel, err := logSelector(d.Query)
	if err != nil {
		return err
	}
	d.Matchers = sel.Matchers()
	for _, stage := range stagesOf(sel) {
		switch s := stage.(type) {
		case *syntax.LineFilterExpr:
			p := analyze(syntax.MultiStageExpr{s})
			if !p.exact {
				return badParam("query", "the line filter %s cannot be evaluated exactly by the store", s)
			}
			d.Lines = append(d.Lines, p.lines...)
		case *syntax.LabelFilterExpr:
			fields, err := exactFields(s.LabelFilterer)
			if err != nil {
				return err
			}
			d.Fields = append(d.Fields, fields...)
		default:
			return badParam("query", "%s: deletions know line filters and comparisons of structured metadata with = and != only", s)
		}
	}
	return nil
}

// exactFields are the predicates of a label filter that is a conjunction of string
// comparisons.
func exactFields(f log.LabelFilterer) ([]columnar.FieldPredicate, error) {
	var m *labels.Matcher
	switch f := f.(type) {
	case *log.BinaryLabelFilter:
		if f.And {
			left, err := exactFields(f.Left)
			if err != nil {
				return nil, err
			}
			right, err := exactFields(f.Right)
			return append(left, right...), err
		}
	case *log.StringLabelFilter:
		m = f.Matcher
	case *log.LineFilterLabelFilter:
		m = f.Matcher
	}
	if m != nil {
		switch m.Type {
		case labels.MatchEqual:
			return []columnar.FieldPredicate{{Name: m.Name, Op: columnar.FieldEqual, Text: m.Value}}, nil
		case labels.MatchNotEqual:
			return []columnar.FieldPredicate{{Name: m.Name, Op: columnar.FieldNotEqual, Text: m.Value}}, nil
		}
	}
	return nil, badParam("query", "%s: deletions compare structured metadata with = and != only, joined by and", f)
}
