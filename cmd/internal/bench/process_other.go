//go:build !linux

package bench

import "time"

func processCPU(pid int) (time.Duration, error) { return statCPU(pid) }

func syncDisks() {}
