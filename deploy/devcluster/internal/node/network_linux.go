package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

const switchName = "devcluster0"

// NetNSFile returns the file of a process's network namespace.
func NetNSFile(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }

// handleAt opens a connection to the network of a process's namespace.
func handleAt(pid int) (*netlink.Handle, error) {
	ns, err := netns.GetFromPath(NetNSFile(pid))
	if err != nil {
		return nil, fmt.Errorf("open network namespace of process %d: %w", pid, err)
	}
	defer ns.Close()
	handle, err := netlink.NewHandleAt(ns)
	if err != nil {
		return nil, fmt.Errorf("enter network namespace of process %d: %w", pid, err)
	}
	return handle, nil
}

// setUpSwitch makes the switch of the cluster's network in the caller's
// namespace, with the control plane's address, unless it is there.
func setUpSwitch() error {
	// Packets between nodes come in by the switch and leave by it.
	for name, value := range map[string]string{"ipv4/ip_forward": "1", "ipv4/conf/all/send_redirects": "0", "ipv4/conf/default/send_redirects": "0"} {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
			return fmt.Errorf("set up network: %w", err)
		}
	}
	handle, err := netlink.NewHandle()
	if err != nil {
		return fmt.Errorf("set up network: %w", err)
	}
	defer handle.Close()
	if err := bringUp(handle, "lo"); err != nil {
		return err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: switchName}}
	if err := handle.LinkAdd(bridge); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("add %s: %w", switchName, err)
	}
	return configure(handle, switchName, ControlPlaneAddress)
}

// networkReady says whether the gateway has set up the switch.
func networkReady(gateway int) (bool, error) {
	handle, err := handleAt(gateway)
	if err != nil {
		return false, err
	}
	defer handle.Close()
	link, err := handle.LinkByName(switchName)
	if err != nil {
		return false, fmt.Errorf("find %s: %w", switchName, err)
	}
	return link.Attrs().Flags&net.FlagUp != 0, nil
}

// connect lays a cable from the switch to a node's namespace, and gives the
// node its address and routes. An older cable of the same node is taken away.
func connect(gateway, nodePID, index int) error {
	center, err := handleAt(gateway)
	if err != nil {
		return err
	}
	defer center.Close()
	port := switchPort(index)
	if old, err := center.LinkByName(port); err == nil {
		// The kernel takes its time to remove what belonged to a dead namespace.
		if err := center.LinkDel(old); err != nil {
			return fmt.Errorf("remove %s: %w", port, err)
		}
	}
	bridge, err := center.LinkByName(switchName)
	if err != nil {
		return fmt.Errorf("find %s: %w", switchName, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = port, bridge.Attrs().Index
	cable := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsPid(nodePID)}
	if err := center.LinkAdd(cable); err != nil {
		return fmt.Errorf("connect node %d: %w", index, err)
	}
	if err := bringUp(center, port); err != nil {
		return err
	}

	inNode, err := handleAt(nodePID)
	if err != nil {
		return err
	}
	defer inNode.Close()
	if err := bringUp(inNode, "lo"); err != nil {
		return err
	}
	if err := configure(inNode, "eth0", Address(index)); err != nil {
		return err
	}
	if err := inNode.RouteReplace(&netlink.Route{Gw: ControlPlaneAddress.AsSlice()}); err != nil {
		return fmt.Errorf("set default route of node %d: %w", index, err)
	}
	// All traffic between nodes goes through the switch's namespace, so that a
	// new node is reachable without a word to the others.
	pods := PodRange(index)
	err = center.RouteReplace(&netlink.Route{Dst: ipNet(pods), Gw: Address(index).AsSlice()})
	if err != nil {
		return fmt.Errorf("set route to pods of node %d: %w", index, err)
	}
	return nil
}

func bringUp(handle *netlink.Handle, name string) error {
	link, err := handle.LinkByName(name)
	if err == nil {
		err = handle.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	return nil
}

// configure gives a device its address in the network between the nodes.
func configure(handle *netlink.Handle, name string, address netip.Addr) error {
	link, err := handle.LinkByName(name)
	if err == nil {
		err = handle.AddrReplace(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(address, networkBits))})
	}
	if err == nil {
		err = handle.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("configure %s: %w", name, err)
	}
	return nil
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), 32)}
}
