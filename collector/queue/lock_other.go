//go:build !unix

package queue

import (
	"errors"
	"fmt"
	"os"
)

func lockFile(path string) (*os.File, error) {
	return nil, fmt.Errorf("lock %s: %w", path, errors.ErrUnsupported)
}
