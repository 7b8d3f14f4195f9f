package columnar

import (
	"maps"
	"sort"
	"time"
)

// sender is who numbers batches.
type sender struct {
	Collector string
	Stream    string
}

func (id BatchID) sender() sender { return sender{id.Collector, id.Stream} }

type senderState struct {
	Sequence uint64
	Seen     time.Time // of the newest batch
}

// dedupe remembers the highest stored sequence of each sender, bounded by age
// and number.
type dedupe map[sender]senderState

// repeat reports whether the batch was stored before.
func (d dedupe) repeat(id BatchID) bool {
	return !id.IsZero() && id.Sequence <= d[id.sender()].Sequence
}

func (d dedupe) note(id BatchID, now time.Time) {
	if !id.IsZero() {
		d[id.sender()] = senderState{Sequence: id.Sequence, Seen: now}
	}
}

func (d dedupe) clone() dedupe { return maps.Clone(d) }

// forget drops senders silent since before oldest, and the longest silent ones
// above the number.
func (d dedupe) forget(oldest time.Time, number int) {
	maps.DeleteFunc(d, func(_ sender, s senderState) bool { return s.Seen.Before(oldest) })
	if len(d) <= number {
		return
	}
	all := make([]sender, 0, len(d))
	for k := range d {
		all = append(all, k)
	}
	sort.Slice(all, func(i, j int) bool { return d[all[i]].Seen.Before(d[all[j]].Seen) })
	for _, k := range all[:len(d)-number] {
		delete(d, k)
	}
}
