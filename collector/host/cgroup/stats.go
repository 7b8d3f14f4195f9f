package cgroup

import (
	"bytes"
	"errors"
	"io/fs"
)

// CPU is what the kernel counts for a cgroup's use of processors. Times are in
// nanoseconds.
type CPU struct {
	Usage, User, System uint64
	// Limited says that the cgroup has a quota now or had periods under one.
	Limited bool
	// Periods and ThrottledPeriods count enforcement periods in which the cgroup
	// ran, and those in which it used up its quota.
	Periods, ThrottledPeriods uint64
	// Throttled is the time its tasks were held back.
	Throttled uint64
}

// Memory is a cgroup's memory, in bytes unless said otherwise, its descendants
// included.
type Memory struct {
	Usage uint64
	// RSS is anonymous memory; Cache is page cache.
	RSS, Cache uint64
	// InactiveFile and ActiveFile are the parts of the page cache that the kernel
	// would and would not give up first.
	InactiveFile, ActiveFile uint64
	MappedFile               uint64
	Kernel                   uint64
	Swap                     uint64
	// PageFaults and MajorPageFaults are counts.
	PageFaults, MajorPageFaults uint64
	// OOMKills counts the processes that the kernel killed for memory.
	OOMKills uint64
	HasOOM   bool
}

// WorkingSet is the memory that cannot be given up easily: usage without inactive page
// cache. The kubelet evicts pods by it.
func (m Memory) WorkingSet() uint64 {
	if m.InactiveFile > m.Usage {
		return 0
	}
	return m.Usage - m.InactiveFile
}

// Pressure is a cgroup's pressure stall information; only version 2 has it.
type Pressure struct{ CPU, Memory, IO Stall }

// Spec is how a cgroup is limited.
type Spec struct {
	// Quota is the CPU time per Period, both in microseconds; 0 means no limit.
	Quota, Period uint64
	// Shares is the CPU weight on the scale of version 1 (1024 per CPU).
	Shares uint64
	// Memory is the memory limit in bytes; 0 means none.
	Memory uint64
	// Peak is the highest memory use, in bytes, and Failures how often the limit
	// was hit. Version 2 has the first on new kernels only and lacks the second.
	Peak, Failures       uint64
	HasPeak, HasFailures bool
	// Tasks is the number of threads and MaxTasks their limit (0 means none).
	Tasks, MaxTasks uint64
	HasTasks        bool
}

// IO is what a cgroup read from and wrote to one block device.
type IO struct {
	Major, Minor          uint64
	ReadBytes, WriteBytes uint64
	Reads, Writes         uint64
}

// Reader reads one cgroup. It belongs to one goroutine at a time, and so do the
// buffers of a Scratch, which many Readers may share in turn.
type Reader struct {
	tree *Tree
	path string

	cpuStat, cpuTimes, cpuUsage, cpuQuota   File
	memoryUsage, memoryStat, memoryEvents   File
	memorySwap                              File
	pressureCPU, pressureMemory, pressureIO File
	ioBytes, ioCounts                       File
	cpuPeriod, cpuWeight                    File
	memoryLimit, memoryPeak, memoryFailures File
	pidsCurrent, pidsMax                    File
	procs                                   File
}

// Scratch holds the memory that reading needs.
type Scratch struct {
	buffer []byte
	ios    []IO
}

