package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// networkCounters are the columns of /proc/net/dev.
var networkCounters = []struct {
	metric *metric
	value  func(procfs.NetDevLine) uint64
}{
	{counter("node_network_receive_bytes_total", "Bytes received."), func(l procfs.NetDevLine) uint64 { return l.RxBytes }},
	{counter("node_network_receive_packets_total", "Packets received."), func(l procfs.NetDevLine) uint64 { return l.RxPackets }},
	{counter("node_network_receive_errs_total", "Errors while receiving."), func(l procfs.NetDevLine) uint64 { return l.RxErrors }},
	{counter("node_network_receive_drop_total", "Received packets dropped."), func(l procfs.NetDevLine) uint64 { return l.RxDropped }},
	{counter("node_network_receive_fifo_total", "Receive buffer overruns."), func(l procfs.NetDevLine) uint64 { return l.RxFIFO }},
	{counter("node_network_receive_frame_total", "Received packets with framing errors."), func(l procfs.NetDevLine) uint64 { return l.RxFrame }},
	{counter("node_network_receive_compressed_total", "Compressed packets received."), func(l procfs.NetDevLine) uint64 { return l.RxCompressed }},
	{counter("node_network_receive_multicast_total", "Multicast packets received."), func(l procfs.NetDevLine) uint64 { return l.RxMulticast }},
	{counter("node_network_transmit_bytes_total", "Bytes sent."), func(l procfs.NetDevLine) uint64 { return l.TxBytes }},
	{counter("node_network_transmit_packets_total", "Packets sent."), func(l procfs.NetDevLine) uint64 { return l.TxPackets }},
	{counter("node_network_transmit_errs_total", "Errors while sending."), func(l procfs.NetDevLine) uint64 { return l.TxErrors }},
	{counter("node_network_transmit_drop_total", "Packets dropped while sending."), func(l procfs.NetDevLine) uint64 { return l.TxDropped }},
	{counter("node_network_transmit_fifo_total", "Send buffer overruns."), func(l procfs.NetDevLine) uint64 { return l.TxFIFO }},
	{counter("node_network_transmit_colls_total", "Collisions."), func(l procfs.NetDevLine) uint64 { return l.TxCollisions }},
	{counter("node_network_transmit_carrier_total", "Carrier losses while sending."), func(l procfs.NetDevLine) uint64 { return l.TxCarrier }},
	{counter("node_network_transmit_compressed_total", "Compressed packets sent."), func(l procfs.NetDevLine) uint64 { return l.TxCompressed }},
}

var (
	metricNetworkUp    = gauge("node_network_up", "1 while the interface is up, else 0.")
	metricNetworkMTU   = gauge("node_network_mtu_bytes", "Largest packet of the interface.")
	metricNetworkSpeed = gauge("node_network_speed_bytes", "Speed of the interface, in bytes per second.")
)

// protocolFields are the fields of /proc/net/snmp and /proc/net/netstat that are
// reported, as "<protocol>_<field>", and whether each is a level instead of a
// count.
var protocolFields = map[string]bool{
	"Ip_Forwarding": true, "IpExt_InOctets": false, "IpExt_OutOctets": false,
	"Icmp_InMsgs": false, "Icmp_OutMsgs": false, "Icmp_InErrors": false,
	"Tcp_CurrEstab": true, "Tcp_ActiveOpens": false, "Tcp_PassiveOpens": false, "Tcp_InSegs": false,
	"Tcp_OutSegs": false, "Tcp_RetransSegs": false, "Tcp_InErrs": false, "Tcp_OutRsts": false,
	"TcpExt_ListenDrops": false, "TcpExt_ListenOverflows": false, "TcpExt_TCPSynRetrans": false,
	"TcpExt_TCPTimeouts": false, "TcpExt_SyncookiesFailed": false, "TcpExt_SyncookiesRecv": false,
	"TcpExt_SyncookiesSent": false, "TcpExt_TCPOFOQueue": false, "TcpExt_TCPRcvQDrop": false,
	"Udp_InDatagrams": false, "Udp_OutDatagrams": false, "Udp_InErrors": false, "Udp_NoPorts": false,
	"Udp_RcvbufErrors": false, "Udp_SndbufErrors": false,
}

// networkSource reads interfaces and protocols.
type networkSource struct {
	*Collector
	proc      procfs.FS
	ignore    *regexp.Regexp
	protocols *family
	sockets   *family
}

