package vertical_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
)

// score is what came of made-up memory: slack is the mean over containers, kills are per container and day.
type score struct{ slack, kills, changes float64 }

// tried replays sets with a model, from the first hour on, as a policy without settings has it. It returns the score of each class,
// and that of all.
func tried(t *testing.T, sets map[string][][]replay.Sample, model func() (vertical.Model, error)) (all score, classes map[string]score) {
	t.Helper()
	var total, days float64
	classes = map[string]score{}
	// In a fixed order, since sums of floating point numbers depend on it.
	for _, class := range slices.Sorted(maps.Keys(sets)) {
		set := sets[class]
		engine, err := replay.New(replay.Config{
			Model:  func(string, vertical.Resource) (vertical.Model, error) { return model() },
			Warmup: time.Hour,
			Rules:  func(string, vertical.Resource) replay.Rules { return replay.Rules{Tolerance: replay.DefaultTolerance} },
		})
		require.NoError(t, err)
		for _, series := range set {
			for _, sample := range series {
				_, err := engine.Step(sample)
				require.NoError(t, err)
			}
		}
		var of score
		lived := 0.0
		for _, c := range engine.Containers() {
			of.slack += c.Slack
			of.kills += float64(c.OOMs)
			of.changes += float64(c.Changes)
			lived += c.ContainerHours / 24
		}
		all.slack, all.kills, all.changes = all.slack+of.slack, all.kills+of.kills, all.changes+of.changes
		total, days = total+float64(len(set)), days+lived
		classes[class] = score{of.slack / float64(len(set)), of.kills / lived, of.changes / lived}
	}
	return score{all.slack / total, all.kills / days, all.changes / days}, classes
}

func memoryModel(name string, options vertical.Options) func() (vertical.Model, error) {
	return func() (vertical.Model, error) { return vertical.New(name, vertical.Memory, options) }
}

// TestMadeUpMemory holds Auto to what it reaches on memory that nobody measured, on the set that constants were chosen on and on one
// that they were not. With -v it prints tables; the next test has the other figures of tuning.go.
func TestMadeUpMemory(t *testing.T) {
	rows := []struct {
		name  string
		model func() (vertical.Model, error)
	}{
		{"VPA", func() (vertical.Model, error) {
			return vertical.NewVPA(vertical.Memory, vpa.DefaultOptions().WithoutFloor())
		}},
		{"Auto", memoryModel(vertical.Auto, vertical.Options{})},
		{"Auto among all models", memoryModel(vertical.Auto, vertical.MemoryOptions(0.25, true))},
	}
	for name, seed := range map[string]uint64{"tuning": tuningSeed, "held out": heldOutSeed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := newScoreTable(t, "made-up memory, "+name, madeUpMemory(seed))
			scores := map[string]score{}
			for _, row := range rows {
				scores[row.name] = table.add(row.name, row.model)
			}
			table.log()
			auto, all, vpa := scores["Auto"], scores["Auto among all models"], scores["VPA"]
			assert.LessOrEqual(t, auto.slack, 0.2, "slack")
			assert.LessOrEqual(t, auto.kills, 0.175, "kills per container and day")
			assert.Less(t, auto.slack, vpa.slack, "slack, against VPA's")
			assert.LessOrEqual(t, auto.kills, all.kills, "kills, against those of a choice among all models")
		})
	}
}

// TestThePriceOfAKillTradesSlackForKills is what the price is chosen by.
func TestThePriceOfAKillTradesSlackForKills(t *testing.T) {
	t.Parallel()
	table := newScoreTable(t, "made-up memory by the price of a kill", madeUpMemory(tuningSeed))
	var before score
	for i, price := range []float64{0.05, 1} {
		now := table.add(fmt.Sprintf("%g days of slack", price), memoryModel(vertical.Auto, vertical.MemoryOptions(price, false)))
		if i > 0 {
			assert.Greater(t, now.slack, before.slack)
			assert.Less(t, now.kills, before.kills)
		}
		before = now
	}
	table.log()
}

// scoreTable collects rows for people.
type scoreTable struct {
	t    *testing.T
	sets map[string][][]replay.Sample
	text strings.Builder
}

func newScoreTable(t *testing.T, title string, sets map[string][][]replay.Sample) *scoreTable {
	table := &scoreTable{t: t, sets: sets}
	fmt.Fprintf(&table.text, "| %s | slack | OOMs per container and day | changes per container and day |", title)
	for _, class := range memoryClasses {
		fmt.Fprintf(&table.text, " %s |", class.name)
	}
	fmt.Fprintf(&table.text, "\n|---|---:|---:|---:|%s\n", strings.Repeat("---:|", len(memoryClasses)))
	return table
}

// add replays all sets with a model. The row ends with slack and OOMs of each class.
func (s *scoreTable) add(name string, model func() (vertical.Model, error)) score {
	all, classes := tried(s.t, s.sets, model)
	fmt.Fprintf(&s.text, "| %s | %.3f | %.3f | %.1f |", name, all.slack, all.kills, all.changes)
	for _, class := range memoryClasses {
		fmt.Fprintf(&s.text, " %.2f / %.2f |", classes[class.name].slack, classes[class.name].kills)
	}
	s.text.WriteByte('\n')
	return all
}

func (s *scoreTable) log() { s.t.Log("\n" + s.text.String()) }

// TestMadeUpMemoryIsTheSameForTheSameSeed is what makes figures of it worth anything.
func TestMadeUpMemoryIsTheSameForTheSameSeed(t *testing.T) {
	assert.Equal(t, madeUpMemory(3), madeUpMemory(3))
	assert.NotEqual(t, madeUpMemory(3), madeUpMemory(4))
}
