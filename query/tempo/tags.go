package tempo

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traceql"
)

// tagScopes are the scopes of attributes in the order of answers, with the prefix of
// their columns; events and links have none.
var tagScopes = [...]struct {
	scope  traceql.Scope
	prefix string
}{
	{traceql.ResourceScope, prefixResource}, {traceql.SpanScope, prefixSpan}, {traceql.InstrumentationScope, prefixScope},
	{traceql.EventScope, ""}, {traceql.LinkScope, ""},
}

// Tags returns the names of attributes by scope, sorted, of spans that start in
// [from, to), if a filter is given of those that it selects. Names of events, links and
// filtered spans are those of the newest spans within the configured number.
func (e *Engine) Tags(ctx context.Context, filter *traceql.Query, from, to int64) (map[traceql.Scope][]string, Stats, error) {
	sets := map[traceql.Scope]map[string]bool{}
	note := func(scope traceql.Scope, name string) {
		if sets[scope] == nil {
			sets[scope] = map[string]bool{}
		}
		if len(sets[scope]) < e.cfg.MaxTags && !sets[scope][name] {
			sets[scope][strings.Clone(name)] = true
		}
	}
	noteColumn := func(column string) {
		for _, s := range tagScopes {
			if name, ok := strings.CutPrefix(column, s.prefix); ok && s.prefix != "" {
				note(s.scope, name)
			}
		}
	}
	var st Stats
	err := e.run(ctx, func(ctx context.Context) (Stats, error) {
		if filter == nil {
			names, err := e.store.FieldNames(ctx, columnar.CatalogQuery{Table: columnar.Spans, From: from, To: to})
			if err != nil {
				return st, fmt.Errorf("names of attributes: %w", err)
			}
			for _, n := range names {
				noteColumn(n.Name)
			}
			return st, e.nestedTags(ctx, from, to, &st, note)
		}
		p := newPlan(filter)
		err := e.newest(ctx, &p, columnar.Columns{AllFields: true}, from, to, &st, func(r *row) {
			for _, f := range r.fields {
				noteColumn(f.Name)
			}
			r.noteNested(note)
		})
		return st, err
	})
	out := map[traceql.Scope][]string{}
	for scope, names := range sets {
		for name := range names {
			out[scope] = append(out[scope], name)
		}
		slices.Sort(out[scope])
	}
	return out, st, err
}

