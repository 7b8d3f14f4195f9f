package columnar_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

var crashes = flag.Int("crashes", 200, "how often TestCrash kills the store; a tenth of it with -short")

const (
	crashSenders = 4
	// crashVictim is the sender whose rows are deleted again.
	crashVictim = 3
	// crashBase is above all timestamps of the victim, so that retention, which goes
	// by time alone, takes only its rows.
	crashBase = int64(1) << 50
)

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
			ts := crashBase + int64(sequence)*1000 + int64(r.IntN(5000))
			if sender == crashVictim {
				ts = int64(sequence)
			}
			s.Rows = append(s.Rows, columnar.Row{
				Timestamp: ts,
				Line:      fmt.Sprintf("%d/%d/%d/%d %s", sender, sequence, i, j, strings.Repeat("x", r.IntN(200))),
				Fields:    []columnar.Field{{Name: "trace_id", Value: fmt.Sprintf("%032x", r.Uint64())}},
			})
		}
		b.Streams = append(b.Streams, s)
	}
	return b
}

// crashConfig makes seals, flushes, merges and rewrites happen all the time, so
// that kills hit every step of them.
func crashConfig(fsync columnar.FsyncMode) columnar.Config {
	return columnar.Config{Fsync: fsync, MemTableBytes: 64 << 10, BlockBytes: 8 << 10, MinFreeDisk: -1, DeletionDelay: -1}
}

// crashChild sends batches from the given sequences on until it is killed, and
// meanwhile deletes rows of the victim and takes snapshots. It prints what it was
// told, each in one write, so that a kill cannot cut a line in two:
//
//	ack SENDER SEQUENCE DUPLICATE
//	forget SEQUENCE     about to delete what the victim sent up to it
//	forgot SEQUENCE     and done
//	snapshot NAME       about to take one
//	snapped NAME        and done
func crashChild(args []string) error {
	s, err := columnar.Open(args[0], columnar.Options{Logger: quiet(), Config: crashConfig(columnar.FsyncMode(args[1]))})
	if err != nil {
		return err
	}
	var acked [crashSenders]atomic.Uint64
	var wg sync.WaitGroup
	failed := make(chan error, crashSenders+2)
	for sender := range crashSenders {
		sequence, err := strconv.ParseUint(args[3+sender], 10, 64)
		if err != nil {
			return err
		}
		acked[sender].Store(sequence - 1)
		wg.Go(func() {
			for ; ; sequence++ {
				duplicate, err := s.Append(context.Background(), crashBatch(sender, sequence))
				if err != nil {
					failed <- err
					return
				}
				fmt.Printf("ack %d %d %t\n", sender, sequence, duplicate)
				acked[sender].Store(sequence)
			}
		})
	}
	wg.Go(func() { failed <- crashForget(s, &acked[crashVictim]) })
	wg.Go(func() { failed <- crashSnapshots(s, args[2]) })
	err = <-failed
	return errors.Join(errors.New("the child came to an end"), err)
}

// crashForget deletes the victim's rows, in turns by a deletion and by retention.
func crashForget(s *columnar.Store, acked *atomic.Uint64) error {
	for round := rand.IntN(2); ; round++ {
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
		last := acked.Load()
		fmt.Printf("forget %d\n", last)
		var err error
		if round%2 == 0 {
			_, err = s.Delete(context.Background(), columnar.Deletion{
				Table: columnar.Logs, From: 0, To: int64(last) + 1,
				Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "sender", fmt.Sprint(crashVictim))},
				Lines:    []columnar.LinePredicate{{Op: columnar.Matches, Text: "^3/[0-9]+/"}},
			})
		} else {
			err = s.Retain(context.Background(), time.Unix(0, int64(last)+1))
		}
		if err != nil {
			return err
		}
		fmt.Printf("forgot %d\n", last)
	}
}

func crashSnapshots(s *columnar.Store, dir string) error {
	for i := 0; ; i++ {
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		name := fmt.Sprintf("%d-%d", os.Getpid(), i)
		fmt.Printf("snapshot %s\n", name)
		if err := s.Snapshot(context.Background(), filepath.Join(dir, name)); err != nil {
			return err
		}
		fmt.Printf("snapped %s\n", name)
	}
}

// crashState is what the parent was told.
type crashState struct {
	acked  [crashSenders]uint64
	asked  uint64 // up to this the victim's rows may be gone
	forgot uint64 // up to this they must be

	kills, repeats, deletions int

	// The last snapshot that was completed, and the state when it was begun.
	snapshots int
	begun     map[string]crashState
	snapshot  string
	then      *crashState
}

