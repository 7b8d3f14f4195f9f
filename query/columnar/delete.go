package columnar

import (
	"context"
	"errors"
)

// Delete implements Deleter.
func (s *Store) Delete(context.Context, Deletion) (string, error) { return "", errors.ErrUnsupported }

// Deletions implements Deleter.
func (s *Store) Deletions(context.Context) ([]Deletion, error) { return nil, nil }

// CancelDeletion implements Deleter.
func (s *Store) CancelDeletion(context.Context, string) error { return ErrNoDeletion }
