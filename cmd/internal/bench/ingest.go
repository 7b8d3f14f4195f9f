package bench

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	// quiet is the share of one core below which a target counts as idle, if it stays
	// there for quietSeconds.
	quiet        = 0.05
	quietSeconds = 3
)

// feed is what a signal's data is and how it is pushed.
type feed struct {
	spool  *spool
	header http.Header
	path   func(Kind) string // below Target.Push
	// accepted checks the answer to a push that was taken; nil for nothing to check.
	accepted func(body []byte) error
}

// meter reads a target's process, if it is known.
type meter struct{ pid int }

func (m meter) cpu() (time.Duration, error) {
	if m.pid == 0 {
		return 0, nil
	}
	return processCPU(m.pid)
}

func (m meter) peak() (int64, error) {
	if m.pid == 0 {
		return 0, nil
	}
	return peakMemory(m.pid)
}

// ingest pushes everything, one request after the other, waits until the target has
// dealt with it and says what that cost.
func (r *runner) ingest(ctx context.Context, t *Target, f feed) (*Ingest, error) {
	m := meter{t.PID}
	began, err := m.cpu()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	out := &Ingest{}
	if err := r.pushAll(ctx, *t, f, out); err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	last := time.Now()
	out.PushSeconds = last.Sub(start).Seconds()
	pushed, err := m.cpu()
	if err != nil {
		return nil, err
	}
	out.PushCPU = (pushed - began).Seconds()
	if t.Flush != "" {
		if _, _, err := r.client.post(ctx, t.URL+t.Flush, nil, nil); err != nil {
			return nil, fmt.Errorf("flush: %w", err)
		}
	}
	if err := r.settle(ctx, *t, last, out); err != nil {
		return nil, fmt.Errorf("wait until it is quiet: %w", err)
	}
	out.SettledSeconds = time.Since(start).Seconds()
	settled, err := m.cpu()
	if err != nil {
		return nil, err
	}
	out.SettledCPU = (settled - began).Seconds()
	out.PeakBytes, err = m.peak()
	return out, err
}

func (r *runner) pushAll(ctx context.Context, t Target, f feed, out *Ingest) error {
	at := t.Push + f.path(t.Kind)
	took := make([]time.Duration, 0, f.spool.Requests)
	var pushed, items int
	err := f.spool.each(func(q request) error {
		answer, d, retries, err := r.client.push(ctx, at, f.header, q.body)
		out.Retries += retries
		if err == nil && f.accepted != nil {
			err = f.accepted(answer)
		}
		if err != nil {
			return fmt.Errorf("request %d of %d, to %s: %w", len(took)+1, f.spool.Requests, at, err)
		}
		took = append(took, d)
		items += q.items
		if pushed++; pushed%100 == 0 {
			r.progress("%s: pushed %d of %d", t.Name, items, f.spool.Items)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(took)
	if n := len(took); n > 0 {
		out.MedianMS, out.P99MS = milliseconds(took[n/2]), milliseconds(took[n*99/100])
	}
	return nil
}

// settle waits until the target uses no CPU to speak of, and measures its folder a
// fixed time after the last push. Of a target whose process is unknown it knows
// nothing, and waits for that time.
func (r *runner) settle(ctx context.Context, t Target, last time.Time, out *Ingest) error {
	m := meter{t.PID}
	measured := t.Dir == ""
	idle := 0
	before, err := m.cpu()
	if err != nil {
		return err
	}
	for {
		if err := sleep(ctx, min(time.Second, r.cfg.DiskAfter)); err != nil {
			return err
		}
		since := time.Since(last)
		if !measured && since >= r.cfg.DiskAfter {
			measured = true
			out.DiskAfterS = since.Seconds()
			if out.DiskBytes, err = folderSize(t.Dir); err != nil {
				return err
			}
		}
		now, err := m.cpu()
		if err != nil {
			return err
		}
		if idle++; (now - before).Seconds() > quiet {
			idle = 0
		}
		before = now
		switch {
		case since < r.cfg.DiskAfter:
		case t.PID == 0, idle >= quietSeconds:
			return nil
		case since > r.cfg.Settle:
			r.progress("%s: still busy after %s; going on", t.Name, r.cfg.Settle)
			return nil
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func lokiFeed(s *spool) feed {
	return feed{
		spool:  s,
		header: http.Header{"Content-Type": {"application/x-protobuf"}, "Content-Encoding": {"snappy"}},
		path: func(k Kind) string {
			if k == VictoriaLogs {
				return "/insert/loki/api/v1/push"
			}
			return "/loki/api/v1/push"
		},
	}
}
