package columnartest

import (
	"context"
	"errors"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Count implements columnar.Counter.
func (o *Oracle) Count(context.Context, columnar.CountQuery) ([]columnar.Count, columnar.Stats, error) {
	return nil, columnar.Stats{}, errors.ErrUnsupported
}

// FieldNames implements columnar.Catalog.
func (o *Oracle) FieldNames(context.Context, columnar.CatalogQuery) ([]columnar.FieldName, error) {
	return nil, errors.ErrUnsupported
}

// FieldValues implements columnar.Catalog.
func (o *Oracle) FieldValues(context.Context, columnar.CatalogQuery, string, int) ([]columnar.FieldValue, bool, error) {
	return nil, false, errors.ErrUnsupported
}

// Delete implements columnar.Deleter.
func (o *Oracle) Delete(context.Context, columnar.Deletion) (string, error) {
	return "", errors.ErrUnsupported
}

// Deletions implements columnar.Deleter.
func (o *Oracle) Deletions(context.Context) ([]columnar.Deletion, error) { return nil, nil }

// CancelDeletion implements columnar.Deleter.
func (o *Oracle) CancelDeletion(context.Context, string) error { return columnar.ErrNoDeletion }
