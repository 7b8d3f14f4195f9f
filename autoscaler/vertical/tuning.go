package vertical

// tuning are the constants of one resource. Where a value was chosen by replaying measured usage, the comment says what it was
// among and on what; tests of this package hold the outcome. CPU is judged on ten machines of NAB, and on crane's series for what
// was not chosen on them; memory on Train Ticket's pods and on made-up containers of eight kinds, one set to choose on and one to
// judge by.
type tuning struct {
	memory bool
	// over is the price of a time over the request, in units of the slack of an idle container over the same time; kill is the
	// price of one kill, and change that of one change of the request, both in days of such slack. They are the slopes at which
	// slack is traded. TestEvidence holds what they come to. One price for all series is what spends time over the request where
	// it saves most: a price that each series raises while its own time over the request is above a target gave more slack for
	// the same time in all, since it spends most on bursts that nothing foresees.
	// With kill from 0.05 to 1 the made-up memory's slack went from 0.12 to 0.26, and its kills from 0.46 a container and day to 0.06.
	over, kill, change float64

	// In seconds. The half-lives of movingHalfLife are Autopilot's.
	shortHalfLife, longHalfLife, movingHalfLife float64
	// residualHalfLife is for how usage turned out relative to statistics, costHalfLife for what candidates cost, in seconds.
	// Hours follow a level sooner and cost CPU nothing; for memory, where a kill is rare, they would forget it.
	residualHalfLife, costHalfLife float64

	// hazardPrior and hazardSpread: what was not seen in T days is expected once in T + hazardPrior, by the power of
	// -1/hazardSpread less often at a multiple of the level.
	hazardPrior, hazardSpread float64

	// beyond is the room above the newest usage that a request may have beyond everything seen in three days, or beyond the
	// statistic where it remembers more: what was never seen is expected only to grow from where usage is. 0 is no bound.
	beyond float64

	// least is the smallest margin of a peak.
	least float64
	// up and down are the differences from the request in force, as fractions, that a candidate must ask for; down counts where
	// it is more than the tolerance.
	up, down float64
	// switching is by how much cheaper another candidate must be, as a fraction.
	switching float64
	// floor is the peak window below which a request is not reduced.
	floor int
	// A kill is too rare for a backtest to have seen what a candidate risks, so what it asks for counts against it beforehand: it
	// risks, by the hazard above with riskSpread, usage beyond the peak of the window reference, risk times as often.
	reference        int
	risk, riskSpread float64
	// auto is the only model whose candidates Auto chooses among, all when empty. Percentiles, forecasts and the moving window saved
	// made-up memory nothing, and what was cheapest among them had often been lucky: at the same slack kills were a fifth more
	// on one set, and as many on the other.
	auto string

	// reach is reachOf(hazardSpread).
	reach [marginCount]float64
}

var cpuTuning, memoryTuning = withReach(tuning{
	over: 3, change: 0.0001,
	shortHalfLife: 2 * hour, longHalfLife: day, movingHalfLife: 12 * hour,
	residualHalfLife: day / 2, costHalfLife: 3 * hour,
	hazardPrior: hour / day, hazardSpread: 0.1,
	beyond: 1.1,
	least:  0.6, up: 0.03, down: 0.05, floor: peakNewest,
}), withReach(tuning{
	memory: true,
	kill:   0.25, change: 0.0005,
	shortHalfLife: 2 * hour, longHalfLife: day, movingHalfLife: 48 * hour,
	residualHalfLife: 2 * day, costHalfLife: 2 * day,
	hazardPrior: hour / day, hazardSpread: 0.05,
	least: 1.01, down: 0.05, switching: 0.05, floor: peakQuarter,
	reference: peakThreeHours, risk: 0.5, riskSpread: 0.05,
	auto: Peak,
})

// withReach fills in what follows from the rest.
func withReach(t tuning) *tuning {
	t.reach = reachOf(t.hazardSpread)
	return &t
}

// tuningOf is the tuning of CPU, or that of everything that cannot be compressed.
func tuningOf(resource Resource) *tuning {
	if resource == CPU {
		return cpuTuning
	}
	return memoryTuning
}

// tiny is the usage that everything below it counts as, so that ratios exist: a microcore, or 4 KiB.
func (t *tuning) tiny() float64 {
	if t.memory {
		return 4096
	}
	return 1e-6
}
