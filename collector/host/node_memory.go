package host

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/yagura-dev/yagura/collector/host/cgroup"
)

// memorySource reads /proc/meminfo.
type memorySource struct {
	file          cgroup.File
	buffer        []byte
	bytes, counts *family
}

func newMemorySource(c *Collector) (*source, error) {
	name := strings.NewReplacer("(", "_", ")", "")
	s := &memorySource{
		file: cgroup.NewFile(c.proc("meminfo"), c.budget),
		bytes: newFamily(func(field string) *metric {
			return gauge("node_memory_"+name.Replace(field)+"_bytes", "The field "+field+" of /proc/meminfo.")
		}),
		counts: newFamily(func(field string) *metric {
			return gauge("node_memory_"+name.Replace(field), "The field "+field+" of /proc/meminfo, a count.")
		}),
	}
	return &source{collect: s.collect, close: s.file.Close}, nil
}

// collect reads lines "MemFree:  123 kB"; fields without a unit are counts.
func (s *memorySource) collect(w *writer) error {
	content, err := s.file.Read(&s.buffer)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(content) {
		field, rest, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(field) == 0 {
			continue
		}
		rest, inKiB := bytes.CutSuffix(bytes.TrimSpace(rest), []byte(" kB"))
		value, err := strconv.ParseFloat(string(bytes.TrimSpace(rest)), 64)
		if err != nil {
			continue // kernels add fields; the others count
		}
		if inKiB {
			w.add(s.bytes.get(field), value*1024)
		} else {
			w.add(s.counts.get(field), value)
		}
	}
	return nil
}

// vmStatFields are the fields of /proc/vmstat that are reported.
var vmStatFields = []string{"oom_kill", "pgfault", "pgmajfault", "pgpgin", "pgpgout", "pswpin", "pswpout"}

// vmStatSource reads /proc/vmstat.
type vmStatSource struct {
	file    cgroup.File
	buffer  []byte
	metrics map[string]*metric
}

func newVMStatSource(c *Collector) (*source, error) {
	s := &vmStatSource{file: cgroup.NewFile(c.proc("vmstat"), c.budget), metrics: make(map[string]*metric)}
	for _, field := range vmStatFields {
		s.metrics[field] = counter("node_vmstat_"+field, "The field "+field+" of /proc/vmstat.")
	}
	return &source{collect: s.collect, close: s.file.Close}, nil
}

func (s *vmStatSource) collect(w *writer) error {
	content, err := s.file.Read(&s.buffer)
	if err != nil {
		return err
	}
	cgroup.Pairs(content, func(key []byte, value uint64) {
		if m := s.metrics[string(key)]; m != nil {
			w.add(m, float64(value))
		}
	})
	return nil
}
