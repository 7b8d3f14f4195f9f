package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const step = 30 * time.Second

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// record is a history up to noon of what a function of the time says, rounded up; it leaves out what is negative.
func record(reach time.Duration, wanted func(at time.Time) float64) *History {
	h := NewHistory(step, int((8*day+2*time.Hour)/step))
	for at := noon.Add(-reach); !at.After(noon); at = at.Add(step) {
		if v := wanted(at); v >= 0 {
			h.Add(at, int32(math.Ceil(v)))
		}
	}
	return h
}

func before(at time.Time) float64 { return noon.Sub(at).Minutes() }

// workday is 10 at night and 60 by day, with ramps of two hours from 11:00 and from 19:00.
func workday(at time.Time) float64 {
	hour := float64(at.Hour()) + float64(at.Minute())/60 + float64(at.Second())/3600
	return 10 + 50*max(0, min(1, (hour-11)/2, (21-hour)/2))
}

func TestWhatIsForeseen(t *testing.T) {
	tests := map[string]struct {
		history *History
		edit    func(*Input)
		model   Model
		want    int32
		reason  string
	}{
		"no history at all":            {history: nil, want: 20, reason: "there is no history"},
		"an empty history":             {history: NewHistory(step, 10), want: 20, reason: "there is no history"},
		"always the same":              {history: record(2*time.Hour, func(time.Time) float64 { return 20 }), want: 20, reason: "hardly grown"},
		"a minute of history":          {history: record(time.Minute, func(time.Time) float64 { return 20 }), want: 20, reason: "too short"},
		"a replica a minute":           {history: record(time.Hour, func(at time.Time) float64 { return max(0, 20-before(at)) }), model: Trend, want: 26, reason: "Trend foresees 26"},
		"falling":                      {history: record(time.Hour, func(at time.Time) float64 { return 20 + before(at) }), want: 20, reason: "hardly grown"},
		"grown and come to rest":       {history: record(time.Hour, func(at time.Time) float64 { return min(20, 60-before(at)) }), want: 20},
		"old":                          {history: record(time.Hour, func(at time.Time) float64 { return keep(before(at) > 2, 60-before(at)) }), want: 20, reason: "the newest sample is"},
		"from the future":              {history: record(time.Hour, func(at time.Time) float64 { return 60 - before(at) }), edit: func(in *Input) { in.Now = noon.Add(-time.Hour) }, want: 20, reason: "the newest sample is"},
		"full of holes":                {history: record(time.Hour, func(at time.Time) float64 { return keep(at.Minute()%3 == 0, 60-before(at)) }), want: 20, reason: "too short"},
		"one sample of ten is missing": {history: record(time.Hour, func(at time.Time) float64 { return keep(at.Unix()/30%10 != 0, 20+20-before(at)/3) }), edit: func(in *Input) { in.Desired = 40 }, model: Trend, want: 42},
		"one sample of ten is absurd":  {history: record(time.Hour, func(at time.Time) float64 { return pick(at.Unix()/30%10 == 0, 5000, 100-before(at)) }), edit: func(in *Input) { in.Desired = 100 }, model: Trend, want: 106},
		"up to the maximum":            {history: record(time.Hour, func(at time.Time) float64 { return 40 - before(at)*0.6 }), edit: func(in *Input) { in.Desired, in.Max = 40, 41 }, model: Trend, want: 41, reason: "(the maximum; more without it)"},
		"a maximum below":              {history: record(time.Hour, func(at time.Time) float64 { return 60 - before(at) }), edit: func(in *Input) { in.Desired, in.Max = 60, 5 }, model: Trend, want: 60},
		"up to twice as many":          {history: record(time.Hour, func(at time.Time) float64 { return 600 - 10*before(at) }), edit: func(in *Input) { in.Desired = 5 }, model: Trend, want: 10, reason: "2 times what is asked for now"},
		"a factor of nothing":          {history: record(time.Hour, func(at time.Time) float64 { return 60 - before(at) }), edit: func(in *Input) { in.Desired, in.MaxFactor = 60, 0 }, model: Trend, want: 60},
		"a factor that is none":        {history: record(time.Hour, func(at time.Time) float64 { return 60 - before(at) }), edit: func(in *Input) { in.Desired, in.MaxFactor = 60, math.NaN() }, model: Trend, want: 60},
		"no horizon":                   {history: record(time.Hour, func(at time.Time) float64 { return 60 - before(at) }), edit: func(in *Input) { in.Horizon = 0 }, want: 20, reason: "the horizon is"},
		// A jump every day at noon: nothing of today shows it, and only the second day proves it.
		"a jump like yesterday's":   {history: record(3*day, func(at time.Time) float64 { return pick(at.Hour() == 12 && at.Before(noon), 35, 20) }), model: Daily, want: 35},
		"a jump that was seen once": {history: record(day+time.Hour, func(at time.Time) float64 { return pick(at.Hour() == 12 && at.Before(noon), 35, 20) }), want: 20},
		"a jump of the same weekday": {history: record(8*day+time.Hour, func(at time.Time) float64 {
			return pick(at.Weekday() == noon.Weekday() && (at.Hour() == 12 && at.Before(noon) || at.Hour() == 3) || at.Weekday() == time.Sunday && at.Hour() == 20, 35, 20)
		}), model: Weekly, want: 35},
		"a day that is not like the last": {history: record(3*day, func(at time.Time) float64 {
			return pick(at.Hour() == 12 && at.Before(noon), 35, 20) + pick(at.After(noon.Add(-2*day)) && at.Hour()%2 == 0 && at.Hour() != 12, 15*float64(at.YearDay()%2), 0)
		}), want: 20},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			in := Input{Now: noon, History: tc.history, Desired: 20, Max: 1000, Horizon: 5 * time.Minute, MaxFactor: 2}
			if tc.edit != nil {
				tc.edit(&in)
			}
			f := Predict(in)
			assert.Equal(t, tc.want, f.Replicas, f.Reason)
			assert.Contains(t, f.Reason, tc.reason)
			if tc.model != "" || tc.want == in.Desired && tc.reason != "" {
				assert.Equal(t, tc.model, f.Model, f.Reason)
			}
		})
	}
}

