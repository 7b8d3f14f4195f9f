package logs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/grafana/loki/v3/pkg/logqlmodel/metadata"
	"github.com/grafana/loki/v3/pkg/logqlmodel/stats"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// execution is what the selections of one query share: its bounds, what it has
// cost so far, and the first error. The engine has iterators that swallow errors,
// so the caller must look at err when the engine is done.
type execution struct {
	cfg   Config
	bytes atomic.Int64
	rows  atomic.Int64
	err   atomic.Pointer[error]
	// memory is what the query holds.
	memory memoryLease

	mu   sync.Mutex
	open []func() error // closes the selections made so far
}

func (e *execution) opened(closer func() error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open = append(e.open, closer)
}

// close closes what the engine has left open: it forgets one leg of a binary
// operation when the other cannot be evaluated.
func (e *execution) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, closer := range e.open {
		_ = closer()
	}
}

func (e *execution) fail(err error) error {
	var budget *columnar.BudgetError
	if errors.As(err, &budget) {
		err = budgetError(budget)
	}
	e.err.CompareAndSwap(nil, &err)
	return err
}

func (e *execution) failure() error {
	if p := e.err.Load(); p != nil {
		return *p
	}
	return nil
}

// budget is what one query of the store may cost.
func (e *execution) budget() columnar.Budget {
	return columnar.Budget{MaxBytes: e.cfg.MaxQueryBytes, MaxRows: e.cfg.MaxQueryRows, MaxStreams: e.cfg.MaxStreams}
}

// charge adds to the cost of the query. A query may select many times (each leg
// of a binary operation does), and the bounds are about all of it.
func (e *execution) charge(bytes, rows int64) error {
	b, r := e.bytes.Add(bytes), e.rows.Add(rows)
	if e.cfg.MaxQueryBytes > 0 && b > e.cfg.MaxQueryBytes {
		return &columnar.BudgetError{Bound: "MaxBytes", Limit: e.cfg.MaxQueryBytes}
	}
	if e.cfg.MaxQueryRows > 0 && r > e.cfg.MaxQueryRows {
		return &columnar.BudgetError{Bound: "MaxRows", Limit: e.cfg.MaxQueryRows}
	}
	return nil
}

// selection walks the rows of one store query, with a value of type S for each
// stream, made by forStream when the stream first appears.
type selection[S any] struct {
	ctx       context.Context
	exec      *execution
	cur       columnar.Cursor
	forStream func(labels.Labels) S

	streams map[uint64]*streamState[S]
	refs    []*streamState[S] // by the batch's stream index
	batch   *columnar.ColumnBatch
	row     int

	meta    labels.ScratchBuilder
	charged columnar.Stats
	kept    int64
	err     error
	closed  bool
}

type streamState[S any] struct {
	hash  uint64
	value S
}

func newSelection[S any](ctx context.Context, exec *execution, r columnar.Reader, q columnar.Query, forStream func(labels.Labels) S) (*selection[S], error) {
	q.Budget = exec.budget()
	cur, err := r.Select(ctx, q)
	if err != nil {
		return nil, exec.fail(err)
	}
	s := &selection[S]{
		ctx: ctx, exec: exec, cur: cur, forStream: forStream,
		streams: map[uint64]*streamState[S]{}, meta: labels.NewScratchBuilder(16), row: -1,
	}
	exec.opened(s.close)
	return s, nil
}

// next moves to the next row and reports false at the end or after an error.
func (s *selection[S]) next() bool {
	s.row++
	return s.current()
}

// current makes the current row available, reading the next batch when the last
// one is used up, and reports false at the end or after an error.
func (s *selection[S]) current() bool {
	if s.err != nil || s.closed {
		return false
	}
	for s.batch == nil || s.row >= s.batch.Len() {
		batch, err := s.cur.Next(s.ctx)
		if err == nil {
			err = s.account()
		}
		if err != nil {
			s.err = s.exec.fail(err)
			return false
		}
		if batch == nil {
			s.closed = true
			return false
		}
		s.batch, s.row = batch, 0
		s.refs = slices.Grow(s.refs[:0], len(batch.Streams))[:len(batch.Streams)]
		clear(s.refs)
	}
	return true
}

func (s *selection[S]) timestamp() int64 { return s.batch.Timestamps[s.row] }

// line is valid until next.
func (s *selection[S]) line() string {
	if s.batch.Lines == nil {
		return ""
	}
	return s.batch.Lines[s.row]
}

func (s *selection[S]) stream() *streamState[S] {
	ref := s.batch.StreamRefs[s.row]
	st := s.refs[ref]
	if st == nil {
		lbls := s.batch.Streams[ref]
		hash := labels.StableHash(lbls)
		if st = s.streams[hash]; st == nil {
			st = &streamState[S]{hash: hash, value: s.forStream(lbls.Copy())}
			s.streams[hash] = st
		}
		s.refs[ref] = st
	}
	return st
}

// metadata is the row's structured metadata as labels, in the row's order. It is
// valid until next.
func (s *selection[S]) metadata(into *labels.Labels) labels.Labels {
	if s.batch.Fields == nil || len(s.batch.Fields[s.row]) == 0 {
		return labels.EmptyLabels()
	}
	s.meta.Reset()
	for _, f := range s.batch.Fields[s.row] {
		s.meta.Add(f.Name, f.Value)
	}
	s.meta.Overwrite(into)
	return *into
}

// account charges what the store has decoded since the last call.
func (s *selection[S]) account() error {
	st := s.cur.Stats()
	err := s.exec.charge(st.Bytes-s.charged.Bytes, st.Rows-s.charged.Rows)
	s.charged = st
	return err
}

// close ends the walk and reports its cost to the engine's statistics.
func (s *selection[S]) close() error {
	if s.cur == nil {
		return nil
	}
	_ = s.account()
	reportStats(s.ctx, s.charged, s.kept)
	err := s.cur.Close()
	s.cur, s.closed, s.batch = nil, true, nil
	return err
}

// reportStats adds the cost of a store query to the statistics of the answer.
func reportStats(ctx context.Context, st columnar.Stats, kept int64) {
	sc := stats.FromContext(ctx)
	sc.AddDecompressedBytes(st.Bytes)
	sc.AddDecompressedLines(st.Rows)
	sc.AddCompressedBytes(st.CompressedBytes)
	sc.AddPostFilterLines(kept)
	sc.AddChunksRef(st.BlocksTotal)
	sc.AddChunksDownloaded(st.BlocksTotal - st.BlocksSkipped)
	if st.BlocksLost > 0 {
		metadata.FromContext(ctx).AddWarning(fmt.Sprintf("%d damaged blocks of the store could not be read; their lines are missing from this answer", st.BlocksLost))
	}
}

// detach copies a line that the pipeline passed through unchanged: the store's
// batch, of which it is a part, must not stay in memory for a line's sake.
func detach(out, in string) string {
	if len(out) > 0 && unsafe.StringData(out) == unsafe.StringData(in) {
		return strings.Clone(out)
	}
	return out
}
