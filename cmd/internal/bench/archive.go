package bench

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/ulikunitz/xz"
)

// Where the public data lies below the data folder.
const (
	serviceArchive = "correlated/train-ticket-2023-01-29.tar.xz"
	accessLog      = "logs/nginx-access.gz"
)

// errEnough ends a reading early; whoever returns it has what it wanted.
var errEnough = errors.New("enough")

// readServices calls fn with every record of the CSV files in one folder (log or
// trace) of the service archive, without their header lines. Records share memory.
// A record that is no CSV is left out: the log files have a few.
func readServices(ctx context.Context, data, folder string, fn func(file string, record []string) error) (err error) {
	f, err := os.Open(filepath.Join(data, filepath.FromSlash(serviceArchive)))
	if err != nil {
		return fmt.Errorf("open the service archive: %w", err)
	}
	defer f.Close()
	defer func() {
		if errors.Is(err, errEnough) {
			err = nil
		}
	}()
	unpacked, err := xz.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	archive := tar.NewReader(unpacked)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		if path.Ext(h.Name) != ".csv" || path.Base(path.Dir(h.Name)) != folder {
			continue
		}
		if err := readRecords(ctx, archive, func(record []string) error { return fn(h.Name, record) }); err != nil {
			return fmt.Errorf("%s: %s: %w", f.Name(), h.Name, err)
		}
	}
}

func readRecords(ctx context.Context, in io.Reader, fn func(record []string) error) error {
	r := csv.NewReader(in)
	r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = -1, true, true
	for first := true; ; first = false {
		record, err := r.Read()
		var malformed *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &malformed):
			continue
		case err != nil:
			return err
		case first:
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(record); err != nil {
			return err
		}
	}
}

// readAccessLog reads at most limit lines of the access log, or all if limit is 0.
func readAccessLog(data string, limit int) ([]string, error) {
	f, err := os.Open(filepath.Join(data, filepath.FromSlash(accessLog)))
	if err != nil {
		return nil, fmt.Errorf("open the access log: %w", err)
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	var lines []string
	s := bufio.NewScanner(unpacked)
	s.Buffer(make([]byte, 1<<20), 1<<24)
	for (limit == 0 || len(lines) < limit) && s.Scan() {
		lines = append(lines, s.Text())
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return lines, nil
}

// workload is the name of what a pod belongs to: its own without the two parts that
// a Deployment adds.
func workload(pod string) string {
	if parts := strings.Split(pod, "-"); len(parts) > 2 {
		return strings.Join(parts[:len(parts)-2], "-")
	}
	return pod
}
