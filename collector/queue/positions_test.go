package queue_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/collector/queue"
)

func TestPositionsOutliveTheirRecords(t *testing.T) {
	q := open(t, t.TempDir(), small())
	payload := []byte(strings.Repeat("x", 10<<10))
	want := queue.Positions{}
	for i := range 100 {
		source := fmt.Sprintf("file %d", i%7)
		want[source] = []byte(fmt.Sprint("offset ", i))
		require.NoError(t, q.AppendWithPositions(t.Context(), queue.Logs, payload,
			queue.Positions{source: want[source]}))
		q.drain(queue.Logs)
	}
	require.NoError(t, q.SavePositions(t.Context(), queue.Logs, queue.Positions{"file 3": nil, "file 9": {}}))
	delete(want, "file 3")
	want["file 9"] = []byte{}

	got, err := q.Positions(queue.Logs)
	require.NoError(t, err)
	require.Equal(t, want, got)
	other, err := q.Positions(queue.Metrics)
	require.NoError(t, err)
	require.Empty(t, other)

	again := open(t, q.crash(), small())
	got, err = again.Positions(queue.Logs)
	require.NoError(t, err)
	require.Equal(t, want, got, "after a crash")
	require.Zero(t, again.Stats(queue.Logs).Records)
}

func TestPositionsAreSavedWhenTheQueueIsFull(t *testing.T) {
	q := open(t, t.TempDir(), small())
	for q.Append(t.Context(), queue.Logs, make([]byte, 50<<10)) == nil {
	}
	require.NoError(t, q.SavePositions(t.Context(), queue.Logs, queue.Positions{"a": []byte("1")}))
	err := q.AppendWithPositions(t.Context(), queue.Logs, make([]byte, 50<<10), queue.Positions{"a": []byte("2")})
	require.ErrorIs(t, err, queue.ErrFull)
	got, err := q.Positions(queue.Logs)
	require.NoError(t, err)
	require.Equal(t, queue.Positions{"a": []byte("1")}, got, "a refused record moves nothing")
}
