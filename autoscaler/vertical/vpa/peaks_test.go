package vpa

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

const mib = 1 << 20

// TestPeaksPublished runs the cases that the recommender's own tests publish. They name the samples that a histogram ends up with.
func TestPeaksPublished(t *testing.T) {
	begin := time.Date(2017, 4, 18, 17, 35, 5, 0, time.UTC)
	const day, hour = 24 * time.Hour, time.Hour
	type event struct {
		after   time.Duration
		bytes   int64
		killed  bool
		refused bool
	}
	type peak struct {
		end   time.Duration
		bytes float64
	}
	for name, c := range map[string]struct {
		interval time.Duration
		events   []event
		want     []peak
	}{
		"the highest of each interval": {day,
			[]event{{after: 0, bytes: 5}, {after: day / 2, bytes: 10}, {after: day, bytes: 2}},
			[]peak{{day, 10}, {2 * day, 2}}},
		"an hour's interval": {hour, []event{{after: 0, bytes: 5}, {after: 30 * time.Minute, bytes: 10}}, []peak{{hour, 10}}},
		"an interval without samples": {hour, []event{{after: 0, bytes: 5}, {after: 2 * hour, bytes: 10}},
			[]peak{{hour, 5}, {3 * hour, 10}}},
		"a kill asks for a fifth more": {day, []event{{bytes: 1000 * mib, killed: true}}, []peak{{day, 1200 * mib}}},
		"a kill asks for 100 MiB more": {day, []event{{bytes: mib, killed: true}}, []peak{{day, 101 * mib}}},
		"kills do not run away": {day, []event{{bytes: 1000 * mib, killed: true}, {bytes: 999 * mib, killed: true}, {bytes: 999 * mib, killed: true}},
			[]peak{{day, 1200 * mib}}},
		"a kill with more memory does count": {day, []event{{bytes: 1000 * mib, killed: true}, {bytes: 2000 * mib, killed: true}},
			[]peak{{day, 2400 * mib}}},
		"usage above the request": {day, []event{{bytes: 3000 * mib}, {bytes: 1000 * mib, killed: true}}, []peak{{day, 3600 * mib}}},
		"an old kill": {day, []event{{bytes: 1000 * mib}, {after: -30 * hour, bytes: 1000 * mib, killed: true, refused: true}},
			[]peak{{day, 1000 * mib}}},
		"an old kill, an hour's interval": {hour, []event{{bytes: 1000 * mib}, {after: -2 * hour, bytes: 1000 * mib, killed: true, refused: true}},
			[]peak{{hour, 1000 * mib}}},
		"a kill in a later interval": {day, []event{{bytes: 2000 * mib}, {after: 2 * day, bytes: 1000 * mib, killed: true}},
			[]peak{{day, 2000 * mib}, {3 * day, 2400 * mib}}},
		"a kill just before the interval began": {day,
			[]event{{bytes: 100 * mib}, {after: day, bytes: 2000 * mib}, {after: day - time.Second, bytes: 1000 * mib, killed: true}},
			[]peak{{day, 100 * mib}, {2 * day, 2400 * mib}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := peaks{interval: c.interval}
			got, want := NewHistogram(MemoryBuckets(), day), NewHistogram(MemoryBuckets(), day)
			for i, e := range c.events {
				counted := false
				if e.killed {
					counted = p.kill(got, amount(e.bytes), begin.Add(e.after), 1.2, 100*mib)
				} else {
					counted = p.add(got, amount(e.bytes), begin.Add(e.after))
				}
				assert.Equal(t, !e.refused, counted, "event %d", i)
			}
			for _, peak := range c.want {
				want.Add(peak.bytes, 1, begin.Add(peak.end))
			}
			assert.True(t, got.Equal(want))
		})
	}
}

func TestPeaksRecent(t *testing.T) {
	begin := time.Unix(1e9, 0)
	p, h := peaks{interval: time.Hour}, NewHistogram(MemoryBuckets(), time.Hour)
	for _, step := range []struct {
		after       time.Duration
		bytes, want amount
	}{
		{0, 50, 50}, {time.Minute, 90, 90}, {2 * time.Minute, 10, 90},
		{time.Hour, 20, 90},         // the peak of the interval before still counts
		{2 * time.Hour, 5, 20},      // and no longer
		{5 * time.Hour, 1, 1},       // a gap ages everything
		{5*time.Hour + 1, 400, 400}, // usage, whatever a kill asked for
		{6*time.Hour - 2, 300, 400},
	} {
		assert.True(t, p.add(h, step.bytes, begin.Add(step.after)))
		assert.Equal(t, step.want, p.recent(), "after %s", step.after)
	}
}
