package columnar

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// FieldNames implements Catalog.
func (s *Store) FieldNames(ctx context.Context, q CatalogQuery) ([]FieldName, error) {
	type name struct {
		rows   int64
		types  map[ValueType]bool
		values map[string]bool
	}
	names := map[string]*name{}
	err := s.eachField(ctx, q, Columns{AllFields: true}, func(f Field) {
		n := names[f.Name]
		if n == nil {
			n = &name{types: map[ValueType]bool{}, values: map[string]bool{}}
			names[strings.Clone(f.Name)] = n
		}
		n.rows++
		n.types[f.Type] = true
		if !n.values[f.Value] {
			n.values[strings.Clone(f.Value)] = true
		}
	})
	if err != nil {
		return nil, fmt.Errorf("field names: %w", err)
	}
	out := make([]FieldName, 0, len(names))
	for text, n := range names {
		f := FieldName{Name: text, Rows: n.rows, Distinct: int64(len(n.values))}
		for t := range n.types {
			f.Types = append(f.Types, t)
		}
		slices.Sort(f.Types)
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b FieldName) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// FieldValues implements Catalog.
func (s *Store) FieldValues(ctx context.Context, q CatalogQuery, name string, limit int) ([]FieldValue, bool, error) {
	type key struct {
		value string
		typ   ValueType
	}
	values := map[key]int64{}
	err := s.eachField(ctx, q, Columns{Fields: []string{name}}, func(f Field) {
		if f.Name == name {
			values[key{strings.Clone(f.Value), f.Type}]++
		}
	})
	if err != nil {
		return nil, false, fmt.Errorf("field values: %w", err)
	}
	out := make([]FieldValue, 0, len(values))
	for k, n := range values {
		out = append(out, FieldValue{Value: k.value, Type: k.typ, Rows: n})
	}
	slices.SortFunc(out, func(a, b FieldValue) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Type, b.Type))
	})
	more := limit > 0 && len(out) > limit
	if more {
		out = out[:limit]
	}
	return out, more, nil
}

func (s *Store) eachField(ctx context.Context, q CatalogQuery, columns Columns, visit func(Field)) (err error) {
	cur, err := s.Select(ctx, Query{
		Table: q.Table, Tenants: q.Tenants, From: q.From, To: q.To, Matchers: q.Matchers, Columns: columns,
	})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := cur.Close(); err == nil {
			err = cerr
		}
	}()
	for {
		b, err := cur.Next(ctx)
		if b == nil || err != nil {
			return err
		}
		for _, fields := range b.Fields {
			for _, f := range fields {
				visit(f)
			}
		}
	}
}
