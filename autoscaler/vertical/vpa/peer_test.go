package vpa_test

import (
	"encoding/csv"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/logic"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/util"

	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
)

// peer is the recommender of the VerticalPodAutoscaler itself, for one container, fed and asked as it feeds and asks itself.
type peer struct {
	state       *model.AggregateContainerState
	container   *model.ContainerState
	recommender logic.PodResourceRecommender
	containers  int
}

func newPeer(o vpa.Options) *peer {
	state := model.NewAggregateContainerState()
	return &peer{
		state:     state,
		container: model.NewContainerState(model.Resources{}, state),
		recommender: logic.CreatePodResourceRecommender(logic.RecommendationConfig{
			SafetyMarginFraction: o.Margin,
			PodMinCPUMillicores:  o.CPU.Floor * 1000, PodMinMemoryMb: o.Memory.Floor / (1 << 20),
			TargetCPUPercentile: o.CPU.Target, LowerBoundCPUPercentile: o.CPU.Lower, UpperBoundCPUPercentile: o.CPU.Upper,
			ConfidenceIntervalCPU:  o.CPU.Confidence,
			TargetMemoryPercentile: o.Memory.Target, LowerBoundMemoryPercentile: o.Memory.Lower, UpperBoundMemoryPercentile: o.Memory.Upper,
			ConfidenceIntervalMemory: o.Memory.Confidence,
		}),
		containers: max(o.Containers, 1),
	}
}

func (p *peer) add(cores, bytes float64, at time.Time) (cpu, memory bool) {
	cpu = p.container.AddSample(&model.ContainerUsageSample{MeasureStart: at, Usage: model.CPUAmountFromCores(cores), Resource: model.ResourceCPU})
	memory = p.container.AddSample(&model.ContainerUsageSample{MeasureStart: at, Usage: model.MemoryAmountFromBytes(bytes), Resource: model.ResourceMemory})
	return cpu, memory
}

func (p *peer) kill(bytes float64, at time.Time) bool {
	return p.container.RecordOOM(at, model.MemoryAmountFromBytes(bytes)) == nil
}

func (p *peer) recommend() (cpu, memory vpa.Recommendation) {
	states := model.ContainerNameToAggregateStateMap{"c": p.state}
	for i := 1; i < p.containers; i++ {
		states[strconv.Itoa(i)] = model.NewAggregateContainerState()
	}
	r := p.recommender.GetRecommendedPodResources(states)["c"]
	cores := func(x model.Resources) float64 { return model.CoresFromCPUAmount(x[model.ResourceCPU]) }
	bytes := func(x model.Resources) float64 { return model.BytesFromMemoryAmount(x[model.ResourceMemory]) }
	return vpa.Recommendation{Target: cores(r.Target), Lower: cores(r.LowerBound), Upper: cores(r.UpperBound)},
		vpa.Recommendation{Target: bytes(r.Target), Lower: bytes(r.LowerBound), Upper: bytes(r.UpperBound)}
}

// pair feeds both and holds one against the other.
type pair struct {
	t           *testing.T
	peer        *peer
	cpu, memory *vpa.Estimator
	compared    int
}

func newPair(t *testing.T, o vpa.Options) *pair {
	cpu, err := vpa.NewCPU(o)
	require.NoError(t, err)
	memory, err := vpa.NewMemory(o)
	require.NoError(t, err)
	return &pair{t: t, peer: newPeer(o), cpu: cpu, memory: memory}
}

func (p *pair) add(cores, bytes float64, at time.Time) {
	p.t.Helper()
	cpu, memory := p.peer.add(cores, bytes, at)
	require.Equal(p.t, cpu, p.cpu.Add(cores, at), "CPU sample taken")
	require.Equal(p.t, memory, p.memory.Add(bytes, at), "memory sample taken")
}

func (p *pair) kill(bytes float64, at time.Time) {
	p.t.Helper()
	require.Equal(p.t, p.peer.kill(bytes, at), p.memory.AddOOM(bytes, at), "kill taken")
}

// compare demands the very same numbers.
func (p *pair) compare(at time.Time) {
	p.t.Helper()
	wantCPU, wantMemory := p.peer.recommend()
	for _, c := range []struct {
		name      string
		estimator *vpa.Estimator
		want      vpa.Recommendation
	}{{"cpu", p.cpu, wantCPU}, {"memory", p.memory, wantMemory}} {
		got, ok := c.estimator.Recommend(at)
		require.True(p.t, ok, c.name)
		require.Equal(p.t, [3]float64{c.want.Target, c.want.Lower, c.want.Upper}, [3]float64{got.Target, got.Lower, got.Upper}, "%s at %s", c.name, at)
	}
	p.compared++
}

// seeds is how many random histories a test compares: a fifth under the race detector.
func seeds(n uint64) uint64 {
	if raceEnabled {
		return n / 5
	}
	return n
}

