package usage

import (
	"context"
	"sync"
)

// Priorities of background work, the most urgent first.
const (
	recentHistory = iota
	fullHistory
	startMeasurement
	priorities
)

// queue is background work by priority. Those who put something in see to it that they put in each thing once.
type queue struct {
	mu    sync.Mutex
	jobs  [priorities][]func(context.Context)
	ready chan struct{}
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

func (q *queue) put(priority int, job func(context.Context)) {
	q.mu.Lock()
	q.jobs[priority] = append(q.jobs[priority], job)
	q.mu.Unlock()
	wake(q.ready)
}

func (q *queue) take() (job func(context.Context), more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.jobs {
		if len(q.jobs[i]) == 0 {
			continue
		}
		if job == nil {
			job = q.jobs[i][0]
			q.jobs[i][0] = nil
			q.jobs[i] = q.jobs[i][1:]
		}
		more = more || len(q.jobs[i]) > 0
	}
	return job, more
}

// work does jobs until the context ends.
func (q *queue) work(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.ready:
		}
		for ctx.Err() == nil {
			job, more := q.take()
			if job == nil {
				break
			}
			if more {
				wake(q.ready) // another worker
			}
			job(ctx)
		}
	}
}
