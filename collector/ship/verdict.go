package ship

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// verdict is what an answer means for the record.
type verdict int

const (
	// accepted: the receiver has it.
	accepted verdict = iota
	// repeat: the receiver is away or busy; the same record will do later.
	repeat
	// misconfigured: the receiver refuses this collector or this address, whatever
	// the record. Every other record would fare the same, so none is dropped for
	// it; the records wait for someone to mend the configuration, as long as the
	// queue keeps them.
	misconfigured
	// suspect: an error of the receiver that this record may or may not cause.
	suspect
	// refused: this record will never be accepted.
	refused
)

func (v verdict) String() string {
	return [...]string{"accepted", "repeat", "misconfigured", "suspect", "refused"}[v]
}

// judge decides by the status of the answer.
//
// OTLP lets a client repeat 429, 502, 503 and 504 only, and remote write 429 and
// every 5xx. Both hold for a batch that is the receiver's judgement of the batch.
// 401, 403, 404 and redirects are not: they come of a wrong token, a wrong path, or
// a proxy before a server that is not up yet, and dropping data for these would
// lose all of it at once. A 5xx that OTLP calls final may be a bug that the record
// triggers or a failing disk, so it is repeated, but not for ever.
func judge(status int) verdict {
	switch {
	case status >= 200 && status < 300:
		return accepted
	case status == http.StatusTooManyRequests, status == http.StatusBadGateway,
		status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout,
		status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		return repeat
	case status < 400, // redirects: a POST must not silently become a GET elsewhere
		status == http.StatusUnauthorized, status == http.StatusForbidden,
		status == http.StatusNotFound, status == http.StatusMethodNotAllowed,
		status == http.StatusProxyAuthRequired, status == http.StatusMisdirectedRequest:
		return misconfigured
	case status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported:
		return misconfigured
	case status >= 500:
		return suspect
	default:
		return refused
	}
}

// misconfiguredBackoff is the least wait when only a person can help.
const misconfiguredBackoff = 5 * time.Second

// maxRetryAfter bounds what a receiver can ask for, so that a wrong clock or a
// hostile answer does not stop a stream for days.
const maxRetryAfter = 5 * time.Minute

// backoff is how long to wait before the attempt after the given number of failed
// ones (1 or more): doubling from low to high, of which a random half is taken
// away so that collectors do not come back in step.
func backoff(failed int, low, high time.Duration, random *rand.Rand) time.Duration {
	wait := high
	if shift := failed - 1; shift < 30 && low<<shift < high && low<<shift > 0 {
		wait = low << shift
	}
	return wait/2 + time.Duration(random.Int64N(int64(wait/2)+1))
}

// retryAfter reads the header Retry-After, in seconds or as a date; 0 if there is
// none that makes sense.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if value == "" {
		return 0
	}
	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