// NewReader prepares to read a cgroup; files are opened when they are read.
func (t *Tree) NewReader(path string) *Reader {
	r := &Reader{tree: t, path: path}
	file := func(controller, name string) File {
		return newStatFile(t.file(controller, path, name), t.budget)
	}
	if t.version == V2 {
		r.cpuStat, r.cpuQuota, r.cpuWeight = file("", "cpu.stat"), file("", "cpu.max"), file("", "cpu.weight")
		r.memoryUsage, r.memoryStat = file("", "memory.current"), file("", "memory.stat")
		r.memoryEvents, r.memorySwap = file("", "memory.events"), file("", "memory.swap.current")
		r.memoryLimit, r.memoryPeak = file("", "memory.max"), file("", "memory.peak")
		r.pressureCPU, r.pressureMemory = file("", "cpu.pressure"), file("", "memory.pressure")
		r.pressureIO, r.ioBytes = file("", "io.pressure"), file("", "io.stat")
	} else {
		r.cpuStat, r.cpuQuota = file("cpu", "cpu.stat"), file("cpu", "cpu.cfs_quota_us")
		r.cpuPeriod, r.cpuWeight = file("cpu", "cpu.cfs_period_us"), file("cpu", "cpu.shares")
		r.cpuUsage, r.cpuTimes = file("cpuacct", "cpuacct.usage"), file("cpuacct", "cpuacct.stat")
		r.memoryUsage, r.memoryStat = file("memory", "memory.usage_in_bytes"), file("memory", "memory.stat")
		r.memoryEvents, r.memoryLimit = file("memory", "memory.oom_control"), file("memory", "memory.limit_in_bytes")
		r.memoryPeak, r.memoryFailures = file("memory", "memory.max_usage_in_bytes"), file("memory", "memory.failcnt")
		r.ioBytes = file("blkio", "blkio.throttle.io_service_bytes_recursive")
		r.ioCounts = file("blkio", "blkio.throttle.io_serviced_recursive")
	}
	r.pidsCurrent, r.pidsMax = file("pids", "pids.current"), file("pids", "pids.max")
	procs := "memory"
	if t.mounts[procs] == "" {
		procs = "cpu"
	}
	r.procs = NewFile(t.file(procs, path, "cgroup.procs"), t.budget)
	return r
}

// Close gives all descriptors back.
func (r *Reader) Close() {
	for _, f := range []*File{
		&r.cpuStat, &r.cpuTimes, &r.cpuUsage, &r.cpuQuota, &r.memoryUsage, &r.memoryStat, &r.memoryEvents,
		&r.memorySwap, &r.pressureCPU, &r.pressureMemory, &r.pressureIO, &r.ioBytes, &r.ioCounts, &r.cpuPeriod,
		&r.cpuWeight, &r.memoryLimit, &r.memoryPeak, &r.memoryFailures, &r.pidsCurrent, &r.pidsMax, &r.procs,
	} {
		f.Close()
	}
}

// nanosecondsPerTick is the unit of cpuacct.stat: the kernel reports it in
// hundredths of a second on every architecture that Go runs on.
const nanosecondsPerTick = 10_000_000

// CPU reads processor time. The error wraps fs.ErrNotExist when the controller
// does not account for this cgroup, and ErrGone when the cgroup disappeared.
func (r *Reader) CPU(s *Scratch) (CPU, error) {
	var c CPU
	stat, err := r.cpuStat.Read(&s.buffer)
	if err != nil && (r.tree.version == V2 || !errors.Is(err, fs.ErrNotExist)) {
		return c, err
	}
	Pairs(stat, func(key []byte, value uint64) {
		switch string(key) {
		case "usage_usec":
			c.Usage = value * 1000
		case "user_usec":
			c.User = value * 1000
		case "system_usec":
			c.System = value * 1000
		case "nr_periods":
			c.Periods = value
		case "nr_throttled":
			c.ThrottledPeriods = value
		case "throttled_usec":
			c.Throttled = value * 1000
		case "throttled_time":
			c.Throttled = value
		}
	})
	if r.tree.version == V1 {
		usage, err := r.cpuUsage.Read(&s.buffer)
		if err != nil {
			return c, err
		}
		c.Usage, _, _ = parseUint(usage)
		times, err := r.cpuTimes.Read(&s.buffer)
		if err != nil {
			return c, err
		}
		Pairs(times, func(key []byte, value uint64) {
			switch string(key) {
			case "user":
				c.User = value * nanosecondsPerTick
			case "system":
				c.System = value * nanosecondsPerTick
			}
		})
	}
	quota, err := r.cpuQuota.Read(&s.buffer)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	// "-1" and "max" are no numbers: no quota.
	limit, _, limited := parseUint(quota)
	c.Limited = c.Periods > 0 || (limited && limit > 0)
	return c, nil
}

