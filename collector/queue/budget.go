package queue

import "sync"

// budget shares the bytes of the disk among the streams. Every stream keeps a
// share that the others cannot take, so that logs piling up because their receiver
// refuses them never stop the metrics that decisions are made from.
type budget struct {
	max   int64
	share int64

	mu   sync.Mutex
	used map[Stream]int64
	room chan struct{} // closed and replaced whenever bytes are freed
}

func newBudget(max int64) *budget {
	b := &budget{max: max, share: max / 16, used: map[Stream]int64{}, room: make(chan struct{})}
	for _, s := range Streams() {
		b.used[s] = 0
	}
	return b
}

// limit is how many bytes s may hold while the others hold what they do.
func (b *budget) limit(s Stream) int64 {
	left := b.max
	for other, used := range b.used {
		if other != s {
			left -= max(used, b.share)
		}
	}
	return left
}

// reserve takes n bytes for s, or says that they are not there.
func (b *budget) reserve(s Stream, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used[s]+n > b.limit(s) {
		return false
	}
	b.used[s] += n
	return true
}

// take takes n bytes for s even if they are not there: for what must be written
// for space to be freed at all.
func (b *budget) take(s Stream, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used[s] += n
}

// free gives back n bytes of s and wakes those who wait for room.
func (b *budget) free(s Stream, n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used[s] -= n
	close(b.room)
	b.room = make(chan struct{})
}

// freed returns a channel that is closed when bytes are freed after this call.
func (b *budget) freed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.room
}

// largest is the most bytes that one record may ever have, its frame included.
func (b *budget) largest() int64 {
	return b.max - int64(len(Streams())-1)*b.share
}
