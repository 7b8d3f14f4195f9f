package podlogs_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/collector/podlogs"
	"github.com/yagura-dev/yagura/collector/queue"
)

// sinkQueue is a real queue that acknowledges at once, so that it never fills, and
// tells how far the file was read.
type sinkQueue struct {
	*queue.Queue
	offset chan int64
}

func (s sinkQueue) AppendWithPositions(ctx context.Context, stream queue.Stream, payload []byte, p queue.Positions) error {
	if err := s.Queue.AppendWithPositions(ctx, stream, payload, p); err != nil {
		return err
	}
	record, err := s.Peek(ctx, stream)
	if err != nil {
		return err
	}
	if err := s.Ack(stream, record.Sequence); err != nil {
		return err
	}
	for _, encoded := range p {
		var position struct{ Offset int64 }
		if err := json.Unmarshal(encoded, &position); err != nil {
			return err
		}
		s.offset <- position.Offset
	}
	return nil
}

// BenchmarkTail measures the way of container log lines from file to disk queue.
func BenchmarkTail(b *testing.B) {
	var text []byte
	lines := 0
	for _, log := range realLogs(b) {
		for _, line := range log {
			text = append(text, cri("stdout F "+line)...)
			lines++
		}
	}
	dir := b.TempDir()
	container := filepath.Join(dir, "pods", "a_b_c", "d")
	require.NoError(b, os.MkdirAll(container, 0o700))
	file, err := os.Create(filepath.Join(container, "0.log"))
	require.NoError(b, err)
	defer file.Close()

	q, err := queue.Open(filepath.Join(dir, "queue"), queue.DefaultConfig(), quiet, nil)
	require.NoError(b, err)
	defer func() { require.NoError(b, q.Close()) }()
	sink := sinkQueue{q, make(chan int64, 1)}
	config := podlogs.DefaultConfig()
	config.PodsDir = filepath.Join(dir, "pods")
	config.Interval = model.Duration(time.Millisecond)
	tailer, err := podlogs.New(config, sink, nil, quiet, nil)
	require.NoError(b, err)

	total := int64(0)
	for range b.N {
		_, err := file.Write(text)
		require.NoError(b, err)
		total += int64(len(text))
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	b.ResetTimer()
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- tailer.Run(ctx) }()
	for <-sink.offset < total {
	}
	b.StopTimer()
	cancel()
	require.NoError(b, <-done)
	b.ReportMetric(float64(b.N*lines)/b.Elapsed().Seconds(), "lines/s")
}
