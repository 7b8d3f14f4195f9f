package main

import (
	"context"
	"maps"
	"slices"
	"time"
)

// look is how often the nodes are compared with what there should be, besides whenever that changes.
const look = 10 * time.Second

// work makes and removes nodes until the context ends. What it leaves undone is done by the next process.
func (s *server) work(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		for s.step(ctx) {
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.wake:
		}
	}
}

// step makes or removes one node, and reports whether there may be more to do.
func (s *server) step(ctx context.Context) bool {
	g, name, leaving, ok := s.next(ctx)
	if !ok || ctx.Err() != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	start := time.Now()
	if leaving {
		if err := s.machines.remove(ctx, name); err != nil {
			s.logger.Error("a node could not be removed, and is tried again", "node", name, "error", err)
			return false
		}
		s.logger.Info("removed a node", "node", name, "seconds", time.Since(start).Seconds())
		s.done(g, name)
		return true
	}
	err := s.machines.add(ctx, name, g.labels(), g.Taints)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = time.Time{}
	switch {
	case err == nil:
		s.logger.Info("added a node", "node", name, "seconds", time.Since(start).Seconds())
	case ctx.Err() == nil || ctx.Err() == context.DeadlineExceeded:
		s.logger.Error("a node could not be added", "node", name, "error", err)
		s.failed[name] = err.Error()
	}
	return true
}

// next is a node to remove or, when there is none, one to make.
func (s *server) next(ctx context.Context) (g Group, name string, leaving, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.known(ctx); err != nil {
		s.logger.Warn("the cluster's nodes are not known", "error", err)
		return Group{}, "", false, false
	}
	names := slices.Sorted(maps.Keys(s.groups))
	for _, group := range names {
		if gone := s.state.Groups[group].Leaving; len(gone) > 0 {
			return s.groups[group], gone[0], true, true
		}
	}
	for _, group := range names {
		for _, name := range s.state.Groups[group].Wanted {
			if _, bad := s.failed[name]; !bad && !slices.Contains(s.existing, name) {
				return s.groups[group], name, false, true
			}
		}
	}
	return Group{}, "", false, false
}

// done forgets a node that was removed.
func (s *server) done(g Group, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = time.Time{}
	delete(s.failed, name)
	gs := s.state.Groups[g.Name]
	gs.Leaving = slices.DeleteFunc(gs.Leaving, func(n string) bool { return n == name })
	if err := s.state.save(s.path); err != nil {
		// It is removed once more, which does no harm.
		s.logger.Error("the removal of a node could not be written down", "node", name, "error", err)
	}
}
