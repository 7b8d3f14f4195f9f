package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

var (
	metricClockSync = gauge("node_timex_sync_status",
		"1 while the clock is synchronized to a time server, else 0.")
	metricClockOffset = gauge("node_timex_offset_seconds", "How far the clock is off, as its discipline knows.")
	metricClockError  = gauge("node_timex_estimated_error_seconds", "Estimated error of the clock.")
	metricClockMax    = gauge("node_timex_maxerror_seconds", "Largest possible error of the clock.")
)

// clockState reads how well the clock is kept.
func clockState(w *writer) error {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return fmt.Errorf("read the state of the clock: %w", err)
	}
	synchronized := 1.0
	if state == unix.TIME_ERROR {
		synchronized = 0
	}
	unit := 1e-6
	if t.Status&unix.STA_NANO != 0 {
		unit = 1e-9
	}
	w.add(metricClockSync, synchronized)
	w.add(metricClockOffset, float64(t.Offset)*unit)
	w.add(metricClockError, float64(t.Esterror)*1e-6)
	w.add(metricClockMax, float64(t.Maxerror)*1e-6)
	return nil
}

func uname() (kernelName, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return kernelName{}, fmt.Errorf("uname: %w", err)
	}
	text := func(b [65]byte) string { return unix.ByteSliceToString(b[:]) }
	return kernelName{
		system: text(u.Sysname), release: text(u.Release), version: text(u.Version),
		machine: text(u.Machine), node: text(u.Nodename), domain: text(u.Domainname),
	}, nil
}
