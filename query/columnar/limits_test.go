package columnar_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/query/columnar"
)

func oneRow(app string, ts int64, line string) columnar.Batch {
	return columnar.Batch{Table: columnar.Logs, Streams: []columnar.Stream{{Labels: labels.FromStrings("app", app), Rows: []columnar.Row{{Timestamp: ts, Line: line}}}}}
}

func count(t testing.TB, s columnar.Reader) int {
	t.Helper()
	return len(readAll(t, s, columnar.Query{Table: columnar.Logs, From: -1 << 62, To: 1 << 62}))
}

func TestMaxBytes(t *testing.T) {
	ctx := context.Background()
	reg := prometheus.NewRegistry()
	s := open(t, t.TempDir(), func(o *columnar.Options) {
		o.MaxBytes, o.MinFreeDisk, o.Registerer = 64<<10, -1, reg
	})
	defer func() { require.NoError(t, s.Close()) }()
	stored := 0
	var err error
	for i := range 10_000 {
		if _, err = s.Append(ctx, oneRow("x", int64(i), fmt.Sprintf("%0200x", i*i*i*7919))); err != nil {
			break
		}
		stored++
	}
	require.ErrorIs(t, err, columnar.ErrFull)
	require.ErrorContains(t, err, "maxBytes")
	require.Equal(t, stored, count(t, s), "queries go on")
	require.EqualValues(t, 1, metric(t, reg, "yagura_columnar_batches_total", "outcome", "full"))
	require.Greater(t, stored, 10)
	require.NoError(t, s.Retain(ctx, time.Unix(0, int64(stored))))
	require.Eventually(t, func() bool {
		_, err = s.Append(ctx, oneRow("x", 1e9, "space returned"))
		return err == nil
	}, 10*time.Second, time.Millisecond)
	require.Equal(t, 1, count(t, s))
}

func TestMinFreeDisk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := s.Append(context.Background(), oneRow("x", 1, "fits"))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	s = open(t, dir, func(o *columnar.Options) { o.MinFreeDisk = 1 << 60 })
	_, err = s.Append(context.Background(), oneRow("x", 1, "does not"))
	require.ErrorIs(t, err, columnar.ErrFull)
	require.ErrorContains(t, err, "minFreeDisk")
	require.Equal(t, 1, count(t, s))
	require.NoError(t, s.Close())
}

func TestMaxStreams(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), func(o *columnar.Options) { o.MaxStreams = 3 })
	defer func() { require.NoError(t, s.Close()) }()
	for i := range 3 {
		_, err := s.Append(ctx, oneRow(fmt.Sprint(i), int64(i), "x"))
		require.NoError(t, err)
	}
	_, err := s.Append(ctx, oneRow("one too many", 5, "x"))
	require.ErrorIs(t, err, columnar.ErrFull)
	_, err = s.Append(ctx, oneRow("2", 6, "known streams go on"))
	require.NoError(t, err)
	require.NoError(t, s.Retain(ctx, time.Unix(0, 2)), "which drops two streams")
	_, err = s.Append(ctx, oneRow("now it fits", 7, "x"))
	require.NoError(t, err)
}

func TestTooLarge(t *testing.T) {
	s := open(t, t.TempDir(), func(o *columnar.Options) { o.MaxBatchBytes = 1 << 20 })
	defer func() { require.NoError(t, s.Close()) }()
	_, err := s.Append(context.Background(), oneRow("x", 1, strings.Repeat("x", 1<<20)))
	require.ErrorIs(t, err, columnar.ErrTooLarge)
	require.NotErrorIs(t, err, columnar.ErrFull)
	long := strings.Repeat("y", 1<<20-1000)
	_, err = s.Append(context.Background(), oneRow("x", 1, long))
	require.NoError(t, err)
	require.NoError(t, s.Flush(context.Background()))
	rows := readAll(t, s, columnar.Query{Table: columnar.Logs, To: 10, Columns: columnar.Columns{Line: true}})
	require.Len(t, rows, 1)
	require.Equal(t, long, rows[0].Line)
}

