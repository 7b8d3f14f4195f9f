package vertical

// season is what usage was at its highest in each slot of a recurring period, newer periods counting more.
type season struct {
	high []float32
	// open is the highest usage of the slot that is under way, slot its index.
	open float32
	slot int32
	// filled is how many slots were closed since the start.
	filled int32
}

// seasonBlend is the weight of the newest period in a slot: with it, what was seen three periods ago has a weight of a fifth.
const seasonBlend = 0.4

func newSeason(slots int) *season { return &season{high: make([]float32, slots), slot: -1} }

// slotAt is the slot of a time in seconds.
func (s *season) slotAt(seconds, period float64) int32 {
	n := len(s.high)
	i := int64(seconds / (period / float64(n)))
	return int32(i % int64(n))
}

func (s *season) add(seconds, period, v float64) {
	slot := s.slotAt(seconds, period)
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
	if old := s.high[s.slot]; old > 0 {
		s.high[s.slot] = old + seasonBlend*(s.open-old)
	} else {
		s.high[s.slot] = s.open
	}
	s.filled++
}

// whole is whether a period was seen.
func (s *season) whole() bool { return int(s.filled) >= len(s.high)-1 }

// expect is the highest usage of the slots from a time until ahead seconds later, 0 while that is unknown.
func (s *season) expect(seconds, ahead, period float64) float64 {
	if !s.whole() {
		return 0
	}
	high := float32(0)
	last := s.slotAt(seconds+ahead, period)
	for i := s.slotAt(seconds, period); ; i = (i + 1) % int32(len(s.high)) {
		high = max(high, s.high[i])
		if i == last {
			return float64(high)
		}
	}
}

// was is what the slot of a time was before.
func (s *season) was(seconds, period float64) float64 {
	return float64(s.high[s.slotAt(seconds, period)])
}
