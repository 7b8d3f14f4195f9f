//go:build !linux && !darwin

package columnar

import (
	"errors"
	"math"
	"os"
)

// freeDisk is not known on this platform; the bound on free space has no effect.
func freeDisk(string) (int64, error) { return math.MaxInt64, nil }

func diskSpace(string) (free, total int64, err error) { return math.MaxInt64, 0, nil }

// lockDir cannot keep a second process out on this platform, so it refuses.
func lockDir(string) (*os.File, error) {
	return nil, errors.New("the store needs flock, which this platform lacks")
}