func keep(yes bool, v float64) float64 { return pick(yes, v, -1) }

func pick(yes bool, v, otherwise float64) float64 {
	if yes {
		return v
	}
	return otherwise
}

// Whatever the history is, a forecast stays within its bounds, says why, and is the same each time.
func FuzzPredict(f *testing.F) {
	for seed := range uint64(16) {
		f.Add(seed, int64(300), int32(20), int32(100), 2.0, uint16(600))
	}
	f.Add(uint64(1), int64(-1), int32(-5), int32(0), math.NaN(), uint16(0))
	f.Add(uint64(0), int64(327), int32(-180), int32(-138), math.NaN(), uint16(81))
	f.Add(uint64(0), int64(327), int32(18), int32(138), math.NaN(), uint16(81))
	f.Add(uint64(2), int64(math.MaxInt64), int32(math.MaxInt32), int32(math.MaxInt32), math.Inf(1), uint16(3000))
	f.Fuzz(func(t *testing.T, seed uint64, horizon int64, desired, most int32, factor float64, samples uint16) {
		random := rand.New(rand.NewPCG(seed, 1))
		h := NewHistory(step, 1+random.IntN(1000))
		at, value := noon.Add(-time.Duration(samples%2000)*step), float64(random.IntN(1000))
		for range samples % 2000 {
			at = at.Add(time.Duration(random.IntN(3)) * step / time.Duration(1+random.IntN(2)))
			value = max(-1, value+random.NormFloat64()*10)
			if random.IntN(50) == 0 {
				value = random.Float64() * math.MaxInt32
			}
			h.Add(at, int32(value))
		}
		require.LessOrEqual(t, len(h.values), h.cap)
		in := Input{Now: at, History: h, Desired: desired, Max: most, Horizon: time.Duration(horizon) * time.Second, MaxFactor: factor}
		got := Predict(in)
		assert.GreaterOrEqual(t, got.Replicas, desired)
		if got.Replicas > desired {
			assert.LessOrEqual(t, got.Replicas, most)
			if !(factor > 1) { // as no number is
				factor = 1
			}
			assert.LessOrEqual(t, float64(got.Replicas), math.Round(factor*float64(max(desired, 1))))
			assert.NotEmpty(t, got.Model)
			assert.LessOrEqual(t, got.Skill.Ratio(), maxRatio)
		}
		assert.NotEmpty(t, got.Reason)
		assert.Equal(t, got, Predict(in))
	})
}