// nestedTags looks at the newest spans with events, and with links.
func (e *Engine) nestedTags(ctx context.Context, from, to int64, st *Stats, note func(traceql.Scope, string)) error {
	for _, column := range [...]string{columnEvents, columnLinks} {
		p := plan{spanwise: true, selections: []selection{{fields: []columnar.FieldPredicate{{Name: column, Op: columnar.FieldNotEqual}}}}}
		if err := e.newest(ctx, &p, columnar.Columns{Fields: []string{column}}, from, to, st, func(r *row) { r.noteNested(note) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *row) noteNested(note func(traceql.Scope, string)) {
	for _, ev := range r.decoded().Events {
		for _, a := range ev.Attributes {
			note(traceql.EventScope, a.Key)
		}
	}
	for _, l := range r.decoded().Links {
		for _, a := range l.Attributes {
			note(traceql.LinkScope, a.Key)
		}
	}
}

// newest visits the newest spans that a spanwise plan selects, within the configured
// number of spans looked at.
func (e *Engine) newest(ctx context.Context, p *plan, columns columnar.Columns, from, to int64, st *Stats, visit func(*row)) error {
	if !columns.AllFields {
		columns.Fields = p.columns(columns.Fields...)
	}
	var evaluator traceql.Evaluator
	left := e.cfg.MaxTagRows
	return e.scan(ctx, p.selections, columns, from, to, columnar.Backward, st, func(r *row) (bool, error) {
		if !p.spanwise || p.matches(&evaluator, r) {
			visit(r)
		}
		left--
		return left > 0, nil
	})
}

// TagValues returns at most limit values of a field, sorted by type and value, of spans
// that start in [from, to), if a filter is given of those that it selects.
func (e *Engine) TagValues(ctx context.Context, field traceql.Field, filter *traceql.Query, from, to int64, limit int) ([]traceql.Value, Stats, error) {
	if limit <= 0 || limit > e.cfg.MaxTags {
		limit = e.cfg.MaxTags
	}
	seen := map[traceql.Value]bool{}
	note := func(v traceql.Value) {
		if !v.IsNil() && v.Type() != traceql.Other && len(seen) < limit && !seen[v] {
			seen[v.Clone()] = true
		}
	}
	var st Stats
	err := e.run(ctx, func(ctx context.Context) (Stats, error) {
		return st, e.tagValues(ctx, field, filter, from, to, limit, &st, note)
	})
	out := make([]traceql.Value, 0, len(seen))
	for v := range seen {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b traceql.Value) int {
		return cmp.Or(cmp.Compare(a.Type(), b.Type()), compareText(a, b))
	})
	return out, st, err
}

func compareText(a, b traceql.Value) int {
	x, ok := a.Number()
	y, _ := b.Number()
	if ok && x != y {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a.String(), b.String())
}

func (e *Engine) tagValues(ctx context.Context, field traceql.Field, filter *traceql.Query, from, to int64, limit int, st *Stats, note func(traceql.Value)) error {
	switch field.Intrinsic {
	case traceql.SpanStatus:
		for n := range int32(3) {
			note(traceql.StatusValue(n))
		}
		return nil
	case traceql.SpanKind:
		for n := range int32(6) {
			note(traceql.KindValue(n))
		}
		return nil
	case traceql.RootName, traceql.RootServiceName:
		return e.rootValues(ctx, field, from, to, st, note)
	case traceql.NoIntrinsic, traceql.SpanName, traceql.SpanStatusMessage, traceql.EventName,
		traceql.InstrumentationName, traceql.InstrumentationVersion:
	default:
		return nil // ids, times and places in the tree: nobody picks them from a list
	}
	field.Parent = false // what parents have, spans have
	if filter != nil || field.Many() {
		q := filter
		if q == nil {
			q = &traceql.Query{Pipeline: &traceql.Pipeline{Stages: []traceql.Stage{&traceql.Filter{}}}}
		}
		p := newPlan(q)
		if field.Many() {
			p.selections = conjunction(p.selections, hasNested(field))
		}
		var buf []traceql.Value
		return e.newest(ctx, &p, columnar.Columns{Fields: columnsOf(field)}, from, to, st, func(r *row) {
			buf = r.Values(&field, buf[:0])
			for _, v := range buf {
				note(v)
			}
		})
	}
	for _, column := range columnsOf(field) {
		values, _, err := e.store.FieldValues(ctx, columnar.CatalogQuery{Table: columnar.Spans, From: from, To: to}, column, limit)
		if err != nil {
			return fmt.Errorf("values of %s: %w", field, err)
		}
		for _, v := range values {
			note(value(v.Type, v.Value))
		}
	}
	return nil
}

// rootValues are those of the newest root spans.
func (e *Engine) rootValues(ctx context.Context, field traceql.Field, from, to int64, st *Stats, note func(traceql.Value)) error {
	own := traceql.Field{Intrinsic: traceql.SpanName, Name: "name"}
	if field.Intrinsic == traceql.RootServiceName {
		own = traceql.Attribute(traceql.ResourceScope, "service.name")
	}
	p := plan{spanwise: true, selections: []selection{{fields: []columnar.FieldPredicate{{Name: columnParentSpanID, Op: columnar.FieldEqual}}}}}
	return e.newest(ctx, &p, columnar.Columns{Fields: columnsOf(own)}, from, to, st, func(r *row) {
		for _, v := range r.Values(&own, nil) {
			note(v)
		}
	})
}

type tagsAnswer struct {
	TagNames []string      `json:"tagNames"`
	Metrics  searchMetrics `json:"metrics"`
}

type tagsV2Answer struct {
	Scopes  []scopeJSON   `json:"scopes"`
	Metrics searchMetrics `json:"metrics"`
}

type scopeJSON struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}

// findTags answers for the scope that the request names, or all.
func (a *API) findTags(ctx context.Context, form url.Values) ([]scopeJSON, Stats, error) {
	from, to, err := window(form, a.now(), time.Duration(a.engine.cfg.Lookback))
	if err != nil {
		return nil, Stats{}, err
	}
	limit, err := count(form, "limit")
	if err != nil {
		return nil, Stats{}, err
	}
	want := form.Get("scope")
	if want == "all" || want == "none" {
		want = ""
	}
	var out []scopeJSON
	var st Stats
	if want != "intrinsic" {
		var names map[traceql.Scope][]string
		if names, st, err = a.engine.Tags(ctx, lenientFilter(form.Get("q")), from, to); err != nil {
			return nil, st, err
		}
		known := want == ""
		for _, s := range tagScopes {
			known = known || want == s.scope.String()
			if tags := names[s.scope]; len(tags) > 0 && (want == "" || want == s.scope.String()) {
				out = append(out, scopeJSON{s.scope.String(), tags})
			}
		}
		if !known {
			return nil, st, badParam("scope", fmt.Errorf("%q is none of resource, span, instrumentation, event, link and intrinsic", want))
		}
	}
	if want == "" || want == "intrinsic" {
		names := traceql.Intrinsics()
		slices.Sort(names)
		out = append(out, scopeJSON{"intrinsic", names})
	}
	if limit > 0 {
		for i := range out {
			out[i].Tags = out[i].Tags[:min(limit, len(out[i].Tags))]
		}
	}
	return out, st, nil
}

func (a *API) tags(ctx context.Context, _ echo.Context, form url.Values) (answer, error) {
	scopes, st, err := a.findTags(ctx, form)
	if err != nil {
		return answer{}, err
	}
	names := []string{}
	for _, s := range scopes {
		if s.Name != "intrinsic" || form.Get("scope") == "intrinsic" {
			names = append(names, s.Tags...)
		}
	}
	slices.Sort(names)
	return jsonAnswer(tagsAnswer{slices.Compact(names), metricsOf(st)})
}

func (a *API) tagsV2(ctx context.Context, _ echo.Context, form url.Values) (answer, error) {
	scopes, st, err := a.findTags(ctx, form)
	if err != nil {
		return answer{}, err
	}
	if scopes == nil {
		scopes = []scopeJSON{}
	}
	return jsonAnswer(tagsV2Answer{scopes, metricsOf(st)})
}

type tagValuesAnswer struct {
	TagValues []string      `json:"tagValues"`
	Metrics   searchMetrics `json:"metrics"`
}

type tagValuesV2Answer struct {
	TagValues []typedJSON   `json:"tagValues"`
	Metrics   searchMetrics `json:"metrics"`
}

type typedJSON struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

func (a *API) findValues(ctx context.Context, form url.Values, field traceql.Field) ([]traceql.Value, Stats, error) {
	from, to, err := window(form, a.now(), time.Duration(a.engine.cfg.Lookback))
	if err != nil {
		return nil, Stats{}, err
	}
	limit, err := count(form, "limit")
	if err != nil {
		return nil, Stats{}, err
	}
	return a.engine.TagValues(ctx, field, lenientFilter(form.Get("q")), from, to, limit)
}

// tagValues takes the name of an attribute without its scope.
func (a *API) tagValues(ctx context.Context, c echo.Context, form url.Values) (answer, error) {
	name, err := pathParam(c, "name")
	if err != nil {
		return answer{}, err
	}
	switch name {
	case "status.code":
		name = "status"
	case "root.name":
		name = "rootName"
	case "root.service.name":
		name = "rootServiceName"
	}
	field, err := traceql.ParseField(name)
	if err != nil {
		field = traceql.Attribute(traceql.AnyScope, name)
	}
	values, st, err := a.findValues(ctx, form, field)
	if err != nil {
		return answer{}, err
	}
	out := tagValuesAnswer{[]string{}, metricsOf(st)}
	for _, v := range values {
		out.TagValues = append(out.TagValues, v.String())
	}
	return jsonAnswer(out)
}

// tagValuesV2 takes a field as queries write it.
func (a *API) tagValuesV2(ctx context.Context, c echo.Context, form url.Values) (answer, error) {
	name, err := pathParam(c, "name")
	if err != nil {
		return answer{}, err
	}
	field, err := traceql.ParseField(name)
	if err != nil {
		return answer{}, badParam("tag name", err)
	}
	values, st, err := a.findValues(ctx, form, field)
	if err != nil {
		return answer{}, err
	}
	out := tagValuesV2Answer{[]typedJSON{}, metricsOf(st)}
	for _, v := range values {
		typ := v.Type().String()
		if v.Type() == traceql.Status || v.Type() == traceql.Kind {
			typ = "keyword"
		}
		out.TagValues = append(out.TagValues, typedJSON{typ, v.String()})
	}
	return jsonAnswer(out)
}

// lenientFilter reads the query that lists are filtered by. People are still writing
// it: of a filter that is not whole it takes the conditions that are. Nil is no filter.
func lenientFilter(text string) *traceql.Query {
	if text == "" || len(text) > traceql.MaxQueryBytes {
		return nil
	}
	q, err := traceql.Parse(text)
	if err != nil {
		body := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "{"), "}")
		var whole []string
		for part := range strings.SplitSeq(body, "&&") {
			if _, err := traceql.Parse("{ " + part + " }"); err == nil && strings.TrimSpace(part) != "" {
				whole = append(whole, part)
			}
		}
		if len(whole) == 0 {
			return nil
		}
		if q, err = traceql.Parse("{ " + strings.Join(whole, " && ") + " }"); err != nil {
			return nil
		}
	}
	// Lists look at single spans.
	if p := newPlan(q); q.Metrics != nil || !p.spanwise || len(p.filters) == 0 {
		return nil
	}
	return q
}
