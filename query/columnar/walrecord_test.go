package columnar

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

// lineRecord is a record whose batch has one row with this line.
func lineRecord(number uint64, line string) []byte {
	c := encodeBatch(&Batch{Table: Logs, Streams: []Stream{{Labels: labels.FromStrings("app", "x"), Rows: []Row{{Timestamp: int64(number), Line: line}}}}})
	record := appendWALRecord(nil, time.UnixMilli(1), c.data)
	numberWALRecord(record, number)
	return record
}

// noise is a line that does not compress, so that it is in the log as it is.
func noise(n int) string {
	random := rand.NewChaCha8([32]byte{7})
	b := make([]byte, n)
	_, _ = random.Read(b)
	return string(b)
}

func scanNumbers(t *testing.T, data []byte, final bool) (numbers []uint64, damages []walDamage) {
	t.Helper()
	scan := newWALScan(0)
	scan.final = final
	damages, err := scan.segment(data, func(r walRecord) error {
		numbers = append(numbers, r.number)
		return nil
	})
	require.NoError(t, err)
	return numbers, damages
}

// The bytes of a record that somebody sent as a line are no record, whatever happens
// to the record around them.
func TestRecordWithinPayload(t *testing.T) {
	for _, number := range []uint64{1, 1000, 1 << 40} {
		inner := lineRecord(number, "planted")
		first, last := lineRecord(1, "first"), lineRecord(3, "last")
		outer := lineRecord(2, noise(20_000)+string(inner)+noise(300))
		require.True(t, bytes.Contains(outer, inner))
		segment := append(bytes.Clone(walFileMagic), first...)
		at := len(segment)
		segment = append(append(segment, outer...), last...)

		cut := at + bytes.Index(outer, inner) + len(inner) + 10
		numbers, damages := scanNumbers(t, segment[:cut], true)
		require.Equal(t, []uint64{1}, numbers, "a write that was cut short")
		require.Equal(t, []walDamage{{int64(at), int64(cut - at), errTorn}}, damages)

		segment[at+9] ^= 1 // in the header
		numbers, damages = scanNumbers(t, segment, true)
		require.Equal(t, []uint64{1, 3}, numbers, "a damaged header")
		require.Equal(t, []walDamage{{int64(at), int64(len(outer)), errChecksum}}, damages)
	}
}

// Records behind several damaged ones, and behind segments that are gone, are found.
func TestResyncAcrossLosses(t *testing.T) {
	segment := bytes.Clone(walFileMagic)
	var starts []int
	for i := range uint64(6) {
		starts = append(starts, len(segment))
		segment = append(segment, lineRecord(i+1, "line")...)
	}
	for _, i := range []int{0, 2, 3, 4} {
		segment[starts[i]+5] ^= 1
	}
	numbers, damages := scanNumbers(t, segment, true)
	require.Equal(t, []uint64{2, 6}, numbers)
	require.Len(t, damages, 2)

	later := append(bytes.Clone(walFileMagic), lineRecord(500, "lost")...)
	later[walFileHeader] ^= 1
	later = append(later, lineRecord(501, "found")...)
	scan := newWALScan(6)
	scan.segmentsMissing()
	found := 0
	_, err := scan.segment(later, func(walRecord) error { found++; return nil })
	require.NoError(t, err)
	require.Equal(t, 1, found)
}

// Zeros at the end of the last segment are what a power loss leaves of writes that
// were not synced. They are cut off and are no damage; in an earlier segment they
// are, and so is a flipped bit in the last record.
func TestZeroTail(t *testing.T) {
	first := append(bytes.Clone(walFileMagic), lineRecord(1, "first")...)
	second := append(bytes.Clone(first), lineRecord(2, noise(2000))...)
	inPayload := bytes.Clone(second)
	clear(inPayload[1024:])
	long := 1024 - 16 - walFileHeader // so that the next header spans two sectors
	for len(lineRecord(1, noise(long))) > 1024-16-walFileHeader {
		long--
	}
	before := append(bytes.Clone(walFileMagic), lineRecord(1, noise(long))...)
	require.Len(t, before, 1024-16)
	inHeader := append(bytes.Clone(before), lineRecord(2, "second")...)
	clear(inHeader[1024:])
	for name, c := range map[string]struct {
		data []byte
		end  int // of what is whole
		err  error
	}{
		"after the last record": {append(bytes.Clone(first), make([]byte, 5000)...), len(first), errTorn},
		"a few zeros":           {append(bytes.Clone(first), 0, 0, 0), len(first), errTorn},
		"within a payload":      {inPayload, len(first), errTorn},
		"payload and more":      {append(bytes.Clone(inPayload), make([]byte, 5000)...), len(first), errTorn},
		"within a header":       {inHeader, len(before), errTorn},
		"nothing but zeros":     {make([]byte, 4096), 0, errTorn},
	} {
		t.Run(name, func(t *testing.T) {
			_, damages := scanNumbers(t, c.data, true)
			require.Equal(t, []walDamage{{int64(c.end), int64(len(c.data) - c.end), c.err}}, damages)
			_, damages = scanNumbers(t, c.data, false)
			require.NotErrorIs(t, damages[0].err, errTorn)
		})
	}
	flipped := bytes.Clone(second)
	flipped[len(first)+500] ^= 1
	_, damages := scanNumbers(t, flipped, true)
	require.Len(t, damages, 1)
	require.ErrorIs(t, damages[0].err, errChecksum)
}

// A store opens after such a power loss without a word of damage.
func TestZeroTailIsCutOff(t *testing.T) {
	dir := t.TempDir()
	s := testStore(t, dir)
	_, err := s.Append(context.Background(), Batch{Table: Logs, Streams: []Stream{{Labels: labels.FromStrings("app", "x"), Rows: []Row{{Timestamp: 5}}}}})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	path := segmentPath(filepath.Join(dir, "wal"), 1)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, info.Size()+8192))

	s, err = Open(dir, Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	require.Zero(t, testutil.ToFloat64(s.metrics.corrupt.WithLabelValues("wal")))
	cut, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, info.Size(), cut.Size())
	require.NoError(t, s.Close())
	require.Equal(t, []int64{5}, sequences(t, dir))
}
