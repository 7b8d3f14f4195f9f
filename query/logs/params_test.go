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

// FuzzCatalogParams reads the parameters of the endpoints that are no queries.
func FuzzCatalogParams(f *testing.F) {
	f.Add("query={}&limit=0&targetLabels=a,,b&aggregateBy=labels&step=1m&start=1&end=1700000000")
	f.Add("query={a=\"b\"}&line_limit=100&field_limit=5&limit=7&since=1d")
	f.Add("query={a=\"b\"}&delay_for=5&start=1700000000000000001")
	f.Add("query={a=\"b\"} |= \"x\" | c=\"d\"&start=1&end=2&max_interval=1h")
	now := time.Unix(1_700_000_000, 0)
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		for _, steps := range []bool{false, true} {
			req, err := volumeParams(form, now, steps)
			if err != nil {
				continue
			}
			if req.end.Before(req.start) || req.limit <= 0 || steps != (req.step > 0) {
				t.Fatalf("accepted %+v", req)
			}
			// Times near the ends of what the store can hold are beyond maxQueryRange or
			// hold nothing; the others must be covered without gaps.
			if from := unixNano(req.start); from > 0 && unixNano(req.end) < math.MaxInt64/2 {
				for _, part := range req.parts() {
					if part.from != from || part.to <= part.from {
						t.Fatalf("%+v has parts %+v", req, req.parts())
					}
					from = part.to
				}
				if from != unixNano(req.end.Add(1)) {
					t.Fatalf("%+v has parts %+v", req, req.parts())
				}
			}
		}
		if req, err := fieldsParams(form, now); err == nil && (req.lines <= 0 || req.limit <= 0 || req.end.Before(req.start)) {
			t.Fatalf("accepted %+v", req)
		}
		if req, err := tailParams(form, now); err == nil && (req.limit <= 0 || req.delay < 0 || req.delay > maxTailDelay*time.Second) {
			t.Fatalf("accepted %+v", req)
		}
		if d, err := deletionParams(form, now); err == nil && (d.From >= d.To || len(d.Matchers) == 0 || d.Query == "") {
			t.Fatalf("accepted %+v", d)
		}
	})
}
