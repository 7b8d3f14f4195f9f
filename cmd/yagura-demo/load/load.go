// Package load drives the demo shop with requests at a rate that swings every few
// minutes, or at one that is set by hand.
//
// It imports only libraries; the demo command imports it.
package load

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Swing is a rate between Low and High requests a second, up and down once a
// Period.
type Swing struct {
	Low, High float64
	Period    time.Duration
}

// At is the rate after the load has run for d. It begins low. The cosine is
// squashed so that the load stays near its ends and moves fast between them, as
// traffic does that comes in campaigns.
func (s Swing) At(d time.Duration) float64 {
	phase := 2 * math.Pi * float64(d%s.Period) / float64(s.Period)
	level := (1 + math.Tanh(-3*math.Cos(phase))/math.Tanh(3)) / 2
	return s.Low + (s.High-s.Low)*level
}

// maxOutstanding bounds the requests under way: an overloaded shop makes clients
// give up, not this process grow.
const maxOutstanding = 512

// Generator sends requests in an open loop: it does not wait for answers before it
// sends more, as users don't.
type Generator struct {
	Swing Swing
	// Target gives the URL of a front-end replica, and false when there is none.
	Target func() (string, bool)
	// BuyOneIn: one request in so many is a purchase, the others look around.
	BuyOneIn int

	fixed  atomic.Pointer[float64]
	counts Counts
}

// Counts is what became of the requests so far.
type Counts struct {
	OK, Failed, Shed atomic.Int64
}

// Fix sets a constant rate in requests a second.
func (g *Generator) Fix(rate float64) { g.fixed.Store(&rate) }

// Release goes back to the swing.
func (g *Generator) Release() { g.fixed.Store(nil) }

// Snapshot returns how many requests succeeded, failed, or were not sent because
// too many were under way.
func (g *Generator) Snapshot() (ok, failed, shed int64) {
	return g.counts.OK.Load(), g.counts.Failed.Load(), g.counts.Shed.Load()
}

// Rate is the rate wanted after d.
func (g *Generator) Rate(d time.Duration) float64 {
	if r := g.fixed.Load(); r != nil {
		return *r
	}
	return g.Swing.At(d)
}

// Run sends until ctx is done and every request has ended.
func (g *Generator) Run(ctx context.Context) {
	const tick = 20 * time.Millisecond
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxOutstanding)
	start, owed := time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			owed += g.Rate(now.Sub(start)) * tick.Seconds()
		}
		for ; owed >= 1; owed-- {
			select {
			case slots <- struct{}{}:
			default:
				g.counts.Shed.Add(1)
				continue
			}
			wg.Go(func() {
				defer func() { <-slots }()
				g.send(ctx, client)
			})
		}
	}
}

func (g *Generator) send(ctx context.Context, client *http.Client) {
	base, ok := g.Target()
	if !ok {
		g.counts.Failed.Add(1)
		return
	}
	method, path := http.MethodGet, "/"
	if g.BuyOneIn > 0 && rand.IntN(g.BuyOneIn) == 0 {
		method, path = http.MethodPost, "/buy"
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, nil)
	if err != nil {
		g.counts.Failed.Add(1)
		return
	}
	res, err := client.Do(req)
	if err != nil {
		g.counts.Failed.Add(1)
		return
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if res.StatusCode >= 400 {
		g.counts.Failed.Add(1)
		return
	}
	g.counts.OK.Add(1)
}