// TestPeerRandom feeds random usage with gaps, repetitions, steps back in time and kills.
func TestPeerRandom(t *testing.T) {
	for seed := range seeds(60) {
		random := rand.New(rand.NewPCG(seed, 7))
		o := vpa.DefaultOptions()
		o.Containers = 1 + random.IntN(4)
		if seed%2 == 0 {
			o = o.WithoutFloor()
		}
		if seed%3 == 0 {
			o.Margin, o.CPU.Target, o.Memory.Target = random.Float64(), random.Float64(), random.Float64()
			o.CPU.Confidence = time.Duration(1+random.IntN(48)) * time.Hour
		}
		p := newPair(t, o)
		scale := math.Exp(random.NormFloat64() * 3)
		now := start.Add(time.Duration(random.Int64N(int64(1000 * time.Hour))))
		for i := range 3000 {
			switch n := random.IntN(1000); {
			case n < 5:
				now = now.Add(time.Duration(random.Int64N(int64(150 * time.Hour))))
			case n < 15:
				now = now.Add(-time.Duration(random.Int64N(int64(2 * time.Hour))))
			case n < 30: // the same time again
			default:
				now = now.Add(time.Duration(random.Int64N(int64(10 * time.Minute))))
			}
			p.add(scale*random.ExpFloat64(), 1e8*scale*random.ExpFloat64(), now)
			if random.IntN(300) == 0 {
				p.kill(1e8*scale*random.ExpFloat64(), now.Add(-time.Duration(random.Int64N(int64(30*time.Hour)))))
			}
			if i%50 == 0 {
				p.compare(now)
			}
		}
	}
}

// TestPeerYears runs for long enough that reference times move.
func TestPeerYears(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	p := newPair(t, vpa.DefaultOptions())
	for hour := range 2 * 365 * 24 {
		now := start.Add(time.Duration(hour) * time.Hour)
		p.add(random.ExpFloat64(), 1e9*random.ExpFloat64(), now)
		if hour%97 == 0 {
			p.compare(now)
		}
	}
}

// TestPeerRealSeries feeds measured CPU, in percent, with the same numbers as memory in units of 10 MB.
func TestPeerRealSeries(t *testing.T) {
	files, err := filepath.Glob(sharedData(t, "load/nab") + "/*cpu_utilization*.csv")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			p := newPair(t, vpa.DefaultOptions())
			readSeries(t, file, func(at time.Time, value float64) {
				p.add(value*0.16, value*1e7, at)
				p.compare(at)
			})
			assert.Greater(t, p.compared, 1000)
		})
	}
}

// TestPeerHistogram compares histograms alone, with values and weights that no sample has.
func TestPeerHistogram(t *testing.T) {
	for seed := range seeds(50) {
		random := rand.New(rand.NewPCG(seed, 11))
		options, err := util.NewExponentialHistogramOptions(1000, 0.01, 1.05, 1e-4)
		require.NoError(t, err)
		theirs := [2]util.Histogram{util.NewDecayingHistogram(options, time.Hour), util.NewDecayingHistogram(options, time.Hour)}
		ours := [2]*vpa.Histogram{vpa.NewHistogram(vpa.CPUBuckets(), time.Hour), vpa.NewHistogram(vpa.CPUBuckets(), time.Hour)}
		now := start
		for range 2000 {
			now = now.Add(time.Duration(random.Int64N(int64(20 * time.Minute))))
			if random.IntN(200) == 0 {
				now = now.Add(time.Duration(random.Int64N(int64(120 * time.Hour))))
			}
			i, value, weight := random.IntN(2), math.Exp(random.NormFloat64()*4), random.ExpFloat64()*math.Pow(10, -float64(random.IntN(8)))
			if random.IntN(4) == 0 {
				theirs[i].SubtractSample(value, weight, now)
				ours[i].Subtract(value, weight, now)
			} else {
				theirs[i].AddSample(value, weight, now)
				ours[i].Add(value, weight, now)
			}
			if random.IntN(500) == 0 {
				theirs[i].Merge(theirs[1-i])
				require.NoError(t, ours[i].Merge(ours[1-i]))
			}
			for n := range 2 {
				require.Equal(t, theirs[n].IsEmpty(), ours[n].Empty())
				for _, p := range []float64{0, 0.1, 0.5, 0.9, 0.99, 1} {
					require.Equal(t, theirs[n].Percentile(p), ours[n].Percentile(p))
				}
			}
		}
	}
}

// sharedData finds a folder of public data beside the repository. In CI it must be there.
func sharedData(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join("../../../../shared/data", folder)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no data to test on: %v", err)
		}
		t.Skipf("no data to test on: %v", err)
	}
	return path
}

// readSeries reads the rows `2014-02-14 14:30:00,0.132` of a file in order.
func readSeries(t *testing.T, file string, each func(at time.Time, value float64)) {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	rows := csv.NewReader(f)
	_, err = rows.Read()
	require.NoError(t, err)
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		at, err := time.Parse(time.DateTime, row[0])
		require.NoError(t, err)
		value, err := strconv.ParseFloat(row[1], 64)
		require.NoError(t, err)
		each(at, value)
	}
}