// What came later changes no answer about an earlier time: trials are not told what they are asked for.
func TestModelsDoNotSeeAhead(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	long := record(8*day, func(time.Time) float64 { return float64(random.IntN(50)) })
	random = rand.New(rand.NewPCG(7, 7))
	cut := noon.Add(-time.Hour)
	short := record(8*day, func(at time.Time) float64 { return keep(!at.After(cut), float64(random.IntN(50))) })
	for _, m := range models() {
		a, ok1 := m.ask(long, long.slot(cut), 10)
		b, ok2 := m.ask(short, short.slot(cut), 10)
		assert.True(t, ok1 && ok2, m.name)
		assert.Equal(t, a, b, m.name)
	}
}

func TestAHistoryIsBounded(t *testing.T) {
	h := NewHistory(step, 100)
	for i := range 1000 {
		h.Add(noon.Add(time.Duration(i)*step), int32(i))
	}
	assert.Len(t, h.values, 100)
	for i := range int64(120) {
		v, ok := h.at(h.newest - i)
		assert.Equal(t, i < 100, ok, i)
		assert.True(t, !ok || v == int32(999-i))
	}
	h.Add(noon, 5)
	h.Add(noon.Add(1000*step), -5)
	v, _ := h.at(h.newest)
	assert.Equal(t, int32(999), v, "the past and the absurd are dropped")
	h.Add(noon.Add(2000*step), 1)
	_, ok := h.at(h.newest - 2)
	assert.False(t, ok, "after a gap longer than all of it, it begins anew")
}

func TestTheHighestStandingForecastCounts(t *testing.T) {
	var s Standing
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	_, ok := s.Highest(noon)
	assert.False(t, ok)
	for _, f := range []Held{{30, at(5), "a"}, {20, at(6), "b"}, {25, at(7), "c"}, {10, at(4), "d"}, {25, at(6), "e"}} {
		s.Add(f)
	}
	for minute, want := range map[int]int32{0: 30, 4: 30} {
		h, ok := s.Highest(at(minute))
		assert.True(t, ok)
		assert.Equal(t, want, h.Replicas)
	}
	h, _ := s.Highest(at(5))
	assert.Equal(t, Held{25, at(7), "c"}, h)
	_, ok = s.Highest(at(7))
	assert.False(t, ok)

	// Against the plain definition.
	random := rand.New(rand.NewPCG(3, 3))
	var all []Held
	for i := range 2000 {
		f := Held{Replicas: int32(random.IntN(50)), Until: at(i + random.IntN(20))}
		s.Add(f)
		all = append(all, f)
		want, any := int32(0), false
		for _, a := range all {
			if a.Until.After(at(i)) {
				want, any = max(want, a.Replicas), true
			}
		}
		got, ok := s.Highest(at(i))
		require.Equal(t, any, ok)
		require.Equal(t, want, got.Replicas)
	}
}

func BenchmarkPredict(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	h := record(8*day+time.Hour, func(at time.Time) float64 { return workday(at) * (1 + 0.05*random.NormFloat64()) })
	for b.Loop() {
		Predict(Input{Now: noon, History: h, Desired: 35, Max: 1000, Horizon: 5 * time.Minute, MaxFactor: 2})
	}
}
