package host

import (
	"errors"
	"io/fs"
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/yagura-dev/yagura/collector/host/cgroup"
)

// microsecondsPerSecond is the unit of pressure totals.
const microsecondsPerSecond = 1e6

// pressureFile is one of /proc/pressure and the metrics of its two lines; the
// kernel's "full" for processors means nothing for a whole node.
type pressureFile struct {
	file          cgroup.File
	waiting, full *metric
}

// pressureSource reads pressure stall information. Without it there are no
// series, which is said once and is no failure.
type pressureSource struct {
	files  []*pressureFile
	buffer []byte
	log    *slog.Logger
	absent bool
}

func newPressureSource(c *Collector) (*source, error) {
	s := &pressureSource{log: c.log}
	add := func(resource string, waiting, full *metric) {
		s.files = append(s.files, &pressureFile{
			file: cgroup.NewFile(c.proc("pressure", resource), c.budget), waiting: waiting, full: full,
		})
	}
	add("cpu", counter("node_pressure_cpu_waiting_seconds_total",
		"Time in which at least one task waited for a processor."), nil)
	add("memory", counter("node_pressure_memory_waiting_seconds_total",
		"Time in which at least one task waited for memory."),
		counter("node_pressure_memory_stalled_seconds_total", "Time in which every task waited for memory."))
	add("io", counter("node_pressure_io_waiting_seconds_total",
		"Time in which at least one task waited for I/O."),
		counter("node_pressure_io_stalled_seconds_total", "Time in which every task waited for I/O."))
	add("irq", nil, counter("node_pressure_irq_stalled_seconds_total",
		"Time in which interrupts kept every task from running."))
	return &source{collect: s.collect, close: s.close}, nil
}

func (s *pressureSource) collect(w *writer) error {
	found := 0
	for _, f := range s.files {
		content, err := f.file.Read(&s.buffer)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // an older kernel, or one started with psi=0
		}
		if err != nil {
			return err
		}
		found++
		stall := cgroup.ParsePressure(content)
		if f.waiting != nil && stall.HasSome {
			w.add(f.waiting, float64(stall.Some)/microsecondsPerSecond)
		}
		if f.full != nil && stall.HasFull {
			w.add(f.full, float64(stall.Full)/microsecondsPerSecond)
		}
	}
	if found == 0 && !s.absent {
		s.absent = true
		s.log.Info("this kernel gives no pressure stall information, so there are no node_pressure series")
	}
	return nil
}

func (s *pressureSource) close() {
	for _, f := range s.files {
		f.file.Close()
	}
}
