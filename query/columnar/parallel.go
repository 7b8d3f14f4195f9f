package columnar

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// workers is how many goroutines share so many tasks, with a limit that is
// GOMAXPROCS when 0.
func workers(limit, tasks int) int {
	if limit == 0 {
		limit = runtime.GOMAXPROCS(0)
	}
	return min(limit, tasks)
}

var errPanic = errors.New("panic")

// panicked is the error for what recover returned; it says where.
func panicked(v any) error { return fmt.Errorf("%w: %v\n%s", errPanic, v, debug.Stack()) }

// guarded calls do, and turns a panic into an error. Nobody but the goroutine that
// panics can recover, and those of the store have no caller that would.
func guarded(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	return do()
}

// parallel calls do for each of the tasks, in so many goroutines, until one of them
// fails or panics, or ctx ends. The error is that of the first task that failed.
func parallel(ctx context.Context, workers, tasks int, do func(worker, task int) error) error {
	var (
		next   atomic.Int64
		failed atomic.Bool
		mu     sync.Mutex
		first  = tasks
		result error
	)
	work := func(worker int) {
		for !failed.Load() {
			task := int(next.Add(1)) - 1
			if task >= tasks {
				return
			}
			err := ctx.Err()
			if err == nil {
				err = guarded(func() error { return do(worker, task) })
			}
			if err == nil {
				continue
			}
			failed.Store(true)
			mu.Lock()
			if task < first {
				first, result = task, err
			}
			mu.Unlock()
		}
	}
	var group sync.WaitGroup
	for w := 1; w < workers; w++ {
		group.Go(func() { work(w) })
	}
	work(0) // the caller works, too: one worker costs no goroutine
	group.Wait()
	return result
}
