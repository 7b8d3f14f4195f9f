package metrics_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
)

func batchID(seq uint64) columnar.BatchID {
	return columnar.BatchID{Collector: "c1", Stream: "metrics", Sequence: seq}
}

func TestRepeatIsStoredOnce(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	at := ms(-time.Minute)
	s := open(t, dir)

	_, dup, err := s.AppendBatch(ctx, batchID(1), floats("a", point{at, 1}))
	require.NoError(t, err)
	require.False(t, dup)

	never := func(*metrics.Appender) error { return errors.New("a repeat must not be written") }
	_, dup, err = s.AppendBatch(ctx, batchID(1), never)
	require.NoError(t, err)
	require.True(t, dup)

	// Sequences may jump: a sender's queue drops what became too old.
	_, dup, err = s.AppendBatch(ctx, batchID(7), floats("a", point{at + 1000, 2}))
	require.NoError(t, err)
	require.False(t, dup)
	_, dup, err = s.AppendBatch(ctx, batchID(6), never)
	require.NoError(t, err)
	require.True(t, dup)

	// Other streams and collectors count for themselves; unnamed batches always store.
	for _, id := range []columnar.BatchID{{Collector: "c1", Stream: "otlp-metrics", Sequence: 1}, {Collector: "c2", Stream: "metrics", Sequence: 1}, {}, {}} {
		_, dup, err = s.AppendBatch(ctx, id, floats("b", point{at, 1}))
		require.NoError(t, err)
		require.False(t, dup)
	}
	require.NoError(t, s.Close())

	s = open(t, dir)
	for _, seq := range []uint64{1, 6, 7} {
		_, dup, err = s.AppendBatch(ctx, batchID(seq), never)
		require.NoError(t, err)
		require.True(t, dup, "sequence %d after a restart", seq)
	}
	require.Equal(t, map[string][]point{`{__name__="a"}`: {{at, 1}, {at + 1000, 2}}}, stored(t, s, "a"))
}

// Batches come faster than the clock's millisecond, and the clock may step back:
// the marker must not be refused as a duplicate or as too old.
func TestMarkersDoNotDependOnTheClock(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	clock := func(o *metrics.Options) { o.Now = func() time.Time { return now } }
	s := open(t, dir, clock)
	ctx := context.Background()
	for seq := uint64(1); seq <= 50; seq++ {
		if seq == 25 {
			now = now.Add(-20 * time.Hour)
		}
		_, dup, err := s.AppendBatch(ctx, batchID(seq), floats("a"))
		require.NoError(t, err)
		require.False(t, dup)
	}
	require.NoError(t, s.Close())
	s = open(t, dir, clock)
	_, dup, err := s.AppendBatch(ctx, batchID(50), floats("a"))
	require.NoError(t, err)
	require.True(t, dup)
	_, dup, err = s.AppendBatch(ctx, batchID(51), floats("a"))
	require.NoError(t, err)
	require.False(t, dup)
}

func TestFailedWriteStoresNothing(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := context.Background()
	boom := errors.New("boom")
	_, _, err := s.AppendBatch(ctx, batchID(1), func(app *metrics.Appender) error {
		if err := floats("a", point{ms(0), 1})(app); err != nil {
			return err
		}
		return boom
	})
	require.ErrorIs(t, err, boom)
	require.Empty(t, stored(t, s, "a"))
	_, dup, err := s.AppendBatch(ctx, batchID(1), floats("a", point{ms(0), 1}))
	require.NoError(t, err)
	require.False(t, dup)
}