func TestConfig(t *testing.T) {
	require.NoError(t, columnar.Config{}.Validate())
	require.NoError(t, columnar.DefaultConfig().Validate())
	for _, c := range []struct{ text, names string }{
		{"fsync: sometimes", "fsync"},
		{"memTableBytes: 1", "memTableBytes"},
		{"blockBytes: 1000000000", "blockBytes"},
		{"fsyncInterval: 1h", "fsyncInterval"},
		{"maxBytes: -1", "maxBytes"},
		{"dedupeMaxSenders: -5", "dedupeMaxSenders"},
		{"mergeShare: 2", "mergeShare"},
	} {
		var config columnar.Config
		require.NoError(t, yaml.UnmarshalStrict([]byte(c.text), &config), c.text)
		require.ErrorContains(t, config.Validate(), c.names+":")
		_, err := columnar.Open(t.TempDir(), columnar.Options{Config: config})
		require.ErrorContains(t, err, c.names)
	}
}

func TestFolderInUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := columnar.Open(dir, columnar.Options{Logger: quiet()})
	require.ErrorContains(t, err, "in use")
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "closing twice is harmless")
	require.NoError(t, open(t, dir).Close())
}

// An idle or old memory table is written, so that the log does not keep what a
// trickle brings.
func TestFlushByTime(t *testing.T) {
	for name, config := range map[string]columnar.Config{
		"idle": {FlushIdle: model.Duration(10 * time.Second), FlushAge: model.Duration(24 * time.Hour)},
		"age":  {FlushIdle: model.Duration(24 * time.Hour), FlushAge: model.Duration(time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			clock := testingclock.NewFakeClock(time.Unix(1_700_000_000, 0))
			reg := prometheus.NewRegistry()
			s := open(t, t.TempDir(), func(o *columnar.Options) { o.Config, o.Clock, o.Registerer = config, clock, reg })
			defer func() { require.NoError(t, s.Close()) }()
			_, err := s.Append(context.Background(), oneRow("x", 1, "lonely"))
			require.NoError(t, err)
			require.Zero(t, metric(t, reg, "yagura_columnar_parts"))
			require.Eventually(t, func() bool {
				clock.Step(5 * time.Second)
				return metric(t, reg, "yagura_columnar_parts") == 1
			}, 10*time.Second, time.Millisecond)
			require.Equal(t, 1, count(t, s))
			require.Zero(t, metric(t, reg, "yagura_columnar_memtable_bytes"))
		})
	}
}

// Senders are remembered over restarts, the longest silent ones forgotten first.
func TestDedupeIsBounded(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	clock := testingclock.NewFakeClock(time.Unix(1_700_000_000, 0))
	change := func(o *columnar.Options) { o.DedupeMaxSenders, o.Clock = 3, clock }
	send := func(s *columnar.Store, collector int) bool {
		b := oneRow("x", 1, "x")
		b.ID = columnar.BatchID{Collector: fmt.Sprint(collector), Stream: "logs", Sequence: 1}
		duplicate, err := s.Append(ctx, b)
		require.NoError(t, err)
		clock.Step(time.Second)
		return duplicate
	}
	s := open(t, dir, change)
	for i := range 5 {
		require.False(t, send(s, i))
	}
	require.NoError(t, s.Flush(ctx)) // bounds are applied when the table is sealed
	require.NoError(t, s.Close())
	s = open(t, dir, change)
	for i := range 5 {
		require.Equal(t, i >= 2, send(s, i), "sender %d", i)
	}
	require.NoError(t, s.Close())
}

// Parts are merged as they come, and a folder never holds more than a few.
func TestMergeKeepsPartsFew(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	reg := prometheus.NewRegistry()
	s := open(t, dir, func(o *columnar.Options) { o.Registerer = reg })
	const rounds = 60
	for i := range rounds {
		b := oneRow(fmt.Sprint(i%3), int64(i), fmt.Sprint("row ", i))
		_, err := s.Append(ctx, b)
		require.NoError(t, err)
		require.NoError(t, s.Flush(ctx))
	}
	require.Eventually(t, func() bool { return metric(t, reg, "yagura_columnar_parts") < 12 }, 20*time.Second, time.Millisecond)
	require.Positive(t, metric(t, reg, "yagura_columnar_merges_total", "outcome", "ok"))
	rows := readAll(t, s, columnar.Query{Table: columnar.Logs, To: 1000, Columns: columnar.Columns{Line: true}})
	require.Len(t, rows, rounds)
	for i, r := range rows {
		require.Equal(t, fmt.Sprint("row ", i), r.Line)
	}
	require.NoError(t, s.Close())
	files, err := filepath.Glob(filepath.Join(dir, "parts", "*"))
	require.NoError(t, err)
	require.Less(t, len(files), 13, "merged parts leave no files")
}