// TestCrash kills the store at random instants under load, while it merges, deletes,
// retains and takes snapshots. Senders repeat the batch whose answer they did not
// see. In the end every acknowledged row must be there exactly once, of an
// unacknowledged batch all rows or none, of what was deleted none, and a snapshot
// must hold what was acknowledged before it.
func TestCrash(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	dir, snapshots := t.TempDir(), t.TempDir()
	var state crashState
	kills := *crashes
	if testing.Short() {
		kills /= 10
	}
	for state.kills < kills {
		fsync := columnar.FsyncInterval
		if state.kills%4 == 3 {
			fsync = columnar.FsyncAlways
		}
		crashOnce(t, random, dir, snapshots, fsync, &state)
		if state.kills++; state.kills%25 == 0 {
			verifyCrash(t, dir, state)
		}
		if state.snapshot != "" && state.kills%10 == 0 {
			verifySnapshot(t, filepath.Join(snapshots, state.snapshot), *state.then, state)
		}
		require.NoError(t, os.RemoveAll(snapshots))
		require.NoError(t, os.Mkdir(snapshots, 0o755))
		state.snapshot = ""
	}
	verifyCrash(t, dir, state)
	t.Logf("%d kills, %v batches acknowledged, %d of them stored before a kill and answered after it, %d deletions, %d snapshots",
		state.kills, state.acked, state.repeats, state.deletions, state.snapshots)
	for sender, n := range state.acked {
		require.Positive(t, n, "batches of sender %d", sender)
	}
	if !testing.Short() {
		// Without these the kills have hit none of the instants that matter.
		require.Positive(t, state.repeats)
		require.Positive(t, state.deletions)
		require.Positive(t, state.snapshots)
	}
}

// crashOnce runs one child until it is killed.
func crashOnce(t *testing.T, random *rand.Rand, dir, snapshots string, fsync columnar.FsyncMode, state *crashState) {
	args := []string{dir, string(fsync), snapshots}
	for _, n := range state.acked {
		args = append(args, fmt.Sprint(n+1))
	}
	cmd := childCommand("crash", nil, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	// The clock of the kill starts with the first line or, to hit the replay too, with
	// the process.
	kill := func(after time.Duration) {
		time.AfterFunc(after, func() { _ = cmd.Process.Signal(os.Kill) })
	}
	waitForFirst := random.IntN(5) > 0
	after := time.Duration(random.Int64N(int64(100 * time.Millisecond)))
	if random.IntN(4) == 0 {
		after *= 4 // long enough for several flushes, merges and deletions
	}
	if !waitForFirst {
		kill(after)
	}
	state.begun = map[string]crashState{}
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
		state.read(t, strings.Fields(line))
	}
	err = cmd.Wait()
	require.ErrorContains(t, err, "killed", errs.String())
}

// read takes in a line of the child.
func (s *crashState) read(t *testing.T, words []string) {
	number := func(i int) uint64 {
		n, err := strconv.ParseUint(words[i], 10, 64)
		require.NoError(t, err, words)
		return n
	}
	switch words[0] {
	case "ack":
		sender, sequence := number(1), number(2)
		require.Equal(t, s.acked[sender]+1, sequence)
		s.acked[sender] = sequence
		if words[3] == "true" {
			s.repeats++
		}
	case "forget":
		s.asked = max(s.asked, number(1))
	case "forgot":
		s.forgot = max(s.forgot, number(1))
		s.deletions++
	case "snapshot":
		s.begun[words[1]] = *s
	case "snapped":
		then := s.begun[words[1]]
		s.snapshot, s.then = words[1], &then
		s.snapshots++
	default:
		require.Fail(t, "unknown line", words)
	}
}

func verifyCrash(t *testing.T, dir string, state crashState) {
	t.Helper()
	s := open(t, dir, func(o *columnar.Options) { o.Config = crashConfig(columnar.FsyncInterval) })
	defer func() { require.NoError(t, s.Close()) }()
	var most [crashSenders]uint64
	for i, n := range state.acked {
		most[i] = n + 1
	}
	checkCrash(t, s, state, most, state.asked)
}

// verifySnapshot checks a snapshot that was begun at one state and completed before
// another.
func verifySnapshot(t *testing.T, dir string, begun, ended crashState) {
	t.Helper()
	restored := filepath.Join(t.TempDir(), "restored")
	require.NoError(t, columnar.Restore(context.Background(), dir, restored))
	s := open(t, restored)
	defer func() { require.NoError(t, s.Close()) }()
	var most [crashSenders]uint64
	for i, n := range ended.acked {
		most[i] = n + 1
	}
	checkCrash(t, s, begun, most, ended.asked)
}

// checkCrash compares the rows with what they must be: each acknowledged batch
// once, of the later ones (up to most) all rows or none.
func checkCrash(t *testing.T, s columnar.Reader, state crashState, most [crashSenders]uint64, asked uint64) {
	t.Helper()
	got := map[string]int{}
	for _, table := range []columnar.Table{columnar.Logs, columnar.Spans} {
		for _, r := range readAll(t, s, columnar.Query{Table: table, To: 1 << 62, Columns: columnar.Columns{Line: true, AllFields: true}}) {
			got[fmt.Sprint(table, r.Timestamp, r.Line, r.Fields)]++
		}
	}
	missing, repeated, undead := 0, 0, 0
	for sender := range crashSenders {
		for sequence := uint64(1); sequence <= most[sender]; sequence++ {
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
			switch {
			case sender == crashVictim && sequence <= state.forgot:
				undead += found
			case found == 0 && (sequence > state.acked[sender] || sender == crashVictim && sequence <= asked):
				// It was never acknowledged, or its deletion was not.
			default:
				missing += rows - found
			}
		}
	}
	require.Zero(t, missing, "acknowledged rows that are missing")
	require.Zero(t, repeated, "rows stored twice")
	require.Zero(t, undead, "rows that came back after they were deleted")
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
