package vertical_test

import (
	"math"
	"math/rand"
	"testing"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

const mebibyte = 1 << 20

// noisy varies a level by a few percent, always in the same way.
func noisy(level, share float64, seed int64) func(int) float64 {
	r := rand.New(rand.NewSource(seed))
	return func(int) float64 { return level * (1 + share*(2*r.Float64()-1)) }
}

// minutesUntil feeds samples until the target fulfils a condition, and returns after how many it did.
func minutesUntil(t *testing.T, m vertical.Model, from time.Time, most int, value func(int) float64, done func(vertical.Estimate) bool) int {
	t.Helper()
	for i := range most {
		at := from.Add(time.Duration(i) * time.Minute)
		m.Observe(vertical.Sample{Time: at, Value: value(i), Mean: value(i)})
		if done(target(t, m, at)) {
			return i + 1
		}
	}
	return most + 1
}

func TestAutoFollowsALevel(t *testing.T) {
	tests := map[string]struct {
		resource      vertical.Resource
		before, after float64
		within        int
	}{
		"cpu up by half":        {vertical.CPU, 1, 1.5, 3},
		"cpu up tenfold":        {vertical.CPU, 0.2, 2, 3},
		"cpu down to a quarter": {vertical.CPU, 2, 0.5, 150},
		"memory up by half":     {vertical.Memory, 1000 * mebibyte, 1500 * mebibyte, 1},
		// The peak of three hours, and the eighth of it that is under way.
		"memory down to half":    {vertical.Memory, 1000 * mebibyte, 500 * mebibyte, 190},
		"memory down to a ninth": {vertical.Memory, 900 * mebibyte, 100 * mebibyte, 180},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, vertical.Auto, test.resource)
			at := feed(m, begin, 3*1440, noisy(test.before, 0.03, 1))
			if e := target(t, m, at); e.Target < test.before || e.Target > 1.35*test.before {
				t.Fatalf("before: %+v", e)
			}
			took := minutesUntil(t, m, at, 600, noisy(test.after, 0.03, 2), func(e vertical.Estimate) bool {
				if test.after > test.before {
					return e.Target >= test.after
				}
				return e.Target <= 1.4*test.after
			})
			if took > test.within {
				t.Errorf("took %d minutes, want at most %d", took, test.within)
			}
		})
	}
}

func TestALeakIsFollowedAndForgotten(t *testing.T) {
	m := newModel(t, vertical.Auto, vertical.Memory)
	leak := func(i int) float64 { return (200 + float64(i)*0.5) * mebibyte }
	over := 0
	at := begin
	for i := range 2880 {
		at = begin.Add(time.Duration(i) * time.Minute)
		if e, ok := m.Estimate(at); ok && i > 120 && leak(i) > e.Target {
			over++
			m.ObserveOOM(vertical.OOM{Time: at, Limit: e.Target, Usage: leak(i)})
		}
		m.Observe(vertical.Sample{Time: at, Value: leak(i), Mean: leak(i)})
	}
	if over > 3 {
		t.Errorf("%d kills in two days of a leak that is as steady as can be", over)
	}
	if e := target(t, m, at); e.Target > 1.3*leak(2879) {
		t.Errorf("%.0f MiB for a leak at %.0f MiB", e.Target/mebibyte, leak(2879)/mebibyte)
	}
	took := minutesUntil(t, m, at.Add(time.Minute), 1440, noisy(200*mebibyte, 0.01, 1), func(e vertical.Estimate) bool { return e.Target < 300*mebibyte })
	if took < 15 || took > 600 {
		t.Errorf("what leaked was forgotten after %d minutes, want it kept for some and gone within hours", took)
	}
}

func TestAnIdleWeekIsNotTheEnd(t *testing.T) {
	for _, resource := range []vertical.Resource{vertical.CPU, vertical.Memory} {
		busy, idle := 1.0, 0.01
		if resource == vertical.Memory {
			busy, idle = 1000*mebibyte, 10*mebibyte
		}
		m := newModel(t, vertical.Auto, resource)
		at := feed(m, begin, 3*1440, noisy(busy, 0.03, 1))
		at = feed(m, at, 10, constant(idle))
		if e := target(t, m, at); e.Target < busy/2 {
			t.Errorf("%s: %g after ten idle minutes", resource, e.Target)
		}
		at = feed(m, at, 7*1440, constant(idle))
		if e := target(t, m, at); e.Target > busy/10 {
			t.Errorf("%s: %g after an idle week", resource, e.Target)
		}
		at = feed(m, at, 1, constant(busy))
		if e := target(t, m, at); e.Target < busy {
			t.Errorf("%s: %g with the first sample of work", resource, e.Target)
		}
	}
}

