package columnartest

import (
	"context"
	"fmt"
	"slices"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Delete implements columnar.Deleter. The rows leave at once.
func (o *Oracle) Delete(_ context.Context, d columnar.Deletion) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d.ID == "" {
		d.ID = fmt.Sprint("deletion ", len(o.deletions))
	}
	q := columnar.Query{Lines: d.Lines, Fields: d.Fields}
	var failed error
	kept := o.rows[:0:0]
	for _, r := range o.rows {
		covered := r.table == d.Table && r.Timestamp >= d.From && r.Timestamp < d.To &&
			(len(d.Tenants) == 0 || slices.Contains(d.Tenants, r.tenant))
		for _, m := range d.Matchers {
			covered = covered && m.Matches(r.labels.Get(m.Name))
		}
		if covered {
			ok, err := holds(&q, r.Row)
			if err != nil {
				failed = err
			}
			covered = ok
		}
		if !covered {
			kept = append(kept, r)
		}
	}
	if failed != nil {
		return "", failed
	}
	o.rows = kept
	d.Done = true
	o.deletions = append(o.deletions, d)
	return d.ID, nil
}

// Deletions implements columnar.Deleter.
func (o *Oracle) Deletions(context.Context) ([]columnar.Deletion, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.deletions), nil
}

// CancelDeletion implements columnar.Deleter: all are finished.
func (o *Oracle) CancelDeletion(context.Context, string) error { return columnar.ErrNoDeletion }
