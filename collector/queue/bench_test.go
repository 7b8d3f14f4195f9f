package queue_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/collector/queue"
)

func BenchmarkAppend(b *testing.B) {
	for _, fsync := range []queue.Fsync{queue.FsyncInterval, queue.FsyncAlways} {
		for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("fsync=%s/bytes=%d", fsync, size), func(b *testing.B) {
				c := queue.DefaultConfig()
				c.Fsync = fsync
				q := open(b, b.TempDir(), c)
				payload := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				var n uint64
				for b.Loop() {
					require.NoError(b, q.Append(b.Context(), queue.Logs, payload))
					if n++; n%64 == 0 {
						require.NoError(b, q.Ack(queue.Logs, n))
					}
				}
			})
		}
	}
}

func BenchmarkDeliver(b *testing.B) {
	q := open(b, b.TempDir(), queue.DefaultConfig())
	payload := make([]byte, 64<<10)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, q.Append(b.Context(), queue.Logs, payload))
		record, err := q.Peek(b.Context(), queue.Logs)
		require.NoError(b, err)
		require.NoError(b, q.Ack(queue.Logs, record.Sequence))
	}
}

// BenchmarkOpenFull opens a queue that holds a whole gigabyte.
func BenchmarkOpenFull(b *testing.B) {
	dir := b.TempDir()
	q := open(b, dir, queue.DefaultConfig())
	for q.Append(b.Context(), queue.Logs, make([]byte, 256<<10)) == nil {
	}
	require.NoError(b, q.Close())
	b.SetBytes(1 << 30)
	for b.Loop() {
		again, err := queue.Open(dir, queue.DefaultConfig(), quiet, nil)
		require.NoError(b, err)
		require.NoError(b, again.Close())
	}
}
