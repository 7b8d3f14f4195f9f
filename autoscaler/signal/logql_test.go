package signal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// beats are heartbeats whose value is their time, every 15 seconds: one source for two minutes, one for ten.
const beats = `
load 15s
  yagura_log_source_heartbeat_timestamp_seconds{namespace="shop",container="quiet"} 0+15x40
  yagura_log_source_heartbeat_timestamp_seconds{namespace="shop",container="gone"} 0+15x8
`

func TestLogQL(t *testing.T) {
	const at = 8 * time.Minute
	ago := func(d time.Duration) time.Time { return time.Unix(0, 0).Add(at - d) }
	tests := map[string]struct {
		query      string
		lines      map[string]time.Time
		value      string
		wantState  decision.State
		wantValue  float64
		wantAge    time.Duration
		wantReason string
	}{
		"lines that match": {query: `sum(rate({app="web"} |= "x" [1m]))`, lines: map[string]time.Time{`{app="web"}`: ago(3 * time.Second)}, value: "2.5",
			wantState: decision.Fresh, wantValue: 2.5, wantAge: 3 * time.Second},
		"lines, none of which match": {query: `sum(rate({app="web"} |= "x" [1m]))`, lines: map[string]time.Time{`{app="web"}`: ago(3 * time.Second)},
			wantState: decision.Fresh, wantValue: 0, wantAge: 3 * time.Second},
		"no lines, nothing known about the source": {query: `sum(rate({app="web"}[1m]))`,
			wantState: decision.Missing, wantReason: `no line of {app="web"} in the last 1h`},
		"lines of long ago, nothing known about the source": {query: `sum(rate({app="web"}[1m]))`, lines: map[string]time.Time{`{app="web"}`: ago(7 * time.Minute)},
			wantState: decision.Stale, wantAge: 7 * time.Minute, wantReason: `the newest line of {app="web"} is 7m0s old, more than 2m`},
		"a quiet source": {query: `sum(rate({namespace="shop", container="quiet"}[1m]))`, lines: map[string]time.Time{},
			wantState: decision.Fresh, wantValue: 0},
		"a quiet source that once spoke": {query: `sum(rate({container="quiet"}[10m]))`, lines: map[string]time.Time{`{container="quiet"}`: ago(7 * time.Minute)}, value: "0.1",
			wantState: decision.Fresh, wantValue: 0.1},
		"a source that is gone": {query: `sum(rate({container="gone"}[1m]))`,
			wantState: decision.Missing, wantReason: `no line of {container="gone"} in the last 1h`},
		"two sources, one gone": {query: `sum(rate({container="quiet"}[1m])) / sum(rate({container="gone"}[1m]))`, value: "1",
			wantState: decision.Missing, wantReason: `no line of {container="gone"} in the last 1h`},
		"a line from a clock that is ahead": {query: `sum(rate({app="web"}[1m]))`, lines: map[string]time.Time{`{app="web"}`: ago(-4 * time.Second)}, value: "1",
			wantState: decision.Fresh, wantValue: 1},
		"not a number": {query: `sum(rate({app="web"}[1m]))`, lines: map[string]time.Time{`{app="web"}`: ago(0)}, value: "NaN",
			wantState: decision.Invalid, wantReason: "the query returned NaN"},
		"no LogQL":   {query: `{app="web"`, wantState: decision.Invalid, wantReason: "the query is not LogQL: a { without a }"},
		"no streams": {query: `vector(1)`, wantState: decision.Invalid, wantReason: "the query selects no streams, so nothing can be said about its age"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newService(t, beats).at(at)
			if tc.lines != nil {
				s.lines = tc.lines
			}
			if tc.value != "" {
				s.logValue[tc.query] = tc.value
			}
			got := s.client(t, nil).Tick().LogQL(t.Context(), tc.query, after)
			assert.Equal(t, tc.wantState, got.State, got.Reason)
			assert.Equal(t, tc.wantReason, got.Reason)
			if tc.wantState == decision.Fresh {
				assert.Equal(t, tc.wantValue, got.Value)
			}
			if tc.wantAge != 0 && assert.NotNil(t, got.Age) {
				assert.Equal(t, tc.wantAge, *got.Age)
			}
		})
	}
}

// TestSourceThatGoesAway follows one source: silent and alive is 0, silent and no longer heard of is missing.
func TestSourceThatGoesAway(t *testing.T) {
	const query = `sum(rate({container="gone"}[1m]))`
	s := newService(t, beats)
	c := s.client(t, nil)
	read := func(at time.Duration) Reading { s.at(at); return c.Tick().LogQL(t.Context(), query, after) }
	assert.Equal(t, decision.Fresh, read(2*time.Minute).State)
	assert.Equal(t, decision.Fresh, read(4*time.Minute).State)
	got := read(4*time.Minute + 5*time.Second)
	assert.Equal(t, decision.Stale, got.State)
	assert.Equal(t, `the newest line of {container="gone"} is 2m5s old, more than 2m`, got.Reason)
	assert.Equal(t, decision.Missing, read(20*time.Minute).State)
}

func TestLinesAreNoNumber(t *testing.T) {
	// A stream selector alone is valid LogQL; the service answers it with lines.
	s := newService(t, beats).at(time.Minute)
	c := s.client(t, nil)
	got := c.Tick().LogQL(t.Context(), `{app="web"}`, after)
	assert.Equal(t, decision.Invalid, got.State)
	assert.Equal(t, "the query gives lines, not a number; use a metric query such as rate or count_over_time", got.Reason)
}
