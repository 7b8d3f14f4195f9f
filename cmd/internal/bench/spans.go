package bench

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

type (
	traceID [16]byte
	spanID  [8]byte
)

func (id traceID) String() string { return hex.EncodeToString(id[:]) }
func (id spanID) String() string  { return hex.EncodeToString(id[:]) }

// span is one span of the public data. Times are nanoseconds since 1970.
type span struct {
	trace      traceID
	id, parent spanID // parent is zero for a root
	pod        int    // in spanData.pods
	name       string
	start, end int64
}

// users is how many values the attribute user.id has.
const users = 100_000

// hash is what a span's invented attributes follow from: the data has none of its own.
func (s *span) hash() uint64 {
	h := fnv.New64a()
	h.Write(s.trace[:])
	h.Write(s.id[:])
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}

func (s *span) user() string { return fmt.Sprintf("user-%05d", s.hash()>>16%users) }

// status is the HTTP status: 500 for one span in fifty.
func (s *span) status() int64 {
	if s.hash()%100 < 2 {
		return 500
	}
	return 200
}

// spanData is the spans of the public data, by their start. Only one copy is in
// memory, however many are made of it.
type spanData struct {
	copies int
	seed   uint64
	spans  []span
	pods   []string
}

const (
	// spansEnd is how long before the data's end its newest span ends.
	spansEnd = 10 * time.Minute
	// traceSpan is the time before the end that holds all spans.
	traceSpan = 10 * time.Hour
)

// readSpans reads the public spans, without exact repetitions, and shifts them to end
// shortly before end. A sample above 0 bounds how many are read.
func readSpans(ctx context.Context, data string, end time.Time, copies, sample int, seed uint64) (*spanData, error) {
	d := &spanData{copies: copies, seed: seed}
	type key struct {
		trace traceID
		id    spanID
	}
	type placed struct {
		span
		file string
	}
	var spans []placed
	seen := map[key]bool{}
	pods := map[string]int{}
	err := readServices(ctx, data, "trace", func(file string, record []string) error {
		s, pod, err := parseSpan(record)
		if err != nil {
			return err
		}
		if k := (key{s.trace, s.id}); seen[k] {
			return nil
		} else {
			seen[k] = true
		}
		n, ok := pods[pod]
		if !ok {
			n = len(d.pods)
			pod = strings.Clone(pod)
			pods[pod] = n
			d.pods = append(d.pods, pod)
		}
		s.pod = n
		spans = append(spans, placed{s, file})
		if len(spans) == sample {
			return errEnough
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(spans) == 0 {
		return nil, fmt.Errorf("no spans in %s", data)
	}
	slices.SortStableFunc(spans, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.start, b.start), strings.Compare(a.file, b.file))
	})
	var last int64
	for i := range spans {
		last = max(last, spans[i].end)
	}
	shift := end.Add(-spansEnd).UnixNano() - last
	d.spans = make([]span, len(spans))
	for i := range spans {
		d.spans[i] = spans[i].span
		d.spans[i].start += shift
		d.spans[i].end += shift
	}
	return d, nil
}

// parseSpan reads TraceID, SpanID, ParentID, PodName, OperationName,
// StartTimeUnixNano, EndTimeUnixNano, Duration.
func parseSpan(record []string) (span, string, error) {
	if len(record) != 8 {
		return span{}, "", fmt.Errorf("a span of %d columns, want 8", len(record))
	}
	s := span{name: strings.Clone(record[4])}
	_, err1 := hex.Decode(s.trace[:], []byte(record[0]))
	_, err2 := hex.Decode(s.id[:], []byte(record[1]))
	var err3 error
	if record[2] != "root" {
		_, err3 = hex.Decode(s.parent[:], []byte(record[2]))
	}
	var err4, err5 error
	s.start, err4 = strconv.ParseInt(record[5], 10, 64)
	s.end, err5 = strconv.ParseInt(record[6], 10, 64)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return span{}, "", fmt.Errorf("a span: %w", err)
	}
	return s, record[3], nil
}

// at is span i of copy k: the same at almost the same time, with other ids.
func (d *spanData) at(k, i int) span {
	s := d.spans[i]
	if k == 0 {
		return s
	}
	mask := mix(d.seed ^ uint64(k)<<32)
	xor := func(b []byte, mask uint64) {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^mask)
	}
	xor(s.trace[:8], mask)
	xor(s.trace[8:], mix(mask))
	xor(s.id[:], mix(mask+1))
	if s.parent != (spanID{}) {
		xor(s.parent[:], mix(mask+1))
	}
	shift := int64(k) * int64(copyShift)
	s.start += shift
	s.end += shift
	return s
}

// each calls fn with all spans of all copies, almost by start: copies of a span
// follow each other.
func (d *spanData) each(ctx context.Context, fn func(*span) error) error {
	for i := range d.spans {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		for k := range d.copies {
			s := d.at(k, i)
			if err := fn(&s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *spanData) service(s *span) string { return workload(d.pods[s.pod]) }
