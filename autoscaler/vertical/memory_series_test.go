package vertical_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// Seeds of made-up memory: constants were chosen on the first, and are judged on the second.
const (
	tuningSeed  = 1
	heldOutSeed = 1001
)

// memoryClass is a kind of program by how its memory goes.
type memoryClass struct {
	name string
	// containers is how many there are of it in a set.
	containers int
	usage      func(p *program)
}

// memoryClasses are mixed as production mixes them: most memory is flat, grows into its caches, or is a heap that is collected. All
// see surprises, which are what kills come from. VPA leaves more slack on them, and is killed less, than was reported of it for
// production.
var memoryClasses = []memoryClass{
	{"flat", 12, func(p *program) { p.each(func(float64) float64 { return 1 }) }},
	{"warm-up", 8, (*program).warmUp},
	{"deploys", 7, (*program).deploys},
	{"collected heap", 7, (*program).collected},
	{"leak", 5, (*program).leak},
	{"day", 6, (*program).daily},
	{"jobs", 6, (*program).jobs},
	{"bursts", 6, (*program).bursts},
}

// program makes up the memory of one container.
type program struct {
	*rand.Rand
	step, days, noise float64
	// surprises is how often a day something unusual is asked of the program.
	surprises float64
	values    []float64
}

// madeUpMemory is a set of containers by class, the same for the same seed. Each lives for 2 to 12 days, is sampled every one or five
// minutes, and uses whole pages around a level that is log-normal: 300 MB in the middle, less than a tenth or more than ten times
// that for one in twenty.
func madeUpMemory(seed uint64) map[string][][]replay.Sample {
	all := map[string][][]replay.Sample{}
	for i, class := range memoryClasses {
		for n := range class.containers {
			random := rand.New(rand.NewPCG(seed, uint64(i*1000+n)))
			p := &program{Rand: random, step: 300, days: 2 + 10*random.Float64()}
			if n%3 == 0 {
				p.step, p.days = 60, 2+3*random.Float64()
			}
			p.noise, p.surprises = p.near(0.002, 1.2), p.near(0.12, 1)
			level := 3e8 * math.Exp(1.2*random.NormFloat64())
			class.usage(p)
			all[class.name] = append(all[class.name], p.samples(fmt.Sprintf("%s %d", class.name, n), level))
		}
	}
	return all
}

func (p *program) samples(container string, level float64) []replay.Sample {
	const page = 4096
	list := make([]replay.Sample, len(p.values))
	at := begin.Add(time.Duration(p.IntN(86400)) * time.Second)
	wander, surprise := 0.0, 0.0
	for i, v := range p.values {
		// Noise is remembered for twenty minutes, a surprise for hours: a large request, a reload, a backup.
		wander += -wander*p.step/1200 + p.noise*p.NormFloat64()*math.Sqrt(p.step/300)
		surprise *= math.Exp(-p.step / 86400 / 0.05)
		if p.chance(p.surprises) {
			surprise += p.pareto(0.1, 2)
		}
		list[i] = replay.Sample{
			Container: container, Resource: vertical.Memory, Time: at.Add(time.Duration(float64(i)*p.step) * time.Second),
			Usage: math.Round(level*v*(math.Exp(wander)+math.Min(surprise, 3))/page) * page,
		}
	}
	return list
}

// each calls usage for every sample with its time in days.
func (p *program) each(usage func(at float64) float64) {
	for i := range int(p.days * 86400 / p.step) {
		p.values = append(p.values, usage(float64(i)*p.step/86400))
	}
}

// chance is whether something that happens so often a day happened during a sample.
func (p *program) chance(perDay float64) bool { return p.Float64() < perDay*p.step/86400 }

// near is a value by chance around another, further away the larger the spread.
func (p *program) near(v, spread float64) float64 { return v * math.Exp(spread*p.NormFloat64()) }

// pareto is a value of at least least whose tail is the heavier the smaller the exponent.
func (p *program) pareto(least, exponent float64) float64 {
	return least * math.Pow(1-p.Float64(), -1/exponent)
}

// warmUp fills caches over hours, each restart again.
func (p *program) warmUp() {
	start, hours, share := 0.0, p.near(5, 0.8), 0.2+0.5*p.Float64()
	restarts := 0.25 * p.Float64()
	p.each(func(at float64) float64 {
		if p.chance(restarts) {
			start = at
		}
		return 1 - share*math.Exp(-(at-start)*24/hours)
	})
}

// deploys change the level with each version.
func (p *program) deploys() {
	level, often := 1.0, 0.2+0.8*p.Float64()
	p.each(func(float64) float64 {
		if p.chance(often) {
			level = p.near(1, 0.3)
		}
		return level
	})
}

// collected grows until the collector runs, from half an hour to six hours later, to a height that varies.
func (p *program) collected() {
	hours, varies, low := p.near(2, 0.6), 0.02+0.08*p.Float64(), 0.6+0.35*p.Float64()
	v, top := low, 1.0
	p.each(func(float64) float64 {
		v += (1 - low) * p.step / 3600 / hours * (0.7 + 0.6*p.Float64())
		if v > top {
			v, top = p.near(low, varies), p.near(1, varies)
		}
		return v
	})
}

// leak grows until it is restarted, at the same size as before or by a deploy.
func (p *program) leak() {
	v, perDay, most := 0.6, 0.05+0.4*p.Float64(), 1+0.5*p.Float64()
	p.each(func(float64) float64 {
		v += perDay * p.step / 86400 * (0.5 + p.Float64())
		if v > most || p.chance(0.15) {
			v = 0.6
		}
		return v
	})
}

// daily follows the users of a day, each day somewhat different and the weekend lower.
func (p *program) daily() {
	share, varies, today, number := 0.05+0.25*p.Float64(), 0.02+0.08*p.Float64(), 1.0, -1
	phase := p.Float64()
	p.each(func(at float64) float64 {
		if d := int(at + phase); d != number {
			number, today = d, p.near(1, varies)
			if d%7 > 4 {
				today *= 0.7
			}
		}
		return 1 + share*today*math.Sin(2*math.Pi*(at+phase))
	})
}

// jobs run every hour or every day for minutes.
func (p *program) jobs() {
	every, lasts, height := 1.0, 10+50*p.Float64(), 0.1+0.3*p.Float64()
	if p.IntN(2) == 0 {
		every, lasts = 1.0/24, 5+10*p.Float64()
	}
	run, number := height, -1
	p.each(func(at float64) float64 {
		if n := int(at / every); n != number {
			number, run = n, p.near(height, 0.3)
		}
		if since := math.Mod(at, every) * 1440; since < lasts {
			return 1 + run*math.Min(1, (since+1)/5)
		}
		return 1
	})
}

// bursts come by chance, most small and few large, and go within minutes or hours.
func (p *program) bursts() {
	burst, perDay, tail, half := 0.0, p.near(4, 0.7), 1.3+p.Float64(), p.near(0.02, 0.8)
	p.each(func(float64) float64 {
		burst *= math.Exp2(-p.step / 86400 / half)
		if p.chance(perDay) {
			burst = math.Min(4, burst+p.pareto(0.05, tail))
		}
		return 1 + burst
	})
}
