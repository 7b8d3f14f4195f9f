package columnartest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/yagura-dev/yagura/query/columnar"
)

// selected returns the rows of a query in no particular order.
func (o *Oracle) selected(q *columnar.Query) ([]oracleRow, error) {
	var out []oracleRow
	for _, r := range o.matching(q.Table, q.Tenants, q.From, q.To, q.Matchers) {
		ok, err := holds(q, r.Row)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, r)
		}
	}
	return out, nil
}

// Count implements columnar.Counter.
func (o *Oracle) Count(ctx context.Context, q columnar.CountQuery) ([]columnar.Count, columnar.Stats, error) {
	if err := ctx.Err(); err != nil {
		return nil, columnar.Stats{}, err
	}
	if q.Width < 0 {
		return nil, columnar.Stats{}, errors.New("count: negative width")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	rows, err := o.selected(&q.Query)
	if err != nil {
		return nil, columnar.Stats{}, err
	}
	sums := map[[2]int]columnar.Count{}
	groups := map[string]int{}
	for _, r := range rows {
		key := [2]int{}
		if q.Group != nil {
			stream := fmt.Sprint(r.tenant, r.labels)
			if _, ok := groups[stream]; !ok {
				groups[stream] = q.Group(r.labels)
			}
			if key[0] = groups[stream]; key[0] < 0 {
				continue
			}
		}
		if q.Width > 0 {
			key[1] = int(uint64(r.Timestamp-q.Query.From) / uint64(q.Width))
		}
		c := sums[key]
		c.Group, c.Bucket = key[0], key[1]
		c.Rows++
		if q.LineBytes {
			c.Bytes += int64(len(r.Line))
		}
		sums[key] = c
	}
	out := []columnar.Count{}
	for _, c := range sums {
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Group != out[j].Group {
			return out[i].Group < out[j].Group
		}
		return out[i].Bucket < out[j].Bucket
	})
	return out, columnar.Stats{Rows: int64(len(rows))}, nil
}

// FieldNames implements columnar.Catalog.
func (o *Oracle) FieldNames(_ context.Context, q columnar.CatalogQuery) ([]columnar.FieldName, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := map[string]*columnar.FieldName{}
	values := map[[2]string]bool{}
	for _, r := range o.matching(q.Table, q.Tenants, q.From, q.To, q.Matchers) {
		seen := map[string]bool{}
		for _, f := range r.Fields {
			n := names[f.Name]
			if n == nil {
				n = &columnar.FieldName{Name: f.Name}
				names[f.Name] = n
			}
			if !slices.Contains(n.Types, f.Type) {
				n.Types = append(n.Types, f.Type)
				slices.Sort(n.Types)
			}
			if !seen[f.Name] {
				seen[f.Name] = true
				n.Rows++
			}
			if !values[[2]string{f.Name, f.Value}] {
				values[[2]string{f.Name, f.Value}] = true
				n.Distinct++
			}
		}
	}
	out := []columnar.FieldName{}
	for _, n := range names {
		out = append(out, *n)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// FieldValues implements columnar.Catalog.
func (o *Oracle) FieldValues(_ context.Context, q columnar.CatalogQuery, name string, limit int) ([]columnar.FieldValue, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	counts := map[columnar.FieldValue]int64{}
	for _, r := range o.matching(q.Table, q.Tenants, q.From, q.To, q.Matchers) {
		for _, f := range r.Fields {
			if f.Name == name {
				counts[columnar.FieldValue{Value: f.Value, Type: f.Type}]++
			}
		}
	}
	out := []columnar.FieldValue{}
	for v, n := range counts {
		v.Rows = n
		out = append(out, v)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.Rows != b.Rows {
			return a.Rows > b.Rows
		}
		if a.Value != b.Value {
			return a.Value < b.Value
		}
		return a.Type < b.Type
	})
	if limit > 0 && len(out) > limit {
		return out[:limit], true, nil
	}
	return out, false, nil
}
