package columnar_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
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

// Streams in one part go at different ages: they are hidden at once, and the part
// is written anew when a rule has nothing left in it.
func TestRetentionRules(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	start := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	clock := testingclock.NewFakeClock(start)
	var config columnar.Config
	require.NoError(t, yaml.UnmarshalStrict([]byte(`
fsyncInterval: 1m # the clock makes long steps
retention:
  maxAge: 10d
  rules:
  - {namespace: dev, maxAge: 1d}
  - {selector: '{app=~"audit|ledger", env!="test"}', maxAge: 0s}
  - {table: logs, selector: '{app="noisy"}', maxAge: 3d}
`), &config))
	reg := prometheus.NewRegistry()
	change := func(o *columnar.Options) { o.Config, o.Clock, o.Registerer = config, clock, reg }
	s := open(t, dir, change)
	add := func(table columnar.Table, namespace string, pairs ...string) {
		ls := labels.FromStrings(pairs...)
		b := columnar.Batch{Table: table, Streams: []columnar.Stream{{Tenant: columnar.Tenant{Namespace: namespace}, Labels: ls}}}
		for i := range int64(10) {
			b.Streams[0].Rows = append(b.Streams[0].Rows, columnar.Row{Timestamp: start.UnixNano() - i*int64(time.Minute), Line: ls.String()})
		}
		_, err := s.Append(ctx, b)
		require.NoError(t, err)
	}
	for _, table := range []columnar.Table{columnar.Logs, columnar.Spans} {
		add(table, "dev", "app", "web", "namespace", "dev")
		add(table, "dev", "app", "audit", "namespace", "dev") // the first rule counts
		add(table, "shop", "app", "audit", "env", "prod")
		add(table, "shop", "app", "audit", "env", "test")
		add(table, "shop", "app", "noisy")
	}
	require.NoError(t, s.Flush(ctx))
	apps := func(table columnar.Table) string {
		t.Helper()
		seen := map[string]int{}
		for _, r := range readAll(t, s, columnar.Query{Table: table, To: 1 << 62, Columns: columnar.Columns{Line: true}}) {
			seen[r.Line]++
		}
		var out []string
		for line, n := range seen {
			require.Equal(t, 10, n, line)
			out = append(out, line)
		}
		return fmt.Sprint(len(out))
	}
	wait := func(age time.Duration, logs, spans string) {
		t.Helper()
		clock.SetTime(start.Add(age))
		require.Eventually(t, func() bool {
			clock.Step(time.Minute)
			return apps(columnar.Logs) == logs && apps(columnar.Spans) == spans
		}, 10*time.Second, time.Millisecond)
		found, err := s.Streams(ctx, columnar.Logs, nil, 0, 1<<62, nil)
		require.NoError(t, err)
		require.Equal(t, logs, fmt.Sprint(len(found)), "the catalogue follows")
	}
	require.Equal(t, "5", apps(columnar.Logs))
	wait(25*time.Hour, "3", "3")
	require.Eventually(t, func() bool {
		clock.Step(time.Minute)
		return metric(t, reg, "yagura_columnar_dropped_rows_total", "reason", "age") == 40
	}, 10*time.Second, time.Millisecond, "they leave the disk too")
	wait(3*24*time.Hour+time.Hour, "2", "3")
	wait(11*24*time.Hour, "1", "1")
	require.NoError(t, s.Close())
	s = open(t, dir, change)
	require.Eventually(t, func() bool { return apps(columnar.Logs) == "1" }, 10*time.Second, time.Millisecond)
	wait(100*24*time.Hour, "1", "1")
	require.NoError(t, s.Close())
}

