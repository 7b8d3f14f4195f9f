package queue

import (
	"fmt"
	"time"
)

// Record is one record of a stream.
type Record struct {
	Stream   Stream
	Sequence uint64
	Enqueued time.Time // when it was appended, to the millisecond
	Payload  []byte
}

// cursor points at the oldest record that is not acknowledged.
type cursor struct {
	valid    bool
	segment  *segment
	offset   int64
	expected uint64 // sequence of the first record at or after offset, were none damaged
	header   frameHeader
}

// locate moves the cursor to the oldest record that is not acknowledged, and
// counts the records that it finds missing on the way.
func (j *journal) locate() {
	j.cursor.valid = false
	for i := j.cursorSegment(); i < len(j.segments); i++ {
		s := j.segments[i]
		if j.cursor.segment != s {
			j.cursor = cursor{segment: s, offset: int64(len(fileMagic)), expected: s.first}
		}
		if s.last <= j.acked {
			continue
		}
		if j.locateIn(s) {
			return
		}
	}
}

// locateIn moves the cursor within s, and says whether it found a record.
func (j *journal) locateIn(s *segment) bool {
	for {
		h, at, skipped, err := s.nextRecord(j.cursor.offset)
		found := err == nil
		missingTo := s.last + 1
		if found {
			missingTo = h.sequence
		}
		if from := max(j.cursor.expected, j.acked+1); from < missingTo {
			j.lost(s, from, missingTo-from, skipped)
		}
		if !found {
			j.cursor.offset, j.cursor.expected = s.size, s.last+1
			return false
		}
		j.cursor.offset, j.cursor.expected, j.cursor.header = at, h.sequence, h
		if h.sequence > j.acked {
			j.cursor.valid = true
			return true
		}
		j.cursor.offset, j.cursor.expected = at+h.size(), h.sequence+1
	}
}

// cursorSegment is the index of the cursor's segment, or of the oldest one.
func (j *journal) cursorSegment() int {
	for i, s := range j.segments {
		if s == j.cursor.segment {
			return i
		}
	}
	return 0
}

// lost gives up n records that cannot be read.
func (j *journal) lost(s *segment, from, n uint64, reason error) {
	j.pending -= int(n)
	j.metrics.dropped.WithLabelValues(string(j.stream), DropCorrupt).Add(float64(n))
	j.log.Error("records are lost to damage on disk",
		"segment", s.path, "first_sequence", from, "records", n, "err", reason)
}

// peek returns the oldest record that is not acknowledged, or none.
func (j *journal) peek() (Record, bool, <-chan struct{}, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return Record{}, false, nil, ErrClosed
	}
	j.expire()
	for j.cursor.valid {
		c := j.cursor
		r := c.segment.reader()
		f, err := r.frame(c.offset, c.header)
		if err == nil {
			return Record{
				Stream: j.stream, Sequence: f.sequence,
				Enqueued: time.UnixMilli(f.time), Payload: f.payload,
			}, true, nil, nil
		}
		j.lost(c.segment, c.header.sequence, 1, err)
		j.pending++ // advance takes it away again
		if _, err := j.advance(c.header.sequence); err != nil {
			return Record{}, false, nil, err
		}
	}
	return Record{}, false, j.appended, nil
}

// expire drops what is older than the maximum age.
func (j *journal) expire() {
	oldest := j.now().Add(-time.Duration(j.config.MaxAge)).UnixMilli()
	var last uint64
	var n int
	for j.cursor.valid && j.cursor.header.time < oldest {
		last = j.cursor.header.sequence
		n++
		j.step()
	}
	if n == 0 {
		return
	}
	j.metrics.dropped.WithLabelValues(string(j.stream), DropExpired).Add(float64(n))
	j.log.Error("records are dropped because they are older than the maximum age",
		"records", n, "max_age", j.config.MaxAge.String(), "last_sequence", last)
	j.persistAcked()
	j.reclaim()
}

// step takes the oldest record out of what is pending.
func (j *journal) step() {
	c := &j.cursor
	j.acked = c.header.sequence
	j.pending--
	c.offset += c.header.size()
	c.expected = c.header.sequence + 1
	j.locate()
}

// advance acknowledges the records up to sequence and returns how many they were.
func (j *journal) advance(sequence uint64) (int, error) {
	if sequence >= j.next {
		return 0, fmt.Errorf("acknowledge %s/%d: the newest sequence is %d", j.stream, sequence, j.next-1)
	}
	var n int
	for j.cursor.valid && j.cursor.header.sequence <= sequence {
		n++
		j.step()
	}
	if n > 0 {
		j.persistAcked()
		j.reclaim()
	}
	return n, nil
}

// persistAcked keeps the acknowledged position. Failing that, records are sent
// again under the same ids after a restart, so it is no error of the caller.
func (j *journal) persistAcked() {
	if err := j.mark.set(j.acked); err != nil {
		_ = j.failed("ack", err)
		j.log.Error("the acknowledged position cannot be kept", "err", err)
	}
}

// finish acknowledges the records up to sequence and counts them with count.
func (j *journal) finish(sequence uint64, count func(n int)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	n, err := j.advance(sequence)
	if n > 0 {
		count(n)
	}
	return err
}
