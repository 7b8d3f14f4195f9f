package ingest

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/time/rate"

	"github.com/yagura-dev/yagura/query/columnar"
)

// The reasons for which one log line or span is refused. Those of samples are the
// metrics store's.
const (
	reasonInvalidLabels     = "invalid_labels"
	reasonTooManyLabels     = "too_many_labels"
	reasonLabelTooLong      = "label_too_long"
	reasonTooManyStreams    = "too_many_streams"
	reasonLineTooLong       = "line_too_long"
	reasonRowTooLarge       = "row_too_large"
	reasonTooManyFields     = "too_many_fields"
	reasonFieldNameTooLong  = "field_name_too_long"
	reasonTooFarInFuture    = "too_far_in_future"
	reasonInvalidTimestamp  = "invalid_timestamp"
	reasonInvalidID         = "invalid_id"
	reasonDeltaTemporality  = "not_cumulative"
	reasonInvalidMetric     = "invalid_metric"
	reasonBehindItsResource = "too_old"
)

// checkStream returns why a stream's labels are refused, or "".
func (c Config) checkStream(ls labels.Labels) (reason, text string) {
	switch {
	case ls.IsEmpty():
		return reasonInvalidLabels, "a stream needs at least one label"
	case ls.Len() > c.MaxLabels:
		return reasonTooManyLabels, fmt.Sprintf("stream %s has %d labels, maxLabels is %d", shortLabels(ls), ls.Len(), c.MaxLabels)
	}
	ls.Range(func(l labels.Label) {
		switch {
		case reason != "":
		case !model.LegacyValidation.IsValidLabelName(l.Name):
			reason, text = reasonInvalidLabels, fmt.Sprintf("stream label %q is no valid name", short(l.Name))
		case len(l.Name) > c.MaxLabelNameBytes:
			reason, text = reasonLabelTooLong, fmt.Sprintf("stream label %q has a name of %d bytes, maxLabelNameBytes is %d", short(l.Name), len(l.Name), c.MaxLabelNameBytes)
		case len(l.Value) > c.MaxLabelValueBytes:
			reason, text = reasonLabelTooLong, fmt.Sprintf("stream label %q has a value of %d bytes, maxLabelValueBytes is %d", short(l.Name), len(l.Value), c.MaxLabelValueBytes)
		case !model.LabelValue(l.Value).IsValid():
			reason, text = reasonInvalidLabels, fmt.Sprintf("the value of stream label %q is not UTF-8", short(l.Name))
		}
	})
	return reason, text
}

// checkRow returns the row's size, and why it is refused or "". now is in Unix
// nanoseconds.
func (c Config) checkRow(r columnar.Row, now int64) (size int, reason, text string) {
	size = len(r.Line) + 8
	for _, f := range r.Fields {
		size += len(f.Name) + len(f.Value)
		if len(f.Name) > c.MaxFieldNameBytes {
			return size, reasonFieldNameTooLong, fmt.Sprintf("field %q has a name of %d bytes, maxFieldNameBytes is %d", short(f.Name), len(f.Name), c.MaxFieldNameBytes)
		}
	}
	latest := int64(math.MaxInt64)
	if ahead := int64(c.MaxFutureTime); now <= math.MaxInt64-ahead {
		latest = now + ahead
	}
	switch {
	case r.Timestamp < 0:
		return size, reasonInvalidTimestamp, fmt.Sprintf("timestamp %d is out of range", uint64(r.Timestamp))
	case r.Timestamp > latest:
		return size, reasonTooFarInFuture, fmt.Sprintf("timestamp %s is more than %s ahead of the clock", time.Unix(0, r.Timestamp).UTC().Format(time.RFC3339Nano), c.MaxFutureTime)
	case len(r.Line) > c.MaxLineBytes:
		return size, reasonLineTooLong, fmt.Sprintf("line has %d bytes, maxLineBytes is %d", len(r.Line), c.MaxLineBytes)
	case len(r.Fields) > c.MaxFields:
		return size, reasonTooManyFields, fmt.Sprintf("%d fields, maxFields is %d", len(r.Fields), c.MaxFields)
	case size > c.MaxRowBytes:
		return size, reasonRowTooLarge, fmt.Sprintf("row has %d bytes, maxRowBytes is %d", size, c.MaxRowBytes)
	}
	return size, "", ""
}