func TestSilenceReducesNothing(t *testing.T) {
	for _, name := range names {
		for _, resource := range []vertical.Resource{vertical.CPU, vertical.Memory} {
			level := 1.0
			if resource == vertical.Memory {
				level = 512 * mebibyte
			}
			m := newModel(t, name, resource)
			at := feed(m, begin, 1440, noisy(level, 0.02, 1))
			before := target(t, m, at).Target
			for _, later := range []time.Duration{time.Hour, 24 * time.Hour, 30 * 24 * time.Hour} {
				if after := target(t, m, at.Add(later)).Target; after < before {
					t.Errorf("%s %s: %g after %s without a sample, before %g", name, resource, after, later, before)
				}
			}
			// A container that starts again uses little at first.
			at = feed(m, at.Add(5*time.Hour), 3, constant(level/20))
			if after := target(t, m, at).Target; after < level {
				t.Errorf("%s %s: %g three minutes after a gap, before %g", name, resource, after, before)
			}
		}
	}
}

func TestAClockThatJumpsIsIgnored(t *testing.T) {
	for _, name := range names {
		m := newModel(t, name, vertical.CPU)
		at := feed(m, begin, 600, noisy(1, 0.02, 1))
		m.Observe(vertical.Sample{Time: at.AddDate(10, 0, 0), Value: 1, Mean: 1})
		after := feed(m, at, 100, noisy(1, 0.02, 2))
		e := target(t, m, after)
		if e.Samples != 700 || e.Target < 0.9 || e.Target > 1.5 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestALongGapIsBelieved(t *testing.T) {
	m := newModel(t, vertical.Auto, vertical.CPU)
	at := feed(m, begin, 600, noisy(1, 0.02, 1)).Add(72 * time.Hour)
	at = feed(m, at, 2, constant(3))
	if e := target(t, m, at); e.Samples != 602 || e.Target < 3 {
		t.Errorf("%+v", e)
	}
}

func TestThrottlingAndPressureAreUsage(t *testing.T) {
	plain, held := newModel(t, vertical.Auto, vertical.CPU), newModel(t, vertical.Auto, vertical.CPU)
	at := begin
	for i := range 600 {
		at = begin.Add(time.Duration(i) * time.Minute)
		plain.Observe(vertical.Sample{Time: at, Value: 1, Mean: 1})
		held.Observe(vertical.Sample{Time: at, Value: 1, Mean: 1, Throttled: 0.6})
	}
	if a, b := target(t, plain, at).Target, target(t, held, at).Target; b < 1.5*a {
		t.Errorf("%g when throttled in 60%% of periods, %g otherwise", b, a)
	}
}

func TestKillsInARowGrowTheAnswer(t *testing.T) {
	m := newModel(t, vertical.Auto, vertical.Memory)
	at := feed(m, begin, 600, constant(100*mebibyte))
	want := 100.0 * mebibyte
	kills := 0
	for need := 1000.0 * mebibyte; want < need; kills++ {
		m.ObserveOOM(vertical.OOM{Time: at, Limit: want, Usage: want})
		e := target(t, m, at)
		if e.Target < 1.2*want {
			t.Fatalf("%g answers a kill at %g", e.Target, want)
		}
		want, at = e.Target, at.Add(time.Minute)
	}
	if kills > 6 {
		t.Errorf("%d kills until ten times as much was there", kills)
	}
}

func TestAHourlyJobIsForeseen(t *testing.T) {
	m := newModel(t, vertical.Auto, vertical.CPU)
	cron := func(i int) float64 {
		if i%60 == 30 || i%60 == 31 {
			return 2
		}
		return 0.5
	}
	over, slack := 0, 0.0
	for i := range 4 * 1440 {
		at := begin.Add(time.Duration(i) * time.Minute)
		if e, ok := m.Estimate(at); ok && i >= 2*1440 {
			if cron(i) > e.Target {
				over++
			}
			slack += max(0, 1-cron(i)/e.Target) / (2 * 1440)
		}
		m.Observe(vertical.Sample{Time: at, Value: cron(i), Mean: cron(i)})
	}
	if over > 4 || slack > 0.25 {
		t.Errorf("over the request %d times in 48 runs of the job, slack %.2f", over, slack)
	}
}

func TestModelsAreDeterministic(t *testing.T) {
	for _, name := range names {
		a, b := newModel(t, name, vertical.CPU), newModel(t, name, vertical.CPU)
		feed(a, begin, 3000, noisy(1, 0.5, 7))
		at := feed(b, begin, 3000, noisy(1, 0.5, 7))
		if x, y := target(t, a, at), target(t, b, at); x != y {
			t.Errorf("%s: %+v and %+v", name, x, y)
		}
	}
}

func TestConfidenceGrowsWithHistoryAndFallsWithVariance(t *testing.T) {
	short, long, wild := newModel(t, vertical.Auto, vertical.CPU), newModel(t, vertical.Auto, vertical.CPU), newModel(t, vertical.Auto, vertical.CPU)
	a := target(t, short, feed(short, begin, 60, noisy(1, 0.05, 1))).Confidence
	b := target(t, long, feed(long, begin, 3000, noisy(1, 0.05, 1))).Confidence
	c := target(t, wild, feed(wild, begin, 3000, noisy(1, 1, 1))).Confidence
	if a <= 0 || a >= b || c >= b || b >= 1 {
		t.Errorf("an hour %.2f, two days %.2f, two wild days %.2f", a, b, c)
	}
}

func TestTheFloorOfMemoryIsAboveTheRecentPeak(t *testing.T) {
	m := newModel(t, vertical.Auto, vertical.Memory)
	at := feed(m, begin, 600, constant(100*mebibyte))
	at = feed(m, at, 1, constant(180*mebibyte))
	at = feed(m, at, 10, constant(100*mebibyte))
	if e := target(t, m, at); e.Floor < 180*mebibyte || e.Target < e.Floor {
		t.Errorf("%+v", e)
	}
}

func checkEstimate(t testing.TB, resource vertical.Resource, e vertical.Estimate) {
	t.Helper()
	for _, v := range []float64{e.Target, e.Lower, e.Upper, e.Floor, e.Confidence} {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			t.Fatalf("%+v", e)
		}
	}
	switch {
	case e.Target <= 0, e.Lower > e.Target, e.Target > e.Upper, e.Confidence > 1, e.Model == "", e.Reason == "":
		t.Fatalf("%+v", e)
	case resource != vertical.CPU && e.Target < e.Floor:
		t.Fatalf("below the floor: %+v", e)
	}
}

func TestModelsStaySaneOnAnything(t *testing.T) {
	for _, name := range names {
		for seed := range int64(6) {
			r := rand.New(rand.NewSource(seed))
			resource := []vertical.Resource{vertical.CPU, vertical.Memory, vertical.EphemeralStorage}[seed%3]
			m := newModel(t, name, resource)
			at := begin
			for range 800 {
				at = at.Add(time.Duration(r.ExpFloat64() * float64(time.Minute) * math.Exp(3*r.NormFloat64())))
				v := math.Exp(12 * r.NormFloat64())
				m.Observe(vertical.Sample{Time: at, Value: v, Mean: v / 2, Throttled: r.Float64(), Pressure: r.Float64()})
				if r.Intn(20) == 0 {
					m.ObserveOOM(vertical.OOM{Time: at, Limit: v * r.Float64(), Usage: v})
				}
				if e, ok := m.Estimate(at); ok {
					checkEstimate(t, resource, e)
				}
			}
		}
	}
}

// FuzzModels reads samples from bytes: two for the distance in time, one for the usage, one for what else there was.
func FuzzModels(f *testing.F) {
	f.Add([]byte{0, 60, 100, 0, 0, 60, 255, 1, 0, 60, 0, 0, 255, 255, 10, 2})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, resource := range []vertical.Resource{vertical.CPU, vertical.Memory} {
			m := newModel(t, vertical.Auto, resource)
			at := begin
			for ; len(data) >= 4; data = data[4:] {
				at = at.Add(time.Duration(int(data[0])<<8+int(data[1])-100) * time.Second)
				v := math.Exp(float64(data[2])/6 - 10)
				m.Observe(vertical.Sample{Time: at, Value: v, Mean: v, Throttled: float64(data[3]) / 255})
				if data[3]%7 == 1 {
					m.ObserveOOM(vertical.OOM{Time: at, Limit: v})
				}
				if e, ok := m.Estimate(at); ok {
					checkEstimate(t, resource, e)
				}
			}
		}
	})
}