func newNetworkSource(c *Collector) (*source, error) {
	pattern, err := ignore(c.config.IgnoreInterfaces)
	if err != nil {
		return nil, err
	}
	proc, err := procfs.NewFS(c.config.Proc)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.config.Proc, err)
	}
	s := &networkSource{Collector: c, proc: proc, ignore: pattern}
	s.protocols = newFamily(func(name string) *metric {
		make := counter
		if protocolFields[name] {
			make = gauge
		}
		return make("node_netstat_"+name, "The field "+name+" of the kernel's protocol statistics.")
	})
	s.sockets = newFamily(func(name string) *metric {
		return gauge("node_sockstat_"+name, "The field "+name+" of /proc/net/sockstat.")
	})
	return &source{collect: s.collect}, nil
}

// networkProcess is the process whose network namespace is the node's: the first
// one, also when this process has a namespace of its own.
const networkProcess = "1"

func (s *networkSource) collect(w *writer) error {
	devices, err := s.devices()
	if err != nil {
		return err
	}
	for _, line := range devices {
		if ignored(s.ignore, line.Name) {
			continue
		}
		for _, c := range networkCounters {
			w.add(c.metric, float64(c.value(line)), "device", line.Name)
		}
		s.link(w, line.Name)
	}
	return errors.Join(s.protocol(w, "snmp"), s.protocol(w, "netstat"), s.socket(w))
}

func (s *networkSource) devices() (procfs.NetDev, error) {
	if first, err := s.proc.Proc(1); err == nil {
		if devices, err := first.NetDev(); err == nil {
			return devices, nil
		}
	}
	return s.proc.NetDev()
}

// link reads the state of an interface from /sys, which shows the interfaces of
// the namespace that it was mounted in: others are simply missing.
func (s *networkSource) link(w *writer, device string) {
	read := func(name string) (string, bool) {
		content, err := os.ReadFile(filepath.Join(s.config.Sys, "class/net", device, name))
		return strings.TrimSpace(string(content)), err == nil
	}
	if state, ok := read("operstate"); ok {
		w.add(metricNetworkUp, flag(state == "up"), "device", device)
	}
	if text, ok := read("mtu"); ok {
		if mtu, err := strconv.ParseFloat(text, 64); err == nil {
			w.add(metricNetworkMTU, mtu, "device", device)
		}
	}
	// Interfaces without a fixed speed say so by -1 or an error.
	if text, ok := read("speed"); ok {
		if megabits, err := strconv.ParseFloat(text, 64); err == nil && megabits > 0 {
			w.add(metricNetworkSpeed, megabits*1e6/8, "device", device)
		}
	}
}

// netFile reads a file of /proc/net of the node's namespace.
func (s *networkSource) netFile(name string) ([]byte, error) {
	content, err := os.ReadFile(s.Collector.proc(networkProcess, "net", name))
	if err != nil {
		content, err = os.ReadFile(s.Collector.proc("net", name))
	}
	return content, err
}

// protocol reads pairs of lines: "Tcp: <names>" and "Tcp: <values>".
func (s *networkSource) protocol(w *writer, name string) error {
	content, err := s.netFile(name)
	if err != nil {
		return err
	}
	lines := bytes.Split(content, []byte("\n"))
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := bytes.Fields(lines[i]), bytes.Fields(lines[i+1])
		if len(names) != len(values) || len(names) == 0 || !bytes.Equal(names[0], values[0]) {
			return fmt.Errorf("%s: line %d does not belong to line %d", name, i+2, i+1)
		}
		protocol := bytes.TrimSuffix(names[0], []byte(":"))
		for j := 1; j < len(names); j++ {
			key := append(append(bytes.Clone(protocol), '_'), names[j]...)
			if _, wanted := protocolFields[string(key)]; !wanted {
				continue
			}
			value, err := strconv.ParseFloat(string(values[j]), 64)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", name, key, err)
			}
			w.add(s.protocols.get(key), value)
		}
	}
	return nil
}

// socket reads lines "TCP: inuse 4 orphan 0 …".
func (s *networkSource) socket(w *writer) error {
	content, err := s.netFile("sockstat")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(content) {
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			continue
		}
		protocol := bytes.TrimSuffix(fields[0], []byte(":"))
		for j := 1; j+1 < len(fields); j += 2 {
			value, err := strconv.ParseFloat(string(fields[j+1]), 64)
			if err != nil {
				return fmt.Errorf("sockstat: %s %s: %w", protocol, fields[j], err)
			}
			w.add(s.sockets.get(append(append(bytes.Clone(protocol), '_'), fields[j]...)), value)
		}
	}
	return nil
}
