package logs

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Tailers stands between ingest and the store and shows the log lines that the
// store has taken to live tails. It never makes ingest wait: each tail has a
// bounded buffer, and what does not fit is counted, and told to who tails. It is
// safe for concurrent use.
type Tailers struct {
	next columnar.Writer
	cfg  Config

	// open mirrors len(tails), so that ingest takes no lock when nobody tails.
	open atomic.Int32

	mu       sync.RWMutex // guards what follows
	tails    map[*tail]struct{}
	closed   bool
	sessions sync.WaitGroup

	lines, dropped prometheus.Counter
}

var errTailersClosed = errors.New("the server is shutting down")

// NewTailers puts tails in front of next. reg may be nil.
func NewTailers(next columnar.Writer, cfg Config, reg prometheus.Registerer) *Tailers {
	t := &Tailers{
		next: next, cfg: cfg, tails: map[*tail]struct{}{},
		lines: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_logs_tail_lines_total", Help: "Log lines sent to live tails.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_logs_tail_dropped_lines_total", Help: "Log lines of the streams of a live tail that it was too slow to take.",
		}),
	}
	if reg != nil {
		reg.MustRegister(t.lines, t.dropped, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "yagura_logs_tails", Help: "Live tails that are open.",
		}, func() float64 { return float64(t.open.Load()) }))
	}
	return t
}

// Append implements columnar.Writer: it is the store's, and shows the batch to the
// tails when the store has taken it for the first time.
func (t *Tailers) Append(ctx context.Context, b columnar.Batch) (duplicate bool, err error) {
	duplicate, err = t.next.Append(ctx, b)
	if err == nil && !duplicate && b.Table == columnar.Logs && t.open.Load() > 0 {
		t.offer(b.Streams, time.Now())
	}
	return duplicate, err
}

func (t *Tailers) offer(streams []columnar.Stream, now time.Time) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for tl := range t.tails {
		for _, s := range streams {
			if tl.matches(s.Labels) {
				t.dropped.Add(float64(tl.offer(s, now)))
			}
		}
	}
}

// subscribe opens a tail of the streams that match. Every tail must be left.
func (t *Tailers) subscribe(ms []*labels.Matcher) (*tail, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errTailersClosed
	}
	if len(t.tails) >= t.cfg.MaxTails {
		return nil, tooManyTails(len(t.tails)+1, t.cfg.MaxTails)
	}
	tl := &tail{
		matchers: ms, maxLines: t.cfg.TailBufferLines, maxBytes: t.cfg.TailBufferBytes,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	t.tails[tl] = struct{}{}
	t.open.Add(1)
	t.sessions.Add(1)
	return tl, nil
}

func (t *Tailers) leave(tl *tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tails, tl)
	t.open.Add(-1)
	t.sessions.Done()
}

// Close ends all tails, refuses new ones, and waits until the last has ended. The
// store stays open and goes on taking batches.
func (t *Tailers) Close() {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		for tl := range t.tails {
			close(tl.done)
		}
	}
	t.mu.Unlock()
	t.sessions.Wait()
}

// maxToldDrops bounds the dropped lines that one message spells out, as Loki does.
const maxToldDrops = 1000

// tail is the buffer of one live tail: lines of its streams that were stored and
// that it has not taken yet.
type tail struct {
	matchers []*labels.Matcher
	maxLines int
	maxBytes int64
	wake     chan struct{} // holds a token when something came
	done     chan struct{} // closed at shutdown

	mu    sync.Mutex // guards what follows
	rows  []tailRow  // in order of arrival
	bytes int64
	seq   uint64 // of the last row that was offered
	drops []tailDrop
}

type tailRow struct {
	columnar.Row
	labels  labels.Labels
	arrived time.Time
	seq     uint64
	size    int64
}

// tailDrop is a line that found the buffer full.
type tailDrop struct {
	timestamp int64
	labels    labels.Labels
}

func (t *tail) matches(stream labels.Labels) bool {
	for _, m := range t.matchers {
		if !m.Matches(stream.Get(m.Name)) {
			return false
		}
	}
	return true
}

// offer copies what fits, since the batch's memory is its sender's, and returns how
// many lines did not.
func (t *tail) offer(s columnar.Stream, now time.Time) (dropped int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	stream := s.Labels.Copy()
	for _, r := range s.Rows {
		t.seq++
		size := rowSize(r)
		if len(t.rows) >= t.maxLines || t.bytes+size > t.maxBytes {
			dropped++
			if len(t.drops) < maxToldDrops {
				t.drops = append(t.drops, tailDrop{r.Timestamp, stream})
			}
			continue
		}
		t.bytes += size
		t.rows = append(t.rows, tailRow{Row: cloneRow(r), labels: stream, arrived: now, seq: t.seq, size: size})
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
	return dropped
}

// rowOverhead is about what a buffered row takes beside its text.
const rowOverhead = 128

func rowSize(r columnar.Row) int64 {
	n := rowOverhead + len(r.Line)
	for _, f := range r.Fields {
		n += 40 + len(f.Name) + len(f.Value)
	}
	return int64(n)
}

func cloneRow(r columnar.Row) columnar.Row {
	out := columnar.Row{Timestamp: r.Timestamp, Line: strings.Clone(r.Line)}
	for _, f := range r.Fields {
		out.Fields = append(out.Fields, columnar.Field{Name: strings.Clone(f.Name), Value: strings.Clone(f.Value), Type: f.Type})
	}
	return out
}

// take removes the rows that arrived at or before due, and the drops. next is when
// the oldest row that is left arrived, zero when none is.
func (t *tail) take(due time.Time) (rows []tailRow, drops []tailDrop, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for n < len(t.rows) && !t.rows[n].arrived.After(due) {
		t.bytes -= t.rows[n].size
		n++
	}
	if n == len(t.rows) {
		rows, t.rows = t.rows, nil
	} else {
		rows = append(rows, t.rows[:n]...)
		t.rows = append([]tailRow(nil), t.rows[n:]...)
		next = t.rows[0].arrived
	}
	drops, t.drops = t.drops, nil
	return rows, drops, next
}

// offered is the number of the last row that came.
func (t *tail) offered() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seq
}
