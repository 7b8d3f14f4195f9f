package columnar_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/columnar/columnartest"
)

// bigMemory is the most resident memory that a process may need for the store,
// whatever the size of the data.
const bigMemory = 200 << 20

// bigEnv bounds Go's heap far below the data; the check is on bigMemory.
var bigEnv = []string{"GOMEMLIMIT=120MiB"}

type streamSum struct {
	Rows int
	// Sum adds up the hashes of (time, line, fields), so that it does not depend on
	// the order of equal times.
	Sum uint64
}

type bigResult struct {
	Streams map[string]streamSum
	Rows    int
	Bytes   int64 // of lines
	Peak    int64
	CPU     time.Duration
	Wall    time.Duration
	Disk    int64
	Stats   columnar.Stats
}

func (r *bigResult) add(stream string, ts int64, line string, fields []columnar.Field) {
	sum := xxhash.Sum64String(line) + uint64(ts)*0x9e3779b97f4a7c15
	for _, f := range fields {
		sum ^= xxhash.Sum64String(f.Name + "\x00" + f.Value)
	}
	s := r.Streams[stream]
	s.Rows++
	s.Sum += xxhash.Sum64String(strconv.FormatUint(sum, 16))
	r.Streams[stream] = s
	r.Rows++
	r.Bytes += int64(len(line))
}

func (r *bigResult) print(dir string, start time.Time) error {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	r.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	r.Wall, r.Peak, r.Disk = time.Since(start), peakMemory(), diskUsage(dir)
	return json.NewEncoder(os.Stdout).Encode(r)
}

func diskUsage(dir string) int64 {
	total := int64(0)
	_ = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			total += info.Size()
		}
		return nil
	})
	return total
}

// TestRealLogs stores real logs, eight copies of them when YAGURA_BIG is set
// (1.04 GB, 217 streams), in a process with little memory that is killed after
// the last acknowledgement, and reads all of it back in another one.
func TestRealLogs(t *testing.T) {
	copies := 1
	if os.Getenv("YAGURA_BIG") != "" {
		copies = 8
	}
	if testing.Short() {
		t.Skip("reads 200 MB of real logs")
	}
	corpus := columnartest.PrepareCorpus(t, t.TempDir())
	dir := t.TempDir()
	var in, out bigResult
	runChild(t, "big-ingest", bigEnv, &in, dir, corpus.Path, strconv.Itoa(copies))
	require.Equal(t, copies*corpus.Rows, in.Rows)
	t.Logf("ingest: %d lines, %d bytes in %s, CPU %s (%.1f s/GB), peak %d MiB, disk %d = %.1f bytes/line",
		in.Rows, in.Bytes, in.Wall, in.CPU, in.CPU.Seconds()/float64(in.Bytes)*1e9, in.Peak>>20, in.Disk, float64(in.Disk)/float64(in.Rows))

	runChild(t, "big-verify", bigEnv, &out, dir)
	t.Logf("scan: %s, CPU %s, peak %d MiB, %+v", out.Wall, out.CPU, out.Peak>>20, out.Stats)
	require.Equal(t, in.Rows, out.Rows)
	require.Equal(t, in.Bytes, out.Bytes)
	require.Equal(t, in.Streams, out.Streams)
	require.Zero(t, out.Stats.BlocksLost)
	if raceEnabled {
		return
	}
	require.Less(t, in.Peak, int64(bigMemory), "memory of ingest")
	require.Less(t, out.Peak, int64(bigMemory), "memory of a query over everything")
}

// bigIngest appends the corpus and dies without closing the store.
func bigIngest(args []string) error {
	copies, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	start := time.Now()
	s, err := columnar.Open(args[0], columnar.Options{Logger: quiet()})
	if err != nil {
		return err
	}
	r := bigResult{Streams: map[string]streamSum{}}
	sequence := uint64(0)
	corpus := columnartest.Corpus{Path: args[1]}
	err = corpus.Batches(copies, 1<<20, func(b columnar.Batch) error {
		sequence++
		b.ID = columnar.BatchID{Collector: "test", Stream: "logs", Sequence: sequence}
		if _, err := s.Append(context.Background(), b); err != nil {
			return err
		}
		for _, st := range b.Streams {
			name := st.Labels.String()
			for _, row := range st.Rows {
				r.add(name, row.Timestamp, row.Line, row.Fields)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if os.Getenv("YAGURA_BIG_SETTLE") != "" {
		time.Sleep(20 * time.Second) // for figures of the settled store
	}
	if err := r.print(args[0], start); err != nil {
		return err
	}
	os.Exit(0)
	return nil
}

// bigVerify opens the store and reads every row in global order.
func bigVerify(args []string) error {
	start := time.Now()
	s, err := columnar.Open(args[0], columnar.Options{Logger: quiet()})
	if err != nil {
		return err
	}
	ctx := context.Background()
	c, err := s.Select(ctx, columnar.Query{Table: columnar.Logs, From: 0, To: 1 << 62, Columns: columnar.Columns{Line: true, AllFields: true}})
	if err != nil {
		return err
	}
	r := bigResult{Streams: map[string]streamSum{}}
	last := int64(0)
	var names []string
	for {
		b, err := c.Next(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			break
		}
		for len(names) < len(b.Streams) {
			names = append(names, b.Streams[len(names)].String())
		}
		for i, ts := range b.Timestamps {
			if ts < last {
				return os.ErrInvalid
			}
			last = ts
			// The order of a row's fields is not kept, the sum does not depend on it.
			r.add(names[b.StreamRefs[i]], ts, b.Lines[i], b.Fields[i])
		}
	}
	r.Stats = c.Stats()
	if err := c.Close(); err != nil {
		return err
	}
	if err := r.print(args[0], start); err != nil {
		return err
	}
	return s.Close()
}
