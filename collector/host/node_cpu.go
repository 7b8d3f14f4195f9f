package host

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/yagura-dev/yagura/collector/host/cgroup"
)

var (
	metricCPU = counter("node_cpu_seconds_total",
		"Time of each processor by what it was doing.")
	metricGuest = counter("node_cpu_guest_seconds_total",
		"Time of each processor given to guests, which is also in user and nice.")
)

// cpuModes are the columns of a processor's line in /proc/stat, then the guests'.
var cpuModes = [...]string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}

var guestModes = [...]string{"user", "nice"}

// ticksPerSecond is the kernel's unit for times in /proc/stat, the same on every
// architecture that Go runs on.
const ticksPerSecond = 100

// cpuSource reads processor times.
type cpuSource struct {
	file   cgroup.File
	buffer []byte
	names  []string // processor numbers as text
	last   map[string][]uint64
}

func newCPUSource(c *Collector) (*source, error) {
	s := &cpuSource{file: cgroup.NewFile(c.proc("stat"), c.budget), last: make(map[string][]uint64)}
	return &source{collect: s.collect, close: s.file.Close}, nil
}

func (s *cpuSource) collect(w *writer) error {
	content, err := s.file.Read(&s.buffer)
	if err != nil {
		return err
	}
	processors := 0
	for line := range bytes.Lines(content) {
		// "cpu" alone is the sum; the processors' lines follow it.
		rest, ok := bytes.CutPrefix(line, []byte("cpu"))
		if !ok || len(rest) == 0 || rest[0] == ' ' {
			continue
		}
		fields := bytes.Fields(rest)
		number := s.name(fields[0])
		times, err := s.times(number, fields[1:])
		if err != nil {
			return err
		}
		for i, ticks := range times {
			seconds := float64(ticks) / ticksPerSecond
			if i < len(cpuModes) {
				w.add(metricCPU, seconds, "cpu", number, "mode", cpuModes[i])
			} else if i < len(cpuModes)+len(guestModes) {
				w.add(metricGuest, seconds, "cpu", number, "mode", guestModes[i-len(cpuModes)])
			}
		}
		processors++
	}
	if processors == 0 {
		return fmt.Errorf("%s names no processor", "stat")
	}
	return nil
}

// name returns a processor's number without allocating it each time.
func (s *cpuSource) name(field []byte) string {
	for _, name := range s.names {
		if name == string(field) {
			return name
		}
	}
	name := string(field)
	s.names = append(s.names, name)
	return name
}

// maxBackwards is how far a time may go backwards and still be the kernel's noise.
const maxBackwards = 3 * ticksPerSecond

// times parses the times of a processor. The kernel computes idle and iowait
// from other clocks, and they now and then go back by a tick; at one second's
// distance a query would take that for a restart and see the whole counter as
// new. A larger step back is a processor that was taken out and put in again.
func (s *cpuSource) times(number string, fields [][]byte) ([]uint64, error) {
	times := s.last[number]
	if len(times) != len(fields) {
		times = make([]uint64, len(fields))
	}
	for i, field := range fields {
		value, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("time %d of cpu %s: %w", i+1, number, err)
		}
		if value < times[i] && times[i]-value <= maxBackwards {
			continue
		}
		times[i] = value
	}
	s.last[number] = times
	return times, nil
}
