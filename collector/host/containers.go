package host

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/yagura-dev/yagura/collector/host/cgroup"
)

// slot is the place of a series among those of a cgroup.
type slot int

// The series that a cgroup has once; those with a device or interface are found
// by their labels.
const (
	slotCPUUsage slot = iota
	slotCPUUser
	slotCPUSystem
	slotPeriods
	slotThrottledPeriods
	slotThrottledSeconds
	slotMemoryUsage
	slotMemoryWorkingSet
	slotMemoryRSS
	slotMemoryCache
	slotMemoryMapped
	slotMemorySwap
	slotMemoryInactiveFile
	slotMemoryActiveFile
	slotMemoryKernel
	slotOOM
	slotCPUWaiting
	slotCPUStalled
	slotMemoryWaiting
	slotMemoryStalled
	slotIOWaiting
	slotIOStalled
	slotQuota
	slotPeriod
	slotShares
	slotMemoryLimit
	slotMemoryMax
	slotMemoryFailures
	slotTasks
	slotTasksMax
	slotStart
	slotSeen
	slots
)

// containerMetrics are the metrics of the slots.
var containerMetrics = [slots]*metric{
	slotCPUUsage:           counter("container_cpu_usage_seconds_total", "Processor time."),
	slotCPUUser:            counter("container_cpu_user_seconds_total", "Processor time in user mode."),
	slotCPUSystem:          counter("container_cpu_system_seconds_total", "Processor time in the kernel."),
	slotPeriods:            counter("container_cpu_cfs_periods_total", "Periods under a processor quota."),
	slotThrottledPeriods:   counter("container_cpu_cfs_throttled_periods_total", "Periods in which the quota was used up."),
	slotThrottledSeconds:   counter("container_cpu_cfs_throttled_seconds_total", "Time held back by the quota."),
	slotMemoryUsage:        gauge("container_memory_usage_bytes", "Memory in use, page cache included."),
	slotMemoryWorkingSet:   gauge("container_memory_working_set_bytes", "Memory in use without inactive page cache."),
	slotMemoryRSS:          gauge("container_memory_rss", "Anonymous memory, in bytes."),
	slotMemoryCache:        gauge("container_memory_cache", "Page cache, in bytes."),
	slotMemoryMapped:       gauge("container_memory_mapped_file", "Mapped files, in bytes."),
	slotMemorySwap:         gauge("container_memory_swap", "Memory that was swapped out, in bytes."),
	slotMemoryInactiveFile: gauge("container_memory_total_inactive_file_bytes", "Page cache that would be given up first."),
	slotMemoryActiveFile:   gauge("container_memory_total_active_file_bytes", "Page cache that was used again."),
	slotMemoryKernel:       gauge("container_memory_kernel_usage", "Memory of the kernel for it, in bytes."),
	slotOOM:                counter("container_oom_events_total", "Processes killed for memory."),
	slotCPUWaiting:         counter("container_pressure_cpu_waiting_seconds_total", "Time in which a task waited for a processor."),
	slotCPUStalled:         counter("container_pressure_cpu_stalled_seconds_total", "Time in which every task waited for a processor."),
	slotMemoryWaiting:      counter("container_pressure_memory_waiting_seconds_total", "Time in which a task waited for memory."),
	slotMemoryStalled:      counter("container_pressure_memory_stalled_seconds_total", "Time in which every task waited for memory."),
	slotIOWaiting:          counter("container_pressure_io_waiting_seconds_total", "Time in which a task waited for I/O."),
	slotIOStalled:          counter("container_pressure_io_stalled_seconds_total", "Time in which every task waited for I/O."),
	slotQuota:              gauge("container_spec_cpu_quota", "Processor time allowed per period, in microseconds."),
	slotPeriod:             gauge("container_spec_cpu_period", "The period of the quota, in microseconds."),
	slotShares:             gauge("container_spec_cpu_shares", "Weight against others, 1024 for one processor."),
	slotMemoryLimit:        gauge("container_spec_memory_limit_bytes", "Memory limit; 0 means none."),
	slotMemoryMax:          gauge("container_memory_max_usage_bytes", "Highest memory use so far."),
	slotMemoryFailures:     counter("container_memory_failcnt", "How often the memory limit was hit."),
	slotTasks:              gauge("container_threads", "Threads."),
	slotTasksMax:           gauge("container_threads_max", "Threads allowed; 0 means no limit."),
	slotStart:              gauge("container_start_time_seconds", "When it started, in seconds since the Unix epoch."),
	slotSeen:               gauge("container_last_seen", "When it was last seen, in seconds since the Unix epoch."),
}

