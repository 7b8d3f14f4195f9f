package traces

import (
	"net/url"
	"testing"
	"time"
)

func FuzzSearchParams(f *testing.F) {
	f.Add("service=a&start=1&end=2&limit=3&minDuration=1ms&maxDuration=2s&lookback=2d&tag=a:b&tags=%7B%22a%22:1%7D")
	f.Add("service=a&tags=%7B%22a%22:null%7D")
	f.Add("traceID=1&lookback=custom")
	now := time.Unix(1_700_000_000, 0)
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		s, err := searchParams(form, DefaultConfig(), now)
		if err != nil {
			return
		}
		if s.Service == "" || s.Limit <= 0 || s.End.Before(s.Start) || s.MinDuration < 0 || s.MaxDuration < 0 {
			t.Fatalf("accepted %+v", s)
		}
		s.predicates()
		s.columns()
	})
}

func FuzzTraceID(f *testing.F) {
	f.Add("ab12")
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := traceIDParam("traceID", text); err == nil && id.IsZero() {
			t.Fatalf("accepted %q", text)
		}
	})
}
