package ingest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

// lease is the memory that one request holds of the common budget.
type lease struct {
	budget *semaphore.Weighted
	gauge  prometheus.Gauge // what all leases hold
	held   int64
}

func (g *Ingester) newLease() *lease { return &lease{budget: g.memory, gauge: g.telemetry.inFlight} }

// leaseStep is how much is taken of the budget at a time.
const leaseStep = 64 << 10

var errOverloaded = errors.New("too many requests are being decoded; come again")

// cover makes the lease at least n bytes.
func (l *lease) cover(n int64) error {
	if n <= l.held {
		return nil
	}
	more := (n - l.held + leaseStep - 1) / leaseStep * leaseStep
	if !l.budget.TryAcquire(more) {
		return overloaded(errOverloaded)
	}
	l.held += more
	l.gauge.Add(float64(more))
	return nil
}

func (l *lease) release() {
	if l.held > 0 {
		l.budget.Release(l.held)
		l.gauge.Sub(float64(l.held))
		l.held = 0
	}
}

// readAll reads r to its end, refusing more than limit bytes and more than the
// budget holds.
func readAll(r io.Reader, limit int64, what string, l *lease) ([]byte, error) {
	var buf []byte
	for {
		if cap(buf)-len(buf) < 512 {
			grown := int64(max(2*cap(buf), 4096))
			if err := l.cover(grown); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, grown), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, tooLarge("%s is larger than %d bytes", what, limit)
		}
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			var tooBig *http.MaxBytesError
			switch {
			case errors.As(err, &tooBig):
				return nil, tooLarge("request body is larger than %d bytes", tooBig.Limit)
			case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
				return nil, tooLarge("%s is larger than %d bytes", what, limit)
			}
			return nil, undecodable(fmt.Errorf("read %s: %w", what, err))
		}
	}
}

// readBody reads a request's body and undoes its Content-Encoding. The lease
// covers what it returns.
func (g *Ingester) readBody(req *http.Request, l *lease) ([]byte, error) {
	if req.ContentLength > g.cfg.MaxBodyBytes {
		return nil, tooLarge("request body has %d bytes, maxBodyBytes is %d", req.ContentLength, g.cfg.MaxBodyBytes)
	}
	raw := http.MaxBytesReader(nil, req.Body, g.cfg.MaxBodyBytes)
	const what = "decompressed request body"
	switch enc := strings.ToLower(strings.TrimSpace(req.Header.Get("Content-Encoding"))); enc {
	case "", "identity", "none":
		return readAll(raw, g.cfg.MaxBodyBytes, "request body", l)
	case "gzip":
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, undecodable(fmt.Errorf("gzip: %w", err))
		}
		defer z.Close()
		return readAll(z, g.cfg.MaxDecodedBytes, what, l)
	case "deflate":
		z, err := inflate(raw)
		if err != nil {
			return nil, undecodable(fmt.Errorf("deflate: %w", err))
		}
		defer z.Close()
		return readAll(z, g.cfg.MaxDecodedBytes, what, l)
	case "zstd":
		// The window is memory as well, and a frame may ask for gigabytes of it.
		z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderMaxMemory(uint64(g.cfg.MaxDecodedBytes)))
		if err != nil {
			return nil, undecodable(fmt.Errorf("zstd: %w", err))
		}
		defer z.Close()
		return readAll(z, g.cfg.MaxDecodedBytes, what, l)
	default:
		return nil, unsupported("content encoding %q is not accepted; use gzip, deflate, zstd or none", enc)
	}
}

// inflate undoes deflate, which HTTP says is in zlib's frame (RFC 9110, section
// 8.4.1.2), and many a client sends bare, as Loki takes it. A zlib header is two
// bytes that are a multiple of 31, the method, 8, in the low bits of the first; bare
// deflate could begin so only with a stored block whose padding is not zero.
func inflate(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReader(r)
	head, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(head) == 2 && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(b)
	}
	return flate.NewReader(b), nil
}

// readSnappyBody reads a body in snappy's block format, which remote write and
// Loki's protobuf push always use.
func (g *Ingester) readSnappyBody(req *http.Request, l *lease) ([]byte, error) {
	if enc := strings.ToLower(req.Header.Get("Content-Encoding")); enc != "" && enc != "snappy" {
		return nil, unsupported("content encoding %q is not accepted; use snappy", enc)
	}
	if req.ContentLength > g.cfg.MaxBodyBytes {
		return nil, tooLarge("request body has %d bytes, maxBodyBytes is %d", req.ContentLength, g.cfg.MaxBodyBytes)
	}
	packed, err := readAll(http.MaxBytesReader(nil, req.Body, g.cfg.MaxBodyBytes), g.cfg.MaxBodyBytes, "request body", l)
	if err != nil {
		return nil, err
	}
	n, err := snappy.DecodedLen(packed)
	if err != nil {
		return nil, undecodable(fmt.Errorf("snappy: %w", err))
	}
	if int64(n) > g.cfg.MaxDecodedBytes {
		return nil, tooLarge("decompressed request body has %d bytes, maxDecodedBytes is %d", n, g.cfg.MaxDecodedBytes)
	}
	if err := l.cover(l.held + int64(n)); err != nil {
		return nil, err
	}
	b, err := snappy.Decode(nil, packed)
	if err != nil {
		return nil, undecodable(fmt.Errorf("snappy: %w", err))
	}
	return b, nil
}