// tracked is a cgroup that is being reported.
type tracked struct {
	ref       cgroup.Ref
	reader    *cgroup.Reader
	first     time.Time
	names     identity
	resolved  bool // the names are final
	started   time.Time
	series    [slots]series
	seenInRun uint64
}

// containerSource reads all container groups of one lane from every cgroup.
type containerSource struct {
	*Collector
	groups  []string
	tree    *cgroup.Tree
	tracked map[string]*tracked
	scratch cgroup.Scratch
	devices devices
	network *podNetwork
	// Which groups are read.
	cpu, memory, pressure, io, spec bool
	run                             uint64
	left                            int
}

func (c *Collector) newContainerSource(names []string) (*source, error) {
	root := c.config.CgroupRoot
	if root == "" {
		root = ownRoot(c.proc("self", "cgroup"))
	}
	tree, err := cgroup.Open(c.config.Cgroup, cgroup.Limits{
		Root: root, Depth: c.config.CgroupDepth, Cgroups: c.config.MaxCgroups,
	}, c.budget)
	if err != nil {
		return nil, err
	}
	has := func(name string) bool { return slices.Contains(names, name) }
	s := &containerSource{
		Collector: c, groups: names, tree: tree, tracked: make(map[string]*tracked),
		devices: devices{sys: c.config.Sys, names: make(map[[2]uint64]string)},
		cpu:     has(groupContainerCPU), memory: has(groupContainerMemory), pressure: has(groupContainerPressure),
		io: has(groupContainerIO), spec: has(groupContainerSpec),
	}
	if has(groupContainerNetwork) {
		if s.network, err = newPodNetwork(c); err != nil {
			return nil, err
		}
	}
	return &source{name: "containers", collect: s.collect, close: s.close}, nil
}

// ownRoot returns what lies above "kubepods" in the cgroup of this process: the
// kubelet that runs the collector may be one of several on a machine, each with a
// cgroup root of its own.
func ownRoot(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return "/"
	}
	for line := range strings.Lines(string(content)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		if root, _, found := strings.Cut(fields[2], "/kubepods"); found && root != "" && !strings.Contains(root, "..") {
			return root
		}
	}
	return "/"
}

func (s *containerSource) close() {
	for _, t := range s.tracked {
		t.reader.Close()
	}
}

func (s *containerSource) collect(w *writer) error {
	found, left := s.tree.Walk()
	s.run++
	for _, ref := range found {
		t := s.tracked[ref.Path]
		if t == nil {
			t = &tracked{ref: ref, reader: s.tree.NewReader(ref.Path), first: s.clock.Now()}
			s.tracked[ref.Path] = t
		}
		t.seenInRun = s.run
		s.read(w, t)
	}
	for path, t := range s.tracked {
		gone := t.seenInRun != s.run
		for i := range t.series {
			if r := &t.series[i]; r.active() && (gone || r.tick != w.tick) {
				w.end(r)
			}
		}
		if gone {
			t.reader.Close()
			delete(s.tracked, path)
		}
	}
	groups := strings.Join(s.groups, ",")
	s.metrics.cgroups.WithLabelValues(groups).Set(float64(len(found)))
	s.metrics.beyond.WithLabelValues(groups).Set(float64(left))
	if left > 0 && s.left == 0 {
		s.log.Warn("more cgroups than maxCgroups, the others are not reported", "maxCgroups", s.config.MaxCgroups, "leftOut", left)
	}
	s.left = left
	return nil
}

// read reads one cgroup. One that disappears meanwhile is no error: its series
// end with this tick.
func (s *containerSource) read(w *writer, t *tracked) {
	if !s.identify(w, t) {
		return
	}
	for _, part := range []struct {
		wanted bool
		read   func(*writer, *tracked) error
	}{
		{s.cpu, s.readCPU}, {s.memory, s.readMemory}, {s.pressure, s.readPressure},
		{s.io, s.readIO}, {s.spec, s.readSpec},
		{s.network != nil && t.ref.Kind == cgroup.Pod, s.readNetwork},
	} {
		if !part.wanted {
			continue
		}
		err := part.read(w, t)
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, cgroup.ErrGone):
			s.tree.Vanished(t.ref.Path)
			return
		default:
			s.metrics.failures.WithLabelValues("containers").Inc()
			s.log.Debug("cannot read a cgroup", "cgroup", t.ref.Path, "err", err)
		}
	}
}

// put writes the value of a slot.
func (s *containerSource) put(w *writer, t *tracked, at slot, value float64) {
	r := &t.series[at]
	if !r.active() {
		pairs := t.names.pairs
		if at == slotCPUUsage {
			// cAdvisor can tell processors apart; what the kubelet lets through, and
			// every dashboard expects, is their total.
			pairs = append(slices.Clip(pairs), "cpu", "total")
		}
		r.metric = containerMetrics[at]
		r.labels = w.labels(r.metric, pairs)
	}
	w.put(r, value)
}

