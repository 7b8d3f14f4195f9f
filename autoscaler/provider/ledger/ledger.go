// Package ledger knows which machine of a group is whose, where a group can only be resized and its machines bear no name of ours.
//
// One ledger for each group says which claims have been bought, which machine came for which of them, and what is about to be asked
// of the group. The intent is written down before the group is resized, against the version that was read, so that of two leaders
// one waits for the other, and of a process that died between the call and its answer the next one knows what to look for: the
// group's size before. A size that has grown by one means that the purchase took effect.
//
// The rules are pure; Store keeps a ledger, ConfigMaps in the cluster. Providers of resizable groups import it.
package ledger

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Ledger is what is known of one group. The zero value is an empty one.
type Ledger struct {
	// Claims are those that were bought, by name.
	Claims map[string]*Entry `json:"claims,omitempty"`
	// Foreign are machines that are nobody's claim's, and since when they are not listed any more; null while they are. They are
	// kept for a while, so that a list that is wrong once makes none of them a new machine.
	Foreign map[string]*time.Time `json:"foreign,omitempty"`
	// Intent is what is being asked of the group. There is one at a time.
	Intent *Intent `json:"intent,omitempty"`
	// Lost are purchases that were given up although they may yet take effect.
	Lost []Intent `json:"lost,omitempty"`
	// ShortSince is when the group was found to be too small for the machines that were bought and have not come.
	ShortSince *time.Time `json:"shortSince,omitempty"`
}

// Entry is a claim that was bought.
type Entry struct {
	// Instance is its machine, empty until one has come.
	Instance string    `json:"instance,omitempty"`
	Ordered  time.Time `json:"ordered"`
	// Ran says that the machine was seen to be more than a promise, which some clouds list under an ID of its own.
	Ran bool `json:"ran,omitempty"`
	// Replaced says that the claim's machine was taken away by others, and that Instance is what the group has made in its place:
	// the claim's to give back, though not its machine.
	Replaced bool `json:"replaced,omitempty"`
	// Deleting is when the machine's deletion was asked for last.
	Deleting *time.Time `json:"deleting,omitempty"`
	// Missing is since when the machine is not listed any more.
	Missing *time.Time `json:"missing,omitempty"`
}

// Intent is a change of a group's size.
type Intent struct {
	Claim string `json:"claim"`
	Kind  Kind   `json:"kind"`
	// From is the group's size before.
	From int       `json:"from"`
	At   time.Time `json:"at"`
}

// Kind of an intent.
type Kind string

const (
	// Grow buys a machine.
	Grow Kind = "Grow"
	// Shrink takes the order for a machine back that has not come.
	Shrink Kind = "Shrink"
)

// Observation is a group as it is now.
type Observation struct {
	// Size is how many machines it should have.
	Size      int
	Instances []Instance
	Now       time.Time
	// Settle is how long an answer may be late: what has not taken effect by then never will.
	Settle time.Duration
}

// Instance is a machine of the group.
type Instance struct {
	ID string
	// Creating machines are promised, and may come under another ID.
	Creating bool
	// Deleting machines do not count in the group's size any more.
	Deleting bool
}

// latePrefix names machines of purchases that were given up and took effect nonetheless. No claim can have such a name.
const latePrefix = "late:"

// forget is how long purchases that were given up are remembered, and machines of others that have gone.
const forget = 10 * time.Minute

// Observe brings the ledger up to date, and reports whether that changed it.
func (l *Ledger) Observe(o Observation) (changed bool) {
	listed := map[string]Instance{}
	for _, i := range o.Instances {
		listed[i.ID] = i
	}
	changed = l.notice(listed, o)
	changed = l.resolve(o) || changed
	changed = l.assign(o) || changed
	changed = l.doubt(o) || changed
	return changed
}

