package vertical

// tuning are the constants of one resource.
type tuning struct {
	memory bool
	// over is the price of a time over the request, in units of the slack of an idle container over the same time; kill is the
	// price of one kill, and change that of one change of the request, in days of such slack.
	over, kill, change float64

	shortHalfLife, longHalfLife, movingHalfLife float64
	// residualHalfLife is for how usage turned out relative to statistics, costHalfLife for what candidates cost.
	residualHalfLife, costHalfLife float64

	// hazardPrior and hazardSpread: what was not seen in T days is expected once in T + hazardPrior, by ln(1+x)/hazardSpread
	// as often at a fraction x higher.
	hazardPrior, hazardSpread float64

	// least is the smallest margin of a peak.
	least float64
	// up and down are the differences from the request in force, as fractions, that a candidate must ask for.
	up, down float64
	// switching is by how much cheaper another candidate must be.
	switching float64
	// floor is the peak window below which a request is not reduced.
	floor                 int
	reference             int
	handicap, handicapAbs float64
	risk, riskSpread      float64

	reach [marginCount]float64
}

var cpuTuning, memoryTuning = withReach(tuning{
	over: 3, change: 0.0002,
	shortHalfLife: 2 * hour, longHalfLife: day, movingHalfLife: 12 * hour,
	residualHalfLife: day, costHalfLife: 4 * hour,
	hazardPrior: hour / day, hazardSpread: 0.1,
	least: 0.5, up: 0.03, down: 0.05, switching: 0.05, floor: peakNewest,
}), withReach(tuning{
	memory: true,
	kill:   0.3, change: 0.0005,
	shortHalfLife: 2 * hour, longHalfLife: day, movingHalfLife: 48 * hour,
	residualHalfLife: 2 * day, costHalfLife: 2 * day,
	hazardPrior: hour / day, hazardSpread: 0.05,
	least: 1.01, up: 0, down: 0.05, switching: 0.05, floor: peakQuarter, reference: peakThreeHours, risk: 1, riskSpread: 0.05,
})

func withReach(t tuning) *tuning {
	t.reach = reachOf(t.hazardSpread)
	return &t
}

func tuningOf(resource Resource) *tuning {
	if resource == CPU {
		return cpuTuning
	}
	return memoryTuning
}
