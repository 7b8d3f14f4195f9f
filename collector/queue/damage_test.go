package queue_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/collector/queue"
)

// onlySegment returns the path and content of the one segment of a stream.
func onlySegment(t *testing.T, dir string, s queue.Stream) (string, []byte) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, string(s), "*.seg"))
	require.NoError(t, err)
	require.Len(t, paths, 1)
	content, err := os.ReadFile(paths[0])
	require.NoError(t, err)
	return paths[0], content
}

func TestUnfinishedWriteIsCutOffAtEveryLength(t *testing.T) {
	q := open(t, t.TempDir(), small())
	q.append(queue.Logs, "first")
	_, before := onlySegment(t, q.dir, queue.Logs)
	require.NoError(t, q.AppendWithPositions(t.Context(), queue.Logs, []byte("second"), queue.Positions{"f": []byte("9")}))
	path, whole := onlySegment(t, q.dir, queue.Logs)

	for size := len(before); size < len(whole); size++ {
		dir := q.crash()
		torn := filepath.Join(dir, "logs", filepath.Base(path))
		require.NoError(t, os.Truncate(torn, int64(size)))
		again := open(t, dir, small())
		info, err := os.Stat(torn)
		require.NoError(t, err)
		require.EqualValues(t, len(before), info.Size(), "cut off at %d of %d", size, len(whole))
		positions, err := again.Positions(queue.Logs)
		require.NoError(t, err)
		require.Empty(t, positions, "position and record are one")
		again.append(queue.Logs, "third")
		payloads, sequences := again.drain(queue.Logs)
		require.Equal(t, []string{"first", "third"}, payloads)
		require.Greater(t, sequences[1], uint64(2))
		require.Zero(t, again.dropped(queue.Logs, queue.DropCorrupt))
		require.NoError(t, again.Close())
	}
}

func TestDamageCostsOnlyWhatItHit(t *testing.T) {
	q := open(t, t.TempDir(), small())
	starts := []int{0}
	for i := range 4 {
		require.NoError(t, q.AppendWithPositions(t.Context(), queue.Logs, []byte(fmt.Sprint("record ", i)),
			queue.Positions{fmt.Sprint("file ", i): []byte("1")}))
		_, content := onlySegment(t, q.dir, queue.Logs)
		starts = append(starts, len(content))
	}
	path, whole := onlySegment(t, q.dir, queue.Logs)
	// A second segment, so that the first is not the newest one, whose end may be cut.
	require.NoError(t, q.Close())
	q = open(t, q.dir, small())
	q.append(queue.Logs, "record 4")

	all := []string{"record 0", "record 1", "record 2", "record 3", "record 4"}
	for offset := 0; offset < len(whole); offset += 3 { // no field is shorter than 4 bytes but the kind
		damaged := append([]byte{}, whole...)
		damaged[offset] ^= 0x55
		dir := q.crash()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "logs", filepath.Base(path)), damaged, 0o600))
		again := open(t, dir, small())

		var hit = -1
		for i := 1; i < len(starts); i++ {
			if offset < starts[i] && (i == 1 || offset >= starts[i-1]) {
				hit = i - 1
			}
		}
		want := append([]string{}, all...)
		inHead := hit == 0 && offset < starts[1]-(starts[2]-starts[1])
		if !inHead { // in the file's magic or the checkpoint no record is lost
			want = append(want[:hit], want[hit+1:]...)
		}
		payloads, _ := again.drain(queue.Logs)
		require.Equal(t, want, payloads, "damage at byte %d", offset)
		require.GreaterOrEqual(t, again.counter("yagura_queue_damaged_regions_total", map[string]string{"stream": "logs"}), 1.0)
		if hit > 0 && hit < 3 {
			require.InDelta(t, 1, again.dropped(queue.Logs, queue.DropCorrupt), 0, "damage at byte %d", offset)
		}
		positions, err := again.Positions(queue.Logs)
		require.NoError(t, err)
		require.NotContains(t, positions, fmt.Sprint("file ", hit+10))
		require.NoError(t, again.Close())
	}
}

func TestDamageWhileRunning(t *testing.T) {
	q := open(t, t.TempDir(), small())
	for i := range 3 {
		q.append(queue.Logs, fmt.Sprint("record ", i))
	}
	path, content := onlySegment(t, q.dir, queue.Logs)
	content[len(content)-len("record 0")-40-1] ^= 1 // the last byte of record 1
	require.NoError(t, os.WriteFile(path, content, 0o600))
	payloads, _ := q.drain(queue.Logs)
	require.Equal(t, []string{"record 0", "record 2"}, payloads)
	require.InDelta(t, 1, q.dropped(queue.Logs, queue.DropCorrupt), 0)
}

func TestFrameInsideAPayloadIsNotTakenForOne(t *testing.T) {
	other := open(t, t.TempDir(), small())
	for range 5 {
		other.append(queue.Logs, "forged")
	}
	_, forged := onlySegment(t, other.dir, queue.Logs)

	q := open(t, t.TempDir(), small())
	q.append(queue.Logs, string(forged))
	q.append(queue.Logs, "true")
	path, content := onlySegment(t, q.dir, queue.Logs)
	dir := q.crash()
	content[len(content)-len("true")-40-len(forged)-40+10] ^= 1 // in the header of the first record
	require.NoError(t, os.WriteFile(filepath.Join(dir, "logs", filepath.Base(path)), content, 0o600))
	payloads, _ := open(t, dir, small()).drain(queue.Logs)
	require.Equal(t, []string{"true"}, payloads)
}

// FuzzOpenSegment opens whatever a disk may hold and expects a queue that works.
func FuzzOpenSegment(f *testing.F) {
	q := open(f, f.TempDir(), small())
	for i := range 3 {
		require.NoError(f, q.AppendWithPositions(f.Context(), queue.Logs, []byte(fmt.Sprint("record ", i)),
			queue.Positions{"file": []byte(fmt.Sprint(i))}))
	}
	paths, err := filepath.Glob(filepath.Join(q.dir, "logs", "*.seg"))
	require.NoError(f, err)
	content, err := os.ReadFile(paths[0])
	require.NoError(f, err)
	name := filepath.Base(paths[0])
	f.Add(content, []byte{})
	f.Add(content[:50], content[40:])
	f.Add([]byte{}, []byte("YAGURAQ1"))
	f.Fuzz(func(t *testing.T, segment, marks []byte) {
		dir := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(dir, "logs"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "logs", name), segment, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "logs", "acked"), marks, 0o600))
		again, err := queue.Open(dir, small(), quiet, nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, again.Close()) }()
		require.NoError(t, again.AppendWait(t.Context(), queue.Logs, []byte("new"), nil))
		var last string
		for again.Stats(queue.Logs).Records > 0 {
			record, err := again.Peek(t.Context(), queue.Logs)
			require.NoError(t, err)
			require.NoError(t, again.Ack(queue.Logs, record.Sequence))
			last = string(record.Payload)
		}
		require.Equal(t, "new", last)
	})
}