// notice marks what is not listed any more.
func (l *Ledger) notice(listed map[string]Instance, o Observation) (changed bool) {
	for id, missing := range l.Foreign {
		_, there := listed[id]
		switch {
		case there && missing != nil:
			l.Foreign[id], changed = nil, true
		case !there && missing == nil:
			l.Foreign[id], changed = &o.Now, true
		case !there && o.Now.Sub(*missing) > forget:
			delete(l.Foreign, id)
			changed = true
		}
	}
	for name, e := range l.Claims {
		i, there := listed[e.Instance]
		switch {
		case e.Instance == "":
		case there && (e.Missing != nil || !e.Ran && !i.Creating):
			e.Missing, e.Ran, changed = nil, e.Ran || !i.Creating, true
		case there:
		case e.Deleting != nil && strings.HasPrefix(name, latePrefix):
			delete(l.Claims, name)
			changed = true
		case !e.Ran && e.Deleting == nil:
			e.Instance, e.Missing, changed = "", nil, true
		case e.Missing == nil:
			e.Missing, changed = &o.Now, true
		}
	}
	before := len(l.Lost)
	l.Lost = slices.DeleteFunc(l.Lost, func(i Intent) bool { return o.Now.Sub(i.At) > forget })
	return changed || len(l.Lost) != before
}

// resolve finds out whether the intent took effect.
func (l *Ledger) resolve(o Observation) bool {
	i := l.Intent
	switch {
	case i == nil:
		return false
	case i.Kind == Grow && o.Size > i.From:
		l.Done(o.Now)
	case i.Kind == Shrink && o.Size < i.From:
		l.Done(o.Now)
	case o.Now.Sub(i.At) > o.Settle:
		if i.Kind == Grow {
			l.Lost = append(l.Lost, *i)
		}
		l.Intent = nil
	default:
		return false
	}
	return true
}

// Done records that the intent took effect.
func (l *Ledger) Done(now time.Time) {
	i := l.Intent
	l.Intent = nil
	if i == nil {
		return
	}
	if i.Kind == Shrink {
		delete(l.Claims, i.Claim)
		return
	}
	if l.Claims == nil {
		l.Claims = map[string]*Entry{}
	}
	if l.Claims[i.Claim] == nil {
		l.Claims[i.Claim] = &Entry{Ordered: now}
	}
}

// Refused records that the intent had no effect and never will.
func (l *Ledger) Refused() { l.Intent = nil }

// assign gives machines that have come to the claims that wait, the oldest first. What came for nobody is somebody else's, unless a
// purchase that was given up may have brought it.
func (l *Ledger) assign(o Observation) (changed bool) {
	if l.Intent == nil {
		changed = l.late(o)
	}
	fresh := l.fresh(o)
	waiting := l.orders()
	for len(fresh) > 0 && len(waiting) > 0 {
		e := l.Claims[waiting[0]]
		e.Instance, e.Ran = fresh[0].ID, !fresh[0].Creating
		fresh, waiting, changed = fresh[1:], waiting[1:], true
	}
	// A group replaces what its cloud has taken away.
	for _, e := range l.vanished() {
		if len(fresh) > 0 {
			e.Instance, e.Missing, e.Ran, e.Replaced = fresh[0].ID, nil, !fresh[0].Creating, true
			fresh, changed = fresh[1:], true
		}
	}
	if l.Intent != nil && l.Intent.Kind == Grow {
		return changed
	}
	for _, i := range fresh {
		if l.Foreign == nil {
			l.Foreign = map[string]*time.Time{}
		}
		l.Foreign[i.ID], changed = nil, true
	}
	return changed
}

// late makes entries for purchases that took effect after they were given up: whoever buys next takes them over, and until then
// they are listed as machines of claims that there are not, to be given back.
func (l *Ledger) late(o Observation) (changed bool) {
	for len(l.Lost) > 0 && o.Size > l.Counted(o) {
		if l.Claims == nil {
			l.Claims = map[string]*Entry{}
		}
		l.Claims[latePrefix+l.Lost[0].Claim+":"+l.Lost[0].At.UTC().Format("150405.000")] = &Entry{Ordered: o.Now}
		l.Lost = l.Lost[1:]
		changed = true
	}
	return changed
}