// Rows with senseless times spread over a century make few files.
func TestManyDays(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir, func(o *columnar.Options) { o.BlockBytes = 16 << 10 })
	b := oneRow("x", 0, "")
	b.Streams[0].Rows = nil
	for i := range int64(30_000) {
		b.Streams[0].Rows = append(b.Streams[0].Rows, columnar.Row{Timestamp: (i - 10_000) * int64(24*time.Hour)})
	}
	_, err := s.Append(ctx, b)
	require.NoError(t, err)
	require.NoError(t, s.Flush(ctx))
	files, err := filepath.Glob(filepath.Join(dir, "parts", "*"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(files), 17)
	require.Equal(t, 30_000, count(t, s))
	require.NoError(t, s.Retain(ctx, time.Unix(0, 0)))
	require.NoError(t, s.Close())
	s = open(t, dir)
	left := count(t, s)
	require.GreaterOrEqual(t, left, 20_000)
	require.Less(t, left, 30_000, "blocks of the past are gone, also after a restart")
	require.NoError(t, s.Close())
}

// A query with a limit opens the blocks at its end of time only.
func TestLimitReadsLittle(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), func(o *columnar.Options) { o.BlockBytes = 8 << 10 })
	defer func() { require.NoError(t, s.Close()) }()
	b := oneRow("x", 0, "")
	for i := range int64(20_000) {
		b.Streams[0].Rows = append(b.Streams[0].Rows, columnar.Row{Timestamp: i, Line: fmt.Sprintf("a line of some length, number %d", i)})
	}
	_, err := s.Append(ctx, b)
	require.NoError(t, err)
	require.NoError(t, s.Flush(ctx))
	for _, direction := range []columnar.Direction{columnar.Forward, columnar.Backward} {
		c, err := s.Select(ctx, columnar.Query{Table: columnar.Logs, To: 1 << 62, Limit: 100, Direction: direction, Columns: columnar.Columns{Line: true}})
		require.NoError(t, err)
		rows := 0
		for {
			batch, err := c.Next(ctx)
			require.NoError(t, err)
			if batch == nil {
				break
			}
			rows += batch.Len()
		}
		stats := c.Stats()
		require.NoError(t, c.Close())
		require.Equal(t, 100, rows)
		require.Greater(t, stats.BlocksTotal, int64(50))
		require.LessOrEqual(t, stats.BlocksTotal-stats.BlocksSkipped, int64(2))
	}
}

// Waiting for room ends with the caller's context.
func TestAppendHonoursContext(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { require.NoError(t, s.Close()) }()
	ctx, cancel := context.WithTimeout(context.Background(), -1)
	defer cancel()
	_, err := s.Append(ctx, oneRow("x", 1, "x"))
	require.True(t, errors.Is(err, context.DeadlineExceeded))
	require.Zero(t, count(t, s))
}

// Stray timestamps do not add up to more and more partitions: beyond a bound they
// share one.
func TestStrayDays(t *testing.T) {
	ctx := context.Background()
	reg := prometheus.NewRegistry()
	s := open(t, t.TempDir(), func(o *columnar.Options) { o.Registerer = reg })
	defer func() { require.NoError(t, s.Close()) }()
	const flushes, days = 80, 16
	for i := range int64(flushes) {
		b := oneRow("x", 0, "")
		b.Streams[0].Rows = nil
		for j := range int64(days) {
			b.Streams[0].Rows = append(b.Streams[0].Rows, columnar.Row{Timestamp: (i*days + j) * int64(24*time.Hour)})
		}
		b.Streams[0].Rows = append(b.Streams[0].Rows, columnar.Row{Timestamp: time.Now().UnixNano()})
		_, err := s.Append(ctx, b)
		require.NoError(t, err)
		require.NoError(t, s.Flush(ctx))
	}
	require.Eventually(t, func() bool { return metric(t, reg, "yagura_columnar_parts") < 1100 }, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, flushes*(days+1), count(t, s))
}

