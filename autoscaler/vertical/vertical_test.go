package vertical_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

var begin = time.Unix(1_700_000_000, 0).UTC()

func newModel(t testing.TB, name string, resource vertical.Resource) vertical.Model {
	t.Helper()
	m, err := vertical.New(name, resource, vertical.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// feed gives one sample a minute from a time for as long, with values of a function of the minute.
func feed(m vertical.Model, from time.Time, minutes int, value func(int) float64) time.Time {
	at := from
	for i := range minutes {
		at = from.Add(time.Duration(i) * time.Minute)
		m.Observe(vertical.Sample{Time: at, Value: value(i), Mean: value(i)})
	}
	return at.Add(time.Minute)
}

func constant(v float64) func(int) float64 { return func(int) float64 { return v } }

func target(t testing.TB, m vertical.Model, at time.Time) vertical.Estimate {
	t.Helper()
	e, ok := m.Estimate(at)
	if !ok {
		t.Fatal("no estimate")
	}
	return e
}

var names = []string{vertical.Auto, vertical.Percentile, vertical.Peak, vertical.Forecast, vertical.Autopilot}

func TestNewRefusesWhatItDoesNotKnow(t *testing.T) {
	if _, err := vertical.New("Guess", vertical.CPU, vertical.Options{}); !errors.Is(err, vertical.ErrUnknownModel) {
		t.Errorf("unknown name: %v", err)
	}
	if m, err := vertical.New(vertical.VPA, vertical.CPU, vertical.Options{}); err != nil || m == nil {
		t.Errorf("VPA: %v", err)
	}
	if _, err := vertical.New(vertical.Auto, vertical.CPU, vertical.Options{History: -1}); err == nil {
		t.Error("negative history was taken")
	}
}

func TestModelsStartWithoutData(t *testing.T) {
	for _, name := range names {
		m := newModel(t, name, vertical.Memory)
		if _, ok := m.Estimate(begin); ok {
			t.Errorf("%s knows something without data", name)
		}
		m.Observe(vertical.Sample{Time: begin, Value: 100 << 20, Mean: 100 << 20})
		if e := target(t, m, begin); e.Target < 100<<20 {
			t.Errorf("%s: %.0f is below the only sample", name, e.Target)
		}
	}
}

func TestModelsRefuseWhatIsNoSample(t *testing.T) {
	for _, name := range names {
		m := newModel(t, name, vertical.CPU)
		at := feed(m, begin, 10, constant(1))
		for _, s := range []vertical.Sample{
			{Time: begin, Value: 50},
			{Time: at, Value: math.NaN()},
			{Time: at, Value: math.Inf(1)},
			{Time: at, Value: -1},
		} {
			if m.Observe(s) {
				t.Errorf("%s took %+v", name, s)
			}
		}
		if e := target(t, m, at); e.Target > 2 || e.Samples != 10 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestOOMIsAnsweredAtOnce(t *testing.T) {
	for _, name := range names {
		m := newModel(t, name, vertical.Memory)
		at := feed(m, begin, 600, constant(100<<20))
		before := target(t, m, at).Target
		m.ObserveOOM(vertical.OOM{Time: at, Limit: before, Usage: 90 << 20})
		if after := target(t, m, at).Target; after < 1.15*before {
			t.Errorf("%s: %.0f after a kill at %.0f", name, after, before)
		}
	}
}