func TestForgottenStreamsAreTheSilentOnes(t *testing.T) {
	dir := t.TempDir()
	limit := func(o *metrics.Options) { o.Config.MaxBatchStreams = 2 }
	s := open(t, dir, limit)
	ctx := context.Background()
	id := func(c string) columnar.BatchID { return columnar.BatchID{Collector: c, Stream: "metrics", Sequence: 5} }
	for _, c := range []string{"a", "b", "a", "c"} {
		_, _, err := s.AppendBatch(ctx, id(c), floats("m"))
		require.NoError(t, err)
	}
	for c, want := range map[string]bool{"a": true, "c": true} {
		_, dup, err := s.AppendBatch(ctx, id(c), floats("m"))
		require.NoError(t, err)
		require.Equal(t, want, dup, "collector %s", c)
	}
	_, dup, err := s.AppendBatch(ctx, id("b"), floats("m"))
	require.NoError(t, err)
	require.False(t, dup, "b was forgotten, so its batch is stored again")
}

// mixedBatch holds everything a batch can hold, with samples in order, out of
// order, and older than the head's first two hours.
func mixedBatch(at int64) func(*metrics.Appender) error {
	hour := time.Hour.Milliseconds()
	return func(app *metrics.Appender) error {
		name := func(n string) labels.Labels { return labels.FromStrings(model.MetricNameLabel, n) }
		for i := range int64(20) {
			for _, t := range []int64{at + i*1000, at - hour + i*1000, at - 8*hour + i*1000} {
				if _, err := app.Append(0, name("mixed_float"), 0, t, float64(t%97), nil, nil, storage.AOptions{}); err != nil {
					return err
				}
				h := tsdbutil.GenerateTestHistogram(t % 5)
				if _, err := app.Append(0, name("mixed_histogram"), 0, t, 0, h, nil, storage.AOptions{
					Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", "0af7"), Value: float64(i), Ts: t, HasTs: true}},
				}); err != nil {
					return err
				}
				fh := tsdbutil.GenerateTestFloatHistogram(t % 7)
				if _, err := app.Append(0, name("mixed_float_histogram"), 0, t, 0, nil, fh, storage.AOptions{}); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// A process killed after the data's commit and before the marker's sends the same
// batch again. Nothing may double, whatever happened to the data in between:
// still in the head, replayed, compacted into a block, merged out of order.
func TestStoringAgainChangesNothing(t *testing.T) {
	names := []string{"mixed_float", "mixed_histogram", "mixed_float_histogram"}
	ctx := context.Background()
	compactHead := func(t *testing.T, s *metrics.Store) {
		head := s.DB().Head()
		require.NoError(t, s.DB().CompactHead(tsdb.NewRangeHead(head, head.MinTime(), head.MaxTime()-1)))
	}
	compactOOO := func(t *testing.T, s *metrics.Store) { require.NoError(t, s.DB().CompactOOOHead(ctx)) }
	for name, between := range map[string]func(*testing.T, *metrics.Store){
		"in the head":                   func(*testing.T, *metrics.Store) {},
		"head compacted":                compactHead,
		"out-of-order chunks compacted": compactOOO,
		"both compacted": func(t *testing.T, s *metrics.Store) {
			compactOOO(t, s)
			compactHead(t, s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			at := ms(-30 * time.Minute)
			s := open(t, dir)
			res, err := s.AppendUnmarked(ctx, mixedBatch(at))
			require.NoError(t, err)
			require.Empty(t, res.Refused)
			require.Equal(t, 60, res.Samples)
			require.Equal(t, 120, res.Histograms)
			want := map[string]map[string][]point{}
			for _, n := range names {
				want[n] = stored(t, s, n)
				require.Len(t, want[n], 1)
				for _, ps := range want[n] {
					require.Len(t, ps, 60, n)
				}
			}
			exemplars := countExemplars(t, s)
			between(t, s)
			require.NoError(t, s.Close())

			s = open(t, dir)
			_, dup, err := s.AppendBatch(ctx, batchID(1), mixedBatch(at))
			require.NoError(t, err)
			require.False(t, dup, "the marker was never written")
			check := func(when string) {
				for _, n := range names {
					require.Equal(t, want[n], stored(t, s, n), "%s, %s", n, when)
				}
			}
			check("stored again")
			require.Equal(t, exemplars, countExemplars(t, s))
			compactOOO(t, s)
			check("and compacted out of order")
			compactHead(t, s)
			require.NoError(t, s.DB().Compact(ctx))
			check("and compacted")
		})
	}
}

func countExemplars(t *testing.T, s *metrics.Store) int {
	q, err := s.DB().ExemplarQuerier(context.Background())
	require.NoError(t, err)
	res, err := q.Select(0, ms(time.Hour), []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, "mixed_histogram")})
	require.NoError(t, err)
	n := 0
	for _, r := range res {
		n += len(r.Exemplars)
	}
	return n
}

// The marker survives the compaction of the head into blocks and the truncation
// of the log that follows.
func TestMarkerSurvivesCompaction(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	now := time.Now().Add(-10 * time.Hour)
	clock := func(o *metrics.Options) { o.Now = func() time.Time { return now } }
	s := open(t, dir, clock)
	for seq := uint64(1); seq <= 100; seq++ {
		now = now.Add(5 * time.Minute)
		_, _, err := s.AppendBatch(ctx, batchID(seq), floats("a", point{now.UnixMilli(), 1}))
		require.NoError(t, err)
		if seq == 3 {
			_, _, err = s.AppendBatch(ctx, columnar.BatchID{Collector: "gone", Stream: "metrics", Sequence: 42}, floats("a"))
			require.NoError(t, err)
		}
	}
	require.NoError(t, s.DB().Compact(ctx))
	require.NotEmpty(t, s.DB().Blocks())
	require.NoError(t, s.Close())

	s = open(t, dir, clock)
	_, dup, err := s.AppendBatch(ctx, batchID(100), floats("a"))
	require.NoError(t, err)
	require.True(t, dup)
	_, dup, err = s.AppendBatch(ctx, columnar.BatchID{Collector: "gone", Stream: "metrics", Sequence: 42}, floats("a"))
	require.NoError(t, err)
	require.True(t, dup, "a sender that was silent for hours is remembered from its block")
}

func TestSequenceBeyondFloat64IsRefused(t *testing.T) {
	s := open(t, t.TempDir())
	_, _, err := s.AppendBatch(context.Background(), batchID(metrics.MaxSequence+1), floats("a"))
	require.ErrorContains(t, err, "sequence")
}

// Batches that come at once and meet in the same new series: the log must hold
// them so that replay finds each. (The TSDB logs a new series with the batch that
// created it, which may be behind another batch's samples of it.)
func TestConcurrentBatchesOfTheSameSeriesSurviveReplay(t *testing.T) {
	const writers, rounds = 8, 150
	dir := t.TempDir()
	s := open(t, dir)
	base := ms(-10 * time.Minute)
	for round := range rounds {
		var g errgroup.Group
		for w := range writers {
			g.Go(func() error {
				id := columnar.BatchID{Collector: "c", Stream: strconv.Itoa(w), Sequence: uint64(round + 1)}
				_, _, err := s.AppendBatch(context.Background(), id, func(app *metrics.Appender) error {
					for i := range int64(2) { // new in this round, and known since the last
						name := "shared_" + strconv.Itoa(round+int(i))
						if err := floats(name, point{base + int64(round)*100 + int64(w), float64(w)})(app); err != nil {
							return err
						}
					}
					return nil
				})
				return err
			})
		}
		require.NoError(t, g.Wait())
	}
	check := func(when string) {
		for round := range rounds {
			for _, ps := range stored(t, s, "shared_"+strconv.Itoa(round)) {
				want := 2 * writers
				if round == 0 {
					want = writers
				}
				require.Len(t, ps, want, "series of round %d, %s", round, when)
			}
		}
	}
	check("before the restart")
	require.NoError(t, s.Close())
	s = open(t, dir)
	check("after the restart")
}
