package vertical

import "math"

// statistic is what a candidate multiplies by a margin.
type statistic uint8

const (
	statPeak statistic = iota
	statShort
	statLong
	statShortPeak
	statTrend
	statDay
	statDayNow
	statWeek
	statMoving
	statLevel
	statHour
	statHourNow
)

// candidate is one way of estimating: a statistic with an argument, and either a margin that follows from how usage turned out
// relative to it, or a fixed one.
type candidate struct {
	model     string
	statistic statistic
	argument  float64
	margin    float64
	// only is the resource that it is for, all others but CPU counting as memory; empty for both.
	only  Resource
	title string
}

// candidates are all of this package.
var candidates = [...]candidate{
	{model: Peak, statistic: statPeak, argument: peakNewest, title: "the newest usage"},
	{model: Peak, statistic: statPeak, argument: peakQuarter, title: "the peak of 15m"},
	{model: Peak, statistic: statPeak, argument: peakHour, title: "the peak of 1h"},
	{model: Peak, statistic: statPeak, argument: peakThreeHours, title: "the peak of 3h"},
	{model: Peak, statistic: statPeak, argument: peakDay, title: "the peak of 24h"},
	{model: Peak, statistic: statPeak, argument: peakThreeDays, title: "the peak of 72h"},
	{model: Percentile, statistic: statShort, argument: 0.5, title: "the median, half-life 2h"},
	{model: Percentile, statistic: statShort, argument: 0.95, title: "the 95th percentile, half-life 2h"},
	{model: Percentile, statistic: statLong, argument: 0.95, title: "the 95th percentile, half-life 24h"},
	{model: Percentile, statistic: statShortPeak, argument: 0.5, title: "the median, half-life 2h, or the newest usage"},
	{model: Forecast, statistic: statTrend, argument: 600, only: Memory, title: "the trend in 10m"},
	{model: Forecast, statistic: statLevel, title: "the level of 20m"},
	{model: Forecast, statistic: statHour, only: CPU, title: "the highest at this minute of the hour"},
	{model: Forecast, statistic: statHourNow, only: CPU, title: "the highest at this minute of the hour, or the newest usage"},
	{model: Forecast, statistic: statDay, argument: 900, title: "the highest at this time of day"},
	{model: Forecast, statistic: statDayNow, argument: 900, title: "the highest at this time of day, at today's level"},
	{model: Forecast, statistic: statWeek, argument: 900, title: "the highest at this time of the week"},
	{model: Autopilot, statistic: statMoving, margin: 1.1, title: "the moving window"},
}

// members are the indices of the candidates of each model, by whether they are for CPU: all models of a name share them.
var members = func() map[string]*[2][]uint8 {
	all := map[string]*[2][]uint8{}
	for _, name := range []string{Auto, Percentile, Peak, Forecast, Autopilot} {
		all[name] = &[2][]uint8{}
		for is, resource := range []Resource{Memory, CPU} {
			for i := range candidates {
				if (name == Auto || candidates[i].model == name) && candidates[i].suits(resource) {
					all[name][is] = append(all[name][is], uint8(i))
				}
			}
		}
	}
	return all
}()

// membersOf are the indices of the candidates of a model, not to be changed.
func membersOf(name string, resource Resource) []uint8 {
	if resource == CPU {
		return members[name][1]
	}
	return members[name][0]
}

func (c *candidate) suits(resource Resource) bool {
	return c.only == "" || (c.only == CPU) == (resource == CPU)
}

// value is the statistic for the time now, 0 when it is not known.
func (c *candidate) value(s *signals, now float64, t *tuning) float64 {
	switch c.statistic {
	case statPeak:
		return s.peaks[int(c.argument)].max()
	case statShort:
		return s.short.quantile(c.argument)
	case statLong:
		return s.long.quantile(c.argument)
	case statShortPeak:
		return math.Max(s.short.quantile(c.argument), s.newest)
	case statTrend:
		return math.Max(s.newest, s.level+s.slope*c.argument)
	case statDay:
		return s.expect(day, now, c.argument)
	case statDayNow:
		return s.adjusted(now, c.argument)
	case statWeek:
		return s.expect(week, now, c.argument)
	case statLevel:
		return s.level
	case statHour:
		return s.expect(hour, now, 0)
	case statHourNow:
		if h := s.expect(hour, now, 0); h > 0 {
			return math.Max(h, s.newest)
		}
		return 0
	case statMoving:
		return s.recent.max()
	}
	return 0
}

// expect is the highest usage of a season from a time until ahead seconds later, 0 while that is unknown.
func (s *signals) expect(period, now, ahead float64) float64 {
	if s.seasons == nil {
		return 0
	}
	p := &s.seasons.hour
	switch period {
	case day:
		p = &s.seasons.day
	case week:
		p = &s.seasons.week
	}
	// The request is in force while the next sample is taken.
	from := now + 0.9*s.step
	return p.expect(from, math.Max(ahead-0.9*s.step, 0.2*s.step), period)
}

// adjusted is the day's profile at the level of the newest usage: what was higher or lower than usual lately will be so for a while.
func (s *signals) adjusted(now, ahead float64) float64 {
	expected := s.expect(day, now, ahead)
	if expected == 0 {
		return 0
	}
	was := s.seasons.day.was(s.last, day)
	if was == 0 {
		return 0
	}
	ratio := math.Sqrt(s.peaks[peakQuarter].max() / was)
	// A day that is higher than usual is no reason to expect what nobody has seen.
	return math.Min(expected*math.Min(math.Max(ratio, 0.5), 2), math.Max(expected, s.peaks[peakThreeDays].max()))
}

// autopilot is the moving-window recommendation: for CPU the load-adjusted 95th percentile of a serving job, for memory the 98th
// percentile of the intervals' peaks.
func (s *signals) autopilot(t *tuning) float64 {
	if t.memory {
		return math.Max(s.moving.quantile(0.98), s.interval.high)
	}
	return s.moving.loadQuantile(0.95)
}
