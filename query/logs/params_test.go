package logs

import (
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"1700000000":                     time.Unix(1_700_000_000, 0),
		"1700000000.5":                   time.Unix(1_700_000_000, 500_000_000),
		"1700000000123456789":            time.Unix(1_700_000_000, 123_456_789),
		"2023-11-14T22:13:20Z":           time.Unix(1_700_000_000, 0),
		"2023-11-14T22:13:20.000000001Z": time.Unix(1_700_000_000, 1),
		"-5":                             time.Unix(-5, 0),
	} {
		got, err := parseTime(text)
		require.NoError(t, err, text)
		require.True(t, want.Equal(got), "%s: want %s, got %s", text, want, got)
	}
	for _, text := range []string{"", "x", "1e300.", "1.5.5", "99999999999999999999"} {
		_, err := parseTime(text)
		require.Error(t, err, text)
	}
}

func TestSinceCountsFromNowWhenTheEndIsInTheFuture(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	start, end, err := boundsParam(url.Values{"since": {"5m"}, "end": {"1700003600"}}, now)
	require.NoError(t, err)
	require.True(t, start.Equal(now.Add(-5*time.Minute)), start)
	require.True(t, end.Equal(now.Add(time.Hour)), end)
}

func FuzzRangeRequest(f *testing.F) {
	f.Add("query=x&start=1&end=2&step=1&interval=3s&limit=4&direction=forward&since=1h")
	f.Add("start=1.5&end=2023-11-14T22:13:20Z&step=1e10")
	f.Add("start=-9223372036854775808&end=9223372036854775807")
	now := time.Unix(1_700_000_000, 0)
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if req, err := instantRequest(form, now); err == nil && req.Limit <= 0 {
			t.Fatalf("accepted %+v", req)
		}
		req, err := rangeRequest(form, now)
		if err != nil {
			return
		}
		if req.End.Before(req.Start) || req.Step <= 0 || req.Interval < 0 || req.Limit <= 0 ||
			unixNano(req.Start) == math.MinInt64 && !req.Start.Equal(minTime) {
			t.Fatalf("accepted %+v", req)
		}
	})
}
