package ship

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestJudge(t *testing.T) {
	for want, statuses := range map[verdict][]int{
		accepted:      {200, 202, 204},
		repeat:        {408, 425, 429, 502, 503, 504},
		misconfigured: {301, 302, 307, 308, 401, 403, 404, 405, 407, 421, 501, 505},
		suspect:       {500, 507, 520, 599},
		refused:       {400, 402, 406, 409, 410, 411, 413, 415, 422, 431, 451},
	} {
		for _, status := range statuses {
			require.Equal(t, want, judge(status), "status %d", status)
		}
	}
}

func TestBackoffDoublesWithinBounds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		failed int
		full   time.Duration
	}{{1, 100}, {2, 200}, {3, 400}, {7, 6400}, {8, 10000}, {9, 10000}, {31, 10000}, {1 << 20, 10000}} {
		seen := map[time.Duration]bool{}
		for range 100 {
			got := backoff(c.failed, 100*time.Millisecond, 10*time.Second, random)
			require.LessOrEqual(t, got, c.full*time.Millisecond, "after %d", c.failed)
			require.GreaterOrEqual(t, got, c.full*time.Millisecond/2, "after %d", c.failed)
			seen[got] = true
		}
		require.Greater(t, len(seen), 50, "collectors must not come back in step")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		"0":                             0,
		"-3":                            0,
		"soon":                          0,
		"99999999999999999999":          0,
		"86400":                         maxRetryAfter,
		"Sat, 02 Jan 2027 03:04:35 GMT": 30 * time.Second,
		"Sat, 02 Jan 2027 03:04:00 GMT": 0,
		"Sun, 03 Jan 2027 03:04:00 GMT": maxRetryAfter,
	} {
		require.Equal(t, want, retryAfter(http.Header{"Retry-After": {value}}, now), value)
	}
}
