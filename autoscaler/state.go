package autoscaler

import (
	"fmt"
	"sync"
	"time"
)

// Phase is how far the autoscaler has got.
type Phase string

const (
	// WaitingForKubeconfig means that there is no usable kubeconfig yet.
	WaitingForKubeconfig Phase = "WaitingForKubeconfig"
	// WaitingForAPIServer means that the API server does not answer.
	WaitingForAPIServer Phase = "WaitingForAPIServer"
	// WaitingForDefinitions means that the cluster does not know WorkloadAutoscalers yet.
	WaitingForDefinitions Phase = "WaitingForDefinitions"
	// Syncing means that what the cluster has is being read.
	Syncing Phase = "Syncing"
	// Standby means that another autoscaler leads.
	Standby Phase = "Standby"
	// Leading means that this one carries policies out.
	Leading Phase = "Leading"
	// Stopped means that Run has ended.
	Stopped Phase = "Stopped"
)

// State is what the autoscaler is doing.
type State struct {
	Phase Phase `json:"phase"`
	// Message says what it waits for, or who leads; it is empty when there is nothing to say.
	Message string `json:"message,omitempty"`
	// Since is when the phase began.
	Since time.Time `json:"since"`
	// Policies is how many policies are carried out.
	Policies int `json:"policies"`
	// LastTick is when the last round of evaluations ended.
	LastTick time.Time `json:"lastTick,omitzero"`
}

// board holds the state. It is safe for concurrent use.
type board struct {
	mu    sync.Mutex
	state State
}

// set moves to a phase. It reports whether the phase or the message is another one than before.
func (b *board) set(now time.Time, phase Phase, message string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	changed := b.state.Phase != phase || b.state.Message != message
	if b.state.Phase != phase {
		b.state.Since = now
	}
	b.state.Phase, b.state.Message = phase, message
	return changed
}

func (b *board) get() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// maxSilence is how long a round of evaluations may take before the process counts as stuck.
const maxSilence = 30 * time.Second

// healthy says why the process should be restarted, nil when it should not.
func (s State) healthy(now time.Time) error {
	if s.Phase != Leading {
		return nil
	}
	last := s.Since
	if s.LastTick.After(last) {
		last = s.LastTick
	}
	if silent := now.Sub(last); silent > maxSilence {
		return fmt.Errorf("no policies were evaluated for %s", silent.Round(time.Second))
	}
	return nil
}

// ready says why the process cannot take over yet, nil when it can.
func (s State) ready() error {
	if s.Phase == Standby || s.Phase == Leading {
		return nil
	}
	return fmt.Errorf("%s: %s", s.Phase, s.Message)
}
