package host

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/yagura-dev/yagura/collector/host/cgroup"
	"github.com/yagura-dev/yagura/collector/kube"
)

// identity is what the series of a cgroup are called.
type identity struct {
	pairs   []string // label names and values in turn
	started time.Time
}

// sandbox is the container label of the container that only holds a pod's
// namespaces, as cAdvisor has it.
const sandbox = "POD"

// identify finds the names of a cgroup and says whether it can be reported. A
// new container is held back while its pod is not known, so that it does not
// begin under one name and go on under another.
func (s *containerSource) identify(w *writer, t *tracked) bool {
	if t.resolved {
		return true
	}
	late := s.clock.Since(t.first) >= time.Duration(s.config.MetadataGrace)
	names, final := s.nameOf(t.ref, late)
	if names.pairs == nil {
		return false
	}
	if t.names.pairs != nil && !samePairs(names.pairs, t.names.pairs) {
		for i := range t.series {
			w.end(&t.series[i])
		}
	}
	t.names, t.resolved = names, final
	return true
}

func samePairs(a, b []string) bool {
	return len(a) == len(b) && strings.Join(a, "\xff") == strings.Join(b, "\xff")
}

// nameOf returns the names of a cgroup as far as they are known, and whether they
// will stay. Without names it is too early to tell; late puts an end to waiting.
func (s *containerSource) nameOf(ref cgroup.Ref, late bool) (identity, bool) {
	bare := []string{"id", ref.Path}
	if ref.ContainerID != "" {
		bare = append(bare, "name", ref.ContainerID)
	}
	if ref.PodUID == "" || s.pods == nil || !s.pods.Enabled() {
		return identity{pairs: bare}, true
	}
	if ref.Kind == cgroup.Container {
		if pod, container, ok := s.pods.ContainerByID(ref.ContainerID); ok {
			pairs := append(bare, "image", container.Image, "container", container.Name)
			return identity{pairs: append(pairs, podPairs(pod)...), started: container.Started}, true
		}
	}
	pod, ok := s.pods.PodByUID(ref.PodUID)
	switch {
	case ok && ref.Kind == cgroup.Pod:
		return identity{pairs: append(bare, podPairs(pod)...)}, true
	case ok && late:
		// The status of a pod names every container but its sandbox.
		return identity{pairs: append(append(bare, "container", sandbox), podPairs(pod)...)}, false
	case late:
		return identity{pairs: bare}, false
	}
	return identity{}, false
}

func podPairs(pod kube.Pod) []string {
	return []string{
		"namespace", pod.Namespace, "pod", pod.Name,
		"workload", pod.Workload.Name, "workload_kind", pod.Workload.Kind,
	}
}

// startOf returns when a cgroup's container or pod started: as Kubernetes says,
// else when its oldest process did.
func (s *containerSource) startOf(t *tracked) time.Time {
	if !t.names.started.IsZero() {
		return t.names.started
	}
	if t.started.IsZero() && t.ref.Kind != cgroup.Kubepods {
		t.started = s.oldestProcess(t)
	}
	return t.started
}

// maxProcesses bounds how many processes are asked for their start; the first in
// a container is nearly always its oldest.
const maxProcesses = 16

func (s *containerSource) oldestProcess(t *tracked) time.Time {
	var oldest time.Time
	left := maxProcesses
	proc, err := procfs.NewFS(s.config.Proc)
	if err != nil {
		return oldest
	}
	stat, err := proc.Stat()
	if err != nil {
		return oldest
	}
	_ = t.reader.Processes(&s.scratch, func(pid uint64) bool {
		if process, err := proc.Proc(int(pid)); err == nil && pid != 0 {
			if ps, err := process.Stat(); err == nil {
				if at := sinceBoot(stat.BootTime, ps.Starttime); oldest.IsZero() || at.Before(oldest) {
					oldest = at
				}
			}
		}
		left--
		return left > 0
	})
	return oldest
}

// devices names block devices by their numbers.
type devices struct {
	sys   string
	names map[[2]uint64]string
}

// name returns "/dev/sda" for 8:0, or the numbers when /sys does not know them.
func (d devices) name(major, minor uint64) string {
	key := [2]uint64{major, minor}
	if name, ok := d.names[key]; ok {
		return name
	}
	numbers := strconv.FormatUint(major, 10) + ":" + strconv.FormatUint(minor, 10)
	name := numbers
	if content, err := os.ReadFile(filepath.Join(d.sys, "dev/block", numbers, "uevent")); err == nil {
		for line := range strings.Lines(string(content)) {
			if device, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok {
				name = "/dev/" + device
			}
		}
	}
	d.names[key] = name
	return name
}
