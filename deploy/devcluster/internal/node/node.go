// Package node runs real Kubernetes nodes on one Linux machine: each has its
// own mount, process, network, hostname, IPC and cgroup namespaces with
// containerd, kubelet and kube-proxy inside, and can lose its power.
//
// The network is one switch in a namespace of its own, which the control plane
// shares and from which nothing leads to the host or beyond. A process called
// the gateway holds that namespace and carries connections from a port of the
// host's loopback to the API server.
//
//	10.77.0.1        control plane, and the nodes' default route
//	10.77.0.10+i     node i
//	10.244.i.0/24    pods of node i
//
// Nodes are processes of this program started again: the first process of a
// node prepares the namespaces and then keeps the node's services running, as
// an init system would.
//
// It imports image and pki and process; cluster and the command import it.
package node

import (
	"fmt"
	"net/netip"
)

// MaxIndex is the highest number of a node.
const MaxIndex = 200

// Gateway is the name of the process that holds the cluster's network.
const Gateway = "gateway"

// APIServerPort is the API server's port inside the cluster's network.
const APIServerPort = 6443

var (
	// ControlPlaneAddress is the control plane's address for nodes and pods.
	ControlPlaneAddress = netip.AddrFrom4([4]byte{10, 77, 0, 1})
	// PodCIDR is the range of all pods' addresses.
	PodCIDR = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, 0, 0}), 16)
)

// networkBits is the prefix length of the network between the nodes.
const networkBits = 24

// Address returns the address of node i, from 1 to MaxIndex.
func Address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, byte(10 + i)}) }

// PodRange returns the range of the addresses of node i's pods.
func PodRange(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(i), 0}), 24)
}

// ProviderID returns what a node's object says that its machine is.
func ProviderID(name string) string { return "devcluster://" + name }

// ProcessName returns the name under which a node's first process is recorded.
func ProcessName(node string) string { return "node-" + node }

// switchPort returns the name of the network device at the control plane's end
// of a node's cable.
func switchPort(i int) string { return fmt.Sprintf("node%d", i) }
