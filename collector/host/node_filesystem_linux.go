package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func statfs(path string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return space{}, fmt.Errorf("statfs %s: %w", path, err)
	}
	block := float64(s.Bsize)
	return space{
		size: float64(s.Blocks) * block, free: float64(s.Bfree) * block, available: float64(s.Bavail) * block,
		files: float64(s.Files), filesFree: float64(s.Ffree),
	}, nil
}