// Counted is how many units of the group's size are accounted for.
func (l *Ledger) Counted(o Observation) int {
	n := l.waiting()
	known := l.known()
	for _, i := range o.Instances {
		if known[i.ID] && !i.Deleting {
			n++
		}
	}
	return n
}

// doubt drops orders that the group has no room for, once that has lasted: somebody else has taken them back.
func (l *Ledger) doubt(o Observation) (changed bool) {
	if l.Intent != nil || l.Counted(o) <= o.Size || l.waiting() == 0 {
		changed = l.ShortSince != nil
		l.ShortSince = nil
		return changed
	}
	if l.ShortSince == nil {
		l.ShortSince = &o.Now
		return true
	}
	if o.Now.Sub(*l.ShortSince) <= o.Settle {
		return false
	}
	orders := l.orders()
	for excess := l.Counted(o) - o.Size; excess > 0 && len(orders) > 0; excess-- {
		delete(l.Claims, orders[len(orders)-1])
		orders = orders[:len(orders)-1]
	}
	l.ShortSince = nil
	return true
}

// TakeLate gives a claim the machine of a purchase that was given up, if there is one.
func (l *Ledger) TakeLate(claim string) bool {
	for _, name := range slices.Sorted(maps.Keys(l.Claims)) {
		if e := l.Claims[name]; strings.HasPrefix(name, latePrefix) && e.Deleting == nil && e.Missing == nil {
			l.Claims[claim] = e
			delete(l.Claims, name)
			return true
		}
	}
	return false
}

// Renew is for a claim that is asked for again after its machine was taken away: it gets what has come in its place, or waits for
// that while the group's size still counts it, or has to be bought again. It reports whether the ledger was changed.
func (l *Ledger) Renew(claim string, o Observation) (changed bool) {
	e := l.Claims[claim]
	switch {
	case e == nil || e.Deleting != nil:
		return false
	case e.Replaced:
		e.Replaced = false
	case !e.Gone(o):
		return false
	case o.Size > l.Counted(o):
		*e = Entry{Ordered: o.Now}
	default:
		delete(l.Claims, claim)
	}
	return true
}

// Gone says that an entry's machine is not there any more: its deletion was asked for, or it has been missing for longer than a
// list may be wrong.
func (e *Entry) Gone(o Observation) bool {
	return e.Missing != nil && (e.Deleting != nil || o.Now.Sub(*e.Missing) > o.Settle)
}

// known are the machines that were seen before.
func (l *Ledger) known() map[string]bool {
	known := map[string]bool{}
	for id := range l.Foreign {
		known[id] = true
	}
	for _, e := range l.Claims {
		if e.Instance != "" {
			known[e.Instance] = true
		}
	}
	return known
}

// fresh are machines that were not seen before, by ID.
func (l *Ledger) fresh(o Observation) []Instance {
	known := l.known()
	var out []Instance
	for _, i := range o.Instances {
		if !known[i.ID] && !i.Deleting {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b Instance) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// orders are the claims that wait for a machine, the oldest first.
func (l *Ledger) orders() []string {
	var out []string
	for name, e := range l.Claims {
		if e.Instance == "" {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		if c := l.Claims[a].Ordered.Compare(l.Claims[b].Ordered); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	return out
}

// vanished are the claims whose machines were taken away by others, by name.
func (l *Ledger) vanished() []*Entry {
	var out []*Entry
	for _, name := range slices.Sorted(maps.Keys(l.Claims)) {
		if e := l.Claims[name]; e.Missing != nil && e.Deleting == nil {
			out = append(out, e)
		}
	}
	return out
}

func (l *Ledger) waiting() int {
	n := 0
	for _, e := range l.Claims {
		if e.Instance == "" {
			n++
		}
	}
	return n
}
