package traces

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// FoundTrace is a trace with a span that a search describes.
type FoundTrace struct {
	ID    TraceID
	Start int64 // of its newest such span, Unix nanoseconds
}

// find returns the ids of candidates.
func (q *Querier) find(ctx context.Context, s Search) ([]TraceID, error) {
	found, err := q.candidates(ctx, s)
	ids := make([]TraceID, len(found))
	for i, f := range found {
		ids[i] = f.ID
	}
	return ids, err
}

// candidates returns the traces that the search describes, those with the newest
// such span first, at most as many as it asks for.
func (q *Querier) candidates(ctx context.Context, s Search) ([]FoundTrace, error) {
	p, err := q.plan(ctx, s)
	if err != nil {
		return nil, err
	}
	// The newest of all are among the newest of each branch.
	newest := map[TraceID]int64{}
	for _, branch := range p.branches {
		if err := q.walk(ctx, s, p, branch, newest); err != nil {
			return nil, err
		}
	}
	out := make([]FoundTrace, 0, len(newest))
	for id, start := range newest {
		out = append(out, FoundTrace{ID: id, Start: start})
	}
	slices.SortFunc(out, func(a, b FoundTrace) int {
		return cmp.Or(cmp.Compare(b.Start, a.Start), slices.Compare(a.ID[:], b.ID[:]))
	})
	return out[:min(len(out), s.Limit)], nil
}

// walk reads the rows of one branch from the newest on until they are of as many
// traces as the search asks for.
func (q *Querier) walk(ctx context.Context, s Search, p plan, branch []columnar.FieldPredicate, newest map[TraceID]int64) error {
	query := columnar.Query{
		Table: columnar.Spans, From: unixNano(s.Start), To: unixNano(s.End.Add(time.Microsecond)),
		Fields: branch, Columns: columnar.Columns{Fields: []string{fieldTraceID}}, Direction: columnar.Backward,
	}
	if s.Service != "" {
		query.Matchers = []*labels.Matcher{serviceMatcher(s.Service)}
	}
	if p.evaluate {
		query.Columns = s.columns()
	}
	seen := map[TraceID]struct{}{}
	_, err := q.scanApplied(ctx, query, func(all bool, ts int64, fields []columnar.Field) (bool, error) {
		if (p.evaluate || !all) && !s.match(fields) {
			return true, nil
		}
		id := traceIDOf(fields)
		if id.IsZero() {
			return true, nil
		}
		seen[id] = struct{}{}
		if known, ok := newest[id]; !ok || ts > known {
			newest[id] = ts
		}
		return len(seen) < s.Limit, nil
	})
	return err
}

func traceIDOf(fields []columnar.Field) (id TraceID) {
	for _, f := range fields {
		if f.Name == fieldTraceID {
			if decodeHex(id[:], f.Value) != nil {
				return TraceID{}
			}
			return id
		}
	}
	return id
}

// plan is a search in the store's terms: the union of branches, each a conjunction
// that the store evaluates.
type plan struct {
	branches [][]columnar.FieldPredicate
	// evaluate means that the branches let through rows that the search is not for.
	evaluate bool
}

// maxBranches bounds the queries of one search. Beyond it the tags that could be in
// most places are looked for in what the others find.
const maxBranches = 16

// plan finds out where the search's tags can be. A tag is an attribute of the span,
// its resource or scope, of an event or a link, or what OTLP has a field for; which
// of these there are at all, the store's catalog knows.
func (q *Querier) plan(ctx context.Context, s Search) (plan, error) {
	p := plan{branches: [][]columnar.FieldPredicate{s.predicates()}}
	if len(s.Tags) == 0 {
		return p, nil
	}
	known, err := q.fieldNames(ctx, s)
	if err != nil {
		return p, err
	}
	var tags [][]place
	for _, key := range slices.Sorted(maps.Keys(s.Tags)) {
		places := placesOf(key, s.Tags[key], known)
		if len(places) == 0 {
			return plan{}, nil
		}
		tags = append(tags, places)
	}
	slices.SortStableFunc(tags, func(a, b []place) int { return cmp.Compare(len(a), len(b)) })
	for _, places := range tags {
		if len(p.branches)*len(places) > maxBranches {
			p.evaluate = true
			break
		}
		var next [][]columnar.FieldPredicate
		for _, b := range p.branches {
			for _, pl := range places {
				next = append(next, append(slices.Clone(b), pl.predicates...))
				p.evaluate = p.evaluate || !pl.exact
			}
		}
		p.branches = next
	}
	return p, nil
}

func (q *Querier) fieldNames(ctx context.Context, s Search) (map[string]columnar.FieldName, error) {
	query := columnar.CatalogQuery{Table: columnar.Spans, From: unixNano(s.Start), To: unixNano(s.End.Add(time.Microsecond))}
	if s.Service != "" {
		query.Matchers = []*labels.Matcher{serviceMatcher(s.Service)}
	}
	names, err := q.store.FieldNames(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list the fields of spans: %w", err)
	}
	known := make(map[string]columnar.FieldName, len(names))
	for _, n := range names {
		known[n.Name] = n
	}
	return known, nil
}

// place is where a tag may be. exact means that its predicates say all.
type place struct {
	predicates []columnar.FieldPredicate
	exact      bool
}

func placesOf(key, value string, known map[string]columnar.FieldName) []place {
	if value == "" {
		// The store takes a missing field for an empty one; a tag must be there.
		return []place{{}}
	}
	var out []place
	equal := func(name, text string) {
		n, ok := known[name]
		switch {
		case !ok:
		case slices.Contains(n.Types, columnar.JSON):
			// Arrays are searched by how they are shown, which is not how they are stored.
			out = append(out, place{predicates: []columnar.FieldPredicate{{Name: name, Op: columnar.FieldNotEqual}}})
		default:
			out = append(out, place{exact: true, predicates: []columnar.FieldPredicate{{Name: name, Op: columnar.FieldEqual, Text: text}}})
		}
	}
	equal(prefixSpan+key, value)
	equal(prefixResource+key, value)
	equal(prefixScope+key, value)
	if bare, ok := strings.CutPrefix(key, tagScopePrefix); ok {
		equal(prefixScope+bare, value)
	}
	if name, text, ok := columnOf(key, value); ok {
		equal(name, text)
	}
	// Both are JSON that is searched for the key as the codec writes it; what has it
	// is decoded.
	for _, name := range [...]string{fieldEvents, fieldLinks} {
		if _, ok := known[name]; !ok || name == fieldLinks && key == tagEvent {
			continue
		}
		text := string(appendJSONString(nil, key))
		if key == tagEvent {
			text = "" // the event's name, or an attribute of that name
		}
		out = append(out, place{predicates: []columnar.FieldPredicate{{
			Name: name, Op: columnar.FieldMatches, Text: "(?s:.*" + regexp.QuoteMeta(text) + ".*)",
		}}})
	}
	return out
}

// columnOf is the column that holds what Jaeger calls a tag, and the text in it.
func columnOf(key, value string) (name, text string, ok bool) {
	switch key {
	case tagError:
		return fieldStatusCode, StatusError.String(), value == "true"
	case tagStatusCode:
		text = strings.ToLower(value)
		return fieldStatusCode, text, strings.ToUpper(text) == value && text != StatusUnset.String()
	case tagSpanKind:
		return fieldKind, value, true
	case tagStatusDescription:
		return fieldStatusMessage, value, true
	case tagScopeName:
		return fieldScopeName, value, true
	case tagScopeVersion:
		return fieldScopeVersion, value, true
	case tagTraceState:
		return fieldTraceState, value, true
	}
	return "", "", false
}
