package columnar_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

var crashes = flag.Int("crashes", 0, "how often TestCrash kills the store; 0 means as often as 8 seconds allow")

const crashSenders = 3

// crashBatch is what a sender sends under a sequence: the same rows each time.
func crashBatch(sender int, sequence uint64) columnar.Batch {
	r := rand.New(rand.NewPCG(uint64(sender), sequence))
	table := columnar.Logs
	if sender == 2 {
		table = columnar.Spans
	}
	b := columnar.Batch{Table: table, ID: columnar.BatchID{Collector: fmt.Sprint("c", sender), Stream: "logs", Sequence: sequence}}
	for i := range 1 + r.IntN(4) {
		s := columnar.Stream{Labels: labels.FromStrings("sender", fmt.Sprint(sender), "part", fmt.Sprint(i))}
		for j := range 1 + r.IntN(20) {
			s.Rows = append(s.Rows, columnar.Row{
				Timestamp: int64(sequence)*1000 + int64(r.IntN(5000)),
				Line:      fmt.Sprintf("%d/%d/%d/%d %s", sender, sequence, i, j, strings.Repeat("x", r.IntN(200))),
				Fields:    []columnar.Field{{Name: "trace_id", Value: fmt.Sprintf("%032x", r.Uint64())}},
			})
		}
		b.Streams = append(b.Streams, s)
	}
	return b
}

// crashConfig makes seals, flushes and merges happen all the time, so that kills
// hit every step of them.
func crashConfig(fsync columnar.FsyncMode) columnar.Config {
	return columnar.Config{Fsync: fsync, MemTableBytes: 64 << 10, BlockBytes: 8 << 10, MinFreeDisk: -1}
}

// crashChild sends batches from the given sequences on until it is killed, and
// prints each acknowledged one.
func crashChild(args []string) error {
	s, err := columnar.Open(args[0], columnar.Options{Logger: quiet(), Config: crashConfig(columnar.FsyncMode(args[1]))})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	failed := make(chan error, crashSenders)
	for sender := range crashSenders {
		sequence, err := strconv.ParseUint(args[2+sender], 10, 64)
		if err != nil {
			return err
		}
		wg.Go(func() {
			for ; ; sequence++ {
				duplicate, err := s.Append(context.Background(), crashBatch(sender, sequence))
				if err != nil {
					failed <- err
					return
				}
				// One write, so that a kill cannot cut an acknowledgement in two.
				fmt.Printf("%d %d %t\n", sender, sequence, duplicate)
			}
		})
	}
	wg.Wait()
	return <-failed
}

// TestCrash kills the store at random instants under load. Senders repeat the
// batch whose answer they did not see. In the end every acknowledged row must be
// there exactly once, and of an unacknowledged batch all rows or none.
func TestCrash(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	dir := t.TempDir()
	var acked [crashSenders]uint64
	kills, repeats := 0, 0
	for deadline := time.Now().Add(8 * time.Second); ; {
		if *crashes > 0 && kills == *crashes || *crashes == 0 && time.Now().After(deadline) {
			break
		}
		fsync := columnar.FsyncInterval
		if kills%4 == 3 {
			fsync = columnar.FsyncAlways
		}
		repeats += crashOnce(t, random, dir, fsync, &acked)
		if kills++; kills%25 == 0 {
			verifyCrash(t, dir, acked)
		}
	}
	verifyCrash(t, dir, acked)
	t.Logf("%d kills, %d batches acknowledged, %d of them stored before a kill and answered after it", kills, acked[0]+acked[1]+acked[2], repeats)
	require.Positive(t, acked[0])
}

// crashOnce runs one child until it is killed, and returns how many repeats it
// recognized.
func crashOnce(t *testing.T, random *rand.Rand, dir string, fsync columnar.FsyncMode, acked *[crashSenders]uint64) int {
	args := []string{dir, string(fsync)}
	for _, n := range acked {
		args = append(args, fmt.Sprint(n+1))
	}
	cmd := childCommand("crash", nil, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	// The clock of the kill starts with the first acknowledgement or, to hit the
	// replay too, with the process.
	kill := func(after time.Duration) {
		time.AfterFunc(after, func() { _ = cmd.Process.Signal(os.Kill) })
	}
	waitForFirst := random.IntN(5) > 0
	after := time.Duration(random.Int64N(int64(120 * time.Millisecond)))
	if !waitForFirst {
		kill(after)
	}
	repeats := 0
	in := bufio.NewReader(out)
	for first := true; ; first = false {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if first && waitForFirst {
			kill(after)
		}
		var sender int
		var sequence uint64
		var duplicate bool
		_, err = fmt.Sscanf(line, "%d %d %t", &sender, &sequence, &duplicate)
		require.NoError(t, err, line)
		require.Equal(t, acked[sender]+1, sequence)
		acked[sender] = sequence
		if duplicate {
			repeats++
		}
	}
	err = cmd.Wait()
	require.ErrorContains(t, err, "killed", errs.String())
	return repeats
}

func verifyCrash(t *testing.T, dir string, acked [crashSenders]uint64) {
	t.Helper()
	s := open(t, dir, func(o *columnar.Options) { o.Config = crashConfig(columnar.FsyncInterval) })
	defer func() { require.NoError(t, s.Close()) }()
	got := map[string]int{}
	for _, table := range []columnar.Table{columnar.Logs, columnar.Spans} {
		for _, r := range readAll(t, s, columnar.Query{Table: table, To: 1 << 62, Columns: columnar.Columns{Line: true, AllFields: true}}) {
			got[fmt.Sprint(table, r.Timestamp, r.Line, r.Fields)]++
		}
	}
	missing, repeated := 0, 0
	for sender := range crashSenders {
		for sequence := uint64(1); sequence <= acked[sender]+1; sequence++ {
			b := crashBatch(sender, sequence)
			rows, found := 0, 0
			for _, st := range b.Streams {
				for _, r := range st.Rows {
					key := fmt.Sprint(b.Table, r.Timestamp, r.Line, r.Fields)
					rows++
					found += min(got[key], 1)
					repeated += max(got[key]-1, 0)
					delete(got, key)
				}
			}
			if sequence <= acked[sender] || found > 0 {
				missing += rows - found
			}
		}
	}
	require.Zero(t, missing, "acknowledged rows that are missing")
	require.Zero(t, repeated, "rows stored twice")
	require.Empty(t, got, "rows that nobody sent")
}

// readAll copies the rows of an answer.
func readAll(t testing.TB, s columnar.Reader, q columnar.Query) []columnar.Row {
	t.Helper()
	ctx := context.Background()
	c, err := s.Select(ctx, q)
	require.NoError(t, err)
	defer c.Close()
	var out []columnar.Row
	for {
		b, err := c.Next(ctx)
		require.NoError(t, err)
		if b == nil {
			return out
		}
		for i := range b.Len() {
			r := columnar.Row{Timestamp: b.Timestamps[i]}
			if b.Lines != nil {
				r.Line = strings.Clone(b.Lines[i])
			}
			if b.Fields != nil {
				for _, f := range b.Fields[i] {
					r.Fields = append(r.Fields, columnar.Field{Name: f.Name, Value: strings.Clone(f.Value), Type: f.Type})
				}
			}
			out = append(out, r)
		}
	}
}
