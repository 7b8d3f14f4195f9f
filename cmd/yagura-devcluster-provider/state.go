package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// state is what outlives the process: which nodes there should be. Names are never used twice, as machines of a cloud have IDs of
// their own. It is kept as JSON.
type state struct {
	Groups map[string]*groupState `json:"groups"`
}

type groupState struct {
	// Next is the number of the next node.
	Next int `json:"next"`
	// Wanted are the nodes that there should be, Leaving those being removed.
	Wanted  []string `json:"wanted"`
	Leaving []string `json:"leaving,omitempty"`
}

func loadState(path string) (*state, error) {
	s := &state{Groups: map[string]*groupState{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("read state in %s: %w", path, err)
	}
	if s.Groups == nil {
		s.Groups = map[string]*groupState{}
	}
	return s, nil
}

// save replaces the file, so that a reader sees the old or the new state.
func (s *state) save(path string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(append(text, '\n'))
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// adopt takes the nodes of a group that were there before it had a state.
func (s *state) adopt(g Group, existing []string) *groupState {
	if gs := s.Groups[g.Name]; gs != nil {
		return gs
	}
	gs := &groupState{Next: 1}
	for _, name := range existing {
		if n, ok := g.number(name); ok {
			gs.Wanted = append(gs.Wanted, name)
			gs.Next = max(gs.Next, n+1)
		}
	}
	slices.Sort(gs.Wanted)
	s.Groups[g.Name] = gs
	return gs
}
