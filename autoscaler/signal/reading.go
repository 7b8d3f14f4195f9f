package signal

import (
	"errors"
	"fmt"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// Reading is one signal at one time.
type Reading struct {
	// State says whether Value can be used. Reason says why not, in words; it is empty when the state is Fresh.
	State  decision.State
	Reason string
	// Age is the age of the newest sample or line under the selector that has the oldest one, nil when one has none.
	Age *time.Duration
	// Value counts only when the state is Fresh.
	Value float64
}

func missing(format string, args ...any) Reading {
	return Reading{State: decision.Missing, Reason: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) Reading {
	return Reading{State: decision.Invalid, Reason: fmt.Sprintf(format, args...)}
}

// unanswered is the reading for a query that failed: refused ones will be refused again, others may be answered next time.
func unanswered(err error) Reading {
	if refusal := (*refusedError)(nil); errors.As(err, &refusal) {
		return invalid("the query was refused: %s", refusal.message)
	}
	return missing("no answer: %v", err)
}

// freshness is what is known about the newest samples or lines under the selectors of one query.
type freshness struct {
	// age is of the selector that has the oldest newest one.
	age time.Duration
	// absent is a selector that has none, empty when all have.
	absent string
	// oldest is the selector that age belongs to.
	oldest string
	// unit is what ages: a sample or a line.
	unit string
	// horizon is how far back absent was searched.
	horizon time.Duration
}

// judge turns freshness into a reading that is Fresh and has no value yet, or says why not.
func (f freshness) judge(after time.Duration) Reading {
	if f.absent != "" {
		return missing("no %s of %s in the last %s", f.unit, f.absent, short(f.horizon))
	}
	age := max(0, f.age)
	if age > after {
		r := Reading{State: decision.Stale, Age: &age}
		r.Reason = fmt.Sprintf("the newest %s of %s is %s old, more than %s", f.unit, f.oldest, age.Round(time.Second), short(after))
		return r
	}
	return Reading{State: decision.Fresh, Age: &age}
}

// short writes a duration without the zero units that time.Duration prints.
func short(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
