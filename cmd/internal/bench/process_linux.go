package bench

import (
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processCPU is the CPU time that a process has used. The kernel's clock of the
// process counts in nanoseconds, where /proc/PID/stat would count a query of 3 ms as
// 0 or 10; that one is read where the clock cannot be.
func processCPU(pid int) (time.Duration, error) {
	// MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of include/linux/posix-timers.h.
	const schedule = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedule), &t); err != nil {
		return statCPU(pid)
	}
	return time.Duration(t.Nano()), nil
}

func syncDisks() { unix.Sync() }

// allocated is how many bytes of disk a file has.
func allocated(info fs.FileInfo) int64 {
	const block = 512 // st_blocks counts these, whatever the file system's own are
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * block
	}
	return info.Size()
}
