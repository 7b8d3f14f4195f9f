package vertical

import "math"

const (
	hour = 3600.0
	day  = 24 * hour
	week = 7 * day
)

// peakLengths are the windows whose highest usage is known, in seconds. The first holds little more than the newest sample.
var peakLengths = [...]float64{60, 15 * 60, hour, 3 * hour, day, 3 * day}

const (
	peakNewest = iota
	peakQuarter
	peakHour
	peakThreeHours
	peakDay
	peakThreeDays
)

// signals are the statistics of one series that the candidates share. Times are in seconds since the Unix epoch.
type signals struct {
	first, last float64
	newest      float64
	samples     int
	// step is the usual distance between samples in seconds.
	step float64
	// seen is how long the series was observed, without gaps, in seconds; mean and variance are over that, a day counting most.
	seen, mean, variance float64

	peaks       [len(peakLengths)]peakWindow
	short, long histogram
	// level and slope are Holt's: usage, and its growth per second.
	level, slope float64
	// seasons is nil while the series is too short for any.
	seasons *seasons

	// interval is the part of five minutes under way in the moving-window recommender; its highest value counts for memory.
	interval struct {
		until, high float64
	}
	moving histogram
	// recent holds what the moving-window recommender said over the last hour.
	recent peakWindow
}

// gapAges is how many eighths of a peak window a gap may take away: a source that was silent, or a container that was not there,
// used nothing that anybody saw, and it will likely be back as it was.
const gapAges = peakBuckets / 2

// gap is whether a distance between samples is more than their rhythm explains.
func (s *signals) gap(dt float64) bool { return dt > 5*60 && s.samples > 1 && dt > 5*s.step }

func (s *signals) observe(now, v float64, t *tuning) {
	if s.samples == 0 {
		s.first, s.level = now, v
	} else {
		s.pass(now-s.last, t)
	}
	s.trend(now, v)
	s.vary(now, v)
	for i := range s.peaks {
		s.peaks[i].add(v)
	}
	s.short.add(v)
	s.long.add(v)
	s.moved(now, v, t)
	if s.seasons != nil {
		s.seasons.hour.add(now, hour, v)
		s.seasons.day.add(now, day, v)
		s.seasons.week.add(now, week, v)
	} else if now-s.first > seasonAfter {
		s.seasons = newSeasons(t.tiny())
	}
	s.newest, s.last = v, now
	s.samples++
}

const (
	// seasonAfter is how long a series must be before its seasons are kept: what lives an hour has none.
	seasonAfter = 2 * hour
	hourSlots   = 12
	daySlots    = 96
	weekSlots   = 84
)

// pass lets dt seconds go by.
func (s *signals) pass(dt float64, t *tuning) {
	parts := peakBuckets
	if s.gap(dt) {
		parts = gapAges
	} else if s.samples == 1 {
		s.step = dt
	} else {
		s.step += 0.1 * (dt - s.step)
	}
	for i := range s.peaks {
		s.peaks[i].age(dt, peakLengths[i], parts)
	}
	if s.gap(dt) {
		// Silence says that what is known is older, not that it was wrong.
		s.short.age(math.Min(dt, t.shortHalfLife), t.shortHalfLife)
		s.long.age(math.Min(dt, t.longHalfLife), t.longHalfLife)
	} else {
		s.short.age(dt, t.shortHalfLife)
		s.long.age(dt, t.longHalfLife)
	}
	s.recent.age(dt, hour, parts)
}

// vary keeps mean and variance, as West's incremental algorithm has them for weights that decay.
func (s *signals) vary(now, v float64) {
	dt := now - s.last
	if s.samples == 0 {
		s.mean = v
		return
	}
	if s.gap(dt) {
		dt = s.step
	}
	s.seen += dt
	a := 1 - math.Exp(-dt/math.Min(day, s.seen))
	d := v - s.mean
	s.mean += a * d
	s.variance = (1 - a) * (s.variance + a*d*d)
}

// trend is Holt's linear smoothing with time constants instead of factors per sample, so that it means the same at any rhythm.
func (s *signals) trend(now, v float64) {
	dt := now - s.last
	if s.samples == 0 || s.gap(dt) {
		s.level, s.slope = v, 0
		return
	}
	const levelTime, slopeTime = 20 * 60, 2 * hour
	a, b := 1-math.Exp(-dt/levelTime), 1-math.Exp(-dt/slopeTime)
	before := s.level
	s.level += s.slope * dt
	s.level += a * (v - s.level)
	s.slope += b * ((s.level-before)/dt - s.slope)
}

// moved feeds the moving-window recommender: Autopilot aggregates usage in intervals of five minutes, CPU by its histogram and
// memory by its highest value.
func (s *signals) moved(now, v float64, t *tuning) {
	if !t.memory {
		s.moving.age(math.Max(0, now-s.last)*sign(s.samples), t.movingHalfLife)
		s.moving.add(v)
		return
	}
	if now >= s.interval.until {
		if s.interval.high > 0 {
			s.moving.age(now-s.interval.until+autopilotInterval, t.movingHalfLife)
			s.moving.add(s.interval.high)
		}
		s.interval.until, s.interval.high = now+autopilotInterval, 0
	}
	s.interval.high = math.Max(s.interval.high, v)
}

func sign(n int) float64 {
	if n > 0 {
		return 1
	}
	return 0
}

const autopilotInterval = 300
