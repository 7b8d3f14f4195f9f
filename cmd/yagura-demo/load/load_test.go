package load_test

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yagura-dev/yagura/cmd/yagura-demo/load"
)

func TestSwing(t *testing.T) {
	s := load.Swing{Low: 5, High: 60, Period: 4 * time.Minute}
	for _, tc := range []struct {
		after time.Duration
		want  float64
	}{
		{0, 5}, {time.Minute, 32.5}, {2 * time.Minute, 60}, {3 * time.Minute, 32.5}, {4 * time.Minute, 5}, {6 * time.Minute, 60},
	} {
		if got := s.At(tc.after); math.Abs(got-tc.want) > 0.01 {
			t.Errorf("after %s: %.3f requests a second, want %.1f", tc.after, got, tc.want)
		}
	}
	for d := time.Duration(0); d < s.Period; d += time.Second {
		if got := s.At(d); got < s.Low-1e-9 || got > s.High+1e-9 {
			t.Fatalf("after %s: %f is outside [%g, %g]", d, got, s.Low, s.High)
		}
	}
}

func TestGeneratorCountsWhatHappened(t *testing.T) {
	var buys atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/buy" {
			buys.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	g := &load.Generator{Target: func() (string, bool) { return srv.URL, true }, BuyOneIn: 2}
	g.Fix(500)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { g.Run(ctx); close(done) }()
	for {
		ok, failed, _ := g.Snapshot()
		if ok >= 20 && failed >= 20 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	if buys.Load() == 0 {
		t.Error("nobody bought anything")
	}
}