// Memory reads memory use and out-of-memory kills.
func (r *Reader) Memory(s *Scratch) (Memory, error) {
	var m Memory
	usage, err := r.memoryUsage.Read(&s.buffer)
	if err != nil {
		return m, err // the root of version 2 has none
	}
	m.Usage, _, _ = parseUint(usage)
	stat, err := r.memoryStat.Read(&s.buffer)
	if err != nil {
		return m, err
	}
	if r.tree.version == V2 {
		m.parseStatV2(stat)
		if swap, err := r.memorySwap.Read(&s.buffer); err == nil {
			m.Swap, _, _ = parseUint(swap)
		}
	} else {
		m.parseStatV1(stat)
	}
	events, err := r.memoryEvents.Read(&s.buffer)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	Pairs(events, func(key []byte, value uint64) {
		if string(key) == "oom_kill" {
			m.OOMKills, m.HasOOM = value, true
		}
	})
	return m, nil
}

func (m *Memory) parseStatV2(stat []byte) {
	Pairs(stat, func(key []byte, value uint64) {
		switch string(key) {
		case "anon":
			m.RSS = value
		case "file":
			m.Cache = value
		case "file_mapped":
			m.MappedFile = value
		case "inactive_file":
			m.InactiveFile = value
		case "active_file":
			m.ActiveFile = value
		case "kernel":
			m.Kernel = value
		case "pgfault":
			m.PageFaults = value
		case "pgmajfault":
			m.MajorPageFaults = value
		}
	})
}

// parseStatV1 reads the values with "total_", which include the descendants.
func (m *Memory) parseStatV1(stat []byte) {
	Pairs(stat, func(key []byte, value uint64) {
		name, ok := bytes.CutPrefix(key, []byte("total_"))
		if !ok {
			return
		}
		switch string(name) {
		case "rss":
			m.RSS = value
		case "cache":
			m.Cache = value
		case "mapped_file":
			m.MappedFile = value
		case "inactive_file":
			m.InactiveFile = value
		case "active_file":
			m.ActiveFile = value
		case "swap":
			m.Swap = value
		case "pgfault":
			m.PageFaults = value
		case "pgmajfault":
			m.MajorPageFaults = value
		}
	})
}

// Pressure reads pressure stall information. The error wraps fs.ErrNotExist on
// version 1 and on kernels without it.
func (r *Reader) Pressure(s *Scratch) (Pressure, error) {
	var p Pressure
	for _, part := range []struct {
		file  *File
		stall *Stall
	}{{&r.pressureCPU, &p.CPU}, {&r.pressureMemory, &p.Memory}, {&r.pressureIO, &p.IO}} {
		content, err := part.file.Read(&s.buffer)
		if err != nil {
			return p, err
		}
		*part.stall = ParsePressure(content)
	}
	return p, nil
}

// unlimitedV1 and above is how version 1 writes "no memory limit": the largest
// 64-bit number rounded down to whole pages.
const unlimitedV1 = 1 << 62

// Spec reads the limits. A value whose file is missing stays zero.
func (r *Reader) Spec(s *Scratch) Spec {
	var spec Spec
	spec.Quota, _ = r.number(&r.cpuQuota, s)
	if r.tree.version == V2 {
		if content, err := r.cpuQuota.Read(&s.buffer); err == nil {
			_, period := cutField(content) // "<quota or max> <period>"
			spec.Period, _, _ = parseUint(period)
		}
		if weight, ok := r.number(&r.cpuWeight, s); ok && weight > 0 {
			// The inverse of how runtimes turn shares (2 to 262144) into a weight (1
			// to 10000); shares that were no exact step come back slightly smaller.
			spec.Shares = 2 + (weight-1)*262142/9999
		}
	} else {
		spec.Period, _ = r.number(&r.cpuPeriod, s)
		spec.Shares, _ = r.number(&r.cpuWeight, s)
	}
	if limit, ok := r.number(&r.memoryLimit, s); ok && limit < unlimitedV1 {
		spec.Memory = limit
	}
	spec.Peak, spec.HasPeak = r.number(&r.memoryPeak, s)
	spec.Failures, spec.HasFailures = r.number(&r.memoryFailures, s)
	spec.Tasks, spec.HasTasks = r.number(&r.pidsCurrent, s)
	spec.MaxTasks, _ = r.number(&r.pidsMax, s)
	return spec
}

