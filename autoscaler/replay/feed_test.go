package replay_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// history is n samples of each container, interleaved.
func history(containers, n int) string {
	var b strings.Builder
	b.WriteString("timestamp,value,container\n")
	for i := range n {
		for c := range containers {
			fmt.Fprintf(&b, "%d,%d.5,c%d\n", start.Unix()+int64(i)*60, (i*7+c*3)%11, c)
		}
	}
	return b.String()
}

func TestFeedDoesWhatSingleStepsDo(t *testing.T) {
	const containers, n = 13, 1500
	text := history(containers, n)
	newEngine := func(factor float64) *replay.Engine {
		e, err := replay.New(replay.Config{Model: factory(factor), Rules: rules(replay.Rules{Tolerance: 0.1}), Warmup: time.Hour})
		require.NoError(t, err)
		return e
	}
	samples, err := readAll(text)
	require.NoError(t, err)
	want := [][]replay.Step{nil, nil}
	single := []*replay.Engine{newEngine(1), newEngine(2)}
	for i, e := range single {
		for _, s := range samples {
			step, err := e.Step(s)
			require.NoError(t, err)
			want[i] = append(want[i], step)
		}
	}

	engines := []*replay.Engine{newEngine(1), newEngine(2)}
	got := [][]replay.Step{nil, nil}
	feed := replay.Feed{Engines: engines, Emit: func(steps [][]replay.Step) error {
		for i := range got {
			got[i] = append(got[i], steps[i]...)
		}
		return nil
	}}
	replayed, skipped, err := feed.Run(t.Context(), replay.NewReader(strings.NewReader(text), "usage.csv", vertical.CPU, "web"))
	require.NoError(t, err)
	assert.Equal(t, containers*n, replayed)
	assert.Zero(t, skipped)
	assert.Equal(t, want, got)
	for i := range engines {
		assert.Equal(t, single[i].Summary(), engines[i].Summary())
		assert.Equal(t, single[i].Containers(), engines[i].Containers())
	}
}

func TestFeedLeavesOutWhatIsNotSized(t *testing.T) {
	engine, err := replay.New(replay.Config{Model: factory(1)})
	require.NoError(t, err)
	feed := replay.Feed{Engines: []*replay.Engine{engine}, Sized: func(container string, _ vertical.Resource) bool { return container != "c1" }}
	replayed, skipped, err := feed.Run(t.Context(), replay.NewReader(strings.NewReader(history(3, 10)), "usage.csv", vertical.CPU, "web"))
	require.NoError(t, err)
	assert.Equal(t, 20, replayed)
	assert.Equal(t, 10, skipped)
	assert.Len(t, engine.Containers(), 2)
}

func TestFeedNamesTheFirstBadRow(t *testing.T) {
	text := "timestamp,value,container\n100,1,a\n100,1,b\n160,1,b\n160,1,a\n130,1,a\n130,1,b\n"
	engine, err := replay.New(replay.Config{Model: factory(1)})
	require.NoError(t, err)
	feed := replay.Feed{Engines: []*replay.Engine{engine}}
	_, _, err = feed.Run(t.Context(), replay.NewReader(strings.NewReader(text), "usage.csv", vertical.CPU, "web"))
	require.EqualError(t, err, "usage.csv:6: timestamp 1970-01-01T00:02:10Z: container a has a sample of 1970-01-01T00:02:40Z before it")

	text = "100,1\n100,1\n"
	engine, _ = replay.New(replay.Config{Model: factory(1)})
	feed.Engines = []*replay.Engine{engine}
	_, _, err = feed.Run(t.Context(), replay.NewReader(strings.NewReader(text), "usage.csv", vertical.CPU, "web"))
	require.EqualError(t, err, "usage.csv:2: timestamp 1970-01-01T00:01:40Z: container web has a sample of that time already")
}

func TestFeedStops(t *testing.T) {
	engine, err := replay.New(replay.Config{Model: func(string, vertical.Resource) (vertical.Model, error) { return nil, errors.New("no such model") }})
	require.NoError(t, err)
	feed := replay.Feed{Engines: []*replay.Engine{engine}}
	_, _, err = feed.Run(t.Context(), replay.NewReader(strings.NewReader("100,1\n"), "usage.csv", vertical.CPU, "web"))
	require.EqualError(t, err, "usage.csv:1: model for cpu of container web: no such model")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = feed.Run(ctx, replay.NewReader(strings.NewReader("100,1\n"), "usage.csv", vertical.CPU, "web"))
	require.ErrorIs(t, err, context.Canceled)

	good, err := replay.New(replay.Config{Model: factory(1)})
	require.NoError(t, err)
	full := errors.New("disk full")
	feed = replay.Feed{Engines: []*replay.Engine{good}, Emit: func([][]replay.Step) error { return full }}
	_, _, err = feed.Run(t.Context(), replay.NewReader(strings.NewReader("100,1\n"), "usage.csv", vertical.CPU, "web"))
	require.ErrorIs(t, err, full)
}

func BenchmarkFeed(b *testing.B) {
	text := history(166, 288)
	policy, err := replay.ParsePolicy("policy.yaml", []byte(policy))
	require.NoError(b, err)
	for name, model := range map[string]func(string, vertical.Resource) (vertical.Model, error){
		"engine": factory(1), "VPA": replay.Models(policy, v1alpha1.ModelVPA), "Auto": replay.Models(policy, v1alpha1.ModelAuto),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				engine, _ := replay.New(replay.Config{Model: model, Rules: rules(replay.Rules{Tolerance: 0.1})})
				feed := replay.Feed{Engines: []*replay.Engine{engine}}
				_, _, err := feed.Run(b.Context(), replay.NewReader(strings.NewReader(text), "usage.csv", vertical.CPU, "web"))
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*166*288), "ns/sample")
		})
	}
}
