package columnar

import (
	"context"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

// Retention and a purge may find the same part due at the same time. The second to
// come must leave it alone: a part that is let go of twice takes its streams, which
// newer parts hold too, out of the registry.
func TestPartIsDroppedOnce(t *testing.T) {
	ctx := context.Background()
	s, err := Open(t.TempDir(), Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	add := func(ts int64) {
		t.Helper()
		_, err := s.Append(ctx, Batch{Table: Logs, Streams: []Stream{{
			Labels: labels.FromStrings("app", "a"), Rows: []Row{{Timestamp: ts, Line: "x"}},
		}}})
		require.NoError(t, err)
		require.NoError(t, s.Flush(ctx))
	}
	const day = 24 * 60 * 60 * 1_000_000_000
	add(1)
	add(10 * day)
	s.mu.RLock()
	oldest := s.parts[0]
	s.mu.RUnlock()
	before := s.diskBytes()

	s.commitMu.Lock()
	require.NoError(t, s.dropParts([]droppedPart{{oldest, dropAge}}))
	after := s.diskBytes()
	require.NoError(t, s.dropParts([]droppedPart{{oldest, dropDeletion}}))
	require.NoError(t, s.commitParts(s.manifest, nil, []*part{oldest}, func() {}))
	s.commitMu.Unlock()

	require.Less(t, after, before)
	require.Equal(t, after, s.diskBytes(), "its bytes are taken off once")
	streams, err := s.Streams(ctx, Logs, nil, 0, 11*day, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "app", "a")})
	require.NoError(t, err)
	require.Len(t, streams, 1, "the stream is known while a part has rows of it")
}
