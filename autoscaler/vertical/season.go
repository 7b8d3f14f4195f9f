package vertical

import "math"

// season is what usage was at its highest in each slot of a recurring period, newer periods counting more.
type season struct {
	high []amount
	// least is the least amount that counts.
	least float32
	// open is the highest usage of the slot that is under way, slot its index.
	open float32
	slot int16
	// filled is how many slots were closed since the start, up to their number.
	filled int16
}

// seasons are all that a series has. They are made together, since each takes more than an hour to fill.
type seasons struct {
	hour, day, week season
	slots           [hourSlots + daySlots + weekSlots]amount
}

// seasonBlend is the weight of the newest period in a slot: with it, what was seen three periods ago has a weight of a fifth.
const seasonBlend = 0.4

func newSeasons(least float64) *seasons {
	s := &seasons{}
	s.hour = season{high: s.slots[:hourSlots:hourSlots], slot: -1}
	s.day = season{high: s.slots[hourSlots : hourSlots+daySlots : hourSlots+daySlots], slot: -1}
	s.week = season{high: s.slots[hourSlots+daySlots:], slot: -1}
	s.hour.least, s.day.least, s.week.least = float32(least), float32(least), float32(least)
	return s
}

// amount is an amount of usage in 16 bits, up to amountStep above what it was; 0 is none.
type amount uint16

// Amounts are those from the least that counts in steps of amountStep in their logarithm: up to 8e13 times as much.
const amountStep = 1.0 / 2048

// amountOf is the smallest amount that is not below a usage.
func amountOf(v, least float64) amount {
	if !(v > 0) {
		return 0
	}
	return amount(math.Ceil(math.Min(math.Max(math.Log(v/least)/amountStep, 1), math.MaxUint16)))
}

func (a amount) usage(least float64) float64 {
	if a == 0 {
		return 0
	}
	return least * math.Exp(float64(a)*amountStep)
}

// slotAt is the slot of a time in seconds.
func (s *season) slotAt(seconds, period float64) int32 {
	n := len(s.high)
	i := int64(seconds / (period / float64(n)))
	return int32(i % int64(n))
}

func (s *season) add(seconds, period, v float64) {
	slot := int16(s.slotAt(seconds, period))
	if slot != s.slot {
		s.close()
		s.slot, s.open = slot, 0
	}
	s.open = max(s.open, float32(v))
}

func (s *season) close() {
	if s.slot < 0 || s.open == 0 {
		return
	}
	high := float64(s.open)
	if old := s.high[s.slot].usage(float64(s.least)); old > 0 {
		high = old + seasonBlend*(high-old)
	}
	s.high[s.slot] = amountOf(high, float64(s.least))
	s.filled = min(s.filled+1, int16(len(s.high)))
}

// whole is whether a period was seen.
func (s *season) whole() bool { return int(s.filled) >= len(s.high)-1 }

// expect is the highest usage of the slots from a time until ahead seconds later, 0 while that is unknown.
func (s *season) expect(seconds, ahead, period float64) float64 {
	if !s.whole() {
		return 0
	}
	high := amount(0)
	last := s.slotAt(seconds+ahead, period)
	for i := s.slotAt(seconds, period); ; i = (i + 1) % int32(len(s.high)) {
		high = max(high, s.high[i])
		if i == last {
			return high.usage(float64(s.least))
		}
	}
}

// was is what the slot of a time was before.
func (s *season) was(seconds, period float64) float64 {
	return s.high[s.slotAt(seconds, period)].usage(float64(s.least))
}
