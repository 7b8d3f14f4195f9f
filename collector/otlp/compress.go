package otlp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// gzipWriters are kept because each has tables of a few hundred kilobytes.
var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is valid
	return w
}}

// compress returns body as the queue holds it.
func compress(body []byte) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(body)/4 + 64)
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	w.Reset(&out)
	if _, err := w.Write(body); err != nil {
		return nil, fmt.Errorf("compress the request: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress the request: %w", err)
	}
	return out.Bytes(), nil
}

// encodings are the content codings that are understood, for Accept-Encoding.
const encodings = "gzip, zstd"

// errEncoding says that a content coding is not understood.
var errEncoding = errors.New("content coding is not one of " + encodings)

// errLarge says that a body is larger than allowed.
var errLarge = errors.New("body is too large")

// readBody reads a request body of at most limit bytes, compressed or not.
func readBody(body io.Reader, coding string, limit int) ([]byte, error) {
	limited := &io.LimitedReader{R: body, N: int64(limit) + 1}
	var reader io.Reader = limited
	switch strings.ToLower(strings.TrimSpace(coding)) {
	case "", "identity":
	case "gzip", "x-gzip":
		unzip, err := gzip.NewReader(limited)
		if err != nil {
			return nil, bodyError(limited, fmt.Errorf("read the gzip header: %w", err))
		}
		reader = unzip
	case "zstd":
		// One at a time needs no goroutines, and the window is bounded by the limit.
		unzip, err := zstd.NewReader(limited, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(windowFor(limit)), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, bodyError(limited, fmt.Errorf("read the zstd header: %w", err))
		}
		defer unzip.Close()
		reader = unzip
	default:
		return nil, fmt.Errorf("%q: %w", coding, errEncoding)
	}
	content, err := io.ReadAll(io.LimitReader(reader, int64(limit)+1))
	if len(content) > limit {
		return nil, errLarge
	}
	if err != nil {
		return nil, bodyError(limited, fmt.Errorf("read the body: %w", err))
	}
	return content, nil
}

// bodyError tells a body that ends because of the limit from one that is broken.
func bodyError(limited *io.LimitedReader, err error) error {
	var most *http.MaxBytesError
	if limited.N <= 0 || errors.As(err, &most) {
		return errLarge
	}
	return err
}

// windowFor returns the largest zstd window for a body of at most limit bytes.
// Encoders ask for up to 8 MiB whatever the body's size.
func windowFor(limit int) uint64 { return uint64(max(limit, 8<<20)) }
