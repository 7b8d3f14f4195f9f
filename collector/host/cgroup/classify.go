package cgroup

import "strings"

// Kind says what a cgroup stands for.
type Kind uint8

// The kinds of cgroups.
const (
	// Other is the root, or a cgroup of something that is no container: a slice
	// or service of systemd, for instance.
	Other Kind = iota
	// Kubepods is a level above the pods: kubepods itself or a QoS class in it.
	Kubepods
	// Pod is the cgroup of a pod; those of its containers lie in it.
	Pod
	// Container is the cgroup of a container, inside a pod or not.
	Container
)

// Ref names one cgroup and what its path tells about it.
type Ref struct {
	// Path is the path from the root of the hierarchy, beginning with a slash.
	Path string
	// Kind says which of the following are set.
	Kind Kind
	// PodUID is the UID of the pod that the cgroup is of or in.
	PodUID string
	// ContainerID is the runtime's ID of the container.
	ContainerID string
}

// classify says what the child called name of parent is, and whether it is known
// at all: inside a pod only containers are, and inside a container nothing is.
func classify(parent Ref, name string) (Ref, bool) {
	child := Ref{Path: join(parent.Path, name), PodUID: parent.PodUID}
	switch parent.Kind {
	case Container:
		return Ref{}, false
	case Pod:
		id, ok := containerID(name)
		child.Kind, child.ContainerID = Container, id
		return child, ok
	case Kubepods:
		if uid, ok := podUID(name); ok {
			child.Kind, child.PodUID = Pod, uid
			return child, true
		}
		child.Kind = Kubepods
		return child, strings.HasPrefix(name, "kubepods-") || name == "burstable" || name == "besteffort" || name == "guaranteed"
	}
	if name == "kubepods" || name == "kubepods.slice" || strings.HasSuffix(name, "-kubepods.slice") {
		child.Kind = Kubepods
		return child, true
	}
	if id, ok := containerID(name); ok {
		child.Kind, child.ContainerID = Container, id
	}
	return child, true
}

// join adds a name to a path that begins with a slash.
func join(parent, name string) string {
	if parent == "/" {
		return "/" + name
	}
	return parent + "/" + name
}

// podUID reads the UID in the name of a pod's cgroup: "pod<uid>" by the cgroupfs
// driver, "kubepods-burstable-pod<uid>.slice" with underscores for dashes by the
// systemd driver.
func podUID(name string) (string, bool) {
	if uid, ok := strings.CutPrefix(name, "pod"); ok && uid != "" {
		return uid, true
	}
	unit, ok := strings.CutSuffix(name, ".slice")
	if !ok {
		return "", false
	}
	at := strings.LastIndex(unit, "-pod")
	if at < 0 || at+len("-pod") == len(unit) {
		return "", false
	}
	return strings.ReplaceAll(unit[at+len("-pod"):], "_", "-"), true
}

// containerIDLength is the length of the hexadecimal IDs of containerd, CRI-O,
// Docker and Podman.
const containerIDLength = 64

// containerID reads the ID in the name of a container's cgroup: "<id>" by the
// cgroupfs driver, "<runtime>-<id>.scope" by the systemd driver. The monitor
// process that CRI-O and Podman keep beside a container is not the container.
func containerID(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".scope")
	if at := strings.LastIndexByte(name, '-'); at >= 0 {
		if strings.HasSuffix(name[:at], "conmon") {
			return "", false
		}
		name = name[at+1:]
	}
	if len(name) != containerIDLength {
		return "", false
	}
	for i := range len(name) {
		if c := name[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return name, true
}
