package decision

import "time"

// Interval is how often a decision that does not change is recorded again.
const Interval = time.Minute

// Novelty says how an evaluation relates to the record before it.
type Novelty struct {
	// Recorded is true when the evaluation is worth a record of its own.
	Recorded bool
	// Different is true when it is also another decision than the one before.
	Different bool
	// EnteredHold is true when the outcome changed to Held, or the hold's cause did. LeftHold is true when it was Held before
	// and is not any more.
	EnteredHold, LeftHold bool
}

// Tracker tells which evaluations of one policy are worth recording. It is not safe for concurrent use. Its zero value is ready
// and records the first evaluation.
type Tracker struct {
	last  *Record
	equal int64
}

// Observe takes the next evaluation. When it is to be recorded, its EqualTicks is filled in and it becomes the one that Last
// returns.
func (t *Tracker) Observe(r *Record) Novelty {
	different := t.last == nil || !same(t.last, r)
	if !different && r.Time.Sub(t.last.Time) < Interval {
		t.equal++
		return Novelty{}
	}
	novelty := Novelty{Recorded: true, Different: different}
	if different {
		wasHeld := t.last != nil && t.last.Outcome == Held
		novelty.EnteredHold = r.Outcome == Held && (!wasHeld || r.Code != t.last.Code)
		novelty.LeftHold = r.Outcome != Held && wasHeld
	}
	r.EqualTicks = t.equal
	t.equal = 0
	t.last = r
	return novelty
}

// Last returns the last evaluation that was recorded, nil before the first. It must not be changed.
func (t *Tracker) Last() *Record { return t.last }