// number reads a file that holds one number. "max" and "-1" are none.
func (r *Reader) number(f *File, s *Scratch) (uint64, bool) {
	content, err := f.Read(&s.buffer)
	if err != nil {
		return 0, false
	}
	value, _, ok := parseUint(content)
	return value, ok
}

// IO reads what was read and written, by device. The result is valid until the
// Scratch is used again.
func (r *Reader) IO(s *Scratch) ([]IO, error) {
	s.ios = s.ios[:0]
	content, err := r.ioBytes.Read(&s.buffer)
	if err != nil {
		return nil, err
	}
	if r.tree.version == V2 {
		parseIOV2(content, s)
		return s.ios, nil
	}
	parseIOV1(content, s, false)
	if content, err = r.ioCounts.Read(&s.buffer); err == nil {
		parseIOV1(content, s, true)
	}
	return s.ios, nil
}

// parseIOV2 reads lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …".
func parseIOV2(content []byte, s *Scratch) {
	var line, field []byte
	for len(content) > 0 {
		line, content = cutLine(content)
		device, rest := cutField(line)
		io := s.device(device)
		for io != nil && len(rest) > 0 {
			field, rest = cutField(rest)
			key, number, _ := bytes.Cut(field, []byte("="))
			value, _, ok := parseUint(number)
			if !ok {
				continue
			}
			switch string(key) {
			case "rbytes":
				io.ReadBytes = value
			case "wbytes":
				io.WriteBytes = value
			case "rios":
				io.Reads = value
			case "wios":
				io.Writes = value
			}
		}
	}
}

// parseIOV1 reads lines "8:0 Read 4096", in bytes or in operations.
func parseIOV1(content []byte, s *Scratch, operations bool) {
	var line []byte
	for len(content) > 0 {
		line, content = cutLine(content)
		device, rest := cutField(line)
		kind, rest := cutField(rest)
		value, _, ok := parseUint(rest)
		if !ok || (string(kind) != "Read" && string(kind) != "Write") {
			continue
		}
		io := s.device(device)
		switch {
		case io == nil:
		case operations && string(kind) == "Read":
			io.Reads = value
		case operations:
			io.Writes = value
		case string(kind) == "Read":
			io.ReadBytes = value
		default:
			io.WriteBytes = value
		}
	}
}

// device finds or adds the entry of a device "major:minor"; nil when that is not
// what the word is.
func (s *Scratch) device(word []byte) *IO {
	major, rest, ok := parseUint(word)
	if !ok || len(rest) == 0 || rest[0] != ':' {
		return nil
	}
	minor, rest, ok := parseUint(rest[1:])
	if !ok || len(rest) > 0 {
		return nil
	}
	for i := range s.ios {
		if s.ios[i].Major == major && s.ios[i].Minor == minor {
			return &s.ios[i]
		}
	}
	s.ios = append(s.ios, IO{Major: major, Minor: minor})
	return &s.ios[len(s.ios)-1]
}

// Processes calls yield with the IDs of the processes in the cgroup itself, as
// this process sees them (0 for one in another PID namespace), until it returns
// false.
func (r *Reader) Processes(s *Scratch, yield func(pid uint64) bool) error {
	content, err := r.procs.Read(&s.buffer)
	if err != nil {
		return err
	}
	var line []byte
	for len(content) > 0 {
		line, content = cutLine(content)
		if pid, _, ok := parseUint(line); ok && !yield(pid) {
			return nil
		}
	}
	return nil
}
