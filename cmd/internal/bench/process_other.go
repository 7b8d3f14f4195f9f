//go:build !linux

package bench

import (
	"io/fs"
	"time"
)

func processCPU(pid int) (time.Duration, error) { return statCPU(pid) }

func syncDisks() {}

func allocated(info fs.FileInfo) int64 { return info.Size() }