func (s *containerSource) readCPU(w *writer, t *tracked) error {
	c, err := t.reader.CPU(&s.scratch)
	if err != nil {
		return err
	}
	s.put(w, t, slotCPUUsage, float64(c.Usage)/1e9)
	s.put(w, t, slotCPUUser, float64(c.User)/1e9)
	s.put(w, t, slotCPUSystem, float64(c.System)/1e9)
	if c.Limited {
		s.put(w, t, slotPeriods, float64(c.Periods))
		s.put(w, t, slotThrottledPeriods, float64(c.ThrottledPeriods))
		s.put(w, t, slotThrottledSeconds, float64(c.Throttled)/1e9)
	}
	return nil
}

func (s *containerSource) readMemory(w *writer, t *tracked) error {
	m, err := t.reader.Memory(&s.scratch)
	if err != nil {
		return err
	}
	s.put(w, t, slotMemoryUsage, float64(m.Usage))
	s.put(w, t, slotMemoryWorkingSet, float64(m.WorkingSet()))
	s.put(w, t, slotMemoryRSS, float64(m.RSS))
	s.put(w, t, slotMemoryCache, float64(m.Cache))
	s.put(w, t, slotMemoryMapped, float64(m.MappedFile))
	s.put(w, t, slotMemorySwap, float64(m.Swap))
	s.put(w, t, slotMemoryInactiveFile, float64(m.InactiveFile))
	s.put(w, t, slotMemoryActiveFile, float64(m.ActiveFile))
	if s.tree.Version() == cgroup.V2 {
		s.put(w, t, slotMemoryKernel, float64(m.Kernel))
	}
	if m.HasOOM {
		s.put(w, t, slotOOM, float64(m.OOMKills))
	}
	return nil
}

func (s *containerSource) readPressure(w *writer, t *tracked) error {
	p, err := t.reader.Pressure(&s.scratch)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		stall            cgroup.Stall
		waiting, stalled slot
	}{
		{p.CPU, slotCPUWaiting, slotCPUStalled},
		{p.Memory, slotMemoryWaiting, slotMemoryStalled},
		{p.IO, slotIOWaiting, slotIOStalled},
	} {
		if part.stall.HasSome {
			s.put(w, t, part.waiting, float64(part.stall.Some)/microsecondsPerSecond)
		}
		if part.stall.HasFull {
			s.put(w, t, part.stalled, float64(part.stall.Full)/microsecondsPerSecond)
		}
	}
	return nil
}

func (s *containerSource) readSpec(w *writer, t *tracked) error {
	if err := s.readFaults(w, t); err != nil {
		return err
	}
	spec := t.reader.Spec(&s.scratch)
	s.put(w, t, slotSeen, float64(w.now/1000))
	if started := s.startOf(t); !started.IsZero() {
		s.put(w, t, slotStart, float64(started.UnixMilli())/1000)
	}
	if spec.Period > 0 {
		s.put(w, t, slotPeriod, float64(spec.Period))
	}
	if spec.Quota > 0 {
		s.put(w, t, slotQuota, float64(spec.Quota))
	}
	if spec.Shares > 0 {
		s.put(w, t, slotShares, float64(spec.Shares))
	}
	s.put(w, t, slotMemoryLimit, float64(spec.Memory))
	if spec.HasPeak {
		s.put(w, t, slotMemoryMax, float64(spec.Peak))
	}
	if spec.HasFailures {
		s.put(w, t, slotMemoryFailures, float64(spec.Failures))
	}
	if spec.HasTasks {
		s.put(w, t, slotTasks, float64(spec.Tasks))
		s.put(w, t, slotTasksMax, float64(spec.MaxTasks))
	}
	return nil
}

var metricFaults = counter("container_memory_failures_total", "Page faults, by whether the disk had to be read.")

// readFaults reports page faults under the name that cAdvisor has for them. The
// kernel counts those of the cgroups below as well, which a container has none of.
func (s *containerSource) readFaults(w *writer, t *tracked) error {
	m, err := t.reader.Memory(&s.scratch)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	scopes := []string{"hierarchy"}
	if t.ref.Kind == cgroup.Container {
		scopes = append(scopes, "container")
	}
	for _, scope := range scopes {
		pairs := append(slices.Clip(t.names.pairs), "scope", scope, "failure_type")
		w.add(metricFaults, float64(m.PageFaults), append(pairs, "pgfault")...)
		w.add(metricFaults, float64(m.MajorPageFaults), append(slices.Clip(pairs), "pgmajfault")...)
	}
	return nil
}
