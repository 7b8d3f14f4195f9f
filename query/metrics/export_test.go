package metrics

import (
	"context"

	"github.com/prometheus/prometheus/tsdb"
)

// AppendUnmarked stores a batch as a process would that is killed between the
// commit of the data and that of the marker.
func (s *Store) AppendUnmarked(ctx context.Context, write func(*Appender) error) (Result, error) {
	return s.append(ctx, write)
}

// DB lets tests compact at a chosen moment.
func (s *Store) DB() *tsdb.DB { return s.db }

// Fail lets tests enter the state after a failed log write.
func (s *Store) Fail(err error) { _ = s.fail(err) }

// LogFailures reads the counter that Commit's swallowed errors end up in.
func (s *Store) LogFailures() (float64, bool) { return s.logs.failures() }
