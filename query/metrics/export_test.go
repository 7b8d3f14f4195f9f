package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
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

// LogWatch is logWatch.
type LogWatch struct{ *logWatch }

// NewLogWatch watches what is registered through it.
func NewLogWatch(r prometheus.Registerer) LogWatch {
	return LogWatch{&logWatch{Registerer: r}}
}

// Failures is what the watched counter says.
func (w LogWatch) Failures() (float64, bool) { return w.failures() }
