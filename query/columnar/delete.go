package columnar

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A deletion is an entry in the manifest. Delete first writes the memory table to
// parts, so that the rows it covers are all in parts; they are hidden there from
// then on (see hiddenRows), and the merger writes each part that has some of them
// anew without them. A part's meta data says up to which deletion it is clean.
const (
	// deletionMemory is how long a finished deletion is listed.
	deletionMemory = 24 * time.Hour
	// maxDeletions and maxDeletionsBytes bound the unfinished deletions and their texts,
	// which each query evaluates and each manifest holds.
	maxDeletions      = 1000
	maxDeletionsBytes = 4 << 20
	// maxFinished and maxFinishedBytes bound the finished ones that are listed.
	maxFinished      = 1000
	maxFinishedBytes = 256 << 10
)

// Delete implements Deleter. It is refused with ErrFull when too many deletions are
// unfinished or their texts are too long in all, and with ErrTooLarge when the texts
// of this one are. The rows are
// gone from Select and Count at once; Streams, NewestTimestamp and the catalogue
// follow when they leave the disk, but for blocks of which the catalogue knows
// without reading them that nothing is left.
func (s *Store) Delete(ctx context.Context, d Deletion) (string, error) {
	if s.closed() {
		return "", ErrClosed
	}
	if d.ID == "" {
		var id [8]byte
		_, _ = rand.Read(id[:]) // never fails
		d.ID = hex.EncodeToString(id[:])
	}
	d.Created, d.Done = s.clock.Now(), false
	if _, err := compileDeletion(d, 0); err != nil {
		return "", err
	}
	if err := s.Flush(ctx); err != nil {
		return "", fmt.Errorf("delete: %w", err)
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	unfinished, size := 0, 0
	for _, other := range s.deletions {
		if other.ID == d.ID {
			return "", fmt.Errorf("delete: there is a deletion %q already", d.ID)
		}
		if !other.Done {
			unfinished++
			size += other.size()
		}
	}
	if unfinished >= maxDeletions {
		return "", fmt.Errorf("delete: %d deletions are unfinished: %w", unfinished, ErrFull)
	}
	m := s.manifest
	m.LastDeletion++
	fresh, err := compileDeletion(d, m.LastDeletion)
	if err != nil {
		return "", err
	}
	if size += fresh.size(); size > maxDeletionsBytes {
		return "", fmt.Errorf("delete: unfinished deletions would have %d bytes: %w", size, ErrFull)
	}
	if err := s.commitDeletions(m, append(slices.Clone(s.deletions), fresh), fresh); err != nil {
		return "", fmt.Errorf("delete: %w", err)
	}
	if s.unsynced != nil {
		return d.ID, fmt.Errorf("delete: a crash of the machine may undo it: %w", s.unsynced)
	}
	s.metrics.deletions.WithLabelValues("accepted").Inc()
	s.log.Info("deletion accepted", "id", d.ID, "query", d.Query, "from", time.Unix(0, d.From), "to", time.Unix(0, d.To))
	notify(s.mergeable)
	return d.ID, nil
}

// Deletions implements Deleter.
func (s *Store) Deletions(ctx context.Context) ([]Deletion, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.closed() {
		return nil, ErrClosed
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	var out []Deletion
	for _, d := range unforgotten(s.deletions, s.clock.Now()) {
		copied := d.Deletion
		copied.Tenants, copied.Matchers = slices.Clone(d.Tenants), slices.Clone(d.Matchers)
		copied.Lines, copied.Fields = slices.Clone(d.Lines), slices.Clone(d.Fields)
		out = append(out, copied)
	}
	return out, nil
}

// CancelDeletion implements Deleter.
func (s *Store) CancelDeletion(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed() {
		return ErrClosed
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	at := slices.IndexFunc(s.deletions, func(d *deletion) bool { return d.ID == id && !d.Done })
	if at < 0 {
		return fmt.Errorf("cancel %q: %w", id, ErrNoDeletion)
	}
	left := slices.Delete(slices.Clone(s.deletions), at, at+1)
	if err := s.commitDeletions(s.manifest, left); err != nil {
		return fmt.Errorf("cancel deletion: %w", err)
	}
	notify(s.mergeable) // a merge may have been given up for it
	s.metrics.deletions.WithLabelValues("canceled").Inc()
	s.log.Info("deletion canceled", "id", id)
	return nil
}

// commitDeletions replaces the list of deletions. The caller holds commitMu.
func (s *Store) commitDeletions(m manifest, all []*deletion, fresh ...*deletion) error {
	before := s.deletions
	s.deletions = all
	if err := s.commitParts(m, nil, nil, func() {}, fresh...); err != nil {
		s.deletions = before
		return err
	}
	return nil
}

// settleDeletions marks the deletions that no part has rows of any more, and
// forgets those that were done long ago. hidden has an entry for each part.
func (s *Store) settleDeletions(hidden map[*part]*hiddenRows) []*deletion {
	if len(s.deletions) == 0 {
		return nil
	}
	open := map[*deletion]bool{}
	for _, h := range hidden {
		if h != nil {
			for _, d := range h.deletions {
				open[d.deletion] = true
			}
		}
	}
	now := s.clock.Now()
	out := make([]*deletion, 0, len(s.deletions))
	for _, d := range s.deletions {
		if !d.Done && !open[d] && !s.lostTo(d) {
			d = d.done(now)
		}
		out = append(out, d)
	}
	return unforgotten(out, now)
}

// setDeletions replaces the list, once the manifest has the new one.
func (s *Store) setDeletions(after []*deletion) {
	for _, d := range after {
		if d.Done && !slices.Contains(s.deletions, d) {
			s.metrics.deletions.WithLabelValues("done").Inc()
			s.log.Info("the rows of a deletion have left the disk", "id", d.ID, "took", d.ended.Sub(d.Created))
		}
	}
	s.deletions = after
}

// lostTo reports whether a part that cannot be opened may hold rows of the
// deletion: they are still on disk, and would come back with a repair.
func (s *Store) lostTo(d *deletion) bool {
	return slices.ContainsFunc(s.lostParts, func(l lostPart) bool { return d.number > l.Purged && d.overlaps(&l.partMeta) })
}

// unforgotten leaves out those that were done long ago, and of the others that are
// done those that ended first if they are too many.
func unforgotten(all []*deletion, now time.Time) []*deletion {
	var finished []*deletion
	for _, d := range all {
		if d.Done && now.Sub(d.ended) <= deletionMemory {
			finished = append(finished, d)
		}
	}
	slices.SortStableFunc(finished, func(a, b *deletion) int {
		return cmp.Or(b.ended.Compare(a.ended), cmp.Compare(b.number, a.number))
	})
	listed, size := map[*deletion]bool{}, 0
	for _, d := range finished {
		if size += d.size(); size > maxFinishedBytes || len(listed) == maxFinished {
			break
		}
		listed[d] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(d *deletion) bool { return d.Done && !listed[d] })
}

// loadDeletions makes those of the manifest ready.
func (s *Store) loadDeletions() error {
	var errs []error
	for i := range s.manifest.Deletions {
		d, err := s.manifest.Deletions[i].deletion()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.deletions = append(s.deletions, d)
	}
	// A store that forgot a deletion would show what is to be forgotten.
	return errors.Join(errs...)
}