// Above its bound the store drops its oldest parts, and goes on taking rows.
func TestRetentionBytes(t *testing.T) {
	ctx := context.Background()
	reg := prometheus.NewRegistry()
	s := open(t, t.TempDir(), func(o *columnar.Options) {
		o.MaxBytes, o.MinFreeDisk, o.Registerer, o.MemTableBytes = 512<<10, -1, reg, 64<<10
	})
	defer func() { require.NoError(t, s.Close()) }()
	day := int64(24 * time.Hour)
	random := rand.NewChaCha8([32]byte{})
	var newest int64
	for i := range int64(600) {
		newest = i * day / 20
		b := oneRow("x", newest, "")
		for range 20 {
			var noise [64]byte
			_, _ = random.Read(noise[:])
			b.Streams[0].Rows = append(b.Streams[0].Rows, columnar.Row{Timestamp: newest, Line: hex.EncodeToString(noise[:])})
		}
		require.Eventually(t, func() bool {
			_, err := s.Append(ctx, b)
			return err == nil
		}, 10*time.Second, time.Millisecond, "batch %d", i)
	}
	require.NoError(t, s.Flush(ctx))
	require.Eventually(t, func() bool { return metric(t, reg, "yagura_columnar_disk_bytes") < 512<<10*9/10 }, 10*time.Second, time.Millisecond)
	require.Positive(t, metric(t, reg, "yagura_columnar_dropped_parts_total", "reason", "bytes"))
	rows := readAll(t, s, columnar.Query{Table: columnar.Logs, To: 1 << 62})
	require.Equal(t, newest, rows[len(rows)-1].Timestamp, "the newest stay")
	require.Greater(t, rows[0].Timestamp, day, "the oldest go")
}

func TestRetentionFreeShare(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir)
	for i := range int64(3) {
		_, err := s.Append(ctx, oneRow("x", i*int64(24*time.Hour), "a day"))
		require.NoError(t, err)
	}
	require.NoError(t, s.Flush(ctx))
	require.NoError(t, s.Close())
	reg := prometheus.NewRegistry()
	s = open(t, dir, func(o *columnar.Options) { o.Retention.MinFreeShare, o.Registerer = 0.9, reg })
	// No disk that tests run on is that empty, so that everything goes.
	require.Eventually(t, func() bool { return count(t, s) == 0 }, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool {
		return metric(t, reg, "yagura_columnar_dropped_parts_total", "reason", "free_disk") == 3
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Close())
}

func TestRetentionConfig(t *testing.T) {
	for text, want := range map[string]string{
		`{maxAge: 1d, maxBytes: -1, minFreeShare: 0.2}`:          "",
		`{minFreeShare: 1}`:                                      "retention.minFreeShare",
		`{rules: [{selector: '{a="b"}'}, {table: metrics}]}`:     "retention.rules[1].table",
		`{rules: [{selector: 'a="b"'}]}`:                         "retention.rules[0].selector: a selector begins with {",
		`{rules: [{selector: '{a="b"'}]}`:                        "retention.rules[0].selector",
		`{rules: [{selector: '{a=~"("}'}]}`:                      "retention.rules[0].selector: value of a",
		`{rules: [{selector: '{a=b}'}]}`:                         "retention.rules[0].selector: value of a",
		`{rules: [{selector: '{="b"}'}]}`:                        "retention.rules[0].selector",
		`{rules: [{selector: '{a="b" c="d"}'}]}`:                 "retention.rules[0].selector",
		`{rules: [{selector: ' { a = "b" , "c.d" !~ "e}",} '}]}`: "",
		"{rules: [{selector: '{a=`b\"`, a!=\"\\n\"}'}]}":         "",
		`{rules: [{selector: '{}', maxAge: 3d}], maxAge: 1w}`:    "",
	} {
		var config columnar.Config
		require.NoError(t, yaml.UnmarshalStrict([]byte("retention: "+text), &config), text)
		if err := config.Validate(); want == "" {
			require.NoError(t, err, text)
		} else {
			require.ErrorContains(t, err, want, text)
		}
	}
	require.ErrorContains(t, columnar.Config{Retention: columnar.Retention{MaxAge: model.Duration(-1)}}.Validate(), "retention.maxAge")
	many := columnar.Config{Retention: columnar.Retention{Rules: make([]columnar.RetentionRule, 1001)}}
	require.ErrorContains(t, many.Validate(), "retention.rules")
}
