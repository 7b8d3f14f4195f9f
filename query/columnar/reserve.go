package columnar

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Dropping a part needs a new manifest first. On a disk that somebody has filled to
// the last byte there would be no room for it, and the store could never make room
// either: so it keeps a file that it gives up then.

// reserveBytes is the least size of the reserve.
const reserveBytes = 64 << 10

// diskIsFull reports whether the error says that there is no room left.
func diskIsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func (s *Store) reservePath() string { return filepath.Join(s.dir, "RESERVE") }

// keepReserve makes sure that there is room for a manifest of twice the size. What
// it cannot get now it gets after a later commit. The caller holds commitMu.
func (s *Store) keepReserve() {
	want := max(reserveBytes, 2*s.manifestBytes)
	if s.reserve >= want {
		return
	}
	if free, err := freeDisk(s.dir); err != nil || free < 2*want {
		return
	}
	// The bytes are written, because a hole reserves nothing.
	if err := os.WriteFile(s.reservePath(), make([]byte, want), 0o644); err != nil {
		_ = os.Remove(s.reservePath())
		s.reserve = 0
		return
	}
	s.reserve = want
}

// spendReserve gives the reserve up, and reports whether there was one.
func (s *Store) spendReserve() bool {
	s.reserve = 0
	if err := os.Remove(s.reservePath()); err != nil {
		return false
	}
	s.log.Warn("the disk is full; used the reserve to write the manifest")
	return true
}
