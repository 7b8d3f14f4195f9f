package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

var (
	metricLoad = [...]*metric{
		gauge("node_load1", "Load average over 1 minute."),
		gauge("node_load5", "Load average over 5 minutes."),
		gauge("node_load15", "Load average over 15 minutes."),
	}
	metricBoot            = gauge("node_boot_time_seconds", "When the node booted, in seconds since the Unix epoch.")
	metricTime            = gauge("node_time_seconds", "The node's clock, in seconds since the Unix epoch.")
	metricContextSwitches = counter("node_context_switches_total", "Context switches.")
	metricInterrupts      = counter("node_intr_total", "Interrupts served.")
	metricForks           = counter("node_forks_total", "Processes and threads created.")
	metricRunning         = gauge("node_procs_running", "Tasks that are runnable.")
	metricBlocked         = gauge("node_procs_blocked", "Tasks that wait for I/O.")
	metricFilesOpen       = gauge("node_filefd_allocated", "File handles in use.")
	metricFilesMax        = gauge("node_filefd_maximum", "File handles that can be in use.")
	metricConntrack       = gauge("node_nf_conntrack_entries", "Connections that the kernel tracks.")
	metricConntrackMax    = gauge("node_nf_conntrack_entries_limit", "Connections that the kernel can track.")
	metricUname           = gauge("node_uname_info", "The kernel's names and versions as labels; always 1.")
	metricCores           = gauge("machine_cpu_cores", "Logical processors.")
	metricMemory          = gauge("machine_memory_bytes", "Memory of the machine.")
)

func newLoadSource(c *Collector) (*source, error) {
	proc, err := procfs.NewFS(c.config.Proc)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.config.Proc, err)
	}
	return &source{collect: func(w *writer) error {
		load, err := proc.LoadAvg()
		if err != nil {
			return err
		}
		for i, value := range [...]float64{load.Load1, load.Load5, load.Load15} {
			w.add(metricLoad[i], value)
		}
		return nil
	}}, nil
}

// systemSource reads what the kernel says about the node as a whole.
type systemSource struct {
	*Collector
	proc procfs.FS
	own  bool // /proc is this process's own, and so is the host's name
}

func newSystemSource(c *Collector) (*source, error) {
	proc, err := procfs.NewFS(c.config.Proc)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.config.Proc, err)
	}
	s := &systemSource{Collector: c, proc: proc, own: c.config.Proc == DefaultConfig().Proc}
	return &source{collect: s.collect}, nil
}

func (s *systemSource) collect(w *writer) error {
	w.add(metricTime, float64(s.clock.Now().UnixMilli())/1000)
	errs := []error{s.stat(w), s.files(w), s.conntrack(w), s.uname(w), clockState(w)}
	if memory, err := s.proc.Meminfo(); err == nil && memory.MemTotalBytes != nil {
		w.add(metricMemory, float64(*memory.MemTotalBytes))
	}
	return errors.Join(errs...)
}

func (s *systemSource) stat(w *writer) error {
	stat, err := s.proc.Stat()
	if err != nil {
		return err
	}
	w.add(metricBoot, float64(stat.BootTime))
	w.add(metricContextSwitches, float64(stat.ContextSwitches))
	w.add(metricInterrupts, float64(stat.IRQTotal))
	w.add(metricForks, float64(stat.ProcessCreated))
	w.add(metricRunning, float64(stat.ProcessesRunning))
	w.add(metricBlocked, float64(stat.ProcessesBlocked))
	w.add(metricCores, float64(len(stat.CPU)))
	return nil
}

// files reads "allocated 0 maximum".
func (s *systemSource) files(w *writer) error {
	content, err := os.ReadFile(s.Collector.proc("sys", "fs", "file-nr"))
	if err != nil {
		return err
	}
	fields := strings.Fields(string(content))
	if len(fields) < 3 {
		return fmt.Errorf("file-nr has %d fields instead of 3", len(fields))
	}
	for i, m := range map[int]*metric{0: metricFilesOpen, 2: metricFilesMax} {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return fmt.Errorf("field %d of file-nr: %w", i+1, err)
		}
		w.add(m, value)
	}
	return nil
}

// conntrack reads the size of the connection table, which exists only while the
// kernel's module is in use.
func (s *systemSource) conntrack(w *writer) error {
	for name, m := range map[string]*metric{"nf_conntrack_count": metricConntrack, "nf_conntrack_max": metricConntrackMax} {
		content, err := os.ReadFile(s.Collector.proc("sys", "net", "netfilter", name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		value, err := strconv.ParseFloat(string(bytes.TrimSpace(content)), 64)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		w.add(m, value)
	}
	return nil
}

func (s *systemSource) uname(w *writer) error {
	name, err := uname()
	if err != nil {
		return err
	}
	if !s.own {
		// In a container the host's name is the container's, not the node's.
		name.node = s.id.Node
	}
	w.add(metricUname, 1, "sysname", name.system, "release", name.release, "version", name.version,
		"machine", name.machine, "nodename", name.node, "domainname", name.domain)
	return nil
}

// kernelName is what uname(2) tells.
type kernelName struct{ system, release, version, machine, node, domain string }

// sinceBoot is when a process started, from its ticks since boot.
func sinceBoot(boot, ticks uint64) time.Time {
	return time.Unix(int64(boot), 0).Add(time.Duration(ticks) * (time.Second / ticksPerSecond))
}