func shortLabels(ls labels.Labels) string { return short(ls.String()) }

func short(s string) string {
	const most = 128
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// streamIdle is how long a stream counts after its newest row.
const streamIdle = time.Hour

// streamCounter bounds the streams of each tenant and of all.
type streamCounter struct {
	perTenant, total int

	mu      sync.Mutex
	count   int
	tenants map[columnar.Tenant]map[uint64]time.Time // label hash -> last use
}

func newStreamCounter(perTenant, total int) *streamCounter {
	return &streamCounter{perTenant: perTenant, total: total, tenants: make(map[columnar.Tenant]map[uint64]time.Time)}
}

// use notes that a stream is written to, and reports whether it may be.
func (c *streamCounter) use(t columnar.Tenant, hash uint64, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	streams := c.tenants[t]
	if _, ok := streams[hash]; ok {
		streams[hash] = now
		return true
	}
	if len(streams) >= c.perTenant {
		c.sweep(t, now)
	}
	if c.count >= c.total {
		for tenant := range c.tenants {
			c.sweep(tenant, now)
		}
	}
	streams = c.tenants[t]
	if len(streams) >= c.perTenant || c.count >= c.total {
		return false
	}
	if streams == nil {
		streams = make(map[uint64]time.Time)
		c.tenants[t] = streams
	}
	streams[hash] = now
	c.count++
	return true
}

func (c *streamCounter) sweep(t columnar.Tenant, now time.Time) {
	streams := c.tenants[t]
	for h, last := range streams {
		if now.Sub(last) >= streamIdle {
			delete(streams, h)
			c.count--
		}
	}
	if len(streams) == 0 {
		delete(c.tenants, t)
	}
}

// rateLimiter bounds how fast each tenant's rows come.
type rateLimiter struct {
	perSecond, burst int64
	maxTenants       int

	mu      sync.Mutex
	tenants map[columnar.Tenant]*rate.Limiter
}

func newRateLimiter(perSecond, burst int64, maxTenants int) *rateLimiter {
	return &rateLimiter{perSecond: perSecond, burst: burst, maxTenants: maxTenants, tenants: make(map[columnar.Tenant]*rate.Limiter)}
}

// take spends the bytes of each tenant, or none of any: then it returns when to
// come again.
func (l *rateLimiter) take(bytes map[columnar.Tenant]int64, now time.Time) *refusal {
	if l.perSecond == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var taken []*rate.Reservation
	cancel := func() {
		for _, r := range taken {
			r.CancelAt(now)
		}
	}
	for t, n := range bytes {
		lim, ok := l.tenants[t]
		if !ok {
			if len(l.tenants) >= l.maxTenants {
				l.forgetIdle(now)
			}
			lim = rate.NewLimiter(rate.Limit(l.perSecond), int(l.burst))
			l.tenants[t] = lim
		}
		r := lim.ReserveN(now, int(min(n, l.burst)))
		taken = append(taken, r)
		if wait := r.DelayFrom(now); wait > 0 {
			cancel()
			return rateLimited(wait, fmt.Errorf("cluster %q namespace %q sends more than tenantBytesPerSecond %d", short(t.Cluster), short(t.Namespace), l.perSecond))
		}
	}
	return nil
}

// forgetIdle drops limiters that are full again: they hold nothing to remember.
func (l *rateLimiter) forgetIdle(now time.Time) {
	for t, lim := range l.tenants {
		if lim.TokensAt(now) >= float64(l.burst) {
			delete(l.tenants, t)
		}
	}
}