// Rows at the edge of what is taken come back whole, from memory, from a part and
// from a merged one.
func TestHugeRows(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer func() { require.NoError(t, s.Close()) }()
	var want []columnar.Row
	random := rand.New(rand.NewPCG(1, 2))
	for i := range int64(6) {
		wide := columnar.Row{Timestamp: i * 10, Line: strings.Repeat(fmt.Sprintf("word%d ", i), 1<<20/6)}
		deep := columnar.Row{Timestamp: i*10 + 1, Line: "many fields"}
		for j := range 10_000 {
			deep.Fields = append(deep.Fields, columnar.Field{Name: fmt.Sprintf("field.%05d", j), Value: fmt.Sprint(random.IntN(100))})
		}
		b := oneRow("x", 0, "")
		b.Streams[0].Rows = []columnar.Row{wide, deep}
		_, err := s.Append(ctx, b)
		require.NoError(t, err)
		want = append(want, wide, deep)
		all := columnar.Query{Table: columnar.Logs, To: 1 << 62, Columns: columnar.Columns{Line: true, AllFields: true}}
		if i%5 == 0 {
			require.True(t, reflect.DeepEqual(want, readAll(t, s, all)), "in memory, %d", i)
		}
		require.NoError(t, s.Flush(ctx))
		if i%5 == 0 {
			require.True(t, reflect.DeepEqual(want, readAll(t, s, all)), "in parts, %d", i)
		}
	}
	found := readAll(t, s, columnar.Query{Table: columnar.Logs, To: 1 << 62, Fields: []columnar.FieldPredicate{{Name: "field.09999", Op: columnar.FieldNotEqual}}})
	require.Len(t, found, 6)
}

type streamsResult struct {
	Stored, Refused int
	Err             string
	Peak            int64
}

// manyStreams sends more streams than the store takes.
func manyStreams(args []string) error {
	s, err := columnar.Open(args[0], columnar.Options{Logger: quiet()})
	if err != nil {
		return err
	}
	var r streamsResult
	const batch = 2000
	for i := 0; i < 300_000; i += batch {
		b := columnar.Batch{Table: columnar.Logs}
		for j := range batch {
			b.Streams = append(b.Streams, columnar.Stream{
				Tenant: columnar.Tenant{Namespace: "shop"},
				Labels: labels.FromStrings("app", "web", "namespace", "shop", "request", fmt.Sprintf("%032x", (i+j)*7919)),
				Rows:   []columnar.Row{{Timestamp: int64(i + j), Line: "one line of its own"}},
			})
		}
		if _, err := s.Append(context.Background(), b); err == nil {
			r.Stored += batch
		} else if errors.Is(err, columnar.ErrFull) {
			r.Refused += batch
			r.Err = err.Error()
		} else {
			return err
		}
	}
	// Streams that are known go on.
	b := oneRow("web", 1, "again")
	b.Streams[0].Tenant.Namespace = "shop"
	b.Streams[0].Labels = labels.FromStrings("app", "web", "namespace", "shop", "request", fmt.Sprintf("%032x", 0))
	if _, err := s.Append(context.Background(), b); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	r.Peak = peakMemory()
	return json.NewEncoder(os.Stdout).Encode(r)
}

// More streams than the bound are refused by its name, in bounded memory.
func TestTooManyStreams(t *testing.T) {
	var r streamsResult
	runChild(t, "streams", []string{"GOMEMLIMIT=200MiB"}, &r, t.TempDir())
	t.Logf("%+v: %d MiB", r, r.Peak>>20)
	require.Equal(t, columnar.DefaultConfig().MaxStreams, r.Stored)
	require.Equal(t, 300_000, r.Stored+r.Refused)
	require.Contains(t, r.Err, "maxStreams is 200000")
	if !raceEnabled {
		require.Less(t, r.Peak, int64(400<<20))
	}
}
