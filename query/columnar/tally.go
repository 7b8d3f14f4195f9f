package columnar

import (
	"cmp"
	"math"
	"slices"
)

// buckets splits a time range. Differences are taken as unsigned numbers because
// the range may be longer than an int64 says.
type buckets struct{ from, to, width int64 }

// of is the bucket of a timestamp in the range.
func (b buckets) of(ts int64) int {
	if b.width == 0 {
		return 0
	}
	return int(uint64(ts-b.from) / uint64(b.width))
}

// at is the bucket of a timestamp, and where it ends: exclusive, or maxTime when
// nothing in the range comes after it.
func (b buckets) at(ts int64) (bucket int, end int64) {
	if b.width == 0 {
		return 0, maxTime
	}
	bucket = b.of(ts)
	past := uint64(ts-b.from) % uint64(b.width)
	rest := uint64(b.width) - past
	if uint64(b.to-ts) <= rest {
		return bucket, maxTime
	}
	return bucket, ts + int64(rest)
}

// count is how many buckets there are, at most MaxInt32.
func (b buckets) count() int {
	if b.width == 0 || b.from >= b.to {
		return 1
	}
	return int(min(uint64(b.to-1-b.from)/uint64(b.width)+1, math.MaxInt32))
}

// maxDense is up to how many sums are kept in an array rather than in a map.
const maxDense = 1 << 14

// tally sums up rows and bytes by group and bucket.
type tally struct {
	groups, buckets int
	dense           []sums // group*buckets + bucket; nil when there are too many
	sparse          map[countKey]sums
}

type sums struct{ rows, bytes int64 }

type countKey struct{ group, bucket int }

func newTally(groups, buckets int) tally {
	t := tally{groups: groups, buckets: buckets}
	if groups > 0 && buckets <= maxDense/groups {
		t.dense = make([]sums, groups*buckets)
	} else {
		t.sparse = map[countKey]sums{}
	}
	return t
}

func (t *tally) add(group, bucket int, rows, bytes int64) {
	if t.dense != nil {
		s := &t.dense[group*t.buckets+bucket]
		s.rows += rows
		s.bytes += bytes
		return
	}
	k := countKey{group, bucket}
	s := t.sparse[k]
	s.rows += rows
	s.bytes += bytes
	t.sparse[k] = s
}

func (t *tally) merge(o *tally) {
	for i, s := range o.dense {
		t.dense[i].rows += s.rows
		t.dense[i].bytes += s.bytes
	}
	for k, s := range o.sparse {
		t.add(k.group, k.bucket, s.rows, s.bytes)
	}
}

// counts is the answer of a count.
func (t *tally) counts(c *counting) []Count {
	out := []Count{}
	for i, s := range t.dense {
		if s.rows > 0 {
			out = append(out, Count{Group: c.groups[i/t.buckets], Bucket: i % t.buckets, Rows: s.rows, Bytes: s.bytes})
		}
	}
	if t.sparse == nil {
		return out
	}
	for k, s := range t.sparse {
		out = append(out, Count{Group: c.groups[k.group], Bucket: k.bucket, Rows: s.rows, Bytes: s.bytes})
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Bucket, b.Bucket))
	})
	return out
}
