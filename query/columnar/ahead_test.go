package columnar

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// What is decoded before it is needed, and what the merge works on, are together
// within the query's memory; and as long as there is some, blocks are decoded ahead.
func TestAheadKeepsToTheMemory(t *testing.T) {
	cfg := Config{BlockBytes: 16 << 10, QueryMemoryBytes: 96 << 10, QueryWorkers: 8, MinFreeDisk: -1}
	s, err := Open(t.TempDir(), Options{Config: cfg, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	st := Stream{Labels: labels.FromStrings("app", "a")}
	const rows = 10_000
	for i := range rows {
		st.Rows = append(st.Rows, Row{Timestamp: int64(i), Line: fmt.Sprintf("line %d of many that are long enough to make blocks", i)})
	}
	if _, err := s.Append(t.Context(), Batch{Table: Logs, Streams: []Stream{st}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := s.Select(t.Context(), Query{Table: Logs, To: rows, Lines: []LinePredicate{{Op: Contains, Text: "many"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	c := found.(*cursor)
	most, seen := 0, 0
	for {
		b, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			break
		}
		seen += b.Len()
		held, ahead := int64(0), 0
		for _, p := range c.heap.items {
			switch src := p.src.(type) {
			case nil:
				held += decodedBytes(int64(p.rows.(*blockRows).reader.meta.raw))
			case *blockSource:
				if src.decoded != nil {
					held += decodedBytes(int64(src.meta.raw))
					ahead++
				}
			}
		}
		if held > cfg.QueryMemoryBytes {
			t.Fatalf("%d bytes of blocks are decoded, %d blocks of them ahead; the query may take %d", held, ahead, cfg.QueryMemoryBytes)
		}
		most = max(most, ahead)
	}
	if seen != rows || most == 0 || c.ahead.room <= 0 {
		t.Fatalf("%d rows, up to %d blocks ahead, room for %d bytes", seen, most, c.ahead.room)
	}
}
