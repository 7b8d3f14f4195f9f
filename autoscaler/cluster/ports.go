package cluster

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// hostPort is a port of the node that a pod takes for itself.
type hostPort struct {
	port     int32
	protocol corev1.Protocol
	ip       string
}

const anyIP = "0.0.0.0"

// hostPorts are those that the scheduler's NodePorts looks at: of containers and of sidecars.
func hostPorts(spec *corev1.PodSpec) []hostPort {
	var out []hostPort
	add := func(c *corev1.Container) {
		for _, p := range c.Ports {
			if p.HostPort <= 0 {
				continue
			}
			h := hostPort{port: p.HostPort, protocol: p.Protocol, ip: p.HostIP}
			if h.protocol == "" {
				h.protocol = corev1.ProtocolTCP
			}
			if h.ip == "" {
				h.ip = anyIP
			}
			out = append(out, h)
		}
	}
	for i := range spec.InitContainers {
		if c := &spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(c)
		}
	}
	for i := range spec.Containers {
		add(&spec.Containers[i])
	}
	return out
}

func (p hostPort) conflicts(q hostPort) bool {
	if p.ip == readers && q.ip == readers {
		return false
	}
	return p.port == q.port && p.protocol == q.protocol && (p.ip == q.ip || p.ip == anyIP || q.ip == anyIP)
}

// clash says whether one of the ports is among others.
func clash(ports, others []hostPort) bool {
	return slices.ContainsFunc(ports, func(p hostPort) bool { return slices.ContainsFunc(others, p.conflicts) })
}

func comparePorts(a, b hostPort) int {
	return cmp.Or(cmp.Compare(a.port, b.port), cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.ip, b.ip))
}

// exclusive says whether two pods with these ports cannot be on one node.
func exclusive(ports []hostPort) bool {
	return slices.ContainsFunc(ports, func(p hostPort) bool { return p.conflicts(p) })
}

// portsClash says whether one of the ports is taken on the site.
func (t *site) portsClash(ports []hostPort) bool {
	for _, want := range ports {
		for used := range t.ports {
			if want.conflicts(used) {
				return true
			}
		}
	}
	return false
}

func (t *site) takePorts(ports []hostPort, n int) {
	if len(ports) == 0 {
		return
	}
	if t.ports == nil {
		t.ports = map[hostPort]int{}
	}
	for _, p := range ports {
		if t.ports[p] += n; t.ports[p] <= 0 {
			delete(t.ports, p)
		}
	}
}
