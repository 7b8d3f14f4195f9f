package host

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/prometheus/procfs"
)

var (
	metricFSReadBytes  = counter("container_fs_reads_bytes_total", "Bytes read from the device.")
	metricFSWriteBytes = counter("container_fs_writes_bytes_total", "Bytes written to the device.")
	metricFSReads      = counter("container_fs_reads_total", "Reads from the device.")
	metricFSWrites     = counter("container_fs_writes_total", "Writes to the device.")
)

func (s *containerSource) readIO(w *writer, t *tracked) error {
	ios, err := t.reader.IO(&s.scratch)
	if err != nil {
		return err
	}
	for _, io := range ios {
		pairs := append(slices.Clip(t.names.pairs), "device", s.devices.name(io.Major, io.Minor))
		w.add(metricFSReadBytes, float64(io.ReadBytes), pairs...)
		w.add(metricFSWriteBytes, float64(io.WriteBytes), pairs...)
		w.add(metricFSReads, float64(io.Reads), pairs...)
		w.add(metricFSWrites, float64(io.Writes), pairs...)
	}
	return nil
}

// podNetworkCounters are the columns of /proc/<pid>/net/dev as cAdvisor has them.
var podNetworkCounters = []struct {
	metric *metric
	value  func(procfs.NetDevLine) uint64
}{
	{counter("container_network_receive_bytes_total", "Bytes received."), func(l procfs.NetDevLine) uint64 { return l.RxBytes }},
	{counter("container_network_receive_packets_total", "Packets received."), func(l procfs.NetDevLine) uint64 { return l.RxPackets }},
	{counter("container_network_receive_errors_total", "Errors while receiving."), func(l procfs.NetDevLine) uint64 { return l.RxErrors }},
	{counter("container_network_receive_packets_dropped_total", "Received packets dropped."), func(l procfs.NetDevLine) uint64 { return l.RxDropped }},
	{counter("container_network_transmit_bytes_total", "Bytes sent."), func(l procfs.NetDevLine) uint64 { return l.TxBytes }},
	{counter("container_network_transmit_packets_total", "Packets sent."), func(l procfs.NetDevLine) uint64 { return l.TxPackets }},
	{counter("container_network_transmit_errors_total", "Errors while sending."), func(l procfs.NetDevLine) uint64 { return l.TxErrors }},
	{counter("container_network_transmit_packets_dropped_total", "Packets dropped while sending."), func(l procfs.NetDevLine) uint64 { return l.TxDropped }},
}

// podNetwork reads the network of pods through a process of each.
type podNetwork struct {
	proc procfs.FS
	host string // the node's network namespace
}

func newPodNetwork(c *Collector) (*podNetwork, error) {
	proc, err := procfs.NewFS(c.config.Proc)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.config.Proc, err)
	}
	// Unknown without the right to look at process 1; then pods on the host's
	// network cannot be told from others, and no pod is reported.
	host, err := os.Readlink(c.proc("1", "ns", "net"))
	if err != nil {
		c.log.Info("cannot see the node's network namespace, so there are no container_network series", "err", err)
	}
	return &podNetwork{proc: proc, host: host}, nil
}

// readNetwork reads the interfaces of a pod, once for all its containers, since
// they share them. A pod on the host's network has none of its own.
func (s *containerSource) readNetwork(w *writer, t *tracked) error {
	if s.network.host == "" {
		return nil
	}
	pid, ok := s.processOf(t)
	if !ok {
		return nil
	}
	namespace, err := os.Readlink(s.proc(strconv.Itoa(pid), "ns", "net"))
	if err != nil || namespace == s.network.host {
		return nil // the process has ended, or shares the node's network
	}
	process, err := s.network.proc.Proc(pid)
	if err != nil {
		return nil
	}
	lines, err := process.NetDev()
	if err != nil {
		return nil
	}
	for _, line := range lines {
		if line.Name == "lo" {
			continue
		}
		pairs := append(slices.Clip(t.names.pairs), "interface", line.Name)
		for _, c := range podNetworkCounters {
			w.add(c.metric, float64(c.value(line)), pairs...)
		}
	}
	return nil
}

// processOf returns a process of a pod: the first of any of its containers.
func (s *containerSource) processOf(pod *tracked) (int, bool) {
	for _, t := range s.tracked {
		if t.ref.PodUID != pod.ref.PodUID || t == pod {
			continue
		}
		first := 0
		_ = t.reader.Processes(&s.scratch, func(pid uint64) bool {
			first = int(pid)
			return false
		})
		if first != 0 {
			return first, true
		}
	}
	return 0, false
}
